"""Rules A: is the amount what the tariffs give, and is the act one that the protocol pays at that moment."""

from datetime import timedelta

import polars as pl

from checks.snp.declaration import NO_DAY
from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.ruling import Ruling, check
from checks.snp.team import IDENTIFIED
from contracts_schema.french import euros_of

SPANS = {"LOMBALGIE": 28, "CHEVILLE": 90}
"""Days before a second consultation in which a first one without patient key may be its own (90 days: an assumption)."""
FIRST_ACTS = ("INCLUSION", "CONSULT_1")
MONEY = ("amount", "count", "unit")
DUE = pl.col("acts") * pl.col("tariff_cents")


def billed_unit(law: Law) -> pl.Expr:
    """The unit that the line bills: its column, else amount / count when that is exactly another tariff of the catalogue."""
    exact = (pl.col("acts") > 0) & (pl.col("amount_cents") % pl.col("acts") == 0)
    implied = pl.when(exact).then(pl.col("amount_cents") // pl.when(pl.col("acts") != 0).then("acts"))
    known = implied.is_in(sorted({tariff.cents for tariff in law.tariffs}))
    return pl.coalesce("unit_cents", pl.when(known).then(implied))


def _explained(law: Law) -> pl.Expr:
    """A02 alone says the whole difference: no unit column, and amount / count is another tariff of the catalogue."""
    return (pl.col("unit_cents").is_null() & (billed_unit(law) != pl.col("tariff_cents"))).fill_null(value=False)


@check("snp.A01", "claim")
def a01(law: Law, facts: Facts) -> Ruling:
    judged = ~pl.col("revisit")
    unit = pl.coalesce("unit_cents", "tariff_cents")
    differs = judged & (pl.col("amount_cents") != pl.col("acts") * unit) & ~_explained(law)
    unreadable = pl.col("amount_cents").is_null() | pl.col("acts").is_null()
    return Ruling(
        {
            "no_tariff": judged & pl.col("tariff_cents").is_null(),
            "month": differs & pl.col("is_month") & (pl.col("amount_cents") > DUE),
            "below": differs & (pl.col("amount_cents") < DUE),
            "default": differs,
        },
        {
            "montant": euros_of(pl.col("amount_cents")),
            "attendu": euros_of(pl.col("acts") * unit),
            "nombre": pl.col("acts").cast(pl.String),
            "unite": euros_of(unit),
            "tarif": euros_of(pl.col("tariff_cents")),
        },
        cells=MONEY,
        noted=judged & (NO_DAY | pl.col("varies") | unreadable),
    )


@check("snp.A02", "claim")
def a02(law: Law, facts: Facts) -> Ruling:
    billed = billed_unit(law)
    return Ruling(
        {"below": billed < pl.col("tariff_cents"), "default": billed > pl.col("tariff_cents")},
        {"unite_facturee": euros_of(billed), "tarif": euros_of(pl.col("tariff_cents"))},
        cells=MONEY,
        missing=pl.col("tariff_cents").is_null(),
    )


@check("snp.A03", "bordereau")
def a03(law: Law, facts: Facts) -> Ruling:
    wrong = (pl.col("declared_total_cents") != pl.col("sum_cents")).fill_null(value=False)
    return Ruling(
        {"totals_rows": ~wrong & (pl.col("sum_of_totals_rows_cents") != pl.col("sum_cents")), "default": wrong},
        {
            "total": euros_of(pl.col("declared_total_cents")),
            "somme": euros_of(pl.col("sum_cents")),
            "montants_illisibles": pl.col("unreadable").cast(pl.String),
        },
        missing=pl.col("declared_total_cents").is_null(),
    )


@check("snp.A04", "claim")
def a04(law: Law, facts: Facts) -> Ruling:
    second = pl.col("act") == "CONSULT_2"
    alone = pl.when(pl.col("patient_key").is_null()).then("excess_seconds").otherwise(pl.col("first_day").is_null())
    return Ruling({"default": second & alone}, cells=("date", "act"), noted=second & NO_DAY)


@check("snp.A05", "claim")
def a05(law: Law, facts: Facts) -> Ruling:
    second = (pl.col("act") == "CONSULT_2") & (pl.col("family") == "LOMBALGIE")
    (payable, *doubtful) = law.second_visit
    gap = (pl.col("day") - pl.col("first_day")).dt.total_days()
    late = second & ~gap.is_between(*payable)
    return Ruling(
        {
            "doubtful": late & pl.any_horizontal(gap.is_between(*span) for span in doubtful),
            "emergency": late & (gap < doubtful[0][0]) & pl.col("emergency"),
            "default": late,
        },
        {"ecart": gap.cast(pl.String)},
        cells=("date",),
        missing=second & gap.is_null(),
    )


@check("snp.A06", "claim")
def a06(law: Law, facts: Facts) -> Ruling:
    unreadable = pl.col("acts").is_null() | (pl.col("amount_cents").is_null() & pl.col("amount_raw").is_not_null())
    odd = unreadable | (pl.col("acts") <= 0).fill_null(value=False) | (pl.col("amount_cents") <= 0).fill_null(value=False)
    return Ruling(
        {"cancellation": (pl.col("amount_cents") < 0) & pl.col("cancels"), "default": odd},
        {
            "nombre_brut": pl.coalesce("count_raw", pl.col("acts").cast(pl.String)),
            "montant_brut": pl.coalesce("amount_raw", euros_of(pl.col("amount_cents"))),
            "reference": pl.col("ref"),
        },
        cells=MONEY,
        missing=pl.col("amount_cents").is_null(),
    )


@check("snp.A07", "claim")
def a07(law: Law, facts: Facts) -> Ruling:
    return Ruling(
        {
            "after_second": pl.col("after_second"),
            "default": pl.col("after_act"),
            "no_act": pl.col("revisit") & pl.col("day").is_not_null(),
        },
        cells=("date", "act"),
        missing=pl.col("revisit"),
    )


@check("snp.A08", "claim")
def a08(law: Law, facts: Facts) -> Ruling:
    unknown = pl.col("patient_key").is_null() | pl.col("day").is_null() | pl.lit(not facts.has("common_law"))
    return Ruling(
        {"pharmacist_test": pl.col("only_test"), "default": pl.col("only_test").is_not_null()},
        cells=("date",),
        missing=unknown,
    )


@check("snp.A09", "claim")
def a09(law: Law, facts: Facts) -> Ruling:
    limit = law.number("a09_daily_threshold")
    daily = pl.col("day_acts") > pl.lit(limit, pl.Int64)
    return Ruling(
        {"default": daily, "year": pl.col("year_acts") > pl.col("patients")},
        {
            "actes_jour": pl.col("day_acts").cast(pl.String),
            "seuil": pl.lit(limit, pl.Int64).cast(pl.String),
            "actes_annee": pl.col("year_acts").cast(pl.String),
            "patients_declares": pl.col("patients").cast(pl.String),
        },
        cells=("date", "rpps", "count"),
        missing=(pl.lit(limit is None) | pl.col("day_acts").is_null()) & pl.col("patients").is_null(),
    )


def first_consultations(claims: pl.DataFrame) -> pl.DataFrame:
    """For each CONSULT_2 with a patient key, the day of the last CONSULT_1 before: ``c``, ``first_day`` (null: none)."""
    known = claims.filter(pl.col("patient_key").is_not_null() & pl.col("day").is_not_null())
    firsts = (
        known.filter("live", pl.col("act") == "CONSULT_1").select("patient_key", "family", first_day="day").sort("first_day")
    )
    seconds = known.filter(pl.col("act") == "CONSULT_2").select("c", "patient_key", "family", "day").sort("day")
    found = seconds.join_asof(
        firsts,
        left_on="day",
        right_on="first_day",
        by=["patient_key", "family"],
        allow_exact_matches=False,
        check_sortedness=False,
        coalesce=False,
    )
    return found.select("c", "first_day")


def excess_seconds(claims: pl.DataFrame) -> pl.DataFrame:
    """For each CONSULT_2 without key: does the running count of its span hold more second consultations than first ones."""
    by = ["skey", "family"]
    bare = claims.filter(
        "live",
        pl.col("patient_key").is_null(),
        pl.col("day").is_not_null(),
        pl.col("act").is_in(["CONSULT_1", "CONSULT_2"]),
        pl.col("family").is_in(list(SPANS)),
    )
    weight = pl.when(pl.col("act") == "CONSULT_2").then("number").otherwise(-pl.col("number")).fill_null(0)
    bare = bare.select("c", *by, "day", "act", weight=weight).sort("day", "c")
    bare = bare.with_columns(balance=pl.col("weight").cum_sum().over(by))
    ends = bare.group_by(*by, "day").agg(closed=pl.col("balance").last()).sort("day")
    span = pl.col("family").replace_strict(SPANS, return_dtype=pl.Int64)
    start = pl.col("day") - pl.duration(days=span + 1)
    found = bare.with_columns(before=start).join_asof(
        ends.rename({"day": "ended_day"}), left_on="before", right_on="ended_day", by=by, check_sortedness=False
    )
    excess = pl.col("balance") - pl.col("closed").fill_null(0) > 0
    return found.filter(pl.col("act") == "CONSULT_2").select("c", excess_seconds=excess)


def revisited(claims: pl.DataFrame) -> pl.DataFrame:
    """For each revisit: does it follow an act of the same patient and family, the same day or the day before (``after_act``,
    ``after_second`` for a second LOMBALGIE consultation)."""
    key = ["patient_key", "family", "day"]
    visits = claims.filter("revisit").select("c", *key).drop_nulls()
    acts = claims.filter("live", pl.col("act").is_in([*FIRST_ACTS, "CONSULT_2"])).select(*key, "act").drop_nulls()
    apart = (pl.col("family") == "LOMBALGIE") & (pl.col("act") == "CONSULT_2")
    told = acts.group_by(key).agg(second=apart.any(), other=(~apart).any())
    next_day = told.with_columns(pl.col("day") + timedelta(days=1))
    pairs = visits.join(pl.concat([told, next_day]), on=key)
    return pairs.group_by("c").agg(after_second=pl.col("second").any(), after_act=pl.col("other").any())


def volumes(claims: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:
    """``day_acts`` of the delegate on the day (in structures that are identified, for a line of one of them), ``year_acts`` of
    the structure, ``patients`` of its yearly indicator."""
    live = claims.filter("live")
    daily = live.drop_nulls(["delegate", "day"]).group_by("delegate", "day")
    counted = daily.agg(all_acts=pl.col("number").sum(), sure_acts=pl.col("number").filter(IDENTIFIED).sum())
    found = claims.select("c", "skey", "delegate", "day", sure=IDENTIFIED, year=pl.col("when").dt.year().cast(pl.Int64))
    found = found.join(counted, on=["delegate", "day"], how="left", maintain_order="left")
    found = found.with_columns(day_acts=pl.when("sure").then("sure_acts").otherwise("all_acts"))
    if indicators.is_empty():
        return found.select("c", "day_acts", year_acts=pl.lit(None, pl.Int64), patients=pl.lit(None, pl.Int64))
    firsts = live.filter(pl.col("act").is_in(FIRST_ACTS)).group_by("skey", year=pl.col("when").dt.year().cast(pl.Int64))
    yearly = firsts.agg(year_acts=pl.col("number").sum())
    told = indicators.group_by("skey", "year").agg(pl.col("patients").last())
    found = found.join(yearly, on=["skey", "year"], how="left").join(told, on=["skey", "year"], how="left")
    return found.select("c", "day_acts", "year_acts", "patients")


def common_law(claims: pl.DataFrame, facts: Facts, rosters: pl.DataFrame) -> pl.DataFrame:
    """Acts with an ordinary act of the same patient by the delegate or the team, the same or the next day: ``only_test``."""
    outside = facts.frame("common_law").select("patient_key", "rpps", "day", "kind")
    eve = outside.with_columns(pl.col("day") - timedelta(days=1))
    rows = claims.select("c", "d", "delegate", "patient_key", "day").drop_nulls(["patient_key", "day"])
    pairs = rows.join(pl.concat([outside, eve]).unique(), on=["patient_key", "day"])
    team = pairs.join(rosters, on=["d", "rpps"], how="semi")
    same = pl.concat([pairs.filter(pl.col("delegate") == pl.col("rpps")), team])
    return same.group_by("c").agg(only_test=(pl.col("kind") == "pharmacist_test").all())


def cancellations(claims: pl.DataFrame) -> pl.DataFrame:
    """Negative lines whose reference is that of a line of the structure with the opposite amount: ``c``, ``cancels``."""
    named = claims.drop_nulls(["ref", "amount_cents"]).select("c", "skey", "ref", "amount_cents")
    opposite = named.filter(pl.col("amount_cents") > 0).select("skey", "ref", amount_cents=-pl.col("amount_cents")).unique()
    negative = named.filter(pl.col("amount_cents") < 0)
    return negative.join(opposite, on=["skey", "ref", "amount_cents"], how="semi").select("c", cancels=pl.lit(value=True))
