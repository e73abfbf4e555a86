"""The scenarios that an agent can read, run line by line: outcome, set of findings, cents; attested and not."""

from typing import Any

import polars as pl
import pytest
from snp_facts import CAISSE, SPEC, facts_of

from checks.snp.law import attested_as_published, default_law
from checks.snp.reconcile import Reconciliation, reconcile

SCENARIOS: list[dict[str, Any]] = SPEC["scenarios"]
CASES = [
    pytest.param(scenario, decision, id=f"{scenario['id']}-{decision['decided']}")
    for scenario in SCENARIOS
    for decision in scenario["decisions"]
]
ATTESTED = attested_as_published(CAISSE)


def judged(scenario: dict[str, Any], decision: dict[str, Any], *, attested: bool = True) -> Reconciliation:
    law = default_law(scenario.get("policies"), ATTESTED if attested else ())
    return reconcile(facts_of(scenario, decision), law, decision["decided"])


def told(found: Reconciliation, bordereau: str, line: int | None) -> set[str]:
    """The findings of a line as the scenarios write them, those of its bordereau included; notes apart."""
    here = pl.col("line_number") == line
    if line is None:
        here = pl.lit(value=False)
    whole = pl.col("line_number").is_null()
    rows = found.findings.filter(pl.col("bordereau_id") == bordereau, here | whole, ~pl.col("note"))
    names = {
        f"{rule.removeprefix('snp.')} {'mention' if mention else outcome}"
        for rule, outcome, mention in rows.select("rule", "outcome", "mention").iter_rows()
    }
    return {name for name in names if name.startswith("A03")} if line is None else {n for n in names if not n.startswith("A03")}


@pytest.mark.parametrize(("scenario", "decision"), CASES)
def test_every_line_of_every_scenario_is_judged_as_written(scenario: dict[str, Any], decision: dict[str, Any]) -> None:
    found = judged(scenario, decision)
    lines = {(row["bordereau_id"], row["line_number"]): row for row in found.lines.iter_rows(named=True)}
    assert len(lines) == len(decision["expected"])
    for expected in decision["expected"]:
        bordereau, _, number = expected["line"].partition("/")
        line = lines[bordereau, int(number)]
        seen = (line["outcome"], told(found, bordereau, int(number)), line["payable_cents"])
        assert seen == (expected["outcome"], set(expected["findings"]), expected["payable"]), expected["line"]
        assert line["firm"] or not line["payable_cents"]
    assert told(found, "B1", None) == set(decision.get("bordereaux", []))
