"""Which region an establishment belongs to, by the first characters of its FINESS number; the form of a caisse's code."""

import csv
import re
from functools import cache
from importlib.resources import files

CAISSE = re.compile(r"[0-9]{3}|2[AB][0-9]")
"""Three characters. No official list of the caisses' codes is at hand: a code is checked by its form, not against one."""


@cache
def _prefixes() -> dict[str, tuple[str, str]]:
    lines = files("contracts_schema").joinpath("geography.csv").read_text(encoding="utf-8").splitlines()
    return {row["prefix"]: (row["region"], row["region_label_fr"]) for row in csv.DictReader(lines)}


def region_of(finess: str) -> str | None:
    """Region code (INSEE, text) of a FINESS number; None when its prefix is unknown.

    Positions 1-2 name the département; overseas, 97 and the 4th character do.
    """
    prefix = f"97.{finess[3:4]}" if finess.startswith("97") else finess[:2]
    found = _prefixes().get(prefix)
    return found[0] if found else None


def region_label(region: str) -> str:
    """French name of a region; its code when unknown."""
    return next((label for code, label in _prefixes().values() if code == region), region)


def regions() -> list[str]:
    """Every known region code, in order; the fictional one of tests included."""
    return sorted({code for code, _ in _prefixes().values()})
