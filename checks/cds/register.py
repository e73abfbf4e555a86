"""The centres as the stocks of FINESS have them on the last day of a year, which hold the establishments open on their own day.

A stock proves what it holds, and only so much of what it does not: a centre opened or closed between its day and that last day,
or of a département that it does not cover, is not known, which is never « absent ».
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from checks.cds.facts import REGISTER

UNKNOWN = "INCONNU"
"""``kind`` of a centre of which the stocks cannot tell; one that they should hold and do not has no row."""


def registered(stocks: Sequence[tuple[date, pl.DataFrame]], centres: pl.DataFrame, on: date) -> pl.DataFrame:
    """``REGISTER`` of centres (finess_et, opened_on, closed_on) on a day. ``stocks``: day and rows of the dataset finess_et.

    Read of the last stock up to that day and of the first one after it, the nearer one first.
    """
    before = [one for one in stocks if one[0] <= on][-1:]
    after = [one for one in stocks if one[0] > on][:1]
    near = [
        rows.select("finess", "finess_ej", "category") for _, rows in sorted(before + after, key=lambda one: abs(one[0] - on))
    ]
    known = pl.concat(near).unique("finess", keep="first", maintain_order=True)
    asked = centres.select(pl.col("finess_et").alias("finess"), "opened_on", "closed_on").drop_nulls("finess").unique("finess")
    rows = asked.join(known.with_columns(held=pl.lit(value=True)), on="finess", how="left", maintain_order="left")
    entity = pl.col("finess").is_in(known["finess_ej"].drop_nulls().unique().implode())
    covered = pl.col("finess").str.head(2).is_in(known["finess"].str.head(2).unique().implode())
    blind = ~covered
    if not before:
        blind |= (pl.col("closed_on") > on).fill_null(value=False)
    elif not after:
        blind |= (pl.col("opened_on") > before[0][0]).fill_null(value=False)
    kind = pl.when("held").then(pl.lit("ET")).when(entity).then(pl.lit("EJ")).when(blind).then(pl.lit(UNKNOWN))
    told = rows.with_columns(kind=kind, closed_on=pl.lit(None, pl.Date)).filter(pl.col("kind").is_not_null())
    return told.select(REGISTER.names()).cast(dict(REGISTER)).sort("finess")  # type: ignore[arg-type]
