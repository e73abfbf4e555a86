"""A PostgreSQL killed, cut off, exhausted or refusing, under clients that keep what they were told.

Nothing told is lost, nothing is there twice or by half, and the same command again converges.
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Clock, Ecluse, Export, Program, Servers
from fault_table import Promise
from killable import APPEND, INGEST, Proxy, Server, acknowledged, doubled, lost, short_folder, wait_for

from flows.hub import init_hub, open_hub
from warehouse.log import LogUnavailable, NewEvent, create_log, open_log

META = {"actor": "test"}


# --- R3: the server killed


def killed_again_and_again(server: Server, ledgers: list[Path], cycles: int, enough: Callable[[], bool] = lambda: False) -> int:
    """Kill the server while clients write, at a random moment after each has been told something; how many times."""
    dice = random.Random(cycles)
    for cycle in range(1, cycles + 1):
        before = len(acknowledged(*ledgers))
        wait_for(lambda before=before: len(acknowledged(*ledgers)) > before + 5)
        time.sleep(dice.uniform(0, 0.1))
        server.kill()
        assert server.start()
        if enough():
            return cycle
    return cycles


@pytest.mark.parametrize("cycles", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_a_server_killed_while_clients_write_loses_nothing_that_was_acknowledged(
    servers: Servers, program: Program, export: Export, home: Path, tmp_path: Path, clock: Clock, promise: Promise, cycles: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server = servers()
    monkeypatch.setenv("ECLUSE_DATABASE_URL", server.url())
    init_hub(home, test=True, recipients=["ars-99"])
    for number in range(1, 5 * cycles):
        folder = export(number, months=1, stays=3).parent
    ledgers = [tmp_path / f"ledger_{number}" for number in range(3)]
    clients = [program(APPEND, server.url(), f"client-{number}", str(ledgers[number])) for number in range(2)]
    clients.append(program(INGEST, str(home), str(folder), str(ledgers[2])))
    wait_for(lambda: all(ledger.exists() and ledger.stat().st_size for ledger in ledgers))
    killed_again_and_again(server, ledgers, cycles)
    for client in clients:
        assert client.poll() in (None, 0), "a client met something else than an unavailable log"
        client.kill()
        client.wait()
    log, told = open_log(server.url(), clock), acknowledged(*ledgers)
    events = list(log.read())
    assert promise("R3 server killed", cycles, len(told), lost(log, told), doubled(events))
    assert any(key.startswith("decided/") for key in told)
    assert log.verify() == []
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len(events) - len(told) <= 2 * len(clients) + sum(event.type == "DeliveryReceived" for event in events)


@pytest.mark.parametrize("most", [20, pytest.param(20, marks=pytest.mark.soak, id="soak")])
def test_the_same_without_synchronous_commit_loses_which_shows_that_the_test_can_tell(
    servers: Servers, program: Program, tmp_path: Path, clock: Clock, promise: Promise, most: int
) -> None:
    """The control that must lose: what is acknowledged stays in the server's memory for up to ten seconds."""
    server = servers(synchronous_commit="off", wal_writer_delay="10s")
    create_log(server.url())
    with server.connect() as connection:
        connection.execute("CHECKPOINT")  # else the log itself is lost
    log, ledger = open_log(server.url(), clock), tmp_path / "ledger"
    program(APPEND, server.url(), "client", str(ledger))
    cycles = killed_again_and_again(server, [ledger], most, lambda: bool(lost(log, acknowledged(ledger))))
    told = acknowledged(ledger)
    assert promise("R3 control: synchronous_commit off", cycles, len(told), lost(log, told), 0, must_lose=True)


# --- R4: the line cut once COMMIT was sent


@pytest.fixture
def proxy() -> Iterator[Callable[[Server], Proxy]]:
    """Puts a proxy before a server."""
    with short_folder() as folder:
        made: list[Proxy] = []

        def stand(server: Server) -> Proxy:
            made.append(Proxy(folder, server.sockets))
            return made[0]

        yield stand
        for one in made:
            one.close()


@pytest.mark.parametrize("cycles", [21, pytest.param(201, marks=pytest.mark.soak)])
def test_an_append_cut_off_around_its_commit_is_found_by_the_same_append_and_never_doubled(
    servers: Servers, proxy: Callable[[Server], Proxy], clock: Clock, promise: Promise, cycles: int
) -> None:
    server = servers()
    line = proxy(server)
    create_log(server.url())
    log, told, found_again = open_log(server.url(host=str(line.folder)), clock), {}, 0
    for number in range(cycles):
        event = NewEvent("line", "DecisionTaken", {"number": number}, f"key-{number}")
        line.cut = when = ("sent", "answered", "before")[number % 3]
        with pytest.raises(LogUnavailable, match="relancez la même commande"):
            log.append(event, META)
        written, new = log.append(event, META)
        assert new == (when == "before")
        found_again += not new
        told[event.key] = (written.position, written.hash)
    events = list(log.read())
    assert promise("R4 cut at COMMIT: append", cycles, len(told), lost(log, told), doubled(events))
    assert (len(events), found_again) == (cycles, cycles * 2 // 3)
    assert log.verify() == []


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_an_ingestion_cut_off_at_any_commit_is_told_and_the_same_command_converges_and_says_what_was_known(
    servers: Servers, proxy: Callable[[Server], Proxy], ecluse: Ecluse, export: Export, home: Path, promise: Promise,
    rounds: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server = servers()
    line = proxy(server)
    monkeypatch.setenv("ECLUSE_DATABASE_URL", server.url(host=str(line.folder)))
    init_hub(home, test=True, recipients=["ars-99"])
    before = line.commits
    assert ecluse("ingest", export(1, months=1, stays=3)).code == 0
    commits, number, answers = line.commits - before, 1, []
    for nth in [place for place in range(commits) for _ in range(rounds)]:
        number += 1
        path = export(number, months=1, stays=3)
        line.after, line.cut = nth, ("sent", "answered")[number % 2]
        said = ecluse("ingest", path)
        assert (said.code, line.cut) == (1, "")
        assert "relancez la même commande" in said.err
        [answer] = ecluse("ingest", path, "--json").json["deliveries"]
        answers.append(answer["status"])
        assert answer["decision"] == "accepted"
    assert "déjà connue" in ecluse("ingest", path).out
    events = list(open_hub(home).log.read())
    assert promise("R4 cut at COMMIT: ingest", len(answers), len(answers), [], doubled(events))
    assert {"accepted", "already_known"} == set(answers)
    assert len(events) == 2 * number
    assert open_hub(home).log.verify() == []
