"""Rules T: is the delegate of the line a delegate of the team of that day, in practice, and claimed once."""

import polars as pl

from checks.snp.declaration import ABSENT, UNKNOWN
from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.ruling import Ruling, check, french

NO_TEAM = ~pl.col("has_team") | ~pl.col("day_known") | ~pl.col("family_known")
BEFORE = (pl.col("member_first") <= pl.col("at")).fill_null(value=False)
NUMBERS = ("rpps", "delegate")
IDENTIFIED = pl.col("known") | pl.col("declared")
"""The structure is in the register, or has a declaration under its own key."""


@check("snp.T01", "day")
def t01(law: Law, facts: Facts) -> Ruling:
    judged = ~pl.col("revisit")
    if not facts.has("dossier", "dossier_protocol", "member"):
        return Ruling({}, missing=judged)
    absent = judged & pl.col("delegate").is_not_null() & ~pl.col("in_team") & ~BEFORE
    return Ruling(
        {
            "near": absent & pl.col("near_rpps").is_not_null(),
            "declared_later": absent & (pl.col("member_last") > pl.col("at")),
            "not_synchronised": absent & ~pl.col("proven"),
            "default": absent,
        },
        {"rpps_proche": pl.col("near_rpps"), "entree_jour": french(pl.col("member_first")), **ABSENT},
        cells=NUMBERS,
        dossier=True,
        noted=judged & (NO_TEAM | ~pl.col("given")),
        missing=judged & pl.col("delegate").is_null(),
    )


@check("snp.T02", "day")
def t02(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_protocol", "member"):
        return Ruling({}, missing=UNKNOWN)
    removed = ~pl.col("revisit") & pl.col("force").is_not_null() & ~pl.col("in_team") & BEFORE
    inactive = (pl.col("active_to") <= pl.col("at")).fill_null(value=False) | (pl.col("at") < pl.col("active_from"))
    unknown = pl.lit(facts.has("professional")) & pl.col("in_team") & ~pl.col("status_known").fill_null(value=False)
    return Ruling(
        {"status_unknown": unknown, "default": removed | inactive},
        {"radiation": french(pl.col("active_to"))},
        cells=NUMBERS,
        dossier=True,
        noted=NO_TEAM | ~pl.col("given"),
        missing=pl.lit(not facts.has("professional")),
    )


@check("snp.T03", "day")
def t03(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_protocol", "member"):
        return Ruling({}, missing=UNKNOWN)
    return Ruling({"default": ~pl.col("has_doctor")}, dossier=True, noted=NO_TEAM)


@check("snp.T04", "claim")
def t04(law: Law, facts: Facts) -> Ruling:
    twice = pl.col("t04_other").is_not_null()
    return Ruling(
        {"paid_here": twice & (pl.col("paid_cents") > 0), "default": twice},
        {"autre": pl.col("t04_other")},
        cells=(*NUMBERS, "date"),
        noted=pl.col("delegate").is_null() | ~pl.col("family_known") | pl.col("day").is_null(),
    )


@check("snp.T05", "claim")
def t05(law: Law, facts: Facts) -> Ruling:
    wrong = pl.col("given") & ~pl.col("key_right").fill_null(value=False) & ~pl.col("registered")
    return Ruling(
        {"default": wrong, "repaired": pl.col("given") & pl.col("rpps_repaired")},
        cells=NUMBERS,
        noted=~pl.col("given"),
    )


def elsewhere(claims: pl.DataFrame) -> pl.DataFrame:
    """Acts claimed by two structures: ``c`` and ``t04_other``, the line of another structure that claims the same act.

    Two patient keys make two acts; a line without key may be the same act as any. A structure that nothing identifies is
    asked about the acts of all others, and stops none of theirs.
    """
    group = ["delegate", "family", "act", "day"]
    found = claims.filter("live").select("c", "skey", "patient_key", "where", *group, identified=IDENTIFIED)
    found = found.drop_nulls(["delegate", "family", "day"])
    several = (
        found.group_by(group).agg(low=pl.col("skey").min(), high=pl.col("skey").max()).filter(pl.col("low") != pl.col("high"))
    )
    found = found.join(several.select(group), on=group, how="semi", nulls_equal=True)
    identified, keyed = pl.col("identified"), pl.col("patient_key").is_not_null()
    pairs = [
        _others(rows.filter(which), found=against.filter(whom), by=by)
        for rows, against in ((found.filter(identified), found.filter(identified)), (found.filter(~identified), found))
        for which, whom, by in ((keyed, keyed, [*group, "patient_key"]), (keyed, ~keyed, group), (~keyed, True, group))
    ]
    return pl.concat(pairs).group_by("c").agg(t04_other=pl.col("other").min())


def _others(rows: pl.DataFrame, found: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """For each row, the first line of another structure among ``found`` in its group."""
    firsts = found.group_by(*by, "skey").agg(where=pl.col("where").min())
    ends = firsts.group_by(by).agg(
        low=pl.col("skey").min(),
        high=pl.col("skey").max(),
        low_where=pl.col("where").sort_by("skey").first(),
        high_where=pl.col("where").sort_by("skey").last(),
    )
    other = pl.when(pl.col("low") != pl.col("skey")).then("low_where").when(pl.col("high") != pl.col("skey")).then("high_where")
    return rows.join(ends, on=by, nulls_equal=True).select("c", other=other).drop_nulls("other")
