"""References: tables that views read besides segments and other views, made of heads and layouts or given by who knows more.

Must never hold a row of a delivery: what heads and contracts say, and who is whose, nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from contracts_schema.families import CORRECTIONS
from contracts_schema.layouts import index, layout
from warehouse.heads import PMSI, Head

if TYPE_CHECKING:
    import duckdb

HEADS = "ref_pmsi__head"
ZONE_FIELDS = "ref_pmsi__zone_field"
HPR_SITES = "ref_pmsi__hpr_site"
FINESS_LINKS = "ref_finess__link"

GIVEN = {
    HPR_SITES: ("finess_epmsi", "finess_geo", "valid_from", "valid_to", "status", "source"),
    FINESS_LINKS: ("et", "ej", "valid_from", "valid_to"),
}
"""Columns of what others give: the labelled HPR sites of each number that transmits, and the legal entity (EJ) of each
establishment (ET), a legal entity being its own; from a day to another (excluded). Until something was received both are empty:
no figure is then made for a site, and every EJ is unresolved."""

NAMES = (HEADS, ZONE_FIELDS, *GIVEN)


@dataclass(frozen=True)
class Reference:
    """A table made here and not read from a file: the SQL type of each column, and the rows in their order."""

    columns: dict[str, str]
    rows: tuple[tuple[Any, ...], ...]


NOTHING: Mapping[str, Reference] = MappingProxyType({})


def reference(name: str, heads: Mapping[str, Head], given: Mapping[str, Reference] = NOTHING) -> Reference:
    """A reference table for these heads; of one that others give, the rows that name a transmission of theirs."""
    if name == HEADS:
        return head_rows(heads)
    if name == ZONE_FIELDS:
        return zone_fields()
    numbers = {head.data["finess"] for head in heads.values() if head.source == PMSI}
    rows = given[name].rows if name in given else ()
    return given_rows(name, (row for row in rows if numbers & {*row[:2]}))


def given_rows(name: str, rows: Iterable[tuple[str | None, ...]]) -> Reference:
    """A reference that others give, all of text: these rows, in its columns (see ``GIVEN``)."""
    return Reference(dict.fromkeys(GIVEN[name], "varchar"), tuple(rows))


def head_rows(heads: Mapping[str, Head]) -> Reference:
    """The heads of transmissions as a table: scope, finess, year, period, delivery_id, rows, position, provisional.

    Provisional: before month 12, or before the corrections of the year came (indicators.yaml, conventions).
    """
    columns = {"scope": "varchar", "finess": "varchar", "year": "integer", "period": "integer", "delivery_id": "varchar",
               "rows": "bigint", "position": "bigint", "provisional": "boolean"}  # fmt: skip
    rows = (
        (head.scope, head.data["finess"], head.data["year"], head.period, head.delivery_id, head.rows, head.position,
         (head.period or 0) < 12 or head.data["flow"] not in CORRECTIONS)
        for head in heads.values()
        if head.source == PMSI
    )  # fmt: skip
    return Reference(columns, tuple(rows))


@cache
def zone_fields() -> Reference:
    """Where each field of a zone stands, per format number: format_version, zone, field, start (from 1), zone_width."""
    columns = dict.fromkeys(("format_version", "zone", "field"), "varchar") | dict.fromkeys(("start", "zone_width"), "bigint")
    rows = (
        (found.version, zone.name, field.name, field.offset + 1, zone.width)
        for found in (layout(entry["format_id"]) for entry in index().values() if entry["record"] == "RSA")
        for zone in found.zones
        for field in zone.fields
    )
    return Reference(columns, tuple(rows))


def create(
    engine: "duckdb.DuckDBPyConnection", name: str, heads: Mapping[str, Head], given: Mapping[str, Reference] = NOTHING
) -> None:
    """Make a reference table in this engine."""
    made = reference(name, heads, given)
    columns = ", ".join(f'"{column}" {kind}' for column, kind in made.columns.items())
    engine.execute(f"create or replace temp table {name} ({columns})")
    cells = ", ".join(f"unnest(${place}::{kind}[])" for place, kind in enumerate(made.columns.values(), start=1))
    by_column = [[row[place] for row in made.rows] for place in range(len(made.columns))]
    engine.execute(f"insert into {name} select {cells}", by_column)
