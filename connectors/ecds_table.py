"""Bytes of one section of an e-CDS export to columns of text with the number of each line; nothing is converted here.

Lines with too many or too few fields stand apart with their number; what makes every line unreliable (encoding, separator,
quotes, a heading twice) refuses the file. Never guesses a separator or an encoding, and no error holds the value of a cell.
"""

import csv
import io
from dataclasses import dataclass

import polars as pl

from connectors.sheets import Sheet, Unreadable, read_sheets

SEPARATOR, QUOTE = ";", '"'
SIGNS = {",": "« , »", "\t": "tabulation", "|": "« | »", ";": "« ; »"}
CDS57 = "cds.CDS57"
MAX_BYTES = 256 << 20
"""Of one file: 3,000 centres with their staff make about 60 MB."""


class EcdsRefused(ValueError):
    """A file of which nothing is accepted; ``rule`` and ``line`` (None: the whole file), the message in French."""

    def __init__(self, rule: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.line = line


@dataclass(frozen=True)
class TextTable:
    """``headings`` as written; ``rows``: ``line`` (Int64, from 1, where the row starts), then c0, c1… of text, trimmed, null
    when empty; ``ragged``: line, fields (Int64: how many), raw (text)."""

    headings: tuple[str, ...]
    rows: pl.DataFrame
    ragged: pl.DataFrame


def read_table(content: bytes, separator: str = SEPARATOR) -> TextTable:
    """The table of a CSV or XLSX file, told apart by their bytes. Raises ``EcdsRefused`` (cds.CDS57)."""
    if len(content) > MAX_BYTES:
        raise EcdsRefused(CDS57, f"plus de {MAX_BYTES >> 20} Mo : fichier trop gros")
    return _of_sheet(content) if content[:4] == b"PK\x03\x04" else _of_csv(content, separator)


def _of_csv(content: bytes, separator: str) -> TextTable:
    text = _decoded(content)
    first = next((line for line in text.split("\n", 50)[:50] if line.strip()), "")
    if not first:
        raise EcdsRefused(CDS57, "fichier vide : à exporter de nouveau", 1)
    if separator not in first:
        seen = next((name for sign, name in SIGNS.items() if sign in first), "aucun")
        raise EcdsRefused(CDS57, f"séparateur « {separator} » attendu dans l'en-tête (ligne 1), trouvé : {seen}", 1)
    return _quoted(text, separator) if QUOTE in text else _plain(text, separator)


def _decoded(content: bytes) -> str:
    body = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start + len(content) - len(body)
        line = body[: error.start].count(b"\n") + 1
        message = f"octet {place} (ligne {line}) illisible en UTF-8 ; à enregistrer en CSV UTF-8"
        raise EcdsRefused(CDS57, message, line) from None
    if "\0" in text:
        raise EcdsRefused(
            CDS57, "caractère NUL dans le texte ; à enregistrer en CSV UTF-8", text[: text.index("\0")].count("\n") + 1
        )
    return text


def _plain(text: str, separator: str) -> TextTable:
    """A file without any quote: lines are lines, fields are cut at each separator, all columns at once."""
    lines = pl.DataFrame({"raw": pl.Series([text]).str.split("\n").explode()}).with_row_index("line", offset=1)
    lines = lines.with_columns(pl.col("line").cast(pl.Int64), pl.col("raw").str.strip_suffix("\r"))
    lines = lines.filter(pl.col("raw").str.contains(r"[^\s;|]") | pl.col("raw").str.contains(separator, literal=True))
    headings = tuple(lines["raw"][0].split(separator))
    lines = lines.slice(1).with_columns(fields=pl.col("raw").str.count_matches(separator, literal=True).cast(pl.Int64) + 1)
    good = lines.filter(pl.col("fields") == len(headings))
    names = [f"c{place}" for place in range(len(headings))]
    cut = good.select("line", pl.col("raw").str.split_exact(separator, len(headings) - 1).struct.rename_fields(names)).unnest(
        "raw"
    )
    return TextTable(headings, _trimmed(cut), lines.filter(pl.col("fields") != len(headings)).select("line", "fields", "raw"))


def _quoted(text: str, separator: str) -> TextTable:
    """A file with quotes, by RFC 4180: a field may hold a separator, a doubled quote or a line break."""
    csv.field_size_limit(1 << 20)
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, quotechar=QUOTE, strict=True)
    headings: tuple[str, ...] = ()
    rows: list[list[str]] = []
    numbers: list[int] = []
    ragged: list[tuple[int, int, str]] = []
    start = 1
    try:
        for row in reader:
            if not headings:
                headings = tuple(row) if any(row) else ()
            elif len(row) == len(headings):
                rows.append(row)
                numbers.append(start)
            elif row:
                ragged.append((start, len(row), separator.join(row)))
            start = reader.line_num + 1
    except csv.Error:
        raise EcdsRefused(CDS57, f"ligne {start} : guillemets mal placés, ou jamais fermés", start) from None
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(headings)
    data = {f"c{place}": pl.Series(column, dtype=pl.String) for place, column in enumerate(columns)}
    frame = pl.DataFrame({"line": pl.Series(numbers, dtype=pl.Int64)} | data)
    apart = pl.DataFrame(ragged, schema={"line": pl.Int64, "fields": pl.Int64, "raw": pl.String}, orient="row")
    return TextTable(headings, _trimmed(frame), apart)


def _of_sheet(content: bytes) -> TextTable:
    """The first visible sheet of a workbook: its first row that holds something is the header."""
    try:
        workbook = read_sheets(content)
    except Unreadable as refusal:
        raise EcdsRefused(CDS57, str(refusal)) from None
    sheet: Sheet | None = next((one for one in workbook.sheets if not one.hidden and one.cells.height), None)
    if sheet is None:
        raise EcdsRefused(CDS57, "classeur sans feuille visible remplie")
    cells = sheet.cells.select(pl.col("row").cast(pl.Int64), pl.col("column").cast(pl.Int64), "text")
    top = cells["row"].min()
    heads = dict(cells.filter(pl.col("row") == top).select("column", "text").iter_rows())
    width = max(heads)
    body = cells.filter(pl.col("row") > top)
    outside = body.filter(pl.col("column") > width)
    wide = body.group_by("row").agg(
        *(pl.col("text").filter(pl.col("column") == place + 1).first().alias(f"c{place}") for place in range(width))
    )
    wide = wide.sort("row").rename({"row": "line"})
    apart = outside.group_by("row").agg(fields=pl.col("column").max(), raw=pl.col("text").str.join(SEPARATOR)).sort("row")
    good = wide.join(apart.select(line="row"), on="line", how="anti", maintain_order="left")
    headings = tuple(heads.get(place + 1, "") for place in range(width))
    return TextTable(headings, _trimmed(good), apart.select(line="row", fields="fields", raw="raw"))


def _trimmed(rows: pl.DataFrame) -> pl.DataFrame:
    text = pl.exclude("line").str.strip_chars(" \t\r\n\u00a0\u202f\ufeff")
    return rows.with_columns(pl.when(text != "").then(text).name.keep())
