"""Small bordereaux to spoil, for the tests of their reading."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.bordereau import Bordereau, read_bordereau
from connectors.sheets import Unreadable
from connectors.synthetic_bordereaux import STRUCTURE, Cell, Plan, Value, rows_of, write_csv, write_ods, write_xlsx

RECEIVED = date(2022, 10, 3)
LINE: dict[str, Value] = {
    "protocol": "Cystite",
    "act": "Inclusion",
    "date": date(2022, 8, 3),
    "delegate": "Délégué 1",
    "rpps": "99900000011",
    "count": 1,
    "unit": Decimal("25"),
    "amount": Decimal("25"),
    "ref": "A1",
    "comment": "",
}
FIRST_ROW = len(STRUCTURE) + 3
"""Row of the first line: facts, a blank row, the headings."""


def lines(*changes: Mapping[str, Value]) -> list[dict[str, Value]]:
    """One line for each change, sound apart from it, with a reference of its own."""
    return [LINE | {"ref": f"A{number}"} | dict(change) for number, change in enumerate(changes, 1)]


def read_rows(rows: Sequence[Sequence[Value]], fmt: str = "xlsx", received: date = RECEIVED) -> Bordereau:
    """The rows of one sheet, through a file."""
    content = write_csv(rows) if fmt == "csv" else write_xlsx([Plan(rows)]) if fmt == "xlsx" else write_ods([Plan(rows)])
    return read_bordereau(content, f"envoi.{fmt}", received)


def read_lines(*changes: Mapping[str, Value], fmt: str = "xlsx", header: Mapping[str, Value] = STRUCTURE) -> Bordereau:
    """Lines with one change each, under the usual header."""
    return read_rows(rows_of(lines(*changes), header), fmt)


def one(change: Mapping[str, Value], fmt: str = "xlsx") -> dict[str, Any]:
    """The canonical line of one changed line."""
    return read_lines(change, fmt=fmt).lines.row(0, named=True)


def refusal(content: bytes, file: str = "envoi.xlsx") -> tuple[str, str]:
    """Rule and French message of a file that must be refused."""
    with pytest.raises(Unreadable) as caught:
        read_bordereau(content, file, RECEIVED)
    return caught.value.rule, str(caught.value)


def number(text: str) -> Cell:
    """A number cell with exactly these digits."""
    return Cell("n", text)


def nir() -> str:
    """A number that passes the key of the NIR; of nobody: the department 99 is not one of metropolitan France."""
    start = 1850599000001
    return f"{start}{97 - start % 97:02d}"
