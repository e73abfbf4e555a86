"""Rules P: is the protocol known, declared, open to this kind of structure on the day, for this delegate and this patient."""

import polars as pl

from checks.snp.declaration import ABSENT, NO_DAY, UNKNOWN
from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.ruling import Ruling, check

KINDS = {"MSP": "MSP", "CDS": "centres de santé", "CPTS": "CPTS"}
KIND = {"type": pl.col("kind").replace(KINDS)}
NO_KIND = pl.col("kind") == ""
OPEN = pl.col("window").is_not_null()


@check("snp.P01", "day")
def p01(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_protocol"):
        return Ruling({}, missing=UNKNOWN)
    uncovered = pl.col("declared") & (~pl.col("covered_ever") | (pl.col("withdrawn") & pl.col("day_known")))
    return Ruling(
        {"not_synchronised": uncovered & ~pl.col("proven"), "default": uncovered},
        {"declares": pl.col("declared_families"), **ABSENT},
        cells=("protocol", "date"),
        noted=~pl.col("family_known"),
    )


@check("snp.P02", "day")
def p02(law: Law, facts: Facts) -> Ruling:
    unknown = ~pl.col("family_known")
    return Ruling(
        {
            "several": unknown & (pl.col("family_candidates").list.len() > 1),
            "default": unknown & pl.col("label").is_not_null(),
        },
        {"libelle": pl.col("label"), "candidats": pl.col("family_candidates").list.sort().list.join(", ")},
        cells=("protocol",),
        missing=unknown,
    )


@check("snp.P03", "day")
def p03(law: Law, facts: Facts) -> Ruling:
    spans = {version.family: _spans(law, version.family) for version in law.versions}
    closed = ~NO_KIND & ~OPEN & pl.col("gap").is_null()
    return Ruling(
        {"default": closed},
        {**KIND, "periodes": pl.col("family").replace_strict(spans, default="aucune", return_dtype=pl.String)},
        cells=("date", "protocol"),
        noted=NO_DAY,
        missing=NO_KIND,
    )


@check("snp.P04", "day")
def p04(law: Law, facts: Facts) -> Ruling:
    return Ruling({"default": pl.col("gap") == "GAP1"}, KIND, cells=("date",), noted=NO_DAY, missing=NO_KIND)


@check("snp.P05", "day")
def p05(law: Law, facts: Facts) -> Ruling:
    closed = pl.col("gap") == "GAP2"
    return Ruling({"reopened": closed & OPEN, "default": closed}, KIND, cells=("date",), noted=NO_DAY, missing=NO_KIND)


@check("snp.P06", "day")
def p06(law: Law, facts: Facts) -> Ruling:
    judged = ~pl.col("revisit") & pl.col("given")
    wrong = ~pl.col("known_profession").is_in(pl.col("delegates"))
    return Ruling(
        {"unknown": judged & pl.col("known_profession").is_null(), "default": judged & wrong},
        {"profession": pl.col("known_profession"), "professions": pl.col("delegates").list.join(", ")},
        cells=("rpps", "delegate", "profession"),
        noted=~pl.col("revisit") & (~pl.col("given") | ~pl.col("family_known")),
    )


@check("snp.P07", "day")
def p07(law: Law, facts: Facts) -> Ruling:
    other_sex = (pl.col("patient_sex") != pl.col("sex")).fill_null(value=False)
    young = (pl.col("months") < pl.col("min_months")).fill_null(value=False)
    old = (pl.col("years") > pl.col("max_years")).fill_null(value=False)
    outside = other_sex | young | old
    at_most = pl.format("{} à {} ans", pl.col("min_months") // 12, "max_years")
    women = pl.when(pl.col("sex") == "F").then(pl.lit(", femmes")).otherwise(pl.lit(""))
    return Ruling(
        {
            "odyno_2023_age": ~other_sex & ~young & old & (pl.col("years") <= pl.col("ask_years")),
            "odyno_2020": outside & ~pl.col("ages_read"),
            "default": outside,
        },
        {"criteres": pl.concat_str(at_most, women)},
        noted=NO_DAY,
        missing=pl.col("months").is_null() & (pl.col("patient_sex").is_null() | pl.col("sex").is_null()),
    )


@check("snp.P08", "day")
def p08(law: Law, facts: Facts) -> Ruling:
    interim = pl.col("interim")
    return Ruling({"early_2020": interim == "EARLY_2020", "default": interim == "TARIFF_2023"}, cells=("date",), noted=NO_DAY)


@check("snp.P09", "day")
def p09(law: Law, facts: Facts) -> Ruling:
    return Ruling({"default": pl.col("w2_end")}, cells=("date",), noted=NO_DAY, missing=NO_KIND)


def _spans(law: Law, family: str) -> str:
    """Every window of a family, as text."""
    codes = {version.code for version in law.versions if version.family == family}
    open_to = [window for window in law.windows if codes & set(window.versions)]
    ends = [f"{window.valid_to:%d/%m/%Y} exclu" if window.valid_to else "sans fin connue" for window in open_to]
    pairs = zip(open_to, ends, strict=True)
    return " ; ".join(f"{', '.join(window.kinds)} du {window.valid_from:%d/%m/%Y}, {end}" for window, end in pairs)
