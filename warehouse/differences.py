"""What changed between two segments of a table: rows compared as multisets by content, without what each run numbers anew.

Rows are told apart by a 64-bit hash of their content and given by line number. Must never give, nor put in an error, what a
row holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from contracts_schema.families import FAMILIES, formats
from contracts_schema.layouts import Layout, Zone
from contracts_schema.yaml_files import read_yaml
from warehouse.views import MEMORY_LIMIT

FORMAT = "format_version"
MONTH = "exit_month"


@dataclass(frozen=True)
class RowChanges:
    """Rows of each side, and how many are found on both, each as often as on the side that has it less often."""

    left: int
    right: int
    unchanged: int
    removed: npt.NDArray[np.int64]
    """Line numbers, in the left file, of the rows that the right lacks; of equal rows, the last."""
    added: npt.NDArray[np.int64]
    """Line numbers, in the right file, of the rows that the left lacks; of equal rows, the last."""
    by_month: dict[int, tuple[int, int]]
    """Rows removed and added per month of exit, where the table has one."""
    not_compared: tuple[str, ...]
    """Fields that only some of the formats met have: a stay sent again in another format has not changed for that."""


@dataclass(frozen=True)
class RunDependent:
    """Columns of a table, and fields of its zones, that say nothing of a row's content."""

    fields: frozenset[str]
    zones: dict[str, frozenset[str]]

    @property
    def names(self) -> frozenset[str]:
        return self.fields.union(*self.zones.values())


@cache
def run_dependent(table: str) -> RunDependent:
    """What is left out when rows of a table are compared, from ``contracts_schema/pmsi/run_dependent.yaml``."""
    declared = read_yaml(files("contracts_schema").joinpath("pmsi", "run_dependent.yaml"))
    own = declared["tables"].get(table, {})
    zones = {zone: frozenset(names) for zone, names in own.get("zones", {}).items()}
    return RunDependent(frozenset([*declared["every_table"], *own.get("fields", [])]), zones)


def rows_changed(table: str, left: Path | None, right: Path | None) -> RowChanges:
    """Compare two segments of a table, on the fields that all the formats met have; None is a side without that table."""
    with duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "temp_directory": ""}) as engine:
        sides = {is_right: engine.read_parquet(str(path)) for is_right, path in ((False, left), (True, right)) if path}
        names = [set(side.columns) for side in sides.values()]
        columns = set.intersection(*names) if names else set()
        met = _formats_met(table, sides.values(), columns)
        common, partial = _fields(met)
        partial |= set().union(*names) - columns
        content = ", ".join(_content(table, sorted(columns - partial), met, common))
        month = MONTH if MONTH in columns else "null"
        engine.execute("create table row (is_right boolean, hash ubigint, line_number bigint, month integer)")
        for is_right, side in sides.items():
            number = "line_number" if "line_number" in side.columns else "0"
            side.project(f"{is_right}, hash({content}), {number}, {month}").insert_into("row")
        return _compared(engine, tuple(sorted(partial - run_dependent(table).names)))


def same_rows(left: Path, right: Path) -> bool:
    """Whether two segments hold the same rows to the cell, each as often, in whatever order and on whatever lines."""
    with duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "temp_directory": ""}) as engine:
        sides = [engine.read_parquet(str(path)) for path in (left, right)]
        columns, others = (sorted(set(side.columns) - run_dependent("").fields) for side in sides)
        if columns != others or not columns:
            return columns == others
        content = ", ".join(f'"{name}"' for name in columns)
        mine, theirs = (
            side.project(f"hash({content}) as hash, {sign} as side") for side, sign in zip(sides, (1, -1), strict=True)
        )
        return not mine.union(theirs).aggregate("hash, sum(side) as excess", "hash").filter("excess <> 0").limit(1).fetchall()


def _formats_met(table: str, sides: Iterable[duckdb.DuckDBPyRelation], columns: set[str]) -> dict[str, Layout]:
    """Layouts by the format number that rows carry; none where rows carry no number or one that no layout names."""
    family = next((family for family in FAMILIES.values() if family.table == table), None)
    if family is None or FORMAT not in columns:
        return {}
    known = formats(family)
    carried = {row[0] for side in sides for row in side.unique(FORMAT).fetchall()}
    return {number: known[number] for number in sorted(carried & set(known))}


def _fields(met: Mapping[str, Layout]) -> tuple[set[str], set[str]]:
    """Fields, those of zones included, that all of these formats have; and those that only some have."""
    parts = {number: [layout.fields, *(zone.fields for zone in layout.zones)] for number, layout in met.items()}
    each = [{field.name for fields in found for field in fields if not field.is_filler} for found in parts.values()]
    common = set.intersection(*each) if each else set()
    return common, set().union(*each) - common


def _content(table: str, columns: Iterable[str], met: Mapping[str, Layout], common: set[str]) -> list[str]:
    """What of a row is compared, as SQL expressions."""
    ignored = run_dependent(table)
    zones = {f"{zone.name}_zone": zone.name for layout in met.values() for zone in layout.zones}
    fixed = [name for name in columns if name not in ignored.fields and name not in zones]
    kept = {zone: common - ignored.zones.get(zone, frozenset()) for zone in zones.values()}
    return fixed + [_zone(name, met, kept[zones[name]]) for name in columns if name in zones]


def _zone(column: str, met: Mapping[str, Layout], kept: set[str]) -> str:
    """A zone's content: the whole of it, or per item the fields that are kept, cut by the layout of the row's format."""
    found = {number: next(z for z in layout.zones if f"{z.name}_zone" == column) for number, layout in met.items()}
    cuts = {number: (zone.width, _spans(zone, kept)) for number, zone in found.items()}
    if all(spans == [(0, width)] for width, spans in cuts.values()):
        return column
    items = {number: _items(column, width, spans) for number, (width, spans) in cuts.items()}
    if len(set(items.values())) == 1:
        return next(iter(items.values()))
    return f"case {FORMAT} " + " ".join(f"when '{number}' then {item}" for number, item in items.items()) + " end"


def _spans(zone: Zone, kept: set[str]) -> list[tuple[int, int]]:
    """Where the kept fields of a zone's item stand, as (offset, length), fields that touch put together."""
    spans: list[tuple[int, int]] = []
    for field in zone.fields:
        if field.name in kept:
            if spans and sum(spans[-1]) == field.offset:
                spans[-1] = (spans[-1][0], spans[-1][1] + field.length)
            else:
                spans.append((field.offset, field.length))
    return spans


def _items(column: str, width: int, spans: list[tuple[int, int]]) -> str:
    pieces = " || ".join(f"substr({column}, item * {width} + {offset + 1}, {length})" for offset, length in spans) or "''"
    return f"list_transform(range(length({column}) // {width}), lambda item: {pieces})"


# Of equal rows, as many stay as the side with fewer has: the first of each side.
DIFFERING = """
    with uneven as (
        select hash, least(count(*) filter (is_right), count(*) filter (not is_right)) as stay
        from row
        group by hash
        having count(*) filter (is_right) <> count(*) filter (not is_right)
    )
    select is_right, line_number, month
    from row
    inner join uneven using (hash)
    qualify row_number() over (partition by hash, is_right order by line_number) > stay
    order by line_number
"""


def _compared(engine: duckdb.DuckDBPyConnection, not_compared: tuple[str, ...]) -> RowChanges:
    rows = dict(engine.sql("select is_right, count(*) from row group by is_right").fetchall())
    differing: pl.DataFrame = engine.sql(DIFFERING).pl()
    removed, added = (differing.filter(is_right=side)["line_number"].to_numpy() for side in (False, True))
    of_side = [(pl.col("is_right") == side).sum().alias(str(side)) for side in (False, True)]
    months = differing.drop_nulls("month").group_by("month").agg(of_side).sort("month")
    left = rows.get(False, 0)
    return RowChanges(
        left=left,
        right=rows.get(True, 0),
        unchanged=left - removed.size,
        removed=removed,
        added=added,
        by_month={month: (gone, come) for month, gone, come in months.iter_rows()},
        not_compared=not_compared,
    )
