"""Recipients' tables in a database: loaded where nobody else reads, judged there, then put in place in one step.

In PostgreSQL a schema per recipient (``warehouse.recipient_schemas``), else an SQLite file per recipient in a folder
(``warehouse.recipient_files``). Must never show a reader a mix of two publications, nor leave anything behind when one is
given up.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts_schema.products import Column, Product, Table
from warehouse.postgresql import is_postgresql
from warehouse.recipients import Recipient

if TYPE_CHECKING:
    import polars as pl

TYPES = {"string": "text", "integer": "bigint", "number": "numeric(18,2)", "boolean": "boolean", "date": "date"}
UNITS = {"euro": "en centimes d'euro", "percent": "en %"}
PUBLICATION = "publication"
FACTS = {
    "product": "text",
    "number": "bigint",
    "log_position": "bigint",
    "log_hash": "text",
    "content": "text",
    "known_at": "text",
}
"""Columns of the table ``publication``: which publication of each product stands, and the log's receipt for it."""
WAIT_SECONDS = 60
SLICE = 100_000
"""Rows handed to a database at a time."""


@dataclass(frozen=True)
class Staging:
    """A publication that waits: where its gate reads it (``schema`` is None in SQLite), and what puts it in place.

    ``swap`` replaces the product's tables and its row in ``publication`` in one step; to be called once, while the context
    of ``staged`` lasts.
    """

    url: str
    schema: str | None
    product: Product
    swap: Callable[[], None]

    def table(self, name: str) -> str:
        """The physical name of a table of the product, the same before and after the swap."""
        return physical(self.product, name)


@contextmanager
def staged(
    url: str, recipient: Recipient, product: Product, tables: "Mapping[str, pl.DataFrame]", publication: Mapping[str, Any]
) -> Iterator[Staging]:
    """Load a publication (a frame per table, with the contract's columns) where nobody but its gate reads it.

    ``url`` is the setting ``warehouse_url``. ``publication`` gives the FACTS, product aside. One staging at a time for a
    recipient: another waits a minute, then WarehouseUnavailable. What runs that died left is removed here.
    """
    from warehouse import recipient_files, recipient_schemas

    facts = {"product": product.id, **publication}
    if facts.keys() != FACTS.keys():
        raise ValueError(f"a publication says {', '.join(FACTS)}")
    frames = {table.name: tables[table.name].select([column.name for column in table.columns]) for table in product.tables}
    place = recipient_schemas.staged if is_postgresql(url) else recipient_files.staged
    with place(url, recipient, product, frames, facts) as staging:
        yield staging


def standing(url: str, recipient: Recipient, product_id: str) -> int | None:
    """The number of the publication that the recipient's tables hold now; None when they hold none."""
    from warehouse import recipient_files, recipient_schemas

    place = recipient_schemas.standing if is_postgresql(url) else recipient_files.standing
    return place(url, recipient, product_id)


def physical(product: Product, table: str) -> str:
    """``pmsi_activity__indicator`` for the table ``indicator`` of ``pmsi-activity``."""
    return f"{prefix(product)}{table}"


def prefix(product: Product) -> str:
    """How the names of all tables of a product begin, in a database that holds several."""
    return product.id.replace("-", "_") + "__"


def described(column: Column) -> str:
    """The French label of a column, with its unit."""
    unit = UNITS.get(column.unit or "")
    return (
        f"{column.label_fr} ({unit})"
        if unit and unit not in column.label_fr and "(%)" not in column.label_fr
        else column.label_fr
    )


def types(table: Table) -> dict[str, str]:
    """The SQL type of each column."""
    return {column.name: TYPES[column.type] for column in table.columns}
