"""Decisions: what waits, who lets it in and until when, what is judged again; who has not sent what, what senders are told."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Ecluse, Export, the

from checks.deliveries import limits
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_damage import damage
from connectors.synthetic_families import transmission, write_archive, write_files
from contracts_schema.layouts import layout
from contracts_schema.products import VIEWS, products
from contracts_schema.rules import catalogue
from flows import building, decisions, deliveries, expected, explanation, gate, publication
from flows.deliveries import Report
from flows.hub import CONFIG, Hub, WrongUsage, open_hub, parse_instant
from warehouse.log import Event

PROJECT = Path(__file__).parent.parent
FINESS, OTHER, THIRD = (fictional_finess(number=number) for number in (1, 2, 3))
SCOPE = f"pmsi/mco/{FINESS}/2025"
TODAY = date(2026, 3, 31)
"""The day of the tests' clock."""
UNTIL = date(2026, 6, 30)


def lines(months: int = 2, finess: str = FINESS, stays: int = 30, version: str = "229", year: int = 2025) -> list[bytes]:
    recipe = Recipe(finess, year, months, stays, 1, version, changed=0.0, vanished=0.0, late=0.0)
    return transmission(recipe)["rsa"].split(b"\r\n")[:-1]


def rsa(folder: Path, content: list[bytes], month: int = 2, finess: str = FINESS) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{finess}.2025.{month}.rsa"
    path.write_bytes(b"".join(line + b"\r\n" for line in content))
    return path


def ingest(hub: Hub, path: Path) -> Report:
    return deliveries.ingest(hub, the(path))


def held(hub: Hub, folder: Path) -> Report:
    """A transmission that waits: half of its lines are of another establishment."""
    return ingest(hub, rsa(folder, damage(lines(), dict.fromkeys(range(0, 60, 2), "other_finess"))))


def standing(hub: Hub) -> str | None:
    heads = deliveries.heads(hub)
    return heads[SCOPE].delivery_id if heads else None


def log(hub: Hub) -> list[Event]:
    return list(hub.log.read())


# --- what waits -------------------------------------------------------------------------------------------------------

WAITING: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "an empty file": (list, "pmsi.empty"),
    "blank lines only": (lambda: [b"", b"   ", b"\t"], "pmsi.empty"),
    "a third fewer stays": (lambda: lines(stays=20), "pmsi.shrunken"),
    "too many bad lines": (lambda: damage(lines(), dict.fromkeys((3, 9, 20, 40), "month_13")), "pmsi.quarantine_rate"),
    "a format not seen yet": (lambda: damage(lines(), dict.fromkeys(range(60), "unknown_format")), "pmsi.new_format"),
    "another establishment's file": (lambda: lines(finess=OTHER), "pmsi.finess_file"),
    "another year's file": (lambda: lines(year=2024), "pmsi.year_file"),
    "another month's file": (lambda: lines(months=3), "pmsi.period_file"),
}


@pytest.mark.parametrize("kind", WAITING)
def test_what_cannot_be_trusted_waits_and_the_former_transmission_stands(hub: Hub, tmp_path: Path, kind: str) -> None:
    content, rule = WAITING[kind]
    former = ingest(hub, rsa(tmp_path / "a", lines(), month=2))
    report = ingest(hub, rsa(tmp_path / "b", content()))
    assert report.status == "held"
    assert rule in report.reasons
    assert {catalogue()[reason].outcome for reason in report.reasons} == {"hold"}
    assert standing(hub) == former.delivery_id
    assert building.query(hub, "select count(*) from core_pmsi__stay").item() == former.rows_accepted
    again = ingest(hub, rsa(tmp_path / "b", content()))
    assert (again.status, again.decision) == ("already_known", "held")
    following = ingest(hub, rsa(tmp_path / "c", lines(months=3), month=3))
    assert (following.status, standing(hub)) == ("accepted", following.delivery_id)


def test_a_small_loss_is_let_in_with_an_alert_and_a_gain_without(hub: Hub, tmp_path: Path) -> None:
    told = [ingest(hub, rsa(tmp_path, lines()[:count])) for count in (60, 57, 54, 59, 48, 38)]
    assert [(report.status, report.alerts or report.reasons) for report in told] == [
        ("accepted", []), ("accepted", []), ("accepted", ["pmsi.shrink"]), ("accepted", []),
        ("accepted", ["pmsi.shrink"]), ("held", ["pmsi.shrunken"]),
    ]  # fmt: skip


def test_up_to_half_of_the_exits_may_be_of_another_year_with_a_warning(hub: Hub, tmp_path: Path) -> None:
    def mixed(others: int) -> list[bytes]:
        return lines(year=2024)[:others] + lines()[others:]

    half, more = (ingest(hub, rsa(tmp_path / str(others), mixed(others))) for others in (30, 31))
    assert (half.status, half.rules["pmsi.out_of_period"]) == ("accepted", 30)
    assert (more.status, more.reasons) == ("held", ["pmsi.year_file"])
    assert building.query(hub, "select sum(stays + sessions) from out_ars__pmsi_activity").item() <= 30


def test_a_stay_without_month_of_exit_is_set_aside_and_no_published_key_is_empty(hub: Hub, tmp_path: Path) -> None:
    content = lines()
    at = layout("mco_rsa_229").field("exit_month").offset
    content[7] = content[7][:at] + b"  " + content[7][at + 2 :]
    report = ingest(hub, rsa(tmp_path, content))
    assert (report.status, report.rows_accepted, report.rules["pmsi.invalid_value"]) == ("accepted", 59, 1)
    [line] = deliveries.set_aside(hub, log(hub)[-1].data).to_dicts()
    assert (line["line_number"], line["fields"]) == (8, ["exit_month"])
    for product in products().values():
        for table in product.tables if product.made_by == VIEWS else ():
            empty = " or ".join(f"{key} is null" for key in table.keys)
            assert building.query(hub, f"select count(*) from {table.view} where {empty}").item() == 0


def test_an_empty_first_transmission_waits_too(hub: Hub, tmp_path: Path) -> None:
    assert ingest(hub, rsa(tmp_path, [])).reasons == ["pmsi.empty"]
    assert standing(hub) is None


# --- waivers ----------------------------------------------------------------------------------------------------------


def test_a_waiver_lets_a_held_transmission_in_and_says_who_why_and_until_when(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    former = ingest(hub, rsa(tmp_path / "a", lines()))
    waiting = held(hub, tmp_path / "b")
    said = ecluse(
        "--actor", "dim.nord", "waive", str(waiting.delivery_id)[:12], "--reason", " fusion confirmée ",
        "--until", "2026-06-30", "--reference", "courrier 12", "--json",
    )  # fmt: skip
    assert (said.code, said.json["status"]) == (0, "accepted")
    waiver, accepted = log(hub)[-2:]
    assert (waiver.type, waiver.meta["actor"]) == ("DecisionTaken", "dim.nord")
    assert {name: waiver.data[name] for name in ("kind", "subject", "value", "reason", "until", "reference")} == {
        "kind": "waiver", "subject": waiting.delivery_id, "value": ["pmsi.quarantine_rate", "pmsi.shrunken"],
        "reason": "fusion confirmée", "until": "2026-06-30", "reference": "courrier 12",
    }  # fmt: skip
    assert (accepted.type, accepted.meta["actor"], accepted.position) == ("DeliveryAccepted", "dim.nord", waiver.position + 1)
    assert (accepted.data["waiver"], accepted.data["waived"]) == (waiver.idempotency_key, waiver.data["value"])
    assert "held" not in accepted.data
    assert standing(hub) == waiting.delivery_id != former.delivery_id
    assert building.query(hub, "select count(*) from core_pmsi__stay").item() == 30


def test_only_what_waits_can_be_let_in_for_a_reason_and_until_a_day_to_come(hub: Hub, tmp_path: Path) -> None:
    accepted = ingest(hub, rsa(tmp_path / "a", lines()))
    waiting = held(hub, tmp_path / "b")
    sessions = [line[:9] + b"M64" + line[12:] for line in lines()]
    rejected = ingest(hub, rsa(tmp_path / "c", sessions))
    assert (rejected.status, rejected.reasons[0]) == ("rejected", "pmsi.wrong_family")
    before = log(hub)
    refused = [
        (accepted.delivery_id, "motif", UNTIL, "état : acceptée"),
        (rejected.delivery_id, "motif", UNTIL, "état : refusée"),
        (waiting.delivery_id, "motif", date(2026, 3, 30), "30/03/2026"),
        (waiting.delivery_id, " \n", UNTIL, "motif est nécessaire"),
        ("", "motif", UNTIL, "aucune livraison"),
        ("0000", "motif", UNTIL, "aucune livraison"),
    ]
    for delivery, reason, until, told in refused:
        with pytest.raises(WrongUsage, match=told):
            decisions.waive(hub, str(delivery), reason, until)
    assert log(hub) == before
    assert decisions.waive(hub, str(waiting.delivery_id), "motif", TODAY).status == "accepted"
    with pytest.raises(WrongUsage, match="état : acceptée"):
        decisions.waive(hub, str(waiting.delivery_id), "motif", TODAY)


def test_a_transmission_without_stays_cannot_be_let_in(hub: Hub, tmp_path: Path) -> None:
    files = transmission(Recipe(FINESS, 2025, 1, 20, 1))
    del files["rsa"]
    recipe = Recipe(FINESS, 2025, 1, 20, 1)
    report = ingest(hub, write_archive(tmp_path, recipe, "20250220101500", files=files))
    with pytest.raises(WrongUsage, match="sans fichier RSA"):
        decisions.waive(hub, str(report.delivery_id), "motif", UNTIL)
    assert len(log(hub)) == 2


def test_a_waiver_for_an_earlier_month_does_not_displace_a_later_one(hub: Hub, tmp_path: Path) -> None:
    waiting = held(hub, tmp_path / "a")
    march = ingest(hub, rsa(tmp_path / "b", lines(months=3), month=3))
    assert decisions.waive(hub, str(waiting.delivery_id), "motif", UNTIL).status == "accepted"
    assert standing(hub) == march.delivery_id


def test_the_alerts_of_a_waiver_are_those_of_what_stands_when_it_is_given(hub: Hub, tmp_path: Path) -> None:
    waiting = held(hub, tmp_path / "a")
    ingest(hub, rsa(tmp_path / "b", lines(months=3), month=3))
    report = decisions.waive(hub, str(waiting.delivery_id), "motif", UNTIL)
    assert (waiting.alerts, report.alerts) == ([], ["pmsi.late_month"])
    other = ingest(hub, rsa(tmp_path / "c", lines(months=4, finess=OTHER), month=4, finess=OTHER))
    late = ingest(hub, rsa(tmp_path / "d", damage(lines(finess=OTHER), dict.fromkeys(range(9), "month_13")), finess=OTHER))
    assert (late.status, late.alerts) == ("held", ["pmsi.late_month"])
    decisions.withdraw(hub, str(other.delivery_id), "essai")
    assert decisions.waive(hub, str(late.delivery_id), "motif", UNTIL).alerts == []
    assert log(hub)[-1].data["alerts"] == []


def test_a_waiver_and_the_acceptance_are_one_transaction(hub: Hub, tmp_path: Path) -> None:
    waiting = held(hub, tmp_path)
    before = log(hub)
    command = [sys.executable, "-m", "flows.cli", "--home", str(hub.settings.home), "waive", str(waiting.delivery_id),
               "--reason", "motif", "--until", UNTIL.isoformat()]  # fmt: skip

    def run(point: str) -> int:
        environment = os.environ | {"ECLUSE_CRASH_AT": point, "PYTHONPATH": str(PROJECT)}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    assert run("1") == -signal.SIGKILL  # just before the commit
    assert log(hub) == before
    assert standing(hub) is None
    assert run("2") == -signal.SIGKILL  # just after
    assert [event.type for event in log(hub)[2:]] == ["DecisionTaken", "DeliveryAccepted"]
    assert standing(hub) == waiting.delivery_id
    assert run("") == 2, "there is nothing left to waive"


# --- judged again -----------------------------------------------------------------------------------------------------


@pytest.fixture
def contracts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes the contracts: their fingerprint, and limits of deliveries in percent."""
    real = limits()

    def change(name: str, **percent: int) -> None:
        for module in (deliveries, decisions):
            monkeypatch.setattr(module, "fingerprint", lambda: name)
        monkeypatch.setattr("checks.deliveries.limits", lambda: real | percent)

    return change


INGEST = """
import sys
from pathlib import Path
from flows import deliveries
from flows.hub import open_hub
found, _ = deliveries.find([Path(sys.argv[2])])
for one in found:
    print(deliveries.ingest(open_hub(Path(sys.argv[1])), one).status)
"""


def ingested_before_format_229(hub: Hub, folder: Path, copy: Path) -> list[str]:
    """Ingest a folder in a process whose contracts are a copy of ours without that format; what became of its files."""
    shutil.copytree(PROJECT / "contracts_schema", copy / "contracts_schema", ignore=shutil.ignore_patterns("__pycache__"))
    layouts = copy / "contracts_schema" / "pmsi" / "layouts"
    (layouts / "mco_rsa_229.csv").unlink()
    index = (layouts / "INDEX.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (layouts / "INDEX.csv").write_text("".join(line for line in index if not line.startswith("mco_rsa_229")), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", INGEST, str(hub.settings.home), str(folder)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_layout_added_later_lets_kept_bytes_in_and_the_older_decisions_stay_in_the_log(hub: Hub, tmp_path: Path) -> None:
    mixed = lines(version="228")[:58] + lines(version="229")[58:]
    rsa(tmp_path / "in", mixed)
    rsa(tmp_path / "in", lines(months=3), month=3)
    assert ingested_before_format_229(hub, tmp_path / "in", tmp_path / "copy") == ["accepted", "held"]
    before = log(hub)
    mixed_before, whole_before = (event for event in before if event.type != "DeliveryReceived")
    assert mixed_before.data["families"]["rsa"]["quarantined"] == {"pmsi.unknown_format": 2}
    assert whole_before.data["reasons"] == ["pmsi.new_format", "pmsi.quarantine_rate", "pmsi.shrunken"]

    first, second = decisions.redecide(hub)
    assert [(report.status, report.rows_accepted) for report in (first, second)] == [("accepted", 60), ("accepted", 90)]
    assert log(hub)[: len(before)] == before
    after = log(hub)[len(before) :]
    assert [(event.type, event.data["delivery_id"]) for event in after] == [
        ("DeliveryAccepted", first.delivery_id), ("DeliveryAccepted", second.delivery_id),
    ]  # fmt: skip
    assert {event.data["basis"] for event in after}.isdisjoint(event.data["basis"] for event in (mixed_before, whole_before))
    old, new = (
        {row[0]: row[1:] for row in rows_of(hub, event.data["tables"]["pmsi_rsa"])} for event in (mixed_before, after[0])
    )
    assert old.items() <= new.items()
    assert set(new) - set(old) == {59, 60}
    assert standing(hub) == second.delivery_id
    at = log(hub)[: len(before)][-1].position
    assert deliveries.heads(hub, at)[SCOPE].delivery_id == first.delivery_id

    assert [report.status for report in decisions.redecide(hub)] == ["already_known"] * 2
    assert len(log(hub)) == len(before) + 2


def rows_of(hub: Hub, segment: str) -> list[tuple[Any, ...]]:
    """Line number, record number and zones of each row of a segment, whatever other columns it has."""
    rows = pl.read_parquet(hub.blobs.segment_path(segment))
    return rows.select("line_number", "record_number", "das_zone", "act_zone").rows()


def test_the_same_contracts_give_the_same_decision_and_no_event(hub: Hub, tmp_path: Path) -> None:
    ingest(hub, rsa(tmp_path / "a", lines()))
    held(hub, tmp_path / "b")
    before = log(hub)
    told = [(report.status, report.decision) for report in decisions.redecide(hub)]
    assert told == [("already_known", "accepted"), ("already_known", "held")]
    assert log(hub) == before


def test_an_accepted_transmission_that_is_refused_when_judged_again_no_longer_stands(
    hub: Hub, tmp_path: Path, contracts: Callable[..., None]
) -> None:
    january = ingest(hub, rsa(tmp_path / "a", lines(months=1), month=1))
    february = ingest(hub, rsa(tmp_path / "b", damage(lines(), {7: "month_13"})))
    assert standing(hub) == february.delivery_id
    published = publication.publish(hub)
    contracts("stricter", quarantine_percent=1)
    assert [report.status for report in decisions.redecide(hub)] == ["accepted", "held"]
    assert standing(hub) == january.delivery_id
    assert building.query(hub, "select count(*) from core_pmsi__stay").item() == january.rows_accepted
    [again] = publication.publish(hub)
    assert (again.status, again.number) == ("published", 2)
    assert again.position == hub.log.head()[0] - 1, "the receipt is the refusal that moved the head"
    assert again.rows["activity"] < published[0].rows["activity"]


def test_contracts_that_go_back_to_what_they_were_give_back_the_first_answer(
    hub: Hub, tmp_path: Path, contracts: Callable[..., None]
) -> None:
    report = ingest(hub, rsa(tmp_path, damage(lines(), {7: "month_13"})))
    told = []
    for name, percent in (("stricter", 1), ("as before", 5), ("stricter", 1), ("as before", 5)):
        contracts(name, quarantine_percent=percent)
        told += [(found.status, standing(hub)) for found in decisions.redecide(hub, str(report.delivery_id))]
        assert [found.status for found in decisions.redecide(hub)] == ["already_known"]
    assert told == [("held", None), ("accepted", report.delivery_id)] * 2


def test_a_waiver_holds_until_its_day_and_no_longer(hub: Hub, tmp_path: Path, contracts: Callable[..., None]) -> None:
    waiting = held(hub, tmp_path)
    decisions.waive(hub, str(waiting.delivery_id), "motif", UNTIL)

    def judged_again(instant: str, basis: str) -> tuple[str, str | None, bool]:
        contracts(basis)
        at = replace(hub, clock=lambda: parse_instant(instant))
        [report] = decisions.redecide(at)
        return report.status, report.decision, standing(hub) is not None

    assert judged_again("2026-06-30T23:59", "second") == ("accepted", "accepted", True)
    assert "waiver" in log(hub)[-1].data
    assert judged_again("2026-07-01T00:00", "second") == ("already_known", "accepted", True)
    assert judged_again("2026-07-01T00:00", "third") == ("held", "held", False)


def test_a_waiver_covers_the_rules_that_it_names_and_no_other(hub: Hub, tmp_path: Path, contracts: Callable[..., None]) -> None:
    ingest(hub, rsa(tmp_path / "a", lines()))
    waiting = ingest(hub, rsa(tmp_path / "b", damage(lines(), dict.fromkeys(range(6), "month_13"))))
    assert waiting.reasons == ["pmsi.quarantine_rate"]
    decisions.waive(hub, str(waiting.delivery_id), "motif", UNTIL)
    contracts("stricter", shrink_hold_percent=8)
    report = decisions.redecide(hub, str(waiting.delivery_id))[0]
    assert (report.status, report.reasons) == ("held", ["pmsi.quarantine_rate", "pmsi.shrunken"])


def test_a_withdrawn_transmission_is_never_judged_again_even_when_it_is_withdrawn_meanwhile(
    hub: Hub, tmp_path: Path, contracts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = ingest(hub, rsa(tmp_path, lines()))
    judged = gate.gate

    def overtaken(*arguments: Any) -> Any:
        decisions.withdraw(hub, str(report.delivery_id), "essai")
        return judged(*arguments)

    monkeypatch.setattr(gate, "gate", overtaken)
    contracts("second")
    for _ in range(2):
        [again] = decisions.redecide(hub)
        assert (again.status, again.decision) == ("already_known", "withdrawn")
    assert standing(hub) is None


# --- who has not sent what --------------------------------------------------------------------------------------------


def test_each_establishment_is_told_month_by_month_and_those_of_the_list_even_when_nothing_came(
    hub: Hub, ecluse: Ecluse, tmp_path: Path
) -> None:
    ingest(hub, rsa(tmp_path / "a", lines(months=1), month=1))
    held(hub, tmp_path / "b")
    withdrawn = ingest(hub, rsa(tmp_path / "c", lines(months=3), month=3))
    decisions.withdraw(hub, str(withdrawn.delivery_id), "essai")
    before = hub.log.head()[0]
    ingest(hub, rsa(tmp_path / "d", lines(months=4, finess=OTHER), month=4, finess=OTHER))
    config = hub.settings.home / CONFIG
    config.write_text(f'expected = ["{THIRD}", "{OTHER}"]\n' + config.read_text(encoding="utf-8"), encoding="utf-8")
    said = ecluse("missing", "--year", "2025", "--month", "4", "--json")
    assert said.code == 1
    answer = said.json
    assert (answer["year"], answer["month"], answer["missing"]) == (2025, 4, 2)
    assert {row["finess"]: (row["covered"], list(row["months"].values())) for row in answer["establishments"]} == {
        FINESS: (False, ["accepted", "held", "withdrawn", "missing"]),
        OTHER: (True, ["missing", "missing", "missing", "accepted"]),
        THIRD: (False, ["missing"] * 4),
    }
    earlier = ecluse("missing", "--year", "2025", "--month", "4", "--as-of", before, "--json").json
    assert {row["finess"]: row["covered"] for row in earlier["establishments"]} == dict.fromkeys((FINESS, OTHER, THIRD), False)
    shown = ecluse("missing", "--year", "2025", "--month", "4")
    assert (shown.code, "2 établissements en retard sur 3" in shown.out) == (1, True)


def test_an_ars_says_who_is_to_transmit_from_which_month_until_when(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    files = transmission(Recipe(FINESS, 2025, 4, 10, 1)) | {"tra": b"\r\n"}
    del files["ano"]
    ingest(hub, write_archive(tmp_path, Recipe(FINESS, 2025, 4, 10, 1), "20250520101500", files=files))
    ingest(hub, rsa(tmp_path / "closed", lines(months=2, finess=OTHER), finess=OTHER))
    before = hub.log.head()[0]
    assert [row["expected_by"] for row in expected.missing(hub, 2025, 6)["establishments"]] == ["received"] * 2
    table = tmp_path / "attendus.csv"
    table.write_text(
        "Région;FINESS;Champ;Début;Fin exclue\n"
        f"99;{FINESS};MCO;;\n99;{OTHER};mco;;01/03/2025\n99;{THIRD};MCO;15/05/2025;\n99;{fictional_finess(number=4)};SMR;;\n",
        encoding="utf-8",
    )
    assert deliveries.ingest(hub, deliveries.find([table])[0][0]).status == "accepted"
    answer = expected.missing(hub, 2025, 6)
    told = {row["finess"]: row for row in answer["establishments"]}
    assert answer["missing"] == 2
    assert {finess: (row["covered"], row["lacking"]) for finess, row in told.items()} == {
        FINESS: (False, ["ano", "tra"]), OTHER: (True, ["ano", "med", "dmip", "ium", "tra"]), THIRD: (False, []),
    }  # fmt: skip
    assert {row["expected_by"] for row in told.values()} == {"list"}
    states = {finess: list(row["months"].values()) for finess, row in told.items()}
    assert states[OTHER] == ["missing", "accepted", *["not_expected"] * 4]
    assert states[THIRD] == [*["not_expected"] * 4, "missing", "missing"]
    assert OTHER not in {row["finess"] for row in expected.missing(hub, 2026, 3)["establishments"]}, "it has closed"
    assert expected.missing(hub, 2025, 6, before) == expected.missing(open_hub(hub.settings.home), 2025, 6, before) != answer
    shown = ecluse("missing", "--year", "2025", "--month", "12", "--as-of", hub.log.head()[0]).out
    assert "liste   ano, tra" in shown


def test_nothing_missing_is_told_with_code_0(ecluse: Ecluse, hub: Hub, tmp_path: Path) -> None:
    ingest(hub, rsa(tmp_path, lines(months=4), month=4))
    codes = [ecluse("missing", "--year", "2025", "--month", month).code for month in (3, 4, 5, 13)]
    assert codes == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("now", "year", "month"),
    [("2026-03-31", 2026, 2), ("2026-02-01", 2026, 1), ("2026-01-15", 2025, 12), ("2025-12-31T23:59", 2025, 11)],
)
def test_by_default_the_last_month_that_has_ended_is_asked(hub: Hub, now: str, year: int, month: int) -> None:
    answer = expected.missing(replace(hub, clock=lambda: parse_instant(now)))
    assert (answer["year"], answer["month"]) == (year, month)
    whole = expected.missing(replace(hub, clock=lambda: parse_instant(now)), year=2024)
    assert (whole["year"], whole["month"]) == (2024, 12)


# --- what senders are told --------------------------------------------------------------------------------------------


def test_the_reject_report_names_files_lines_rules_and_fields_and_no_value(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    recipe = Recipe(FINESS, 2025, 2, 30, 1, changed=0.0, vanished=0.0, late=0.0)
    files = transmission(recipe)
    content = damage(
        files["rsa"].split(b"\r\n")[:-1], {3: "age_a5", 10: "same_line_twice", 20: "cut_in_variable_part", 30: "month_13"}
    )
    tra = files["tra"].split(b"\r\n")
    tra[6] = tra[6].replace(b";", b"|")
    files |= {"rsa": b"\r\n".join(content), "tra": b"\r\n".join(tra)}
    report = ingest(hub, write_archive(tmp_path, recipe, "20250320101500", files=files))
    assert report.status == "held"
    output = tmp_path / "rejets.csv"
    said = ecluse("reject-report", str(report.delivery_id)[:10], "--output", output)
    assert said.code == 0
    with output.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";", strict=True))
    assert output.read_bytes().startswith(b"\xef\xbb\xbf")
    named = f"{FINESS}.2025.02"
    assert [(row["fichier"], row["ligne"], row["regle"], row["champs"]) for row in rows] == [
        (report.files[0]["name"], "", "pmsi.quarantine_rate", ""),
        (f"{named}.rsa", "4", "pmsi.invalid_value", "age_years"),
        (f"{named}.rsa", "12", "pmsi.duplicate_record", "record_number:identical"),
        (f"{named}.rsa", "22", "pmsi.line_length", ""),
        (f"{named}.rsa", "32", "pmsi.invalid_value", "exit_month"),
        (f"{named}.tra.txt", "7", "pmsi.line_length", ""),
    ]
    assert [row["libelle"] for row in rows] == [catalogue()[row["regle"]].label_fr for row in rows]
    told = output.read_text(encoding="utf-8") + said.out + ecluse("reject-report", report.delivery_id, "--json").out
    pieces = {line[at : at + 9].decode() for line in (content[3], content[11], content[21], tra[6]) for at in range(12, 80)}
    assert [piece for piece in pieces if " " not in piece and piece in told] == []
    assert "A5" not in told
    position = hub.log.head()[0]
    decisions.waive(hub, str(report.delivery_id), "essai", UNTIL)
    assert len(expected.reject_report(hub, str(report.delivery_id))) == 5, "it is held no more"
    then = ecluse("reject-report", report.delivery_id, "--as-of", position, "--json").json["lines"]
    assert [row["regle"] for row in then] == [row["regle"] for row in rows]
    decisions.withdraw(hub, str(report.delivery_id), "essai")
    [aside] = explanation.quarantine(hub, delivery=str(report.delivery_id))
    assert (aside.status, aside.lines.height, explanation.quarantine(hub)) == ("withdrawn", 5, [])


def test_a_transmission_without_fault_has_an_empty_reject_report(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    report = ingest(hub, write_files(tmp_path / "a", Recipe(FINESS, 2025, 1, 20, 1))[0])
    assert expected.reject_report(hub, str(report.delivery_id)) == []
    assert "Rien à dire à l'émetteur" in ecluse("reject-report", report.delivery_id).out
    with pytest.raises(WrongUsage, match="aucune livraison"):
        expected.reject_report(open_hub(hub.settings.home), "ffff")


def test_no_waiver_lets_in_a_delivery_of_which_no_line_is_accepted(hub: Hub, ecluse: Ecluse, export: Export) -> None:
    ecluse("ingest", export(months=1))
    foreign = export(number=2, months=2, name=f"{fictional_finess(number=1)}.2025.2.rsa")
    [held] = ecluse("ingest", foreign, "--json").json["deliveries"]
    assert (held["status"], held["rows_accepted"]) == ("held", 0)
    said = ecluse("waive", held["delivery_id"], "--reason", "essai", "--until", "2099-12-31")
    assert (said.code, "aucune de ses lignes n'est acceptée" in said.err) == (2, True)
    [head] = deliveries.heads(hub).values()
    assert head.period == 1


def test_a_waiver_is_seen_wherever_its_delivery_is(ecluse: Ecluse, export: Export) -> None:
    ecluse("ingest", export(months=1, stays=100))
    [held] = ecluse("ingest", export(months=2, stays=20), "--json").json["deliveries"]
    ecluse("--actor", "agent-7", "waive", held["delivery_id"], "--reason", "service fermé", "--until", "2099-12-31")
    ecluse("publish")
    assert "laissée entrer par dérogation" in ecluse("status").out
    told = ecluse("explain", "ars-99/pmsi-activity", "activity", f"finess={fictional_finess(number=1)}", "exit_year=2025",
                  "exit_month=2").out  # fmt: skip
    assert "laissé entrer par agent-7" in told
    assert "jusqu'au 2099-12-31) : service fermé" in told
    assert "malgré : beaucoup moins de lignes" in told
