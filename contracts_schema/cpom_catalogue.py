"""Facts of the CPOM 2025-2029 campaign, read from ``contracts_schema/cpom``: indicators, policies, lines, recognitions, dates.

Must never decide anything: it says what the guide prints and the status of each reading. Codes are those that the export prints
(``1_1`` for HPR); ids are ours (``HPR_1_1``).
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from contracts_schema.yaml_files import read_yaml

CAMPAIGN = "CPOM-2025-2029"
NUMERIC = ("integer", "percent", "file_active")
BASELINE_YEAR = 2024

Choice = bool | int | str | date | None


class WrongChoice(ValueError):
    """There is no such policy of the CPOM, or it cannot be set to that (French)."""


@dataclass(frozen=True)
class Indicator:
    """One of the 44 indicators; ``annex`` STRAT or HPR, ``family`` CT, OS or HPR, ``direction`` up, down, none or unknown."""

    id: str
    code: str
    annex: str
    family: str
    objective_code: str
    objective_label: str
    label: str
    prs_engagement: int | None
    value_type: str
    basis: str
    unit: str | None
    direction: str
    eligibility: str
    starred: bool
    comment_required: bool
    target_years: tuple[int, ...]
    verdict: str
    definitions: tuple[str, ...]
    status: str


@cache
def indicators() -> dict[tuple[str, str], Indicator]:
    """Every indicator by (annex, printed code)."""
    found = {}
    for entry in _yaml("indicators")["indicators"]:
        annex = "HPR" if entry["family"] == "HPR" else "STRAT"
        found[annex, entry["code"]] = Indicator(
            id=entry["id"],
            code=entry["code"],
            annex=annex,
            family=entry["family"],
            objective_code=entry["objective_code"],
            objective_label=entry["objective_label"],
            label=entry["label"],
            prs_engagement=entry["prs_engagement"],
            value_type=entry["value_type"],
            basis=entry["value_type_basis"],
            unit=entry["unit"],
            direction=entry["direction"],
            eligibility=entry["eligibility"]["condition"],
            starred=bool(entry["starred"]),
            comment_required=entry["comment_required"],
            target_years=tuple(entry["target_years"]),
            verdict=entry["pmsi"]["verdict"],
            definitions=tuple(entry["pmsi"]["definitions"]),
            status=entry["status"],
        )
    return found


@cache
def starred_objectives() -> tuple[str, ...]:
    """HPR objectives marked « * »."""
    return tuple(_yaml("indicators")["meta"]["starred_hpr_objectives"])


@cache
def tables() -> Mapping[str, Any]:
    """The reference and follow-up tables by name: ``frame`` and ``columns``."""
    found: Mapping[str, Any] = _yaml("tables")["tables"]
    return found


def table_of_rule(rule: str) -> str | None:
    """The follow-up table that a rule (``cpom.R45``) speaks of: of several, the last that names it."""
    family, _, number = rule.partition(".R")
    named = [name for name, told in tables().items() if family == "cpom" and f"R{int(number)}" in told["rules"]]
    return named[-1] if named else None


@cache
def canonical_columns() -> tuple[str, ...]:
    """Header of the canonical long form, in order."""
    return tuple(_yaml("tables")["canonical"])


@cache
def recognitions() -> tuple[Mapping[str, Any], ...]:
    """The 39 rows of the annex of recognitions."""
    return tuple(_yaml("recognitions")["recognitions"])


@cache
def financial_lines() -> frozenset[tuple[str, str]]:
    """(envelope, code) of the lines of the template that was read."""
    return frozenset((line["envelope"], line["code"]) for line in _yaml("financial_lines")["base_reconductible"]["lines"])


@cache
def deadlines() -> dict[str, Mapping[str, Any]]:
    """The calendar of the campaign by id (D01…)."""
    return {entry["id"]: entry for entry in _yaml("deadlines")["deadlines"]}


@cache
def default_policies() -> dict[str, Choice]:
    """Every policy with its default."""
    return {name: entry["default"] for name, entry in policies().items()}


@cache
def policies() -> dict[str, Mapping[str, Any]]:
    """The policies as their file says them."""
    found: dict[str, Mapping[str, Any]] = _yaml("policies")["policies"]
    return found


def chosen_policies(decided: Mapping[str, Choice] | None = None) -> dict[str, Choice]:
    """What every policy is set to: what was decided, else its default. WrongChoice."""
    for name, value in (decided or {}).items():
        if name not in policies():
            raise WrongChoice(f"politique inconnue : {name} ; il y a {', '.join(policies())}")
        if not _takes(policies()[name], value):
            raise WrongChoice(f"{name} ne prend pas cette valeur : {policies()[name]['label_fr']}")
    return default_policies() | dict(decided or {})


def _takes(policy: Mapping[str, Any], value: Choice) -> bool:
    if policy["kind"] == "yes_no":
        return isinstance(value, bool)
    if policy["kind"] == "day":
        return value is None or type(value) is date
    if policy["kind"] == "choice":
        return value in policy["values"]
    return type(value) is int and value >= 0


def plain_label(text: str) -> str:
    """A label as labels are compared: spaces, dashes and apostrophes made one, without « * » and final dot; accents stay."""
    one = unicodedata.normalize("NFC", text).replace("*", "")
    one = re.sub("[‐-―−]", "-", re.sub("[‘’ʼ´`]", "'", one))
    return re.sub(r"[\s\u00a0\u202f]+", " ", one).strip().rstrip(". ")


@cache
def _yaml(name: str) -> Any:
    return read_yaml(files("contracts_schema").joinpath("cpom", f"{name}.yaml"))
