"""A published table as an Excel workbook for people: À lire, Données, Dictionnaire, Provenance; equal content, equal bytes.

XlsxWriter makes the workbook; the rows, which it would write cell by cell, are put in as XML by Polars, a block at a time.
Where the contract has an ``answer``, people may write in its three columns and nowhere else; the protection has no password.
Must never write a formula, cut a text, round an amount, or show a number that the Parquet file does not hold.
"""

import io
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from contracts_schema.products import Column, Table
from contracts_schema.table_schema import NO, YES
from warehouse.workbook_answers import TO_FILL, TO_FILL_BAND, guide, protect
from warehouse.workbook_front import front
from warehouse.workbook_notes import HEADER, LINE, MAX_CHARACTERS, Unshowable, characters, dictionary, height, paper, provenance

MAX_ROWS = 1_048_575  # a sheet's limit, less its header
MAX_ANSWERED = 25_000  # rows of a sheet that is sent back: as much as is safely read of a file from outside
MAX_DIGITS = 15  # of a number, beyond which Excel rounds
BLOCK = 4_000  # rows made at a time: a row of long texts is a few kilobytes
LEVEL = 4  # of compression: 6, the default, takes twice the time for a sixth less
EPOCH, FIRST_DAY = date(1899, 12, 30), date(1900, 3, 1)  # before that day Excel counts a 29 February 1900
NEEDS_CARE = r"[\x00-\x08\x0b-\x1f\x{fffe}\x{ffff}]|_x[0-9A-Fa-f]{4}_|^\s|\s$|[\t\n]"
MOST_LINES = 27  # of a row of long texts
SHEET_LIMIT = 1 << 31  # of the XML of a sheet, from which the zip needs its large form
FROZEN = 45  # characters of columns, at most, that stay in sight: the first ones, which tell the row


@dataclass(frozen=True)
class About:
    """What a workbook says of itself: its title, its fixed date, the sections of its sheet Provenance (label → text).

    ``reading``: what its first sheet says, as label → text.
    """

    title: str
    created: datetime
    provenance: Mapping[str, Mapping[str, str]]
    reading: Mapping[str, str] = field(default_factory=dict)


def write(path: Path, table: Table, rows: pl.DataFrame, about: About) -> None:
    """Write one table, in the contract's columns and types (``TYPES`` of products), as a workbook.

    More than 1,048,575 rows (25,000 where people answer) go on in « Données 2 », « Données 3 »…
    Unshowable when a cell would have to be cut or rounded.
    """
    _refuse_unshowable(table, rows)
    pieces = sheets(rows.height, table)
    packed = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
    with packed as final, zipfile.ZipFile(io.BytesIO(_frame(table, rows, pieces, about))) as frame:
        data = {f"xl/worksheets/sheet{rank}.xml": rows.slice(*piece[1:]) for rank, piece in enumerate(pieces, start=2)}
        for name in frame.namelist():  # opened by name, each part has the date 1980-01-01
            piece = data.get(name, rows.clear())
            large = piece.estimated_size() + 64 * piece.height * piece.width > SHEET_LIMIT
            with final.open(name, "w", force_zip64=large) as file:
                parts = _filled(frame.read(name).decode(), table, piece) if name in data else [frame.read(name)]
                for part in parts:
                    file.write(part)


def sheets(height: int, table: Table | None = None) -> list[tuple[str, int, int]]:
    """The data sheets that hold so many rows of a table: name, first row, number of rows."""
    most = min(MAX_ROWS, MAX_ANSWERED) if table and table.answer else MAX_ROWS
    starts = range(0, max(height, 1), most)
    return [
        (f"Données {rank}" if rank > 1 else "Données", start, min(most, height - start))
        for rank, start in enumerate(starts, start=1)
    ]


def rows_in(path: Path) -> int:
    """The rows that the data sheets of a workbook hold, read back from it."""
    found = 0
    with zipfile.ZipFile(path) as book:
        names = re.findall(rb'<sheet name="([^"]*)"', book.read("xl/workbook.xml"))
        for rank in (rank for rank, name in enumerate(names, start=1) if name.startswith("Données".encode())):
            with book.open(f"xl/worksheets/sheet{rank}.xml") as file:
                left = b""
                while block := file.read(1 << 20):
                    block = left + block
                    left = block[-4:]  # one short of the mark, which may lie across two blocks
                    found += block.count(b"<row ")
            found -= 1  # the header
    return found


# --- what a workbook cannot hold


def _refuse_unshowable(table: Table, rows: pl.DataFrame) -> None:
    for column in table.columns:
        values = rows[column.name]
        if column.type == "string":
            long = values.filter(values.str.len_bytes() > MAX_CHARACTERS)
            wrong = any(characters(text) > MAX_CHARACTERS for text in long)
            problem = f"a text of more than {MAX_CHARACTERS:,} characters"
        elif column.type in ("integer", "number"):
            wrong = bool(((values >= 10**MAX_DIGITS) | (values <= -(10**MAX_DIGITS))).any())
            problem = f"a number of more than {MAX_DIGITS} digits"
        elif column.type == "date":
            wrong = bool((values < FIRST_DAY).any())
            problem = f"a date before {FIRST_DAY}"
        else:
            continue
        if wrong:
            raise Unshowable(
                f"{table.name}.{column.name} holds {problem}, which a workbook would cut or change: "
                "leave xlsx out of this recipient's formats, the csv and parquet files hold it whole"
            )


# --- everything but the rows


def _frame(table: Table, rows: pl.DataFrame, pieces: list[tuple[str, int, int]], about: About) -> bytes:
    """The whole workbook, where two empty rows stand for the data: one in each column's format, one in its masked format."""
    import xlsxwriter

    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True, "default_date_format": "dd/mm/yyyy"})
    book.set_properties({"title": about.title, "subject": table.label_fr, "author": "ecluse", "created": about.created})
    header = book.add_format(HEADER)
    columns, top = table.workbook_columns, {"valign": "top"} if _wrapped(table) else {}
    open_to_people = {column.name for column in table.answer.columns} if table.answer else set[str]()
    filled = [TO_FILL if column.name in open_to_people else {} for column in columns]
    plain = [book.add_format(_format(column) | top | more) for column, more in zip(columns, filled, strict=True)]
    grey = [book.add_format(_format(column) | top | {"bg_color": "#D9D9D9"}) for column in columns]
    widths = [_width(column, rows[column.name] if column.name in rows.columns else None) for column in columns]
    to_fill = book.add_format(HEADER | {"bg_color": TO_FILL_BAND})
    front(book, table, rows, about.reading)
    for name, _, count in pieces:
        sheet = book.add_worksheet(name)
        for place, column in enumerate(columns):
            sheet.write_string(0, place, column.label_fr, to_fill if column.name in open_to_people else header)
            sheet.write_blank(1, place, None, plain[place])
            sheet.write_blank(2, place, None, grey[place])
            sheet.set_column(place, place, widths[place])
        sheet.set_row(0, height([column.label_fr for column in columns], [width - 4 for width in widths]) + 6)
        sheet.freeze_panes(1, sum(sum(widths[: rank + 1]) <= FROZEN for rank in range(len(widths))))
        sheet.autofilter(0, 0, count, len(widths) - 1)
        sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{count + 1}"})  # codes are text: no green corners
        sheet.repeat_rows(0)
        guide(book, sheet, table, count)
        paper(sheet, table.label_fr)
    dictionary(book, table)
    provenance(book, about.title, about.provenance)
    if table.answer:
        protect(book)
    book.close()
    return content.getvalue()


def _format(column: Column) -> dict[str, Any]:
    """Codes as text; years, months and ranks, which have a maximum, without the separator of thousands."""
    lined = {"border": 1, "border_color": LINE}
    if column.type == "integer" and column.unit == "euro":
        return lined | {"num_format": "#,##0.00\\ [$€-40C]"}
    if column.type == "integer" and "maximum" in column.constraints:
        return lined | {"num_format": "0", "align": "center"}
    formats: dict[str, dict[str, Any]] = {
        "string": {"num_format": "@", "align": "left", "indent": 1},
        "boolean": {"align": "center"},
        "integer": {"num_format": "#,##0"},
        "number": {"num_format": "#,##0.00"},
        "date": {"num_format": "dd/mm/yyyy", "align": "center"},
    }
    return lined | formats[column.type] | ({"text_wrap": True} if column.wrap else {})


def _wrapped(table: Table) -> list[Column]:
    return [column for column in table.columns if column.wrap]


def _width(column: Column, values: pl.Series | None) -> int:
    """In characters: what shows the values, and the header on four lines beside its filter; long texts are clipped.

    A number is never clipped: Excel would show ### instead.
    """
    word = max(len(word) for word in column.label_fr.split())
    header = max(math.ceil(len(column.label_fr) / 3.5) + 4, min(word, 20) + 4)
    if values is None:  # for people to fill
        return max(column.wrap, 12, header)
    if column.wrap:
        return max(column.wrap + 2, header)
    if column.type == "string":
        longest = values.to_frame().select(pl.all().str.len_chars().max()).item() or 0
        return max(9, min(longest, 44 if "enum" in column.constraints else 26) + 4, header)  # words of a list are read whole
    if column.type in ("integer", "number"):
        ends = values.to_frame().select(least=pl.col(column.name).min(), most=pl.col(column.name).max()).row(0)
        digits = max(len(f"{int(end or 0):,}") for end in ends)
        return max(9, digits + (6 if column.type == "number" or column.unit else 3), header)
    return max(12, header)


# --- the rows


def _filled(sheet: str, table: Table, rows: pl.DataFrame) -> Iterator[bytes]:
    """The XML of a data sheet, its two empty rows replaced by the data, a block at a time."""
    found = re.search(r'<row r="2".*?</row><row r="3".*?</row>', sheet)
    if not found:
        raise ValueError("XlsxWriter wrote the empty rows of the data in another way")
    styles = {(cell[0], cell[1]): cell[2] for cell in re.findall(r'<c r="([A-Z]+)([23])" s="(\d+)"/>', found[0])}
    letters = [letter for letter, row in styles if row == "2"]
    extent = f'<dimension ref="A1:{letters[-1]}{rows.height + 1}"/>'
    yield re.sub(r'<dimension ref="[^"]*"/>', extent, sheet[: found.start()]).encode()
    for start in range(0, rows.height, BLOCK):
        block = rows.slice(start, BLOCK).with_row_index("row number", offset=start + 2)
        cells = [
            _cell(block, column, table, letter, styles[letter, "2"], styles[letter, "3"])
            for column, letter in zip(table.workbook_columns, letters, strict=True)
        ]
        number = pl.col("row number").cast(pl.String)
        opened = pl.concat_str(pl.lit('<row r="'), number, pl.lit('"'), _row_height(table), pl.lit(">"))
        made = block.select(pl.concat_str(opened, *cells, pl.lit("</row>")).str.join(""))
        yield made.item().encode()
    yield sheet[found.end() :].encode()


def _row_height(table: Table) -> pl.Expr:
    """What lets the longest text of a row stand, up to so many lines: it is not left to who opens the file."""
    lines = [
        (pl.col(column.name).str.len_chars() / column.wrap).ceil() + pl.col(column.name).str.count_matches("\n")
        for column in _wrapped(table)
    ]
    if not lines:
        return pl.lit("")
    points = 15 * pl.max_horizontal(*lines, 1).clip(1, MOST_LINES).cast(pl.Int64)
    return pl.concat_str(pl.lit(' ht="'), points.cast(pl.String), pl.lit('" customHeight="1"'))


def _cell(block: pl.DataFrame, column: Column, table: Table, letter: str, style: str, grey: str) -> pl.Expr:
    """The XML of a column's cells: empty where there is no value, and grey where it is masked."""
    place = pl.concat_str(pl.lit(f'<c r="{letter}'), pl.col("row number").cast(pl.String))
    if table.answer and column.name not in block.columns:
        shade = pl.when(pl.col(table.answer.rows)).then(pl.lit(style)).otherwise(pl.lit(grey))
        return pl.concat_str(place, pl.lit('" s="'), shade, pl.lit('"/>'))
    value = pl.col(column.name)
    if column.type in ("string", "boolean"):
        space = ""
        if column.type == "boolean":
            text = pl.when(value).then(pl.lit(YES)).otherwise(pl.lit(NO))
        else:
            if block[column.name].str.contains(NEEDS_CARE).any():
                value, space = pl.lit(block[column.name].map_elements(_escaped, pl.String)), ' xml:space="preserve"'
            text = value.str.replace_many(["&", "<", ">"], ["&amp;", "&lt;", "&gt;"])
        filled = pl.concat_str(place, pl.lit(f'" s="{style}" t="inlineStr"><is><t{space}>'), text, pl.lit("</t></is></c>"))
    else:
        filled = pl.concat_str(place, pl.lit(f'" s="{style}"><v>'), _number(column, value), pl.lit("</v></c>"))
    shade = pl.lit(style)
    if any(column.name in mask.hides for mask in table.mask):
        shade = pl.when(pl.col("masked")).then(pl.lit(grey)).otherwise(shade)
    empty = pl.concat_str(place, pl.lit('" s="'), shade, pl.lit('"/>'))
    return pl.when(pl.col(column.name).is_null()).then(empty).otherwise(filled)


def _number(column: Column, value: pl.Expr) -> pl.Expr:
    """The decimal digits of a number, exact: cents become euros as text, without a binary fraction in between."""
    if column.type == "date":
        return (value - pl.lit(EPOCH)).dt.total_days().cast(pl.String)
    if column.unit != "euro":
        return value.cast(pl.String)
    cents = value.abs()
    sign = pl.when(value < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, (cents // 100).cast(pl.String), pl.lit("."), (cents % 100).cast(pl.String).str.zfill(2))


def _escaped(text: str) -> str:
    """Characters that XML cannot hold, in Excel's own notation; and a text that looks like this notation, so that it stays."""
    text = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text)
    return re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", lambda found: f"_x{ord(found[0]):04X}_", text)
