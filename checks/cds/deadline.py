"""Rules about when a value was typed, and about the four prerequisites (CDS16 to CDS19, CDS21 to CDS24)."""

from datetime import timedelta

import polars as pl

from checks.cds.journal import LATE, UNVERIFIABLE, midnight
from checks.cds.ruling import absent, check, french_instant, hits, nothing
from checks.cds.scene import INCOMPLETE, TOO_LATE, UNSATISFIED, Scene, label
from contracts_schema.ecds import indicators

ALERT_DAYS = (15, 7, 1)
OPTIONAL = tuple(code for code, one in indicators().items() if one.kind == "optional")


def _day(scene: Scene, section: str) -> pl.Expr:
    last = scene.deadlines.last_day(section)
    return pl.lit(None if last is None else f"{last:%d/%m/%Y}", pl.String)


def _late(scene: Scene, section: str) -> pl.DataFrame:
    found = scene.journal(section)
    if found is None or scene.deadlines.cutoff(section) is None:
        return absent(section)
    cases = {"missing": pl.col("deadline") == UNVERIFIABLE, "default": pl.col("deadline") == LATE}
    told = {
        "indicateur": label(pl.col("code")),
        "saisie": french_instant(pl.col("entered_at")),
        "dernier_jour": _day(scene, section),
    }
    return hits(found.entries, cases, section, pl.col("code"), **told)


@check("cds.CDS16")
def cds16(scene: Scene) -> pl.DataFrame:
    return _late(scene, "rosp")


@check("cds.CDS17")
def cds17(scene: Scene) -> pl.DataFrame:
    return _late(scene, "rfs")


@check("cds.CDS18")
def cds18(scene: Scene) -> pl.DataFrame:
    opening = scene.deadlines.opening
    if opening is None:
        return absent()
    day = pl.lit(f"{opening.value:%d/%m/%Y}")
    told = {"indicateur": label(pl.col("code")), "saisie": french_instant(pl.col("entered_at")), "ouverture": day}
    parts = []
    for section in ("rfs", "rosp"):
        found = scene.journal(section)
        cases = {"missing": pl.col("entered_at").is_null(), "default": pl.col("early")}
        parts.append(absent(section) if found is None else hits(found.entries, cases, section, pl.col("code"), **told))
    return pl.concat(parts, how="diagonal")


@check("cds.CDS19")
def cds19(scene: Scene) -> pl.DataFrame:
    found = scene.rosp
    if found is None or scene.deadlines.cutoff("rosp") is None:
        return absent("rosp")
    held = found.in_force.select("finess_et", "code", held_at="entered_at")
    late = found.entries.filter(pl.col("deadline") == LATE).join(held, on=["finess_et", "code"], maintain_order="left")
    told = {
        "indicateur": label(pl.col("code")),
        "saisie": french_instant(pl.col("entered_at")),
        "saisie_en_vigueur": french_instant(pl.col("held_at")),
        "dernier_jour": _day(scene, "rosp"),
    }
    return hits(late, {"default": pl.lit(value=True)}, "rosp", pl.col("code"), **told)


@check("cds.CDS21")
def cds21(scene: Scene) -> pl.DataFrame:
    """On a day of alert only: the campaign read as of an instant of that day."""
    as_of, last = scene.campaign.as_of, scene.deadlines.last_day("rfs")
    if scene.rfs is None or as_of is None or last is None:
        return absent("rfs")
    left = next((days for days in ALERT_DAYS if _on_day(scene, days)), None)
    if left is None:
        return nothing()
    told = {"indicateur": label(pl.col("code")), "jours": pl.lit(left), "dernier_jour": _day(scene, "rfs")}
    return hits(scene.prerequisites, {"default": pl.col("outcome") == INCOMPLETE}, "rfs", pl.col("code"), **told)


def _on_day(scene: Scene, days: int) -> bool:
    last, as_of = scene.deadlines.last_day("rfs"), scene.campaign.as_of
    if last is None or as_of is None:
        return False
    start = last - timedelta(days=days)
    return midnight(start) < as_of <= midnight(start + timedelta(days=1))


@check("cds.CDS22")
def cds22(scene: Scene) -> pl.DataFrame:
    if scene.rfs is None:
        return absent("rfs")
    bad = scene.prerequisites.filter(pl.col("outcome").is_in([UNSATISFIED, INCOMPLETE, TOO_LATE]))
    said = pl.concat_str(label(pl.col("code")), pl.lit(" : "), "outcome")
    rows = bad.group_by("finess_et", maintain_order=True).agg(told=said.str.join(" ; "))
    return hits(rows, {"default": pl.lit(value=True)}, "rfs", dernier_jour=_day(scene, "rfs"), prerequis=pl.col("told"))


@check("cds.CDS23")
def cds23(scene: Scene) -> pl.DataFrame:
    if scene.rfs is None:
        return absent("rfs")
    cases = {"late": pl.col("outcome") == TOO_LATE, "default": pl.col("outcome") == INCOMPLETE}
    told = {"indicateur": label(pl.col("code")), "dernier_jour": _day(scene, "rfs")}
    return hits(scene.prerequisites, cases, "rfs", pl.col("code"), **told)


@check("cds.CDS24")
def cds24(scene: Scene) -> pl.DataFrame:
    if scene.rfs is None:
        return absent("rfs")
    stopped = cds22(scene).select("finess_et")
    claimed = scene.rfs.in_force.filter(pl.col("answer") == "oui", pl.col("code").is_in(OPTIONAL))
    rows = claimed.join(stopped, on="finess_et", how="semi", maintain_order="left")
    rows = rows.group_by("finess_et", maintain_order=True).agg(told=label(pl.col("code")).str.join(" ; "))
    return hits(rows, {"default": pl.lit(value=True)}, "rfs", optionnels=pl.col("told"))
