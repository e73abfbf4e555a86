"""The two databases that can hold the event log: addresses, transactions, the writers' lock, the append-only triggers.

Addresses: ``sqlite:////folder/ecluse.db`` (four slashes: an absolute path) or ``postgresql+psycopg://user@host/base``;
the folder of a unix socket goes in the query: ``postgresql+psycopg://user@/base?host=/folder``.

Must never know what an event means, or show a password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from contracts_schema.french import sqlite_error

# Readers follow positions, so no event may become visible after one of a greater position: with numbers drawn before
# the commit (a sequence), a tailing reader skips events for good. One writer at a time: insert order is commit order.
LOCK = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(6044178293)"}
LOCK_SECONDS = 60
CONNECT_SECONDS = 10
TRIGGERS = {
    "sqlite": {"event_next_only", "event_no_update", "event_no_delete"},
    "postgresql": {"event_next_only", "event_no_update", "event_no_delete", "event_no_truncate"},
}


class LogError(Exception):
    """Something about the log that its caller can act upon; the message says how."""


class LogUnavailable(LogError):
    """The database does not answer, or refuses; ``transient`` when the same transaction may pass at once."""

    def __init__(self, message: str, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


def redacted(url: str) -> str:
    """The address without its secrets, for display."""
    try:
        address = sa.make_url(url)
    except ArgumentError:
        return "(adresse de base illisible)"
    secrets = {name: "***" for name in address.query if "password" in name}
    return address.update_query_dict(secrets).render_as_string(hide_password=True)


def connect(url: str) -> sa.Engine:
    """Connections to the database at this address, opened when first used."""
    try:
        address = sa.make_url(url)
    except ArgumentError:
        raise LogUnavailable("adresse de base illisible : donnez sqlite:////… ou postgresql+psycopg://…") from None
    if address.drivername == "sqlite":
        engine = sa.create_engine(address, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS})
        sa.event.listen(engine, "connect", _set_up_sqlite)
    elif address.drivername == "postgresql+psycopg":
        engine = sa.create_engine(
            address,
            hide_parameters=True,
            pool_pre_ping=True,
            # each statement sees what was committed when it starts, so the tail read after the lock is the true one
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )
    else:
        raise LogUnavailable(f"{redacted(url)} : seules sqlite:////… et postgresql+psycopg://… portent un journal")
    sa.event.listen(engine, "begin", _begin)
    return engine


def sqlite_file(engine: sa.Engine) -> Path | None:
    """The file of an SQLite database; None for PostgreSQL."""
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


@contextmanager
def transaction(engine: sa.Engine, writes: bool = False) -> Iterator[sa.Connection]:
    """One transaction, under the writers' lock when it ``writes``. The database's failures become LogUnavailable."""
    try:
        with engine.execution_options(writes=writes).begin() as connection:
            yield connection
    except (DBAPIError, NoneFree) as problem:
        told, transient = _diagnosis(problem, engine.dialect.name)
        where = redacted(engine.url.render_as_string(hide_password=False))
        raise LogUnavailable(f"le journal {where} refuse : {told} ; relancez la même commande", transient) from None


def missing_triggers(connection: sa.Connection) -> set[str]:
    """Which of the append-only triggers are absent or switched off."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'event'"
    else:  # A: fires always, even in a session that replays another server's changes
        query = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass('event') AND tgenabled = 'A'"
    return TRIGGERS[connection.dialect.name] - set(connection.scalars(sa.text(query)))


def schema_revision(connection: sa.Connection) -> str | None:
    """The revision that Alembic recorded; None where there is no log."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else the driver begins by itself, late and without the lock
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin(connection: sa.Connection) -> None:
    name = connection.dialect.name
    if connection.get_execution_options().get("writes"):
        if name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        connection.exec_driver_sql(LOCK[name])
    elif name == "sqlite":
        connection.exec_driver_sql("BEGIN")


def _diagnosis(problem: DBAPIError | NoneFree, database: str) -> tuple[str, bool]:
    """What to tell, and whether to try again. A driver's text may hold the address or a row: only safe parts stay."""
    if isinstance(problem, NoneFree):
        return "trop de fils à la fois, aucune connexion libre", False
    if database == "sqlite":
        said = str(problem.orig)
        return sqlite_error(said), "locked" in said
    told = getattr(getattr(problem.orig, "diag", None), "message_primary", None) or "pas de connexion"
    return told, getattr(problem.orig, "sqlstate", None) in ("40001", "40P01")
