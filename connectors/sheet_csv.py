"""Cells of a CSV file: declared encodings and delimiters only, strict quotes, and the place of the first fault.

Runs in the child process. Lines end at LF or CRLF only: a Unicode-wide splitter would cut cells in two. Never guesses an
encoding, never repairs a row, and never puts a value in an error.
"""

import codecs
import csv
import io
from array import array
from contextlib import suppress
from itertools import chain, repeat

from connectors.sheet_archive import FL1, MAX_CELLS, Unreadable
from connectors.sheet_cells import ERROR, ERRORS, TEXT, FileCells, SheetCells

FL4 = "bordereau.FL4"
FL5 = "bordereau.FL5"

MAX_FIELD = 1 << 20
"""Characters of one field; Python's own default, 131,072, is met by honest comments pasted from elsewhere."""
_BATCH = 20_000
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def read(content: bytes, delimiters: list[str], encodings: list[str], quote: str) -> FileCells:
    """The one sheet of a CSV file; rows are numbered by the physical line they start on."""
    text, encoding = decode(content, encodings)
    if quote * 2 not in text and text.count(quote) % 2:
        raise Unreadable(FL5, "un guillemet est ouvert et jamais fermé : fichier tronqué ou mal écrit")
    if "\n" not in text and "\r" in text:
        raise Unreadable(FL5, f"ligne 1 : {_french('new-line character')}")
    failures: list[Unreadable] = []
    for delimiter in _candidates(text, delimiters, quote):
        try:
            return FileCells("csv", [_sheet(text, delimiter, quote)], encoding=encoding, delimiter=delimiter)
        except Unreadable as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    shown = ", ".join({"\t": "tabulation"}.get(delimiter, f"« {delimiter} »") for delimiter in delimiters)
    raise Unreadable(FL5, f"aucun des séparateurs admis ({shown}) ne découpe le fichier en colonnes")


def decode(content: bytes, encodings: list[str]) -> tuple[str, str]:
    """The text and its encoding: a byte order mark decides, else the first declared encoding that reads every byte."""
    for mark, name in _UTF16.items():
        if content.startswith(mark):
            return _checked(_strict(content[2:], name, 2), 2, wide=True), name
    if content.startswith(codecs.BOM_UTF8):
        return _checked(_strict(content[3:], "utf-8", 3), 3), "utf-8-sig"
    if b"\0" in content:
        place = content.index(b"\0")
        hint = " (UTF-16 sans marque d'ordre ?)" if content[:200].count(b"\0") > 20 else ""
        raise Unreadable(FL4, f"octet {place} : caractère NUL dans le texte{hint} ; à enregistrer en CSV UTF-8")
    first: Unreadable | None = None
    for name in (encoding for encoding in encodings if encoding != "utf-8-sig"):
        try:
            return _strict(content, name, 0), name
        except Unreadable as failure:
            first = first or failure
    raise first or Unreadable(FL4, "aucun encodage déclaré ne convient")


def _strict(content: bytes, encoding: str, offset: int) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        message = f"octet {error.start + offset} : illisible en {encoding} ; à enregistrer en CSV UTF-8"
        raise Unreadable(FL4, message) from None


def _checked(text: str, offset: int, *, wide: bool = False) -> str:
    place = text.find("\0")
    if place >= 0:
        octet = offset + (2 * place if wide else len(text[:place].encode("utf-8")))
        raise Unreadable(FL4, f"octet {octet} : caractère NUL dans le texte ; à enregistrer en CSV UTF-8")
    return text


def _candidates(text: str, delimiters: list[str], quote: str) -> list[str]:
    """Delimiters that cut the first lines, those giving most columns first (then in the declared order)."""
    csv.field_size_limit(MAX_FIELD)
    start = text if len(text) < 1 << 16 else text[: text.rfind("\n", 0, 1 << 16) + 1] or text[: 1 << 16]
    widths: dict[str, int] = {}
    for delimiter in delimiters:
        counts: list[int] = []
        with suppress(csv.Error):  # the strict reading tells the row
            counts.extend(len(row) for row in csv.reader(_lines(start), delimiter=delimiter, quotechar=quote) if row)
        if counts and max(counts) > 1:
            same = counts.count(max(set(counts), key=counts.count)) / len(counts)
            widths[delimiter] = int(1000 * same) * 100_000 + max(counts)
    return sorted(widths, key=lambda delimiter: -widths[delimiter])


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline="\n")


def _sheet(text: str, delimiter: str, quote: str) -> SheetCells:
    sheet = SheetCells(None)
    reader = csv.reader(_lines(text), delimiter=delimiter, quotechar=quote, strict=True)
    width = line = 0
    rows: list[list[str]] = []
    numbers = array("I")
    try:
        for row in reader:
            if row:
                width = width or len(row)
                if len(row) != width:
                    message = (
                        f"ligne {line + 1} : {len(row)} champs au lieu de {width} (ligne coupée, ou séparateur dans un champ)"
                    )
                    raise Unreadable(FL5, message)
                rows.append(row)
                numbers.append(line + 1)
                if len(rows) == _BATCH:
                    _take(sheet, rows, numbers, width)
                    rows, numbers = [], array("I")
            line = reader.line_num
    except csv.Error as error:
        raise Unreadable(FL5, f"ligne {line + 1} : {_french(str(error))}") from None
    _take(sheet, rows, numbers, width)
    return sheet


def _french(message: str) -> str:
    if "field larger" in message:
        return f"un champ dépasse {MAX_FIELD} caractères"
    if "unexpected end" in message:
        return "un guillemet est ouvert et jamais fermé : fichier tronqué ou mal écrit"
    if "new-line character" in message:
        return "retour chariot isolé (CR) : fin de ligne inconnue, à enregistrer avec des fins de ligne CRLF ou LF"
    return "guillemets mal placés"


def _take(sheet: SheetCells, rows: list[list[str]], numbers: "array[int]", width: int) -> None:
    """Rows as cells, all at once; empty fields hold nothing."""
    if not rows:
        return
    texts = list(chain.from_iterable(rows))
    filled = [bool(text) for text in texts]
    columns = list(range(1, width + 1)) * len(rows)
    places = chain.from_iterable(map(repeat, numbers, repeat(width, len(rows))))
    sheet.rows.extend(place for place, kept in zip(places, filled, strict=True) if kept)
    sheet.columns.extend(column for column, kept in zip(columns, filled, strict=True) if kept)
    kept_texts = [text for text in texts if text]
    if len(sheet.texts) + len(kept_texts) > MAX_CELLS:
        raise Unreadable(FL1, f"plus de {MAX_CELLS} cellules remplies : fichier piégé ?")
    sheet.texts += kept_texts
    sheet.kinds += (
        [ERROR if text in ERRORS else TEXT for text in kept_texts] if "#" in _heads(kept_texts) else [TEXT] * len(kept_texts)
    )
    sheet.formulas.extend(bytes(len(kept_texts)))
    sheet.formats.extend(array("I", bytes(4 * len(kept_texts))))


def _heads(texts: list[str]) -> set[str]:
    return {text[0] for text in texts}
