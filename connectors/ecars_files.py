"""e-CARS exports and the CPOM's follow-up tables as they arrive at the door: one file is one delivery, told by what it holds.

An export is a scope of its own, named by its bytes: it may hold one contract or three thousand, and which export stands for a
contract is settled contract by contract. A follow-up table replaces the one before it. Reads no value.
"""

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connectors.one_file import OneFile
from connectors.sheet_archive import FL1, MAX_BYTES
from connectors.transmissions import Member, Refused
from contracts_schema.cpom_catalogue import canonical_columns

SOURCE = "ecars"
EXPORT = "export"
_TITLES = (b"SYNTHESE DES SAISIES", b"ANNEXE ORIENTATION STRATEGIQUE", b"DETAIL DE LA BASE")
_PARTS = re.compile(r"xl/sharedStrings\.xml|xl/worksheets/sheet[1-4]\.xml|content\.xml", re.IGNORECASE)
_LOOKED_AT = 1 << 20
"""Bytes of a part that are looked at, once inflated: a title stands at the head of its sheet."""
_HEAD = 4096


@dataclass(frozen=True)
class EcarsFile(OneFile):
    """One file of the CPOM; ``kind``: ``export``, or the name of a table of ``contracts_schema/cpom/tables.yaml``."""

    path: Path
    kind: str

    source = SOURCE

    @property
    def members(self) -> tuple[Member, ...]:
        return (Member(SOURCE, self.path.name, self.path),)

    @property
    def lane(self) -> str:
        """Tables of one name come in one after the other, the last stands; exports are scopes of their own."""
        return f"{SOURCE}/{self.path}" if self.kind == EXPORT else f"{SOURCE}/{self.kind}"

    def content(self, path: Path) -> None:
        """Its exact bytes are kept."""

    def correction(self, known: Mapping[str, Any]) -> None:
        """Nothing that is told beside its files can be wrong."""

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What makes it another delivery, its bytes aside. Refused when it is oversized."""
        if received[0]["size"] > MAX_BYTES:
            raise Refused(
                FL1.replace("bordereau.", "ecars."), f"fichier de plus de {MAX_BYTES >> 20} Mio : aucun export ne l'est"
            )
        return {"scope": f"{SOURCE}/{received[0]['sha256'][:16] if self.kind == EXPORT else f'suivi/{self.kind}'}"}

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        """What its reception records of it, its files aside."""
        return {"source": self.source, **self.identity(received), "layout": self.kind}


def open_file(path: Path) -> EcarsFile | None:
    """The delivery of e-CARS that a file is; None when it is none, or cannot be told."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PK"):
        return EcarsFile(path, EXPORT) if _has_title(path) else None
    if is_canonical(head) or any(title in head for title in _TITLES):
        return EcarsFile(path, EXPORT)
    from connectors.ecars_tables import table_of

    table = table_of(head)
    return EcarsFile(path, table) if table else None


def is_canonical(head: bytes) -> bool:
    """Whether bytes begin as the canonical form does; with another separator too, so that its reader says which."""
    start = head.lstrip(b"\xef\xbb\xbf")
    if start.startswith(b"campagne;"):
        return True
    from connectors.ecars_canonical import other_separator

    line = start.split(b"\n", 1)[0]
    own = line[:9].strip(b'"').startswith(b"campagne")
    return own and bool(other_separator(line.decode("utf-8", "replace"), canonical_columns()))


def _has_title(path: Path) -> bool:
    """Whether a sheet begins with the words of an export. A broken archive has none: others say what is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist()[:200]:
                if _PARTS.fullmatch(entry.filename):
                    with archive.open(entry) as part:
                        text = part.read(_LOOKED_AT)
                    if any(title in text for title in _TITLES):
                        return True
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        return False
    return False
