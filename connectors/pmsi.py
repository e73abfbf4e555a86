"""PMSI files: their lines cut under the layout that each line's own format number names, or that its family has.

Everything stays text; what cannot be cut is refused with its line number, byte offset, raw text and rule: steps 1 to 7 of the
order of checks on one line. Never judges a value.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from connectors import fixed_width
from contracts_schema.families import Family, formats
from contracts_schema.layouts import Layout, index

_BLANK = " \t"


@dataclass(frozen=True)
class Block:
    """Some lines of a file: those cut (one frame per format), those refused (``fixed_width.REFUSED``), blanks counted."""

    cut: dict[str, pl.DataFrame]
    refused: pl.DataFrame
    ignored: int
    size: int
    """Bytes of text in the block, for progress."""
    after_mark: bool
    """Whether a UTF-8 byte order mark was taken off before it."""


def read(chunks: Iterable[bytes], family: Family, finess: str) -> Iterator[Block]:
    """Lines of one file as text, block by block. A line belongs to the format that it names, so formats may be mixed."""
    layouts = formats(family)
    for frame in fixed_width.lines(chunks):
        yield _read_block(frame, layouts, finess)


def _read_block(frame: pl.DataFrame, layouts: dict[str, Layout], finess: str) -> Block:
    raw = pl.col("raw")
    filled = frame.filter((raw.str.strip_chars(_BLANK) != "") & (raw != "\x1a"))
    lengths = {version: fixed_width.least_length(layout) for version, layout in layouts.items()}
    judged = filled.with_columns(version=_version(layouts)).with_columns(
        rule=pl.when("control")
        .then(pl.lit("pmsi.control_character"))
        .when(~pl.col("version").is_in(list(layouts)))
        .then(pl.lit("pmsi.unknown_format"))
        .when(raw.str.len_chars() < pl.col("version").replace_strict(lengths, default=0, return_dtype=pl.UInt32))
        .then(pl.lit("pmsi.line_too_short"))
        .when(_foreign(layouts, finess))
        .then(pl.lit("pmsi.finess_mismatch")),
    )
    no_field = pl.lit([], pl.List(pl.String))
    refused = [judged.filter(pl.col("rule").is_not_null()).select(*fixed_width.LINE_COLUMNS, "rule", fields=no_field)]
    cut: dict[str, pl.DataFrame] = {}
    readable = judged.filter(pl.col("rule").is_null())
    one = readable["version"].n_unique() == 1
    by_version = {(readable["version"][0],): readable} if one else readable.partition_by("version", as_dict=True)
    for (name,), lines in by_version.items():
        layout = layouts[str(name)]
        cutter = fixed_width.cut_columns if is_delimited(layout) else fixed_width.cut
        cut[str(name)], badly_cut = cutter(lines.select(fixed_width.LINE_COLUMNS), layout)
        refused.append(badly_cut)
    size = int(frame["raw"].str.len_bytes().sum()) + 2 * frame.height
    after_mark = frame["line_number"][0] == 1 and frame["byte_offset"][0] > 0
    return Block(cut, pl.concat(refused).sort("line_number"), frame.height - filled.height, size, after_mark)


def is_delimited(layout: Layout) -> bool:
    """Whether the fields are columns between semicolons."""
    return layout.fixed_length == 0


def resembles(raw_lines: pl.Series) -> str | None:
    """Which record kind most of these unreadable lines look like, by format number and position: ``SMR RHA``, for example."""
    votes: dict[str, int] = {}
    for entry in index().values():
        if entry["detect_value"] and len(entry["detect_value"]) > 1:
            start = int(entry["detect_position"]) - 1
            seen = int((raw_lines.str.slice(start, int(entry["detect_length"])) == entry["detect_value"]).sum())
            kind = f"{entry['field_of_care']} {entry['record']}"
            votes[kind] = votes.get(kind, 0) + seen
    kind, seen = max(votes.items(), key=lambda vote: vote[1])
    return kind if seen * 2 > raw_lines.len() else None


def _version(layouts: dict[str, Layout]) -> pl.Expr:
    """The format of a line: the number it carries; where the family carries none, what its shape tells."""
    raw = pl.col("raw")
    delimited = next((version for version, layout in layouts.items() if is_delimited(layout)), None)
    if delimited:
        fixed = next(version for version in layouts if version != delimited)
        return pl.when(raw.str.contains(";", literal=True)).then(pl.lit(delimited)).otherwise(pl.lit(fixed))
    numbered = [layout for layout in layouts.values() if layout.version]
    if not numbered:
        return pl.lit(next(iter(layouts)))
    return raw.str.slice(numbered[0].detect_offset or 0, len(numbered[0].version))


def _foreign(layouts: dict[str, Layout], finess: str) -> pl.Expr:
    """Whether the line is of another establishment; never where the family does not name it."""
    field = next((f for layout in layouts.values() for f in layout.fields if f.name == "finess"), None)
    if field is None:
        return pl.lit(value=False)
    return pl.col("raw").str.slice(field.offset, field.length) != finess
