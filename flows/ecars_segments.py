"""How what e-CARS exports say lies in segments: a segment a frame, or all frames of a small export in one.

A workbook of one contract is some eighty rows: three files for it would cost more than reading it. Must never mix two exports.
"""

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path

import polars as pl

from connectors.ecars_files import EXPORT, SOURCE
from contracts_schema.cpom_frames import schema
from flows.hub import Hub
from warehouse.heads import Head

FRAMES = ("sheet", "row", "value", "financial_line", "recognition")
WHOLE = f"{SOURCE}_{EXPORT}"
"""The table of all frames of a small export: each row says which ``frame`` it is of, and leaves the columns of others null."""
NAMING = (f"{SOURCE}_sheet", WHOLE)
"""The tables that name the contracts of an export."""
FEW = 2_000
"""Rows of an export that is kept in one segment."""
AT_ONCE = 500
"""Segments read at a time: the columns of all frames side by side take memory."""


def table_of(frame: str) -> str:
    """The table of a frame of ``contracts_schema.cpom_frames``."""
    return f"{SOURCE}_{frame}"


def keep(hub: Hub, frames: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Keep what an export says; gives the segment of each table. Frames without rows are left out."""
    filled = {name: rows for name, rows in frames.items() if rows.height}
    if sum(rows.height for rows in filled.values()) > FEW or not filled:
        return {table_of(name): segment(hub, rows) for name, rows in filled.items()}
    told = [rows.select(pl.lit(name).alias("frame"), pl.all()) for name, rows in filled.items()]
    return {WHOLE: segment(hub, pl.concat(told, how="diagonal"))}


def segment(hub: Hub, frame: pl.DataFrame) -> str:
    """Keep a frame as a segment; gives its hash. Small frames by thousands: no thread is started for each."""
    with hub.blobs.scratch(".parquet") as path:
        frame.write_parquet(path, compression="zstd", compression_level=1)
        return hub.blobs.adopt_segment(path)


def read(hub: Hub, heads: Iterable[Head]) -> dict[str, pl.DataFrame]:
    """What these exports say, a frame each; the rows of one export in their order."""
    known = list(heads)
    parts: dict[str, list[pl.DataFrame]] = {name: [pl.DataFrame(schema=schema(name))] for name in FRAMES}
    for start in range(0, len(known), AT_ONCE):
        some = known[start : start + AT_ONCE]
        whole = _rows(hub, WHOLE, _columns(), some)
        for name in FRAMES:
            mine = whole.filter(pl.col("frame") == name)
            parts[name] += [mine.select(schema(name).names()), _rows(hub, table_of(name), schema(name), some)]
    return {name: pl.concat(found, rechunk=True) for name, found in parts.items()}


@lru_cache(maxsize=8)
def numbers(segments: tuple[Path, ...]) -> dict[Path, frozenset[str]]:
    """The legal entities that these segments, of tables of ``NAMING``, name."""
    rows = pl.scan_parquet(list(segments), include_file_paths="path", schema={"finess_ej": pl.String()}, extra_columns="ignore")
    found: dict[Path, set[str]] = {segment: set() for segment in segments}
    for number, path in rows.drop_nulls().unique().collect().rows():
        found[Path(path)].add(number)
    return {segment: frozenset(named) for segment, named in found.items()}


def _rows(hub: Hub, table: str, columns: pl.Schema, heads: Iterable[Head]) -> pl.DataFrame:
    """The rows of a table, of all exports that have it; a column that a segment lacks is null."""
    paths = [hub.blobs.segment_path(head.tables[table]) for head in heads if table in head.tables]
    if not paths:
        return pl.DataFrame(schema=columns)
    return pl.read_parquet(paths, schema=columns, missing_columns="insert").rechunk()


@cache
def _columns() -> pl.Schema:
    """The columns of all frames, side by side."""
    return pl.Schema({"frame": pl.String(), **{column: kind for name in FRAMES for column, kind in schema(name).items()}})
