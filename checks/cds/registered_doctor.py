"""The forfait médecin traitant from 2026 on, group of patients by group: a simulation, not found to apply to centres.

Reads counts of patients by group, never a patient. Nothing of it may enter an amount to pay.
"""

import polars as pl

from checks.cds.figures import Figures, is_firm, status_of

GROUPS = pl.Schema(
    {
        "finess_et": pl.String(),
        "age": pl.Int64(),
        "long_term_illness": pl.Boolean(),
        "solidarity_cover": pl.Boolean(),
        "seen_in_two_years": pl.Boolean(),
        "validated_indicators": pl.Int64(),
        "patients": pl.Int64(),
    }
)
"""Counts of patients of a centre who agree on all the rest; ``validated_indicators``: of prevention, for the whole group."""


def worth(groups: pl.DataFrame, law: Figures) -> pl.DataFrame:
    """The groups with ``patient_cents`` (a patient of the group), ``cents`` (the group), ``status`` and ``firm``.

    The group of a patient not seen for two years says all; else age and long-term illness give the base, the cover its bonus.
    """
    figures = law.table("cds.fmt.per_patient")
    values = {row["group"]: row["value"] for row in figures.iter_rows(named=True)}
    weakest = figures["rank"].max()

    def cents(group: str) -> pl.Expr:
        return pl.lit(values[group], pl.Int64)

    age, ill = pl.col("age"), pl.col("long_term_illness")
    base = (
        pl.when(ill & (age >= 80)).then(cents("ald_80_plus"))
        .when(ill).then(cents("ald_0_79"))
        .when(age >= 80).then(cents("age_80_plus"))
        .when(age >= 75).then(cents("age_75_79"))
        .when(age >= 7).then(cents("age_7_74"))
        .otherwise(cents("under_7"))
    )  # fmt: skip
    bonus = pl.when("solidarity_cover").then(cents("c2s_bonus")).otherwise(0)
    one = pl.when("seen_in_two_years").then(base + bonus).otherwise(cents("not_seen_two_years"))
    whole = one * pl.col("patients") + pl.col("validated_indicators") * cents("per_validated_prevention_indicator")
    rank = pl.lit(weakest, pl.Int64)
    return groups.with_columns(patient_cents=one, cents=whole, status=status_of(rank), firm=is_firm(rank))
