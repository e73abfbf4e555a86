"""Rules U: is the act claimed twice, in this bordereau or in another one, or taken up by a bordereau that replaces."""

import polars as pl

from checks.snp.amount import FIRST_ACTS
from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.ruling import Ruling, check
from contracts_schema.french import euros_of

EPISODE = 7
"""Days within which the same patient is not included twice (an assumption)."""
ACT = ("family", "act", "when", "is_month", "delegate")
UNPLACED = ~pl.col("family_known") | pl.col("when").is_null()
PLACE = ("protocol", "date", "rpps", "ref")


@check("snp.U01", "claim")
def u01(law: Law, facts: Facts) -> Ruling:
    return Ruling(
        {"no_key": ~pl.col("u01_same") & pl.col("u01_unsure"), "default": pl.col("u01_same")},
        {"autre": pl.col("u01_other").cast(pl.String)},
        cells=PLACE,
        noted=UNPLACED,
    )


@check("snp.U02", "claim")
def u02(law: Law, facts: Facts) -> Ruling:
    replaces = pl.col("predecessor").is_not_null()
    return Ruling(
        {
            "default": pl.col("u02_same"),
            "no_key": pl.col("u02_unsure") & ~pl.col("is_month"),
            "replacement_paid": replaces & (pl.col("paid_before_cents") > 0),
            "replacement": replaces,
        },
        {"autre": pl.col("u02_other"), "deja_paye": euros_of(pl.col("paid_before_cents"))},
        cells=PLACE,
        noted=UNPLACED & pl.col("predecessor").is_null(),
    )


@check("snp.U04", "claim")
def u04(law: Law, facts: Facts) -> Ruling:
    return Ruling(
        {"default": pl.col("u04_other").is_not_null()},
        {"autre": pl.col("u04_other")},
        cells=("protocol", "month"),
        noted=UNPLACED,
    )


@check("snp.U05", "claim")
def u05(law: Law, facts: Facts) -> Ruling:
    return Ruling({"default": pl.col("again")}, cells=("protocol", "date"), missing=pl.col("patient_key").is_null())


def within(claims: pl.DataFrame) -> pl.DataFrame:
    """Later lines of a bordereau that claim the act of an earlier one: ``c``, ``u01_same``, ``u01_unsure``, ``u01_other``."""
    found = _twins(claims.with_columns(witness=pl.lit(value=True)), ("b", *ACT), "line_number")
    return found.rename({"same": "u01_same", "unsure": "u01_unsure", "other": "u01_other"})


def between(claims: pl.DataFrame, bordereaux: pl.DataFrame) -> pl.DataFrame:
    """Lines whose act stands in an earlier live bordereau of the structure: ``c``, ``u02_same``, ``u02_unsure``, the other."""
    found = _twins(claims.with_columns(witness="live"), ("skey", *ACT), "b")
    named = bordereaux.select(other="b", u02_other=_where_from())
    return found.join(named, on="other", how="left").drop("other").rename({"same": "u02_same", "unsure": "u02_unsure"})


def _where_from() -> pl.Expr:
    return pl.format("{} reçu le {}", pl.col("file").fill_null("bordereau"), pl.col("received_on").dt.strftime("%d/%m/%Y"))


def _twins(claims: pl.DataFrame, group: tuple[str, ...], order: str) -> pl.DataFrame:
    """Rows that have an earlier witness in their group: surely the same act (``same``), or one that no key tells apart
    (``unsure``); ``other`` is the order of the first such witness. Order: a column of whole numbers.

    Two patient keys decide; without both, two references decide; without both, nothing does.
    """
    key = ["patient_key", "ref"]
    found = claims.drop_nulls(["family", "when"]).select("c", *group, order, *key, "witness")
    mark = pl.struct(group).hash()
    found = found.filter(mark.is_duplicated())
    by, rank = list(group), pl.col(order).cast(pl.Int64)
    patient, ref = pl.col("patient_key").is_not_null(), pl.col("ref").is_not_null()
    seen = pl.when("witness").then(rank)

    def first(condition: pl.Expr, *more: str) -> pl.Expr:
        return pl.when(condition).then(seen).min().over([*by, *more])

    always = pl.lit(value=True)
    same = pl.min_horizontal(
        pl.when(patient).then(first(always, "patient_key")),
        pl.when(ref & ~patient).then(first(always, "ref")),
        pl.when(ref & patient).then(first(~patient, "ref")),
    )
    unsure = (
        pl.when(patient & ref)
        .then(first(~patient & ~ref))
        .when(patient)
        .then(first(~patient))
        .when(ref)
        .then(first(~ref))
        .otherwise(first(always))
    )
    told = found.select("c", rank=rank, same=same, unsure=unsure)
    is_same, is_unsure = pl.col("same") < pl.col("rank"), pl.col("unsure") < pl.col("rank")
    told = told.with_columns(other=pl.when(is_same).then("same").when(is_unsure).then("unsure"))
    return told.filter(pl.col("other").is_not_null()).select(
        "c",
        same=is_same.fill_null(value=False),
        unsure=is_unsure.fill_null(value=False),
        other=pl.col("other").cast(claims.schema[order]),
    )


def aggregated(claims: pl.DataFrame, bordereaux: pl.DataFrame) -> pl.DataFrame:
    """Monthly lines of a family and month that two live bordereaux of the structure claim: ``c``, ``u04_other``."""
    by = ["skey", "family", "month"]
    months = claims.filter("live", "is_month").select("c", "b", *by).drop_nulls()
    ends = months.group_by(by).agg(low=pl.col("b").min(), high=pl.col("b").max()).filter(pl.col("low") != pl.col("high"))
    found = months.join(ends, on=by).with_columns(other=pl.when(pl.col("low") != pl.col("b")).then("low").otherwise("high"))
    return found.join(bordereaux.select(other="b", u04_other=_where_from()), on="other").select("c", "u04_other")


def included_again(claims: pl.DataFrame) -> pl.DataFrame:
    """Later inclusions of a patient, same structure and family, within ``EPISODE`` days of another: ``c``, ``again``."""
    by = ["skey", "family", "patient_key"]
    one = [*by, "act", "day", "delegate"]
    found = claims.filter("live", pl.col("act").is_in(FIRST_ACTS)).select("c", *one).drop_nulls([*by, "day"])
    acts = found.group_by(one).agg(pl.col("c").min()).sort("day", "c")
    gap = (pl.col("day") - pl.col("day").shift(1).over(by)).dt.total_days()
    again = acts.filter(gap <= EPISODE).select(one)
    return found.join(again, on=one, how="semi", nulls_equal=True).select("c", again=pl.lit(value=True))


def replaced(claims: pl.DataFrame, bordereaux: pl.DataFrame) -> pl.DataFrame:
    """The line that each line of a replacing bordereau takes the place of: ``i``, ``predecessor`` (the place of that line).

    Lines pair by reference (and rank among equal ones), else, when one of them has none, by line number.
    """
    lines = claims.unique("i", keep="first", maintain_order=True)
    lines = lines.select("i", "b", "bordereau_id", "replaces", "line_number", "ref")
    rank = pl.int_range(pl.len()).over("b", "ref")
    lines = lines.with_columns(rank=rank)
    old = lines.select("rank", "line_number", bordereau="bordereau_id", predecessor="i", old_ref="ref")
    new = lines.filter(pl.col("replaces").is_not_null(), pl.col("replaces") != pl.col("bordereau_id"))
    by_ref = new.drop_nulls("ref").join(
        old.drop_nulls("old_ref"), left_on=["replaces", "ref", "rank"], right_on=["bordereau", "old_ref", "rank"]
    )
    by_number = new.join(old, left_on=["replaces", "line_number"], right_on=["bordereau", "line_number"])
    by_number = by_number.filter(pl.col("ref").is_null() | pl.col("old_ref").is_null())
    by_number = by_number.join(by_ref, on="predecessor", how="anti").join(by_ref, on="i", how="anti")
    return pl.concat([by_ref.select("i", "predecessor"), by_number.select("i", "predecessor")])
