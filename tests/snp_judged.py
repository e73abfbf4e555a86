"""Scenarios of the reconciliation, judged: what tests of its rules, cases and invariants share."""

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
from snp_facts import SPEC, facts_of

from checks.snp import law as laws
from checks.snp.facts import SCHEMAS, Facts
from checks.snp.law import default_law
from checks.snp.reconcile import Reconciliation, reconcile
from flows.law_table import as_published

DAY = date(2024, 8, 1)
LAW = default_law()
PUBLISHED = as_published(("snp.tariff", "snp.window"), "texte détenu par la caisse")
ATTESTED = default_law(attested=PUBLISHED)


def scenario(name: str) -> dict[str, Any]:
    return next(found for found in SPEC["scenarios"] if found["id"] == name)


def facts(name: str, decision: int = -1, **changes: Any) -> Facts:
    found = scenario(name)
    return replace(facts_of(found, found["decisions"][decision]), **changes)


def judged(found: Facts, law: laws.Law = ATTESTED, on: date = DAY) -> Reconciliation:
    return reconcile(found, law, on)


def outcome_of(found: Reconciliation, rule: str, line: int | None = 1) -> str | None:
    """What a rule said of a line of the first bordereau: an outcome, mention, note or NOT_EVALUABLE; None when silent."""
    here = pl.col("line_number").is_null() if line is None else pl.col("line_number") == line
    rows = found.findings.filter(pl.col("rule") == f"snp.{rule}", pl.col("bordereau_id").is_in(["B1", "b0000000"]), here)
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return "mention" if row["mention"] else "note" if row["note"] else row["outcome"]


def with_rows(found: Facts, kind: str, **values: Any) -> Facts:
    told = getattr(found, kind).with_columns(**{name: pl.lit(value, SCHEMAS[kind][name]) for name, value in values.items()})
    return replace(found, **{kind: told})
