"""Record layouts of fixed-width files, as data: one CSV per format beside an INDEX.csv.

Adding a format is adding its CSV and a line of the index; nothing here knows a format by name. Positions are bytes of the
record (one byte is one column). Each index line keeps the status of its facts and who confirms them.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

FIXED = "fixed"
DELIMITED = "delimited"

NOT_STORED = frozenset({"encrypted_zone"})
"""Fields that the layouts' notes forbid to store beyond the file as received."""


@dataclass(frozen=True)
class Field:
    """One field: ``offset`` counts from 0 within its zone, ``length`` in bytes, ``type`` is text, int, date_… or decimalN."""

    name: str
    label_fr: str
    offset: int
    length: int
    type: str
    nullable: bool

    @property
    def is_filler(self) -> bool:
        """Whether the field is passed over: it says nothing, or must not be stored."""
        return self.name.startswith("filler") or self.name in NOT_STORED


@dataclass(frozen=True)
class Zone:
    """A group of fields that stands ``count_field`` times in a record, ``width`` bytes each."""

    name: str
    count_field: str
    width: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Layout:
    """One record format: its fixed part, then its zones in the order in which they follow each other."""

    format_id: str
    field_of_care: str
    record: str
    version: str
    detect_offset: int | None
    fixed_length: int
    fields: tuple[Field, ...]
    zones: tuple[Zone, ...]
    status: str

    def field(self, name: str) -> Field:
        """The fixed field of that name; KeyError when the format has none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


def folder() -> Traversable:
    """Where the layouts of the PMSI lie in the installed package."""
    return files("contracts_schema") / "pmsi" / "layouts"


@cache
def index() -> dict[str, dict[str, str]]:
    """INDEX.csv by format_id, cells as text, in the order of the file."""
    lines = (folder() / "INDEX.csv").read_text(encoding="utf-8").splitlines()
    return {row["format_id"]: row for row in csv.DictReader(lines)}


@cache
def layout(format_id: str) -> Layout:
    """The layout of one format of the index."""
    entry = index()[format_id]
    parts: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader((folder() / f"{format_id}.csv").read_text(encoding="utf-8").splitlines()):
        parts.setdefault(row["zone"], []).append(row)
    fields = {zone: tuple(_field(row) for row in rows) for zone, rows in parts.items()}
    return Layout(
        format_id=format_id,
        field_of_care=entry["field_of_care"],
        record=entry["record"],
        version=entry["detect_value"],
        detect_offset=int(entry["detect_position"]) - 1 if entry["detect_position"] else None,
        fixed_length=int(entry["fixed_length"] or 0),
        fields=fields.get(FIXED) or fields.get(DELIMITED, ()),
        zones=tuple(
            Zone(zone, rows[0]["count_field"], fields[zone][-1].offset + fields[zone][-1].length, fields[zone])
            for zone, rows in parts.items()
            if zone not in (FIXED, DELIMITED)
        ),
        status=entry["status"],
    )


@cache
def layouts(field_of_care: str, record: str) -> dict[str, Layout]:
    """All formats of one record kind by the number that their lines carry (``{"224": …}``), by format id where none does."""
    found = (row for row in index().values() if (row["field_of_care"], row["record"]) == (field_of_care, record))
    return {row["detect_value"] or row["format_id"]: layout(row["format_id"]) for row in found}


def _field(row: dict[str, str]) -> Field:
    return Field(
        name=row["field"],
        label_fr=row["atih_label"],
        offset=int(row["start"]) - 1,
        length=int(row["length"] or 0),
        type=row["type"],
        nullable=row["nullable"] == "yes",
    )
