"""The centres as the stocks of FINESS have them on the last day of a year, which hold the establishments open on their own day.

A stock proves what it holds, and only so much of what it does not: a centre opened or closed between its day and that last day,
or of a département that it does not cover, is not known, which is never « absent ».
"""

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from checks.cds.facts import REGISTER

UNKNOWN = "INCONNU"
"""``kind`` of a centre of which the stocks cannot tell; one that they should hold and do not has no row."""


def nearest(days: Collection[date], on: date) -> list[date]:
    """Of the days of stocks, the last one up to a day and the first one after it, the nearer one first."""
    before, after = [day for day in days if day <= on], [day for day in days if day > on]
    found = ([max(before)] if before else []) + ([min(after)] if after else [])
    return sorted(found, key=lambda day: abs(day - on))


def registered(stocks: Sequence[tuple[date, pl.DataFrame]], centres: pl.DataFrame, on: date, declared_on: date) -> pl.DataFrame:
    """``REGISTER`` of centres (finess_et, opened_on, closed_on) on a day. ``stocks``: those of ``nearest``, with their rows of
    the dataset finess_et.

    A centre that neither stock holds is absent only if one of them should hold it, by the life that the centre declares, which
    is known up to ``declared_on``.
    """
    known = pl.concat([rows.select("finess", "finess_ej", "category") for _, rows in stocks])
    known = known.unique("finess", keep="first", maintain_order=True)
    asked = centres.select(pl.col("finess_et").alias("finess"), "opened_on", "closed_on").drop_nulls("finess").unique("finess")
    rows = asked.join(known.with_columns(held=pl.lit(value=True)), on="finess", how="left", maintain_order="left")
    entity = pl.col("finess").is_in(known["finess_ej"].drop_nulls().unique().implode())
    covered = pl.col("finess").str.head(2).is_in(known["finess"].str.head(2).unique().implode())
    due = covered & pl.any_horizontal(*(_should_hold(day, on, declared_on) for day, _ in stocks))
    kind = pl.when("held").then(pl.lit("ET")).when(entity).then(pl.lit("EJ")).when(~due).then(pl.lit(UNKNOWN))
    told = rows.with_columns(kind=kind, closed_on=pl.lit(None, pl.Date)).filter(pl.col("kind").is_not_null())
    return told.select(pl.col(name).cast(dtype) for name, dtype in REGISTER.items()).sort("finess")


def _should_hold(day: date, on: date, declared_on: date) -> pl.Expr:
    """Whether a centre says that it was open on the day of a stock; one of that campaign had opened by ``on``."""
    opened = pl.lit(day > on) | (pl.col("opened_on") <= day).fill_null(value=False)
    open_still = pl.col("closed_on").is_null() | (pl.col("closed_on") > day)
    return pl.lit(day <= declared_on) & opened & open_still
