"""Product contracts: what a recipient gets, column by column, from one YAML file a product."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Column:
    """A published column: ``type`` as in Table Schema, ``classification`` public or aggregate."""

    name: str
    type: str
    classification: str
    label_fr: str


@dataclass(frozen=True)
class Mask:
    """Where any of ``counts`` (SQL over the columns) is under the threshold, the columns of ``hides`` are left empty."""

    counts: tuple[str, ...]
    hides: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A published table, the view it comes from, and the view whose rows explain its measures.

    ``measures`` gives per measure the condition (SQL) on that view's rows, or one condition per variant.
    """

    name: str
    view: str
    label_fr: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    mask: tuple[Mask, ...]
    explained_by: str
    measures: dict[str, str | dict[str, str]]


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
    texts = (path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(".yaml"))
    found = (_product(yaml.safe_load(text)) for text in texts)
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
        explained_by=explained["view"],
        measures=explained["measures"],
    )
