"""Reference and follow-up tables beside the e-CARS export (GHT, authorisations, amendments, subsidies, notices…) to frames.

Declared form only: CSV, UTF-8, « ; », exact header. A table is known by its header, never by its file name. A field that says
nothing readable is a refusal of the file with line and column, without the value: these lists are short and made by hand.
"""

import csv
import io
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from connectors.ecars_canonical import FL4, FL5, FL10, missing_fields, other_separator
from connectors.ecars_grid import FL6
from connectors.ecars_values import clean
from connectors.sheets import Unreadable
from contracts_schema.cpom_catalogue import tables
from contracts_schema.cpom_frames import schema
from contracts_schema.geography import regions

_WORDS = {"OUI": True, "NON": False}


class _Wrong(ValueError):
    """A field that its type does not allow."""


def read_table(content: bytes, file: str) -> tuple[str, pl.DataFrame]:
    """The name of the frame that a table fills, and its rows. ``Unreadable`` (FL4, FL5, FL6, FL10) with line and column."""
    try:
        return _read(content)
    except Unreadable as refusal:
        raise Unreadable(refusal.rule, f"{file} : {refusal} (règle {refusal.rule})") from None


def table_of(content: bytes) -> str | None:
    """The name of the table whose header the first line is; None when it is none."""
    head = content[:2000].split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    return _named([clean(name) for name in head.split(";")]) or _misread(head)


def _misread(head: str) -> str | None:
    """The table whose header a line is, but for its separator."""
    return next((name for name in tables() if any(other_separator(head, names) for names in _headers(name))), None)


def line_numbers(content: bytes) -> list[int]:
    """The line on which each row of a table that was read starts, in their order."""
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="\n"), delimiter=";", strict=True)
    next(reader)
    starts, found = reader.line_num + 1, []
    for row in reader:
        if row:
            found.append(starts)
        starts = reader.line_num + 1
    return found


def _read(content: bytes) -> tuple[str, pl.DataFrame]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(FL4, f"octet {error.start} : illisible en UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=";", strict=True)
    try:
        header = [clean(name) for name in next(reader, [])]
        name = _named(header)
        head = text.split("\n", 1)[0]
        if name is None and (known := _misread(head)):
            raise missing_fields("ligne 1", [head], len(tables()[known]["columns"]))
        if name is None:
            raise Unreadable(FL6, f"ligne 1 : en-tête d'aucune table connue ({', '.join(tables())})")
        told = tables()[name]
        rows = []
        line = reader.line_num
        for row in reader:
            if row:
                if len(row) != len(header):
                    raise missing_fields(f"ligne {line + 1}", row, len(header))
                rows.append(_row(row, header, told["columns"], line + 1))
            line = reader.line_num
    except csv.Error:
        raise Unreadable(FL5, f"ligne {reader.line_num} : guillemet mal placé ou jamais fermé") from None
    columns = schema(told["frame"])
    return told["frame"], pl.DataFrame({column: [row.get(column) for row in rows] for column in columns}, schema=columns)


def _named(header: list[str]) -> str | None:
    return next((name for name in tables() if header in _headers(name)), None)


def _headers(name: str) -> tuple[list[str], list[str]]:
    """The header of a table, and the one that lacks the columns added since."""
    columns = tables()[name]["columns"]
    return list(columns), [heading for heading, told in columns.items() if "added" not in told]


def _row(row: list[str], header: list[str], columns: dict[str, list[Any]], line: int) -> dict[str, Any]:
    told = {}
    for heading, text in zip(header, row, strict=True):
        column, kind, *more = columns[heading]
        text = clean(text)
        try:
            if not text and "required" in more:
                raise _Wrong("vide, valeur nécessaire")
            allowed = next((one for one in more if isinstance(one, list)), None)
            if text and allowed and text not in allowed:
                raise _Wrong(f"permis : {', '.join(allowed)}")
            told[column] = _value(text, kind) if text else None
        except ValueError as wrong:
            why = str(wrong) if isinstance(wrong, _Wrong) else _EXPECTED[kind]
            raise Unreadable(FL10, f"ligne {line}, colonne {heading} : {why}") from None
    return told


_EXPECTED = {
    "text": "texte attendu",
    "finess": "numéro FINESS de 9 caractères attendu",
    "day": "jour attendu (AAAA-MM-JJ)",
    "instant": "instant attendu (AAAA-MM-JJTHH:MM:SS et son décalage, ou Z)",
    "year": "année attendue (4 chiffres)",
    "cents": "nombre entier de centimes attendu",
    "count": "nombre entier attendu",
    "yes_no": "OUI ou NON attendu",
    "region": "code INSEE d'une région attendu (76)",
}


def _value(text: str, kind: str) -> Any:
    if kind == "text":
        return text
    if kind == "finess":
        if len(text) != 9 or not text.isalnum() or not text.isascii():
            raise ValueError
        return text.upper()
    if kind == "region":
        if text not in regions():
            raise ValueError
        return text
    if kind == "day":
        return date.fromisoformat(text)
    if kind == "instant":
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError
        return instant.astimezone(UTC)
    if kind == "yes_no":
        if text not in _WORDS:
            raise ValueError
        return _WORDS[text]
    if not text.lstrip("-").isdecimal() or not text.isascii() or (kind == "year" and len(text) != 4):
        raise ValueError
    return int(text)
