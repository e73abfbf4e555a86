"""Rules B: the bordereau itself: its period, its delays, its certification, its sender, its dates, its aggregated lines."""

import polars as pl

from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.ruling import Ruling, check, french

SENDERS = {"professional": "envoyé par un professionnel", "third_party": "envoyé par un tiers"}
WHEN = ("date", "month")
DOUBTS = {
    "unreadable": "elle n'est pas une date lisible",
    "two_digit_year": "son année n'a que deux chiffres",
    "out_of_range": "son année est hors des limites",
    "ambiguous": "jour et mois y sont peut-être inversés, car la cellule {} de la colonne est un texte parmi de vraies dates",
    "month_first": "jour et mois y sont peut-être inversés, car la cellule {} de la colonne n'a de sens que mois en premier",
}
"""Why a date of a bordereau is not read, by its problem; ``{}`` is the cell that shows it."""


@check("snp.B01", "bordereau")
def b01(law: Law, facts: Facts) -> Ruling:
    end = pl.col("period_end")
    return Ruling(
        {"default": (pl.col("received_on") < end) & (pl.col("decided_on") < end)},
        {"recu": french(pl.col("received_on")), "fin_periode": french(end)},
        missing=end.is_null(),
    )


@check("snp.B02", "claim")
def b02(law: Law, facts: Facts) -> Ruling:
    limits = {name: law.number(name) for name in ("b02_ask_after_months", "b02_mention_after_months")}
    ends = {name: _end_of_month(months) for name, months in limits.items()}
    beyond = {name: (pl.col("received_on") > end).fill_null(value=False) for name, end in ends.items()}
    ask, late = beyond["b02_ask_after_months"], beyond["b02_mention_after_months"]
    return Ruling(
        {"late": ~ask & late, "default": ask},
        {"recu": french(pl.col("received_on")), "limite": french(ends["b02_ask_after_months"])},
        cells=WHEN,
        noted=pl.col("when").is_null(),
        missing=pl.lit(limits["b02_ask_after_months"] is None),
    )


def _end_of_month(months: int | None) -> pl.Expr:
    """The last day of the month of the act, so many months later."""
    return (
        pl.lit(None, pl.Date) if months is None else pl.col("when").dt.month_start().dt.offset_by(f"{months}mo").dt.month_end()
    )


@check("snp.B03", "bordereau")
def b03(law: Law, facts: Facts) -> Ruling:
    return Ruling({"default": ~pl.col("certified")}, missing=pl.col("certified").is_null())


@check("snp.B04", "bordereau")
def b04(law: Law, facts: Facts) -> Ruling:
    known = pl.col("profile").is_not_null()
    return Ruling(
        {
            "hidden_sheet": known & (pl.col("hidden_sheets").list.len() > 0),
            "older": known & pl.col("profile_is_older"),
            "default": ~known,
        },
        {
            "modele": pl.format("{}, version {}", "profile", "profile_version"),
            "feuilles": pl.col("hidden_sheets").list.join(", "),
        },
    )


@check("snp.B05", "claim")
def b05(law: Law, facts: Facts) -> Ruling:
    start, end = pl.col("when"), pl.when("is_month").then(pl.col("when").dt.month_end()).otherwise("when")
    after = (start > pl.col("received_on")).fill_null(value=False)
    outside = (end < pl.col("period_from")).fill_null(value=False) | (start > pl.col("period_to")).fill_null(value=False)
    return Ruling(
        {"unreadable": pl.col("date_problem").is_not_null(), "outside_period": outside & ~after, "default": after},
        {
            "date_brute": pl.col("date_raw"),
            "doute": _doubt(),
            "recu": french(pl.col("received_on")),
            "periode": pl.format("{} au {}", french(pl.col("period_from")), french(pl.col("period_to"))),
        },
        cells=WHEN,
        noted=start.is_null() & pl.col("date_problem").is_null(),
    )


def _doubt() -> pl.Expr:
    sign = pl.col("date_sign").fill_null("d'une autre ligne")
    told = [
        pl.when(pl.col("date_problem") == problem).then(pl.format(text, sign) if "{}" in text else pl.lit(text))
        for problem, text in DOUBTS.items()
    ]
    return pl.coalesce(told)


@check("snp.B06", "bordereau")
def b06(law: Law, facts: Facts) -> Ruling:
    sender = pl.col("sender").replace_strict(SENDERS, default=None, return_dtype=pl.String)
    return Ruling({"default": sender.is_not_null()}, {"emetteur": sender}, missing=pl.col("sender").is_null())


@check("snp.B07", "claim")
def b07(law: Law, facts: Facts) -> Ruling:
    dateless = pl.col("day").is_null() & pl.col("date_problem").is_null()
    return Ruling(
        {
            "steady_month": pl.col("is_month") & pl.col("given") & ~pl.col("varies"),
            "default": ~pl.col("given") | dateless,
        },
        {"delegue_present": pl.when("given").then(pl.lit("oui")).otherwise(pl.lit("non"))},
        cells=(*WHEN, "rpps", "delegate"),
    )
