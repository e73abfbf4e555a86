"""Cases of rules as findings: the sentence that the establishment reads, the effect, and the evidence that lets it be checked.

Evidence holds what was seen in the export, where, in which file: contract facts of establishments, never a patient's.
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from checks.cpom.law import Law
from checks.cpom.ruling import PLACE, Answer
from checks.snp.evidence import filled
from contracts_schema.cpom_catalogue import table_of_rule
from contracts_schema.rules import Rule

FINDINGS = pl.Schema(
    {
        "rule": pl.String(),
        "rules_version": pl.String(),
        "level": pl.String(),
        "severity": pl.String(),
        "effect": pl.String(),
        "finess_ej": pl.String(),
        "annex": pl.String(),
        "code": pl.String(),
        "year": pl.Int64(),
        "message_fr": pl.String(),
        "change_fr": pl.String(),
        "file": pl.String(),
        "sha256": pl.String(),
        "sheet_id": pl.String(),
        "sheet": pl.String(),
        "row": pl.Int64(),
        "cell": pl.String(),
        "raw": pl.String(),
        "evidence": pl.String(),
        "source": pl.String(),
        "status": pl.String(),
        "evaluated_at": pl.Datetime("us", "UTC"),
    }
)
"""``severity`` block, warn or info; ``evidence``: JSON of what the sentence was made from."""

UNKNOWN = pl.Schema({"rule": pl.String(), "finess_ej": pl.String(), "reason_fr": pl.String()})
"""What could not be evaluated: a rule that neither passes nor fires. A null finess_ej: for nobody in particular."""

_NO_FINDING, _NO_UNKNOWN = FINDINGS.to_frame(), UNKNOWN.to_frame()
"""Made once: most rules find nothing."""


def findings(rule: Rule, answer: Answer, sheets: pl.DataFrame, law: Law, at: datetime) -> pl.DataFrame:
    """The findings of a rule, one a case: of a sheet with its file and place, of a follow-up table with its name."""
    cases = answer.cases
    if cases.is_empty():
        return _NO_FINDING
    missing = [pl.lit(None, kind).alias(name) for name, kind in PLACE.items() if name not in cases.columns]
    cases = cases.with_columns(missing)
    origin = sheets.select("sheet_id", "file", "sha256", "sheet").unique("sheet_id")
    cases = cases.join(origin, on="sheet_id", how="left", maintain_order="left")
    followed = None if rule.level == "campaign" else table_of_rule(rule.id)  # what is of no sheet is of a line of that table
    if followed:
        of_table = pl.when(pl.col("sheet_id").is_null()).then(pl.lit(f"table {followed}"))
        cases = cases.with_columns(file=of_table.otherwise("file"))
    own = [name for name in answer.cases.columns if name not in PLACE]
    told: Mapping[str, pl.Expr] = {
        "ej": pl.col("finess_ej"),
        "indicateur": pl.col("code"),
        "annee": pl.col("year").cast(pl.String),
        "texte": pl.col("raw"),
        "cellule": _place(),
    } | {name: pl.col(name) for name in own}
    parts = []
    for variant, (outcome, effect, reason, change) in _readings(rule).items():
        some = cases.filter(pl.col("variant").eq_missing(pl.lit(variant, pl.String)))
        if some.is_empty():
            continue
        parts.append(
            some.select(
                rule=pl.lit(rule.id),
                rules_version=pl.lit(law.rules_version),
                level=pl.lit(rule.level),
                severity=pl.lit(outcome),
                effect=pl.lit(effect),
                finess_ej="finess_ej",
                annex="annex",
                code="code",
                year="year",
                message_fr=filled(reason, told),
                change_fr=filled(change, told),
                file="file",
                sha256="sha256",
                sheet_id="sheet_id",
                sheet="sheet",
                row="row",
                cell="cell",
                raw="raw",
                evidence=_evidence(own, variant),
                source=pl.lit(rule.source),
                status=pl.lit(rule.status),
                evaluated_at=pl.lit(at, pl.Datetime("us", "UTC")),
            )
        )
    return pl.concat(parts).match_to_schema(FINDINGS)


def unknown(rule: Rule, answer: Answer) -> pl.DataFrame:
    """The scopes on which a rule is not evaluable, with its reason."""
    if answer.unknown is None:
        return _NO_UNKNOWN
    scopes = answer.unknown.select("finess_ej").unique(maintain_order=True)
    return scopes.select(rule=pl.lit(rule.id), finess_ej="finess_ej", reason_fr=pl.lit(rule.missing_fr))


def _readings(rule: Rule) -> dict[str | None, tuple[str, str, str, str]]:
    """Outcome, effect, reason and change of the rule and of each of its variants."""
    told: dict[str | None, tuple[str, str, str, str]] = {
        None: (rule.outcome, rule.effect_on_lines or "annotate", rule.reason_fr, rule.change_fr)
    }
    for one in rule.variants:
        told[one.id] = (one.outcome, one.effect_on_lines or "annotate", one.reason_fr, one.change_fr)
    return told


def _place() -> pl.Expr:
    sheet = pl.when(pl.col("sheet").is_not_null()).then(pl.format("feuille « {} », ", "sheet")).otherwise(pl.lit(""))
    line = pl.col("cell").str.starts_with("ligne")  # of the canonical form, which has no cells
    cell = pl.when(line).then("cell").when(pl.col("cell").is_not_null()).then(pl.format("cellule {}", "cell"))
    row = pl.when(pl.col("row").is_not_null()).then(pl.format("ligne {}", "row"))
    return pl.concat_str(sheet, pl.coalesce(cell, row, pl.lit("cellule non connue")))


def _evidence(own: list[str], variant: str | None) -> pl.Expr:
    parts = [pl.lit(variant or "regle").alias("lecture"), *(pl.col(name).cast(pl.String) for name in own)]
    return pl.struct(parts).struct.json_encode()
