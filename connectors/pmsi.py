"""PMSI exports: what a file's name says, and its lines cut under the layout that each line's own format number names.

Knows the families of files and their names; never reads an input archive (they hold direct identifiers), never opens what
it cannot name, and never puts the content of a line in an error.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from connectors import fixed_width
from contracts_schema import layouts as record_layouts
from contracts_schema.layouts import Layout

FAMILIES = {".rsa": ("MCO", "RSA")}
"""File extension to (field of care, record kind), for the families that are read."""

_NAME = re.compile(r"(?P<finess>[0-9][0-9AB][0-9]{7})\.(?P<year>20[0-9]{2})\.(?P<period>[0-9]{1,2})\.(?P<family>.+)", re.I)
_BLANK = " \t"


class UnreadableName(Exception):
    """A file that is refused at the door, before any byte is kept: rule id and what to do, in French."""

    def __init__(self, rule: str, message_fr: str) -> None:
        super().__init__(message_fr)
        self.rule = rule


@dataclass(frozen=True)
class FileName:
    """What the name of a PMSI file states: e-PMSI FINESS, year, period (month 1-12), field of care and record kind."""

    finess: str
    year: int
    period: int
    field_of_care: str
    record: str

    @property
    def scope(self) -> str:
        """What a transmission replaces: field of care, establishment and year."""
        return f"pmsi/{self.field_of_care.lower()}/{self.finess}/{self.year}"


@dataclass(frozen=True)
class Block:
    """Some lines of a file: those cut (one frame per format), those refused (``fixed_width.REFUSED``), blanks counted."""

    cut: dict[str, pl.DataFrame]
    refused: pl.DataFrame
    ignored: int
    size: int
    """Bytes of text in the block, for progress."""


def parse_name(path: Path) -> FileName:
    """Read ``<FINESS>.<année>.<mois>.<extension>``; raises UnreadableName for any other name or family.

    Source of the form: readers' rules, README of the PMSI reference §3.
    """
    name = path.name.lower()
    if name.endswith(".in.zip"):
        raise UnreadableName(
            "pmsi.input_archive",
            "archive d'entrée (.in.zip) : elle contient des identifiants directs et n'entre pas ; envoyez l'archive .out.zip",
        )
    match = _NAME.fullmatch(name)
    if not match:
        raise UnreadableName(
            "pmsi.file_name", "nom attendu : <FINESS>.<année>.<mois>.<extension>, par exemple 990000017.2025.3.rsa"
        )
    family = FAMILIES.get("." + match["family"])
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise UnreadableName("pmsi.file_family", f"famille de fichier non prise en charge ; extensions connues : {known}")
    period = int(match["period"])
    if not 1 <= period <= 12:
        raise UnreadableName("pmsi.file_period", f"le mois du nom vaut {period} ; attendu de 1 à 12")
    return FileName(match["finess"].upper(), int(match["year"]), period, *family)


def is_known(path: Path) -> bool:
    """Whether the name is that of a file to read."""
    try:
        parse_name(path)
    except UnreadableName as refused:
        return refused.rule not in ("pmsi.file_name", "pmsi.file_family")
    return True


def read(chunks: Iterable[bytes], name: FileName) -> Iterator[Block]:
    """Lines of one file as text, block by block: steps 1 to 7 of the order of checks on one line.

    A line belongs to the layout that its own format number names, so that formats may be mixed in a file.
    """
    layouts = record_layouts.layouts(name.field_of_care, name.record)
    for frame in fixed_width.lines(chunks):
        yield _read_block(frame, layouts, name.finess)


def _read_block(frame: pl.DataFrame, layouts: dict[str, Layout], finess: str) -> Block:
    raw = pl.col("raw")
    offset = next(iter(layouts.values())).detect_offset or 0
    width = max(len(version) for version in layouts)
    fixed_lengths = {version: layout.fixed_length for version, layout in layouts.items()}
    filled = frame.filter((raw.str.strip_chars(_BLANK) != "") & (raw != "\x1a"))
    version = raw.str.slice(offset, width)
    judged = filled.with_columns(version=version).with_columns(
        rule=pl.when("control")
        .then(pl.lit("pmsi.control_character"))
        .when(~pl.col("version").is_in(list(layouts)))
        .then(pl.lit("pmsi.unknown_format"))
        .when(raw.str.len_chars() < pl.col("version").replace_strict(fixed_lengths, default=0, return_dtype=pl.UInt32))
        .then(pl.lit("pmsi.line_too_short"))
        .when(~raw.str.starts_with(finess))
        .then(pl.lit("pmsi.finess_mismatch")),
    )
    refused = [
        judged.filter(pl.col("rule").is_not_null()).select(
            *fixed_width.LINE_COLUMNS, "rule", fields=pl.lit([], pl.List(pl.String))
        )
    ]
    cut: dict[str, pl.DataFrame] = {}
    readable = judged.filter(pl.col("rule").is_null())
    one = readable["version"].n_unique() == 1
    by_version = {(readable["version"][0],): readable} if one else readable.partition_by("version", as_dict=True)
    for (number,), lines in by_version.items():
        cut[str(number)], badly_counted = fixed_width.cut(lines.select(fixed_width.LINE_COLUMNS), layouts[str(number)])
        refused.append(badly_counted)
    size = int(frame["raw"].str.len_bytes().sum()) + 2 * frame.height
    return Block(cut, pl.concat(refused).sort("line_number"), frame.height - filled.height, size)


def resembles(raw_lines: pl.Series) -> str | None:
    """Which record kind most of these unreadable lines look like, by format number and position: ``SMR RHA``, for example."""
    votes: dict[str, int] = {}
    for entry in record_layouts.index().values():
        if entry["detect_value"] and len(entry["detect_value"]) > 1:
            start = int(entry["detect_position"]) - 1
            seen = int((raw_lines.str.slice(start, int(entry["detect_length"])) == entry["detect_value"]).sum())
            kind = f"{entry['field_of_care']} {entry['record']}"
            votes[kind] = votes.get(kind, 0) + seen
    kind, seen = max(votes.items(), key=lambda vote: vote[1])
    return kind if seen * 2 > raw_lines.len() else None
