"""Row contracts of the PMSI MCO families, as Pandera schemas made from the layouts and the code lists.

A check that refuses a row names ``pmsi.invalid_value``; the others are warnings: code lists change every year, so an unknown
code is accepted and counted.
"""

import csv
from functools import cache
from importlib.resources import files

import pandera.polars as pa
import polars as pl

from contracts_schema.families import Family, dtype
from contracts_schema.layouts import Field, Layout

INVALID = "pmsi.invalid_value"
UNKNOWN_CODE = "pmsi.unknown_code"
MISSING = "pmsi.missing_value"
OUT_OF_PERIOD = "pmsi.out_of_period"
AFTER_PERIOD = "pmsi.after_period"
MASKED = "pmsi.masked_value"
BLOCKING = frozenset({INVALID})

CODED = {
    "entry_mode": "entry_mode.csv",
    "exit_mode": "exit_mode.csv",
    "entry_provenance": "provenance.csv",
    "exit_destination": "destination.csv",
}
FLAGGED = ("sex", "stay_type", "raac", "unscheduled", "ed_passage")
"""Fields whose codes stand in mco_flags.csv."""


@cache
def codes(field: str) -> frozenset[str]:
    """The codes known for a field; blank is never one."""
    if field in CODED:
        rows = _read_codes(CODED[field])
        return frozenset(row["code"] for row in rows) - {""}
    rows = [row for row in _read_codes("mco_flags.csv") if row["field"] == field]
    return frozenset(code for row in rows for code in row["code"].split("/")) - {""}


@cache
def contract(family: Family, layout: Layout, year: int, period: int) -> pa.DataFrameSchema:
    """The Pandera schema of typed rows of one format, for a transmission of that year and month.

    A field that may be empty and hold anything of its type has no column here: Pandera takes its time for each column, and
    types are held by ``families.schema``, which the gate puts the rows into.
    """
    by_month = {"rsa": _exit_within, "med": _period_is, "dmip": _period_is, "ium": _period_is}.get(family.name)
    within = [] if by_month is None else [pa.Check(lambda data: by_month(data, year, period), error=AFTER_PERIOD)]
    optional = {field.name for field in layout.fields if field.nullable} - family.required
    ruled = [field for field in layout.fields if not field.is_filler and (field.name not in optional or _checks(field, year))]
    columns = {field.name: pa.Column(dtype(field), _checks(field, year), nullable=field.name in optional) for field in ruled}
    return pa.DataFrameSchema(columns, checks=within)


def broken_rule(family: Family, check: str, field: str) -> str:
    """The rule behind a failure that Pandera reports: its own name for a blank is the only one that is not a rule id."""
    if check == "not_nullable":
        return INVALID if field in family.required else MISSING
    return check


def _checks(field: Field, year: int) -> list[pa.Check]:
    if field.name in ("exit_month", "period_month"):
        return [pa.Check.in_range(1, 12, error=INVALID)]
    if field.name in ("exit_year", "period_year"):
        return [pa.Check.equal_to(year, error=OUT_OF_PERIOD)]
    if field.name == "rum_count":
        return [pa.Check.ge(1, error=INVALID)]
    if field.name in CODED or field.name in FLAGGED:
        return [pa.Check.isin(sorted(codes(field.name)), error=UNKNOWN_CODE)]
    return []


def _exit_within(data: pa.PolarsData, year: int, period: int) -> pl.LazyFrame:
    late = (pl.col("exit_year") == year) & pl.col("exit_month").is_between(period + 1, 12)
    return data.lazyframe.select(~late.fill_null(value=False))


def _period_is(data: pa.PolarsData, year: int, period: int) -> pl.LazyFrame:
    late = (pl.col("period_year") == year) & pl.col("period_month").is_between(period + 1, 12)
    return data.lazyframe.select(~late.fill_null(value=False))


def _read_codes(name: str) -> list[dict[str, str]]:
    path = files("contracts_schema") / "pmsi" / "codes" / name
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
