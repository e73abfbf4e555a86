"""What a published table tells of itself in a few figures: its rows and its sums of money, by result and in all.

In integer cents, of the published rows. Must never take a value that is not there for a zero.
"""

import polars as pl

from contracts_schema.products import Table
from contracts_schema.table_schema import NO, YES

COUNT = "rows"


def sums(table: Table, rows: pl.DataFrame) -> dict[str, int | None]:
    """The sum in cents of each column that the contract sums (``sums``); None where no row has a value."""
    return rows.select(_sum(name) for name in table.sums).row(0, named=True) if table.sums else {}


def by_result(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """One row a value of the column ``by``, as people read it: the value, how many rows (``rows``), the sums in cents.

    In the order of the contract's colours or words. No row where the contract names no such column.
    """
    if not table.by:
        return pl.DataFrame(schema={"by": pl.String, COUNT: pl.UInt32})
    column = next(column for column in table.columns if column.name == table.by)
    words = [*table.colours.get(table.by, {}), *column.constraints.get("enum", (YES, NO))]
    ranks = {word: rank for rank, word in reversed(list(enumerate(words)))}
    value = pl.col(table.by)
    told = pl.when(value).then(pl.lit(YES)).when(~value).then(pl.lit(NO)) if column.type == "boolean" else value.cast(pl.String)
    found = rows.group_by(told.alias("by")).agg(pl.len().alias(COUNT), *(_sum(name) for name in table.sums))
    rank = pl.col("by").replace_strict(ranks, default=len(words), return_dtype=pl.Int64)
    return found.sort(rank, "by", nulls_last=True)


def _sum(name: str) -> pl.Expr:
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum())
