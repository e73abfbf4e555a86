"""Recipients' tables in PostgreSQL: staged in a schema of the publisher's, then written over the old rows.

The swap deletes the rows and inserts the new ones in one transaction. A rename or a truncation would cost half of that, but
would wait for readers and keep them waiting, and a reader in a long transaction would find the new table empty.
Must never run as an administrator, nor grant anything: that is ``warehouse.roles``.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from contracts_schema.products import Product, Table
from warehouse.postgresql import Connection, WarehouseError, WarehouseUnavailable, connected, written
from warehouse.recipient_tables import FACTS, PUBLICATION, SLICE, WAIT_SECONDS, Staging, described, physical, prefix, types
from warehouse.recipients import Recipient

if TYPE_CHECKING:
    import polars as pl

READERS_SECONDS = 5
"""How long a changed column waits for readers of the table, which it alone disturbs."""
SHAPE = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), coalesce(a.attnum = ANY (k.conkey), false)
FROM pg_attribute a LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


@contextmanager
def staged(
    url: str, recipient: Recipient, product: Product, frames: "Mapping[str, pl.DataFrame]", facts: Mapping[str, Any]
) -> Iterator[Staging]:
    """See ``warehouse.recipient_tables.staged``."""
    schema = recipient.staging_schema
    with connected(url) as connection:
        connection.execute(f"SET lock_timeout = '{READERS_SECONDS}s'")
        _alone(connection, schema)
        _drop(connection, schema, _tables(connection, schema))
        try:
            for table in product.tables:
                _load(connection, schema, physical(product, table.name), table, frames[table.name])
            yield Staging(url, schema, product, lambda: _swap(connection, recipient, product, facts))
        finally:
            with suppress(psycopg.Error):  # lost connection, or a reader that is not done: the next staging does it
                _drop(connection, schema, _tables(connection, schema))


def standing(url: str, recipient: Recipient, product_id: str) -> int | None:
    """See ``warehouse.recipient_tables.standing``."""
    with connected(url) as connection:
        if PUBLICATION not in _tables(connection, recipient.schema):
            return None
        query = written("SELECT number FROM {schema}.{table} WHERE product = {product_text}",
                        schema=recipient.schema, table=PUBLICATION, product_text=product_id)  # fmt: skip
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def _alone(connection: Connection, schema: str) -> None:
    """Wait to be the only one that stages for this recipient, until the connection ends. WarehouseError if not provisioned."""
    if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone():
        raise WarehouseError(f"pas de schéma {schema} dans la base : lancez « ecluse provision »")
    until = time.monotonic() + WAIT_SECONDS
    while connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [schema]).fetchone() != (True,):
        if time.monotonic() > until:
            raise WarehouseUnavailable(f"{schema} : une autre publication est en cours ; relancez la même commande")
        time.sleep(0.1)


def _tables(connection: Connection, schema: str) -> list[str]:
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace(quote_ident(%s))::oid"
    return [name for (name,) in connection.execute(query, [schema])]


def _drop(connection: Connection, schema: str, names: list[str]) -> None:
    for name in names:
        connection.execute(written("DROP TABLE {schema}.{name}", schema=schema, name=name))


def _load(connection: Connection, schema: str, name: str, table: Table, frame: "pl.DataFrame") -> None:
    """A staging table takes whatever the types can hold: what the contract asks for is for the gate to tell."""
    columns = sql.SQL(", ").join(sql.SQL(f"{{}} {kind}").format(sql.Identifier(key)) for key, kind in types(table).items())
    place = sql.Identifier(schema, name)
    connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(place, columns))
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(place)) as copy:
        for part in frame.iter_slices(SLICE):
            copy.write(part.write_csv(include_header=False))  # an empty text is written "", a missing one nothing
    connection.execute(sql.SQL("ANALYZE {}").format(place))


def _swap(connection: Connection, recipient: Recipient, product: Product, facts: Mapping[str, Any]) -> None:
    schema, names = recipient.schema, [physical(product, table.name) for table in product.tables]
    with connection.transaction():
        for name, table in zip(names, product.tables, strict=True):
            _replace(connection, recipient, name, table)
            _label(connection, schema, name, table)
        gone = [name for name in _tables(connection, schema) if name.startswith(prefix(product)) and name not in names]
        _drop(connection, schema, gone)
        _tell(connection, schema, facts)
    for name in names:  # room for the next publication, and figures for the readers' queries
        connection.execute(written("VACUUM (ANALYZE, SKIP_LOCKED) {schema}.{name}", schema=schema, name=name))


def _replace(connection: Connection, recipient: Recipient, name: str, table: Table) -> None:
    """Write the staged rows over those in place; make the table when there is none, again when its contract has changed."""
    place, staging = sql.Identifier(recipient.schema, name), sql.Identifier(recipient.staging_schema, name)
    wanted = [(key, kind, key in table.keys) for key, kind in types(table).items()]
    present = connection.execute(SHAPE, [place.as_string(connection)]).fetchall()
    if present == wanted:
        connection.execute(sql.SQL("DELETE FROM {}").format(place))
        connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(place, staging))
        return
    keys = sql.SQL(", ").join(map(sql.Identifier, table.keys))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place))
    connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(place, staging))
    connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(place, keys))


def _label(connection: Connection, schema: str, name: str, table: Table) -> None:
    place = sql.Identifier(schema, name)
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(place, sql.Literal(table.label_fr)))
    for column in table.columns:
        of = sql.Identifier(schema, name, column.name)
        connection.execute(sql.SQL("COMMENT ON COLUMN {} IS {}").format(of, sql.Literal(described(column))))


def _tell(connection: Connection, schema: str, facts: Mapping[str, Any]) -> None:
    place = sql.Identifier(schema, PUBLICATION)
    columns = sql.SQL(", ").join(sql.SQL(f"{{}} {kind} NOT NULL").format(sql.Identifier(key)) for key, kind in FACTS.items())
    connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (product))").format(place, columns))
    told = sql.SQL("COMMENT ON TABLE {} IS 'La publication en place de chaque produit, avec son reçu du journal'")
    connection.execute(told.format(place))
    connection.execute(sql.SQL("DELETE FROM {} WHERE product = {}").format(place, sql.Literal(facts["product"])))
    values = sql.SQL(", ").join(sql.Literal(facts[name]) for name in FACTS)
    connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(place, values))
