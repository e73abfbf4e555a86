"""Every scenario again, from files: written, ingested on their days, judged as of each decision from what the log then knew."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bordereaux import nir
from snp_facts import SPEC
from snp_files import CAISSE, CPAM, Post, copied, founded, header_cells, known, line_cells, played, sendable, written
from test_snp_scenarios import told

from checks.snp.reconcile import Reconciliation
from connectors.synthetic_bordereaux import Plan, rows_of, write_csv, write_ods, write_xlsx
from flows import deliveries, law, reconciling
from flows.deliveries import Report
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


# --- files that are not as they should be (F01–F05, F11)


def simple(lines: list[dict[str, Any]], **header: Any) -> list[list[Any]]:
    """Rows of a bordereau of MSP_A for the second quarter of 2024, of lines that change one act of cystitis."""
    scenario = SCENARIOS["S52"] | {"lines": [ACT | {"line": f"B1/{n}"} | line for n, line in enumerate(lines, 1)]}
    cells = [line_cells(entry) for entry in scenario["lines"]]
    return rows_of(cells, header_cells(scenario, scenario["bordereaux"][0], cells) | header)


ACT = {"protocol": "CYSTITE", "act": "INCLUSION", "day": "2024-04-02", "delegate": "PH1", "amount": "25.00"}
ON = "2024-07-02"


@pytest.fixture
def ready(template: Path, tmp_path: Path) -> Post:
    """A hub that knows the declaration of MSP_A, and no bordereau."""
    made = copied(template, tmp_path / "hub")
    scenario = SCENARIOS["S52"]
    for name, content in known(scenario, scenario["decisions"][0]).items():
        made.receive(ON, name, content)
    return made


def now(made: Post) -> Reconciliation:
    return judged(made, Moment(made.hub.log.head()[0], made.hub.today()))


def seen(found: Reconciliation, bordereau: str = "B1") -> list[tuple[str, set[str]]]:
    lines = found.lines.filter(pl.col("bordereau_id") == bordereau)
    return [(outcome, told(found, bordereau, number)) for number, outcome in lines.select("line_number", "outcome").iter_rows()]


def alerts(made: Post, report: Report) -> list[str]:
    found = deliveries.decision(made.hub, str(report.scope), str(report.delivery_id))
    assert found
    return list(found.data["alerts"])


def test_f01_the_same_bytes_again_are_known_with_their_first_reception_and_add_nothing(ready: Post) -> None:
    content = write_xlsx([Plan(simple([{}]))])
    first = ready.receive(ON, "B1.xlsx", content, CAISSE)
    position = ready.hub.log.head()
    again = ready.receive("2024-07-20", "autre nom.xlsx", content, CAISSE)
    assert (again.status, again.delivery_id, again.files) == ("already_known", first.delivery_id, first.files)
    assert ready.hub.log.head() == position
    assert seen(now(ready)) == [("PAY", set())]


@pytest.mark.parametrize(("ref", "outcome"), [("r1", "REJECT"), (None, "ASK")])
def test_f02_one_content_in_four_files_is_one_act_claimed_four_times_and_said(
    ready: Post, ref: str | None, outcome: str
) -> None:
    rows = simple([{"ref": ref}, {"ref": ref and "r2", "day": "2024-04-03"}])
    files = {
        "B1.xlsx": write_xlsx([Plan(rows)]),
        "B2.ods": write_ods([Plan(rows)]),
        "B3.csv": write_csv(rows),
        "B4.csv": write_csv(rows, encoding="cp1252", delimiter="\t", newline="\n"),
    }
    reports = [ready.receive(f"2024-07-{day:02d}", *file, CAISSE) for day, file in enumerate(files.items(), 2)]
    assert [alerts(ready, one) for one in reports] == [[], *[["bordereau.same_content"]] * 3]
    found = now(ready)
    assert seen(found) == [("PAY", set())] * 2
    for name in ("B2", "B3", "B4"):
        assert seen(found, name) == [(outcome, {f"U02 {outcome}"})] * 2
    columns = ["line_number", "family", "act", "day", "rpps", "count", "amount_cents", "ref"]
    lines = found_lines(ready).select("bordereau_id", *columns).partition_by("bordereau_id", include_key=False)
    assert all(one.equals(lines[0]) for one in lines[1:])


def found_lines(made: Post) -> pl.DataFrame:
    return reconciling.judged(made.hub, CAISSE, Moment(made.hub.log.head()[0], made.hub.today())).facts.line


def test_f03_an_unknown_header_is_refused_whole_with_what_was_found_and_no_line_is_judged(ready: Post) -> None:
    rows = simple([{}])
    rows[-2] = [f"Colonne {number}" for number in range(len(rows[-2]))]
    report = ready.receive(ON, "B1.xlsx", write_xlsx([Plan(rows)]), CAISSE, accepted=False)
    assert (report.decision, report.reasons) == ("rejected", ["bordereau.FL6"])
    assert "il manque « Protocole », « Montant », « Date »" in str(report.message)
    assert reconciling.proposed(ready.hub) == {}


def test_f04_totals_rows_are_no_lines_and_one_that_is_wrong_is_asked_about(ready: Post) -> None:
    rows = simple([{}, {"day": "2024-04-03"}, {"day": "2024-04-04"}])
    width, amount = len(rows[-4]), rows[-4].index("Montant")
    totals = {2: "50,00", 3: "75,00"}
    written = rows[:-3]
    for number, row in enumerate(rows[-3:], 1):
        written.append(row)
        if number in totals:
            written.append(["Sous-total" if number == 2 else "Total", *[None] * (width - 1)])
            written[-1][amount] = totals[number]
    ready.receive(ON, "B1.csv", write_csv(written), CAISSE)
    found = now(ready)
    assert seen(found) == [("PAY", set())] * 3
    assert told(found, "B1", None) == set()
    ready.receive(
        ON, "B2.csv", write_csv([*written[:-1], [*written[-1][:amount], "80,00", *written[-1][amount + 1 :]]]), CAISSE
    )
    assert told(now(ready), "B2", None) == {"A03 ADJUST"}


def test_f05_a_hidden_sheet_is_not_read_and_the_bordereau_is_asked_about(ready: Post) -> None:
    rows = simple([{"ref": "r1"}])
    twelve = simple([{"ref": f"h{number}"} for number in range(12)])
    hidden = Plan(twelve, name="Feuil1", hidden=True)
    ready.receive(ON, "B1.xlsx", write_xlsx([Plan(rows), hidden]), CAISSE)
    assert seen(now(ready)) == [("ASK", {"B04 ASK"})]


def test_f11_a_patient_in_a_comment_keeps_the_file_out_and_its_value_is_nowhere_but_in_the_kept_bytes(
    ready: Post, capfd: pytest.CaptureFixture[str]
) -> None:
    number = nir()
    rows = simple([{}])
    rows[-2].append("Observations")
    rows[-1].append(f"Clothilde {number}")
    report = ready.receive(ON, "B1.csv", write_csv(rows), CAISSE, accepted=False)
    assert (report.decision, report.reasons) == ("rejected", ["bordereau.FL7"])
    assert reconciling.proposed(ready.hub) == {}
    shutil.rmtree(ready.folder)
    texts = [report.message or "", *capfd.readouterr(), *map(str, (event.data for event in ready.hub.log.read()))]
    texts += [path.read_bytes().decode("latin-1") for path in ready.hub.settings.home.rglob("*") if path.is_file()]
    assert [text for text in texts if number in text or "Clothilde" in text] == [], "kept bytes are compressed"
