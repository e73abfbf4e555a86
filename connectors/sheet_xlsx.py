"""Cells of an XLSX workbook, from its XML: the digits as stored, formats, errors, formulas and what is hidden.

Runs in the child process. Reads the parts itself because the usual readers turn numbers to binary floats, or lose the
percentage format, error cells, formulas without a stored value and hidden rows. Never evaluates a formula, never follows a
link, never believes the dimension that a sheet states.
"""

import posixpath
import re

from connectors.sheet_archive import FL1, FL2, Archive, Unreadable, parse_xml
from connectors.sheet_cells import BOOLEAN, DATE, ERROR, FORMULA, NUMBER, PERCENTAGE, TEXT, FileCells, SheetCells

_MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_DATES = frozenset((*range(14, 18), 22, *range(27, 37), *range(50, 59)))
_PERCENTAGES = frozenset((9, 10))
_LITERAL = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.')
_RELATION = re.compile(
    r"^http://(schemas\.openxmlformats\.org/officeDocument/2006|purl\.oclc\.org/ooxml/officeDocument)/relationships"
)
_ROWS, _COLUMNS = 1_048_576, 16_384


def read(archive: Archive) -> FileCells:
    """All sheets of a workbook, in its order."""
    sheets, date_1904 = _workbook(archive)
    targets = _targets(archive)
    strings = _shared_strings(archive) if archive.has("xl/sharedStrings.xml") else []
    kinds, style_formats, formats = _styles(archive) if archive.has("xl/styles.xml") else ([], [], [""])
    cells = FileCells("xlsx", [], date_1904=date_1904, number_formats=formats)
    names = archive.archive.namelist()
    cells.external_links = any(name.startswith("xl/externalLinks/") for name in names)
    for name, hidden, relation in sheets:
        sheet = SheetCells(name, hidden)
        target = targets.get(relation)
        if target and "/chartsheets/" not in target:
            _sheet(archive.part(target), name, sheet, strings, kinds, style_formats)
        cells.sheets.append(sheet)
    for name in names:
        if name.startswith(("xl/comments", "xl/threadedComments/")) and name.endswith(".xml"):
            cells.comments.append(_all_text(archive.part(name), name))
    return cells


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _workbook(archive: Archive) -> tuple[list[tuple[str, bool, str]], bool]:
    sheets: list[tuple[str, bool, str]] = []
    date_1904 = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal date_1904
        if _local(name) == "workbookPr":
            date_1904 = attributes.get("date1904", "0") in ("1", "true", "on")
        elif _local(name) == "sheet":
            relation = next((value for key, value in attributes.items() if key.endswith(" id") and _RELATION.match(key)), "")
            sheets.append((attributes.get("name", ""), attributes.get("state", "visible") != "visible", relation))

    parse_xml(archive.part("xl/workbook.xml"), "xl/workbook.xml", start)
    if not sheets:
        raise Unreadable(FL2, "classeur sans aucune feuille")
    return sheets, date_1904


def _targets(archive: Archive) -> dict[str, str]:
    """Relation id → name of the part; relations that lead out of the archive are left out."""
    targets: dict[str, str] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if _local(name) == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join("xl", target))
            targets[attributes.get("Id", "")] = path

    parse_xml(archive.part("xl/_rels/workbook.xml.rels"), "xl/_rels/workbook.xml.rels", start)
    return targets


def _shared_strings(archive: Archive) -> list[str]:
    """Shared strings: the runs of each put together, phonetic hints left out."""
    strings: list[str] = []
    runs: list[str] = []
    taking = phonetic = False

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal taking, phonetic
        local = _local(name)
        taking = local == "t" and not phonetic
        if local == "si":
            runs.clear()
        elif local == "rPh":
            phonetic = True

    def end(name: str) -> None:
        nonlocal taking, phonetic
        local = _local(name)
        if local == "t":
            taking = False
        elif local == "rPh":
            phonetic = False
        elif local == "si":
            strings.append("".join(runs))

    def text(data: str) -> None:
        if taking:
            runs.append(data)

    parse_xml(archive.part("xl/sharedStrings.xml"), "xl/sharedStrings.xml", start, end, text)
    return strings


def _styles(archive: Archive) -> tuple[list[str], list[int], list[str]]:
    """Of each cell style: the kind of a number under it, and which of the formats it has."""
    codes: dict[int, str] = {}
    formats: list[str] = [""]
    kinds: list[str] = []
    of_style: list[int] = []
    place: dict[str, int] = {"": 0}
    inside = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        local = _local(name)
        if local == "numFmt":
            codes[_integer(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        elif local == "cellXfs":
            inside = True
        elif local == "xf" and inside:
            number = _integer(attributes.get("numFmtId"))
            code = codes.get(number, "")
            kinds.append(_kind_of_format(number, code))
            shown = code or (str(number) if number else "")
            if shown not in place:
                place[shown] = len(formats)
                formats.append(shown)
            of_style.append(place[shown])

    def end(name: str) -> None:
        nonlocal inside
        if _local(name) == "cellXfs":
            inside = False

    parse_xml(archive.part("xl/styles.xml"), "xl/styles.xml", start, end)
    return kinds, of_style, formats


def _integer(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0


def _kind_of_format(number: int, code: str) -> str:
    if not code:
        return DATE if number in _DATES else PERCENTAGE if number in _PERCENTAGES else NUMBER
    bare = _LITERAL.sub("", code.split(";")[0]).lower()
    if "%" in bare:
        return PERCENTAGE
    day_like = "d" in bare or "y" in bare or "j" in bare or ("m" in bare and not re.search("[hs]", bare))
    return DATE if day_like and "general" not in bare else NUMBER


def _sheet(
    content: bytes, title: str, sheet: SheetCells, strings: list[str], kinds: list[str], style_formats: list[int]
) -> None:
    """The cells of one sheet. One function with its state in it: half a million cells go through these handlers."""
    row = column = 0
    kind, style, taking = "n", "0", ""
    formula: str | None = None
    value: str | None = None
    columns: dict[str, int] = {}
    tags = {f"{uri} {tag}": tag for uri in _MAIN for tag in ("row", "c", "v", "f", "t", "rPh", "col", "mergeCell")}
    phonetic = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal row, column, kind, style, formula, value, taking, phonetic
        tag = tags.get(name)
        if tag == "c":
            place = attributes.get("r")
            if place:
                letters = place.rstrip("0123456789")
                column = columns.get(letters) or columns.setdefault(letters, _column(letters))
                if not 0 < column <= _COLUMNS:
                    raise Unreadable(FL2, f"feuille {title!r}, ligne {row} : adresse de cellule impossible")
            else:
                column += 1
            kind, style = attributes.get("t", "n"), attributes.get("s", "0")
            formula = value = None
        elif tag == "v":
            taking, value = "v", ""
        elif tag == "f":
            taking, formula = "f", ""
        elif tag == "t":
            taking = "" if phonetic else "v"
            if value is None:
                value = ""
        elif tag == "row":
            number = attributes.get("r")
            following = _integer(number) if number else row + 1
            if not row < following <= _ROWS:
                raise Unreadable(FL2, f"feuille {title!r} : les lignes ne se suivent pas après la ligne {row}")
            row, column = following, 0
            if attributes.get("hidden") in ("1", "true"):
                sheet.hidden_rows.append(row)
        elif tag == "rPh":
            phonetic = True
        elif tag == "col":
            if attributes.get("hidden") in ("1", "true"):
                first, last = _integer(attributes.get("min")), min(_integer(attributes.get("max")), _COLUMNS)
                sheet.hidden_columns.extend(range(first, last + 1))
        elif tag == "mergeCell":
            sheet.merged.append(_area(attributes.get("ref", "A1"), title))

    def end(name: str) -> None:
        nonlocal taking, phonetic
        tag = tags.get(name)
        if tag in ("v", "f", "t"):
            taking = ""
        elif tag == "rPh":
            phonetic = False
        elif tag == "c" and (value or formula is not None):
            _add(sheet, row, column, kind, style, value, formula)

    def text(data: str) -> None:
        nonlocal value, formula
        if taking == "v":
            value = (value or "") + data
        elif taking == "f":
            formula = (formula or "") + data

    def _add(sheet: SheetCells, row: int, column: int, kind: str, style: str, value: str | None, formula: str | None) -> None:
        computed = formula is not None
        if not value:
            sheet.add(row, column, FORMULA, f"={formula}", formula=True)
        elif kind == "s":
            position = int(value) if value.isdecimal() else -1
            if not 0 <= position < len(strings):
                raise Unreadable(FL2, f"feuille {title!r}, ligne {row} : texte partagé introuvable, classeur abîmé")
            if strings[position]:
                sheet.add(row, column, TEXT, strings[position])
        elif kind == "n":
            number = int(style) if style.isdecimal() else 0
            known = number < len(kinds)
            number_format = style_formats[number] if known else 0
            sheet.add(row, column, kinds[number] if known else NUMBER, value, formula=computed, number_format=number_format)
        elif kind == "b":
            sheet.add(row, column, BOOLEAN, "VRAI" if value == "1" else "FAUX", formula=computed)
        elif kind == "e":
            sheet.add(row, column, ERROR, value, formula=computed)
        elif kind == "d":
            sheet.add(row, column, DATE, value, formula=computed)
        else:
            sheet.add(row, column, TEXT, value, formula=computed)

    parse_xml(content, title, start, end, text)


def _column(letters: str) -> int:
    """``A`` → 1, ``AB`` → 28; 0 for what is no column."""
    if not (letters.isascii() and letters.isalpha() and letters.isupper() and len(letters) <= 3):
        return 0
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _area(reference: str, title: str) -> tuple[int, int, int, int]:
    found = re.fullmatch(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?", reference)
    if not found:
        raise Unreadable(FL1, f"feuille {title!r} : zone fusionnée illisible")
    left, top, right, bottom = found.groups()
    return int(top), _column(left), int(bottom or top), _column(right or left)


def _all_text(content: bytes, part: str) -> str:
    texts: list[str] = []
    parse_xml(content, part, text=texts.append)
    return " ".join(texts)
