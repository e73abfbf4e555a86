"""Workbooks of contracts taken in by groups: the same events as one by one, whatever a group holds and wherever it stops."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.ecars import read_ecars
from connectors.synthetic import fictional_finess
from connectors.synthetic_ecars import sample_contract, workbook
from contracts_schema.cpom_frames import schema
from flows import deliveries, ecars_segments, together
from flows.arrivals import Arrival
from flows.deliveries import Report, all_heads
from flows.hub import Hub, init_hub, open_hub
from warehouse.heads import Head
from warehouse.log import NewEvent, VersionConflict

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
JULY = datetime(2025, 7, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four workbooks, one of them under two names, one with a sheet missing, one that is no workbook any more."""
    folder = tmp_path_factory.mktemp("cpom")
    for number in range(1, 5):
        contract = sample_contract(number, finess_ej=fictional_finess(number=number), hpr=number == 2)
        (folder / f"{number}.xlsx").write_bytes(workbook(contract))
    (folder / "5.xlsx").write_bytes((folder / "1.xlsx").read_bytes())
    (folder / "6.csv").write_bytes(b"campagne;finess_ej\n2025;1\n")
    return sorted(folder.iterdir())


def made(folder: Path) -> Hub:
    init_hub(folder, recipients=["ars-99"], test=True)
    return replace(open_hub(folder, "tests"), clock=lambda: NOW)


def found(files: list[Path]) -> list[Arrival]:
    arrivals, refused = deliveries.find(files)
    assert not refused
    return arrivals


def in_groups(hub: Hub, files: list[Path]) -> dict[str, Report]:
    """By the name of each file."""
    groups = list(together.groups(found(files)))
    assert len(groups) == 1, "they go together"
    reports = [report for group in groups for report in together.ingest(hub, group, JULY)]
    return {one.name: report for one, report in zip(groups[0], reports, strict=True)}


def events(hub: Hub) -> dict[str, tuple[Any, ...]]:
    """What the log says, without places in it."""
    return {
        event.idempotency_key: (event.stream, event.version, event.type, {**event.data, "reception": None, "received": None,
                                                                          "files": None})
        for event in hub.log.read()
    }  # fmt: skip


def test_a_group_is_decided_as_its_files_are_one_by_one(tmp_path: Path, files: list[Path]) -> None:
    alone, grouped = made(tmp_path / "alone"), made(tmp_path / "grouped")
    one_by_one = {one.name: deliveries.ingest(alone, one, JULY) for one in found(files)}
    reports = in_groups(grouped, files)
    assert [reports[f"{number}.xlsx"].status for number in range(1, 6)] == ["accepted"] * 4 + ["already_known"]
    assert (reports["6.csv"].status, reports["6.csv"].message) == ("rejected", one_by_one["6.csv"].message)
    assert reports == one_by_one
    assert events(grouped) == events(alone)
    causes = {event.position: event.meta.get("caused_by") for event in grouped.log.read(types={"DeliveryAccepted"})}
    assert causes == {head.position: head.data["reception"] for head in all_heads(grouped).values()}
    assert not grouped.log.verify()
    before = grouped.log.head()
    assert {report.status for report in in_groups(grouped, files).values()} == {"already_known"}
    assert grouped.log.head() == before, "the same bytes again change nothing"


@pytest.mark.parametrize("step", ["reception_of", "decision_of"])
def test_stopped_anywhere_the_same_group_ends_in_the_same_decisions(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    hub, work, calls = made(tmp_path / "hub"), getattr(deliveries, step), [0]

    def failing(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise MemoryError
        return work(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(deliveries, step, failing)
        with pytest.raises(MemoryError):
            in_groups(hub, files)
    assert not all_heads(hub), "no decision of the group without the others"
    reports = in_groups(hub, files)
    assert sorted(report.decision or "" for report in reports.values()) == ["accepted"] * 5 + ["rejected"]
    assert len(list(hub.log.read(types={"DeliveryAccepted"}))) == 4
    assert not list((tmp_path / "hub" / "store" / "tmp").iterdir()), "nothing half made stays"


def test_what_another_process_takes_in_meanwhile_is_decided_once(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, look = made(tmp_path / "hub"), together._new

    def meanwhile(here: Hub, group: list[Arrival]) -> Any:
        told = look(here, group)
        for one in group[1:3]:
            assert deliveries.ingest(hub, one).status == "accepted"  # received another day: the same fact told another way
        return told

    monkeypatch.setattr(together, "_new", meanwhile)
    reports = in_groups(hub, files)
    assert [reports[f"{number}.xlsx"].status for number in range(1, 5)] == [
        "accepted", "already_known", "already_known", "accepted",
    ]  # fmt: skip
    assert len(list(hub.log.read(types={"DeliveryAccepted"}))) == 4


def test_blobs_stored_together_have_their_names_all_at_once_or_not_at_all(tmp_path: Path) -> None:
    blobs = made(tmp_path / "hub").blobs
    with blobs.together():
        kept = [blobs.put_stream([f"{number}".encode()]) for number in range(6)]
        assert not any(blobs.exists("raw", one.sha256) for one in kept)
    assert {blobs.open_raw(one.sha256).read() for one in kept} == {f"{number}".encode() for number in range(6)}
    lost = []
    with suppress(MemoryError), blobs.together():
        lost.append(blobs.put_stream([b"lost"]))
        raise MemoryError
    assert not blobs.exists("raw", lost[0].sha256)
    assert not list((tmp_path / "hub" / "store" / "tmp").iterdir())
    assert blobs.exists("raw", blobs.put_stream([b"alone"]).sha256), "by itself again"


def test_what_exports_say_is_read_the_same_from_one_segment_or_from_several(tmp_path: Path, files: list[Path]) -> None:
    hub = made(tmp_path / "hub")
    said = [read_ecars(path.read_bytes(), path.name, JULY.date()) for path in files[:3]]
    frames = [{name: getattr(one, name) for name in ecars_segments.FRAMES} for one in said]
    segment, table_of = ecars_segments.segment, ecars_segments.table_of
    several = {table_of(name): segment(hub, rows) for name, rows in frames[1].items() if rows.height}
    kept = [ecars_segments.keep(hub, frames[0]), several, ecars_segments.keep(hub, frames[2])]
    assert [set(tables) for tables in kept] == [
        {"ecars_export"}, {"ecars_sheet", "ecars_row", "ecars_value"}, {"ecars_export"},
    ]  # fmt: skip
    heads = [Head("", "", 0, (False, 0, "", 0), "ecars", None, 0, tables, {}) for tables in kept]
    for name, rows in ecars_segments.read(hub, heads).items():
        want = pl.concat([one[name] for one in frames])
        assert rows.schema == schema(name)
        assert rows.sort(rows.columns).equals(want.sort(want.columns)), name


def test_events_of_one_transaction_follow_one_another_and_see_those_before_them(tmp_path: Path) -> None:
    log = made(tmp_path / "hub").log
    new = [NewEvent("a", "DecisionTaken", {"n": number}, f"a/{number}", number) for number in range(3)]
    written = log.append_all([*new, new[1]], {"actor": "tests"})
    assert [(event.position, event.version, ours) for event, ours in written] == [
        (1, 1, True), (2, 2, True), (3, 3, True), (2, 2, False),
    ]  # fmt: skip
    assert set(log.find_all(["a/0", "a/2", "b/0"])) == {"a/0", "a/2"}
    late = [NewEvent("b", "DecisionTaken", {}, "b/0"), NewEvent("c", "DecisionTaken", {}, "c/0", unmoved=("b", 3))]
    with pytest.raises(VersionConflict):
        log.append_all(late, {})
    assert log.head()[0] == 3, "none of them"
    assert not log.verify()
