"""Which export stands for what of a contract: annex by annex the last that holds it, result by result the last that gives it.

A synthesis need not hold every sheet: what it does not hold, it does not take back (an annex no longer chosen comes as a sheet
whose rows are empty). Results declared later come beside the choice and never replace it. Pure frames; decides no value.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from checks.cpom.law import Law

Exported = Mapping[str, "pl.DataFrame"]
"""The frames of all exports of a région; ``sheet`` with ``received``, the order in which its export came."""


def standing(exported: Exported) -> "dict[str, pl.DataFrame]":
    """The frames of what stands."""
    import polars as pl

    rounds = _rounds(exported)
    found = _of_sheets(exported, rounds.filter((pl.col("round") == 0) | pl.col("results"))["sheet_id"])
    # the choice first: it names the contract
    order = rounds.select("sheet_id", "results")
    sheets = found["sheet"].join(order, on="sheet_id", maintain_order="left").sort("results", maintain_order=True)
    found["sheet"] = sheets.drop("results")
    results = exported["value"].join(rounds.filter("results"), on="sheet_id")
    keys = ["finess_ej", "annex", "code", "year"]
    older = results.filter(pl.col("received") < pl.col("received").max().over(keys)).select("sheet_id", "code", "year")
    return found | {"value": found["value"].join(older, on=["sheet_id", "code", "year"], how="anti", maintain_order="left")}


def earlier_proof(exported: Exported, law: "Law", on: date) -> "pl.DataFrame | None":
    """finess_ej, synthesis_on: the days of replaced exports whose strategic choice was complete; None when none was."""
    import polars as pl

    from checks.cpom.facts import facts_of
    from checks.cpom.judge import judge

    choices = _rounds(exported).filter(~pl.col("results") & (pl.col("annex") == "STRAT"))
    found = []
    for back in sorted(set(choices["round"]) - {0}):
        then = facts_of(_of_sheets(exported, choices.filter(pl.col("round") == back)["sheet_id"]))
        told = judge(then, law, on, datetime.combine(on, time(), UTC)).contract
        proved = told.filter(pl.col("deadline_status").is_in(["DANS_LES_DELAIS", "HORS_DELAI"]))
        found.append(proved.select("finess_ej", "synthesis_on").drop_nulls())
    return pl.concat(found) if found else None


def _rounds(exported: Exported) -> "pl.DataFrame":
    """sheet_id, finess_ej, annex, received, ``results`` (nothing but results), ``round``: 0 for what stands, then backwards."""
    import polars as pl

    said = exported["value"].group_by("sheet_id").agg(results=(pl.col("role") == "REALISE").all())
    sheets = exported["sheet"].join(said, on="sheet_id", how="left", maintain_order="left")
    sheets = sheets.with_columns(pl.col("results").fill_null(value=False))
    back = pl.col("received").rank("dense", descending=True).over("finess_ej", "annex", "results") - 1
    return sheets.select("sheet_id", "finess_ej", "annex", "received", "results", round=back.cast(pl.Int64))


def _of_sheets(exported: Exported, sheets: "pl.Series") -> "dict[str, pl.DataFrame]":
    import polars as pl

    from contracts_schema.cpom_frames import schema

    kept = {name: rows.filter(pl.col("sheet_id").is_in(sheets.implode())) for name, rows in exported.items()}
    told = {name: rows.select(schema(name).names()) for name, rows in kept.items()}
    optional = ("financial_line", "recognition")  # what no export held was never delivered
    return {name: rows for name, rows in told.items() if name not in optional or rows.height}
