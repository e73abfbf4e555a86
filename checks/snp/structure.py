"""Rules S: does the structure exist, may it be paid on the day, and by this caisse."""

import polars as pl

from checks.snp.declaration import UNKNOWN
from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.protocol import KIND, NO_KIND
from checks.snp.ruling import Ruling, check, french

NO_KEY = pl.col("siret").is_null() & pl.col("finess").is_null()
CPTS = pl.col("kind") == "CPTS"
NO_RIGHT = pl.col("undated_right").is_null()
COVERED = ((pl.col("at") >= pl.col("first_right")) & (pl.col("at") < pl.col("right_until"))).fill_null(value=False)
UNDATED = pl.col("undated_right").fill_null(value=False) & ~COVERED
"""A right without its date may cover the day or not."""


@check("snp.S01", "day")
def s01(law: Law, facts: Facts) -> Ruling:
    if not facts.has("structure"):
        return Ruling({}, missing=UNKNOWN)
    return Ruling(
        {
            "closed": pl.col("day_known") & (pl.col("closed_on") <= pl.col("at")),
            "default": ~pl.col("known") & ~NO_KEY,
        },
        {"cherche": pl.col("cherche"), "fermeture": french(pl.col("closed_on"))},
        missing=NO_KEY,
    )


@check("snp.S02", "day")
def s02(law: Law, facts: Facts) -> Ruling:
    if not facts.has("adhesion"):
        return Ruling({}, missing=~CPTS)
    return Ruling({"default": ~CPTS & ~NO_KIND & NO_RIGHT}, {"type": pl.col("kind")}, missing=NO_KIND)


@check("snp.S03", "day")
def s03(law: Law, facts: Facts) -> Ruling:
    if not facts.has("adhesion"):
        return Ruling({}, missing=CPTS | NO_KIND)
    return Ruling({"undated": CPTS & UNDATED, "default": CPTS & NO_RIGHT}, missing=NO_KIND)


@check("snp.S04", "day")
def s04(law: Law, facts: Facts) -> Ruling:
    if not facts.has("adhesion"):
        return Ruling({}, missing=UNKNOWN)
    dated = ~NO_RIGHT & ~UNDATED
    return Ruling(
        {
            "ended": dated & (pl.col("at") >= pl.col("right_until")),
            "default": dated & (pl.col("at") < pl.col("first_right")),
        },
        {"adhesion_jour": french(pl.col("first_right")), **KIND},
        cells=("date",),
        noted=~pl.col("day_known") | (CPTS & UNDATED),
        missing=NO_KIND | UNDATED,
    )


@check("snp.S05", "day")
def s05(law: Law, facts: Facts) -> Ruling:
    told = pl.col("declared_kinds").list.len().fill_null(0) > 0
    return Ruling(
        {"default": told & ~pl.col("structure_kind").is_in(pl.col("declared_kinds"))},
        {"type_bordereau": pl.col("structure_kind"), "type_declare": pl.col("declared_kinds").list.unique().list.join(", ")},
        missing=pl.col("structure_kind").is_null() | ~told,
    )


@check("snp.S06", "day")
def s06(law: Law, facts: Facts) -> Ruling:
    other = pl.col("discordant") | (~pl.col("declared") & pl.col("near_key").fill_null(value=False))
    return Ruling(
        {"alias": pl.col("declared") & pl.col("aliased"), "default": ~NO_KEY & (pl.col("bad_key") | other)},
        {"cherche": pl.col("cherche"), "proche": pl.col("near").fill_null("aucun dossier proche")},
        missing=NO_KEY,
    )


@check("snp.S07", "day")
def s07(law: Law, facts: Facts) -> Ruling:
    return Ruling(
        {"default": pl.col("attached") != pl.col("caisse")},
        {"caisse_rattachement": pl.col("attached"), "caisse": pl.col("caisse")},
        missing=pl.col("attached").is_null() | pl.col("caisse").is_null(),
    )


@check("snp.S08", "bordereau")
def s08(law: Law, facts: Facts) -> Ruling:
    return Ruling({"default": pl.col("iban_state").is_in(["missing", "changed"])}, missing=pl.col("iban_state").is_null())
