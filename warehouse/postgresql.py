"""Plain connections to a PostgreSQL: what COPY, grants and quoted names need, and what to say when the server refuses.

Must never show a password, nor the value that a server quotes when it refuses a row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import ArgumentError

from warehouse.log_database import CONNECT_SECONDS, redacted

DRIVER = "postgresql+psycopg"
DATA_EXCEPTION = "22"  # the class of refusals whose message holds the refused value


Connection = psycopg.Connection[tuple[Any, ...]]


class WarehouseError(Exception):
    """Something about the recipients' tables or roles that its caller can act upon; the message says how."""


class WarehouseUnavailable(WarehouseError):
    """No connection, a lock that others hold, a full disk: the same thing may pass later."""


def is_postgresql(url: str) -> bool:
    """Whether this setting names a PostgreSQL (else it is a folder or an SQLite file)."""
    return url.startswith("postgresql")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection that commits each statement by itself. What fails becomes one of these errors."""
    try:
        address = sa.make_url(url)
    except ArgumentError:
        raise WarehouseError(f"adresse de base illisible : attendu {DRIVER}://…") from None
    if address.drivername != DRIVER:
        raise WarehouseError(f"{redacted(url)} : attendu {DRIVER}://…")
    _, options = address.get_dialect()().create_connect_args(address)
    try:
        with psycopg.connect(**{"connect_timeout": CONNECT_SECONDS, **options}, autocommit=True) as connection:
            yield connection
    except psycopg.Error as problem:
        kind = WarehouseUnavailable if isinstance(problem, psycopg.OperationalError) else WarehouseError
        raise kind(f"{redacted(url)} refuse : {_told(problem)}") from None


def written(template: LiteralString, **names: str) -> sql.Composed:
    """A statement whose ``{name}`` are replaced by quoted names, or by quoted texts where they end in ``_text``."""
    parts = {key: sql.Literal(name) if key.endswith("_text") else sql.Identifier(name) for key, name in names.items()}
    return sql.SQL(template).format(**parts)


def _told(problem: psycopg.Error) -> str:
    """Safe parts of a refusal."""
    if (problem.sqlstate or "").startswith(DATA_EXCEPTION):
        return f"une valeur ne va pas dans sa colonne ({problem.sqlstate})"
    return problem.diag.message_primary or "pas de connexion"
