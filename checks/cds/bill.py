"""Rules about an amount before it is published (CDS44, CDS45, CDS63 to CDS65): regime, sources, rounding, proof.

They work the amounts out again, another way; the engine that made them is not trusted to say that it did well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from checks.cds.examine import Examination
from checks.cds.figures import Figures
from checks.cds.remuneration import Remuneration
from checks.cds.ruling import CHECKS, FINDINGS, absent, check, findings, hits
from contracts_schema.french import euros_of

LAST_YEAR_IN_POINTS = 2025


@dataclass(frozen=True)
class Bill:
    """An amount about to be published: the examination and the law that it came from, the version of the rules and the
    positions of the events that it rests on, which whoever publishes gives."""

    examination: Examination
    remuneration: Remuneration
    law: Figures
    rules_version: str
    positions: Sequence[int]


def verify(bill: Bill) -> pl.DataFrame:
    """The findings of the rules about amounts."""
    told = [findings(one.rule, one.judge(bill)) for one in CHECKS.values() if one.judge.__module__ == __name__]
    return pl.concat([pl.DataFrame(schema=FINDINGS), *told])


@check("cds.CDS44")
def cds44(bill: Bill) -> pl.DataFrame:
    year = bill.examination.scene.campaign.year
    expected = 2015 if year <= LAST_YEAR_IN_POINTS else 2025
    rows = bill.remuneration.centres.filter(pl.col("scheme") == "rfs")
    told = {"regime": pl.col("regime"), "regime_attendu": pl.lit(expected), "annee": pl.lit(year)}
    return hits(rows, {"default": pl.col("regime") != expected}, "rfs", **told)


@check("cds.CDS45")
def cds45(bill: Bill) -> pl.DataFrame:
    paid = bill.remuneration.items.filter(pl.col("payable_cents") > 0).select("finess_et", "indicator")
    weak = bill.remuneration.nodes.filter(~pl.col("firm")).join(
        paid, on=["finess_et", "indicator"], how="semi", maintain_order="left"
    )
    told = {"noeud": pl.col("node"), "parametre": pl.col("parameters"), "statut_parametre": pl.col("status")}
    return hits(weak, {"default": pl.lit(value=True)}, None, pl.col("node"), **told)


@check("cds.CDS63")
def cds63(bill: Bill) -> pl.DataFrame:
    """The sum of the indicators against the exact total, rounded once, a half going up."""
    rows = bill.remuneration.centres.filter(pl.col("computed_cents").is_not_null())
    exact = _exact(bill)
    keys = rows.select("finess_et", "scheme").iter_rows()
    told = rows.with_columns(exact=pl.Series([exact.get(key, 0) for key in keys], dtype=pl.Int64))
    shown = {"noeud": pl.format("{}.amount", "scheme"), "montant": pl.col("computed_cents"), "attendu": pl.col("exact")}
    return hits(told, {"default": pl.col("computed_cents") != pl.col("exact")}, None, pl.col("scheme"), **shown)


def _exact(bill: Bill) -> dict[tuple[str, str], int]:
    """Cents of each centre and scheme from the leaves of the graph, by fractions."""
    point, prorata = Fraction(bill.law.one("cds.rfs.point_value").value or 0), bill.law.one("cds.rfs.prorata").value
    leaf = pl.col("node").str.contains(r"^rfs\..+\..+$") | pl.col("node").str.contains(r"^rosp\..+\.amount$")
    leaves = bill.remuneration.nodes.filter(leaf, pl.col("indicator").is_not_null())
    keys = ["finess_et", "indicator"]
    whole = leaves.filter(~pl.col("numerator").is_null().any().over(*keys))
    scene = bill.examination.scene
    days = (scene.last_day - scene.first_day).days + 1
    since = dict(scene.centres.select("finess_et", "agreement_from").iter_rows())
    totals: dict[tuple[str, str], Fraction] = {}
    of_node = pl.col("node").str.extract(r"^([a-z]+)\.").alias("scheme")
    sums = whole.group_by("finess_et", of_node, "denominator").agg(pl.col("numerator").sum())
    for finess, scheme, above, below in sums.select("finess_et", "scheme", "numerator", "denominator").iter_rows():
        worth = Fraction(above, below)
        if scheme == "rfs":
            day = since.get(finess) or scene.first_day
            mid_year = prorata != 0 and scene.first_day < day <= scene.last_day
            worth *= point * (Fraction((scene.last_day - day).days + 1, days) if mid_year else 1)
        totals[finess, scheme] = totals.get((finess, scheme), Fraction(0)) + worth
    return {key: int(total + Fraction(1, 2)) for key, total in totals.items()}


@check("cds.CDS64")
def cds64(bill: Bill) -> pl.DataFrame:
    rows = bill.remuneration.centres.filter(pl.col("scheme") == "rfs")
    if rows["advance_paid_cents"].is_null().all():
        return absent("rfs")
    final = pl.col("payable_cents") + pl.col("under_reserve_cents")
    cases = {"missing": pl.col("recovery_cents").is_null(), "default": pl.col("recovery_cents") > 0}
    told = {
        "avance": euros_of(pl.col("advance_paid_cents")),
        "montant": euros_of(final),
        "indu": euros_of(pl.col("recovery_cents")),
    }
    return hits(rows, cases, "rfs", **told)


@check("cds.CDS65")
def cds65(bill: Bill) -> pl.DataFrame:
    """An amount that is shown names its figures, the version of the rules and the events it rests on."""
    lacks = [] if bill.rules_version else ["version des règles"]
    lacks += [] if bill.positions else ["positions d'événements"]
    shown = bill.remuneration.items.filter(pl.col("computed_cents").is_not_null())
    named = bill.remuneration.nodes.filter(pl.col("parameters") != "").select("finess_et", "indicator").unique()
    bare = shown.join(named, on=["finess_et", "indicator"], how="anti", maintain_order="left")
    rows = shown if lacks else bare
    what = ", ".join(lacks) or "référence de paramètre"
    told = {"noeud": pl.format("{}.{}", "scheme", "indicator"), "manque": pl.lit(what)}
    return hits(rows, {"default": pl.lit(value=True)}, None, pl.format("{}.{}", "scheme", "indicator"), **told)
