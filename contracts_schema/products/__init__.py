"""Product contracts: what a recipient gets, column by column, from one YAML file a product.

Files, dictionaries, Table Schema, ODCS and the table gate are all made from these, so none of them can say something else.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from contracts_schema.yaml_files import read_yaml

CLASSIFICATIONS = ("public", "aggregate", "individual", "restricted")
"""From open to never published: open facts, counts over a threshold, lines about a pseudonymous person, direct links."""


@dataclass(frozen=True)
class Column:
    """A published column: ``type`` and ``constraints`` as in Table Schema (required, minimum, maximum, enum, pattern).

    ``unit``: euro for a column of integer cents that people read in euros, percent for a rate out of 100.
    """

    name: str
    type: str
    classification: str
    label_fr: str
    constraints: dict[str, Any] = field(default_factory=dict)
    unit: str | None = None


@dataclass(frozen=True)
class RowCheck:
    """What every row of a published table must satisfy: a condition in SQL that SQLite and PostgreSQL both read.

    It must be true: null is a breach. A dated parameter is named ``:name``. One whose ``severity`` is warning stops nothing.
    """

    id: str
    label_fr: str
    sql: str
    severity: str = "critical"


@dataclass(frozen=True)
class Mask:
    """Where any of ``counts`` (SQL over the columns) is under the threshold, the columns of ``hides`` are left empty."""

    counts: tuple[str, ...]
    hides: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A published table, the view it comes from, and the view whose rows explain its measures.

    ``measures`` gives per measure the condition (SQL) on that view's rows, or one condition per variant. ``may_be_empty``: a
    recipient's territory may have no row of it.
    """

    name: str
    view: str
    label_fr: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    mask: tuple[Mask, ...]
    checks: tuple[RowCheck, ...]
    explained_by: str
    measures: dict[str, str | dict[str, str]]
    may_be_empty: bool = False


@dataclass(frozen=True)
class Product:
    id: str
    recipient_kind: str
    label_fr: str
    description_fr: str
    territory_column: str
    tables: tuple[Table, ...]


@cache
def products() -> dict[str, Product]:
    """Every product contract by id."""
    folder = files("contracts_schema").joinpath("products")
    found = (_product(read_yaml(path)) for path in folder.iterdir() if path.name.endswith(".yaml"))
    return {product.id: product for product in sorted(found, key=lambda product: product.id)}


def _product(entry: dict[str, Any]) -> Product:
    return Product(**{**entry, "tables": tuple(_table(table) for table in entry["tables"])})


def _table(entry: dict[str, Any]) -> Table:
    explained = entry["explained_by"]
    return Table(
        name=entry["name"],
        view=entry["view"],
        label_fr=entry["label_fr"],
        keys=tuple(entry["keys"]),
        columns=tuple(Column(**column) for column in entry["columns"]),
        mask=tuple(Mask(tuple(mask["counts"]), tuple(mask["hides"])) for mask in entry["mask"]),
        checks=tuple(RowCheck(**check) for check in entry.get("checks", [])),
        explained_by=explained["view"],
        measures=explained["measures"],
        may_be_empty=entry.get("may_be_empty", False),
    )
