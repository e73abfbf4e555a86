"""Lines of a delimited file to columns of text, in bounded memory: most are cut all at once, those with quotes one by one.

A line that cannot be cut costs no other: it goes on with its fault. A quoted field may hold line ends, within ``MAX_SPAN``
lines. Never judges a value.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import polars as pl

MAX_SPAN = 50
"""Physical lines that one record may span."""
MAX_LINE = 1 << 25
"""Bytes that are waited for to find the end of a line."""
_MARK = b"\xef\xbb\xbf"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"


@dataclass(frozen=True)
class Cut:
    """How to cut: ``width`` fields, those at ``places`` kept; ``record``: what begins each line, ``others`` being left out."""

    encoding: str
    delimiter: str
    quoted: bool
    width: int
    first_row: int
    places: Mapping[str, int]
    record: str | None
    others: tuple[str, ...]
    personal: bool


def cut_blocks(chunks: Iterable[bytes], cut: Cut) -> Iterator[pl.DataFrame]:
    """``line_number``, ``byte_offset``, ``raw``, ``fault``, then the columns of ``places``; blocks follow the chunks."""
    number, offset = 1, 0
    parts = _whole_lines(chunks)
    block, rest = next(parts, b""), b""
    if block.startswith(_MARK):
        offset, block = len(_MARK), block[len(_MARK) :]
    while block or rest:
        following = next(parts, b"")
        data = rest + block
        lines = _lines(data, cut.encoding, number, offset, ends=not following)
        height = lines.height
        lines, carried = _joined(lines, cut, last=not following) if cut.quoted else (lines, None)
        if carried is None:
            number, offset, rest = number + height, offset + len(data), b""
        else:
            rest = data[carried[1] - offset :]
            number, offset = carried
        yield _cut(lines.filter(pl.col("line_number") >= cut.first_row), cut)
        block = following


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after a line end; a line without end is cut at ``MAX_LINE``, and cannot be read."""
    parts: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*parts, chunk[:end]])
            parts = []
        parts.append(chunk[end:])
        if sum(map(len, parts)) > MAX_LINE:
            yield b"".join(parts)
            parts = []
    if last := b"".join(parts):
        yield last


def _lines(data: bytes, encoding: str, number: int, offset: int, *, ends: bool) -> pl.DataFrame:
    """Physical lines: number, offset, raw, and whether the line is the last one and has no end."""
    text = data.decode(encoding, "replace")
    lines = pl.Series("raw", [text.removesuffix("\n")]).str.split("\n").explode()
    long = lines.str.len_bytes() if encoding == "utf-8" else lines.str.len_chars()
    starts = (long.cast(pl.Int64) + 1).cum_sum().shift(1, fill_value=0) + offset
    frame = pl.DataFrame({"byte_offset": starts, "raw": lines.str.strip_suffix("\r")}).with_row_index("line_number", number)
    cut_short = ends and not data.endswith(b"\n")
    last = pl.col("line_number") == number + frame.height - 1
    return frame.with_columns(pl.col("line_number").cast(pl.Int64), unended=last & cut_short)


def _joined(lines: pl.DataFrame, cut: Cut, *, last: bool) -> tuple[pl.DataFrame, tuple[int, int] | None]:
    """Lines put together where a quoted field holds line ends; number and offset of the first line left to the next block.

    Only lines that make a record of the right width together: two stray quotes never cost the lines between them.
    """
    odd = lines.filter(pl.col("raw").str.count_matches('"', literal=True) % 2 == 1)["line_number"].to_list()
    if not odd:
        return lines, None
    spans: list[tuple[int, int]] = []
    place = 0
    end = lines["line_number"][-1]
    while place < len(odd):
        following = odd[place + 1] if place + 1 < len(odd) else None
        if following is not None and _is_record(lines, odd[place], following, cut):
            spans.append((odd[place], following))
            place += 2
            continue
        if following is None and not last and end - odd[place] < MAX_SPAN:
            kept = lines.filter(pl.col("line_number") < odd[place])
            start = lines.filter(pl.col("line_number") == odd[place])["byte_offset"].item()
            return _merged(kept, spans), (odd[place], start)
        place += 1
    return _merged(lines, spans), None


def _is_record(lines: pl.DataFrame, start: int, stop: int, cut: Cut) -> bool:
    if stop - start >= MAX_SPAN:
        return False
    row = _fields("\n".join(lines.filter(pl.col("line_number").is_between(start, stop))["raw"]), cut.delimiter)
    return row is not None and _has_width(row, cut.width)


def _fields(raw: str, delimiter: str) -> list[str] | None:
    """The fields of one record; None when its quotes are wrong."""
    with suppress(csv.Error):
        return next(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter, strict=True), [])
    return None


def _has_width(row: list[str], width: int) -> bool:
    return len(row) == width or (len(row) == width + 1 and not row[-1])


def _merged(lines: pl.DataFrame, spans: list[tuple[int, int]]) -> pl.DataFrame:
    if not spans:
        return lines
    first = {number: start for start, stop in spans for number in range(start, stop + 1)}
    group = pl.col("line_number").replace(first).alias("line_number")
    return lines.group_by(group, maintain_order=True).agg(
        pl.col("byte_offset").first(), pl.col("raw").str.join("\n"), pl.col("unended").any()
    )


def _cut(lines: pl.DataFrame, cut: Cut) -> pl.DataFrame:
    raw = pl.col("raw")
    sign = cut.delimiter
    blank = raw.str.strip_chars(f"{sign} \t\x1a") == ""
    if cut.others:
        blank = blank | raw.str.contains("^(?:" + "|".join(cut.others) + ")" + (r"\|" if sign == "|" else sign))
    told = lines.filter(~blank).with_columns(
        quotes=raw.str.contains('"', literal=True) if cut.quoted else pl.lit(value=False),
        count=raw.str.count_matches(sign, literal=True).cast(pl.Int64) + 1,
        control=raw.str.contains(_CONTROL),
        half=_half_a_letter(),
    )
    plain = told.filter(~pl.col("quotes"))
    spare = (pl.col("count") == cut.width + 1) & raw.str.ends_with(sign)
    fault = (
        pl.when("control")
        .then(pl.lit("control"))
        .when("half")
        .then(pl.lit("cut"))
        .when((pl.col("count") == cut.width) | spare)
        .then(None)
        .when("unended")
        .then(pl.lit("cut"))
        .otherwise(pl.format("columns:{}/{}", "count", pl.lit(cut.width)))
    )
    plain = plain.with_columns(fault=fault)
    sound = plain.filter(pl.col("fault").is_null())
    frames = [
        pl.concat([sound.select(_LINE), _columns(sound["raw"], cut)], how="horizontal"),
        plain.filter(pl.col("fault").is_not_null()).select(_LINE),
        _one_by_one(told.filter("quotes"), cut),
    ]
    whole = pl.concat(frames[:1] + [frame for frame in frames[1:] if frame.height], how="diagonal")
    if sum(frame.height > 0 for frame in frames) > 1:
        whole = whole.sort("line_number")
    shown = pl.lit(None, pl.String).alias("raw") if cut.personal else raw
    return _other_records(whole, cut).select("line_number", "byte_offset", shown, "fault", *cut.places)


def _half_a_letter() -> pl.Expr:
    """Whether a last line without end stops inside a letter of several bytes."""
    return pl.col("unended") & pl.col("raw").str.ends_with("\ufffd")


_LINE = ["line_number", "byte_offset", "raw", "fault"]


def _other_records(whole: pl.DataFrame, cut: Cut) -> pl.DataFrame:
    """A line of the right width that begins with another word is no record of this layout."""
    if cut.record is None:
        return whole
    other = pl.col("fault").is_null() & (pl.col("_record") != cut.record).fill_null(value=True)
    return whole.with_columns(
        pl.when(other).then(pl.lit("record")).otherwise("fault").alias("fault"),
        *(pl.when(~other).then(name).alias(name) for name in cut.places),
    )


def _columns(raw: pl.Series, cut: Cut) -> pl.DataFrame:
    """The kept columns of lines that hold no quote and have the right number of fields."""
    wanted = dict(cut.places) | ({"_record": 0} if cut.record else {})
    schema = dict.fromkeys(wanted, pl.String)
    if raw.is_empty():
        return pl.DataFrame(schema=schema)
    body = raw.str.join("\n").item().encode()
    places = sorted(set(wanted.values()))
    read = pl.read_csv(
        io.BytesIO(body),
        separator=cut.delimiter,
        has_header=False,
        quote_char=None,
        columns=places,
        infer_schema=False,
        truncate_ragged_lines=True,
    )
    name_at = dict(zip(places, read.columns, strict=True))
    cells = {name: _cell(pl.col(name_at[place])) for name, place in wanted.items()}
    return read.select(**cells)


def _cell(text: pl.Expr) -> pl.Expr:
    bare = text.str.strip_chars()
    return pl.when(bare != "").then(bare)


def _one_by_one(lines: pl.DataFrame, cut: Cut) -> pl.DataFrame:
    wanted = dict(cut.places) | ({"_record": 0} if cut.record else {})
    columns: dict[str, list[str | None]] = {name: [] for name in wanted}
    faults: list[str | None] = []
    for raw, unended, control, half in lines.select("raw", "unended", "control", "half").iter_rows():
        row = _fields(raw, cut.delimiter)
        fault = "quote" if row is None else None
        if row is not None and not _has_width(row, cut.width):
            fault = f"columns:{len(row)}/{cut.width}"
        fault = "control" if control else "cut" if half or (fault and unended) else fault
        faults.append(fault)
        for name, place in wanted.items():
            columns[name].append(row[place].strip() or None if row and fault is None else None)
    cells = {name: pl.Series(values, dtype=pl.String) for name, values in columns.items()}
    return lines.select("line_number", "byte_offset", "raw").with_columns(fault=pl.Series(faults, dtype=pl.String), **cells)
