"""Rules about what is declared for an indicator of the accord, and its evidence (CDS25 to CDS43). Silence claims nothing."""

from collections.abc import Sequence

import polars as pl

from checks.cds.ruling import absent, check, french, hits, hundredths
from checks.cds.scene import Scene, label
from contracts_schema.ecds import indicators

SOFTWARE, COORDINATION, CRISIS, HOURS = "CDS15-A3-SI", "CDS15-A2-COORD", "CDS15-A1-CRISE", "CDS15-A1-HOR"
VULNERABLE, PUBLIC_HEALTH, PROTOCOLS = "CDS15-A1-VULN", "CDS15-A1-SP", "CDS15-A2-PROTO"
MEETINGS, STAGES, SAS, NURSING = "CDS15-A2-CONC", "CDS15-A2-FORM", "CDS15-A1-SASEFF", "CDS15-A2-INFSUP"
SATURDAY = "SAMEDI"
"""What ``niveau`` of the opening hours says when Saturday mornings are claimed (proposal: the e-CDS words are not known)."""
NOON, WEEKS_MAX, MISSIONS_MAX, PROTOCOLS_MAX, MEETINGS_MIN = 12 * 60, 3, 2, 8, 6
STAGES_2022, STAGES_2024 = 4, 5


def claimed(scene: Scene, *codes: str) -> pl.DataFrame | None:
    """The answers OUI in force for these codes; None when the section did not come."""
    found = scene.answers(*codes)
    return None if found is None else found.filter(pl.col("answer") == "oui")


def _year(scene: Scene) -> pl.Expr:
    return pl.lit(scene.campaign.year)


@check("cds.CDS25")
def cds25(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, SOFTWARE)
    return absent("rfs") if rows is None else hits(rows, {"default": pl.col("software_from").is_null()}, "rfs", pl.col("code"))


@check("cds.CDS26")
def cds26(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, SOFTWARE)
    if rows is None:
        return absent("rfs")
    bought, kept = pl.col("software_from"), pl.col("maintenance_on")
    cases = {"missing": kept.is_null() & bought.is_not_null(), "default": bought == kept, "later": bought > kept}
    return hits(rows, cases, "rfs", pl.col("code"), acquisition=french(bought), maintenance=french(kept))


@check("cds.CDS27")
def cds27(scene: Scene) -> pl.DataFrame:
    rows, before = claimed(scene, SOFTWARE), scene.before
    if rows is None or before is None or before.rfs is None:
        return absent("rfs")
    old = before.rfs.in_force.filter(pl.col("code") == SOFTWARE).select(
        "finess_et", old_name="software_name", old_from="software_from"
    )
    told = rows.join(old, on="finess_et", how="left", maintain_order="left")
    name, bought = pl.col("software_name"), pl.col("software_from")
    lacking = name.is_null() | pl.col("old_name").is_null() | bought.is_null() | pl.col("old_from").is_null()
    same = name.str.to_lowercase() == pl.col("old_name").str.to_lowercase()
    cases = {"missing": lacking, "default": same & (bought != pl.col("old_from"))}
    shown = {"logiciel": name, "acquisition": french(bought), "acquisition_precedente": french(pl.col("old_from"))}
    return hits(told, cases, "rfs", pl.col("code"), **shown)


@check("cds.CDS28")
def cds28(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, SOFTWARE)
    if rows is None:
        return absent("rfs")
    bought = pl.col("software_from")
    return hits(
        rows, {"default": bought > scene.last_day}, "rfs", pl.col("code"), acquisition=french(bought), annee=_year(scene)
    )


@check("cds.CDS29")
def cds29(scene: Scene) -> pl.DataFrame:
    """The first release of the software is read where a table of releases was given; else that part is not evaluable."""
    rows = claimed(scene, SOFTWARE)
    if rows is None:
        return absent("rfs")
    releases = scene.campaign.releases
    known = releases if releases is not None else pl.DataFrame(schema={"software_name": pl.String, "released_on": pl.Date})
    rows = rows.join(known, on="software_name", how="left", maintain_order="left")
    bought, opened, released = pl.col("software_from"), pl.col("opened_on"), pl.col("released_on")
    too_early = (bought < opened).fill_null(value=False) | (bought < released).fill_null(value=False)
    lacking = bought.is_not_null() & opened.is_null() & released.is_null()
    told = {"acquisition": french(bought), "ouverture_centre": french(opened), "premiere_version": french(released)}
    return hits(rows, {"default": too_early, "missing": lacking}, "rfs", pl.col("code"), **told)


@check("cds.CDS30")
def cds30(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, SOFTWARE)
    if rows is None or scene.headcounts is None:
        return absent("rfs" if rows is None else "professionnels")
    rows = rows.join(scene.headcounts, on="finess_et", how="left", maintain_order="left")
    used, salaried = pl.col("si_headcount"), pl.col("salaried").fill_null(0)
    cases = {"missing": used.is_null(), "default": used != salaried}
    return hits(rows, cases, "rfs", pl.col("code"), nb_si=used, nb_salaries=salaried, annee=_year(scene))


@check("cds.CDS31")
def cds31(scene: Scene) -> pl.DataFrame:
    hours = scene.campaign.horaires
    if hours is None:
        return absent("horaires")
    opens, closes = pl.col("opens"), pl.col("closes")
    rows = hours.sort("finess_et", "weekday", "opens").with_columns(
        ended=closes.shift(1).over("finess_et", "weekday", order_by="opens")
    )
    told = {"jour": pl.col("weekday"), "ouverture": clock(opens), "fermeture": clock(closes)}
    found = hits(rows, {"default": closes <= opens, "overlap": opens < pl.col("ended")}, "horaires", **told)
    asks = claimed(scene, HOURS)
    if asks is None:
        return found
    open_saturday = hours.filter(pl.col("weekday") == "sam", opens < NOON).select("finess_et")
    lacking = asks.filter(pl.col("level").str.to_uppercase() == SATURDAY).join(open_saturday, on="finess_et", how="anti")
    saturday = hits(lacking, {"saturday": pl.lit(value=True)}, "rfs", pl.col("code"))
    return pl.concat([found, saturday], how="diagonal")


def clock(minutes: pl.Expr) -> pl.Expr:
    return pl.concat_str(minutes // 60, pl.lit("h"), (minutes % 60).cast(pl.String).str.zfill(2))


@check("cds.CDS32")
def cds32(scene: Scene) -> pl.DataFrame:
    known, hours = scene.campaign.known_hours, scene.campaign.horaires
    if known is None or hours is None:
        return absent("horaires")
    key = ["finess_et", "weekday", "opens", "closes"]
    told, held = hours.select(key).unique(), known.select(key).unique()
    held = held.join(told.select("finess_et").unique(), on="finess_et", how="semi")
    told = told.join(held.select("finess_et").unique(), on="finess_et", how="semi")
    apart = pl.concat([told.join(held, on=key, how="anti"), held.join(told, on=key, how="anti")]).sort(key)
    said = pl.concat_str("weekday", pl.lit(" "), clock(pl.col("opens")), pl.lit("-"), clock(pl.col("closes")))
    rows = apart.group_by("finess_et", maintain_order=True).agg(told=said.str.join(", "))
    return hits(rows, {"default": pl.lit(value=True)}, "horaires", differences=pl.col("told"))


@check("cds.CDS33")
def cds33(scene: Scene) -> pl.DataFrame:
    if scene.campaign.horaires is None:
        return absent("horaires")
    rows = scene.campaign.horaires.group_by("finess_et", maintain_order=True).agg(weeks=pl.col("closed_weeks").max())
    weeks = pl.col("weeks")
    return hits(rows, {"missing": weeks.is_null(), "default": weeks > WEEKS_MAX}, "horaires", semaines=weeks)


@check("cds.CDS34")
def cds34(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, COORDINATION)
    if rows is None:
        return absent("rfs")
    cases = {"default": (pl.col("value_centi").is_null()) | (pl.col("value_centi") <= 0)}
    if scene.headcounts is None:
        cases["missing"] = pl.lit(value=True)
    else:
        rows = rows.join(scene.headcounts, on="finess_et", how="left", maintain_order="left")
        cases["no_coordinator"] = pl.col("coordinators").fill_null(0) == 0
    return hits(rows, cases, "rfs", pl.col("code"))


@check("cds.CDS35")
def cds35(scene: Scene) -> pl.DataFrame:
    rows, crises = claimed(scene, CRISIS), scene.campaign.crises
    if rows is None:
        return absent("rfs")
    acted, written = pl.col("crisis_actions"), pl.col("evidence_on")
    cases = {"default": written > scene.last_day, "missing": acted.is_null() | (acted & pl.lit(crises is None))}
    if crises is not None:
        during = (pl.col("starts_on") <= scene.last_day) & (
            pl.col("ends_on").is_null() | (pl.col("ends_on") >= scene.first_day)
        )
        regions = crises.filter(during)["ars_region"].unique().to_list()
        cases["no_crisis"] = acted & ~pl.col("ars_region").is_in(regions).fill_null(value=False)
    told = {"piece": french(written), "annee": _year(scene), "region": pl.col("ars_region")}
    return hits(rows, cases, "rfs", pl.col("code"), **told)


@check("cds.CDS36")
def cds36(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, VULNERABLE)
    if rows is None:
        return absent("rfs")
    signed, until = pl.col("evidence_on"), pl.col("evidence_until")
    cases = {
        "default": signed.is_null(),
        "too_late": signed > scene.last_day,
        "ended": until < scene.first_day,
        "missing": until.is_null(),
    }
    return hits(rows, cases, "rfs", pl.col("code"), piece=french(signed), fin_piece=french(until), annee=_year(scene))


def _repeated() -> pl.Expr:
    """Whether the same theme stands twice, whatever its case and spaces."""
    themes = pl.col("themes").str.to_lowercase().str.split("|").list.eval(pl.element().str.strip_chars())
    return themes.list.n_unique() < themes.list.len()


def _count() -> pl.Expr:
    """A count of hundredths as people write it: 3, or 2,50."""
    number = pl.col("value_centi")
    return pl.when(number % 100 == 0).then((number // 100).cast(pl.String)).otherwise(hundredths(number))


@check("cds.CDS37")
def cds37(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, PUBLIC_HEALTH)
    if rows is None:
        return absent("rfs")
    cases = {
        "default": pl.col("value_centi") > 100 * MISSIONS_MAX,
        "duplicate": _repeated(),
        "missing": pl.col("themes").is_null(),
    }
    return hits(rows, cases, "rfs", pl.col("code"), nombre=_count())


@check("cds.CDS38")
def cds38(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, PROTOCOLS)
    if rows is None:
        return absent("rfs")
    number = pl.col("value_centi")
    cases = {
        "default": (number < 0) | (number > 100 * PROTOCOLS_MAX) | (number % 100 != 0),
        "duplicate": _repeated(),
        "undated": (number > 0) & pl.col("evidence_on").is_null(),
        "missing": pl.col("themes").is_null(),
    }
    return hits(rows, cases, "rfs", pl.col("code"), nombre=_count())


@check("cds.CDS39")
def cds39(scene: Scene) -> pl.DataFrame:
    rows, number = claimed(scene, MEETINGS), pl.col("value_centi")
    if rows is None:
        return absent("rfs")
    return hits(
        rows, {"missing": number.is_null(), "default": number < 100 * MEETINGS_MIN}, "rfs", pl.col("code"), nombre=_count()
    )


@check("cds.CDS40")
def cds40(scene: Scene) -> pl.DataFrame:
    """The maximum is that of the reference date; in 2023 it is not established: five stages are told, six are too many."""
    rows, number = claimed(scene, STAGES), pl.col("value_centi")
    if rows is None:
        return absent("rfs")
    most = scene.figure("cds.rfs.stages_max")
    cases = {"missing": number.is_null(), "default": number > 100 * (STAGES_2024 if most is None else most)}
    cases["year_2023"] = (number > 100 * STAGES_2022) & pl.lit(most is None)
    shown = {"nombre": _count(), "maximum": pl.lit(STAGES_2024 if most is None else most), "annee": _year(scene)}
    return hits(rows, cases, "rfs", pl.col("code"), **shown)


@check("cds.CDS41")
def cds41(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, SAS)
    if rows is None:
        return absent("rfs")
    end = indicators()[SAS].valid_to
    return hits(rows, {"default": pl.lit(end is not None and scene.last_day >= end)}, "rfs", pl.col("code"))


@check("cds.CDS42")
def cds42(scene: Scene) -> pl.DataFrame:
    rows = claimed(scene, NURSING)
    if rows is None or scene.headcounts is None:
        return absent("rfs" if rows is None else "professionnels")
    rows = rows.join(scene.headcounts, on="finess_et", how="left", maintain_order="left")
    due, least = nurse_supplement(scene)
    told = {"etp_infirmiers": hundredths(pl.col("nurse_fte").fill_null(0)), "etp_mg": hundredths(pl.col("gp_fte").fill_null(0))}
    return hits(rows, {"default": ~due}, "rfs", pl.col("code"), **told, minimum=pl.lit(least))


def nurse_supplement(scene: Scene) -> tuple[pl.Expr, int]:
    """Whether the full-time equivalents (nurse_fte, gp_fte, hundredths) give the supplement, and the least number of nurses."""
    least, percent = scene.figure("cds.infsup.nurses_min"), scene.figure("cds.infsup.nurses_per_doctor")
    nurses, doctors = pl.col("nurse_fte").fill_null(0), pl.col("gp_fte").fill_null(0)
    if least is None or percent is None:
        return pl.lit(value=False), least or 0
    return (nurses >= 100 * least) & (nurses * 100 >= percent * doctors), least


@check("cds.CDS43")
def cds43(scene: Scene) -> pl.DataFrame:
    limited: dict[str, Sequence[str]] = {code: one.centre_types for code, one in indicators().items() if one.centre_types}
    rows, kind = claimed(scene, *limited), pl.col("centre_type")
    if rows is None:
        return absent("rfs")
    outside = [(pl.col("code") == code) & ~kind.is_in(list(types)) for code, types in limited.items()]
    told = {code: ", ".join(types) for code, types in limited.items()}
    shown = {"indicateur": label(pl.col("code")), "type": kind, "types": pl.col("code").replace_strict(told, default=None)}
    return hits(rows, {"missing": kind.is_null(), "default": pl.any_horizontal(*outside)}, "rfs", pl.col("code"), **shown)
