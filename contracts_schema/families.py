"""Families of files of a PMSI MCO transmission: the record each holds, the table its rows make, the columns kept apart.

Restricted columns (local stay numbers, chaining keys, exact dates, birth dates) lie in segments of their own, whose tables
begin with ``restricted_``; no view and no product may read them. Source: PMSI reference §5 (keys) and §7 (privacy).
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from contracts_schema.layouts import NOT_STORED, Field, Layout, layouts

if TYPE_CHECKING:
    import polars as pl

RESTRICTED = "restricted_"

SEJOURS, LAMDA, M999 = "sejours", "lamda", "m999"
"""Flows: the year's months; its corrections sent during the next year, as LAMDA or as period 999 (PMSI reference §2)."""

CORRECTIONS = frozenset({LAMDA, M999})
"""Flows that come after every month of their year."""


@dataclass(frozen=True)
class Family:
    """One family. ``key`` is the field that stands once in a file, if any; ``required`` are fields whose blank blocks a line.

    ``restricted`` are the fields kept apart, and so are exact dates where ``dates_restricted``; ``closed`` families are kept
    apart whole.
    """

    name: str
    record: str
    key: str | None = None
    required: frozenset[str] = frozenset()
    restricted: frozenset[str] = frozenset()
    dates_restricted: bool = False
    closed: bool = False

    @property
    def table(self) -> str:
        return f"{RESTRICTED if self.closed else ''}pmsi_{self.name}"

    @property
    def is_restricted(self) -> bool:
        """Whether a line of the family, as it is written, may be read by no view and no product."""
        return self.closed or bool(self.restricted)

    @property
    def restricted_table(self) -> str | None:
        return f"{RESTRICTED}pmsi_{self.name}" if self.restricted and not self.closed else None


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "rsa", "RSA", "record_number", frozenset({"finess", "format_version", "record_number", "rum_count", "exit_month"})
        ),
        Family(
            "ano",
            "ANO",
            "stay_number",
            frozenset({"finess", "format_version", "stay_number"}),
            frozenset({"link_index", "birth_date", "anonymous_hospitalisation_id", "accident_number_or_date"}),
            dates_restricted=True,
        ),
        Family("med", "FICHCOMP med", None, frozenset({"finess", "stay_number"})),
        Family("dmip", "FICHCOMP dmip (implants)", None, frozenset({"finess", "stay_number"})),
        Family("ium", "IUM (medical units)", None, frozenset({"finess", "unit_number"})),
        Family("tra", "TRA (local correspondence)", "record_number", frozenset({"record_number"}), closed=True),
    )
}


@cache
def formats(family: Family) -> dict[str, Layout]:
    """The layouts of a family by the format number that its lines carry; by format id where lines carry none."""
    return layouts("MCO", family.record)


def dtype(field: Field) -> "pl.DataType":
    """Type of a field's column. An implied-decimal field is an integer count of its last decimal (thousandths for decimal3)."""
    import polars as pl  # imported here because who only asks what is restricted has no use for it

    if is_date(field):
        return pl.Date()
    if not is_number(field):
        return pl.String()
    return pl.Int32() if field.type == "int" and field.length < 10 else pl.Int64()


@cache
def columns(family: Family) -> dict[str, Field]:
    """Every field of any format of the family but the fillers, in the order of the newest format."""
    found: dict[str, Field] = {}
    for layout in reversed(formats(family).values()):
        found |= {field.name: field for field in layout.fields if not field.is_filler and field.name not in found}
    return found


@cache
def unstored_tail(family: Family) -> tuple[int, int] | None:
    """Offset and length of what ends every line of the family and must not be stored beyond the file as received."""
    found = {(layout.fields[-1].offset, layout.fields[-1].length) for layout in formats(family).values()
             if layout.fields[-1].name in NOT_STORED}  # fmt: skip
    return found.pop() if found else None


@cache
def zones(family: Family) -> tuple[str, ...]:
    """Names of the repeated zones of the family, kept whole as ``<zone>_zone``."""
    return tuple(dict.fromkeys(zone.name for layout in formats(family).values() for zone in layout.zones))


@cache
def schema(family: Family) -> "pl.Schema":
    """Columns of the family's accepted rows: line number, padded mark, fields, zones."""
    import polars as pl

    fields = {name: dtype(field) for name, field in columns(family).items()}
    whole = {f"{zone}_zone": pl.String() for zone in zones(family)}
    return pl.Schema({"line_number": pl.Int64(), "padded": pl.Boolean(), **fields, **whole})


def is_date(field: Field) -> bool:
    """Whether the field holds a date: a return code about a date is one character and stays text."""
    return field.type == "date_ddmmyyyy" and field.length in (0, 8)


def is_number(field: Field) -> bool:
    """Whether the field holds digits only."""
    return field.type == "int" or field.type.startswith("decimal")


@cache
def restricted_columns(family: Family) -> tuple[str, ...]:
    """The columns kept apart, with those that join them to the others."""
    if not family.restricted:
        return ()
    apart = {name for name, field in columns(family).items() if family.dates_restricted and is_date(field)}
    kept = [name for name in columns(family) if name in apart | family.restricted | {family.key}]
    return ("line_number", *kept)
