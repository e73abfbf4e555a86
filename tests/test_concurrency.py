"""Eight processes at once on one hub in PostgreSQL: one winner where there is one thing to do, all in where there are eight.

Meanwhile a reader looks at the log as often as it can, and must never see half of anything.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Export, Jobs, Program
from fault_table import Promise
from killable import doubled

from flows import deliveries
from flows.hub import Hub, init_hub, open_hub

READER = """
import sys, time
from pathlib import Path
from threading import Thread
import polars as pl
from contracts_schema.families import FAMILIES
from flows.hub import open_hub

hub, looks, seen = open_hub(Path(sys.argv[1])), 0, set()
over = Thread(target=sys.stdin.read)
over.start()
print("ready", flush=True)
while over.is_alive():
    time.sleep(0.01)
    events = list(hub.log.read())
    looks += 1
    assert [event.position for event in events] == list(range(1, len(events) + 1)), "a gap"
    received = {event.data["delivery_id"] for event in events if event.type == "DeliveryReceived"}
    keys = {event.idempotency_key for event in events}
    for event in events:
        if event.position in seen:
            continue
        seen.add(event.position)
        if event.type == "DecisionTaken":
            assert event.idempotency_key + "/accepted" in keys, "a waiver without its acceptance"
        elif event.type == "DeliveryAccepted":
            assert event.data["delivery_id"] in received, "a decision before its reception"
            for name, tally in event.data["families"].items():
                rows = pl.read_parquet(hub.blobs.segment_path(event.data["tables"][FAMILIES[name].table])).height
                assert rows == tally["rows_accepted"], "an event before its rows"
print(looks, len(seen))
"""
ROUNDS = [1, pytest.param(25, marks=pytest.mark.soak)]


@pytest.fixture
def shared(postgresql_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose log is in PostgreSQL."""
    monkeypatch.setenv("ECLUSE_DATABASE_URL", postgresql_url)
    init_hub(home, test=True)
    return open_hub(home)


@pytest.fixture
def watched(shared: Hub, program: Program, postgresql: sa.Engine) -> Callable[[], None]:
    """A reader looks on; called, it must have seen everything, and nothing wrong. No deadlock may have been met either."""

    def deadlocks() -> Any:
        with postgresql.connect() as connection:
            return connection.scalar(sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = 'tests'"))

    before = deadlocks()
    reader = program(READER, str(shared.settings.home))
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"

    def ended() -> None:
        said, _ = reader.communicate(timeout=600)
        assert reader.returncode == 0
        looks, seen = map(int, said.split())
        assert looks > 1
        assert seen <= shared.log.head()[0]
        assert deadlocks() == before

    return ended


def answers(folder: Path, count: int = 8) -> list[Any]:
    """What each process said, as JSON."""
    return [json.loads((folder / f"said_{number}").read_text()) for number in range(count)]


@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.soak)])
def test_of_eight_processes_with_the_same_export_one_wins_in_every_round(
    shared: Hub, watched: Callable[[], None], jobs: Jobs, export: Export, tmp_path: Path, promise: Promise, rounds: int
) -> None:
    url, told = shared.settings.database_url, set()
    for number in range(1, rounds + 1):
        command: list[object] = ["--home", shared.settings.home, "ingest", export(number, months=1, stays=5), "--json"]
        assert jobs(*[[command]] * 8, ECLUSE_DATABASE_URL=url) == [0] * 8
        reports = [answer["deliveries"][0] for answer in answers(tmp_path)]
        assert sorted(report["status"] for report in reports) == ["accepted"] + ["already_known"] * 7
        [delivery] = {report["delivery_id"] for report in reports}
        told.add(delivery)
    watched()
    events = list(shared.log.read())
    held = {event.data["delivery_id"] for event in events if event.type == "DeliveryAccepted"}
    assert promise("R6 same export, 8 processes", rounds, len(told), told - held, doubled(events))
    assert len(events) == 2 * rounds
    assert shared.log.verify() == []


@pytest.mark.parametrize("rounds", ROUNDS)
def test_eight_processes_with_eight_exports_all_get_in_without_a_gap(
    shared: Hub, watched: Callable[[], None], jobs: Jobs, export: Export, tmp_path: Path, promise: Promise, rounds: int
) -> None:
    """Four of other establishments, and four months of one, which share a stream."""
    url, told = shared.settings.database_url, set()
    for number in range(rounds):
        alone = [export(5 * number + place, months=1, stays=5) for place in (1, 2, 3, 4)]
        together = [export(5 * number + 5, months=month, stays=5) for month in (1, 2, 3, 4)]
        commands = [["--home", shared.settings.home, "ingest", path, "--json"] for path in (*alone, *together)]
        assert jobs(*([command] for command in commands), ECLUSE_DATABASE_URL=url) == [0] * 8
        for answer in answers(tmp_path):
            [report] = answer["deliveries"]
            assert report["status"] == "accepted"
            told.add(report["delivery_id"])
    watched()
    events = list(shared.log.read())
    held = {event.data["delivery_id"] for event in events if event.type == "DeliveryAccepted"}
    assert promise("R6 eight exports, 8 processes", rounds, len(told), told - held, doubled(events))
    assert (len(told), len(events)) == (8 * rounds, 16 * rounds)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert shared.log.verify() == []
    assert {head.data["period"] for head in deliveries.heads(shared).values()} == {1, 4}


@pytest.mark.parametrize("rounds", ROUNDS)
def test_of_eight_deciders_one_decides_and_seven_are_told_that_it_is_decided(
    shared: Hub, watched: Callable[[], None], jobs: Jobs, export: Export, tmp_path: Path, promise: Promise, rounds: int
) -> None:
    """A held transmission that eight would let in, each for a reason of their own; then eight take it back."""
    home, url, won = ["--home", shared.settings.home], shared.settings.database_url, 0
    for number in range(1, rounds + 1):
        path = export(number, months=1, stays=20, defects=dict.fromkeys(range(5), "age_a5"))
        assert jobs([[*home, "ingest", path, "--json"]], ECLUSE_DATABASE_URL=url) == [1]
        [delivery] = [answer["deliveries"][0]["delivery_id"] for answer in answers(tmp_path, 1)]
        for command, more in (("waive", ["--until", "2026-12-31"]), ("withdraw", [])):
            said = [[*home, command, delivery, "--reason", f"motif {place}", *more] for place in range(8)]
            codes = jobs(*([words] for words in said), ECLUSE_DATABASE_URL=url)
            assert sorted(codes) == [0] + [2] * 7
            for place in range(8):
                told = (tmp_path / f"said_{place}").read_text()
                stale = "arrivée entre-temps" in told or "cette livraison n'est pas" in told
                assert stale == (codes[place] == 2), told
            last = deliveries.decision(shared, f"pmsi/mco/{path.name[:9]}/2025", delivery)
            assert last
            waivers = [event for event in shared.log.read(stream=last.stream) if event.type == "DecisionTaken"]
            [reason] = {event.data["reason"] for event in (waivers if command == "waive" else [last])}
            assert reason == f"motif {codes.index(0)}"
            won += 1
    watched()
    events = list(shared.log.read())
    assert promise("R6 eight deciders", 2 * rounds, won, [], len(events) - 5 * rounds)
    assert shared.log.verify() == []
