"""References, payments and declarations as they arrive at the door: one file is one delivery of one dataset, by its header.

Of a file whose layout holds personal data, only the columns of its contract are ever handed on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connectors.datasets import (
    EMPTY_FILE,
    ENCODING,
    UNKNOWN_LAYOUT,
    UNREADABLE,
    DatasetRefused,
    Found,
    kept,
    recognise,
    scope_of,
)
from connectors.one_file import OneFile
from connectors.transmissions import Member, Refused

NOT_ONE = frozenset({UNKNOWN_LAYOUT, EMPTY_FILE, UNREADABLE, ENCODING})
"""What is said of a file that no dataset claims: another reader may know it, and has its own words."""
ENDINGS = frozenset({".xlsx", ".ods", ".csv", ".txt"})


@dataclass(frozen=True)
class DatasetFile(OneFile):
    """One file that ``connectors.datasets`` recognised."""

    path: Path
    found: Found

    source = "dataset"

    @property
    def members(self) -> tuple[Member, ...]:
        return (Member(self.found.dataset, self.path.name, self.path),)

    @property
    def lane(self) -> str:
        """Files of one dataset come in one after the other: the last stands."""
        return f"{self.source}/{self.found.dataset}"

    def content(self, path: Path) -> Iterator[bytes] | None:
        """What may be kept of the file, when it holds personal data; None: its exact bytes."""
        return kept(path, self.found) if self.found.personal else None

    def correction(self, known: Mapping[str, Any]) -> None:
        """Nothing that is told beside its files can be wrong."""

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What makes it another delivery, its bytes aside. Refused when it is about several scopes."""
        try:
            return {"scope": scope_of(self.path, self.found)}
        except DatasetRefused as refusal:
            raise Refused(refusal.rule, str(refusal)) from None

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        """What its reception records of it, its files aside. An extraction that tells its day has it for stamp."""
        day = self.found.extracted_on
        return {
            "source": self.source,
            **self.identity(received),
            "dataset": self.found.dataset,
            "layout": self.found.layout,
            "unknown_headings": len(self.found.unknown),
            "reduced": self.found.personal,
            **({"stamp": f"{day:%Y%m%d}000000"} if day else {}),
        }


def open_file(path: Path) -> DatasetFile | None:
    """The delivery of a dataset that a file is; None when it is of none. Refused when two readings of it are possible."""
    try:
        return DatasetFile(path, recognise(path))
    except DatasetRefused as refusal:
        if refusal.rule in NOT_ONE:
            return None
        raise Refused(refusal.rule, str(refusal)) from None
