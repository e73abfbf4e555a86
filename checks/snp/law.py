"""The law of a reconciliation: windows, tariffs and conflicts from the catalogue, policies chosen, values attested by a caisse.

A figure neither official nor attested is used all the same and never firm. Knows nothing of where decisions are kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl

from contracts_schema.parameters import Attestation, snp
from contracts_schema.yaml_files import read_yaml

Policy = str | int | bool | date | None


class UnknownPolicy(ValueError):
    """A policy that does not exist, or a value that it does not take."""


@dataclass(frozen=True)
class Window:
    """Days ``[valid_from, valid_to)`` on which versions are open to kinds of structure."""

    item: str
    kinds: tuple[str, ...]
    versions: tuple[str, ...]
    valid_from: date
    valid_to: date | None
    status: str


@dataclass(frozen=True)
class Tariff:
    """Cents of an act of a version on ``[valid_from, valid_to)``."""

    item: str
    version: str
    act: str
    cents: int
    valid_from: date
    valid_to: date | None
    status: str


@dataclass(frozen=True)
class Version:
    """A version of a protocol: who may be delegate, which patients it takes."""

    code: str
    family: str
    valid_from: date
    delegates: tuple[str, ...]
    sex: str | None
    min_months: int
    max_years: int
    max_years_before: int | None
    ages_read: bool
    carried_over: bool


@dataclass(frozen=True)
class Law:
    """What a reconciliation judges by; hashable."""

    windows: tuple[Window, ...]
    gaps: tuple[Window, ...]
    tariffs: tuple[Tariff, ...]
    versions: tuple[Version, ...]
    intervals: tuple[tuple[str, date, date], ...]
    second_visit: tuple[tuple[int, int], ...]
    """LOMBALGIE, days after the first consultation: payable, then those to ask about."""
    policies: tuple[tuple[str, Policy], ...]
    rules_version: str = ""
    catalogue_version: str = ""
    outcomes: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)
    """Policy, then its value: the outcome it leads to."""

    def policy(self, name: str) -> Policy:
        """The value chosen for a policy, else its default."""
        return dict(self.policies)[name]

    def number(self, name: str) -> int | None:
        """A policy that is a figure; None when it is switched off."""
        found = self.policy(name)
        if found is not None and not isinstance(found, int):
            raise UnknownPolicy(f"{name} is no figure")
        return found

    def outcome(self, policy: str) -> str:
        """The outcome that the chosen value of a policy leads to."""
        return self.outcomes[policy][str(self.policy(policy))]

    def interval(self, name: str) -> tuple[date, date]:
        """The days ``[from, to)`` that a conflict is about."""
        return next((start, end) for found, start, end in self.intervals if found == name)

    def gap(self, name: str) -> Window:
        """A span of days for which no text opens a window, by its name."""
        return next(gap for gap in self.gaps if gap.item == f"snp.window.{name}")


def default_law(
    policies: Mapping[str, Policy] | None = None,
    attested: Sequence[Attestation] = (),
) -> Law:
    """The law of ``contracts_schema`` with these policies instead of the default ones, as who attested this sees it.

    Raises UnknownPolicy for a name or a value that the catalogue does not know.
    """
    protocols, terms = _yaml("protocols.yaml"), _yaml("reconciliation.yaml")
    outcomes = {name: entry["values"] for name, entry in terms["policies"].items() if "values" in entry}
    chosen = _chosen(terms["policies"], policies or {})
    bounds = {
        (item, bound): day_of(chosen[next(iter(conflict["default"]))])
        for conflict in protocols["conflicts"].values()
        for item, bound in conflict.get("bounds", {}).items()
    }
    published = _windows(snp.windows())
    return Law(
        windows=_windows(snp.windows(attested, bounds)),
        gaps=_windows(snp.gaps(moved=bounds)),
        tariffs=tuple(_tariffs(snp.tariffs(attested))),
        versions=tuple(_version(entry, published) for entry in protocols["versions"]),
        intervals=tuple((name, *entry["interval"]) for name, entry in protocols["conflicts"].items() if "interval" in entry),
        second_visit=_second_visit(protocols["conflicts"]["LOMBALGIE_C2_INTERVAL"]["default"]),
        policies=tuple(chosen.items()),
        rules_version=terms["rules_version"],
        catalogue_version=protocols["catalogue_version"],
        outcomes=outcomes,
    )


def _chosen(known: Mapping[str, Any], policies: Mapping[str, Policy]) -> dict[str, Policy]:
    if unknown := sorted(set(policies) - set(known)):
        raise UnknownPolicy(f"no such policy: {', '.join(unknown)}")
    for name, value in policies.items():
        if "values" in known[name] and value not in known[name]["values"]:
            raise UnknownPolicy(f"{name} takes one of {', '.join(known[name]['values'])}")
    return {name: entry["default"] for name, entry in known.items()} | dict(policies)


def _windows(table: pl.DataFrame) -> tuple[Window, ...]:
    """Rows of one kind and version each, gathered where they say the same."""
    same = ["id", "valid_from", "valid_to", "status"]
    by_kind = table.group_by("structure_kind", *same, maintain_order=True).agg("version")
    gathered = by_kind.group_by(*same, "version", maintain_order=True).agg("structure_kind")
    return tuple(
        Window(
            item=f"snp.window.{row['id']}",
            kinds=tuple(row["structure_kind"]),
            versions=tuple(row["version"]),
            valid_from=row["valid_from"],
            valid_to=row["valid_to"],
            status=row["status"],
        )
        for row in gathered.iter_rows(named=True)
    )


def _tariffs(table: pl.DataFrame) -> Iterator[Tariff]:
    for row in table.drop("reference", "position").iter_rows(named=True):
        yield Tariff(item=f"snp.tariff.{row['version']}.{row['act']}", **row)


def _version(entry: Mapping[str, Any], windows: tuple[Window, ...]) -> Version:
    patient = entry["patient"]
    return Version(
        code=entry["code"],
        family=entry["family"],
        valid_from=min(row.valid_from for row in windows if entry["code"] in row.versions and "MSP" in row.kinds),
        delegates=tuple(entry["delegates"]),
        sex=None if patient["sex"] == "any" else patient["sex"],
        min_months=patient.get("min_months", 12 * patient.get("min_years", 0)),
        max_years=patient["max_years"],
        max_years_before=patient.get("max_years_before"),
        ages_read=patient["status"] != "recalled",
        carried_over="carry_over" in entry,
    )


def _second_visit(default: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    spans: list[list[int]] = [default["pay_days"], *default["ask_days"]]
    return tuple((first, last) for first, last in spans)


def day_of(value: Any) -> date:
    """A policy or a bound that is a day; UnknownPolicy for anything else."""
    if not isinstance(value, date):
        raise UnknownPolicy("a policy that moves a bound is a day")
    return value


@cache
def _yaml(name: str) -> Any:
    return read_yaml(files("contracts_schema").joinpath("snp", name))
