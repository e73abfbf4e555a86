"""The tables of the products of the CPOM: contracts, indicators, targets, findings; obligations, notices; money. For an ARS.

Pure polars over what was judged, compared and watched: decides nothing. Same arguments, same tables, in the contract's columns
and in the order in which people read them. Small counts are masked afterwards, by what publishes.
"""

from collections.abc import Sequence
from functools import cache

import polars as pl

from checks.cpom.compare import Comparison
from checks.cpom.days import NOTICES_FR, with_lapse
from checks.cpom.facts import Facts
from checks.cpom.judge import Judgement
from checks.cpom.law import Law
from checks.cpom.obligations import STATES_FR, Watch
from contracts_schema.cpom_catalogue import financial_lines, indicators
from contracts_schema.geography import region_of
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import products

PRODUCTS = ("cpom-indicateurs", "cpom-echeances", "cpom-finances")
TYPES = {"string": pl.String(), "integer": pl.Int64(), "number": pl.Decimal(18, 2), "boolean": pl.Boolean(), "date": pl.Date()}
_COMPLIANCE = {"CONFORME": "Conforme", "NON_CONFORME": "Non conforme", "EN_QUARANTAINE": "En quarantaine"}
_DEADLINE = {
    "DANS_LES_DELAIS": "Dans les délais",
    "HORS_DELAI": "Hors délai",
    "DELAI_NON_VERIFIABLE": "Délai non vérifiable",
    "CHOIX_INCOMPLET": "Choix incomplet",
}
ROLES = {"INITIALE": "Initiale", "CIBLE": "Cible", "REALISE": "Réalisée"}
_RESULTS = {"concordant": "Concordant", "ecart_tolere": "Écart toléré", "ecart": "Écart"}
_REASONS = {
    "DECLARATIF_SEUL": "Non vérifiable : déclaratif seul",
    "CHAMP_ABSENT": "Non vérifiable : champ absent",
    "COMPLETUDE": "Non vérifiable : complétude",
    "DENOMINATEUR_FAIBLE": "Non vérifiable : dénominateur faible",
    "FINESS_NON_RESOLU": "Non vérifiable : FINESS non résolu",
    "DEFINITION_NON_CONVENUE": "Non vérifiable : définition non convenue",
}
_SEVERITIES = {"block": "Bloquant", "warn": "Avertissement", "info": "Information"}
_EFFECTS = {
    "quarantine_sheet": "Feuille mise en quarantaine",
    "reject_row": "Ligne écartée",
    "reject_cell": "Cellule écartée",
    "dedupe": "Copie écartée",
    "contract_non_compliant": "Contrat non conforme",
    "mark_late": "Choix hors délai",
    "publish_hold": "Publication retenue",
    "payment_hold": "Versement retenu",
    "alert": "Alerte",
    "annotate": "Mention",
}
_NATURES = {"INEXECUTION": "Inexécution", "MANQUEMENT_GRAVE": "Manquement grave"}


def tables(
    facts: Facts, judgement: Judgement, comparison: Comparison, watch: Watch, law: Law, regions: Sequence[str] | None = None
) -> dict[str, pl.DataFrame]:
    """The tables by the name that product contracts give to their view, each in the contract's columns and types.

    ``regions``: those that are told what is said of no contract in particular; None: those of the contracts.
    Rows of a number that is no FINESS of a known région are left out: no ARS is concerned; the judgement keeps its findings.
    """
    told = pl.DataFrame({"region": regions or []}, schema={"region": pl.String()})
    everywhere = _regions(judgement) if regions is None else told
    made = {
        "out_ars__cpom_contract": _contracts(judgement),
        "out_ars__cpom_indicator": _indicators(comparison),
        "out_ars__cpom_target": _targets(judgement),
        "out_ars__cpom_trajectory": _trajectory(comparison),
        "out_ars__cpom_not_evaluable": _not_evaluable(judgement, everywhere),
        "out_ars__cpom_finding": _findings(judgement, everywhere),
        "out_ars__cpom_obligation": _obligations(watch, everywhere),
        "out_ars__cpom_notice": _notices(watch, judgement),
        "out_ars__cpom_financial_line": _lines(facts, judgement),
        "out_ars__cpom_subsidy": _subsidies(facts, law, judgement),
        "out_ars__cpom_ceiling": _ceilings(watch, judgement),
    }
    return {name: _as_contract(name, rows) for name, rows in made.items()}


def _as_contract(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of known régions, in the columns and types of the contract, with what masks read and without what they add."""
    table = next(table for name in PRODUCTS for table in products()["ars", name].tables if table.view == view)
    if "region" not in rows.columns:
        rows = rows.with_columns(region=_region(rows["finess_ej"]))
    return rows.drop_nulls("region").select(
        *(pl.col(column.name).cast(TYPES[column.type]) for column in table.columns if column.name != "masked"),
        *(name for name in rows.columns if name == "conflicts_hidden"),
    )


def _everywhere(rows: pl.DataFrame, regions: pl.DataFrame) -> pl.DataFrame:
    """The rows with their région; those of nobody in particular stand once in each région that has a contract."""
    own = rows.drop_nulls("finess_ej")
    own = own.with_columns(region=_region(own["finess_ej"]))
    common = rows.filter(pl.col("finess_ej").is_null()).join(regions, how="cross")
    return pl.concat([own, common.select(own.columns)])


def _regions(judgement: Judgement) -> pl.DataFrame:
    """The régions that have a contract: column ``region``."""
    numbers = judgement.contract["finess_ej"]
    return judgement.contract.select(region=_region(numbers)).drop_nulls().unique().sort("region")


def _held(judgement: Judgement, rule: str) -> pl.DataFrame:
    """The findings of a rule that hold a publication or a payment."""
    holds = pl.col("effect").is_in(["publish_hold", "payment_hold"])
    return judgement.findings.filter(holds & (pl.col("rule") == rule))


def _said(name: str) -> pl.Expr:
    """A text of the evidence of a finding."""
    return pl.col("evidence").str.json_path_match(f"$.{name}")


def _region(numbers: pl.Series) -> pl.Expr:
    known = {number: region_of(number) for number in numbers.drop_nulls().unique() if len(number) == 9}
    return pl.col("finess_ej").replace_strict(known, default=None, return_dtype=pl.String)


def _words(column: str, known: dict[str, str]) -> pl.Expr:
    return pl.col(column).replace_strict(known, return_dtype=pl.String)


def _hundredths(name: str) -> pl.Expr:
    return (pl.col(name).cast(pl.Decimal(18, 2)) / 100).cast(pl.Decimal(18, 2))


@cache
def _labels() -> dict[str, str]:
    return {one.id: one.label for one in indicators().values()}


def _contracts(judgement: Judgement) -> pl.DataFrame:
    rows = judgement.contract.with_columns(
        compliance=_words("status", _COMPLIANCE), deadline=_words("deadline_status", _DEADLINE)
    )
    return rows.sort("finess_ej")


def _indicators(comparison: Comparison) -> pl.DataFrame:
    widest = comparison.context.group_by("finess_ej", "id", "year").agg(pl.col("conflicts").max())
    rows = comparison.compared.drop("conflicts").join(widest, on=["finess_ej", "id", "year"], how="left", maintain_order="left")
    result = pl.coalesce(
        pl.col("reason").replace_strict(_REASONS, default=None, return_dtype=pl.String),
        pl.col("status").replace_strict(_RESULTS, default=None, return_dtype=pl.String),
    )
    return rows.with_columns(
        indicator_id="id",
        indicator=pl.col("id").replace_strict(_labels(), return_dtype=pl.String),
        role=_words("role", ROLES),
        declared=pl.col("declared").round(2),
        result=result,
        definition=pl.format("{} v{}", "definition_id", "definition_version"),
        definition_variant="variant",
        recomputed=_hundredths("recomputed_hundredths"),
        gap=_hundredths("gap_hundredths"),
        tolerance=_hundredths("tolerance_hundredths"),
        completeness=_hundredths("completeness_hundredths"),
        conflicts=pl.when(pl.col("numerator").is_not_null()).then("conflicts"),
        conflicts_hidden=pl.lit(value=False),  # known to who sees what the product of the PMSI hides
        origin="transmissions",
    ).sort("finess_ej", "indicator_id", "year", "role")


def _targets(judgement: Judgement) -> pl.DataFrame:
    return judgement.target.with_columns(
        indicator_id="id",
        role=_words("role", ROLES),
        declared_text="text",
        declared=pl.col("number").round(2),
    ).sort("finess_ej", "indicator_id", "year", "role")


def _findings(judgement: Judgement, regions: pl.DataFrame) -> pl.DataFrame:
    """Numbered within an establishment, the gravest first; those of the région are numbered apart."""
    ids = {(annex, code): one.id for (annex, code), one in indicators().items()}
    known = pl.DataFrame(
        [(*key, name) for key, name in ids.items()],
        schema={"annex": pl.String(), "code": pl.String(), "indicator_id": pl.String()},
        orient="row",
    )
    rows = _everywhere(judgement.findings, regions)
    rows = rows.join(known, on=["annex", "code"], how="left", maintain_order="left")
    rank = pl.col("severity").replace_strict({"block": 0, "warn": 1, "info": 2}, return_dtype=pl.Int64)
    rows = rows.with_columns(rank=rank).sort(
        "region", "finess_ej", "rank", "rule", "code", "year", "cell", nulls_last=True, maintain_order=True
    )
    rows = rows.with_columns(number=1 + pl.int_range(pl.len(), dtype=pl.Int64).over("region", "finess_ej"))
    return rows.with_columns(
        finding_id=pl.concat_str(_id("finess_ej"), pl.col("number").cast(pl.String).str.zfill(4), separator="/"),
        severity=_words("severity", _SEVERITIES),
        effect=_words("effect", _EFFECTS),
        status=_words("status", STATUSES_FR),
        message="message_fr",
        change="change_fr",
    )


def _id(*parts: str) -> pl.Expr:
    """What names a row in the whole country: its région and these columns, those that are there."""
    return pl.concat_str([pl.col(name).cast(pl.String) for name in ("region", *parts)], separator="/", ignore_nulls=True)


def _not_evaluable(judgement: Judgement, regions: pl.DataFrame) -> pl.DataFrame:
    rows = _everywhere(judgement.not_evaluable, regions)
    return rows.with_columns(reason="reason_fr", not_evaluable_id=_id("rule", "finess_ej")).sort("rule", "finess_ej", "region")


def _trajectory(comparison: Comparison) -> pl.DataFrame:
    """Targets of the years of which the decided variant can be compared."""
    rows = comparison.trajectory.filter((pl.col("role") == "CIBLE") & pl.col("recomputed_hundredths").is_not_null())
    reached = pl.when("reached").then(pl.lit("Atteinte")).when(~pl.col("reached")).then(pl.lit("Non atteinte"))
    return rows.with_columns(
        indicator_id="id",
        declared=pl.col("declared").round(2),
        reached=reached.otherwise(pl.lit("Sens d'évolution non connu")),
        definition_variant="variant",
        recomputed=_hundredths("recomputed_hundredths"),
        gap=_hundredths("gap_hundredths"),
        origin="transmissions",
    ).sort("finess_ej", "indicator_id", "year")


def _obligations(watch: Watch, regions: pl.DataFrame) -> pl.DataFrame:
    """Those of the whole campaign stand once in each région that has a contract. Two reports may be due on one day, each of the
    data of its own year."""
    nth = 1 + pl.int_range(pl.len()).over("region", "deadline_id", "finess_ej", "subject", "due_on")
    return (
        _everywhere(watch.obligations, regions)
        .with_columns(nth=pl.when(nth > 1).then(nth))
        .with_columns(
            state=_words("state", STATES_FR),
            status=_words("status", STATUSES_FR),
            label="label_fr",
            evidence="evidence_fr",
            obligation_id=_id("deadline_id", "finess_ej", "subject", "due_on", "nth"),
        )
        .sort("due_on", "deadline_id", "finess_ej", "subject", "region", nulls_last=True, maintain_order=True)
    )


def _notices(watch: Watch, judgement: Judgement) -> pl.DataFrame:
    held = _held(judgement, "cpom.R51").select("finess_ej", procedure_id=_said("procedure"))
    rows = watch.notice.join(held, on=["finess_ej", "procedure_id"], how="anti", maintain_order="left")
    return rows.with_columns(nature=_words("nature", _NATURES), state=_words("state", NOTICES_FR)).sort(
        "finess_ej", "procedure_id"
    )


def _ceilings(watch: Watch, judgement: Judgement) -> pl.DataFrame:
    held = _held(judgement, "cpom.R50").select("finess_ej", "year")
    return watch.ceiling.join(held, on=["finess_ej", "year"], how="anti", maintain_order="left")


def _lines(facts: Facts, judgement: Judgement) -> pl.DataFrame:
    """Lines and totals of sheets that were not quarantined, in the order in which they stand, but for the envelopes whose total
    is not the sum of their lines."""
    away = judgement.findings.filter(pl.col("effect") == "quarantine_sheet")["sheet_id"]
    sheets = facts.sheet.filter(~pl.col("sheet_id").is_in(away.implode())).select("sheet_id", "finess_ej")
    rows = facts.frame("financial_line").join(sheets, on="sheet_id", how="inner", maintain_order="left").drop_nulls("finess_ej")
    rows = rows.with_columns(number=1 + pl.int_range(pl.len(), dtype=pl.Int64).over("finess_ej"))
    held = _held(judgement, "cpom.R41").select("sheet_id", envelope=_said("enveloppe"))
    rows = rows.join(held, on=["sheet_id", "envelope"], how="anti", maintain_order="left")
    known = [f"{envelope}:{code}" for envelope, code in sorted(financial_lines())]
    without_code = pl.col("is_total") | pl.col("code").is_null()
    # a total that the spreadsheet could not compute is computed from its lines (C12), when all of them are amounts
    amounts = pl.col("amount_cents").filter(~pl.col("is_total"))
    whole = (pl.len() - pl.col("is_total").sum() > 0) & (amounts.null_count() == 0)
    envelopes = rows.group_by("sheet_id", "envelope").agg(summed=pl.when(whole).then(amounts.sum()))
    rows = rows.join(envelopes, on=["sheet_id", "envelope"], how="left", maintain_order="left")
    computed = pl.col("is_total") & pl.col("error").fill_null(value=False) & pl.col("summed").is_not_null()
    total = pl.when(computed).then(pl.lit("Total recalculé")).when("is_total").then(pl.lit("Total"))
    return rows.with_columns(
        kind=total.otherwise(pl.lit("Ligne")),
        amount_cents=pl.when(computed).then("summed").otherwise("amount_cents"),
        amount_text="amount_raw",
        is_known=without_code | pl.format("{}:{}", "envelope", pl.col("code").fill_null("")).is_in(known),
    ).sort("finess_ej", "number")


def _subsidies(facts: Facts, law: Law, judgement: Judgement) -> pl.DataFrame:
    rows = facts.frame("subsidy")
    last = with_lapse(rows, law).select("subsidy_id", "finess_ej", "last_day")
    paid = facts.frame("payment").group_by("subsidy_id").agg(paid_cents=pl.col("paid_cents").sum())
    told = rows.join(last, on=["subsidy_id", "finess_ej"], how="left", maintain_order="left")
    told = told.join(paid, on="subsidy_id", how="left", maintain_order="left")
    held = pl.concat([_held(judgement, rule) for rule in ("cpom.R44", "cpom.R45")])
    held = held.select("finess_ej", subsidy_id=_said("subvention"), payment_held=pl.lit(value=True)).unique()
    told = told.join(held, on=["finess_ej", "subsidy_id"], how="left", maintain_order="left")
    return told.with_columns(pl.col("payment_held").fill_null(value=False), pl.col("paid_cents").fill_null(0)).sort(
        "finess_ej", "subsidy_id"
    )
