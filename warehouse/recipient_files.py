"""Recipients' tables in SQLite: one file per recipient in a folder, replaced whole by a rename.

A reader that has the file open keeps the old publication until it opens the file again. Must never write to a file that
a reader may have open.
"""

import fcntl
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.french import sqlite_error
from contracts_schema.products import Product, Table
from warehouse.blob_files import storing, sync
from warehouse.postgresql import WarehouseError, WarehouseUnavailable
from warehouse.recipient_tables import FACTS, PUBLICATION, SLICE, WAIT_SECONDS, Staging, described, physical, prefix, types
from warehouse.recipients import Recipient

if TYPE_CHECKING:
    import polars as pl


def recipient_file(folder: str, recipient: Recipient) -> Path:
    """The SQLite file that a recipient gets."""
    return Path(folder) / f"{recipient.schema}.sqlite"


@contextmanager
def staged(
    url: str, recipient: Recipient, product: Product, frames: "Mapping[str, pl.DataFrame]", facts: Mapping[str, Any]
) -> Iterator[Staging]:
    """See ``warehouse.recipient_tables.staged``; ``url`` is the folder."""
    final = recipient_file(url, recipient)
    with storing(final):
        final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(final):
        for left in final.parent.glob(f".{final.name}-*"):
            left.unlink()
        making = final.parent / f".{final.name}-{uuid.uuid4().hex}"
        try:
            with storing(final):
                if final.exists():
                    shutil.copyfile(final, making)
                _write(making, product, frames, facts)
            yield Staging(f"sqlite:///{making}", None, product, lambda: _place(making, final, product))
        finally:
            making.unlink(missing_ok=True)


def standing(url: str, recipient: Recipient, product_id: str) -> int | None:
    """See ``warehouse.recipient_tables.standing``."""
    file = recipient_file(url, recipient)
    if not file.is_file():
        return None
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        row = database.execute(f"SELECT number FROM {PUBLICATION} WHERE product = ?", [product_id]).fetchone()  # noqa: S608
    return row[0] if row else None


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """The only staging of this recipient on this machine; freed by the system if it dies."""
    until = time.monotonic() + WAIT_SECONDS
    with (final.parent / f".{final.stem}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    told = f"{final.stem} : une autre publication est en cours ; relancez la même commande"
                    raise WarehouseUnavailable(told) from None
                time.sleep(0.1)
        yield


@contextmanager
def _database(making: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on a file in the making. A killed run may leave it in any state: it has no journal beside it."""
    try:
        with closing(sqlite3.connect(making, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = MEMORY")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN")
            yield database
            database.execute("COMMIT")
    except sqlite3.Error as problem:  # of our statements: no value in what it says
        kind = WarehouseUnavailable if isinstance(problem, sqlite3.OperationalError) else WarehouseError
        raise kind(f"{making.parent} : {sqlite_error(str(problem))} ; relancez la même commande") from None


def _write(making: Path, product: Product, frames: "Mapping[str, pl.DataFrame]", facts: Mapping[str, Any]) -> None:
    with _database(making) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if name.startswith(prefix(product)):
                database.execute(f"DROP TABLE {_quoted(name)}")
        for table in product.tables:
            _load(database, physical(product, table.name), table, frames[table.name])
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in FACTS.items())
        database.execute(f"CREATE TABLE IF NOT EXISTS {PUBLICATION} ({columns}, PRIMARY KEY (product))")
        values = ", ".join("?" * len(FACTS))
        database.execute(f"INSERT OR REPLACE INTO {PUBLICATION} VALUES ({values})", [facts[name] for name in FACTS])  # noqa: S608


def _load(database: sqlite3.Connection, name: str, table: Table, frame: "pl.DataFrame") -> None:
    """The label of each column stays in the schema, as a comment."""
    import polars as pl

    kinds = types(table)
    told = ((_quoted(column.name), kinds[column.name], described(column).replace("*/", "")) for column in table.columns)
    columns = ",\n".join(f"  {name} {kind} /* {label} */" for name, kind, label in told)
    database.execute(f"CREATE TABLE {_quoted(name)} (\n{columns}\n)")
    stored = frame.with_columns(pl.col(pl.Decimal).cast(pl.Float64), pl.col(pl.Date).cast(pl.String))
    values = ", ".join("?" * frame.width)
    database.executemany(f"INSERT INTO {_quoted(name)} VALUES ({values})", stored.iter_rows(buffer_size=SLICE))  # noqa: S608


def _place(making: Path, final: Path, product: Product) -> None:
    with _database(making) as database:  # once the gate has told what is twice
        for table in product.tables:
            name, keys = physical(product, table.name), ", ".join(map(_quoted, table.keys))
            database.execute(f"CREATE UNIQUE INDEX {_quoted(name + '__key')} ON {_quoted(name)} ({keys})")
    with storing(final):
        sync(making)
        making.rename(final)
        sync(final.parent)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
