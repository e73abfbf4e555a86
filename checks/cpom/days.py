"""Days of the calendar of the CPOM: last useful days, lapses and the instants at which they are passed, in Paris.

A delay from an event does not count its day and includes the last one; one from a date counts it. No weekend moves a day.
"""

import polars as pl

from checks.cpom.law import Law
from checks.snp.likeness import name_key

NOTICES_FR = {
    "OUVERTE": "Ouverte, réception non connue",
    "PERIODE_1": "Première période",
    "PERIODE_2": "Seconde période",
    "JUSTIFIE": "Justifiée",
    "PENALITE": "Pénalité",
    "RESILIATION": "Résiliation",
}
"""The states of a formal notice, as people read them."""


def cutoff(day: pl.Expr) -> pl.Expr:
    """The instant from which a last day is passed: the next midnight in Paris, in UTC."""
    midnight = (day + pl.duration(days=1)).cast(pl.Datetime("us")).dt.replace_time_zone("Europe/Paris")
    return midnight.dt.convert_time_zone("UTC")


def with_lapse(subsidies: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Subsidies that can lapse, with ``last_day`` (the last useful one) and ``lapses_on``, the day after it.

    FMIS: 31 December, four years after the year of notification. FIR, on supporting documents only: three years from
    notification, that day not counted. Source: guide, L486 and L498; the day arithmetic is derived.
    """
    whole, years = law.known("fmis.lapse_years"), law.known("fir.lapse_years")
    notified = pl.col("notified_on")
    of_fmis = pl.date(notified.dt.year() + whole, 12, 31)
    on_documents = name_key(pl.col("payment_mode")).str.contains("pieces").fill_null(value=False)
    last = pl.when(pl.col("fund") == "FMIS").then(of_fmis).when(on_documents).then(notified.dt.offset_by(f"{years}y"))
    found = subsidies.with_columns(last_day=last).drop_nulls("last_day")
    return found.with_columns(lapses_on=pl.col("last_day") + pl.duration(days=1))


def notices(events: pl.DataFrame, law: Law) -> pl.DataFrame:
    """One row a formal notice: its reception, renewals, ``first_end`` and ``ends_on`` (last day of the running period, null
    when the reception is not known), what closed it and on which day, and its ``state``.

    One month from reception, renewable once for the same length (guide, L283 to L291; counting from reception is derived).
    """
    months = law.known("notice.months")
    day, received, kind = pl.col("happened_on"), pl.col("received_on"), pl.col("event")
    found = events.group_by("procedure_id", "finess_ej", "nature", maintain_order=True).agg(
        notified_on=day.filter(kind == "NOTIFICATION").min(),
        received_on=received.filter(kind == "NOTIFICATION").min(),
        renewals=(kind == "RENOUVELLEMENT").sum().cast(pl.Int64),
        renewed_on=day.filter(kind == "RENOUVELLEMENT").min(),
        penalised_on=day.filter(kind == "PENALITE").min(),
        terminated_on=day.filter(kind == "RESILIATION").min(),
        closed_on=day.filter(kind == "CLOTURE").min(),
    )
    found = found.with_columns(first_end=pl.col("received_on").dt.offset_by(f"{months}mo"))
    twice = pl.col("first_end").dt.offset_by(f"{months}mo")  # the second period begins when the first one ends
    return found.with_columns(
        ends_on=pl.when(pl.col("renewals") > 0).then(twice).otherwise("first_end"),
        state=pl.when(pl.col("terminated_on").is_not_null())
        .then(pl.lit("RESILIATION"))
        .when(pl.col("penalised_on").is_not_null())
        .then(pl.lit("PENALITE"))
        .when(pl.col("closed_on").is_not_null())
        .then(pl.lit("JUSTIFIE"))
        .when(pl.col("received_on").is_null())
        .then(pl.lit("OUVERTE"))
        .when(pl.col("renewals") > 0)
        .then(pl.lit("PERIODE_2"))
        .otherwise(pl.lit("PERIODE_1")),
    )


def ceilings(events: pl.DataFrame, incomes: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Penalties of each establishment and year beside their ceiling: 5 % of the products of the last closed exercise before it.

    ``cap_cents`` is null when no closed exercise is known (guide, L285).
    """
    penalties = events.filter((pl.col("event") == "PENALITE") & pl.col("amount_cents").is_not_null())
    years = penalties.group_by("finess_ej", year=pl.col("happened_on").dt.year().cast(pl.Int64), maintain_order=True).agg(
        penalties_cents=pl.col("amount_cents").sum()
    )
    closed = incomes.filter("closed").select("finess_ej", exercise="year", income_cents="income_cents")
    told = years.join(closed, on="finess_ej", how="left", maintain_order="left")
    before = (pl.col("exercise") < pl.col("year")).fill_null(value=False)
    told = told.with_columns(pl.when(before).then(pl.col(name)).alias(name) for name in ("exercise", "income_cents"))
    last = told.sort("exercise", nulls_last=False).unique(["finess_ej", "year"], keep="last", maintain_order=True)
    cap = law.known("penalty.cap")
    return last.sort("finess_ej", "year").with_columns(
        cap_cents=pl.col("income_cents") * cap // 100, percent=pl.lit(cap, pl.Int64)
    )
