"""The forfait of the accord in points, node by node: what each part of each indicator is worth, and why.

Points are whole numbers over the base of patients (4,000 in the agreement of the MSP), so that nothing is rounded before the
total. The reference year chooses the rules, never the day of entry; the amounts of the accord of 2025 are not known.
"""

from typing import Any

import polars as pl

from checks.cds.examine import Examination
from checks.cds.figures import PART_FR, Figure, Figures, is_firm, status_of
from checks.cds.indicator import COORDINATION, CRISIS, MEETINGS, PROTOCOLS, STAGES
from checks.cds.journal import UNVERIFIABLE
from checks.cds.ruling import FIRED
from contracts_schema.ecds import PREREQUISITES, indicators

NODES = pl.Schema(
    {
        "finess_et": pl.String(),
        "node": pl.String(),
        "indicator": pl.String(),
        "numerator": pl.Int64(),
        "denominator": pl.Int64(),
        "value": pl.String(),
        "unit": pl.String(),
        "status": pl.String(),
        "firm": pl.Boolean(),
        "inputs": pl.String(),
        "parameters": pl.String(),
        "text_fr": pl.String(),
    }
)
"""One row a node: the exact value is numerator / denominator (null: not known), ``value`` the same as a decimal."""

KINDS = ("prerequisite", "core", "optional")
CORE = ("prerequisite", "core")
ENTRY_EFFECTS = ("cds.CDS16", "cds.CDS17", "cds.CDS19")
"""They set an entry aside, which the journal already did, not the indicator."""


def ignored(found: pl.DataFrame) -> pl.DataFrame:
    """The items that a rule says are not to be used: finess_et, code."""
    rows = found.filter(status=FIRED, effect="ignore_item").filter(
        ~pl.col("rule").is_in(ENTRY_EFFECTS), pl.col("item").is_not_null()
    )
    return rows.select("finess_et", code="item").unique()


def claims(examination: Examination) -> pl.DataFrame:
    """The answers in force that count: an indicator of the year, of this regime, answered OUI, that no rule sets aside; and the
    prerequisites answered NON (``unmet``), which are worked out all the same and stop the payment: it shows what is lost.
    """
    scene = examination.scene
    if scene.rfs is None:
        return pl.DataFrame(schema={"finess_et": pl.String, "code": pl.String})
    day = scene.last_day
    wanted = [
        code for code, one in indicators().items() if one.regime == "points_2015" and one.kind in KINDS and one.holds(day)
    ]
    answer, code = pl.col("answer"), pl.col("code")
    unmet = (answer == "non") & code.is_in(PREREQUISITES)
    rows = scene.rfs.in_force.filter((answer == "oui") | unmet, code.is_in(wanted)).with_columns(unmet=unmet)
    rows = rows.join(ignored(examination.findings), on=["finess_et", "code"], how="anti", maintain_order="left")
    about = scene.centres.select("finess_et", "centre_type", "patient_list")
    rows = rows.join(about, on="finess_et", how="left", maintain_order="left")
    if scene.headcounts is None:
        return rows.with_columns(salaried=pl.lit(None, pl.Int64))
    people = scene.headcounts.select("finess_et", pl.col("salaried").cast(pl.Int64))
    return rows.join(people, on="finess_et", how="left", maintain_order="left")


MOST = 200_000
"""Patients, persons or units of one centre above which a count is a slip of the keyboard: it makes no amount."""


def counted(number: pl.Expr) -> pl.Expr:
    """A count that may make an amount: from zero to ``MOST``, else null (not known)."""
    return pl.when(number.is_between(0, MOST)).then(number)


BOUNDS = ("patients_base", "patients_above", "professionals_above", "protocols_max", "meetings_min")


def parts(examination: Examination, law: Figures) -> tuple[pl.DataFrame, int]:
    """One row a centre, indicator and part: what it is worth in points over the base (``points``, null where a figure or a
    count is not known), the rank of its weakest figure, and the words; and the base."""
    bounds = {name: law.one("cds.rfs.bound", figure=name) for name in BOUNDS}
    cap = law.one("cds.rfs.patients_cap")
    base = bounds["patients_base"].value or 1
    table = law.table("cds.rfs.points")
    rows = claims(examination)
    if rows.is_empty():
        return pl.DataFrame(schema=PARTS), base
    rows = rows.join(
        table, left_on=["centre_type", "code"], right_on=["centre_type", "indicator"], how="left", maintain_order="left"
    )
    rows = rows.with_columns(pl.col("part").fill_null("fixed"), pl.col("rank").fill_null(MISSING_RANK))
    quantity, used, words = _quantity(bounds, cap, base)
    told = rows.with_columns(quantity=quantity, extra=used, words=words)
    nothing_due = pl.col("quantity") == 0
    points = pl.when(nothing_due).then(0).otherwise(pl.col("value") * pl.col("quantity"))
    blind = pl.col("value").is_null() | pl.col("quantity").is_null()
    rank = pl.when(nothing_due).then("extra").when(blind).then(MISSING_RANK).otherwise(pl.max_horizontal("rank", "extra"))
    shown = pl.concat_str("words", pl.lit(" ; "), pl.col("told").fill_null("type de centre non donné"))
    blind_day = pl.col("deadline") == UNVERIFIABLE
    found = {"points": points, "rank": rank, "quantity": pl.col("quantity"), "unverifiable": blind_day, "told": shown}
    found["unmet"] = pl.col("unmet")
    return told.select("finess_et", "code", "part", **found), base


MISSING_RANK = Figure(None, "missing", "").rank
PARTS = pl.Schema(
    {
        "finess_et": pl.String,
        "code": pl.String,
        "part": pl.String,
        "points": pl.Int64,
        "rank": pl.Int64,
        "quantity": pl.Int64,
        "unverifiable": pl.Boolean,
        "told": pl.String,
        "unmet": pl.Boolean,
    }
)


def _quantity(bounds: dict[str, Figure], cap: Figure, base: int) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Of each part: how many times its points are due, over the base; the rank of the bounds it uses; what was counted."""
    part, code = pl.col("part"), pl.col("code")
    typed, used_people, typed_units = (
        pl.col("patient_list"),
        pl.coalesce("si_headcount", "salaried"),
        pl.col("value_centi") // 100,
    )
    patients, people, units = counted(typed), counted(used_people), counted(typed_units)
    most = {name: pl.lit(one.value, pl.Int64) for name, one in bounds.items()}
    capped = (
        pl.when(pl.lit(cap.value == 1) & code.is_in([CRISIS, MEETINGS]))
        .then(pl.min_horizontal(patients, base))
        .otherwise(patients)
    )
    slope = pl.when(code == COORDINATION).then(pl.min_horizontal(patients, most["patients_above"])).otherwise(capped)
    acted: Any = pl.when(code == CRISIS).then(pl.col("crisis_actions").fill_null(value=False))
    acted = (
        acted.when(code == MEETINGS).then((units >= most["meetings_min"]).fill_null(value=False)).otherwise(pl.lit(value=True))
    )
    stages = (code == STAGES) & (units >= 5)
    by_count = ((part == "variable") & (code == MEETINGS)) | (part == "fifth_stage")
    zero = pl.lit(0, pl.Int64)
    of_staff = part.is_in(["per_professional", "per_professional_above"])
    listed = pl.when(patients.is_not_null())
    over = pl.max_horizontal(zero, patients - most["patients_above"])
    quantity = (
        pl.when(part == "fixed").then(pl.lit(base, pl.Int64))
        .when(by_count & units.is_null()).then(pl.lit(None, pl.Int64))
        .when((part == "variable") & ~acted).then(zero)
        .when(part == "variable").then(listed.then(slope))
        .when(part == "variable_above").then(listed.then(over))
        .when(of_staff & people.is_null()).then(pl.lit(None, pl.Int64))
        .when(part == "per_professional").then(base * pl.min_horizontal(people, most["professionals_above"]))
        .when(part == "per_professional_above").then(base * pl.max_horizontal(zero, people - most["professionals_above"]))
        .when((part == "per_unit") & units.is_null()).then(pl.lit(None, pl.Int64))
        .when(part == "per_unit").then(base * pl.min_horizontal(units, most["protocols_max"]))
        .when((part == "fifth_stage") & stages).then(pl.lit(base, pl.Int64))
        .when(part == "fifth_stage").then(zero)
    )  # fmt: skip
    of_base, of_above = bounds["patients_base"].rank, bounds["patients_above"].rank
    used = (
        pl.when((part == "variable_above") | ((part == "variable") & (code == COORDINATION))).then(max(of_base, of_above))
        .when((part == "variable") & (code == MEETINGS)).then(max(of_base, cap.rank, bounds["meetings_min"].rank))
        .when((part == "variable") & (code == CRISIS)).then(pl.when(acted).then(max(of_base, cap.rank)).otherwise(0))
        .when(part == "variable").then(of_base)
        .when(of_staff).then(bounds["professionals_above"].rank)
        .when((part == "per_unit") & (code == PROTOCOLS)).then(bounds["protocols_max"].rank)
        .otherwise(0)
    )  # fmt: skip
    said = (
        pl.when((part == "variable") & ~acted & (code == CRISIS))
        .then(pl.lit("aucune action de crise déclarée : part non due"))
        .when(by_count & units.is_null())
        .then(pl.format("nombre : {}", _shown(typed_units)))
        .when((part == "variable") & ~acted)
        .then(pl.format("réunions : {}, moins que le minimum de {} : part non due", _shown(typed_units), most["meetings_min"]))
        .when((part == "variable_above") & (over == 0))
        .then(pl.format("patientèle {}, pas au-delà de {} : part non due", _shown(typed), most["patients_above"]))
        .when(part.is_in(["variable", "variable_above"]))
        .then(pl.format("patientèle {}", _shown(typed)))
        .when((part == "per_professional_above") & (people <= most["professionals_above"]))
        .then(
            pl.format("professionnels : {}, pas au-delà de {} : part non due", _shown(used_people), most["professionals_above"])
        )
        .when(of_staff)
        .then(pl.format("professionnels : {}", _shown(used_people)))
        .when(part.is_in(["per_unit", "fifth_stage"]))
        .then(pl.format("unités : {}", _shown(typed_units)))
        .when("unmet")
        .then(pl.lit("réponse NON, prérequis non satisfait"))
        .otherwise(pl.lit("réponse OUI"))
    )
    return quantity, used, said


def _shown(number: pl.Expr) -> pl.Expr:
    """A count as people read it, and whether it could be used."""
    text = number.cast(pl.String)
    return (
        pl.when(counted(number).is_not_null())
        .then(text)
        .otherwise(pl.format("{} (invraisemblable)", text))
        .fill_null("non donné")
    )


def decimal(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """A fraction as 218,75 (six decimals at most)."""
    millionths = (numerator.abs() * 1_000_000 + denominator // 2) // denominator
    rest = (millionths % 1_000_000).cast(pl.String).str.zfill(6).str.strip_chars_end("0")
    sign = pl.when(numerator < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    comma = pl.when(rest != "").then(pl.lit(",")).otherwise(pl.lit(""))
    return pl.concat_str(sign, millionths // 1_000_000, comma, rest)


def half_up(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """The nearest whole number, a half going up; for numbers from zero on."""
    return (2 * numerator + denominator) // (2 * denominator)


def part_nodes(found: pl.DataFrame, base: int) -> pl.DataFrame:
    """The nodes of the parts, then one of each indicator."""
    words = pl.col("part").replace_strict(PART_FR, default=pl.col("part"), return_dtype=pl.String)
    leaves = found.select(
        "finess_et",
        node=pl.format("rfs.{}.{}", "code", "part"),
        indicator="code",
        numerator="points",
        denominator=pl.lit(base, pl.Int64),
        value=decimal(pl.col("points"), pl.lit(base)),
        unit=pl.lit("points"),
        status=status_of(pl.col("rank")),
        firm=is_firm(pl.col("rank")),
        inputs=pl.format("entrée de rfs pour {}", "code"),
        parameters="told",
        text_fr=pl.concat_str(words, pl.lit(" : "), "told"),
    )
    by = found.group_by("finess_et", "code", maintain_order=True).agg(
        points=pl.when(pl.col("points").is_null().any()).then(None).otherwise(pl.col("points").sum()),
        rank=pl.col("rank").max(),
        inputs=pl.format("rfs.{}.{}", "code", "part").str.join(" + "),
    )
    sums = by.select(
        "finess_et",
        node=pl.format("rfs.{}", "code"),
        indicator="code",
        numerator="points",
        denominator=pl.lit(base, pl.Int64),
        value=decimal(pl.col("points"), pl.lit(base)),
        unit=pl.lit("points"),
        status=status_of(pl.col("rank")),
        firm=is_firm(pl.col("rank")),
        inputs="inputs",
        parameters=pl.lit(""),
        text_fr=pl.lit("somme des parts de l'indicateur"),
    )
    return pl.concat([leaves, sums])


def formula(law: Figures) -> tuple[Figure, Figure]:
    """What every amount of the forfait rests on: the formula and the value of the point."""
    return law.one("cds.rfs.formula"), law.one("cds.rfs.point_value")
