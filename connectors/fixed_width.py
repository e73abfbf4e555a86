"""Bytes of a fixed-width file to columns of text: physical lines, then the fields of one layout.

One byte is one column: bytes are read as latin-1, never as UTF-8. Everything stays text here; what cannot be cut is refused
with its line number, byte offset, raw text and rule. This module never judges a value and never drops a line.
"""

from collections.abc import Iterable, Iterator
from functools import reduce

import numpy as np
import polars as pl
import pyarrow as pa

from contracts_schema.families import is_number
from contracts_schema.layouts import Field, Layout, Zone

PADDING_LIMIT = 20
"""Blanks that a right-stripped line may lack (proposal: step 7 of the order of checks)."""

REQUIRED_IN_ZONE = frozenset(
    {"pgv_auth_type", "rt_suppl_code", "rum_number", "das_code", "act_ccam", "act_quantity"},
)
"""Child fields without which a zone says nothing: padding may never make them blank."""

UTF8_PAIR = "[\u00c2-\u00df][\u0080-\u00bf]"
"""A letter of two bytes in UTF-8, as latin-1 shows it."""

LINE_COLUMNS = ("line_number", "byte_offset", "raw")
REFUSED = pl.Schema(
    {
        "line_number": pl.Int64(),
        "byte_offset": pl.Int64(),
        "raw": pl.String(),
        "rule": pl.String(),
        "fields": pl.List(pl.String),
    }
)

_BOM = b"\xef\xbb\xbf"
_CTRL_Z = b"\x1a"


def lines(chunks: Iterable[bytes]) -> Iterator[pl.DataFrame]:
    """Physical lines of a file, block by block in bounded memory.

    Columns: ``line_number`` (from 1), ``byte_offset`` (in the file as received), ``raw`` (latin-1, without line end),
    ``control`` (holds a control byte). Lines end at LF only; one trailing CR is taken off, and so are a UTF-8 BOM at the
    start and a Ctrl-Z at the end of the file.
    """
    number, offset = 1, 0
    blocks = _blocks_at_line_ends(chunks)
    block = next(blocks, b"")
    if block.startswith(_BOM):
        offset, block = len(_BOM), block[len(_BOM) :]
    while block:
        following = next(blocks, b"")
        frame = _block(block if following else _without_ctrl_z(block), number, offset)
        yield frame
        number, offset, block = number + frame.height, offset + len(block), following


def _without_ctrl_z(last: bytes) -> bytes:
    """The last block without the Ctrl-Z that closes its last line; a Ctrl-Z alone on its line is left to the reader."""
    content = last.removesuffix(b"\n").removesuffix(b"\r")
    ends_a_line = content.endswith(_CTRL_Z) and content[:-1] and not content.endswith(b"\n" + _CTRL_Z)
    return content[:-1] if ends_a_line else last


def _blocks_at_line_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after a line end; only the last block may lack one."""
    parts: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*parts, chunk[:end]])
            parts = []
        parts.append(chunk[end:])
    rest = b"".join(parts)
    if rest:
        yield rest


def _block(data: bytes, number: int, offset: int) -> pl.DataFrame:
    starts = _line_starts(data)
    control = _has_control(data)
    text = data if data.isascii() else data.decode("latin-1").encode()
    bounds = starts if text is data else _line_starts(text)
    array = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(text))
    raw = pl.Series("raw", pl.from_arrow(array)).str.strip_suffix("\n").str.strip_suffix("\r")
    frame = pl.DataFrame(
        {"line_number": np.arange(number, number + len(raw)), "byte_offset": starts[:-1] + offset, "raw": raw},
    )
    found = pl.col("raw").str.contains(r"[\x00-\x1f]") if control else pl.lit(value=False)
    return frame.with_columns(control=found)


def _line_starts(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Offsets of the first byte of every line, then of the end."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    return np.concatenate(([0], ends)).astype(np.int64)


def _has_control(data: bytes) -> bool:
    """Whether any byte under 0x20 stands elsewhere than in a line end: told for a whole block at once, for speed."""
    low = int(np.count_nonzero(np.frombuffer(data, np.uint8) < ord(" ")))
    return low != data.count(b"\n") + data.count(b"\r\n")


def padding_limit(layout: Layout) -> int:
    """Blanks that a right-stripped line may lack: few where zones follow, as many as were stripped where none does."""
    return PADDING_LIMIT if layout.zones else layout.fixed_length


def least_length(layout: Layout) -> int:
    """Length under which a line cannot be read: the fixed part where zones follow, else up to the last field it must have.

    None where fields are columns between semicolons: their number tells.
    """
    if layout.zones or not layout.fixed_length:
        return layout.fixed_length
    return max((field.offset + field.length for field in layout.fields if not field.nullable), default=0)


def cut_columns(frame: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut lines of columns between semicolons, as ``cut`` does for fixed widths; the number of columns must be exact."""
    names = [field.name for field in layout.fields]
    parts = pl.col("raw").str.split(";")
    right = frame.select(exact=parts.list.len() == len(names))["exact"]
    columns = [parts.list.get(rank, null_on_oob=True).alias(name) for rank, name in enumerate(names)]
    kept = frame.filter(right).select(*LINE_COLUMNS, *columns, padded=pl.lit(value=False))
    refused = frame.filter(~right).with_columns(rule=pl.lit("pmsi.line_length"))
    return kept, _refused(refused, pl.lit([], pl.List(pl.String)))


def cut(frame: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut lines of one format into text columns.

    Takes ``line_number, byte_offset, raw`` of lines that are at least as long as the fixed part. Gives two frames: the
    lines cut (same three columns, ``padded``, every fixed field but the fillers as exact text, and ``<zone>_zone`` as one
    exact string per zone), and the lines refused as ``REFUSED`` says. Zones stay whole: what wants
    their items cuts them later, for the lines it wants.
    """
    counts = {zone: _blank_is_zero(layout.field(zone.count_field)) for zone in layout.zones}
    counted = frame.lazy().with_columns(
        **{f"n_{zone.name}": count for zone, count in counts.items()},
        length=pl.col("raw").str.len_chars().cast(pl.Int64),
    )
    starts = _zone_starts(layout)
    accented = bool(frame.select((pl.col("raw").str.len_bytes() > pl.col("raw").str.len_chars()).any()).item())
    judged = counted.with_columns(expected=starts["end"]).with_columns(
        rule=pl.when(pl.any_horizontal(pl.lit(value=False), *(pl.col(f"n_{zone.name}").is_null() for zone in layout.zones)))
        .then(pl.lit("pmsi.invalid_count"))
        .when(_wrong_length(layout, starts, accented=accented))
        .then(pl.lit("pmsi.line_length")),
    )
    block = judged.collect()
    refused = block.filter(pl.col("rule").is_not_null())
    kept = block.filter(pl.col("rule").is_null()) if refused.height else block
    return _slice(kept, layout, starts, accented=accented), _refused(refused, _bad_counts(layout))


def _slice(kept: pl.DataFrame, layout: Layout, starts: dict[str, pl.Expr], *, accented: bool) -> pl.DataFrame:
    padded = pl.col("length") < pl.col("expected")
    whole = pl.col("raw")
    if kept.select(padded.any()).item():
        whole = pl.when(padded).then(whole + " " * padding_limit(layout)).otherwise(whole)
    # where each character is one byte, slicing bytes gives the same and costs half
    whole = whole if accented else whole.cast(pl.Binary)

    def piece(start: int | pl.Expr, length: int | pl.Expr) -> pl.Expr:
        column = pl.col("whole")
        return column.str.slice(start, length) if accented else column.bin.slice(start, length).cast(pl.String)

    text = {field.name: piece(field.offset, field.length) for field in layout.fields if not field.is_filler}
    zones = {f"{zone.name}_zone": piece(starts[zone.name], pl.col(f"n_{zone.name}") * zone.width) for zone in layout.zones}
    return kept.with_columns(whole=whole).select(*LINE_COLUMNS, padded.alias("padded"), **text, **zones)


def _zone_starts(layout: Layout) -> dict[str, pl.Expr]:
    """Offset of each zone in a line, and of its end, as expressions over the zones' counts ``n_<zone>``."""
    starts: dict[str, pl.Expr] = {}
    position = pl.lit(layout.fixed_length, dtype=pl.Int64)
    for zone in layout.zones:
        starts[zone.name] = position
        position = position + pl.col(f"n_{zone.name}") * zone.width
    return starts | {"end": position}


def _blank_is_zero(field: Field) -> pl.Expr:
    """A count: digits or blank; null when it is anything else (a sign included, which a cast alone would take)."""
    text = pl.col("raw").str.slice(field.offset, field.length).str.strip_chars(" ")
    number = pl.when(~text.str.contains("+", literal=True)).then(text.cast(pl.UInt32, strict=False))
    return pl.when(text == "").then(0).otherwise(number).cast(pl.Int64)


def _wrong_length(layout: Layout, starts: dict[str, pl.Expr], *, accented: bool) -> pl.Expr:
    length, expected = pl.col("length"), pl.col("expected")
    too_long = (length > expected) & (pl.col("raw").str.slice(expected).str.strip_chars(" ") != "")
    cut_off = _blanks_required_field(layout, starts) | _ends_inside_a_number(layout)
    too_short = (length < expected - padding_limit(layout)) | ((length < expected) & cut_off)
    # an accent written on two bytes shifts what follows: blanks at the end of a line must not make up for it
    shifted = (length != expected) & pl.col("raw").str.contains(UTF8_PAIR) if accented else pl.lit(value=False)
    return too_long | too_short | shifted


def _blanks_required_field(layout: Layout, starts: dict[str, pl.Expr]) -> pl.Expr:
    """Whether padding would make a required child field blank: its last occurrence starts after the end of the line."""

    def lost(zone: Zone, field: Field) -> pl.Expr:
        last = starts[zone.name] + (pl.col(f"n_{zone.name}") - 1) * zone.width + field.offset
        return (pl.col(f"n_{zone.name}") > 0) & (last >= pl.col("length"))

    found = (lost(zone, field) for zone in layout.zones for field in zone.fields if field.name in REQUIRED_IN_ZONE)
    return reduce(pl.Expr.or_, found, pl.lit(value=False))


def _ends_inside_a_number(layout: Layout) -> pl.Expr:
    """Whether a line without zones ends inside a number: it was cut, not right-stripped, and padding would make it another."""
    numbers = [] if layout.zones else [field for field in layout.fields if is_number(field)]
    inside = (pl.col("length").is_between(field.offset + 1, field.offset + field.length - 1) for field in numbers)
    return reduce(pl.Expr.or_, inside, pl.lit(value=False))


def _bad_counts(layout: Layout) -> pl.Expr:
    names = (pl.when(pl.col(f"n_{zone.name}").is_null()).then(pl.lit(zone.count_field)) for zone in layout.zones)
    return pl.concat_list(*names).list.drop_nulls() if layout.zones else pl.lit([], pl.List(pl.String))


def _refused(frame: pl.DataFrame, fields: pl.Expr) -> pl.DataFrame:
    return frame.select(*LINE_COLUMNS, "rule", fields=fields).cast(REFUSED)
