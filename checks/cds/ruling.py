"""The register of rules, and how what a rule finds becomes findings with their evidence in French.

A rule is a function from the prepared scene to the rows it fires on; it writes no sentence and knows no other rule.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from contracts_schema.rules import Rule, case_of, catalogue

FINDINGS = pl.Schema(
    {
        "rule": pl.String(),
        "case": pl.String(),
        "severity": pl.String(),
        "effect": pl.String(),
        "status": pl.String(),
        "finess_et": pl.String(),
        "section": pl.String(),
        "item": pl.String(),
        "line": pl.Int64(),
        "reason_fr": pl.String(),
        "change_fr": pl.String(),
        "evidence": pl.String(),
    }
)
"""``status``: fired, or not_evaluable (the data needed are absent: never a pass, never a finding against the centre).
A null ``finess_et``: about the whole extraction. ``item``: the indicator, contract or node. ``evidence``: JSON, no person."""

FIRED, NOT_EVALUABLE = "fired", "not_evaluable"
MISSING = "missing"
"""The case of a rule that lacks what it needs."""
PLACES = ("finess_et", "section", "item", "line", "case")

Judge = Callable[[Any], pl.DataFrame]


@dataclass(frozen=True)
class Check:
    """One rule with its implementation."""

    rule: Rule
    judge: Judge


CHECKS: dict[str, Check] = {}
"""Every rule that has an implementation here, by id."""


def check(rule: str) -> Callable[[Judge], Judge]:
    """Enter an implementation for a rule of the catalogue, once."""

    def enter(judge: Judge) -> Judge:
        if rule in CHECKS:
            raise ValueError(f"{rule} is implemented twice")
        CHECKS[rule] = Check(catalogue()[rule], judge)
        return judge

    return enter


def hits(
    rows: pl.DataFrame, cases: Mapping[str, pl.Expr], section: str | None = None, item: pl.Expr | None = None, **fields: pl.Expr
) -> pl.DataFrame:
    """The rows on which a rule fires: the first of ``cases`` that holds names the case; null conditions do not hold.

    ``fields``: the texts of ``{…}`` of the reasons, and of the evidence. Uses ``finess_et`` and ``line`` of the rows if any.
    """
    chain: Any = pl.when(pl.lit(value=False)).then(pl.lit(""))
    for name, condition in cases.items():
        chain = chain.when(condition).then(pl.lit(name))
    none = pl.lit(None, pl.String)
    told = rows.with_columns(case=chain.otherwise(none)).filter(pl.col("case").is_not_null())
    return told.select(
        pl.col("finess_et") if "finess_et" in rows.columns else none.alias("finess_et"),
        section=pl.lit(section, pl.String),
        item=none if item is None else item,
        line=pl.col("line") if "line" in rows.columns else pl.lit(None, pl.Int64),
        case="case",
        **{name: text.cast(pl.String) for name, text in fields.items()},
    )


def absent(section: str | None = None) -> pl.DataFrame:
    """What a rule answers when nothing of what it needs was delivered: once, for the whole extraction."""
    return pl.DataFrame(
        {"finess_et": [None], "section": [section], "item": [None], "line": [None], "case": [MISSING]},
        schema={"finess_et": pl.String, "section": pl.String, "item": pl.String, "line": pl.Int64, "case": pl.String},
    )


def nothing() -> pl.DataFrame:
    return absent().clear()


def findings(rule: Rule, found: pl.DataFrame) -> pl.DataFrame:
    """The findings of what a rule fired on, one a row."""
    parts = [pl.DataFrame(schema=FINDINGS)]
    fields = [name for name in found.columns if name not in PLACES]
    for case in found["case"].unique(maintain_order=True):
        rows = found.filter(pl.col("case") == case)
        if case == MISSING:
            parts.append(_told(rows, rule, case, NOT_EVALUABLE, rule.severity, "annotate", rule.missing_fr, "", fields))
        else:
            severity, effect, reason, change = case_of(rule, case)
            parts.append(_told(rows, rule, case, FIRED, severity, effect, reason, change, fields))
    return pl.concat(parts)


def _told(
    rows: pl.DataFrame,
    rule: Rule,
    case: str,
    status: str,
    severity: str,
    effect: str,
    reason: str,
    change: str,
    fields: Iterable[str],
) -> pl.DataFrame:
    known = {name: pl.col(name) for name in fields} | {
        "finess": pl.col("finess_et"),
        "ligne": pl.col("line"),
        "section": pl.col("section"),
    }
    shown = [pl.col(name).fill_null("non donné") for name in fields]
    constants = {"regle": rule.id, "libelle": rule.label_fr, "source": rule.source, "statut": rule.status}
    parts: list[pl.Expr] = [pl.lit(text).alias(name) for name, text in constants.items()]
    parts += [reason_expr := filled(reason, known).alias("motif")]
    if shown:
        parts.append(pl.struct(shown).alias("constate"))
    return rows.select(
        rule=pl.lit(rule.id),
        case=pl.lit(case),
        severity=pl.lit(severity),
        effect=pl.lit(effect),
        status=pl.lit(status),
        finess_et="finess_et",
        section="section",
        item="item",
        line="line",
        reason_fr=reason_expr,
        change_fr=filled(change, known) if change else pl.lit(None, pl.String),
        evidence=pl.struct(parts).struct.json_encode(),
    )


PLACE = re.compile(r"\{(\w+)\}")


def filled(template: str, fields: Mapping[str, pl.Expr]) -> pl.Expr:
    """A sentence with its ``{…}`` filled from these columns. KeyError for a name that there is none of."""
    parts = [
        fields[text].cast(pl.String).fill_null("non donné") if place % 2 else pl.lit(text)
        for place, text in enumerate(PLACE.split(template))
    ]
    return pl.concat_str(parts)


def french(day: pl.Expr) -> pl.Expr:
    """A day as 03/08/2025."""
    return day.dt.strftime("%d/%m/%Y")


def french_instant(instant: pl.Expr) -> pl.Expr:
    """An instant as 31/01/2026 à 23:59 (heure de Paris)."""
    return instant.dt.convert_time_zone("Europe/Paris").dt.strftime("%d/%m/%Y à %H:%M:%S (heure de Paris)")


def hundredths(number: pl.Expr) -> pl.Expr:
    """A whole number of hundredths as 17,50."""
    sign = pl.when(number < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, number.abs() // 100, pl.lit(","), (number.abs() % 100).cast(pl.String).str.zfill(2))
