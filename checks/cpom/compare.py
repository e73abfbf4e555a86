"""What an establishment declares beside what the PMSI gives: four statuses, with the reason when nothing can be verified.

Compared only in the variant that the ARS decided; every other variant is shown as context. A declared value is never changed.
All formulas are candidates and tolerances proposals: no methodological sheet of the ARS was found.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from checks.cpom.judge import Judgement
from checks.cpom.law import Law
from checks.cpom.ruling import shown
from checks.cpom.scene import definitions
from contracts_schema.cpom_catalogue import BASELINE_YEAR, indicators

RECOMPUTED = pl.Schema(
    {
        "finess": pl.String(),
        "finess_ej": pl.String(),
        "exit_year": pl.Int64(),
        "definition_id": pl.String(),
        "definition_version": pl.Int64(),
        "variant": pl.String(),
        "numerator": pl.Int64(),
        "denominator": pl.Int64(),
        "population": pl.Int64(),
        "askable": pl.Int64(),
        "stated": pl.Int64(),
        "conflicts": pl.Int64(),
        "transmission_period": pl.Int64(),
        "transmission_id": pl.String(),
        "provisional": pl.Boolean(),
    }
)
"""Columns taken of ``out_ars__pmsi_indicator``, one row a (finess, year, definition, variant); ``finess_ej``: the legal entity
as of 31 December of the year, null when unresolved. A count has no denominator."""

DEFINITION = pl.Schema(
    {
        "finess_ej": pl.String(),
        "definition_id": pl.String(),
        "variant": pl.String(),
        "tolerance_hundredths": pl.Int64(),
        "reference": pl.String(),
        "position": pl.Int64(),
    }
)
"""Decisions of kind definition, in force: ``finess_ej`` null for all establishments (one of its own passes first, then the
latest position); ``tolerance_hundredths``: of a point, or of a unit for a count; null for the default tolerance."""

CONCORDANT, TOLERATED, GAP, UNVERIFIABLE = "concordant", "ecart_tolere", "ecart", "non_verifiable"
REASONS_FR = {
    "DECLARATIF_SEUL": "aucune donnée du PMSI ne correspond à cet indicateur",
    "CHAMP_ABSENT": "le champ nécessaire n'existe pas dans le format de l'année, ou sa famille de fichiers n'est pas lue",
    "COMPLETUDE": "le champ est renseigné sur moins de la part exigée des séjours",
    "DENOMINATEUR_FAIBLE": "le dénominateur est trop petit pour comparer un taux",
    "FINESS_NON_RESOLU": "aucune transmission PMSI ne se rattache à cette entité juridique cette année-là",
    "DEFINITION_NON_CONVENUE": "l'ARS n'a pas décidé de la variante : les valeurs sont montrées, sans avis",
}
"""Why nothing is compared."""
IN_ORDER = (
    "DECLARATIF_SEUL",
    "DENOMINATEUR_FAIBLE",
    "CHAMP_ABSENT",
    "COMPLETUDE",
    "FINESS_NON_RESOLU",
    "DEFINITION_NON_CONVENUE",
)
"""The first that holds is told, in the order of evaluation of the domain. A field that no stay has leaves no denominator, small
or not: it is absent. The recomputed view follows the same order."""

_TORN_FR = "une transmission se rattache à cette entité juridique et à une autre cette année-là : la somme n'est pas sûre"
_NO_SITE_FR = "le site labellisé n'est pas connu : la table des autorisations ne le donne pas (activité HPR)"
COMPUTED = ("OS_11", "OS_13", "HPR_3_2", "HPR_4_3")
"""Definitions that every transmission of the PMSI answers."""
_SCALE = 1_000_000
_YEAR = ["finess_ej", "definition_id", "year"]


@dataclass(frozen=True)
class Comparison:
    """``compared``: one row a declared value (baseline or result) of a chosen indicator.

    ``context``: every variant computed of a chosen indicator, by establishment and year, with the reason that would stop it.
    ``trajectory``: one row a target beside what the decided variant gives that year. ``reached``: indicators whose recomputed
    baseline reaches the last target.
    """

    compared: pl.DataFrame
    context: pl.DataFrame
    trajectory: pl.DataFrame
    reached: pl.DataFrame


def compare(
    judgement: Judgement, recomputed: pl.DataFrame, decided: pl.DataFrame, law: Law, disputed: pl.DataFrame | None = None
) -> Comparison:
    """Compares the accepted values of a judgement with the recomputed variants. ``recomputed``: ``RECOMPUTED``; ``decided``:
    ``DEFINITION``; ``disputed``: (finess_ej, year) of legal entities of which a transmission has several, whose sums lack it.
    Rows of another shape are refused by polars, with the column."""
    recomputed = recomputed.match_to_schema(RECOMPUTED, extra_columns="ignore").filter(pl.col("exit_year") >= BASELINE_YEAR)
    found = by_entity(recomputed, law, disputed)
    decided = decided.match_to_schema(DEFINITION)
    declared = _declared(judgement)
    compared = _judged(_beside(declared, found, decided), found, recomputed["definition_id"].unique(), law)
    chosen = judgement.chosen_indicator.join(_definitions(), on="id").select("finess_ej", "code", "id", "definition_id")
    context = chosen.join(found, on=["finess_ej", "definition_id"], how="inner").sort("finess_ej", "id", "year", "variant")
    trajectory = _trajectory(judgement, found, decided)
    return Comparison(compared, context, trajectory, _reached(trajectory, law))


def by_entity(recomputed: pl.DataFrame, law: Law, disputed: pl.DataFrame | None = None) -> pl.DataFrame:
    """Variants summed by legal entity and year, with ``rate_hundredths`` (rate rounded to a hundredth of a point, or the count,
    times a hundred), ``completeness_hundredths`` and ``reason`` (null: comparable)."""
    told = recomputed.drop_nulls("finess_ej").rename({"exit_year": "year"})
    count = ("numerator", "denominator", "population", "askable", "stated", "conflicts")
    sums = [pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in count]
    found = told.group_by(*_YEAR, "variant").agg(
        *sums,
        pl.col("definition_version").max(),
        pl.col("transmission_period").min(),
        provisional=pl.col("provisional").any(),
        transmissions=pl.col("transmission_id").unique().sort().str.join(" "),
        finess=pl.col("finess").unique().sort().str.join(" "),
    )
    numerator, denominator, population = (pl.col(name) for name in ("numerator", "denominator", "population"))
    rate = pl.when(denominator > 0).then((numerator * 20_000 + denominator) // (2 * denominator))
    count_value = pl.when(denominator.is_null()).then(numerator * 100)
    completeness = pl.when(population > 0).then((pl.col("stated") * 20_000 + population) // (2 * population))
    least = {year: law.known("compare.min_denominator", date(year, 12, 31)) for year in found["year"].unique()}
    share = {year: law.known("compare.min_completeness", date(year, 12, 31)) for year in found["year"].unique()}
    enough, whole = (pl.col("year").replace_strict(known, default=0, return_dtype=pl.Int64) for known in (least, share))
    reason = (
        pl.when((pl.col("askable") == 0) & (population > 0))
        .then(pl.lit("CHAMP_ABSENT"))
        .when(denominator < enough)
        .then(pl.lit("DENOMINATEUR_FAIBLE"))
        .when(pl.col("stated") * 100 < population * whole)
        .then(pl.lit("COMPLETUDE"))
        .when("torn")
        .then(pl.lit("FINESS_NON_RESOLU"))
    )
    torn = pl.DataFrame(schema={"finess_ej": pl.String(), "year": pl.Int64()}) if disputed is None else disputed
    torn = torn.unique().with_columns(torn=pl.lit(value=True))
    return (
        found.join(torn, on=["finess_ej", "year"], how="left", maintain_order="left")
        .with_columns(rate_hundredths=pl.coalesce(rate, count_value), completeness_hundredths=completeness, reason=reason)
        .drop("torn")
        .sort(*_YEAR, "variant")
    )


def _definitions() -> pl.DataFrame:
    """Indicators that the PMSI gives, whole or in part (``lower_bound``)."""
    rows = [
        (one.id, one.definitions[0], one.verdict == "partial", one.value_type == "percent")
        for one in indicators().values()
        if one.definitions
    ]
    types = {"id": pl.String(), "definition_id": pl.String(), "lower_bound": pl.Boolean(), "is_rate": pl.Boolean()}
    return pl.DataFrame(rows, schema=types, orient="row")


def _declared(judgement: Judgement) -> pl.DataFrame:
    """Baselines and results, with the definition that answers; a value that is no number is kept where nothing answers."""
    baseline = judgement.target.filter(pl.col("role") == "INITIALE")
    every = pl.concat([baseline, judgement.declared_result]).join(_definitions(), on="id", how="left", maintain_order="left")
    return every.filter(pl.col("number").is_not_null() | pl.col("definition_id").is_null())


def _decision(rows: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    """The rows with the decided ``variant``, ``tolerance_hundredths``, ``reference`` and ``position``."""
    pairs = rows.select("finess_ej", "definition_id").unique().drop_nulls()
    own = pairs.join(decided.drop_nulls("finess_ej"), on=["finess_ej", "definition_id"]).with_columns(own=pl.lit(1))
    general = decided.filter(pl.col("finess_ej").is_null()).drop("finess_ej")
    told = pl.concat([own, pairs.join(general, on="definition_id").with_columns(own=pl.lit(0))], how="diagonal")
    first = told.sort("own", "position").unique(["finess_ej", "definition_id"], keep="last", maintain_order=True)
    return rows.join(first.drop("own"), on=["finess_ej", "definition_id"], how="left", maintain_order="left")


def _beside(declared: pl.DataFrame, found: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    rows = _decision(declared, decided)
    return rows.join(found, on=[*_YEAR, "variant"], how="left", maintain_order="left")


def _place(reason: pl.Expr) -> pl.Expr:
    return reason.replace_strict({one: place for place, one in enumerate(IN_ORDER)}, default=None, return_dtype=pl.Int64)


def _judged(rows: pl.DataFrame, found: pl.DataFrame, read: pl.Series, law: Law) -> pl.DataFrame:
    """Adds status, reason, tolerance, gap and the sentence. ``read``: definitions that the PMSI was asked for; one that it is
    always asked for lacks there only when no transmission came at all."""
    of_year = found.group_by(_YEAR).agg(
        same=pl.when(pl.col("reason").null_count() == 0).then(pl.col("reason").sort_by(_place(pl.col("reason"))).first()),
        variants=pl.len(),
    )
    rows = rows.join(of_year, on=_YEAR, how="left", maintain_order="left")
    named, computed = pl.col("variant").is_not_null(), pl.col("variants").is_not_null()
    reason = (
        pl.when(pl.col("definition_id").is_null())
        .then(pl.lit("DECLARATIF_SEUL"))
        .when(~pl.col("definition_id").is_in([*read, *COMPUTED]))
        .then(pl.lit("CHAMP_ABSENT"))
        .when(~computed)
        .then(pl.lit("FINESS_NON_RESOLU"))
        .when(named & pl.col("numerator").is_null())
        .then(pl.lit("FINESS_NON_RESOLU"))
        .when(named)
        .then(pl.col("reason"))
        .otherwise(pl.coalesce("same", pl.lit("DEFINITION_NON_CONVENUE")))
    )
    told = _tolerated(rows.with_columns(reason=reason), law)
    return _sentences(told)


def _tolerated(rows: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Adds ``status``, ``gap_hundredths`` and ``tolerance_hundredths``: whole numbers only, so that a bound is a bound.

    A declared 12,5 stands for [12.45, 12.55). Bounds of tolerances are included. A lower bound is broken from below only.
    """
    years = rows["year"].unique().to_list()

    def figure(name: str) -> pl.Expr:
        known = {year: law.known(f"compare.{name}", date(year, 12, 31)) for year in years}
        return pl.col("year").replace_strict(known, default=None, return_dtype=pl.Int64)

    rate = pl.col("denominator").is_not_null()
    by = pl.when(rate).then("denominator").otherwise(1)
    computed = pl.col("numerator") * pl.when(rate).then(100).otherwise(1) * _SCALE
    declared = (pl.col("number") * _SCALE).cast(pl.Int64)
    half = pl.lit(_SCALE // 2) // pl.lit(10, pl.Int64).pow(pl.col("precision").clip(0, 5)).cast(pl.Int64)
    within = ((declared - half) * by <= computed) & (computed < (declared + half) * by)
    share = figure("count_tolerance_percent") * pl.col("numerator")
    usual = (
        pl.when(rate).then(figure("rate_tolerance") * 100).otherwise(pl.max_horizontal(share, figure("count_tolerance") * 100))
    )
    tolerance = pl.coalesce("tolerance_hundredths", usual)
    apart = declared * by - computed
    tolerated = apart.abs() * 100 <= tolerance * _SCALE * by
    above = pl.col("lower_bound") & (apart >= 0)
    status = (
        pl.when(pl.col("reason").is_not_null())
        .then(pl.lit(UNVERIFIABLE))
        .when(within | above)
        .then(pl.lit(CONCORDANT))
        .when(tolerated)
        .then(pl.lit(TOLERATED))
        .otherwise(pl.lit(GAP))
    )
    comparable = pl.col("reason").is_null()
    hundredths = (pl.col("number") * 100).round(0).cast(pl.Int64)
    return rows.with_columns(
        status=status,
        gap_hundredths=pl.when(comparable).then(hundredths - pl.col("rate_hundredths")),
        tolerance_hundredths=pl.when(comparable).then(tolerance),
    )


def _sentences(rows: pl.DataFrame) -> pl.DataFrame:
    unit = pl.when(pl.col("is_rate")).then(pl.lit(" %")).otherwise(pl.lit(""))

    def points(name: str) -> pl.Expr:
        word = pl.when(pl.col(name).abs() < 200).then(pl.lit(" point")).otherwise(pl.lit(" points"))
        return pl.when(pl.col("is_rate")).then(word).otherwise(pl.lit(""))

    def hundredths(name: str) -> pl.Expr:
        return shown(pl.col(name).cast(pl.Decimal(20, 6)) / 100)

    values = pl.concat_str(
        pl.lit("déclaré "), shown(pl.col("number")), unit, pl.lit(", recalculé "), hundredths("rate_hundredths"), unit,
        pl.format(" (variante {}) : écart ", "variant"), hundredths("gap_hundredths"), points("gap_hundredths"),
        pl.lit(", tolérance "),
        hundredths("tolerance_hundredths"), points("tolerance_hundredths"),
    )  # fmt: skip
    bound = pl.when(pl.col("lower_bound")).then(pl.lit(" ; le PMSI n'en donne qu'un minimum")).otherwise(pl.lit(""))
    unresolved = pl.col("reason") == "FINESS_NON_RESOLU"
    said = (
        pl.when(unresolved & pl.col("numerator").is_not_null())
        .then(pl.lit(_TORN_FR))
        .when(unresolved & pl.col("variants").is_not_null())
        .then(pl.lit(_NO_SITE_FR))
        .otherwise(pl.col("reason").replace_strict(REASONS_FR, default=None, return_dtype=pl.String))
    )
    why = pl.concat_str(pl.lit("non vérifiable : "), said)
    return rows.with_columns(
        message_fr=pl.when(pl.col("reason").is_not_null()).then(why).otherwise(pl.concat_str(values, bound))
    ).select(
        "finess_ej", "annex", "code", "id", "year", "role", "status", "reason", "message_fr", declared_text="text",
        declared="number", definition_id="definition_id", definition_version="definition_version", variant="variant",
        numerator="numerator", denominator="denominator", recomputed_hundredths="rate_hundredths",
        gap_hundredths="gap_hundredths", tolerance_hundredths="tolerance_hundredths", lower_bound="lower_bound",
        completeness_hundredths="completeness_hundredths", conflicts="conflicts", transmission_period="transmission_period",
        transmissions="transmissions", finess="finess", provisional="provisional", reference="reference",
        decision_position="position", sha256="sha256", sheet="sheet", cell="cell",
    ).sort("finess_ej", "id", "year", "role")  # fmt: skip


def _trajectory(judgement: Judgement, found: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    """Targets and baselines of indicators that the PMSI gives whole, beside the decided variant of the year when comparable.

    ``reached``: null while nothing is comparable that year.
    """
    whole = _definitions().filter(~pl.col("lower_bound"))
    targets = judgement.target.drop_nulls("number").join(whole, on="id", how="inner", maintain_order="left")
    rows = _decision(targets, decided).join(found, on=[*_YEAR, "variant"], how="left", maintain_order="left")
    directions = {one.id: one.direction for one in indicators().values()}
    rows = rows.with_columns(direction=pl.col("id").replace_strict(directions, default=None, return_dtype=pl.String))
    compared = pl.col("reason").is_null()
    value = pl.when(compared).then("rate_hundredths")
    target = (pl.col("number") * 100).round(0).cast(pl.Int64)
    reached = (
        pl.when(pl.col("direction") == "up").then(value >= target).when(pl.col("direction") == "down").then(value <= target)
    )
    return rows.select(
        "finess_ej", "annex", "code", "id", "year", "role", "variant", "direction", target_hundredths=target,
        recomputed_hundredths=value, gap_hundredths=value - target, reached=reached, provisional="provisional",
        declared="number", numerator=pl.when(compared).then("numerator"), denominator=pl.when(compared).then("denominator"),
        definition_id="definition_id", finess="finess", transmissions="transmissions", reason="reason",
    ).sort("finess_ej", "id", "year", "role")  # fmt: skip


def _reached(trajectory: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Indicators whose recomputed baseline is as good as their last target: the ARS comes back on them (guide, L37, L57)."""
    keys = ["finess_ej", "annex", "code", "id", "variant", "direction"]
    last = trajectory.join(definitions(law).select("id", year="last_year"), on=["id", "year"], maintain_order="left").select(
        *keys, final_year="year", final_hundredths="target_hundredths"
    )
    start = trajectory.filter(pl.col("year") == BASELINE_YEAR, pl.col("recomputed_hundredths").is_not_null())
    both = start.select("finess_ej", "id", baseline_hundredths="recomputed_hundredths").join(last, on=["finess_ej", "id"])
    up, down = pl.col("direction") == "up", pl.col("direction") == "down"
    good = (up & (pl.col("baseline_hundredths") >= pl.col("final_hundredths"))) | (
        down & (pl.col("baseline_hundredths") <= pl.col("final_hundredths"))
    )
    told = [shown(pl.col(name).cast(pl.Decimal(20, 6)) / 100) for name in ("baseline_hundredths", "final_hundredths")]
    return both.filter(good).with_columns(
        message_fr=pl.format(
            "La valeur 2024 recalculée ({}) atteint déjà la cible {} ({}) : l'ARS revient vers l'établissement.",
            told[0], pl.col("final_year"), told[1],
        )
    ).sort("finess_ej", "id")  # fmt: skip
