"""Sections of e-CDS extractions, FIR commitments and forms on CPTS as they arrive: one file is one delivery, by its headings.

An e-CDS section must say by its name of which year and which day it is; every extraction is kept, one does not displace that of
another day. Reads no more than the headings, and no row is judged here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connectors.one_file import OneFile
from connectors.transmissions import Member, Refused

ECDS, FIR, CPTS = "ecds", "fir", "cpts"
COMMON = "commun"
"""Who an extraction comes from when nobody says which caisse made it."""
HEAD_BYTES = 64 << 10
NAMED = re.compile(r"(?i)^ECDS_.*\.(?:csv|xlsx)$")
TEXTS = frozenset({".csv", ".txt"})
LIKE = 0.8
"""Share of its required headings that make a text a section: what lacks is then told by its reader."""


@dataclass(frozen=True)
class CampaignFile(OneFile):
    """One file. ``section``: of e-CDS, or of ``contracts_schema/cpts/sections.yaml``; ``place``: the scope it is of."""

    path: Path
    source: str
    section: str
    place: str
    told: Mapping[str, Any]
    """What its reception records besides: year, day of extraction, who it comes from."""

    @property
    def members(self) -> tuple[Member, ...]:
        return (Member(f"{self.source}_{self.section}", self.path.name, self.path),)

    @property
    def lane(self) -> str:
        return f"{self.source}/{self.section}"

    def content(self, path: Path) -> None:
        """Its exact bytes are kept."""

    def correction(self, known: Mapping[str, Any]) -> None:
        """Nothing that is told beside its files can be wrong."""

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What makes it another delivery, its bytes aside."""
        return {"scope": self.place}

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        """What its reception records of it, its files aside."""
        return {"source": self.source, "scope": self.place, "dataset": self.section, "layout": "1", **self.told}


def open_file(path: Path, caisse: str | None = None) -> CampaignFile | None:
    """The delivery that a file is; None when it is of none of these. ``caisse``: who sends it. Refused when its name lacks."""
    if NAMED.match(path.name):
        return _section(path, caisse)
    if path.suffix.lower() not in TEXTS:
        return None
    headings = _headings(path)
    found = _recognised(headings) if headings else None
    if found is None:
        return None
    source, section = found
    if source == ECDS:
        return _section(path, caisse)
    return CampaignFile(path, source, section, f"{source}/{_of_ars(path) if source == FIR else section}/{_named(path)}", {})


def _named(path: Path) -> str:
    """A form is filled again, and commitments exported again, under the same name."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "sans-nom"


def _of_ars(path: Path) -> str:
    """The ARS and campaigns of an export of commitments. Refused."""
    from connectors.cpts import read_fir
    from connectors.ecds_table import EcdsRefused

    try:
        rows = read_fir(path.read_bytes(), path.name).rows
    except EcdsRefused as refusal:
        raise Refused(refusal.rule, f"{refusal} [{refusal.rule}]") from None
    told = [rows[name].unique().sort().cast(str).to_list() for name in ("region", "campaign")]
    return "/".join("+".join(values) or "inconnu" for values in told)


def _section(path: Path, caisse: str | None) -> CampaignFile:
    from connectors.ecds import file_name
    from connectors.ecds_table import EcdsRefused

    try:
        section, year, day = file_name(path.name)
    except EcdsRefused as refusal:
        raise Refused(refusal.rule, f"{refusal} [{refusal.rule}]") from None
    sender = f"cpam-{caisse}" if caisse else COMMON
    told = {"year": year, "stamp": f"{day:%Y%m%d}000000", "sender": sender}
    return CampaignFile(path, ECDS, section, f"{ECDS}/{sender}/{year}/{day}/{section}", told)


def _headings(path: Path) -> frozenset[str]:
    """The headings of a text as the contracts write them; none when its first line is no header."""
    from connectors.ecds_table import SIGNS

    with path.open("rb") as file:
        text = file.read(HEAD_BYTES).decode("utf-8", errors="replace").lstrip("\ufeff")
    first = next((line for line in text.splitlines()[:20] if line.strip()), "")
    sign = max(SIGNS, key=first.count)
    return frozenset(re.sub(r"[\s_]+", "_", one.strip(' "').lower()) for one in first.split(sign))


def _recognised(headings: frozenset[str]) -> tuple[str, str] | None:
    """The section whose required headings these are."""
    from contracts_schema import cpts_facts, ecds

    known = [(ECDS, one, ecds.aliases()) for one in ecds.sections().values()]
    known += [(FIR if name == FIR else CPTS, one, cpts_facts.aliases()) for name, one in cpts_facts.sections().items()]
    best: tuple[float, str, str] | None = None
    for source, section, aliases in known:
        read = {aliases.get(one, one) for one in headings}
        wanted = {column.heading for column in section.columns if column.required}
        share = len(wanted & read) / len(wanted)
        if share >= LIKE and (best is None or share > best[0]):
            best = (share, source, section.name)
    return best and best[1:]
