"""Cells of a spreadsheet as they are read: flat columns that cross from the child process to its parent.

Standard library only (the child has a memory limit). A cell is text with a kind; nothing is evaluated, rounded or dropped.
"""

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from connectors.sheet_archive import FL1, MAX_CELLS, Unreadable

TEXT, NUMBER, DATE, PERCENTAGE, BOOLEAN, ERROR, FORMULA = "t", "n", "d", "p", "b", "e", "f"
"""Kinds of a cell. ``FORMULA``: a formula whose value was not stored; the text is the formula."""
ERRORS = frozenset(
    ("#N/A", "#VALUE!", "#VALEUR!", "#REF!", "#DIV/0!", "#NAME?", "#NOM?", "#NULL!", "#NUL!", "#NUM!", "#NOMBRE!")
)


@dataclass
class SheetCells:
    """One sheet: what it is called, what it hides, its merged areas (row, column, last row, last column; from 1) and cells."""

    name: str | None
    hidden: bool = False
    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[int] = field(default_factory=list)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    rows: "array[int]" = field(default_factory=lambda: array("I"))
    columns: "array[int]" = field(default_factory=lambda: array("I"))
    kinds: list[str] = field(default_factory=list)
    formulas: bytearray = field(default_factory=bytearray)
    formats: "array[int]" = field(default_factory=lambda: array("I"))
    texts: list[str] = field(default_factory=list)

    def add(self, row: int, column: int, kind: str, text: str, *, formula: bool = False, number_format: int = 0) -> None:
        """One cell that holds something."""
        if len(self.texts) >= MAX_CELLS:
            raise Unreadable(FL1, f"plus de {MAX_CELLS} cellules remplies : fichier piégé ?")
        self.rows.append(row)
        self.columns.append(column)
        self.kinds.append(kind)
        self.formulas.append(formula)
        self.formats.append(number_format)
        self.texts.append(text)


@dataclass
class FileCells:
    """A whole file: true format, encoding and delimiter of a CSV, date system, number formats and sheets."""

    format: str
    sheets: list[SheetCells]
    date_1904: bool = False
    number_formats: list[str] = field(default_factory=lambda: [""])
    comments: list[str] = field(default_factory=list)
    encoding: str | None = None
    delimiter: str | None = None
    external_links: bool = False


def encode(cells: FileCells) -> Iterable[bytes]:
    """A line of JSON, then for each sheet its five columns and its texts joined by NUL (no cell can hold one)."""
    head: dict[str, Any] = {
        "format": cells.format,
        "date_1904": cells.date_1904,
        "number_formats": cells.number_formats,
        "comments": cells.comments,
        "encoding": cells.encoding,
        "delimiter": cells.delimiter,
        "external_links": cells.external_links,
        "sheets": [],
    }
    bodies: list[bytes] = []
    for sheet in cells.sheets:
        columns = [
            sheet.rows.tobytes(),
            sheet.columns.tobytes(),
            "".join(sheet.kinds).encode("ascii"),
            bytes(sheet.formulas),
            sheet.formats.tobytes(),
            "\0".join(sheet.texts).encode("utf-8", "replace"),
        ]
        head["sheets"].append(
            {
                "name": sheet.name,
                "hidden": sheet.hidden,
                "hidden_rows": sheet.hidden_rows,
                "hidden_columns": sheet.hidden_columns,
                "merged": sheet.merged,
                "lengths": [len(column) for column in columns],
            }
        )
        bodies += columns
    yield json.dumps(head).encode() + b"\n"
    yield from bodies
