"""The facts on the centres de santé as the code reads them: sections of the e-CDS export, indicators, prerequisites.

Codes of indicators are those of this project: e-CDS's own are not known, and a dated table maps them (``Mapping``).
"""

from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from contracts_schema.yaml_files import read_yaml

PREREQUISITES = ("CDS15-A1-HOR", "CDS15-A1-CRISE", "CDS15-A2-COORD", "CDS15-A3-SI")
"""The four of the letter of 12/01/2026 (official). That one missing makes nothing payable is secondary (cds.CDS22)."""

SECTIONS = ("identification", "professionnels", "horaires", "rfs", "rosp")
JOURNALS = ("rfs", "rosp")
"""Sections of which each line is an entry: the same indicator may stand several times, with its instants."""


@dataclass(frozen=True)
class Column:
    """A column of a section: its heading, the name of the canonical column, what it holds, whether the header must have it."""

    heading: str
    name: str
    kind: str
    required: bool = False
    places: int = 0
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section of the export; ``key``: canonical columns that name one line."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Indicator:
    """An indicator of the accord (``scheme`` rfs) or of the ROSP; ``valid_from``, ``valid_to`` on the reference date.

    ``centre_types``: to whom it is open when an official text says so, else empty. ``population``: adult or child (ROSP).
    """

    code: str
    scheme: str
    label_fr: str
    kind: str
    entry: str
    valid_from: date
    valid_to: date | None
    centre_types: tuple[str, ...] = ()
    regime: str = "points_2015"
    population: str = ""
    better: str = "up"

    def holds(self, on: date) -> bool:
        """Whether it is one of the rules of this day; ``valid_to`` is excluded."""
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


@cache
def sections() -> dict[str, Section]:
    """The five sections by name, in the order of the contract."""
    return read_sections(_yaml("sections.yaml"))


def read_sections(written: dict[str, Any]) -> dict[str, Section]:
    """The sections that a file of contracts writes, by name."""
    return {
        name: Section(
            name,
            tuple(entry["key"]),
            tuple(
                Column(heading, **(column | {"values": tuple(column.get("values", ()))}))
                for heading, column in entry["columns"].items()
            ),
        )
        for name, entry in written["sections"].items()
    }


@cache
def aliases() -> dict[str, str]:
    """Other headings under which a key column was seen, to its own."""
    found: dict[str, str] = _yaml("sections.yaml")["aliases"]
    return found


@cache
def titles() -> dict[str, str]:
    """The title of each source by its name."""
    return {name: source["title"] for name, source in _yaml("sources.yaml")["sources"].items()}


@cache
def indicators() -> dict[str, Indicator]:
    """Every indicator that is known, by code: of the accord, then of the ROSP (which ends with reference year 2025)."""
    found = {
        entry["code"]: Indicator(
            entry["code"],
            "rfs",
            entry["label"],
            entry["kind"],
            entry["entry"],
            date.fromisoformat(entry["valid_from"]),
            date.fromisoformat(entry["valid_to"]) if entry["valid_to"] else None,
            tuple(entry["centre_types"] or ()) if entry["centre_types_status"] == "official" else (),
            entry["regime"],
        )
        for entry in _yaml("indicators.yaml")["indicators"]
    }
    for entry in _yaml("rosp.yaml")["indicators"]:
        found[entry["code"]] = Indicator(
            entry["code"], "rosp", entry["label"], "rosp", entry["entry"], date.min, date(2026, 1, 1),
            population=entry["population"], better=entry["better"],
        )  # fmt: skip
    return found


def _yaml(name: str) -> Any:
    return read_yaml(files("contracts_schema").joinpath("cds", name))
