"""Every scenario again, from files: written, ingested on their days, judged as of each decision from what the log then knew."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from snp_facts import SPEC
from snp_files import CAISSE, CPAM, Post, copied, founded, played, sendable, written
from test_snp_scenarios import told

from checks.snp.reconcile import Reconciliation
from flows import law, reconciling
from flows.reconciling import Moment

SCENARIOS = {scenario["id"]: scenario for scenario in SPEC["scenarios"]}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return founded(tmp_path_factory.mktemp("scenarios") / "template")


def judged(made: Post, at: Moment) -> Reconciliation:
    """As judged at a moment; a bordereau bears the name of its file, which is that of the scenario."""
    found = reconciling.judged(made.hub, CAISSE, at)
    names = {row["bordereau_id"]: Path(row["file"]).stem for row in found.facts.bordereau.iter_rows(named=True)}
    reconciliation = found.reconciliation
    renamed = {
        name: getattr(reconciliation, name).with_columns(pl.col("bordereau_id").replace_strict(names))
        for name in ("lines", "findings", "bordereaux")
    }
    return Reconciliation(**{**vars(reconciliation), **renamed})


def payable(found: Reconciliation) -> dict[str, int]:
    rows = found.lines.select("bordereau_id", "line_number", "payable_cents").rows()
    return {f"{bordereau}/{number}": cents for bordereau, number, cents in rows}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_judged_from_files_as_it_is_written(name: str, template: Path, tmp_path: Path) -> None:
    scenario = sendable(SCENARIOS[name])
    made, moments = played(template, tmp_path / "hub", scenario)
    for decision, at in zip(scenario["decisions"], moments, strict=True):
        found = judged(made, at)
        lines = {f"{row['bordereau_id']}/{row['line_number']}": row for row in found.lines.iter_rows(named=True)}
        assert list(lines) == [expected["line"] for expected in decision["expected"]]
        for expected in decision["expected"]:
            line = lines[expected["line"]]
            seen = (line["outcome"], told(found, line["bordereau_id"], line["line_number"]), line["payable_cents"])
            assert seen == (expected["outcome"], set(expected["findings"]), expected["payable"]), expected["line"]
            assert line["firm"] or not line["payable_cents"], "every cent to pay is firm once attested"
        assert told(found, "B1", None) == set(decision.get("bordereaux", []))


def test_a_bordereau_received_before_any_template_is_refused_which_is_all_that_keeps_s28_from_its_own_days(
    template: Path, tmp_path: Path
) -> None:
    changed = [name for name, scenario in SCENARIOS.items() if dated(sendable(scenario)) != dated(scenario)]
    assert changed == ["S28"]
    scenario = SCENARIOS["S28"]
    [header] = scenario["bordereaux"]
    content = written(scenario, header, "csv")
    report = copied(template, tmp_path / "hub").receive("2021-10-01", "B1.csv", content, CAISSE, accepted=False)
    assert (report.decision, report.reasons) == ("rejected", ["bordereau.FL6"])


def dated(scenario: dict[str, Any]) -> list[str]:
    days = [entry["received"] for entry in scenario["bordereaux"]] + [entry["decided"] for entry in scenario["decisions"]]
    return [str(day) for day in days]


def test_without_its_attestation_the_same_cents_are_under_reserve(template: Path, tmp_path: Path) -> None:
    made, [at] = played(template, tmp_path / "hub", SCENARIOS["S49"])
    firm = judged(made, at)
    [position] = {one.position for one in law.law_of(made.hub, CPAM).parameters}
    law.withdraw_attestation(made.hub, position, CPAM, "texte rapporté")
    reserved = judged(made, Moment(made.hub.log.head()[0], at.on))
    assert payable(reserved) == payable(firm) == {"B1/1": 2500, "B1/2": 0, "B1/3": 2500, "B1/4": 0}
    sums = ["payable_firm_cents", "payable_reserved_cents"]
    assert (firm.bordereaux.select(sums).row(0), reserved.bordereaux.select(sums).row(0)) == ((5000, 0), (0, 5000))
    assert payable(judged(made, at)) == payable(firm)
    assert judged(made, at).lines["firm"].all(), "what was attested then still was, then"
