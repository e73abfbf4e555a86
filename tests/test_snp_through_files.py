"""Every scenario again, from files: written, ingested on their days, judged as of each decision from what the log then knew."""

import random
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bordereaux import nir
from snp_facts import SPEC
from snp_files import CAISSE, CPAM, Post, copied, founded, header_cells, known, line_cells, played, sendable, written
from test_snp_scenarios import told

from checks.snp.product import MONEY
from checks.snp.reconcile import Reconciliation
from connectors.synthetic_bordereaux import (
    COLUMNS,
    DEFECTS,
    Cell,
    Plan,
    rows_of,
    sample_lines,
    spoil,
    write_csv,
    write_ods,
    write_xlsx,
)
from flows import decisions, deliveries, law, line_decisions, reconciling
from flows.deliveries import Report
from flows.line_decisions import Wanted
from flows.reconciling import Moment

PARTS = [name for name in MONEY if name not in ("claimed_cents", "paid_cents", "difference_cents")]
SCENARIOS = {scenario["id"]: scenario for scenario in SPEC["scenarios"]}
SHORT = (
    "S01 S03 S05 S08 S09 S12 S16 S19 S23 S30 S33 S34 S35 S36 S38 S40 S42 S43 S46 S48 S51 S55 S57 S58 S59 "
    "F06 F12 F14 F18 F19 F20"
)
"""Those that no other one resembles as files: all are run by ``make soak``, from facts by every suite."""


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


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in SHORT else pytest.mark.soak) for name in SCENARIOS])
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


# --- bordereaux that replace, and come back


def test_decisions_follow_their_lines_into_the_bordereau_that_replaces_and_back_when_it_is_withdrawn(ready: Post) -> None:
    two = [{"ref": "r1"}, {"ref": "r2", "day": "2024-04-03", "wrong_digit": True}]
    ready.receive(ON, "B1.csv", write_csv(simple(two)), CAISSE)
    first = {row["line_number"]: row["line_id"] for row in lines(ready).iter_rows(named=True)}
    assert decide(ready, first[1], "reject") == decide(ready, first[2], "hold") == "taken"
    corrected = [{"ref": "r0", "day": "2024-04-08"}, two[0], two[1] | {"wrong_digit": False}]
    again = ready.receive("2024-07-10", "B2.csv", write_csv(simple(corrected, replaces="B1.csv")), CAISSE)
    assert holds(ready) == [
        ("B1", 1, first[1], "reject", False), ("B1", 2, first[2], "hold", False), ("B2", 2, first[1], "reject", True),
        ("B2", 3, first[2], "hold", True),
    ]  # fmt: skip
    changed = lines(ready).filter(pl.col("live"), decision="hold").row(0, named=True)
    assert (changed["proposed_outcome"], changed["contradicted"]) == ("PAY", True), "what was asked is answered"
    replaced = ready.hub.log.head()[0]
    decisions.withdraw(ready.hub, str(again.delivery_id), "envoyé par erreur")
    assert holds(ready) == [("B1", 1, first[1], "reject", True), ("B1", 2, first[2], "hold", True)]
    assert [bordereau for bordereau, *_, live in holds(ready, replaced) if live] == ["B2", "B2"], "the past stays as it was"
    proposed = reconciling.proposed(ready.hub)
    assert {line: one.live for line, one in proposed.items()} == dict.fromkeys(first.values(), True)


def lines(made: Post, until: int | None = None) -> pl.DataFrame:
    return reconciling.rows(made.hub, reconciling.LINE, until)


def holds(made: Post, until: int | None = None) -> list[tuple[Any, ...]]:
    """Lines on which someone decided: bordereau, number, line, decision, and whether it is in force."""
    files = {Path(path).stem: row for path, row in files_of(made).items()}
    found = lines(made, until).drop_nulls("decision").select("bordereau_id", "line_number", "line_id", "decision", "live")
    named = {bordereau: stem for stem, bordereau in files.items()}
    return sorted((named[row[0]], *row[1:]) for row in found.iter_rows())


def files_of(made: Post) -> dict[str, str]:
    """The id of each bordereau ever accepted, by the name of its file."""
    events = made.hub.log.read(types={"DeliveryAccepted"}, under="bordereau/")
    return {event.data["received"][0]["name"]: event.stream.removeprefix("bordereau/") for event in events}


def decide(made: Post, line: str, decision: str) -> str:
    [answer] = line_decisions.decide(made.hub, [Wanted(line, decision, "vu")], reconciling.proposed(made.hub))
    return answer.status


# --- whatever is written (R8, R17)


def spoiled(seed: int, count: int = 60) -> list[dict[str, Any]]:
    """Lines of the second quarter of 2024, one in three with a defect; none of a date, which is in doubt among dates that are
    cells of dates, and a CSV has none of those.
    """
    draw = random.Random(seed)
    defects = sorted(DEFECTS.keys() - {"two_digit_year", "impossible_day"})
    sound = sample_lines(count, seed, date(2024, 4, 1), 91)
    chosen = draw.sample(range(count), count // 3)
    return spoil(sound, {place: draw.choice(defects) for place in chosen})


def top() -> dict[str, Any]:
    scenario = SCENARIOS["S52"]
    return header_cells(scenario, scenario["bordereaux"][0], [{"amount": 0}]) | {"total": "1,00", "sender": "la structure"}


def cents_are_conserved(made: Post) -> None:
    found = {name: reconciling.rows(made.hub, f"out_cpam__bordereau{name}") for name in ("_line", "", "_structure")}
    read = found_lines(made)["amount_cents"].fill_null(0).sum()
    for rows in found.values():
        assert rows.select((pl.col("claimed_cents") == pl.sum_horizontal(PARTS)).all()).item()
        assert rows["claimed_cents"].sum() == read
    for name in MONEY:
        assert len({rows[name].sum() for rows in found.values()}) == 1, name


def judged_by_ref(made: Post) -> dict[str, tuple[str, int]]:
    told = lines(made).join(found_lines(made).select("line_id", "ref"), on="line_id")
    return {ref: (outcome, cents) for ref, outcome, cents in told.select("ref", "outcome", "payable_cents").iter_rows()}


def read_alike(template: Path, folder: Path, seed: int) -> None:
    """The same lines: as XLSX; shuffled with moved columns as ODS; as CSV of Windows. Judged alike, and conserved."""
    content = spoiled(seed)
    shuffled = random.Random(seed).sample(content, len(content))
    moved = sorted(name for name in COLUMNS if name in content[0])
    plain = [line | {"amount": line["amount"].text if isinstance(line["amount"], Cell) else line["amount"]} for line in content]
    files = {
        "a.xlsx": write_xlsx([Plan(rows_of(content, top()))]),
        "b.ods": write_ods([Plan(rows_of(shuffled, top(), moved))]),
        "c.csv": write_csv(rows_of(plain, top()), encoding="cp1252", newline="\n"),
    }
    scenario = SCENARIOS["S52"]
    [(exported, declared)] = known(scenario, scenario["decisions"][0]).items()
    seen = []
    for name, sent in files.items():
        made = copied(template, folder / name.partition(".")[0])
        made.receive(ON, exported, declared)
        made.receive(ON, name, sent, CAISSE)
        cents_are_conserved(made)
        seen.append(judged_by_ref(made))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == len(content)
    assert len({outcome for outcome, _ in seen[0].values()}) > 2


def test_the_same_lines_are_judged_alike_whatever_the_file_and_every_cent_is_in_one_place(
    template: Path, tmp_path: Path
) -> None:
    read_alike(template, tmp_path, 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 42))
def test_many_bordereaux_are_judged_alike_whatever_the_file(template: Path, tmp_path: Path, seed: int) -> None:
    read_alike(template, tmp_path, seed)
