"""Exact bytes of a spreadsheet (XLSX, ODS, CSV) to sheets of cells as text, read in a child process with limits.

A cell keeps its kind (text, number, date, percentage, boolean, error, formula without stored value), its number format and
whether its row or column is hidden. Nothing is ever evaluated, and no fault of a file ever reaches this process: a crash, a
hang or an excess of memory of the child is a refusal with its reason in French.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from connectors.sheet_archive import FL1
from connectors.sheet_archive import Unreadable as Unreadable

TIMEOUT_SECONDS = 120
DIALECT: dict[str, Any] = {"delimiters": [";", ",", "\t"], "encodings": ["utf-8-sig", "utf-8", "cp1252"], "quote": '"'}

CELLS = pl.Schema(
    {
        "row": pl.UInt32(),
        "column": pl.UInt32(),
        "kind": pl.String(),
        "formula": pl.Boolean(),
        "number_format": pl.String(),
        "text": pl.String(),
    }
)
"""Of each cell that holds something. ``row``, ``column`` from 1; ``kind`` t n d p b e f (see ``sheet_cells``); ``formula``: the
value is the stored result of a formula; ``text``: as stored; a date is ISO, with its time if it has one."""

_EPOCH_1900, _EPOCH_1904 = -25569, -24107
"""Day zero of both date systems of spreadsheets, in days from 1970-01-01 (1899-12-30 and 1904-01-01)."""


@dataclass(frozen=True)
class Sheet:
    """One sheet: ``name`` None for a CSV; ``merged`` areas are (row, column, last row, last column); rows from 1."""

    name: str | None
    hidden: bool
    hidden_rows: tuple[int, ...]
    hidden_columns: tuple[int, ...]
    merged: tuple[tuple[int, int, int, int], ...]
    cells: pl.DataFrame


@dataclass(frozen=True)
class Workbook:
    """A file that could be read. ``comments``: texts of cell comments, to look for patient data in and for nothing else."""

    format: str
    sheets: tuple[Sheet, ...]
    date_1904: bool
    encoding: str | None
    delimiter: str | None
    comments: tuple[str, ...]
    external_links: bool


_looked_at: dict[bytes, Workbook] = {}
"""The workbook that was last looked at, until it is read."""


def look_at_sheets(content: bytes) -> Workbook:
    """The same sheets, of an archive that is then read by ``read_sheets`` once more: its child process is spared."""
    found = read_sheets(content)
    _looked_at.clear()
    if content.startswith(b"PK"):  # of text, another dialect may be asked for
        _looked_at[hashlib.sha256(content).digest()] = found
    return found


def read_sheets(content: bytes, dialect: dict[str, Any] | None = None, timeout: float = TIMEOUT_SECONDS) -> Workbook:
    """The sheets of a file. ``dialect``: ``delimiters``, ``encodings`` and ``quote`` that a CSV may use (in that order).

    Raises ``Unreadable`` with rule ``bordereau.FL1``, ``FL2``, ``FL4`` or ``FL5`` and what to do in French.
    """
    if _looked_at and (known := _looked_at.pop(hashlib.sha256(content).digest(), None)):
        return known
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-S", "-P", "-m", "connectors.sheet_child", json.dumps(dialect or DIALECT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": root, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
    ) as child:
        try:
            answer, _ = child.communicate(content, timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise Unreadable(FL1, f"lecture abandonnée après {timeout:.0f} s : fichier piégé ?") from None
    if child.returncode:
        answer = b""
    return workbook_of(answer)


def workbook_of(answer: bytes) -> Workbook:
    """The sheets that a child process answers with. ``Unreadable`` when it refuses the file, or answers nothing whole."""
    head_line, separator, body = answer.partition(b"\n")
    if not separator:
        raise Unreadable(FL1, "la lecture a dépassé ses limites de mémoire ou de temps : fichier piégé ?")
    head = json.loads(head_line)
    if "refused" in head:
        raise Unreadable(*head["refused"])
    return _workbook(head, memoryview(body))


def _workbook(head: dict[str, Any], body: memoryview) -> Workbook:
    sheets: list[Sheet] = []
    offset = 0
    for told in head["sheets"]:
        parts: list[memoryview] = []
        for length in told["lengths"]:
            parts.append(body[offset : offset + length])
            offset += length
        sheets.append(
            Sheet(
                told["name"],
                told["hidden"],
                tuple(told["hidden_rows"]),
                tuple(told["hidden_columns"]),
                tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in told["merged"]),
                _cells(parts, head["number_formats"], date_1904=head["date_1904"]),
            )
        )
    return Workbook(
        head["format"],
        tuple(sheets),
        head["date_1904"],
        head["encoding"],
        head["delimiter"],
        tuple(head["comments"]),
        head["external_links"],
    )


def _cells(parts: Sequence[memoryview], number_formats: list[str], *, date_1904: bool) -> pl.DataFrame:
    import numpy as np

    rows, columns, kinds, formulas, formats, texts = parts
    if not len(rows):
        return pl.DataFrame(schema=CELLS)
    names = pl.Series(["t", "n", "d", "p", "b", "e", "f"], dtype=pl.String)
    place = np.zeros(256, dtype=np.uint32)
    for number, kind in enumerate(names):
        place[ord(kind)] = number
    frame = pl.DataFrame(
        {
            "row": pl.Series(np.frombuffer(rows, dtype=np.uint32)),
            "column": pl.Series(np.frombuffer(columns, dtype=np.uint32)),
            "kind": names.gather(pl.Series(place[np.frombuffer(kinds, dtype=np.uint8)])),
            "formula": pl.Series(np.frombuffer(formulas, dtype=np.uint8) != 0),
            "number_format": pl.Series(number_formats, dtype=pl.String).gather(
                pl.Series(np.frombuffer(formats, dtype=np.uint32))
            ),
            "text": pl.Series([str(texts, "utf-8")]).str.split("\0").explode(),
        }
    )
    if (frame["kind"] == "d").any():
        return frame.with_columns(
            iso_day(pl.col("text"), date_1904=date_1904, of=pl.col("kind") == "d"), _kind_of_day(date_1904)
        )
    return frame


def iso_day(serial: pl.Expr, *, date_1904: bool, of: pl.Expr) -> pl.Expr:
    """Serial day numbers as ISO text where ``of`` holds; what is no possible day stays as it is. Days from 1900-03-01 on
    (before, the 1900 system counts a 29 February that never was) to 9999-12-31.
    """
    return pl.when(of & _possible(serial, date_1904)).then(_iso(serial, date_1904)).otherwise(serial).alias("text")


def _kind_of_day(date_1904: bool) -> pl.Expr:
    """A date cell whose serial is no possible day is a number that a person must look at."""
    dated = pl.col("text").str.contains(r"^\d{4}-\d{2}-\d{2}") | _possible(pl.col("text"), date_1904)
    return pl.when((pl.col("kind") == "d") & ~dated).then(pl.lit("n")).otherwise(pl.col("kind")).alias("kind")


def _possible(serial: pl.Expr, date_1904: bool) -> pl.Expr:
    number = serial.cast(pl.Float64, strict=False)
    return number.is_between(0 if date_1904 else 61, 2_957_003 if date_1904 else 2_958_465).fill_null(value=False)


def _iso(serial: pl.Expr, date_1904: bool) -> pl.Expr:
    number = serial.cast(pl.Float64, strict=False)
    epoch = _EPOCH_1904 if date_1904 else _EPOCH_1900
    day = (number.floor().cast(pl.Int32, strict=False) + epoch).cast(pl.Date).cast(pl.String)
    seconds = ((number - number.floor()) * 86400).round().cast(pl.Int64, strict=False).clip(0, 86399)
    time = pl.format(
        "T{}:{}:{}", *(part.cast(pl.String).str.zfill(2) for part in (seconds // 3600, seconds // 60 % 60, seconds % 60))
    )
    return pl.when(seconds == 0).then(day).otherwise(day + time)


def reference(row: int, column: int) -> str:
    """``(7, 2)`` → ``B7``."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{row}"
