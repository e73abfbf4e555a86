"""Rules about the agreement of a centre, its staff and its patients (CDS13 to CDS15, CDS46 to CDS51)."""

import polars as pl

from checks.cds.ruling import absent, check, french, hits, hundredths
from checks.cds.scene import Scene

PERMIT_STAFF = ("chirurgien_dentiste", "medecin_ophtalmologiste", "orthoptiste")
FTE_MAX = 120
"""Hundredths for one person; above, the figure is doubtful (proposal)."""
GAP_PERCENT = 5


@check("cds.CDS13")
def cds13(scene: Scene) -> pl.DataFrame:
    since = pl.col("agreement_from")
    if scene.campaign.identification is None:
        return absent("identification")
    rows = scene.centres.filter(pl.col("line").is_not_null())
    cases = {"missing_date": since.is_null(), "default": since > scene.last_day}
    return hits(rows, cases, "identification", annee=pl.lit(scene.campaign.year), conventionnement=french(since))


@check("cds.CDS14")
def cds14(scene: Scene) -> pl.DataFrame:
    since = pl.col("agreement_from")
    during = (since > scene.first_day) & (since <= scene.last_day)
    return hits(scene.centres, {"default": during}, "identification", conventionnement=french(since))


@check("cds.CDS15")
def cds15(scene: Scene) -> pl.DataFrame:
    if scene.staff is None:
        return absent("professionnels")
    needs = scene.staff.filter(pl.col("profession").is_in(PERMIT_STAFF)).select("finess_et", "profession").unique()
    needs = (
        needs.sort("finess_et", "profession")
        .group_by("finess_et", maintain_order=True)
        .agg(pl.col("profession").str.join(", "))
    )
    rows = needs.join(scene.centres, on="finess_et", maintain_order="left")
    permit, since = pl.col("permit"), pl.col("permit_on")
    cases = {"default": ~permit | (since > scene.last_day), "missing": permit.is_null() | since.is_null()}
    shown = pl.when(permit).then(pl.lit("OUI")).when(~permit).then(pl.lit("NON"))
    told = {"professions": pl.col("profession"), "agrement": shown, "date_agrement": french(since)}
    return hits(rows, cases, "identification", **told)


@check("cds.CDS46")
def cds46(scene: Scene) -> pl.DataFrame:
    people = scene.campaign.professionnels
    if people is None or scene.staff is None:
        return absent("professionnels")
    fte = pl.col("fte_centi")
    alone = hits(
        people,
        {"default": (fte <= 0) | (fte > FTE_MAX)},
        "professionnels",
        etp=hundredths(fte),
        profession=pl.col("profession"),
        personnes=pl.lit(1),
    )
    persons = pl.col("rpps").drop_nulls().n_unique() + pl.col("rpps").null_count()
    sums = scene.staff.group_by("finess_et", "profession", maintain_order=True).agg(fte_centi=fte.sum(), persons=persons)
    told = {"etp": hundredths(fte), "profession": pl.col("profession"), "personnes": pl.col("persons")}
    return pl.concat([alone, hits(sums, {"sum": fte > 100 * pl.col("persons")}, "professionnels", **told)])


@check("cds.CDS47")
def cds47(scene: Scene) -> pl.DataFrame:
    if scene.headcounts is None:
        return absent("professionnels")
    rows = scene.centres.join(scene.headcounts, on="finess_et", how="left", maintain_order="left")
    kind = pl.col("centre_type")
    wanted = (
        pl.when(kind.is_in(["polyvalent", "medical"]) & (pl.col("doctors").fill_null(0) == 0))
        .then(pl.lit("médecin"))
        .when((kind == "dentaire") & (pl.col("dentists").fill_null(0) == 0))
        .then(pl.lit("chirurgien-dentiste"))
        .when((kind == "infirmier") & (pl.col("nurses").fill_null(0) == 0))
        .then(pl.lit("infirmier"))
    )
    cases = {"missing": kind.is_null(), "default": wanted.is_not_null()}
    return hits(rows, cases, "identification", type=kind, attendu=wanted)


@check("cds.CDS48")
def cds48(scene: Scene) -> pl.DataFrame:
    if scene.campaign.professionnels is None:
        return absent("professionnels")
    status = pl.col("employment")
    cases = {"missing": status.is_null(), "default": status == "liberal"}
    return hits(scene.campaign.professionnels, cases, "professionnels", profession=pl.col("profession"))


@check("cds.CDS49")
def cds49(scene: Scene) -> pl.DataFrame:
    if scene.campaign.computed_patients is None:
        return absent("identification")
    other = scene.campaign.computed_patients.rename({"patient_list": "computed"})
    rows = scene.centres.join(other, on="finess_et", how="left", maintain_order="left")
    declared, computed = pl.col("patient_list"), pl.col("computed")
    apart = (declared - computed).abs() * 100 > GAP_PERCENT * computed
    cases = {"missing": declared.is_null() | computed.is_null(), "default": apart}
    return hits(rows, cases, "identification", declaree=declared, calculee=computed)


@check("cds.CDS50")
def cds50(scene: Scene) -> pl.DataFrame:
    listed, active = pl.col("patient_list"), pl.col("active_patients")
    cases = {"missing": listed.is_null() | active.is_null(), "default": listed > active}
    return hits(scene.centres, cases, "identification", patientele=listed, file_active=active)


@check("cds.CDS51")
def cds51(scene: Scene) -> pl.DataFrame:
    rate = pl.col("precarity_e4")
    cases = {"missing": rate.is_null(), "default": (rate < 0) | (rate > 10_000)}
    shown = pl.concat_str(
        pl.when(rate < 0).then(pl.lit("-")).otherwise(pl.lit("")),
        rate.abs() // 10_000,
        pl.lit(","),
        (rate.abs() % 10_000).cast(pl.String).str.zfill(4),
    )
    return hits(scene.centres, cases, "identification", taux=shown)
