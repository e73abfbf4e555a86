"""One logical sheet of an e-CARS workbook while it is read: what is told above its table, then its rows."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from connectors.sheets import reference


class Cell(NamedTuple):
    """One filled cell: ``kind`` and ``text`` as ``connectors.sheets`` gives them."""

    column: int
    kind: str
    text: str
    number_format: str


@dataclass
class Block:
    """One logical sheet being read: what is told above the table, then its rows. ``facts``: columns of the frame ``sheet``."""

    sheet: str
    facts: dict[str, Any]
    annex: str | None = None
    title_cell: str = ""
    first_row: int = 0
    years: dict[int, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    filled: dict[str, str] = field(default_factory=dict)
    envelope: str | None = None
    base_on: date | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    recognitions: list[dict[str, Any]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    last_row: int = 0
    daf: dict[int, str] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Rows that are neither skipped nor above the table."""
        return len(self.rows) + len(self.lines) + len(self.recognitions)


def place_of(block: Block, row: int, column: int) -> str:
    """Where a cell stands, for a refusal."""
    return f"feuille « {block.sheet} », cellule {reference(row, column)}"
