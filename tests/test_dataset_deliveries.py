"""References, payments and declarations through the pipeline: the door, the gate, what is kept, what stands, who waives."""

import json
import signal
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from bordereaux import lines
from conftest import Ecluse, Export, Jobs

from checks.dataset_facts import facts_of
from connectors import synthetic_references as synthetic
from connectors.synthetic_bordereaux import Plan, rows_of, write_csv, write_xlsx
from contracts_schema.datasets import datasets, schema
from flows import arrivals, building, decisions, deliveries, difference, state
from flows.deliveries import Report
from flows.hub import Hub, WrongUsage, open_hub
from warehouse.log import Event

UNTIL = date(2026, 6, 30)


def put(folder: Path, name: str, content: bytes | str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def ingest(hub: Hub, path: Path) -> Report:
    [found], refused = deliveries.find([path])
    assert not refused
    return deliveries.ingest(hub, found)


def decided(hub: Hub, report: Report) -> Event:
    found = deliveries.decision(hub, str(report.scope), str(report.delivery_id))
    assert found
    return found


def structures(numbers: Sequence[int], name: str = "CPTS") -> str:
    return "SIRET;Nom;Type\n" + "".join(f"{synthetic.siret(number)};{name} {number};CPTS\n" for number in numbers)


def test_files_are_routed_by_what_they_hold_and_not_by_their_names(ecluse: Ecluse, export: Export, tmp_path: Path) -> None:
    folder = export().parent
    put(folder, "a.csv", structures(range(1, 4)))
    put(folder, "b.csv", write_csv(rows_of(lines({}))))
    put(folder, "c.txt", synthetic.attachments())
    put(folder, "d.txt", "rien d'utile\n")
    rows = [["SIRET", "Année", "Patients pris en charge"], [synthetic.siret(1), "2023", "12"]]
    put(folder, "e.xlsx", write_xlsx([Plan(rows)]))
    said = ecluse("ingest", folder, "--caisse", "311", "--json")
    assert said.code == 0, said.out
    scopes = [one["scope"] for one in said.json["deliveries"]]
    assert [scopes[0].partition("/")[0], scopes[1].partition("/")[0]] == ["pmsi", "bordereau"]
    assert sorted(scopes[2:]) == sorted(datasets()[name].scope for name in ("attachments", "indicators", "structures")), (
        "what is about the whole country has no column in its scope"
    )
    assert said.json["passed_over"] == ["d.txt"]
    assert {one["status"] for one in said.json["deliveries"]} == {"accepted"}


def test_a_delivery_replaces_the_head_whole_and_the_rows_are_typed(hub: Hub, tmp_path: Path) -> None:
    first = ingest(hub, put(tmp_path, "a.csv", structures(range(1, 11))))
    second = ingest(hub, put(tmp_path, "b.csv", structures(range(2, 12))))
    assert (first.scope, second.scope, second.status) == ("reference/structures", "reference/structures", "accepted")
    [head] = deliveries.heads(hub).values()
    assert (head.delivery_id, head.rows, list(head.tables)) == (second.delivery_id, 10, ["dataset_structures"])
    rows = pl.read_parquet(hub.blobs.segment_path(head.tables["dataset_structures"]))
    assert rows.schema == schema(datasets()["structures"])
    assert facts_of("structures", rows)["structure"].height == 10
    assert ingest(hub, tmp_path / "a.csv").status == "already_known"
    decisions.withdraw(hub, str(second.delivery_id), "liste d'essai")
    assert [one.delivery_id for one in deliveries.heads(hub).values()] == [first.delivery_id]
    found = building.query(hub, "select count(*) as n from segment_dataset_structures")
    assert found["n"].to_list() == [10]


def test_a_file_that_loses_too_many_rows_is_held_until_a_waiver(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    ingest(hub, put(tmp_path, "a.csv", structures(range(1, 11))))
    short = ingest(hub, put(tmp_path, "b.csv", structures(range(1, 6))))
    assert (short.status, short.reasons) == ("held", ["dataset.shrunken"])
    assert str(short.delivery_id)[:8] in ecluse("status").out
    assert decisions.waive(hub, str(short.delivery_id), "structures fermées", UNTIL).status == "accepted"
    assert [head.rows for head in deliveries.heads(hub).values()] == [5]
    answer = difference.difference(hub, 2, hub.log.head()[0])
    [scope] = answer["scopes"]
    assert [(table["before"], table["after"], table["removed"]) for table in scope["tables"]] == [(10, 5, 5)]
    assert ecluse("diff", "--scope", "reference/structures").code == 0


def test_a_bad_row_is_set_aside_and_its_sender_told_where(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    text = structures(range(1, 100)) + "12;Trop court;CPTS\n"
    report = ingest(hub, put(tmp_path, "a.csv", text))
    assert (report.status, report.rows_in, report.rows_accepted, report.rows_quarantined) == ("accepted", 100, 99, 1)
    [line] = deliveries.set_aside(hub, decided(hub, report).data).to_dicts()
    assert (line["family"], line["line_number"], line["rule"]) == ("structures", 101, "dataset.invalid_value")
    told = ecluse("reject-report", str(report.delivery_id)[:8]).out
    assert "a.csv, ligne 101" in told
    assert "Trop court" not in told


def test_a_file_without_one_good_row_is_refused(hub: Hub, tmp_path: Path) -> None:
    report = ingest(hub, put(tmp_path, "a.csv", "SIRET;Nom;Type\n"))
    assert (report.status, report.reasons) == ("rejected", ["dataset.no_row"])
    assert deliveries.heads(hub) == {}


def test_of_a_personal_layout_only_the_columns_of_the_contract_are_kept(hub: Hub, tmp_path: Path) -> None:
    content = b"".join(synthetic.annuaire(20))
    cells = {cell for line in content.decode().splitlines()[1:] for cell in line.split("|") if "@" in cell}
    assert cells
    path = put(tmp_path, "annuaire.txt", content)
    report = ingest(hub, path)
    assert report.status == "accepted", report
    data = decided(hub, report).data
    assert data["reduced"]
    with hub.blobs.open_raw(data["received"][0]["sha256"]) as raw:
        stored = raw.read().decode()
    table = pl.read_parquet(hub.blobs.segment_path(data["tables"]["dataset_professionals"])).write_ndjson()
    assert not [cell for cell in cells if cell in stored + table + json.dumps(data)]
    assert ingest(hub, path).status == "already_known"
    assert state.verify(hub)["sound"]


def test_restricted_datasets_are_closed_to_queries(hub: Hub, tmp_path: Path) -> None:
    text = "Caisse;Clé patient;RPPS;Jour;Nature\nC01;planted-key;99900000011;2024-04-03;ordinaire\n"
    report = ingest(hub, put(tmp_path, "a.csv", text))
    assert (report.status, report.scope) == ("accepted", "restricted/common_law/C01")
    assert list(decided(hub, report).data["tables"]) == ["restricted_dataset_common_law"]
    with pytest.raises(WrongUsage, match="table inconnue"):
        building.query(hub, "select * from segment_restricted_dataset_common_law")
    assert "planted-key" not in json.dumps([event.data for event in hub.log.read()])


def test_an_older_extraction_sent_later_does_not_displace_a_newer_one(hub: Hub, tmp_path: Path) -> None:
    newer, older = (b"".join(synthetic.finess_et(30, day)) for day in (date(2026, 3, 1), date(2026, 1, 5)))
    first = ingest(hub, put(tmp_path, "mars.csv", newer))
    assert ingest(hub, put(tmp_path, "janvier.csv", older)).status == "accepted"
    assert [head.delivery_id for head in deliveries.heads(hub).values()] == [first.delivery_id]


def test_a_file_of_two_scopes_is_refused_at_the_door(hub: Hub, tmp_path: Path) -> None:
    payments = "N° de paiement;Caisse;SIRET;Ligne;Montant payé;Payé le\nP1;C01;99900001100018;;25,00;03/10/2022\n"
    report = ingest(hub, put(tmp_path, "a.csv", payments + "P2;C02;99900001100018;;25,00;03/10/2022\n"))
    assert (report.status, report.reasons, hub.log.head()[0]) == ("rejected", ["dataset.scope_unclear"], 0)


def test_killed_at_any_numbered_point_a_dataset_ends_in_the_same_single_decision(
    jobs: Jobs, home: Path, tmp_path: Path
) -> None:
    path, trace = put(tmp_path, "a.csv", structures(range(1, 11))), tmp_path / "trace"
    deliveries.ingest(open_hub(home), arrivals.gather([put(tmp_path, "b.csv", structures(range(2, 11)))])[0][0])
    kept = {found: found.read_bytes() for found in home.rglob("*") if found.is_file()}
    command: list[list[object]] = [["--home", home, "ingest", path]]
    assert jobs(command, ECLUSE_CRASH_TRACE=str(trace)) == [0]
    whole = [(event.type, event.data) for event in open_hub(home).log.read()]
    last = {name: number for number, name in enumerate(trace.read_text().split(), start=1)}
    for number in last.values():
        for found in home.rglob("*"):
            if found.is_file() and found not in kept:
                found.unlink()
        for found, content in kept.items():
            found.write_bytes(content)
        assert jobs(command, ECLUSE_CRASH_AT=str(number)) == [-signal.SIGKILL]
        assert jobs(command, ECLUSE_CRASH_AT="") == [0]
        assert [(event.type, event.data) for event in open_hub(home).log.read()] == whole
        assert state.verify(open_hub(home))["sound"]
