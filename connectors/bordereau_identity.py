"""What makes a bordereau and its lines the same when they come again, in another order or format."""

import hashlib
import json

import polars as pl

from connectors.bordereau import Bordereau
from connectors.bordereau_lines import LINES
from connectors.bordereau_values import normalised

CONTENT = tuple(
    name for name in LINES if name not in ("line_number", "sheet", "row", "date_raw", "count_raw", "unit_raw", "amount_raw")
    and name not in ("date_sign", "delegate_raw", "rpps_repaired", "notes", "cells")
)  # fmt: skip
"""Columns that say the content of a line, whatever the file that carried it."""


def content_digest(bordereau: Bordereau) -> str:
    """SHA-256 of what the lines say, whatever their order and the format of the file: equal content, equal digest."""
    rows = bordereau.lines.select(CONTENT).write_ndjson()
    patients = bordereau.lines.select("line_number").join(
        bordereau.patients, on="line_number", how="left", maintain_order="left"
    )
    restricted = patients.drop("line_number").write_ndjson()
    both = sorted(f"{line}{patient}" for line, patient in zip(rows.split("\n"), restricted.split("\n"), strict=True))
    return hashlib.sha256("\n".join(both).encode()).hexdigest()


def line_ids(lines: pl.DataFrame, structure: str, scope: str) -> pl.Series:
    """Identity of each line, 16 hexadecimal digits: structure, scope, then its reference, else what was done, when and by whom,
    and its rank among equal ones. It survives a new sending; the amount is no part of it.
    """
    told = pl.concat_str(
        pl.coalesce("family", normalised(pl.col("label"))), "act", pl.coalesce("day", "month").cast(pl.String),
        pl.coalesce("rpps", normalised(pl.col("delegate_raw"))), separator="|", ignore_nulls=True,
    )  # fmt: skip
    key = pl.when(pl.col("ref").is_not_null()).then(pl.concat_str(pl.lit("ref|"), "ref")).otherwise(told)
    keyed = lines.select(key.alias("key")).with_columns(pl.int_range(pl.len()).over("key").alias("rank"))
    start = json.dumps([structure, scope])
    ids = [hashlib.sha256(f"{start}|{key}|{rank}".encode()).hexdigest()[:16] for key, rank in keyed.iter_rows()]
    return pl.Series("line_id", ids, dtype=pl.String)
