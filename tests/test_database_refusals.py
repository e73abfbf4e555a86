"""A PostgreSQL that cuts its clients, lets no more in, is too slow or asks for another try: whole or not at all, and told."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Clock, Ecluse, Export, Program, Servers
from fault_table import Promise
from killable import APPEND, INGEST, Server, acknowledged, doubled, lost, wait_for

from flows.hub import init_hub, open_hub
from warehouse.log import LogUnavailable, NewEvent, create_log, open_log

META = {"actor": "test"}
END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
THREE = ("received", "judged", "decided")


def facts(number: int) -> list[NewEvent]:
    """Three events that only make sense together."""
    return [NewEvent(f"line-{number}", "DecisionTaken", {"number": number, "part": part}, f"{part}-{number}") for part in THREE]


def parts_of(events: list[Any]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for event in events:
        found.setdefault(event.data["number"], []).append(event.data["part"])
    return found


# --- connections that the server ends


@pytest.mark.parametrize("cycles", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_clients_whose_connections_are_ended_at_random_lose_nothing_and_are_never_half_done(
    servers: Servers, program: Program, export: Export, home: Path, tmp_path: Path, clock: Clock, promise: Promise, cycles: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server = servers()
    monkeypatch.setenv("ECLUSE_DATABASE_URL", server.url())
    init_hub(home, test=True)
    for number in range(1, 2 * cycles):
        folder = export(number, months=1, stays=3).parent
    ledgers, dice = [tmp_path / f"ledger_{number}" for number in range(3)], random.Random(cycles)
    clients = [program(APPEND, server.url(), f"client-{number}", str(ledgers[number])) for number in range(2)]
    clients.append(program(INGEST, str(home), str(folder), str(ledgers[2])))
    wait_for(lambda: all(ledger.exists() and ledger.stat().st_size for ledger in ledgers))
    ended = 0
    with server.connect() as connection:
        for _ in range(cycles):
            before = len(acknowledged(*ledgers))
            wait_for(lambda before=before: len(acknowledged(*ledgers)) > before + 2)
            time.sleep(dice.uniform(0, 0.03))
            ended += connection.execute(END_ALL).rowcount
    for client in clients:
        assert client.poll() in (None, 0), "a client met something else than an unavailable log"
        client.kill()
        client.wait()
    log, told = open_log(server.url(), clock), acknowledged(*ledgers)
    events = list(log.read())
    assert promise("R13 connections ended", ended, len(told), lost(log, told), doubled(events))
    assert ended >= cycles
    assert log.verify() == []


# --- no connection left


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.soak)])
def test_a_server_that_lets_nobody_in_any_more_is_told_and_the_same_command_works_once_it_does(
    servers: Servers, ecluse: Ecluse, export: Export, home: Path, promise: Promise, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers(max_connections="5", superuser_reserved_connections="0", reserved_connections="0")
    monkeypatch.setenv("ECLUSE_DATABASE_URL", server.url())
    init_hub(home, test=True)
    for number in range(1, rounds + 1):
        path, taken = export(number, months=1, stays=3), all_connections(server)
        said = ecluse("ingest", path)
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert said.err.startswith("ecluse : le journal ")
        assert said.err.endswith("relancez la même commande\n")
        for connection in taken:
            connection.close()
        wait_for(lambda: ecluse("status").code == 0)  # the server notices a little later
        assert ecluse("ingest", path, "--json").json["deliveries"][0]["status"] == "accepted"
    events = list(open_hub(home).log.read())
    assert promise("R13 no connection left", rounds, len(events) // 2, [], doubled(events))
    assert len(events) == 2 * rounds


def all_connections(server: Server) -> "list[psycopg.Connection[tuple[object, ...]]]":
    with server.connect() as connection:  # those that others have left open
        connection.execute(END_ALL)
        wait_for(lambda: connection.execute(f"SELECT count(*) FROM ({END_ALL})").fetchone() == (0,))
    taken = [server.connect() for _ in range(5)]
    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        server.connect()
    return taken


def test_more_threads_than_connections_are_told_so_and_not_by_another_librarys_error(
    servers: Servers, clock: Clock, promise: Promise, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers()
    create_log(server.url())
    log = open_log(server.url(), clock)
    monkeypatch.setattr(log._engine.pool, "_timeout", 0.05)
    monkeypatch.setattr(log._engine.pool, "_max_overflow", 0)
    written: list[int] = []
    refused: list[LogUnavailable] = []

    def write(number: int) -> None:
        while number not in written:
            try:
                log.append_all(facts(number), META)
                written.append(number)
            except LogUnavailable as problem:
                refused.append(problem)
                time.sleep(0.01)

    with server.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(6044178293)")  # so that all wait, each with its connection
        threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(12)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(refused) > 20)
    for thread in threads:
        thread.join(60)
    assert sorted(written) == list(range(12))
    assert {str(problem).partition("refuse : ")[2] for problem in refused} == {
        "trop de fils à la fois, aucune connexion libre ; relancez la même commande"
    }
    parts = parts_of(list(log.read()))
    assert promise("R13 pool exhausted", len(refused), len(written), [n for n in written if parts.get(n) != [*THREE]], 0)
    assert log.verify() == []


# --- statements refused


@pytest.mark.parametrize("cycles", [5, pytest.param(50, marks=pytest.mark.soak)])
def test_a_statement_that_takes_too_long_is_told_and_nothing_of_its_transaction_stays(
    servers: Servers, clock: Clock, promise: Promise, cycles: int
) -> None:
    """The last of three events is too slow for who is in a hurry, and not for who waits."""
    server = servers()
    create_log(server.url())
    hasty, log = (open_log(server.url(options=f"-cstatement_timeout={limit}"), clock) for limit in ("100ms", "0"))
    with server.connect() as connection:
        connection.execute("""
            CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.data LIKE '%"decided"%' THEN PERFORM pg_sleep(0.3); END IF;
                RETURN NEW;
            END $$""")
        connection.execute("CREATE TRIGGER dawdle BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION dawdle()")
    told = {}
    for number in range(cycles):
        before = log.head()
        with pytest.raises(LogUnavailable, match="statement timeout ; relancez la même commande"):
            hasty.append_all(facts(number), META)
        assert log.head() == before
        for event, new in log.append_all(facts(number), META):
            assert new
            told[event.idempotency_key] = (event.position, event.hash)
    events = list(log.read())
    assert promise("R13 statement timeout", cycles, len(told), lost(log, told), len(events) - 3 * cycles)
    assert log.verify() == []


@pytest.mark.parametrize("cycles", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_transactions_that_the_server_asks_to_try_again_are_tried_whole_or_given_up_whole(
    servers: Servers, clock: Clock, promise: Promise, cycles: int
) -> None:
    """One insertion in four fails as a conflict or a deadlock would: three at once then often need many attempts."""
    server = servers()
    create_log(server.url())
    log, told, given_up = open_log(server.url(), clock), {}, []
    with server.connect() as connection:
        connection.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF random() < 0.15 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF;
                IF random() < 0.15 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END IF;
                RETURN NEW;
            END $$""")
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION refuse()")
    for number in range(cycles):
        while f"{THREE[0]}-{number}" not in told:
            before = log.head()
            try:
                written = log.append_all(facts(number), META)
            except LogUnavailable as problem:
                given_up.append(str(problem).partition("refuse : ")[2])
                assert log.head() == before
                continue
            assert all(new for _, new in written)
            told |= {event.idempotency_key: (event.position, event.hash) for event, _ in written}
    events = list(log.read())
    assert promise("R13 serialization failures", cycles, len(told), lost(log, told), len(events) - 3 * cycles)
    assert parts_of(events) == {number: [*THREE] for number in range(cycles)}
    assert set(given_up) <= {"again ; relancez la même commande"}
    with server.connect() as connection:  # now every time
        connection.execute("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                           "$$ BEGIN RAISE SQLSTATE '40001' USING MESSAGE = 'again'; END $$")  # fmt: skip
    with pytest.raises(LogUnavailable, match="again ; relancez la même commande"):
        log.append_all(facts(cycles), META)
    assert list(log.read()) == events
    assert log.verify() == []
