"""The tables of the products about centres de santé: what each centre may be paid and why, for its caisse and for its ARS.

Pure polars over what was examined and computed: judges nothing. Same arguments, same tables, in the contract's columns. Rows of
a centre whose caisse (or region) nobody gave are in no table: ``unplaced`` says which.
"""

import re

import polars as pl

from checks.cds.compared import AGREED, APART, FTE, RATE, TOLERATED, UNKNOWN, WEEKLY, compared
from checks.cds.examine import Examination
from checks.cds.facts import Campaign
from checks.cds.figures import PART_FR
from checks.cds.journal import LATE
from checks.cds.remuneration import Remuneration
from checks.cds.ruling import FIRED, hundredths
from checks.cds.scene import label
from contracts_schema import cpts_facts, ecds
from contracts_schema.french import euros_of
from contracts_schema.geography import region_of
from contracts_schema.parameters.record import KINDS as UNITS_FR
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import products
from contracts_schema.rules import catalogue

KINDS = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date()}
SCHEMES_FR = {"rfs": "Rémunération forfaitaire spécifique", "rosp": "ROSP déclarative"}
STATES_FR = {"block": "Bloquant", "warn": "Alerte", "info": "Information"}
EFFECTS_FR = {
    "reject_file": "fichier refusé",
    "reject_centre": "lignes du centre mises à l'écart",
    "reject_row": "ligne mise à l'écart",
    "ignore_item": "gardé, non utilisé pour le paiement",
    "payment_hold": "paiement retenu",
    "publish_hold": "publication retenue",
    "neutralise": "neutralisé : ni payé ni zéro",
    "alert": "rappel de calendrier",
    "annotate": "signalé",
    "ignore_file": "fichier ignoré",
    "quarantine_row": "ligne gardée à part",
}
STEPS_FR = {
    "points": "total des points",
    "amount": "montant",
    "payable": "montant payable",
    "rate": "taux",
    "advance": "avance proposée",
    "settlement": "solde de l'avance",
}
TYPES_FR = {"polyvalent": "Polyvalent", "medical": "Médical", "dentaire": "Dentaire", "infirmier": "Infirmier"}
PLACE = ("caisse", "region")


def named(source: str) -> str:
    """The source of a rule with the titles of the texts that it names by a code."""
    titles = ecds.titles() | cpts_facts.titles()
    return re.sub(r"[A-Z][A-Z0-9_]{3,}", lambda code: titles.get(code[0], code[0]), source)


VERDICTS_FR = {AGREED: "Concordant", TOLERATED: "Écart toléré", APART: "Écart", UNKNOWN: "Non vérifiable"}
WRITTEN_FR = {FTE: "ETP", RATE: "%", WEEKLY: "par semaine"}
"""Units as people read them, of numbers that are kept whole."""


def tables(campaign: Campaign, examination: Examination, remuneration: Remuneration) -> dict[str, pl.DataFrame]:
    """The tables by the name that product contracts give to their view. ``campaign``: as it came, stopped centres included."""
    places = _places(campaign)
    year = pl.lit(campaign.year, pl.Int64)
    centres = _centres(examination, remuneration).join(places, on="finess_et", how="left", maintain_order="left")
    findings = _findings(examination.findings, places)
    comparisons = _comparisons(examination).join(places, on="finess_et", how="left", maintain_order="left")
    made = {
        "out_cpam__cds_centre": centres,
        "out_cpam__cds_indicator": _indicators(examination, remuneration).join(places, on="finess_et", how="left"),
        "out_cpam__cds_finding": _numbered(findings, "caisse"),
        "out_cpam__cds_node": _nodes(remuneration).join(places, on="finess_et", how="left"),
        "out_cpam__cds_comparison": comparisons,
        "out_ars__cds_centre": centres,
        "out_ars__cds_finding": _numbered(findings, "region"),
        "out_ars__cds_comparison": comparisons,
    }
    return {name: _as_contract(name, rows.with_columns(year=year)) for name, rows in made.items()}


def unplaced(campaign: Campaign) -> pl.DataFrame:
    """The centres that no caisse or no region can be told for: finess_et, caisse, region."""
    return _places(campaign).filter(pl.col("caisse").is_null() | pl.col("region").is_null())


def _places(campaign: Campaign) -> pl.DataFrame:
    """The caisse (as declared, else that which sent the extraction) and the region (of the FINESS, else as declared) of each
    centre of any section."""
    named = [frame.select("finess_et") for frame in campaign.sections().values() if frame is not None]
    keys = pl.concat([pl.DataFrame(schema={"finess_et": pl.String}), *named]).unique().drop_nulls().sort("finess_et")
    told = {number: region_of(number) for number in keys["finess_et"]}
    keys = keys.with_columns(region=pl.col("finess_et").replace_strict(told, default=None, return_dtype=pl.String))
    columns = ("legal_name", "centre_type", "cpam", "ars_region")
    sender = pl.lit(campaign.caisse, pl.String)
    if campaign.identification is None:
        names = ("legal_name", "centre_type")
        return keys.with_columns(*(pl.lit(None, pl.String).alias(name) for name in names), caisse=sender)
    known = campaign.identification.unique("finess_et", keep="last", maintain_order=True).select("finess_et", *columns)
    rows = keys.join(known, on="finess_et", how="left", maintain_order="left")
    kind = pl.col("centre_type").replace_strict(TYPES_FR, return_dtype=pl.String)
    return rows.select(
        "finess_et", "legal_name", kind, caisse=pl.coalesce("cpam", sender), region=pl.coalesce("region", "ars_region")
    )


def _status_fr() -> pl.Expr:
    return pl.col("status").replace_strict(STATUSES_FR, return_dtype=pl.String)


def _centres(examination: Examination, remuneration: Remuneration) -> pl.DataFrame:
    said = pl.concat_str(label(pl.col("code")), pl.lit(" : "), "outcome")
    prerequisites = examination.prerequisites.group_by("finess_et").agg(prerequisites=said.str.join(" ; "))
    payable, reserved, computed = pl.col("payable_cents"), pl.col("under_reserve_cents"), pl.col("computed_cents")
    stopped = (pl.col("rules") != "") | (pl.col("blocked_cents") > 0)
    scene = examination.scene
    unreceived = [name for name in SCHEMES_FR if scene.journal(name) is None]
    result = (
        pl.when(pl.col("scheme").is_in(unreceived))
        .then(pl.lit("Non reçu"))
        .when(computed.is_null())
        .then(pl.lit("Non calculable"))
        .when(stopped)
        .then(pl.lit("Bloqué"))
        .when((payable > 0) & (reserved == 0) & pl.col("complete"))
        .then(pl.lit("Payable"))
        .when(payable > 0)
        .then(pl.lit("Payable en partie"))
        .when(reserved > 0)
        .then(pl.lit("Sous réserve"))
        .when(~pl.col("complete"))
        .then(pl.lit("Non calculable"))
        .otherwise(pl.lit("Rien à payer"))
    )
    rows = remuneration.centres.join(prerequisites, on="finess_et", how="left", maintain_order="left")
    rows = rows.join(_apart(examination), on=["finess_et", "scheme"], how="left", maintain_order="left")
    why = pl.col("reason_fr")
    reason = pl.when(pl.col("apart").is_null()).then(why).otherwise(pl.concat_str(why.str.strip_suffix("."), "apart"))
    own = pl.when(pl.col("scheme") == "rfs").then("prerequisites")
    told = rows.with_columns(result=result, reason=reason, status_fr=_status_fr(), prerequisites=own, scheme_fr=_scheme_fr())
    amounts = ("computed_cents", "payable_cents", "under_reserve_cents", "blocked_cents")
    known = pl.col("result") != "Non calculable"  # nothing is known of it: a zero would be read as an amount
    return told.with_columns(pl.when(known).then(name).alias(name) for name in amounts)


def _apart(examination: Examination) -> pl.DataFrame:
    """finess_et, scheme and ``apart``, the words that go with an amount of which some entries could not be read."""
    lines = examination.findings.filter(pl.col("effect").is_in(["reject_row", "quarantine_row"]), status=FIRED)
    lines = lines.filter(pl.col("finess_et").is_not_null(), pl.col("section") != "horaires")
    of_both = pl.when(pl.col("section").is_in(list(SCHEMES_FR))).then(pl.concat_list("section")).otherwise(list(SCHEMES_FR))
    told = pl.format(" ; attention, des lignes de ce centre sont à l'écart ({}) : le montant peut changer", "rules")
    rules = (
        lines.with_columns(scheme=of_both)
        .explode("scheme")
        .group_by("finess_et", "scheme")
        .agg(rules=pl.col("rule").unique().sort().str.join(", "))
    )
    return rules.select("finess_et", "scheme", apart=told)


def _nodes(remuneration: Remuneration) -> pl.DataFrame:
    """Every step of the computation, with its name as people read it beside its code."""
    split = pl.col("node").str.split(".")
    indicator, last = label(split.list.get(1)), split.list.last()
    part = last.replace_strict(STEPS_FR | PART_FR, default=last, return_dtype=pl.String)
    whole = pl.concat_str(split.list.first().replace_strict(SCHEMES_FR, return_dtype=pl.String), pl.lit(" : "), part)
    unit = pl.col("unit").replace({"cents": UNITS_FR["cents"]})
    percent = (20_000 * pl.col("numerator") + pl.col("denominator")) // (2 * pl.col("denominator"))  # hundredths of a percent
    shown = (
        pl.when(pl.col("value").is_null())
        .then(pl.lit("inconnue"))
        .when(pl.col("unit") == "cents", pl.col("numerator") % pl.col("denominator") == 0)
        .then(euros_of(pl.col("numerator") // pl.col("denominator")))
        .when(pl.col("unit") == "taux")
        .then(pl.concat_str(hundredths(percent), pl.lit(" %")))
        .otherwise(pl.format("{} {}", "value", unit))
    )
    own = pl.when(split.list.len() > 2).then(pl.concat_str(indicator, pl.lit(" : "), part))
    return remuneration.nodes.with_columns(
        step=own.when(last.str.contains("-", literal=True)).then(indicator).otherwise(whole),
        shown=shown,
        unit=unit,
        status_fr=_status_fr(),
    )


def _scheme_fr() -> pl.Expr:
    return pl.col("scheme").replace_strict(SCHEMES_FR, return_dtype=pl.String)


def _indicators(examination: Examination, remuneration: Remuneration) -> pl.DataFrame:
    """Every indicator that was entered: the value that counts, the last one typed too late, the amount if there is one."""
    parts = []
    for scheme in ("rfs", "rosp"):
        found = examination.scene.journal(scheme)
        if found is None:
            continue
        held = _answers(found.in_force, scheme, "answer", "entered")
        late = found.entries.filter(pl.col("deadline") == LATE).sort("finess_et", "code", "entered_at", "line")
        later = _answers(late.unique(["finess_et", "code"], keep="last"), scheme, "later_answer", "later_entered")
        keys = found.entries.select("finess_et", "code").unique().sort("finess_et", "code").with_columns(scheme=pl.lit(scheme))
        for part in (held, later):
            keys = keys.join(part, on=["finess_et", "code"], how="left", maintain_order="left")
        parts.append(keys)
    schema = dict.fromkeys(("finess_et", "code", "scheme", "answer", "entered", "later_answer", "later_entered"), pl.String)
    rows = pl.concat([pl.DataFrame(schema=schema), *parts]).rename({"code": "indicator"})
    rows = rows.join(remuneration.items, on=["finess_et", "scheme", "indicator"], how="left", maintain_order="left")
    late_only = pl.lit("saisi après la date butoir seulement : ne compte pas")
    unpaid = pl.lit("sans montant : réponse négative, vide, écartée par un constat, ou indicateur sans rémunération")
    why = pl.when(pl.col("answer").is_null()).then(late_only).otherwise(unpaid)
    return rows.with_columns(
        label=label(pl.col("indicator")),
        scheme_fr=_scheme_fr(),
        neutralised=pl.col("neutralised").fill_null(value=False),
        reason=pl.coalesce("reason_fr", why),
        status_fr=pl.col("status").replace_strict(STATUSES_FR, default=None, return_dtype=pl.String),
    )


def _answers(rows: pl.DataFrame, scheme: str, answer: str, entered: str) -> pl.DataFrame:
    """finess_et, code, what was answered and when, as people write them."""
    at = pl.col("entered_at").dt.convert_time_zone("Europe/Paris").dt.strftime("%d/%m/%Y %H:%M:%S")
    if scheme == "rfs":
        text = pl.col("answer").str.to_uppercase().fill_null("VIDE")
    else:
        text = pl.format("{} / {}", pl.col("numerator_raw").fill_null("?"), pl.col("denominator_raw").fill_null("?"))
    return rows.select("finess_et", "code", text.alias(answer), at.fill_null("non donné").alias(entered))


def _comparisons(examination: Examination) -> pl.DataFrame:
    """What the centres declare beside the others, of the sources that were received, as people write it."""
    told = compared(examination.scene)
    return told.with_columns(
        declared=_written("declared"),
        other=_written("other"),
        unit=pl.col("unit").replace_strict(WRITTEN_FR, default=pl.col("unit"), return_dtype=pl.String),
        verdict=pl.col("verdict").replace_strict(VERDICTS_FR, return_dtype=pl.String),
        source="source_fr",
    )


def _written(name: str) -> pl.Expr:
    number = pl.col(name)
    tenths = pl.concat_str(number // 10, pl.lit(","), number % 10)
    hours = pl.concat_str(number // 60, pl.lit(" h "), (number % 60).cast(pl.String).str.zfill(2))
    return (
        pl.when(pl.col("unit") == FTE)
        .then(hundredths(number))
        .when(pl.col("unit") == RATE)
        .then(tenths)
        .when(pl.col("unit") == WEEKLY)
        .then(hours)
        .otherwise(number.cast(pl.String))
    )


def _findings(found: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """The findings with their words and the places they concern: one about the whole extraction concerns every place."""
    rules = {name: catalogue()[name] for name in found["rule"].unique()}
    labels = {name: rule.label_fr for name, rule in rules.items()}
    status = {name: STATUSES_FR.get(rule.status, rule.status) for name, rule in rules.items()}
    sources = {name: f"{named(rule.source)} ({status[name]})" if rule.source else status[name] for name, rule in rules.items()}
    of_rule = pl.col("rule")
    told = found.with_columns(
        rule_fr=of_rule.replace_strict(labels, default=of_rule, return_dtype=pl.String),
        source=of_rule.replace_strict(sources, default="", return_dtype=pl.String),
        state=pl.when(pl.col("status") == "fired")
        .then(pl.col("severity").replace_strict(STATES_FR, return_dtype=pl.String))
        .otherwise(pl.lit("Non vérifiable")),
        effect_fr=pl.col("effect").replace_strict(EFFECTS_FR, return_dtype=pl.String),
        reason="reason_fr",
        change="change_fr",
    )
    own = told.filter(pl.col("finess_et").is_not_null()).join(places, on="finess_et", how="left", maintain_order="left")
    everywhere = places.select(PLACE).unique().sort(PLACE)
    whole = told.filter(pl.col("finess_et").is_null()).join(everywhere, how="cross")
    return pl.concat([own.drop("legal_name", "centre_type"), whole.select(own.drop("legal_name", "centre_type").columns)])


def _numbered(rows: pl.DataFrame, place: str) -> pl.DataFrame:
    """The findings of each place once, with their number in it, in the order in which people read them."""
    order = ["finess_et", "rule", "item", "line", "reason"]
    other = next(name for name in PLACE if name != place)
    told = rows.drop(other).unique(maintain_order=True).sort(place, *order, nulls_last=True)
    return told.with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(place))


def _as_contract(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of the contract, in its order and types, of the rows that a recipient can be told for."""
    product, table = next((one, table) for one in products().values() for table in one.tables if table.view == view)
    placed = rows.rename({"finess_et": "finess"}).filter(pl.col(product.territory_column).is_not_null())
    return placed.select(pl.col(column.name).cast(KINDS[column.type]) for column in table.columns).sort(table.keys)
