"""What becomes of each line of an ANO, FICHCOMP, IUM or TRA file, said slowly and plainly, to be compared with the real reader.

Bytes, slices and loops only: it reads the layout CSV files itself, and must never import the code it judges. A rule that is
unclear here is unclear in the specification ("Order of checks on one line").
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import cache

from oracle_rsa import LAYOUTS, Value, Verdict, cut, end, number_in, physical_lines

FORMS = {
    "ano": ("mco_ano_y2022",),
    "med": ("mco_fichcomp_med_06",),
    "dmip": ("mco_fichcomp_dmip_02",),
    "ium": ("mco_ium_90",),
    "tra": ("mco_tra_fixed", "mco_tra_csv"),
}
ONCE = {"ano": "stay_number", "tra": "record_number"}
"""What may stand on one line of a file only."""
REQUIRED = {
    "ano": {"finess", "format_version", "stay_number"},
    "med": {"finess", "stay_number"},
    "dmip": {"finess", "stay_number"},
    "ium": {"finess", "format_version", "unit_number"},
    "tra": {"record_number"},
}
"""What may not be blank."""


@cache
def rows_of(format_id: str) -> tuple[dict[str, str], ...]:
    """Rows of the layout CSV of a format."""
    with (LAYOUTS / f"{format_id}.csv").open(encoding="utf-8", newline="") as rows:
        return tuple(csv.DictReader(rows))


@cache
def number_that_lines_carry(format_id: str) -> tuple[int, bytes]:
    """Where the number of a format stands in a line, from 0, and what it is; empty when lines carry none."""
    with (LAYOUTS / "INDEX.csv").open(encoding="utf-8", newline="") as index:
        [entry] = [row for row in csv.DictReader(index) if row["format_id"] == format_id]
    return int(entry["detect_position"] or 1) - 1, entry["detect_value"].encode()


def names_of(family: str) -> set[str]:
    """Every field that a row of the family may fill, in any form."""
    return {row["field"] for form in FORMS[family] for row in rows_of(form) if is_kept(row)}


def is_kept(row: dict[str, str]) -> bool:
    """Whether the field is read at all: not what says nothing, nor what its note forbids to store."""
    return not row["field"].startswith("filler") and "do not store" not in row["note"]


def storable(line: bytes, family: str) -> bytes:
    """A line set aside, without the zone at its end that must not be stored, wherever that has moved."""
    for row in rows_of(FORMS[family][0]):
        if "do not store" in row["note"]:
            return line[: max(0, min(int(row["start"]) - 1, len(line) - int(row["length"])))]
    return line


def judge(data: bytes, family: str, finess: str) -> list[Verdict]:
    """One verdict a line, in the order of the file."""
    verdicts: list[Verdict] = []
    accepted: dict[Value, bytes] = {}
    for number, (offset, line) in enumerate(physical_lines(data), start=1):
        verdict = judge_line(number, offset, line, family, finess)
        if verdict.outcome == "accepted" and family in ONCE:
            key = verdict.values[ONCE[family]]
            if key in accepted:
                verdict = replace(verdict, outcome="quarantined", rule="pmsi.duplicate_record", identical=accepted[key] == line)
            else:
                accepted[key] = line
        verdicts.append(verdict)
    return verdicts


def judge_line(number: int, offset: int, line: bytes, family: str, finess: str) -> Verdict:
    """Everything that can be said of a line without the others."""

    def refused(reason: str, fields: Iterable[str] = ()) -> Verdict:
        return Verdict(number, offset, "quarantined", f"pmsi.{reason}", tuple(fields))

    if line.strip(b" \t") == b"" or line == b"\x1a":
        return Verdict(number, offset, "ignored")
    if any(byte < 0x20 for byte in line):
        return refused("control_character")
    if family == "tra" and b";" in line:
        rows = rows_of("mco_tra_csv")
        cells = line.split(b";")
        if len(cells) != len(rows):
            return refused("line_length")
        return typed(number, offset, dict(zip((row["field"] for row in rows), cells, strict=True)), rows, family, padded=False)

    rows = rows_of(FORMS[family][0])
    at, version = number_that_lines_carry(FORMS[family][0])
    if line[at : at + len(version)] != version:
        return refused("unknown_format")
    if len(line) < max(end(row) for row in rows if row["nullable"] == "no"):
        return refused("line_too_short")
    for row in rows:
        if row["field"] == "finess" and cut(line, row) != finess.encode():
            return refused("finess_mismatch")

    expected = max(end(row) for row in rows)
    if len(line) != expected and re.search(rb"[\xc2-\xdf][\x80-\xbf]", line):
        return refused("line_length")  # an accent in UTF-8 shifts what follows it, whatever blanks end the line
    if line[expected:].strip(b" ") != b"":
        return refused("line_length")
    for row in rows:  # no zone follows: any number of blanks may have been stripped, but a number is whole or absent
        if is_number(row) and int(row["start"]) - 1 < len(line) < end(row):
            return refused("line_length")
    whole = line[:expected].ljust(expected, b" ")
    cells_by_name = {row["field"]: cut(whole, row) for row in rows}
    return typed(number, offset, cells_by_name, rows, family, padded=len(line) < expected)


def typed(
    number: int, offset: int, cells: dict[str, bytes], rows: Iterable[dict[str, str]], family: str, *, padded: bool
) -> Verdict:
    """The verdict on a line that is well cut: every field of its type, or the names of those that are not."""
    values: dict[str, Value] = {}
    faulty: list[str] = []
    masked: list[str] = []
    for row in rows:
        name, raw = row["field"], cells[row["field"]]
        if not is_kept(row):
            continue
        hidden = raw != b"" and raw.strip(b"X") == b"" and (row["type"].startswith("decimal") or is_date(row))
        value: Value
        if hidden:
            masked.append(name)
            value = None
        elif is_number(row):
            value = number_in(raw)
        elif is_date(row):
            value = date_in(raw)
        else:
            value = raw.strip(b" ").decode("latin-1") or None
        values[name] = value
        if (
            ((is_number(row) or is_date(row)) and value == "invalid")
            or (name == "period_month" and value is not None and value not in range(1, 13))
            or (name in REQUIRED[family] and value is None)
        ):
            faulty.append(name)
    if faulty:
        return Verdict(number, offset, "quarantined", "pmsi.invalid_value", tuple(faulty), masked=tuple(masked))
    return Verdict(number, offset, "accepted", padded=padded, values=values, masked=tuple(masked))


def is_number(row: dict[str, str]) -> bool:
    return row["type"] in ("int", "decimal1", "decimal2", "decimal3", "decimal4")


def is_date(row: dict[str, str]) -> bool:
    """A return code about a date is one character: text."""
    return row["type"] == "date_ddmmyyyy" and row["length"] != "1"


def date_in(raw: bytes) -> Value:
    """A day of the calendar, None when blank, the word "invalid" for anything else than eight digits that name a day."""
    if raw.strip(b" ") == b"":
        return None
    if not re.fullmatch(rb"[0-9]{8}", raw):
        return "invalid"
    try:
        return date(int(raw[4:]), int(raw[2:4]), int(raw[:2]))
    except ValueError:
        return "invalid"
