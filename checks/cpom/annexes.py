"""Rules about recognitions and the annexes of a contract: R46 to R49, and annexes that the last export does not hold."""

import polars as pl

from checks.cpom.facts import held
from checks.cpom.ruling import Answer, check, french, french_day, joined, nothing_known
from checks.cpom.scene import Scene

MATRIX = {"STRATEGIQUE": ("MONO", "PLURI"), "RECONNAISSANCES": ("PLURI",), "PDS": ("PLURI",)}
"""Annexes that the guide asks of each profile (L307 to L312); the others are « si applicable »."""
_DUE = {"STRATEGIQUE": "choice_due_on", "RECONNAISSANCES": "recognitions_due_on", "PDS": "pds_due_from"}
_NAMES = {"STRATEGIQUE": "stratégique", "RECONNAISSANCES": "reconnaissances contractuelles", "PDS": "permanence des soins"}


_SHEETS = {"FINANCE": "La feuille financière", "RECOGNITION": "La feuille des reconnaissances"}


@check("ecars.A1")
def annex_is_of_an_earlier_export(scene: Scene) -> Answer:
    """Of HPR only when an indicator is chosen there: an empty annex that stays says nothing."""
    sheets = scene.choices.with_columns(export=pl.col("sheet_id").str.head(16))
    last = sheets.filter(pl.col("annex") == "STRAT").unique("finess_ej", keep="first", maintain_order=True)
    chosen = pl.col("sheet_id").is_in(scene.rows.filter("chosen")["sheet_id"].implode())
    others = sheets.filter(pl.col("annex").is_in([*_SHEETS]) | ((pl.col("annex") == "HPR") & chosen))
    own = others.join(last.select("finess_ej", dernier="file", newest="export"), on="finess_ej", maintain_order="left")
    return Answer(
        own.filter(pl.col("export") != pl.col("newest")).select(
            "sheet_id", "finess_ej", "annex", "dernier", ancien="file", feuille="sheet",
            variant=pl.when(pl.col("annex") != "HPR").then(pl.lit("optional")),
            nom=pl.col("annex").replace_strict(_SHEETS, default=None, return_dtype=pl.String),
        )
    )  # fmt: skip


@check("cpom.R46")
def report_is_awaited(scene: Scene) -> Answer:
    if not scene.facts.has("recognition_report"):
        return nothing_known()
    today = pl.lit(scene.on)
    waiting = scene.facts.frame("recognition_report").filter(pl.col("received_on").is_null())
    near = waiting.filter(pl.col("due_on") - pl.duration(days=scene.law.number("report_alert_days")) <= today)
    return Answer(
        near.select(
            "finess_ej", year="data_year", variant=pl.when(pl.col("due_on") < today).then(pl.lit("overdue")),
            reconnaissance="recognition_id", limite=french(pl.col("due_on")),
        )
    )  # fmt: skip


@check("cpom.R47")
def recognition_is_not_whole(scene: Scene) -> Answer:
    found = scene.facts.frame("recognition").filter(pl.col("sheet_id").is_in(scene.sheets["sheet_id"].implode()))
    if not scene.facts.has("amendment"):
        return Answer(found.clear(), found.select("finess_ej"))
    of_annex = pl.col("annex").is_null() | (pl.col("annex") == "RECONNAISSANCES")
    signed = scene.facts.frame("amendment").filter((pl.col("signed_on") <= pl.lit(scene.on)) & of_annex)["finess_ej"]
    without_capacity = pl.col("capacity").is_null() & ~pl.col("without_capacity")
    without_day = pl.col("effective_on").is_null()
    both = pl.when(without_capacity & without_day).then(pl.lit("de capacité ni de date d'effet"))
    lack = both.when(without_capacity).then(pl.lit("de capacité")).when(without_day).then(pl.lit("de date d'effet"))
    wanted = (
        pl.when(without_capacity & without_day)
        .then(pl.lit("La capacité reconnue (ou « sans objet ») et la date d'effet."))
        .when(without_capacity)
        .then(pl.lit("La capacité reconnue, ou « sans objet »."))
        .otherwise(pl.lit("La date d'effet."))
    )
    told = found.filter(pl.col("finess_ej").is_in(signed.implode())).with_columns(manque=lack, manque_phrase=wanted)
    cases = told.drop_nulls("manque").select(
        "sheet_id", "row", "finess_ej", "cell", "manque", "manque_phrase", raw="capacity_raw", reconnaissance="label"
    )
    return Answer(cases)


@check("cpom.R48")
def annex_is_absent(scene: Scene) -> Answer:
    if not scene.facts.has("profile", "annex"):
        return nothing_known()
    contracts = scene.contracts
    profiles = held(scene.facts.frame("profile"), contracts).select("finess_ej", "profile")
    given = scene.facts.frame("annex").select("finess_ej", name="annex")
    rows = [
        {"name": name, "profile": profile, "limite": french_day(due)}
        for name, of in MATRIX.items()
        if (due := scene.law.day(_DUE[name])) is not None and scene.on > due
        for profile in of
    ]
    asked = pl.DataFrame(rows, schema={"name": pl.String(), "profile": pl.String(), "limite": pl.String()})
    absent = profiles.join(asked, on="profile").join(given, on=["finess_ej", "name"], how="anti")
    cases = absent.sort("finess_ej", "name").select(
        "finess_ej", "limite", profil="profile", nom_annexe=pl.col("name").replace_strict(_NAMES, return_dtype=pl.String)
    )
    unknown = contracts.filter(~pl.col("finess_ej").is_in(profiles["finess_ej"].implode()))
    return Answer(cases, unknown.select("finess_ej"))


@check("cpom.R49")
def long_term_care_without_the_departement(scene: Scene) -> Answer:
    if not scene.facts.has("annex", "signatory"):
        return nothing_known()
    of_annex = scene.facts.frame("signatory").filter(pl.col("annex") == "USLD")
    signed = of_annex.group_by("finess_ej").agg(roles=pl.col("role").unique().sort())
    annexes = scene.facts.frame("annex").filter(pl.col("annex") == "USLD").unique("finess_ej", maintain_order=True)
    told = annexes.join(signed, on="finess_ej", how="left", maintain_order="left")
    roles = pl.col("roles").fill_null(pl.lit([], pl.List(pl.String)))
    lacking = told.filter(~roles.list.contains("CONSEIL_DEPARTEMENTAL"))
    return Answer(lacking.select("finess_ej", "annex", signataires=joined(roles)))
