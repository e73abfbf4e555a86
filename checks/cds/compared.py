"""What a centre declares beside what others say and what it declared the year before: staff, time, hours, patients, rates.

A declaration is annotated, never overwritten. Where the other side is not known the comparison is ``non_verifiable``, never an
agreement. Tolerances are proposals: 5 % of the other figure, 30 points for a rate.
"""

from collections.abc import Iterable

import polars as pl

from checks.cds.agreement import GAP_PERCENT
from checks.cds.performance import GAP_POINTS
from checks.cds.scene import Scene, label

COMPARED = pl.Schema(
    {
        "finess_et": pl.String(),
        "subject": pl.String(),
        "subject_fr": pl.String(),
        "source_fr": pl.String(),
        "declared": pl.Int64(),
        "other": pl.Int64(),
        "unit": pl.String(),
        "verdict": pl.String(),
    }
)
"""``declared`` and ``other``: in ``unit``. ``verdict``: concordant, ecart_tolere, ecart or non_verifiable."""

AGREED, TOLERATED, APART, UNKNOWN = "concordant", "ecart_tolere", "ecart", "non_verifiable"
BEFORE_FR, COMPUTED_FR, HOURS_FR = "campagne précédente", "Assurance Maladie", "ARS"

SUBJECTS_FR = {
    "persons": "Professionnels présents dans l'année",
    "nurse_fte": "ETP infirmiers",
    "gp_fte": "ETP de médecins généralistes",
    "fte": "ETP, toutes professions",
    "opening": "Ouverture hebdomadaire",
    "patient_list": "Patientèle médecin traitant",
    "active_patients": "File active",
}
FTE, RATE, WEEKLY = "centièmes d'ETP", "dixièmes de point", "minutes par semaine"
UNITS_FR = {"persons": "personnes", "opening": WEEKLY}
UNITS_FR |= dict.fromkeys(("nurse_fte", "gp_fte", "fte"), FTE)
UNITS_FR |= dict.fromkeys(("patient_list", "active_patients"), "patients")


def compared(found: Scene) -> pl.DataFrame:
    """``COMPARED`` of every centre with the sources that were received: the campaign before, the patients that were computed,
    the hours that the ARS knows. A centre of which a source says nothing is ``non_verifiable`` there."""
    campaign, now = found.campaign, figures(found)
    parts = [pl.DataFrame(schema=COMPARED)]
    if (before := found.before) is not None:
        parts += [_beside(found, now, figures(before), BEFORE_FR, SUBJECTS_FR), _rates(found, before)]
    if (computed := campaign.computed_patients) is not None:
        counts = ["patient_list", "active_patients"]
        told = computed.unpivot(counts, index="finess_et", variable_name="subject")
        parts.append(_beside(found, now, told, COMPUTED_FR, counts))
    if (hours := campaign.known_hours) is not None:
        parts.append(_beside(found, now, _opening(hours), HOURS_FR, ["opening"]))
    return pl.concat(parts).sort("finess_et", "source_fr", "subject", maintain_order=True)


def figures(found: Scene) -> pl.DataFrame:
    """The figures of each centre: finess_et, subject, value (no row where it is not known)."""
    schema = {"finess_et": pl.String, "subject": pl.String, "value": pl.Int64}
    parts = [pl.DataFrame(schema=schema)]
    for name in ("patient_list", "active_patients"):
        parts.append(found.centres.select("finess_et", subject=pl.lit(name), value=pl.col(name)))
    if found.staff is not None and found.headcounts is not None:
        sums = found.staff.group_by("finess_et").agg(persons=pl.len(), fte=pl.col("fte_centi").sum())
        for frame, names in ((sums, ("persons", "fte")), (found.headcounts, ("nurse_fte", "gp_fte"))):
            parts += [frame.select("finess_et", subject=pl.lit(name), value=pl.col(name).cast(pl.Int64)) for name in names]
    if found.campaign.horaires is not None:
        parts.append(_opening(found.campaign.horaires))
    return pl.concat(parts).drop_nulls("value")


def _opening(hours: pl.DataFrame) -> pl.DataFrame:
    """The minutes of a week; an interval that closes before it opens counts for nothing."""
    spans = hours.group_by("finess_et").agg(value=(pl.col("closes") - pl.col("opens")).clip(lower_bound=0).sum())
    return spans.select("finess_et", subject=pl.lit("opening"), value=pl.col("value").cast(pl.Int64))


def _beside(found: Scene, now: pl.DataFrame, other: pl.DataFrame, source: str, subjects: Iterable[str]) -> pl.DataFrame:
    wanted = found.centres.select("finess_et").join(pl.DataFrame({"subject": list(subjects)}), how="cross")
    rows = wanted.join(now.rename({"value": "declared"}), on=["finess_et", "subject"], how="left", maintain_order="left")
    rows = rows.join(other.rename({"value": "other"}), on=["finess_et", "subject"], how="left", maintain_order="left")
    gap, most = (pl.col("declared") - pl.col("other")).abs(), pl.col("other").abs()
    return _judged(
        rows.with_columns(
            subject_fr=pl.col("subject").replace_strict(SUBJECTS_FR, return_dtype=pl.String),
            unit=pl.col("subject").replace_strict(UNITS_FR, return_dtype=pl.String),
            source_fr=pl.lit(source),
        ),
        gap * 100 <= GAP_PERCENT * most,
    )


def _rates(found: Scene, before: Scene) -> pl.DataFrame:
    """The declared rates of the ROSP in force, in tenths of a point, beside those of the campaign before."""
    if found.rosp is None:
        return pl.DataFrame(schema=COMPARED)
    rate = pl.when(pl.col("denominator") > 0).then(pl.col("numerator") * 1000 // pl.col("denominator"))
    rows = found.rosp.in_force.select("finess_et", subject="code", declared=rate)
    old = (
        None if before is None or before.rosp is None else before.rosp.in_force.select("finess_et", subject="code", other=rate)
    )
    near = rows.clear().rename({"declared": "other"}) if old is None else old
    rows = rows.join(near, on=["finess_et", "subject"], how="left", maintain_order="left")
    words = {"subject_fr": label(pl.col("subject")), "unit": pl.lit(RATE), "source_fr": pl.lit(BEFORE_FR)}
    return _judged(rows.with_columns(**words), (pl.col("declared") - pl.col("other")).abs() <= 10 * GAP_POINTS)


def _judged(rows: pl.DataFrame, near: pl.Expr) -> pl.DataFrame:
    declared, other = pl.col("declared"), pl.col("other")
    verdict = (
        pl.when(declared.is_null() | other.is_null())
        .then(pl.lit(UNKNOWN))
        .when(declared == other)
        .then(pl.lit(AGREED))
        .when(near)
        .then(pl.lit(TOLERATED))
        .otherwise(pl.lit(APART))
    )
    return rows.with_columns(verdict=verdict).select(COMPARED.names()).cast(COMPARED)
