"""The event log, one suite over both databases."""

import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Clock, Program, TickingClock

from warehouse import faults, log_database
from warehouse import log as log_module
from warehouse.log import (
    EVENT,
    GENESIS,
    REVISION,
    UPCASTERS,
    KeyConflict,
    Log,
    LogMissing,
    LogSchemaMismatch,
    LogUnavailable,
    NewEvent,
    VersionConflict,
    canonical,
    chained,
    create_log,
    open_log,
    redacted,
)

META = {"actor": "test"}
HEAD_OF_FIVE = "41afdb64882005dbb74eee5423a64ec66678c89966bba392ab1b90021c0c11f7"


def fact(key: str, stream: str = "delivery-1", kind: str = "DecisionTaken", **data: Any) -> NewEvent:
    return NewEvent(stream, kind, data, key)


def five(log: Log) -> None:
    """Five events in two streams."""
    for number in range(1, 6):
        log.append(fact(f"key-{number}", stream=f"delivery-{number % 2}", cents=number, name="Hôpital d’Été"), META)


@contextmanager
def owner(url: str) -> Iterator[sa.Connection]:
    """A connection that goes past the log's own code, as the owner of the database can."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def drop_triggers(connection: sa.Connection) -> None:
    name = connection.dialect.name
    for trigger in log_database.TRIGGERS[name]:
        connection.execute(sa.text(f"DROP TRIGGER {trigger}" + ("" if name == "sqlite" else " ON event")))


# --- appending


def test_an_event_comes_back_as_it_was_appended(log: Log) -> None:
    written, new = log.append(fact("key", cents=12_345, name="Été\u2028\x00 😀", parts=[1, None, {"a": True}]), META)
    assert new
    assert list(log.read()) == [written]
    assert log.find("key") == written
    assert (written.position, written.version, written.recorded_at) == (1, 1, "2026-01-01T00:00:00.000000Z")
    assert written.data == {
        "cents": 12_345,
        "name": "Été\u2028\x00 😀",
        "parts": [1, None, {"a": True}],
        "schema_version": 1,
    }
    assert written.meta == META


def test_positions_have_no_gap_and_versions_have_none_in_their_stream(log: Log) -> None:
    five(log)
    assert [(event.position, event.stream, event.version) for event in log.read()] == [
        (1, "delivery-1", 1),
        (2, "delivery-0", 1),
        (3, "delivery-1", 2),
        (4, "delivery-0", 2),
        (5, "delivery-1", 3),
    ]
    assert (log.version("delivery-1"), log.version("delivery-0"), log.version("other")) == (3, 2, 0)


def test_an_empty_log_has_the_genesis_as_head(log: Log) -> None:
    assert log.head() == (0, GENESIS)
    assert (list(log.read()), log.find("key"), log.verify()) == ([], None, [])


def test_the_same_events_have_the_same_hashes_in_every_database(log: Log) -> None:
    five(log)
    assert log.head() == (5, HEAD_OF_FIVE)


def test_a_key_gives_its_first_event_for_ever(log: Log, log_url: str) -> None:
    first, _ = log.append(fact("key", cents=1), META)
    for number in range(50):
        log.append(fact(f"other-{number}"), META)
    again = open_log(log_url, TickingClock())
    assert again.append(fact("key", cents=1), {"actor": "someone else"}) == (first, False)
    assert again.head()[0] == 51


def test_a_key_found_again_wins_over_an_outdated_expected_version(log: Log) -> None:
    event = NewEvent("delivery-1", "DeliveryReceived", {}, "key", expected_version=0)
    assert log.append(event, META)[1]
    assert not log.append(event, META)[1]


@pytest.mark.parametrize(
    "other",
    [
        fact("key", cents=2),
        fact("key", stream="delivery-2", cents=1),
        fact("key", kind="DeliveryAccepted", cents=1),
        fact("key", cents=1, schema_version=2),
    ],
    ids=["data", "stream", "type", "schema_version"],
)
def test_a_key_with_other_content_is_refused(log: Log, other: NewEvent) -> None:
    log.append(fact("key", cents=1), META)
    with pytest.raises(KeyConflict, match="la clé key désigne déjà un autre fait, l'événement 1"):
        log.append(other, META)
    assert log.head()[0] == 1


def test_an_event_is_refused_when_streams_that_it_rests_on_have_moved_and_others_may_move(log: Log) -> None:
    log.append(fact("one", stream="bordereau/a"), META)
    seen = log.last_under("bordereau/")
    log.append(fact("two", stream="bordereaux"), META)
    assert (seen, log.last_under("bordereau/"), log.last_under("none/")) == (1, 1, 0)
    log.append(NewEvent("bordereau/b", "DecisionTaken", {}, "three", unmoved=("bordereau/", seen)), META)
    with pytest.raises(VersionConflict, match="a bougé depuis la position 1"):
        log.append(NewEvent("bordereau/c", "DecisionTaken", {}, "four", unmoved=("bordereau/", seen)), META)
    assert [event.stream for event in log.read(under="bordereau/")] == ["bordereau/a", "bordereau/b"]


def test_an_unexpected_version_is_refused_and_both_are_told(log: Log) -> None:
    five(log)
    with pytest.raises(VersionConflict, match="delivery-1 en est à la version 3, non 2"):
        log.append(NewEvent("delivery-1", "DecisionTaken", {}, "new", expected_version=2), META)
    assert log.append(NewEvent("delivery-1", "DecisionTaken", {}, "new", expected_version=3), META)[1]


def test_events_of_one_call_are_written_all_or_none(log: Log) -> None:
    five(log)
    with pytest.raises(KeyConflict):
        log.append_all([fact("new-1"), fact("new-2"), fact("key-1", cents=99)], META)
    assert log.head()[0] == 5
    written = log.append_all([fact("new-1"), fact("new-2"), fact("new-1")], META)
    assert [(event.position, new) for event, new in written] == [(6, True), (7, True), (6, False)]
    assert log.verify() == []


@pytest.mark.parametrize("data", [{"euros": 1.5}, {"a": [{"b": float("nan")}]}, {"a": ({"b": -0.0},)}, {1: "a"}])
def test_floats_and_keys_that_are_no_text_are_refused(log: Log, data: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="the log holds no"):
        log.append(NewEvent("stream", "DecisionTaken", data, "key"), META)
    with pytest.raises(TypeError, match="the log holds no"):
        log.append(NewEvent("stream", "DecisionTaken", {}, "key"), data)
    assert log.head()[0] == 0


def test_an_unknown_type_is_refused(log: Log) -> None:
    with pytest.raises(ValueError, match="unknown event type RowRead"):
        log.append(fact("key", kind="RowRead"), META)


def test_a_clock_without_a_time_zone_is_refused(log_url: str) -> None:
    create_log(log_url)
    with pytest.raises(ValueError, match="time zone"):
        open_log(log_url, lambda: datetime(2026, 1, 1)).append(fact("key"), META)  # noqa: DTZ001


def test_canonical_json_has_one_spelling() -> None:
    assert canonical({"é": 1, "b": [True, None, "\u2028"], "a": {"z": -1, "y": "'\""}}) == (
        '{"a":{"y":"\'\\"","z":-1},"b":[true,null,"\u2028"],"é":1}'
    )


# --- reading


def test_reading_follows_positions_across_pages(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PAGE", 2)
    five(log)

    def positions(**choice: Any) -> list[int]:
        return [event.position for event in log.read(**choice)]

    assert positions() == [1, 2, 3, 4, 5]
    assert positions(after=2) == [3, 4, 5]
    assert positions(after=1, until=4) == [2, 3, 4]
    assert positions(stream="delivery-1") == [1, 3, 5]
    assert positions(types=["DecisionTaken"], until=2) == [1, 2]
    assert positions(types=["DeliveryReceived"]) == []
    assert positions(types=[]) == []


def test_a_reader_at_rest_does_not_hold_up_a_writer(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PAGE", 2)
    five(log)
    reader = log.read()
    next(reader)
    log.append(fact("new"), META)
    assert [event.position for event in reader] == [2, 3, 4, 5, 6]


def test_old_data_is_upgraded_when_read_and_the_chain_holds(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(fact("old", cents=1), META)
    monkeypatch.setitem(UPCASTERS, ("DecisionTaken", 1), lambda data: data | {"schema_version": 2, "currency": "EUR"})
    monkeypatch.setitem(UPCASTERS, ("DecisionTaken", 2), lambda data: data | {"schema_version": 3})
    assert [event.data for event in log.read()] == [{"cents": 1, "currency": "EUR", "schema_version": 3}]
    assert log.verify() == []


def test_a_date_is_the_last_position_before_what_was_recorded_after_it(log: Log) -> None:
    five(log)  # at seconds 0 to 4
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert log.position_at(start - timedelta(microseconds=1)) == 0
    assert log.position_at(start) == 1
    assert log.position_at(start + timedelta(seconds=2.5)) == 3
    assert log.position_at(datetime.fromisoformat("2026-01-01T01:00:03+01:00")) == 4
    assert log.position_at(start + timedelta(days=1)) == 5


def test_a_clock_set_back_does_not_move_a_date_past_later_events(log_url: str) -> None:
    create_log(log_url)
    hours = iter([1, 5, 2])
    log = open_log(log_url, lambda: datetime(2026, 1, 1, next(hours), tzinfo=UTC))
    log.append_all([fact("a"), fact("b"), fact("c")], META)
    assert log.position_at(datetime(2026, 1, 1, 3, tzinfo=UTC)) == 1


# --- many processes

WRITER = """
import sys
from datetime import UTC, datetime
from warehouse.log import LogError, NewEvent, open_log

url, name, count = sys.argv[1:]
log = open_log(url, lambda: datetime.now(UTC))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    own = NewEvent(f"stream-{name}", "DeliveryReceived", {"number": number}, f"{name}-{number}")
    shared = NewEvent("shared", "DeliveryReceived", {"number": number}, f"shared-{number}")
    decided = NewEvent(f"line-{number}", "DecisionTaken", {"by": name}, f"{name}-decides-{number}", expected_version=0)
    log.append(own, {"actor": name})
    print("shared" if log.append(shared, {"actor": name})[1] else "known")
    try:
        log.append(decided, {"actor": name})
        print("decided")
    except LogError as problem:
        print(type(problem).__name__)
"""

READER = """
import json, sys
from datetime import UTC, datetime
from warehouse.log import open_log

url, total = sys.argv[1:]
log = open_log(url, lambda: datetime.now(UTC))
print("ready", flush=True)
sys.stdin.readline()
seen = []
while len(seen) < int(total):
    seen += [event.position for event in log.read(after=seen[-1] if seen else 0)]
print(json.dumps(seen))
"""


def next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_eight_writers_leave_no_gap_and_a_tailing_reader_misses_nothing(log: Log, log_url: str, program: Program) -> None:
    writers, count = 8, 12
    total = writers * count + count + count  # own events, shared facts once each, one decision per line
    processes = [program(WRITER, log_url, str(name), str(count)) for name in range(writers)]
    reader = program(READER, log_url, str(total))
    for process in (*processes, reader):
        assert next_line(process) == "ready"
    for process in (reader, *processes):
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [line for process in processes for line in process.communicate(timeout=600)[0].split()]
    assert json.loads(reader.communicate(timeout=600)[0]) == list(range(1, total + 1))
    assert log.head()[0] == total
    assert log.verify() == []
    assert {word: said.count(word) for word in set(said)} == {
        "shared": count,
        "known": count * (writers - 1),
        "decided": count,
        "VersionConflict": count * (writers - 1),
    }


def test_processes_that_create_the_log_together_create_one(log_url: str, program: Program) -> None:
    source = "import sys; from warehouse.log import create_log; create_log(sys.argv[1])"
    processes = [program(source, log_url) for _ in range(4)]
    assert [process.wait(600) for process in processes] == [0, 0, 0, 0]
    assert open_log(log_url, TickingClock()).verify() == []


# --- faults

APPEND_TWO = """
import sys
from datetime import UTC, datetime
from warehouse.log import NewEvent, open_log

log = open_log(sys.argv[1], lambda: datetime(2026, 1, 2, tzinfo=UTC))
log.append_all([NewEvent("delivery-1", "DeliveryReceived", {}, key) for key in ("a", "b")], {})
"""


def test_a_process_killed_around_its_commit_leaves_a_sound_log_and_a_rerun_converges(
    log: Log, log_url: str, program: Program, tmp_path: Path
) -> None:
    five(log)
    points = [point for point in faults.POINTS if point.startswith("log.")]
    for number, (point, head) in enumerate(zip(points, (5, 7), strict=True), start=1):
        trace = tmp_path / point
        killed = program(APPEND_TWO, log_url, ECLUSE_CRASH_AT=str(number), ECLUSE_CRASH_TRACE=str(trace))
        assert killed.wait(600) == -signal.SIGKILL
        assert trace.read_text().split()[-1] == point
        assert log.head()[0] == head
        assert log.verify() == []
    assert program(APPEND_TWO, log_url).wait(600) == 0
    assert log.head()[0] == 7
    assert log.verify() == []


def test_an_unknown_kill_point_is_an_error() -> None:
    with pytest.raises(KeyError):
        faults.reached("log.somewhere")


@contextmanager
def database_gone(url: str, postgresql: sa.Engine) -> Iterator[None]:
    """PostgreSQL lets nobody in and cuts who is there; SQLite is held by another program."""
    address = sa.make_url(url)
    if address.drivername == "sqlite":
        holder = sqlite3.connect(address.database or "", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.close()
        return
    with postgresql.connect() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {address.database} ALLOW_CONNECTIONS false"))
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": address.database},
        )
        yield
        connection.execute(sa.text(f"ALTER DATABASE {address.database} ALLOW_CONNECTIONS true"))


def test_a_database_gone_midway_is_told_and_the_same_append_works_afterwards(
    log_url: str, postgresql: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_database, "LOCK_SECONDS", 0)
    create_log(log_url)
    log = open_log(log_url, TickingClock())
    five(log)
    with database_gone(log_url, postgresql), pytest.raises(LogUnavailable, match="relancez la même commande"):
        log.append(fact("new"), META)
    assert log.append(fact("new"), META)[0].position == 6
    assert log.verify() == []


def test_a_lock_that_is_held_too_long_gives_up_instead_of_hanging(log_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_database, "LOCK_SECONDS", 1)
    create_log(log_url)
    log, other = open_log(log_url, TickingClock()), log_database.connect(log_url)
    monkeypatch.setattr(log_module, "ATTEMPTS", 1)
    with log_database.transaction(other, writes=True), pytest.raises(LogUnavailable, match="lock"):
        log.append(fact("new"), META)
    assert log.append(fact("new"), META)[1]


def test_a_lock_that_is_let_go_in_time_is_waited_for(log_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create_log(log_url)
    if log_url.startswith("sqlite"):
        monkeypatch.setattr(log_database, "LOCK_SECONDS", 0.01)  # so that the retries are what waits
        monkeypatch.setattr("warehouse.log.ATTEMPTS", 60)  # a busy machine may hold it for longer
    log, other = open_log(log_url, TickingClock()), log_database.connect(log_url)
    held = threading.Event()

    def hold() -> None:
        with log_database.transaction(other, writes=True):
            held.set()
            time.sleep(0.15)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(180)
    assert log.append(fact("new"), META)[1]
    holder.join()


def test_a_serialization_failure_is_retried_whole(postgresql_url: str, clock: Clock) -> None:
    create_log(postgresql_url)
    log = open_log(postgresql_url, clock)
    with owner(postgresql_url) as connection:
        connection.execute(sa.text("CREATE SEQUENCE inserts"))
        connection.execute(
            sa.text("""
            CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('inserts') IN (2, 4) THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF;
                RETURN NEW;
            END $$""")
        )
        connection.execute(sa.text("CREATE TRIGGER fail BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION fail_twice()"))
    assert [event.position for event, _ in log.append_all([fact("a"), fact("b")], META)] == [1, 2]
    assert log.verify() == []


def test_a_server_that_restarted_between_two_appends_is_not_noticed(
    postgresql_url: str, postgresql: sa.Engine, clock: Clock
) -> None:
    create_log(postgresql_url)
    log = open_log(postgresql_url, clock)
    five(log)
    with postgresql.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tests'"))
    assert log.append(fact("new"), META)[0].position == 6


def test_a_refusal_is_told_without_the_row(postgresql_url: str, clock: Clock) -> None:
    create_log(postgresql_url)
    with owner(postgresql_url) as connection:
        connection.exec_driver_sql("ALTER TABLE event ADD CONSTRAINT small CHECK (length(data) < 10)")
    sensitive = fact("new", name="sesame")
    with pytest.raises(LogUnavailable, match='violates check constraint "small"') as caught:
        open_log(postgresql_url, clock).append(sensitive, META)
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


def test_sqlite_is_set_to_keep_what_it_committed(tmp_path: Path) -> None:
    with log_database.transaction(log_database.connect(f"sqlite:///{tmp_path / 'ecluse.db'}")) as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "busy_timeout")
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
        driver = connection.connection.driver_connection
    assert settings == ["wal", 2, 1, 1, 60_000]
    assert isinstance(driver, sqlite3.Connection)
    assert driver.isolation_level is None


def test_an_unreachable_database_is_told_without_its_secrets() -> None:
    url = "postgresql+psycopg://someone:hunter1@127.0.0.1:1/base?sslpassword=hunter2"
    with pytest.raises(LogUnavailable, match="someone:") as caught:
        open_log(url, TickingClock())
    assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert redacted(url) == "postgresql+psycopg://someone:***@127.0.0.1:1/base?sslpassword=%2A%2A%2A"


@pytest.mark.parametrize("url", ["secret", "mysql://someone:secret@host/base", "postgresql://someone:secret@host/base"])
def test_an_address_that_can_hold_no_log_is_told_without_its_secrets(url: str) -> None:
    with pytest.raises(LogUnavailable, match="postgresql\\+psycopg://") as caught:
        open_log(url, TickingClock())
    assert "secret" not in str(caught.value)
    assert "secret" not in redacted(url)


# --- the schema


def test_a_log_that_was_never_created_is_missing_and_nothing_is_created(log_url: str, tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match="lancez « ecluse init »"):
        open_log(log_url, TickingClock())
    assert list(tmp_path.iterdir()) == []


def test_creating_a_log_again_changes_nothing(log: Log, log_url: str) -> None:
    five(log)
    before = log.head()
    create_log(log_url)
    assert log.head() == before
    assert log.verify() == []


def test_a_log_of_a_newer_ecluse_is_refused(log: Log, log_url: str) -> None:
    with owner(log_url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (lambda: open_log(log_url, TickingClock()), lambda: create_log(log_url)):
        with pytest.raises(LogSchemaMismatch, match="écrit par un ecluse plus récent"):
            attempt()


@pytest.mark.parametrize(
    "change", [{"type": "ThingHappened"}, {"data": '{"schema_version":2}'}], ids=["type", "schema_version"]
)
def test_an_event_of_a_newer_ecluse_is_refused_by_its_position(log: Log, log_url: str, change: dict[str, str]) -> None:
    row = {"position": 1, "stream": "s", "version": 1, "type": "DecisionTaken", "data": '{"schema_version":1}', "meta": "{}"}
    row |= {"recorded_at": "2026-01-01T00:00:00.000000Z", "idempotency_key": "key", "hash": "0" * 64} | change
    with owner(log_url) as connection:
        connection.execute(sa.insert(EVENT), row)
    with pytest.raises(LogSchemaMismatch, match="événement 1 écrit par un ecluse plus récent"):
        list(log.read())


def test_a_log_of_an_older_ecluse_asks_for_init(log: Log, log_url: str) -> None:
    with owner(log_url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(LogSchemaMismatch, match="lancez « ecluse init »"):
        open_log(log_url, TickingClock())


def test_the_code_knows_the_newest_migration() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "warehouse:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_columns_are_text_in_the_order_of_the_design(log: Log, log_url: str) -> None:
    with owner(log_url) as connection:
        columns = {column["name"]: column["type"].python_type for column in sa.inspect(connection).get_columns("event")}
    assert tuple(columns) == log_module.COLUMNS
    assert {name for name, python in columns.items() if python is not str} == {"position", "version"}


# --- append-only

NEXT = (
    "INTO event (position, stream, version, type, data, meta, recorded_at, idempotency_key, hash)"
    " VALUES ({position}, '{stream}', {version}, 'DecisionTaken', '{{}}', '{{}}', '', '{key}', '')"
)
GOOD = {"position": 6, "stream": "delivery-1", "version": 4, "key": "new"}
REFUSED = {
    "update": "UPDATE event SET data = '{}' WHERE position = 2",
    "update of a key": "UPDATE event SET position = position + 100",
    "delete": "DELETE FROM event WHERE position = 5",
    "delete all": "DELETE FROM event",
    "gap": "INSERT " + NEXT.format(**GOOD | {"position": 7}),
    "position taken": "INSERT " + NEXT.format(**GOOD | {"position": 2}),
    "no position": "INSERT " + NEXT.format(**GOOD | {"position": "NULL"}),
    "version gap": "INSERT " + NEXT.format(**GOOD | {"version": 5}),
    "version taken": "INSERT " + NEXT.format(**GOOD | {"version": 3}),
}
REFUSED_SQLITE = {
    "replace by position": "INSERT OR REPLACE " + NEXT.format(**GOOD | {"position": 2}),
    "replace by version": "INSERT OR REPLACE " + NEXT.format(**GOOD | {"version": 2}),
    "replace by key": "REPLACE " + NEXT.format(**GOOD | {"key": "key-2"}),
    "ignore": "INSERT OR IGNORE " + NEXT.format(**GOOD | {"key": "key-2"}),
    "upsert": "INSERT " + NEXT.format(**GOOD | {"key": "key-2"}) + " ON CONFLICT DO UPDATE SET data = '{}'",
}
REFUSED_POSTGRESQL = {
    "truncate": "TRUNCATE event",
    "upsert": "INSERT " + NEXT.format(**GOOD | {"key": "key-2"}) + " ON CONFLICT (idempotency_key) DO UPDATE SET data = '{}'",
    "as a replica": "SET LOCAL session_replication_role = replica; DELETE FROM event",
    "merge": "MERGE INTO event USING (SELECT 1) AS one ON position = 2 WHEN MATCHED THEN DELETE",
}


def refused(url: str, statement: str) -> bool:
    try:
        with owner(url) as connection:
            connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as problem:
        return "append-only" in str(problem.orig)
    return False


def test_the_database_refuses_to_alter_the_log(log: Log, log_url: str) -> None:
    five(log)
    before = list(log.read())
    attempts = REFUSED | (REFUSED_SQLITE if log_url.startswith("sqlite") else REFUSED_POSTGRESQL)
    assert [name for name, statement in attempts.items() if not refused(log_url, statement)] == []
    assert list(log.read()) == before
    with owner(log_url) as connection:
        connection.exec_driver_sql("INSERT " + NEXT.format(**GOOD))  # the statement itself is a good one


def test_a_role_that_may_only_select_and_insert_can_append_and_verify(postgresql_url: str) -> None:
    create_log(postgresql_url)
    with owner(postgresql_url) as connection:
        schema = connection.scalar(sa.text("SELECT current_schema()"))
        for statement in (
            "DROP ROLE IF EXISTS writer",
            "CREATE ROLE writer LOGIN",
            f"GRANT USAGE ON SCHEMA {schema} TO writer",
            "GRANT SELECT, INSERT ON event TO writer",
            "GRANT SELECT ON alembic_version TO writer",
        ):
            connection.execute(sa.text(statement))
    url = sa.make_url(postgresql_url).set(username="writer").render_as_string(hide_password=False)
    writer = open_log(url, TickingClock())
    five(writer)
    assert writer.verify() == []
    with pytest.raises(sa.exc.DBAPIError, match="permission denied"), owner(url) as connection:
        connection.exec_driver_sql("DELETE FROM event")
    with owner(postgresql_url) as connection:
        connection.exec_driver_sql("DROP OWNED BY writer")


# --- verify

ALTERED = "la position 3 rompt la chaîne des empreintes"
TAMPERED = {
    "stream altered": (["UPDATE event SET stream = 'delivery-9', version = 1 WHERE position = 3"], ALTERED),
    "type altered": (["UPDATE event SET type = 'DeliveryWithdrawn' WHERE position = 3"], ALTERED),
    "data altered": (["UPDATE event SET data = replace(data, '3', '4') WHERE position = 3"], ALTERED),
    "data reformatted": (["UPDATE event SET data = replace(data, ',', ', ') WHERE position = 3"], ALTERED),
    "meta altered": (["UPDATE event SET meta = replace(meta, 'test', 'boss') WHERE position = 3"], ALTERED),
    "date altered": (["UPDATE event SET recorded_at = '2025-01-01T00:00:00.000000Z' WHERE position = 3"], ALTERED),
    "key altered": (["UPDATE event SET idempotency_key = 'other' WHERE position = 3"], ALTERED),
    "hash altered": ([f"UPDATE event SET hash = '{GENESIS}' WHERE position = 3"], ALTERED),
    "deleted in the middle": (["DELETE FROM event WHERE position = 3"], "la position 4 suit 2 : des événements manquent"),
    "deleted at the start": (["DELETE FROM event WHERE position = 1"], "la position 2 suit 0 : des événements manquent"),
    "deleted and closed up": (
        [
            "DELETE FROM event WHERE position = 2",
            *(f"UPDATE event SET position = {n - 1} WHERE position = {n}" for n in (3, 4, 5)),
        ],
        "la position 2 rompt la chaîne des empreintes",
    ),
    "version skipped": (["UPDATE event SET version = 7 WHERE position = 5"], "la position 5 a la version 7"),
    "payloads swapped": (
        [
            "UPDATE event SET data = (SELECT data FROM event AS other WHERE other.position = 8 - event.position)"
            " WHERE position IN (3, 5)"
        ],
        ALTERED,
    ),
    "order changed": (
        [f"UPDATE event SET position = {to} WHERE position = {of}" for of, to in ((3, 99), (5, 3), (99, 5))],
        ALTERED,
    ),
    "inserted in the middle": (
        [
            *(f"UPDATE event SET position = {n + 1} WHERE position = {n}" for n in (5, 4, 3)),
            "INSERT " + NEXT.format(position=3, stream="forged", version=1, key="forged"),
        ],
        ALTERED,
    ),
    "appended": (["INSERT " + NEXT.format(**GOOD)], "la position 6 rompt la chaîne des empreintes"),
}


REWRITTEN = "n'est pas l'événement du reçu : le journal a été réécrit"
CUT = "avant la position 5 du reçu : sa fin a été retirée"
TOLD_BY_A_RECEIPT = dict.fromkeys(TAMPERED, REWRITTEN) | {
    "deleted and closed up": CUT,
    "hash altered": None,  # every hash made to fit is the right one again
    "appended": None,  # what is newer than the last receipt that anyone holds cannot be told
}
"""What the last receipt held elsewhere tells of each attack once all hashes have been made to fit."""


def make_hashes_fit(log: Log, connection: sa.Connection) -> None:
    previous = GENESIS
    for link in log.links():
        previous = chained(previous, link.content)
        connection.execute(sa.update(EVENT).where(EVENT.c.position == link.position).values(hash=previous))


@pytest.mark.parametrize("tampering", TAMPERED)
def test_verify_finds_what_the_owner_of_the_database_did(log: Log, log_url: str, tampering: str) -> None:
    statements, problem = TAMPERED[tampering]
    five(log)
    receipt = log.head()
    with owner(log_url) as connection:
        drop_triggers(connection)
        for statement in statements:
            connection.exec_driver_sql(statement)
    problems = log.verify()
    assert any(problem in found for found in problems), problems
    with owner(log_url) as connection:
        make_hashes_fit(log, connection)
    assert not any("rompt la chaîne" in found for found in log.verify())
    told = [found for found in log.verify(receipt) if "reçu" in found]
    expected = TOLD_BY_A_RECEIPT[tampering]
    assert [expected in found for found in told] == [True] if expected else told == []


def goes_on(links: list[tuple[int, str, str]], earlier: tuple[int, str], later: tuple[int, str]) -> bool:
    """What whoever holds two receipts checks of the links between them, as ``verify --chain`` gives them."""
    position, previous = earlier
    for at, content, told in links:
        position, previous = position + 1, hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()
        if (at, told) != (position, previous):
            return False
    return (position, previous) == later


def forged(links: list[tuple[int, str, str]], dice: random.Random) -> list[tuple[int, str, str]]:
    """Links with one or two taken out, doubled, moved, renumbered or altered."""
    made = list(links)
    for _ in range(dice.choice([1, 1, 2])):
        at, other = dice.randrange(len(made)), dice.randrange(len(made))
        position, content, told = made[at]
        match dice.randrange(6):
            case 0 if len(made) > 1:
                del made[at]
            case 1:
                made.insert(other, made[at])
            case 2:
                made[at], made[other] = made[other], made[at]
            case 3:
                made[at] = position + dice.choice([-1, 1]), content, told
            case 4:
                place = dice.randrange(len(content))
                made[at] = position, content[:place] + dice.choice('0af{}",: ') + content[place + 1 :], told
            case _:
                place = dice.randrange(64)
                made[at] = position, content, told[:place] + dice.choice("0123456789abcdef") + told[place + 1 :]
    return made


def test_no_forged_chain_between_two_receipts_passes_for_the_true_one(log_url: str, clock: Clock) -> None:
    create_log(log_url)
    log = open_log(log_url, clock)
    five(log)
    links = [(link.position, link.content, link.hash) for link in log.links()]
    earlier, later = (1, links[0][2]), log.head()
    assert goes_on(links[1:], earlier, later)
    dice = random.Random(15)
    chains = [forged(links[1:], dice) for _ in range(1_000)]
    assert [chain for chain in chains if chain != links[1:] and goes_on(chain, earlier, later)] == []
    assert sum(chain != links[1:] for chain in chains) > 900


def test_verify_finds_each_missing_trigger(log: Log, log_url: str) -> None:
    with owner(log_url) as connection:
        drop_triggers(connection)
        names = log_database.TRIGGERS[connection.dialect.name]
    assert log.verify() == [
        f"le déclencheur {name} manque ou est coupé : le journal peut être modifié" for name in sorted(names)
    ]


def test_verify_finds_a_trigger_that_is_switched_off(postgresql_url: str, clock: Clock) -> None:
    create_log(postgresql_url)
    with owner(postgresql_url) as connection:
        connection.exec_driver_sql("ALTER TABLE event DISABLE TRIGGER event_no_update")
    assert open_log(postgresql_url, clock).verify() == [
        "le déclencheur event_no_update manque ou est coupé : le journal peut être modifié"
    ]


def test_a_receipt_shows_that_the_tail_was_removed(log: Log, log_url: str) -> None:
    five(log)
    receipt = log.head()
    assert log.verify(receipt) == []
    with owner(log_url) as connection:
        drop_triggers(connection)
        connection.exec_driver_sql("DELETE FROM event WHERE position >= 4")
    assert not any("position" in problem for problem in log.verify())
    assert "le journal s'arrête à 3, avant la position 5 du reçu : sa fin a été retirée" in log.verify(receipt)


def test_a_receipt_shows_that_the_tail_was_rewritten_hashes_included(log: Log, log_url: str) -> None:
    five(log)
    receipt = log.head()
    with owner(log_url) as connection:
        drop_triggers(connection)
        connection.exec_driver_sql("DELETE FROM event WHERE position >= 4")
    log.append_all([fact("key-4", stream="delivery-0", cents=400), fact("key-5", cents=5), fact("key-6")], META)
    assert not any("position" in problem for problem in log.verify())
    assert "la position 5 n'est pas l'événement du reçu : le journal a été réécrit" in log.verify(receipt)


def test_a_receipt_of_another_log_is_refused(log: Log) -> None:
    five(log)
    head = log.head()[1]
    forged = head[:-1] + ("0" if head[-1] != "0" else "1")
    assert log.verify((5, forged)) == ["la position 5 n'est pas l'événement du reçu : le journal a été réécrit"]
    assert log.verify((4, head)) == ["la position 4 n'est pas l'événement du reçu : le journal a été réécrit"]
    assert log.verify((0, GENESIS)) == []
