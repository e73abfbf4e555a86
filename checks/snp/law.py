"""The law of a reconciliation: windows, tariffs and conflicts from the catalogue, policies chosen, values attested by a caisse.

A figure neither official nor attested is used all the same and never firm. Knows nothing of where decisions are kept.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl
import yaml

from contracts_schema import parameters
from contracts_schema.parameters import snp
from contracts_schema.rules import catalogue

FIRM = frozenset({"official", "attested"})
KINDS = ("MSP", "CDS", "CPTS", "")
ACTS = ("INCLUSION", "CONSULT_1", "CONSULT_2", "")
"""Kinds of structure and of act that the calendar knows; the empty one stands for any other."""

Policy = str | int | bool | date | None


class UnknownPolicy(ValueError):
    """A policy that does not exist, or a value that it does not take."""


class UnknownItem(ValueError):
    """An attestation of something that is neither a window nor a tariff of the catalogue."""


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
class Attestation:
    """A caisse confirms a window or a tariff (``item``: ``snp.window.W4``, ``snp.tariff.RHINO.INCLUSION``) on
    ``[valid_from, valid_to)``; for a tariff, ``cents`` is the amount it confirms, the catalogue's when None. On these days
    it takes the place of the catalogue for that caisse."""

    caisse: str
    item: str
    valid_from: date
    valid_to: date | None = None
    cents: int | None = None
    reference: str = ""


@dataclass(frozen=True)
class Law:
    """What a reconciliation judges by; hashable, with a digest to be kept with each decision."""

    windows: tuple[Window, ...]
    gaps: tuple[Window, ...]
    tariffs: tuple[Tariff, ...]
    versions: tuple[Version, ...]
    intervals: tuple[tuple[str, date, date], ...]
    second_visit: tuple[tuple[int, int], ...]
    """LOMBALGIE, days after the first consultation: payable, then those to ask about."""
    policies: tuple[tuple[str, Policy], ...]
    attestations: tuple[Attestation, ...] = ()
    rules_version: str = ""
    catalogue_version: str = ""
    outcomes: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)
    """Policy, then its value: the outcome it leads to."""

    def policy(self, name: str) -> Policy:
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
        return next(gap for gap in self.gaps if gap.item == f"snp.window.{name}")

    def digest(self) -> str:
        """SHA-256 over everything that a judgement depends on: the catalogue of rules, the law, policies, attestations."""
        rules = [rule.__dict__ for rule in catalogue().values() if rule.id.startswith("snp.")]
        told = [self.windows, self.gaps, self.tariffs, self.versions, self.intervals, self.second_visit, self.policies]
        text = json.dumps([rules, *told, sorted(self.attestations, key=repr)], default=repr, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def default_law(
    policies: Mapping[str, Policy] | None = None,
    attestations: tuple[Attestation, ...] = (),
    attested: Sequence[parameters.Attestation] = (),
) -> Law:
    """The law of ``contracts_schema``, with these policies instead of the default ones and these attestations.

    ``attested``: what the one caisse that the law is for attests of parameters; its values hold for every caisse asked about.
    Raises UnknownPolicy or UnknownItem for a name or a value that the catalogue does not know.
    """
    protocols, terms = _yaml("protocols.yaml"), _yaml("reconciliation.yaml")
    outcomes = {name: entry["values"] for name, entry in terms["policies"].items() if "values" in entry}
    chosen = _chosen(terms["policies"], policies or {})
    bounds = {
        (item, bound): _day(chosen[next(iter(conflict["default"]))])
        for conflict in protocols["conflicts"].values()
        for item, bound in conflict.get("bounds", {}).items()
    }
    law = Law(
        windows=_windows(snp.windows(attested, bounds)),
        gaps=_windows(snp.gaps(moved=bounds)),
        tariffs=tuple(_tariffs(snp.tariffs(attested))),
        versions=tuple(_version(entry, _windows(snp.windows())) for entry in protocols["versions"]),
        intervals=tuple((name, *entry["interval"]) for name, entry in protocols["conflicts"].items() if "interval" in entry),
        second_visit=_second_visit(protocols["conflicts"]["LOMBALGIE_C2_INTERVAL"]["default"]),
        policies=tuple(chosen.items()),
        attestations=attestations,
        rules_version=terms["rules_version"],
        catalogue_version=protocols["catalogue_version"],
        outcomes=outcomes,
    )
    known = {window.item for window in law.windows} | {tariff.item for tariff in law.tariffs}
    if unknown := sorted({found.item for found in attestations} - known):
        raise UnknownItem(f"neither a window nor a tariff of the catalogue: {', '.join(unknown)}")
    return law


def attested_as_published(caisse: str) -> tuple[Attestation, ...]:
    """Every window and tariff of the catalogue, attested by that caisse with the dates and cents of the catalogue."""
    law = default_law()
    windows = [Attestation(caisse, w.item, w.valid_from, w.valid_to) for w in law.windows]
    return (*windows, *(Attestation(caisse, t.item, t.valid_from, t.valid_to, t.cents) for t in law.tariffs))


@cache
def calendar(law: Law, caisse: str) -> pl.DataFrame:
    """The law as seen by a caisse (empty: one that attested nothing), one row a kind, family, act and span of days.

    Columns: kind, family, act, since (sorted), then what holds from that day until the next row: version, version_from,
    window, window_firm, gap, tariff_cents, tariff_firm, interim, w2_end, delegates, sex, min_months, max_years, ask_years,
    ages_read, carried_over. A window is null when none covers the day; so is a tariff.
    """
    rows: list[dict[str, Any]] = []
    for family in sorted({version.family for version in law.versions}):
        versions = sorted((v for v in law.versions if v.family == family), key=lambda v: v.valid_from)
        for since in _boundaries(law, caisse):
            version = next((v for v in reversed(versions) if v.valid_from <= since), versions[0])
            same = {"family": family, "since": since} | _about(version, law, since)
            tariffs = {act: _tariff_on(law, caisse, version.code, act, since) for act in ACTS}
            for kind in KINDS:
                told = same | {"kind": kind} | _open(law, caisse, kind, version, since)
                rows += [
                    told | {"act": act, "tariff_cents": cents, "tariff_firm": firm} for act, (cents, firm) in tariffs.items()
                ]
    return pl.DataFrame(rows, schema=CALENDAR).sort("since")


CALENDAR = pl.Schema(
    {
        "kind": pl.String(),
        "family": pl.String(),
        "act": pl.String(),
        "since": pl.Date(),
        "version": pl.String(),
        "version_from": pl.Date(),
        "window": pl.String(),
        "window_firm": pl.Boolean(),
        "gap": pl.String(),
        "tariff_cents": pl.Int64(),
        "tariff_firm": pl.Boolean(),
        "interim": pl.String(),
        "w2_end": pl.Boolean(),
        "delegates": pl.List(pl.String),
        "sex": pl.String(),
        "min_months": pl.Int32(),
        "max_years": pl.Int32(),
        "ask_years": pl.Int32(),
        "ages_read": pl.Boolean(),
        "carried_over": pl.Boolean(),
    }
)


def _about(version: Version, law: Law, on: date) -> dict[str, Any]:
    """What holds of a version on a day whatever the structure: patients, delegates, uncertain basis."""
    older = version.max_years_before is not None and on < _day(law.policy("odyno_age_50_from"))
    start, end = law.interval("TARIFF_2023")
    early, late = law.interval("EARLY_2020")
    interim = "TARIFF_2023" if version.carried_over and start <= on < end else "EARLY_2020" if early <= on < late else None
    return {
        "version": version.code,
        "version_from": version.valid_from,
        "delegates": list(version.delegates),
        "sex": version.sex,
        "min_months": version.min_months,
        "max_years": version.max_years_before if older else version.max_years,
        "ask_years": version.max_years if older else None,
        "ages_read": version.ages_read,
        "carried_over": version.carried_over,
        "interim": interim,
    }


def _open(law: Law, caisse: str, kind: str, version: Version, on: date) -> dict[str, Any]:
    """The window and the gap of a version for a kind of structure on a day, and whether April 2023 is in doubt."""
    found = [
        w for w in _of_caisse(law, caisse, law.windows) if kind in w.kinds and version.code in w.versions and _holds(w, on)
    ]
    gaps = [g.item.rpartition(".")[2] for g in law.gaps if kind in g.kinds and version.code in g.versions and _holds(g, on)]
    start, end = law.interval("W2_END")
    doubtful = kind == "CPTS" and version.code in law.gap("GAP2").versions and start <= on < end
    return {
        "window": found[0].item if found else None,
        "window_firm": found[0].status in FIRM if found else None,
        "gap": gaps[0] if gaps and not found else None,
        "w2_end": doubtful,
    }


def _tariff_on(law: Law, caisse: str, version: str, act: str, on: date) -> tuple[int | None, bool | None]:
    rows = [t for t in _of_caisse(law, caisse, law.tariffs) if (t.version, t.act) == (version, act) and _holds(t, on)]
    return (rows[0].cents, rows[0].status in FIRM) if rows else (None, None)


def _of_caisse(law: Law, caisse: str, rows: tuple[Any, ...]) -> Iterator[Any]:
    """The rows that the caisse attested, before those of the catalogue, which hold on the other days."""
    for found in law.attestations:
        if found.caisse == caisse:
            for row in rows:
                if row.item == found.item and _overlap(row, found):
                    yield _attested(row, found)
    yield from rows


def _attested(row: Any, found: Attestation) -> Any:
    told = row.__dict__ | {"valid_from": found.valid_from, "valid_to": found.valid_to, "status": "attested"}
    if isinstance(row, Tariff) and found.cents is not None:
        told["cents"] = found.cents
    return type(row)(**told)


def _overlap(row: Any, found: Attestation) -> bool:
    return (row.valid_to is None or found.valid_from < row.valid_to) and (
        found.valid_to is None or row.valid_from < found.valid_to
    )


def _holds(row: Any, on: date) -> bool:
    return bool(row.valid_from <= on and (row.valid_to is None or on < row.valid_to))


def _boundaries(law: Law, caisse: str) -> list[date]:
    """Every day on which something of the law changes, and the beginning of time."""
    own = [found for found in law.attestations if found.caisse == caisse]
    rows: list[Window | Tariff | Attestation] = [*law.windows, *law.gaps, *law.tariffs, *own]
    days = {day for row in rows for day in (row.valid_from, row.valid_to) if day}
    days |= {day for _, start, end in law.intervals for day in (start, end)}
    days |= {version.valid_from for version in law.versions} | {_day(law.policy("odyno_age_50_from"))}
    return [date.min, *sorted(days)]


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


def _day(value: Any) -> date:
    if not isinstance(value, date):
        raise UnknownPolicy("a policy that moves a bound is a day")
    return value


@cache
def _yaml(name: str) -> Any:
    return yaml.safe_load(files("contracts_schema").joinpath("snp", name).read_text(encoding="utf-8"))
