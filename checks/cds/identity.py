"""Rules about who a centre is: its numbers, its category, its type, its sites (CDS01 to CDS12)."""

import polars as pl

from checks.cds.register import UNKNOWN
from checks.cds.ruling import absent, check, french, hits
from checks.cds.scene import Scene
from contracts_schema import identifiers
from contracts_schema.geography import region_of

LINES_AT_ONCE = 50_000
CLOSED_CATEGORIES = ("125", "130", "289", "439")
"""Closed on 2013-12-19; 124 took their place."""
OTHERS_THAN = {
    "dentaire": ["chirurgien_dentiste"],
    "infirmier": ["infirmier", "infirmier_ipa"],
    "medical": ["medecin_generaliste", "medecin_specialiste", "medecin_ophtalmologiste", "orthoptiste"],
}


def well_formed() -> pl.Expr:
    return identifiers.well_formed("finess", pl.col("finess_et")).fill_null(value=False)


@check("cds.CDS01")
def cds01(scene: Scene) -> pl.DataFrame:
    padded = pl.concat_str(pl.lit("0"), "finess_et")
    lost = identifiers.well_formed("finess", padded) & (pl.col("finess_et").str.len_chars() == 8)
    bad = ~well_formed()
    return hits(scene.centres, {"padded": bad & lost, "default": bad}, proposition=pl.when(lost).then(padded))


@check("cds.CDS02")
def cds02(scene: Scene) -> pl.DataFrame:
    return hits(scene.centres, {"default": well_formed() & ~identifiers.finess_key(pl.col("finess_et"))})


@check("cds.CDS03")
def cds03(scene: Scene) -> pl.DataFrame:
    if scene.register is None:
        return absent()
    kind = pl.col("kind")
    cases = {
        "legal_entity": well_formed() & (kind == "EJ"),
        "missing": well_formed() & (kind == UNKNOWN),
        "default": well_formed() & kind.is_null(),
    }
    return hits(scene.register, cases, au=pl.lit(f"{scene.last_day:%d/%m/%Y}"))


def _category(scene: Scene) -> pl.DataFrame:
    """``category``: that of FINESS, else the declared one."""
    if scene.register is None:
        return scene.centres.with_columns(category=pl.col("finess_category"))
    return scene.register.with_columns(category=pl.coalesce("category", "finess_category"))


@check("cds.CDS04")
def cds04(scene: Scene) -> pl.DataFrame:
    category = pl.col("category")
    cases = {
        "missing": category.is_null(),
        "closed_category": category.is_in(CLOSED_CATEGORIES),
        "default": category != "124",
    }
    return hits(_category(scene), cases, categorie=category)


@check("cds.CDS05")
def cds05(scene: Scene) -> pl.DataFrame:
    return hits(_category(scene), {"missing": pl.col("category").is_null(), "default": pl.col("category") == "636"})


@check("cds.CDS06")
def cds06(scene: Scene) -> pl.DataFrame:
    if scene.staff is None:
        return absent("professionnels")
    care = scene.staff.filter(pl.col("profession") != "administratif").select("finess_et", "profession").unique()
    told = care.join(scene.centres.select("finess_et", "centre_type", "line"), on="finess_et", how="left")
    apart = [(pl.col("centre_type") == kind) & ~pl.col("profession").is_in(own) for kind, own in OTHERS_THAN.items()]
    odd = told.filter(pl.any_horizontal(*apart) | pl.col("centre_type").is_null()).sort("finess_et", "profession")
    odd = odd.group_by("finess_et", "centre_type", "line", maintain_order=True).agg(pl.col("profession").str.join(", "))
    cases = {"missing": pl.col("centre_type").is_null(), "default": pl.col("centre_type").is_not_null()}
    return hits(odd, cases, "identification", type=pl.col("centre_type"), professions=pl.col("profession"))


@check("cds.CDS07")
def cds07(scene: Scene) -> pl.DataFrame:
    rows = scene.centres.with_columns(register_closed_on=pl.lit(None, pl.Date)) if scene.register is None else scene.register
    closed = pl.coalesce("register_closed_on", "closed_on")
    told = {"fermeture": french(closed), "annee": pl.lit(scene.campaign.year)}
    return hits(rows, {"default": closed < scene.last_day}, "identification", **told)


@check("cds.CDS08")
def cds08(scene: Scene) -> pl.DataFrame:
    if scene.register is None:
        return absent("identification")
    declared, registered = pl.col("finess_ej"), pl.col("registered_ej")
    cases = {"missing": declared.is_null() | registered.is_null(), "default": declared != registered}
    told = {"ej_declare": declared, "ej_repertoire": registered, "au": pl.lit(f"{scene.last_day:%d/%m/%Y}")}
    return hits(scene.register, cases, "identification", **told)


@check("cds.CDS09")
def cds09(scene: Scene) -> pl.DataFrame:
    """Links of antennes from their table; beside it, one SIRET under several FINESS, which needs no table."""
    sites = scene.campaign.sites
    if scene.rfs is None:
        return absent()
    claims = scene.rfs.in_force.filter(pl.col("answer") == "oui").select("finess_et").unique()
    claiming = scene.centres.join(claims, on="finess_et", how="semi", maintain_order="left")
    twice = _one_siret(claiming)
    if sites is None:
        return pl.concat([absent(), twice], how="diagonal")
    here = claiming.join(sites, on="finess_et", maintain_order="left")
    both = here.join(claims.rename({"finess_et": "main_site"}), on="main_site", how="semi", maintain_order="left")
    linked = hits(both, {"default": pl.lit(value=True)}, principal=pl.col("main_site"))
    return pl.concat([linked, twice.join(linked, on="finess_et", how="anti", maintain_order="left")], how="diagonal")


def _one_siret(claiming: pl.DataFrame) -> pl.DataFrame:
    """The centres that declare the SIRET of another that claims too."""
    own = pl.col("finess_et")
    rows = claiming.filter(identifiers.siret_key(pl.col("siret")))
    same = rows.with_columns(others=own.sort().str.join(", ").over("siret"), number=own.n_unique().over("siret"))
    told = {"siret": pl.col("siret"), "autres": pl.col("others")}
    return hits(same, {"same_siret": pl.col("number") > 1}, "identification", **told)


@check("cds.CDS10")
def cds10(scene: Scene) -> pl.DataFrame:
    siret, siren = pl.col("siret"), pl.col("siren")
    bad = ~identifiers.siret_key(siret) | ~identifiers.siren_key(siren) | (siren != siret.str.slice(0, 9))
    cases = {"default": bad, "missing": siret.is_null() | siren.is_null()}
    return hits(scene.centres, cases, "identification", siret=siret, siren=siren)


@check("cds.CDS11")
def cds11(scene: Scene) -> pl.DataFrame:
    if scene.campaign.professionnels is None:
        return absent("professionnels")
    people, number = scene.campaign.professionnels, pl.col("rpps")
    people = people.select("finess_et", "line", "rpps", "profession", "started_on", "ended_on")
    overlaps = _overlaps(people)
    cases = {
        "empty": number.is_null() & (pl.col("profession") != "administratif"),
        "default": ~pl.col("formed"),
        "overlap": pl.col("overlaps"),
        "key": pl.col("formed") & ~identifiers.rpps_key(number),
    }

    def fired(block: pl.DataFrame) -> pl.DataFrame:
        told = block.with_columns(formed=identifiers.well_formed("rpps", number))
        told = told.join(overlaps, on="line", how="left", maintain_order="left")
        return hits(told, cases, "professionnels", profession=pl.col("profession"))

    # the digits of a key are columns of their own while they are added: some lines at a time
    return pl.concat([fired(block) for block in people.iter_slices(LINES_AT_ONCE)]) if people.height else fired(people)


def _overlaps(people: pl.DataFrame) -> pl.DataFrame:
    """The lines whose period meets an earlier one of the same centre, number and profession: ``line``, ``overlaps``."""
    key = ["finess_et", "rpps", "profession"]
    twice = people.filter(pl.col("rpps").is_not_null()).filter(pl.struct(key).is_duplicated())
    twice = twice.sort(*key, "started_on", nulls_last=False)
    ends = pl.col("ended_on").fill_null(pl.date(9999, 12, 31)).cum_max().shift(1).over(key)
    met = pl.col("started_on").fill_null(pl.date(1, 1, 1)) <= ends
    return twice.filter(met).select("line", overlaps=pl.lit(value=True))


@check("cds.CDS12")
def cds12(scene: Scene) -> pl.DataFrame:
    numbers = scene.centres["finess_et"].drop_nulls().unique().to_list()
    known = pl.DataFrame(
        {"finess_et": numbers, "region": [region_of(number) for number in numbers]},
        schema={"finess_et": pl.String, "region": pl.String},
    )
    rows = scene.centres.join(known, on="finess_et", how="left", maintain_order="left")
    account, region = pl.col("account_region"), pl.col("region")
    cases = {"missing": account.is_null() | region.is_null(), "default": account != region}
    return hits(rows, cases, "identification", compte_region=account, region=region)
