"""Findings with what an agent needs to believe them: the cell, the dossier, the rule, what would change the answer.

Built for the lines concerned only, column by column. Never reads the frame of patients: no evidence holds a patient value.
"""

import json
import re
from collections.abc import Iterable, Mapping

import polars as pl

from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.outcome import PRECEDENCE
from checks.snp.ruling import ELSEWHERE, NOTE, SILENT, STOP, Check, Ruling, asked_of, outcomes, sentences
from contracts_schema.rules import Rule

FINDINGS = pl.Schema(
    {
        "bordereau_id": pl.String(),
        "line_number": pl.Int64(),
        "line_id": pl.String(),
        "rule": pl.String(),
        "outcome": pl.String(),
        "mention": pl.Boolean(),
        "note": pl.Boolean(),
        "blocking": pl.Boolean(),
        "evidence": pl.String(),
        "change_fr": pl.String(),
    }
)
"""A null line: the finding is about the whole bordereau and holds for each of its lines (but a rule without effect on them)."""

COLUMNS = ("protocol", "act", "date", "month", "delegate", "rpps", "profession", "count", "unit", "amount", "ref")
CELLS = pl.Struct({name: pl.Struct({"cell": pl.String, "raw": pl.String}) for name in COLUMNS})
ACTS = {
    "INCLUSION": "inclusion",
    "CONSULT_1": "première consultation",
    "CONSULT_2": "seconde consultation",
    "DELEGANT_REVISIT": "revoyure du délégant",
}
ASKED_ELSEWHERE = "Une donnée manque, demandée par un autre contrôle (protocole, jour, délégué, équipe), ou le mois varie."
NOT_KNOWN = "non connu"


def of_lines(
    claims: pl.DataFrame, checks: Iterable[Check], law: Law, facts: Facts, timelines: pl.DataFrame
) -> list[pl.DataFrame]:
    """The findings of these rules, one a rule and line; ``timelines``: d and the texts about each dossier."""
    found = []
    for check in checks:
        codes = _codes(claims, check)
        if not codes:
            continue
        rows = claims.filter(pl.col(check.rule.id) != SILENT)
        if rows["several"].any():
            rows = (
                rows.sort(_severity(check.rule, law), descending=True, maintain_order=True).unique("i", keep="first").sort("i")
            )
        ruling = check.judge(law, facts)
        told = rows.filter(~pl.col(check.rule.id).is_in([ELSEWHERE, NOTE]))
        told = told.join(timelines, on="d", how="left", maintain_order="left") if ruling.dossier else told
        found += [_notes(rows, check.rule, code) for code in (ELSEWHERE, NOTE) if code in codes]
        found += _told(told, check.rule, law, ruling, _where(ruling), _common(told))
    return found


def of_bordereaux(bordereaux: pl.DataFrame, checks: Iterable[Check], law: Law, facts: Facts) -> list[pl.DataFrame]:
    """The findings of the rules about whole bordereaux."""
    found = []
    for check in checks:
        codes = _codes(bordereaux, check)
        if not codes:
            continue
        rows = bordereaux.filter(pl.col(check.rule.id) != SILENT).with_columns(
            line_number=pl.lit(None, pl.Int64), line_id=pl.lit(None, pl.String)
        )
        ruling = check.judge(law, facts)
        if NOTE in codes:
            found.append(_notes(rows, check.rule, NOTE))
        found += _told(rows.filter(pl.col(check.rule.id) != NOTE), check.rule, law, ruling, {"fichier": pl.col("file")}, {})
    return found


def of_reviews(rows: pl.DataFrame, checks: Iterable[Check], law: Law, facts: Facts) -> list[pl.DataFrame]:
    """The findings of the rules about two judgements of a line."""
    found = []
    for check in checks:
        some = rows.filter(pl.col(check.rule.id) != SILENT)
        found += _told(some, check.rule, law, check.judge(law, facts), {}, {})
    return found


def _codes(rows: pl.DataFrame, check: Check) -> set[int]:
    """The codes of a rule on some row, but silence."""
    return set(rows[check.rule.id].unique().to_list()) - {SILENT}


def _severity(rule: Rule, law: Law) -> pl.Expr:
    ranks = {code: PRECEDENCE.index(outcome) for code, outcome in outcomes(rule, law).items()}
    return pl.col(rule.id).replace_strict(ranks | {STOP: PRECEDENCE.index("ASK")}, default=0, return_dtype=pl.UInt8)


def _notes(rows: pl.DataFrame, rule: Rule, code: int) -> pl.DataFrame:
    """NOT_EVALUABLE without effect: the same words for every line."""
    reason = ASKED_ELSEWHERE if code == ELSEWHERE else rule.missing_fr
    text = json.dumps({"regle": rule.id, "libelle": rule.label_fr, "motif": reason}, ensure_ascii=False)
    return _finding(
        rows.filter(pl.col(rule.id) == code), rule, "NOT_EVALUABLE", pl.lit(text), pl.lit(None, pl.String), note=True
    )


def _told(
    rows: pl.DataFrame,
    rule: Rule,
    law: Law,
    ruling: Ruling,
    where: Mapping[str, pl.Expr],
    common: Mapping[str, pl.Expr],
) -> list[pl.DataFrame]:
    """The findings that say something, one frame a code."""
    found = []
    known = dict(common) | dict(ruling.fields)
    results = outcomes(rule, law) | {STOP: "NOT_EVALUABLE"}
    texts = sentences(rule) | {STOP: (rule.missing_fr, "La donnée manquante.")}
    who = asked_of(rule) | {STOP: "caisse"}
    present = set(rows[rule.id].unique().to_list())
    named = {name for reason, change in texts.values() for name in _names(reason) | _names(change)}
    for code, outcome in results.items():
        if code not in present:
            continue
        reason, change = texts[code]
        elsewhere = named - _names(reason) - _names(change)
        shown = {name: text.cast(pl.String) for name, text in ruling.fields.items() if name not in elsewhere}
        parts: dict[str, pl.Expr] = {
            "regle": pl.lit(rule.id),
            "libelle": pl.lit(rule.label_fr),
            "motif": filled(reason, known),
            "fondement": pl.lit(rule.basis_fr),
            "sources": pl.lit(rule.source),
            "statut": pl.lit(rule.status),
            "interlocuteur": pl.lit(who[code]),
            **where,
        }
        if shown:
            parts["constate"] = _struct(shown)
        some = rows.filter(pl.col(rule.id) == code)
        evidence = _struct(parts).struct.json_encode()
        changes = filled(change, known) if change else pl.lit(None, pl.String)
        found.append(_finding(some, rule, outcome, evidence, changes, note=False))
    return found


def _finding(rows: pl.DataFrame, rule: Rule, outcome: str, evidence: pl.Expr, change: pl.Expr, *, note: bool) -> pl.DataFrame:
    return rows.select(
        "bordereau_id",
        "line_number",
        "line_id",
        rule=pl.lit(rule.id),
        outcome=pl.lit(outcome),
        mention=pl.lit(outcome == "PAY"),
        note=pl.lit(note),
        blocking=pl.lit(outcome == "NOT_EVALUABLE" and not note),
        evidence=evidence,
        change_fr=change,
    )


def _where(ruling: Ruling) -> dict[str, pl.Expr]:
    """The place in the bordereau, and the dossier read."""
    place: dict[str, pl.Expr] = {"fichier": pl.col("file"), "feuille": pl.col("sheet"), "ligne": pl.col("row")}
    if ruling.cells:
        cells = pl.col("cells").str.json_decode(CELLS)
        shown = [
            pl.when(cells.struct.field(name).is_not_null()).then(
                pl.struct(
                    colonne=pl.lit(name),
                    cellule=cells.struct.field(name).struct.field("cell"),
                    texte=cells.struct.field(name).struct.field("raw"),
                )
            )
            for name in ruling.cells
        ]
        place["cellules"] = pl.concat_list(shown).list.drop_nulls()
    if ruling.dossier:
        told = {"numero": "dossier", "depot": "deposit", "chronologie": "timeline", "equipe": "team_fr"}
        place["dossier"] = _struct({name: pl.col(column) for name, column in told.items()})
    return place


def _common(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """What every sentence may name."""
    return {
        "jour": pl.col("moment"),
        "protocole": pl.coalesce("family", "label"),
        "acte": pl.col("act").replace(ACTS),
        "delegue": pl.coalesce("delegate", "delegate_raw"),
        "dossier": pl.col("dossier"),
    }


def _struct(fields: Mapping[str, pl.Expr]) -> pl.Expr:
    return pl.struct([value.alias(name) for name, value in fields.items()])


def _names(template: str) -> set[str]:
    return set(re.findall(PLACE, template))


PLACE = r"\{(\w+)\}"


def filled(template: str, fields: Mapping[str, pl.Expr]) -> pl.Expr:
    """A sentence with its ``{…}`` filled from these columns. KeyError for a name that there is none of."""
    parts = []
    for place, text in enumerate(re.split(PLACE, template)):
        parts.append(fields[text].cast(pl.String).fill_null(NOT_KNOWN) if place % 2 else pl.lit(text))
    return pl.concat_str(parts)
