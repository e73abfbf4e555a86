"""The tables of the product about CPTS and FIR: simulated parts of contracts, commitments, sources side by side.

Judges nothing. A contract or a commitment whose region is not known is in no table.
"""

import polars as pl

from checks.cds.product import EFFECTS_FR, STATES_FR
from checks.cds.ruling import FIRED
from checks.cpts.agreement import AMOUNTS, GRANT, side_by_side
from contracts_schema import cpts_facts
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import products
from contracts_schema.rules import catalogue

LISTED = ("campaign", "beneficiary", "beneficiary_kind", "legal_name", "measure_3", "order_number", "effective_on",
          "notified_cents", "notified", "payer", "occurrence", "file", "line")  # fmt: skip
"""Columns of commitments that are published."""
KINDS = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date()}


def tables(
    contracts: pl.DataFrame,
    parts: pl.DataFrame,
    commitments: pl.DataFrame | None,
    findings: pl.DataFrame,
    region: str,
) -> dict[str, pl.DataFrame]:
    """The tables of a region by the name of their view. ``contracts``: ``agreement.CONTRACTS``; ``parts``:
    ``agreement.AMOUNTS`` of one year of contract or several; ``commitments``: the rows of ``connectors.cpts.read_fir`` (None:
    none came); ``findings``: ``ruling.FINDINGS`` of the rules about this region."""
    names = {entry["code"]: entry["label_fr"] for entry in cpts_facts.agreement()["missions"]} | {GRANT: "Fonctionnement"}
    told = pl.concat([pl.DataFrame(schema=AMOUNTS), parts]).join(
        contracts.select("contract_id", "region"), on="contract_id", how="left"
    )
    told = told.with_columns(
        mission_fr=pl.col("mission").replace_strict(names, default=pl.col("mission"), return_dtype=pl.String),
        status_fr=pl.col("status").replace_strict(STATUSES_FR, return_dtype=pl.String),
        reason="reason_fr",
    )
    rows = pl.DataFrame(schema=dict.fromkeys(LISTED, pl.Null())) if commitments is None else commitments
    rows = rows.sort("file", "line").with_columns(region=pl.lit(region))
    made = {
        "out_ars__cpts_part": told,
        "out_ars__fir_commitment": _numbered(rows),
        "out_ars__cpts_finding": _numbered(told_of(findings, region)),
        "out_ars__cpts_source": side_by_side().with_columns(region=pl.lit(region)),
    }
    return {name: _as_contract(name, rows) for name, rows in made.items()}


def told_of(findings: pl.DataFrame, region: str) -> pl.DataFrame:
    """The findings with their words."""
    rules = catalogue()
    sources = {name: f"{rule.status} : {rule.source}" if rule.source else rule.status for name, rule in rules.items()}
    fired = pl.col("severity").replace_strict(STATES_FR, return_dtype=pl.String)
    return findings.sort("rule", "item", "line", "reason_fr", nulls_last=True).with_columns(
        rule_fr=pl.col("rule").replace_strict({name: rule.label_fr for name, rule in rules.items()}, return_dtype=pl.String),
        source=pl.col("rule").replace_strict(sources, return_dtype=pl.String),
        state=pl.when(pl.col("status") == FIRED).then(fired).otherwise(pl.lit("Non vérifiable")),
        effect_fr=pl.col("effect").replace_strict(EFFECTS_FR, return_dtype=pl.String),
        reason="reason_fr",
        change="change_fr",
        region=pl.lit(region),
    )


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


def _as_contract(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    table = next(table for one in products().values() for table in one.tables if table.view == view)
    placed = rows.filter(pl.col("region").is_not_null())
    return placed.select(pl.col(column.name).cast(KINDS[column.type]) for column in table.columns).sort(table.keys)
