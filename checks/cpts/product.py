"""The tables of the product about CPTS and FIR: simulated parts of contracts, commitments, sources side by side.

Judges nothing. A contract or a commitment whose region is not known is in no table.
"""

import polars as pl

from checks.cpts.agreement import AMOUNTS, GRANT, side_by_side
from contracts_schema import cpts_facts
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import products

KINDS = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date()}


def tables(contracts: pl.DataFrame, parts: pl.DataFrame, commitments: pl.DataFrame | None) -> dict[str, pl.DataFrame]:
    """The tables by the name of their view. ``contracts``: ``agreement.CONTRACTS``; ``parts``: ``agreement.AMOUNTS`` of one
    year of contract or several; ``commitments``: the rows of ``connectors.cpts.read_fir`` (None: none came)."""
    names = {entry["code"]: entry["label_fr"] for entry in cpts_facts.agreement()["missions"]} | {GRANT: "Fonctionnement"}
    told = pl.concat([pl.DataFrame(schema=AMOUNTS), parts]).join(
        contracts.select("contract_id", "region"), on="contract_id", how="left"
    )
    told = told.with_columns(
        mission_fr=pl.col("mission").replace_strict(names, default=pl.col("mission"), return_dtype=pl.String),
        status_fr=pl.col("status").replace_strict(STATUSES_FR, return_dtype=pl.String),
        reason="reason_fr",
    )
    made = {"out_ars__cpts_part": told}
    regions = told.select("region")
    if commitments is not None:
        rows = commitments.with_columns(region=pl.col("ars_code").str.extract(r"^R?([0-9]{2})$"))
        rows = rows.sort("region", "file", "line")
        made["out_ars__fir_commitment"] = rows.with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("region"))
        regions = pl.concat([regions, rows.select("region")])
    made["out_ars__cpts_source"] = side_by_side().join(regions.unique().drop_nulls().sort("region"), how="cross")
    return {name: _as_contract(name, rows) for name, rows in made.items()}


def _as_contract(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    table = next(table for one in products().values() for table in one.tables if table.view == view)
    placed = rows.filter(pl.col("region").is_not_null())
    return placed.select(pl.col(column.name).cast(KINDS[column.type]) for column in table.columns).sort(table.keys)
