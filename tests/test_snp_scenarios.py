"""The scenarios that an agent can read, run line by line: outcome, set of findings, cents; attested and not.

S52 is run here for its lines only: that the second reception is known already (U03) is told by the event log.
"""

from typing import Any

import polars as pl
import pytest
from snp_facts import SPEC, facts_of

from checks.snp.law import default_law
from checks.snp.reconcile import Reconciliation, reconcile
from checks.snp.review import review
from flows.law_table import as_published

SCENARIOS: list[dict[str, Any]] = SPEC["scenarios"]
CASES = [
    pytest.param(scenario, decision, id=f"{scenario['id']}-{decision['decided']}")
    for scenario in SCENARIOS
    for decision in scenario["decisions"]
]
ATTESTED = as_published(("snp.tariff", "snp.window"), "texte détenu par la caisse")


def judged(scenario: dict[str, Any], decision: dict[str, Any], *, attested: bool = True) -> Reconciliation:
    law = default_law(scenario.get("policies"), ATTESTED if attested else ())
    return reconcile(facts_of(scenario, decision), law, decision["decided"])


def told(found: Reconciliation, bordereau: str, line: int | None) -> set[str]:
    """The findings of a line as the scenarios write them, those of its bordereau included; notes apart."""
    here = pl.lit(value=False) if line is None else pl.col("line_number") == line
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
        assert line["firm"] or not line["payable_cents"], "every cent to pay is firm once attested"
    assert told(found, "B1", None) == set(decision.get("bordereaux", []))


@pytest.mark.parametrize(("scenario", "decision"), CASES)
def test_without_attestation_the_same_cents_are_under_reserve(scenario: dict[str, Any], decision: dict[str, Any]) -> None:
    found = judged(scenario, decision, attested=False)
    assert not found.lines["firm"].any()
    cents = {f"{bordereau}/{number}": payable for bordereau, number, payable in found.lines.select(PAYABLE).rows()}
    assert cents == {expected["line"]: expected["payable"] for expected in decision["expected"]}
    totals = found.bordereaux.select("payable_firm_cents", "payable_reserved_cents").sum().row(0)
    assert totals == (0, sum(cents.values()))


PAYABLE = ("bordereau_id", "line_number", "payable_cents")


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s["id"]) for s in SCENARIOS if "review" in s["decisions"][-1]])
def test_a_second_decision_tells_what_it_changes(scenario: dict[str, Any]) -> None:
    law = default_law(scenario.get("policies"), ATTESTED)
    told = review(*(judged(scenario, decision) for decision in scenario["decisions"]), law)
    expected = [(f"snp.{row['rule']}", row["line"]) for row in scenario["decisions"][-1]["review"]]
    assert [(row["rule"], f"{row['bordereau_id']}/{row['line_number']}") for row in told.iter_rows(named=True)] == expected


def test_every_scenario_of_the_set_is_here_with_a_title_and_none_twice() -> None:
    names = [scenario["id"] for scenario in SCENARIOS]
    assert names[:59] == [f"S{number:02d}" for number in range(1, 60)]
    assert len(set(names)) == len(names)
    assert all(scenario["title"] for scenario in SCENARIOS)
