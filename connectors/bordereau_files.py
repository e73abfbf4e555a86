"""Bordereaux as they arrive at the door: one file is one delivery, and one scope named by its bytes.

Names nothing by the name of a file, and reads no row: what a file holds is judged later, from the bytes kept.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connectors.one_file import OneFile
from connectors.sheet_archive import FL1, MAX_BYTES
from connectors.transmissions import Member, Refused
from contracts_schema.geography import CAISSE

FAMILY = "bordereau"
ENDINGS = frozenset({".xlsx", ".ods", ".csv"})
"""Endings of files that are looked at in a folder; what a file is, its content tells."""
NAMED_ENDINGS = ENDINGS | {".xls", ".xlsm"}
"""Endings of a file given by its name that is taken for a bordereau, be it to say why it cannot be read."""
_FOLDER = re.compile(rf"cpam-({CAISSE.pattern})", re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?<![0-9A-Za-z])({CAISSE.pattern})(?![0-9A-Za-z])")

_HOW = "--caisse 311, un dossier cpam-311 au-dessus du fichier, ou une seule CPAM inscrite dans les réglages"


@dataclass(frozen=True)
class BordereauFile(OneFile):
    """One file that holds a bordereau, or should. ``caisse`` is the caisse that received it and ``caisse_from`` who says so:
    ``option``, ``folder`` or ``settings``; None when only the file itself can tell.
    """

    path: Path
    caisse: str | None = None
    caisse_from: str | None = None

    source = "bordereau"

    @property
    def members(self) -> tuple[Member, ...]:
        return (Member(FAMILY, self.path.name, self.path),)

    @property
    def lane(self) -> str:
        """Bordereaux of a caisse come in one after the other: those that replace others find them in the same order."""
        return f"{self.source}/{self.caisse or ''}"

    def content(self, path: Path) -> None:
        """Its exact bytes are kept."""

    def correction(self, known: Mapping[str, Any]) -> str | None:
        """How to correct the caisse of the delivery that has these bytes already, when another one is given now."""
        if self.caisse_from != "option" or self.caisse == known["caisse"]:
            return None
        return (
            f"déjà reçu pour la caisse {known['caisse']} ; pour la caisse {self.caisse} : ecluse withdraw {{id}} --reason …,"
            " puis la même commande"
        )

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What makes it another delivery: its bytes alone, whatever the name or the caisse. Refused when it is oversized."""
        if received[0]["size"] > MAX_BYTES:
            raise Refused(FL1, f"fichier de plus de {MAX_BYTES >> 20} Mio : un bordereau n'atteint jamais cette taille")
        return {"scope": f"{self.source}/{received[0]['sha256'][:16]}"}

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        """What its reception records of it, its files aside. Refused when nothing tells which caisse received it."""
        caisse, told_by = self.caisse, self.caisse_from
        if caisse is None:
            caisse, told_by = _of_header(self.path, received_on), "header"
        return {"source": self.source, **self.identity(received), "caisse": caisse, "caisse_from": told_by}


def caisse_of_folder(path: Path) -> str | None:
    """The code of the nearest folder above a file that is named ``cpam-<code>``."""
    matches = (_FOLDER.fullmatch(part) for part in reversed(path.absolute().parent.parts))
    return next((match[1].upper() for match in matches if match), None)


def caisse_in(text: str | None) -> str | None:
    """The one code of a caisse that a text holds, as in « CPAM 311 » or « 311 - Toulouse »; None for none or several."""
    codes = set(_IN_TEXT.findall((text or "").upper()))
    return codes.pop() if len(codes) == 1 else None


def _of_header(path: Path, received_on: date) -> str:
    """The caisse that the file's own header names."""
    from connectors.bordereau import read_bordereau
    from connectors.sheets import Unreadable

    try:
        header = read_bordereau(path.read_bytes(), path.name, received_on).header
    except Unreadable as refusal:
        raise Refused(refusal.rule, str(refusal)) from None
    caisse = caisse_in(header["caisse"])
    if caisse is None:
        raise Refused("bordereau.caisse", f"caisse qui reçoit ce bordereau inconnue : donnez {_HOW}")
    return caisse
