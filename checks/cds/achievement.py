"""The declared indicators of the ROSP: how far each objective is reached, and what that is worth, as exact fractions.

Under the minimum of patients an indicator is neutralised: neither paid nor zero, it has no line. An objective that no text
gives makes a rate that is not known, never a zero.
"""

from fractions import Fraction

import polars as pl

from checks.cds.examine import Examination
from checks.cds.figures import Figures
from checks.cds.forfait import MISSING_RANK, MOST, counted, ignored
from checks.cds.performance import declared, unsound
from contracts_schema.ecds import indicators

LEVELS = ("initial", "intermediate", "target")
ROSP = pl.Schema(
    {
        "finess_et": pl.String(),
        "code": pl.String(),
        "rate_num": pl.Int64(),
        "rate_den": pl.Int64(),
        "worth_num": pl.Int64(),
        "worth_den": pl.Int64(),
        "neutralised": pl.Boolean(),
        "unverifiable": pl.Boolean(),
        "rank": pl.Int64(),
        "told": pl.String(),
    }
)
"""``rate`` the achievement, ``worth`` cents before any rounding, both as fractions (null: not known)."""


def objectives(law: Figures) -> pl.DataFrame:
    """Of each indicator: its objectives (percent), points, minimum and reference of patients, whether less is better, and the
    rank and words of them all. An initial level that is not known only matters under the intermediate objective."""
    rows = []
    value = law.one("cds.rosp.point_value")
    formula = law.one("cds.rosp.formula")
    for code, one in indicators().items():
        if one.scheme != "rosp":
            continue
        levels = [law.one("cds.rosp.objective", indicator=code, level=level) for level in LEVELS]
        points, least = law.one("cds.rosp.points", indicator=code), law.one("cds.rosp.minimum_patients", indicator=code)
        base = law.one("cds.rosp.reference_patients", population=one.population)
        used = [*levels[1:], points, base, value, formula]
        told = " ; ".join(figure.told for figure in (*levels, points, least, base, value, formula))
        figures = [figure.value for figure in (*levels, points, least, base, value)]
        rows.append(
            (code, *figures, one.better == "down", max(figure.rank for figure in used), levels[0].rank, least.rank, told)
        )
    names = ("initial", "intermediate", "target", "points", "least", "base", "point_value")
    schema = {"code": pl.String} | dict.fromkeys(names, pl.Int64) | {"down": pl.Boolean, "rank": pl.Int64}
    return pl.DataFrame(
        rows, schema=schema | {"initial_rank": pl.Int64, "least_rank": pl.Int64, "told": pl.String}, orient="row"
    )


def achievements(examination: Examination, law: Figures) -> pl.DataFrame:
    """``ROSP`` of the values in force that count."""
    scene = examination.scene
    if scene.rosp is None:
        return pl.DataFrame(schema=ROSP)
    day = scene.last_day
    known = [code for code, one in indicators().items() if one.scheme == "rosp" and one.holds(day)]
    rows = declared(scene.rosp).filter(
        pl.col("code").is_in(known), pl.col("numerator").is_not_null(), pl.col("denominator") >= 0
    )
    rows = rows.filter(~unsound().fill_null(value=False))
    rows = rows.join(ignored(examination.findings), on=["finess_et", "code"], how="anti", maintain_order="left")
    rows = rows.join(objectives(law), on="code", how="left", maintain_order="left")
    # no patient at all: under any minimum that is known, and no rate where none is
    rows = rows.filter((pl.col("denominator") > 0) | (pl.col("least") > 0))
    patients = scene.centres.select("finess_et", counted(pl.col("patient_list")))
    rows = rows.filter(pl.col("denominator") <= MOST).join(patients, on="finess_et", how="left", maintain_order="left")
    return rated(rows)


def rated(rows: pl.DataFrame) -> pl.DataFrame:
    """``ROSP`` of rows with numerator, denominator, patient_list, deadline and the columns of ``objectives``."""
    sign = pl.when("down").then(-1).otherwise(1)
    below = pl.col("denominator")
    observed = sign * 100 * pl.col("numerator")
    initial, middle, target = (sign * pl.col(level) for level in LEVELS)
    reached, halfway = observed >= target * below, observed >= middle * below
    started = observed > initial * below
    upper, lower = target - middle, middle - initial
    rate_num = (
        pl.when(below == 0).then(pl.lit(None, pl.Int64))
        .when(reached).then(pl.lit(1, pl.Int64))
        .when(halfway).then(upper * below + observed - middle * below)
        .when(started).then(observed - initial * below)
        .when(~started).then(pl.lit(0, pl.Int64))
    )  # fmt: skip
    rate_den = (
        pl.when(reached | (below == 0))
        .then(pl.lit(1, pl.Int64))
        .when(halfway)
        .then(2 * upper * below)
        .when(started)
        .then(2 * lower * below)
        .otherwise(1)
    )
    told = rows.with_columns(rate_num=rate_num, rate_den=rate_den, neutralised=(below < pl.col("least")).fill_null(value=False))
    rank = pl.max_horizontal("rank", pl.when(~halfway).then("initial_rank"), "least_rank")
    worth = pl.col("points") * pl.col("patient_list") * pl.col("point_value") * pl.col("rate_num")
    return told.select(
        "finess_et",
        "code",
        "rate_num",
        "rate_den",
        worth_num=pl.when(~pl.col("neutralised")).then(worth),
        worth_den=pl.col("base") * pl.col("rate_den"),
        neutralised="neutralised",
        unverifiable=pl.col("deadline") == "unverifiable",
        rank=pl.when(worth.is_null()).then(MISSING_RANK).otherwise(rank),
        told="told",
    )


def shared_cents(found: pl.DataFrame) -> pl.DataFrame:
    """``cents`` of each row so that those of a centre sum to its exact total rounded once, a half going up."""
    cents: list[int | None] = []
    centre, running = None, Fraction(0)
    for finess, above, below in found.select("finess_et", "worth_num", "worth_den").iter_rows():
        if finess != centre:
            centre, running = finess, Fraction(0)
        if above is None or below is None:
            cents.append(None)
            continue
        before, running = running, running + Fraction(above, below)
        cents.append(_half_up(running) - _half_up(before))
    return found.with_columns(cents=pl.Series(cents, dtype=pl.Int64))


def _half_up(amount: Fraction) -> int:
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
