"""May a whole delivery stand for its scope: accepted, held until someone decides, or refused.

Works on counts only; never sees a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

from contracts_schema.rules import catalogue
from contracts_schema.yaml_files import read_yaml

MAIN = "rsa"
"""The family that holds the stays: without it there is nothing to stand for a scope."""

Outcome = Literal["accepted", "held", "rejected"]


@dataclass(frozen=True)
class Tally:
    """What the row gate counted in one delivery. Lines in = accepted + quarantined + ignored (blank)."""

    lines: int = 0
    ignored: int = 0
    accepted: int = 0
    padded: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    """Accepted lines per format number."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Lines per blocking rule."""
    warnings: dict[str, dict[str, int]] = field(default_factory=dict)
    """Lines per warning rule and field."""
    warned: dict[str, int] = field(default_factory=dict)
    """Lines per warning rule, each once, whatever the number of its fields."""
    resembles: str | None = None
    """Record kind that unreadable lines look like, when it is another one than expected."""

    @property
    def rows(self) -> int:
        return self.lines - self.ignored


@dataclass(frozen=True)
class Standing:
    """The delivery that now stands for the scope: its rows per family, and whether the new one would take its place."""

    rows: Mapping[str, int]
    displaced: bool


@dataclass(frozen=True)
class Judgement:
    outcome: Outcome
    rules: tuple[str, ...]
    """Delivery rules that refuse or hold."""
    alerts: tuple[str, ...]
    """Delivery rules that only warn."""


@cache
def limits() -> dict[str, int]:
    """Thresholds in percent of lines, from ``contracts_schema/pmsi/transmission.yaml``."""
    declared = read_yaml(files("contracts_schema").joinpath("pmsi", "transmission.yaml"))
    return {name: value for name, value in declared.items() if name.endswith("_percent")}


def judge(tallies: Mapping[str, Tally], standing: Standing | None) -> Judgement:
    """Apply every delivery rule to the families of a delivery; the gravest outcome wins, each rule broken is named once."""
    breaches = [_breaches_of_file(tally) for tally in tallies.values()] + [_breaches_of_whole(tallies, standing)]
    broken = [rule for rule in catalogue() if any(found.get(rule) for found in breaches)]
    rules = catalogue()
    outcomes: dict[str, Outcome] = {"refuse": "rejected", "hold": "held", "warn": "accepted"}
    found = {outcomes[rules[rule].outcome] for rule in broken}
    outcome: Outcome = "rejected" if "rejected" in found else "held" if "held" in found else "accepted"
    grave = tuple(rule for rule in broken if rules[rule].outcome != "warn")
    return Judgement(outcome, grave, tuple(rule for rule in broken if rules[rule].outcome == "warn"))


def _breaches_of_file(tally: Tally) -> dict[str, bool]:
    """The rules about one file alone."""
    limit = limits()
    unknown = tally.quarantined.get("pmsi.unknown_format", 0)
    foreign = tally.quarantined.get("pmsi.finess_mismatch", 0)
    late, other_year = (
        max(tally.warnings.get(f"pmsi.{rule}", {}).values(), default=0) for rule in ("after_period", "out_of_period")
    )
    return {
        "pmsi.wrong_family": tally.resembles is not None,
        "pmsi.new_format": tally.resembles is None and _exceeds(unknown, tally.rows, limit["new_format_percent"]),
        "pmsi.finess_file": tally.rows > 0 and foreign == tally.rows,
        "pmsi.quarantine_rate": _exceeds(sum(tally.quarantined.values()), tally.rows, limit["quarantine_percent"]),
        "pmsi.period_file": _exceeds(late, tally.rows, limit["after_period_percent"]),
        "pmsi.year_file": _exceeds(other_year, tally.rows, limit["other_year_percent"]),
    }


def _breaches_of_whole(tallies: Mapping[str, Tally], standing: Standing | None) -> dict[str, bool]:
    """The rules about a delivery set against what stands for its scope; rows are those of the stays."""
    limit = limits()
    rows = tallies[MAIN].accepted if MAIN in tallies else 0
    displaced = standing.rows if standing and standing.displaced else {}
    before = displaced.get(MAIN, 0)
    lost = before - rows if MAIN in tallies else 0
    emptied = [
        name for name, count in displaced.items() if name != MAIN and count and name in tallies and not tallies[name].rows
    ]
    shrunken = _exceeds(lost, before, limit["shrink_hold_percent"])
    return {
        "pmsi.main_missing": MAIN not in tallies,
        "pmsi.empty": MAIN in tallies and not tallies[MAIN].rows,
        "pmsi.shrunken": shrunken,
        "pmsi.shrink": not shrunken and _exceeds(lost, before, limit["shrink_warn_percent"]),
        "pmsi.late_month": standing is not None and not standing.displaced,
        "pmsi.family_missing": not set(displaced) <= set(tallies),
        "pmsi.family_empty": bool(emptied),
    }


def _exceeds(part: int, whole: int, percent: int) -> bool:
    return whole > 0 and part * 100 > whole * percent
