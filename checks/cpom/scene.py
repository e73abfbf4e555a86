"""What the rules look at: sheets, rows and values with the definition of their indicator, and what was set aside so far.

Prepared once a stage; each rule reads columns. Must never decide a rule.
"""

import re
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property

import polars as pl

from checks.cpom.facts import Facts
from checks.cpom.law import Law
from contracts_schema.cpom_catalogue import BASELINE_YEAR, NUMERIC, indicators

DEFINITION = pl.Schema(
    {
        "annex": pl.String(), "code": pl.String(), "id": pl.String(), "family": pl.String(), "objective": pl.String(),
        "value_type": pl.String(), "basis": pl.String(), "unit": pl.String(), "direction": pl.String(), "last_year": pl.Int64(),
        "comment_required": pl.Boolean(), "reference_label": pl.String(), "numeric": pl.Boolean(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """``sheets``: those in play (``as_of``: the day on which references are taken; ``results``: nothing but values realised
    later, hence no choice); ``rows`` and ``values``: those of these sheets, not rejected; ``rejected``: (sheet_id, row, code,
    year) of the cells set aside, by rule."""

    facts: Facts
    law: Law
    on: date
    closed: bool
    received: int | None
    sheets: pl.DataFrame
    rows: pl.DataFrame
    values: pl.DataFrame
    rejected: pl.DataFrame

    @cached_property
    def choices(self) -> pl.DataFrame:
        """The sheets that say what is chosen."""
        return self.sheets.filter(~pl.col("results"))

    @cached_property
    def contracts(self) -> pl.DataFrame:
        """One row an establishment with a strategic sheet: finess_ej, as_of, has_hpr."""
        strategic = self.choices.filter(pl.col("annex") == "STRAT").group_by("finess_ej", maintain_order=True)
        near = self.choices.filter(pl.col("annex") == "HPR")["finess_ej"]
        found = strategic.agg(pl.col("as_of").max(), pl.col("sheet_id").first())
        return found.with_columns(has_hpr=pl.col("finess_ej").is_in(near.implode()))

    @cached_property
    def chosen(self) -> pl.DataFrame:
        """One row a chosen indicator of an establishment, at its first row."""
        return self.rows.filter("chosen").unique(["finess_ej", "annex", "code"], keep="first", maintain_order=True)

    @cached_property
    def planned(self) -> pl.DataFrame:
        """Initial values and targets: a result declared later for the same year is neither."""
        return self.values.filter(pl.col("role") != "REALISE")

    @cached_property
    def series(self) -> pl.DataFrame:
        """Chosen indicators with ``initial``, ``final`` (last target year), ``targets`` and ``all`` (with 2024): accepted
        numbers in points or units, in the order of years; ``complete``: every target year has one; OUI is 1, NON 0."""
        rank = pl.coalesce("points", pl.col("yes_no").cast(pl.Int64).cast(pl.Decimal(20, 6)))
        usable = self.planned.filter(pl.col("missing").is_null()).with_columns(rank=rank).drop_nulls("rank")
        usable = usable.unique(["finess_ej", "annex", "code", "year"], keep="first", maintain_order=True).sort("year")
        is_target = pl.col("year") > BASELINE_YEAR
        told = usable.group_by("finess_ej", "annex", "code").agg(
            initial=pl.col("rank").filter(pl.col("year") == BASELINE_YEAR).first(),
            targets=pl.col("rank").filter(is_target),
            target_years=pl.col("year").filter(is_target),
            all=pl.col("rank"),
            all_years=pl.col("year"),
            texts=pl.format("{} : {}", "year", "text"),
        )
        found = self.chosen.join(told, on=["finess_ej", "annex", "code"], how="left", maintain_order="left")
        years = pl.col("target_years")
        return found.with_columns(
            final=pl.when(years.list.last() == pl.col("last_year")).then(pl.col("targets").list.last()),
            complete=(years.list.len() == pl.col("last_year") - BASELINE_YEAR).fill_null(value=False),
            serie=pl.col("texts").list.join(" ; "),
        )


def scene(facts: Facts, law: Law, on: date, *, closed: bool, received: int | None = None) -> Scene:
    """What is known before any rule. ``on``: the day of evaluation; ``closed``: the campaign is closed (R52), and
    ``received`` the contracts to count then, None: those of the facts."""
    sheets = _synthesis(facts.sheet).with_columns(as_of=pl.coalesce("synthesis_on", "received_on"))
    sheets = sheets.with_columns(results=pl.col("sheet_id").is_in(results_alone(facts).implode()))
    rows = _rows(facts, sheets, law)
    values = _values(facts, rows)
    rejected = pl.DataFrame(schema={"sheet_id": pl.String(), "row": pl.Int64(), "year": pl.Int64(), "rule": pl.String()})
    return Scene(facts, law, on, closed, received, sheets, rows, values, rejected)


def without_sheets(found: Scene, quarantined: pl.Series) -> Scene:
    """The scene without the sheets set aside."""
    away = pl.col("sheet_id").is_in(quarantined.implode())
    return replace(found, sheets=found.sheets.filter(~away), rows=found.rows.filter(~away), values=found.values.filter(~away))


def without_rows(found: Scene, rows: pl.DataFrame) -> Scene:
    """The scene without the rows set aside (sheet_id, row)."""
    keys = ["sheet_id", "row"]
    rows = rows.select(keys)
    return replace(
        found,
        rows=found.rows.join(rows, on=keys, how="anti", maintain_order="left"),
        values=found.values.join(rows, on=keys, how="anti", maintain_order="left"),
    )


def without_cells(found: Scene, cells: pl.DataFrame) -> Scene:
    """The scene without the cells set aside (sheet_id, cell, year, rule), kept in ``rejected``."""
    rejected = cells.select("sheet_id", "row", "year", "rule").unique(maintain_order=True)
    values = found.values.join(cells.select("sheet_id", "cell"), on=["sheet_id", "cell"], how="anti", maintain_order="left")
    return replace(found, values=values, rejected=rejected)


def definitions(law: Law) -> pl.DataFrame:
    """The 44 indicators, as the rules read them."""
    unworded = law.choice("unworded_type")
    rows = []
    for (annex, code), one in indicators().items():
        value_type = unworded if one.value_type == "unknown" else one.value_type
        last = min(one.target_years[-1], law.number("hpr_last_target_year")) if annex == "HPR" else one.target_years[-1]
        rows.append(
            {
                "annex": annex, "code": code, "id": one.id, "family": one.family, "objective": one.objective_code,
                "value_type": value_type, "basis": one.basis, "unit": one.unit, "direction": one.direction, "last_year": last,
                "comment_required": one.comment_required, "reference_label": one.label, "numeric": value_type in NUMERIC,
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=DEFINITION)


def results_alone(facts: Facts) -> pl.Series:
    """The sheets that hold nothing but results declared later: they choose nothing."""
    said = facts.value.group_by("sheet_id", maintain_order=True).agg(alone=(pl.col("role") == "REALISE").all())
    return said.filter("alone")["sheet_id"]


def _synthesis(sheets: pl.DataFrame) -> pl.DataFrame:
    """A sheet without a synthesis date has that of the same establishment in the same file."""
    same = pl.col("synthesis_on").drop_nulls().first().over("sha256", "finess_ej")
    return sheets.with_columns(synthesis_on=pl.coalesce("synthesis_on", same))


def _rows(facts: Facts, sheets: pl.DataFrame, law: Law) -> pl.DataFrame:
    of_sheet = sheets.select("sheet_id", "finess_ej", "annex", "as_of", "has_comments", "results")
    rows = facts.row.join(of_sheet, on="sheet_id", how="inner", maintain_order="left")
    rows = rows.with_columns(chosen=pl.col("chosen") & ~pl.col("results")).drop("results")
    return rows.join(definitions(law), on=["annex", "code"], how="left", maintain_order="left")


def _values(facts: Facts, rows: pl.DataFrame) -> pl.DataFrame:
    """Values with the definition of their indicator; ``points``: a rate in points, a count as it is, null for other types.

    ``text``: what was seen in the cell; ``stored``: what the file holds there.
    """
    columns = [*DEFINITION, "sheet_id", "row", "finess_ej"]
    told = rows.select(column for column in dict.fromkeys(columns) if column != "code").unique(["sheet_id", "row"])
    values = facts.value.join(told, on=["sheet_id", "row"], how="inner", maintain_order="left")
    rate = pl.when(pl.col("percent") == "format").then(pl.col("number") * 100).otherwise(pl.col("number"))
    points = pl.when(pl.col("value_type") == "percent").then(rate).when(pl.col("numeric")).then(pl.col("number"))
    return _as_seen(values.with_columns(points=points))


def _as_seen(values: pl.DataFrame) -> pl.DataFrame:
    """``text`` as the cell showed it, beside what is ``stored``: under a % format 0.345 was seen as 34,5 %."""
    values = values.with_columns(stored="text")
    keys = ["number", "number_format"]
    marked = values.filter(percent="format").select(keys).drop_nulls("number").unique(maintain_order=True)
    if marked.is_empty():
        return values
    told = marked.with_columns(
        seen=pl.Series([seen(number, code) for number, code in marked.iter_rows()], dtype=pl.String), percent=pl.lit("format")
    )
    joined = values.join(told, on=[*keys, "percent"], how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(text=pl.coalesce("seen", "text")).drop("seen")


def seen(number: Decimal, number_format: str | None) -> str:
    """A fraction as its % format shows it; what the format hides is told beside: ``35 % (cellule : 34,5 %)``."""
    points = number * 100
    whole = f"{points.normalize():f} %".replace(".", ",")
    code = re.search(r"[0#](\.[0#]+)? ?%", number_format or "")
    if code is None:
        return whole
    rounded = points.quantize(Decimal(1).scaleb(-len((code[1] or ".")[1:])), ROUND_HALF_UP)
    shown = f"{rounded:f} %".replace(".", ",")
    return shown if rounded == points else f"{shown} (cellule : {whole})"
