"""Rules about declared ROSP values, codes without mapping and the volume of an extraction (CDS52 to CDS56, CDS62)."""

import polars as pl

from checks.cds.facts import counts
from checks.cds.journal import Journal
from checks.cds.ruling import absent, check, hits, nothing
from checks.cds.scene import Scene, label
from contracts_schema import parameters
from contracts_schema.ecds import indicators
from contracts_schema.parameters import NoValue

COMPUTED = tuple(code for code, one in indicators().items() if one.entry == "computed_by_health_insurance")
SAME_MIN, GAP_POINTS, DROP_PERCENT = 3, 30, 20


def declared(found: Journal) -> pl.DataFrame:
    """The values in force of the indicators that e-CDS collects."""
    return found.in_force.filter(~pl.col("code").is_in(COMPUTED))


def unsound() -> pl.Expr:
    """Numerator above the denominator, negative, or a number that is not whole."""
    above, below = pl.col("numerator"), pl.col("denominator")
    broken = (above.is_null() & pl.col("numerator_raw").is_not_null()) | (
        below.is_null() & pl.col("denominator_raw").is_not_null()
    )
    return broken | (above > below) | (above < 0) | (below < 0)


@check("cds.CDS52")
def cds52(scene: Scene) -> pl.DataFrame:
    if scene.rosp is None:
        return absent("rosp")
    told = {
        "indicateur": label(pl.col("code")),
        "numerateur": pl.col("numerator_raw"),
        "denominateur": pl.col("denominator_raw"),
    }
    lacking = pl.col("numerator_raw").is_null() | pl.col("denominator_raw").is_null()
    return hits(declared(scene.rosp), {"default": unsound(), "missing": lacking}, "rosp", pl.col("code"), **told)


def minimums(scene: Scene) -> pl.DataFrame:
    """The least number of patients of each ROSP indicator (``code``, ``minimum``; null: not known)."""
    rows = []
    for code, one in indicators().items():
        if one.scheme == "rosp":
            try:
                found = parameters.value(
                    "cds.rosp.minimum_patients", scene.last_day, attested=scene.attested, indicator=code
                ).value
            except NoValue:
                found = None
            rows.append((code, found))
    return pl.DataFrame(rows, schema={"code": pl.String, "minimum": pl.Int64}, orient="row")


@check("cds.CDS53")
def cds53(scene: Scene) -> pl.DataFrame:
    if scene.rosp is None:
        return absent("rosp")
    rows = declared(scene.rosp).join(minimums(scene), on="code", how="left", maintain_order="left")
    below, least = pl.col("denominator"), pl.col("minimum")
    if rows["minimum"].is_null().all():
        return absent("rosp") if rows.height else nothing()
    told = {"indicateur": label(pl.col("code")), "denominateur": below, "minimum": least}
    return hits(rows, {"missing": least.is_null(), "default": below < least}, "rosp", pl.col("code"), **told)


@check("cds.CDS54")
def cds54(scene: Scene) -> pl.DataFrame:
    """One finding for a section of which no line has a mapping; else one a line, and one a computed indicator."""
    parts = []
    for section in ("rfs", "rosp"):
        found = scene.journal(section)
        if found is None:
            parts.append(absent(section))
            continue
        shown = {"indicateur": label(pl.col("code")), "code": pl.col("code_source"), "lignes": pl.lit(found.unmapped.height)}
        if found.unmapped.height and not found.entries.height:
            rows = found.unmapped.head(1).with_columns(finess_et=pl.lit(None, pl.String), line=pl.lit(None, pl.Int64))
            parts.append(hits(rows, {"unmapped_section": pl.lit(value=True)}, section, **shown))
            continue
        parts.append(hits(found.unmapped, {"unmapped": pl.lit(value=True)}, section, pl.col("code_source"), **shown))
        parts.append(hits(found.entries, {"default": pl.col("code").is_in(COMPUTED)}, section, pl.col("code"), **shown))
    return pl.concat(parts, how="diagonal")


@check("cds.CDS55")
def cds55(scene: Scene) -> pl.DataFrame:
    if scene.rosp is None:
        return absent("rosp")
    above, below = pl.col("numerator"), pl.col("denominator")
    rows = declared(scene.rosp).filter(above.is_not_null(), below > 0).group_by("finess_et", maintain_order=True)
    told = rows.agg(number=pl.len(), full=(above == below).all(), same=(above.n_unique() == 1) & (below.n_unique() == 1))
    enough = pl.col("number") >= SAME_MIN
    return hits(
        told, {"default": enough & pl.col("full"), "same_counts": enough & pl.col("same")}, "rosp", nombre=pl.col("number")
    )


@check("cds.CDS56")
def cds56(scene: Scene) -> pl.DataFrame:
    if scene.rosp is None or scene.before is None or scene.before.rosp is None:
        return absent("rosp")
    before = scene.before.rosp.in_force.select("finess_et", "code", old_above="numerator", old_below="denominator")
    rows = declared(scene.rosp).join(before, on=["finess_et", "code"], how="inner", maintain_order="left")
    above, below, old_above, old_below = (pl.col(name) for name in ("numerator", "denominator", "old_above", "old_below"))
    apart = (above * old_below - old_above * below).abs() * 100 > GAP_POINTS * below * old_below
    sound = (below > 0) & (old_below > 0) & ~unsound()
    told = {"indicateur": label(pl.col("code")), "taux": percent(above, below), "taux_precedent": percent(old_above, old_below)}
    return hits(rows, {"default": sound & apart}, "rosp", pl.col("code"), **told)


def percent(above: pl.Expr, below: pl.Expr) -> pl.Expr:
    """A rate as 65,5: one decimal, cut."""
    tenths = above * 1000 // below
    return pl.concat_str(tenths // 10, pl.lit(","), tenths % 10)


@check("cds.CDS62")
def cds62(scene: Scene) -> pl.DataFrame:
    before = scene.campaign.counts_before
    if before is None:
        return absent()
    now = counts(scene.campaign).rename({"lines": "lines_now", "centres": "centres_now"})
    rows = before.join(now, on="section", how="inner", maintain_order="left")
    parts = []
    for name, unit in (("lines", "lignes"), ("centres", "centres")):
        old, new = pl.col(name), pl.col(f"{name}_now")
        told = {"avant": old, "apres": new, "unite": pl.lit(unit)}
        found = hits(rows, {"default": new * 100 < old * (100 - DROP_PERCENT)}, None, None, part=pl.col("section"), **told)
        parts.append(found.with_columns(section=pl.col("part")).drop("part"))
    return pl.concat(parts)
