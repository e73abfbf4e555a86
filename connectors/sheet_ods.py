"""Cells of an OpenDocument spreadsheet, from its XML: stored values, errors, formulas and what is hidden.

Runs in the child process. Repeated rows and columns are attributes in this format: empty ones cost nothing, filled ones are
written out within the limit of cells. Never evaluates a formula and never reads an annotation as part of its cell.
"""

from connectors.sheet_archive import FL1, Archive, Unreadable, parse_xml
from connectors.sheet_cells import BOOLEAN, DATE, ERROR, ERRORS, FORMULA, NUMBER, PERCENTAGE, TEXT, FileCells, SheetCells

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
_TABLE, _OFFICE, _TEXT, _STYLE = (f"{_OASIS}{part}:1.0 " for part in ("table", "office", "text", "style"))
_CALC = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0 "
_VALUES = {"float": NUMBER, "currency": NUMBER, "percentage": PERCENTAGE, "date": DATE, "boolean": BOOLEAN}
_ROWS, _COLUMNS = 1_048_576, 16_384
_OUTSIDE = frozenset((_TABLE + "tracked-changes", _TABLE + "shapes", _TABLE + "dde-links"))


def read(archive: Archive) -> FileCells:
    """All sheets of the document, in its order."""
    reader = _Reader()
    parse_xml(archive.part("content.xml"), "content.xml", reader.start, reader.end, reader.text)
    return FileCells("ods", reader.sheets, comments=reader.comments)


class _Reader:
    """Handlers and what they are in the middle of."""

    def __init__(self) -> None:
        self.sheets: list[SheetCells] = []
        self.comments: list[str] = []
        self.hidden_styles: set[str] = set()
        self.style = ""
        self.row = self.column = self.row_repeat = self.column_repeat = self.definition = 0
        self.cells: list[tuple[int, int, str, str, bool]] = []
        self.attributes: dict[str, str] = {}
        self.paragraphs: list[list[str]] = []
        self.in_paragraph = False
        self.skipping = 0
        self.annotation = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.skipping or name in _OUTSIDE:
            self.skipping += 1
        elif self.annotation or name == _OFFICE + "annotation":
            self.annotation += 1
        elif name in (_TABLE + "table-cell", _TABLE + "covered-table-cell"):
            self.attributes, self.paragraphs = attributes, []
        elif name == _TEXT + "p":
            self.paragraphs.append([])
            self.in_paragraph = True
        elif name == _TEXT + "s" and self.in_paragraph:
            self.text(" " * _count(attributes, _TEXT + "c", 1000))
        elif name in (_TEXT + "tab", _TEXT + "line-break") and self.in_paragraph:
            self.text(" ")
        elif name == _TABLE + "table-row":
            self.start_row(attributes)
        elif name == _TABLE + "table-column":
            repeat = _count(attributes, _TABLE + "number-columns-repeated", _COLUMNS)
            if attributes.get(_TABLE + "visibility", "visible") != "visible":
                self.sheets[-1].hidden_columns.extend(range(self.definition + 1, self.definition + 1 + repeat))
            self.definition = min(self.definition + repeat, _COLUMNS)
        elif name == _TABLE + "table":
            hidden = attributes.get(_TABLE + "style-name") in self.hidden_styles
            self.sheets.append(SheetCells(attributes.get(_TABLE + "name", ""), hidden))
            self.row = self.definition = 0
        elif name == _STYLE + "style":
            self.style = attributes.get(_STYLE + "name", "") if attributes.get(_STYLE + "family") == "table" else ""
        elif name == _STYLE + "table-properties" and self.style and attributes.get(_TABLE + "display") == "false":
            self.hidden_styles.add(self.style)

    def start_row(self, attributes: dict[str, str]) -> None:
        self.row_repeat = _count(attributes, _TABLE + "number-rows-repeated", _ROWS)
        self.column = 0
        self.cells = []
        if attributes.get(_TABLE + "visibility", "visible") != "visible" and self.row_repeat < 100_000:
            self.sheets[-1].hidden_rows.extend(range(self.row + 1, self.row + 1 + self.row_repeat))

    def text(self, data: str) -> None:
        if self.annotation:
            self.comments.append(data)
        elif self.in_paragraph and not self.skipping:
            self.paragraphs[-1].append(data)

    def end(self, name: str) -> None:
        if self.skipping:
            self.skipping -= 1
        elif self.annotation:
            self.annotation -= 1
        elif name in (_TABLE + "table-cell", _TABLE + "covered-table-cell"):
            self.end_cell(covered=name.endswith("covered-table-cell"))
        elif name == _TEXT + "p":
            self.in_paragraph = False
        elif name == _TABLE + "table-row":
            self.end_row()

    def end_cell(self, *, covered: bool) -> None:
        repeat = _count(self.attributes, _TABLE + "number-columns-repeated", _COLUMNS)
        kind, text, formula = self.value()
        if text and not covered:
            if self.column + repeat > _COLUMNS:
                raise Unreadable(FL1, f"feuille {self.sheets[-1].name!r}, ligne {self.row + 1} : plus de {_COLUMNS} colonnes")
            self.cells.extend((self.column + place, 0, kind, text, formula) for place in range(1, repeat + 1))
            down = _count(self.attributes, _TABLE + "number-rows-spanned", _ROWS)
            right = _count(self.attributes, _TABLE + "number-columns-spanned", _COLUMNS)
            if down > 1 or right > 1:
                area = (self.row + 1, self.column + 1, self.row + down, self.column + right)
                self.sheets[-1].merged.append(area)
        self.column += repeat

    def value(self) -> tuple[str, str, bool]:
        """Kind, text and whether a formula gave it."""
        given = self.attributes
        shown = "\n".join("".join(parts) for parts in self.paragraphs)
        formula = given.get(_TABLE + "formula")
        value_type = given.get(_OFFICE + "value-type", "")
        if given.get(_CALC + "value-type") == "error" or shown in ERRORS or (formula and shown.startswith("Err:")):
            return ERROR, shown or "#N/A", formula is not None
        stored = given.get(_OFFICE + "value") or given.get(_OFFICE + "date-value") or given.get(_OFFICE + "boolean-value")
        if value_type in _VALUES and stored:
            text = {"true": "VRAI", "false": "FAUX"}.get(stored, stored)
            return _VALUES[value_type], text, formula is not None
        text = given.get(_OFFICE + "string-value") or shown
        if formula is not None and not text:
            return FORMULA, formula.removeprefix("of:"), True
        return TEXT, text, formula is not None

    def end_row(self) -> None:
        if self.row + self.row_repeat > _ROWS and self.cells:
            raise Unreadable(FL1, f"feuille {self.sheets[-1].name!r} : plus de {_ROWS} lignes")
        if self.cells:
            sheet = self.sheets[-1]
            for place in range(1, self.row_repeat + 1):
                for column, _, kind, text, formula in self.cells:
                    sheet.add(self.row + place, column, kind, text, formula=formula)
        self.row += self.row_repeat


def _count(attributes: dict[str, str], name: str, most: int) -> int:
    text = attributes.get(name, "1")
    return max(1, min(int(text), most)) if text.isdecimal() and len(text) < 10 else 1
