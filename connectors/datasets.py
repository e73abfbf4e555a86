"""Files of references, payments and declarations: which dataset a file is, and its rows as columns of text, block by block.

A file is told by its header or its first line, never by its name. Everything stays text; no value is judged, none is guessed.
Of a layout that holds personal data, what the contract does not name leaves this module in no form.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import polars as pl

from connectors.dataset_lines import Cut, cut_blocks
from connectors.sheet_archive import Unreadable, true_format
from connectors.sheets import Sheet, Workbook, look_at_sheets
from contracts_schema.bordereau_profiles import Profile, normalised, profiles
from contracts_schema.datasets import Dataset, Layout, datasets

EMPTY_FILE = "dataset.empty_file"
UNREADABLE = "dataset.unreadable"
ENCODING = "dataset.encoding"
UNKNOWN_LAYOUT = "dataset.unknown_layout"
AMBIGUOUS_LAYOUT = "dataset.ambiguous_layout"
UNKNOWN_COLUMN = "dataset.unknown_column"
COLUMN_TWICE = "dataset.column_twice"
SCOPE_UNCLEAR = "dataset.scope_unclear"

HEADER_ROWS = 20
"""A header stands in one of the first rows."""
_SHOWN = 12
_HEAD = 1 << 18
_MARK = b"\xef\xbb\xbf"
_PAIR = re.compile(rb"\xc3[\x80-\xbf]")
"""A letter with an accent in UTF-8: two signs that no French text in another encoding has side by side."""
_NAMES = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "latin-1": "Latin-1"}


class DatasetRefused(Exception):
    """A file that is no dataset, or one that cannot be read: rule id, and what was found and to do in French, never a value."""

    def __init__(self, rule: str, message_fr: str) -> None:
        super().__init__(message_fr)
        self.rule = rule


@dataclass(frozen=True)
class Found:
    """What a file is. ``places``: canonical column → place from 0; ``first_row``: physical line (or row of the sheet) of the
    first record, from 1; ``width``: fields of a record; ``unknown``: headings that no column takes."""

    dataset: str
    layout: str
    format: str
    places: Mapping[str, int]
    width: int
    first_row: int
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    extracted_on: date | None = None
    unknown: tuple[str, ...] = ()
    personal: bool = False
    workbook: Workbook | None = field(default=None, repr=False, compare=False)


def recognise(path: Path, wanted: str | None = None) -> Found:
    """Which dataset a file is, among all or as ``wanted``. Raises ``DatasetRefused`` with what was found and what exists."""
    among = _among(wanted)
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head.strip(_MARK + b" \t\r\n\x00\x1a"):
        raise DatasetRefused(EMPTY_FILE, "fichier vide : à exporter de nouveau")
    if head.startswith(b"PK"):
        return _of_workbook(_workbook(path), among)
    try:
        true_format(head)
    except Unreadable as failure:
        raise DatasetRefused(UNREADABLE, str(failure)) from None
    if head.lstrip(_MARK + b" \t\r\n").startswith((b"{", b"[")):
        message = "le fichier est du JSON (nouvelle génération FINESS+ ?), qui n'est pas lu : à fournir en CSV"
        raise DatasetRefused(UNREADABLE, message)
    return _of_text(path, head, among)


def read(path: Path, dataset: str | Found) -> Iterator[pl.DataFrame]:
    """The records of a file, in blocks: ``line_number`` (physical line, or row of the sheet), ``byte_offset`` (null in a
    sheet), ``raw`` (the line as text; null where the layout holds personal data), ``fault`` (null, or why the line could not
    be cut: ``columns:31/32``, ``quote``, ``control``, ``cut``), then the columns of the contract as text, blank as null.

    Blank lines and records of another kind are left out. ``dataset`` is what ``recognise`` gave, or the id of the dataset.
    """
    found = dataset if isinstance(dataset, Found) else recognise(path, dataset)
    contract = datasets()[found.dataset]
    layout = contract.layout(found.layout)
    if found.format != "csv":
        yield _sheet_rows(found, contract)
        return
    cut = Cut(
        encoding=found.encoding or "utf-8",
        delimiter=found.delimiter or ";",
        quoted=layout.quoted,
        width=found.width,
        first_row=found.first_row,
        places=found.places,
        record=layout.record,
        others=layout.other_records,
        personal=found.personal,
    )
    with path.open("rb") as stream:
        for block in cut_blocks(iter(lambda: stream.read(1 << 23), b""), cut):
            yield _conformed(block, contract, layout)


def scope_of(path: Path, found: Found) -> str:
    """The scope that a file is about: that of its contract, ended by the one value of its column where it names one."""
    contract = datasets()[found.dataset]
    column = contract.scope_column
    if column is None:
        return contract.scope
    values: set[str] = set()
    for block in read(path, found):
        values |= {str(value).strip() for value in block[column].drop_nulls().unique()}
    if len(values) != 1 or not re.fullmatch(contract.column(column).pattern or ".+", next(iter(values))):
        told = contract.column(column).label_fr
        message = (
            f"la colonne « {told} » doit porter la même valeur sur toutes les lignes ; {len(values)} trouvée(s) : un fichier "
        )
        raise DatasetRefused(SCOPE_UNCLEAR, f"{message}pour chacune")
    return contract.scope.format(**{column: values.pop()})


def kept(path: Path, found: Found) -> Iterator[bytes]:
    """The columns of the contract only, as UTF-8 text of the same layout: what may be stored of a ``personal`` file.

    One line a record, in order; a line that could not be cut leaves one that cannot be read either. Recognised as the same
    dataset by ``recognise(…, found.dataset)``.
    """
    contract = datasets()[found.dataset]
    layout = contract.layout(found.layout)
    columns = [column for column in contract.columns if column.name in found.places or column.name in layout.defaults]
    names = [column.name for column in columns]
    headings = [next((text for text in column.headings if text in layout.needs), column.label_fr) for column in columns]
    sign = layout.delimiters[0]
    yield (sign.join(headings) + "\r\n").encode()
    for block in read(path, found):
        lost = block["fault"].is_not_null()
        text = block.select(names).write_csv(
            include_header=False,
            separator=sign,
            line_terminator="\r\n",
            quote_style="always" if layout.quoted else "never",
        )
        if lost.any():
            lines = text.split("\r\n")
            for place in lost.arg_true():
                lines[place] = "ligne illisible"
            text = "\r\n".join(lines)
        yield text.encode()


def _among(wanted: str | None) -> list[Dataset]:
    if wanted is None:
        return list(datasets().values())
    if wanted not in datasets():
        raise DatasetRefused(UNKNOWN_LAYOUT, f"jeu de données « {wanted} » inconnu ; existent : {', '.join(datasets())}")
    return [datasets()[wanted]]


# --- text files


def _of_text(path: Path, head: bytes, among: Sequence[Dataset]) -> Found:
    utf8, wrong_at = _is_utf8(path)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DatasetRefused(ENCODING, "fichier en UTF-16 : à enregistrer en CSV UTF-8")
    text = head.removeprefix(_MARK).decode("utf-8" if utf8 else "latin-1", "replace")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if len(head) == _HEAD:
        lines = lines[:-1]
    found = _headerless(lines, among) or _headed_text(lines, among)
    if not utf8 and _PAIR.search(head):
        message = (
            f"octet {wrong_at} illisible en UTF-8 dans un fichier qui en a l'air : encodages mélangés, à exporter de nouveau"
        )
        raise DatasetRefused(ENCODING, message)
    encodings = datasets()[found.dataset].layout(found.layout).encodings
    encoding = "utf-8" if utf8 else next((name for name in encodings if name != "utf-8"), None)
    if encoding is None or encoding not in encodings:
        shown = ", ".join(_NAMES[name] for name in encodings)
        raise DatasetRefused(ENCODING, f"octet {wrong_at} illisible en UTF-8 ; encodages admis ici : {shown}")
    return replace(found, encoding=encoding)


def _is_utf8(path: Path) -> tuple[bool, int]:
    """Whether every byte of the file is UTF-8, and where it is not; a letter may straddle two chunks, or be cut at the end."""
    offset, rest = 0, b""
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 23):
            data = rest + chunk
            try:
                data.decode("utf-8")
                rest, used = b"", len(data)
            except UnicodeDecodeError as error:
                if error.start < len(data) - 3:
                    return False, offset + error.start
                rest, used = data[error.start :], error.start
            offset += used
    return True, offset


def _headerless(lines: Sequence[str], among: Sequence[Dataset]) -> Found | None:
    """The layout without header that the first line and the first record tell."""
    for contract in among:
        for layout in contract.layouts:
            told = re.match(layout.first_line, lines[0], re.IGNORECASE) if layout.first_line else None
            record = lines[1].split(";") if told and len(lines) > 1 else []
            width = _csv_width(lines[1], ";") if record else 0
            if told and record and record[0] == layout.record and width == len(layout.fields):
                places = {
                    column.name: place
                    for column in contract.columns
                    for place, name in enumerate(layout.fields)
                    if normalised(name) in column.headings
                }
                day = date.fromisoformat(told[1])
                return Found(
                    contract.id, layout.id, "csv", places, width, 2, delimiter=";", extracted_on=day, personal=layout.personal
                )
    if lines[0].lower().startswith("finess;etalab;"):
        raise DatasetRefused(UNKNOWN_LAYOUT, _other_stock(lines, among))
    return None


def _other_stock(lines: Sequence[str], among: Sequence[Dataset]) -> str:
    """What a FINESS stock of no known layout holds, and which ones are read."""
    record = next((line for line in lines[1:] if line.strip()), None)
    if record is None:
        return "extraction FINESS sans enregistrement : à télécharger de nouveau"
    known = [f"{layout.record} ({len(layout.fields)} champs)" for one in among for layout in one.layouts if layout.record]
    told = f"« {record.split(';', 1)[0][:30]} » à {_csv_width(record, ';')} champs"
    return f"extraction FINESS dont le premier enregistrement est {told} ; sont lus : {', '.join(known) or _existing()}"


def _csv_width(line: str, delimiter: str) -> int:
    return len(next(csv.reader([line], delimiter=delimiter), []))


def _headed_text(lines: Sequence[str], among: Sequence[Dataset]) -> Found:
    rows = [(number, line) for number, line in enumerate(lines[:HEADER_ROWS], 1) if line.strip()]
    delimiters = dict.fromkeys(sign for contract in among for layout in contract.layouts for sign in layout.delimiters)
    tables = []
    for delimiter in delimiters:
        cut = [(number, next(csv.reader([line], delimiter=delimiter), [])) for number, line in rows]
        tables.append((delimiter, [(number, cells) for number, cells in cut if len(cells) > 1]))
    candidates = [
        replace(found, delimiter=delimiter)
        for delimiter, cut in tables
        for found in _headed(cut, among, "csv")
        if delimiter in datasets()[found.dataset].layout(found.layout).delimiters
    ]
    return _one(candidates, _like_headings(cells for _, cut in tables for _, cells in cut), among)


# --- headers


def _headed(rows: Iterable[tuple[int, Sequence[str]]], among: Sequence[Dataset], form: str) -> list[Found]:
    """What the first row that is the header of some dataset may be; among several, that of a bordereau is of none."""
    for number, cells in rows:
        headings = [normalised(cell) for cell in cells]
        if len(among) > 1 and any(_is_bordereau(profile, set(headings)) for profile in profiles()):
            return []
        found = [match for contract in among if (match := _match(contract, headings, number, form))]
        if found:
            return found
    return []


def _is_bordereau(profile: Profile, headings: set[str]) -> bool:
    return all(headings & set(profile.columns[name]) for name in profile.required)


def _match(contract: Dataset, headings: Sequence[str], number: int, form: str) -> Found | None:
    """The headings as those of a dataset: every expected column is there; a column told twice is a refusal."""
    places = {
        column.name: [place for place, text in enumerate(headings) if text in column.headings] for column in contract.columns
    }
    layout = next((one for one in contract.layouts if _fits(one, form, headings, places)), None)
    if layout is None or any(column.is_expected and not places[column.name] for column in contract.columns):
        return None
    twice = [contract.column(name).label_fr for name, where in places.items() if len(where) > 1]
    if twice:
        message = f"ligne {number} : deux colonnes pour « {' », « '.join(twice)} » ({contract.label_fr}) : n'en garder qu'une"
        raise DatasetRefused(COLUMN_TWICE, message)
    single = {name: where[0] for name, where in places.items() if where}
    unknown = tuple(text for place, text in enumerate(headings) if text and place not in single.values())
    width = len(headings) - 1 if headings[-1] == "" else len(headings)
    return Found(contract.id, layout.id, form, single, width, number + 1, unknown=unknown, personal=layout.personal)


def _fits(layout: Layout, form: str, headings: Sequence[str], places: Mapping[str, Sequence[int]]) -> bool:
    told = set(layout.needs) <= set(headings) and all(places[name] for name in layout.having)
    return told and layout.first_line is None and form in layout.formats


def _one(candidates: Sequence[Found], headings: Sequence[str], among: Sequence[Dataset]) -> Found:
    """The one that takes most headings; none, two as good, or headings that its contract does not know, are refused."""
    if not candidates:
        raise DatasetRefused(UNKNOWN_LAYOUT, _explanation(headings, among))
    best = max(len(found.places) for found in candidates)
    kept_ones = [found for found in candidates if len(found.places) == best]
    if len({found.dataset for found in kept_ones}) > 1:
        names = " ou ".join(sorted({found.dataset for found in kept_ones}))
        raise DatasetRefused(AMBIGUOUS_LAYOUT, f"les intitulés conviennent à {names} : dire lequel")
    found = kept_ones[0]
    contract = datasets()[found.dataset]
    layout = contract.layout(found.layout)
    strange = [text for text in found.unknown if text not in layout.dropped]
    if strange and layout.unknown == "refuse":
        known = ", ".join(column.label_fr for column in contract.columns)
        message = f"colonnes inconnues de {found.dataset} : « {' », « '.join(strange[:_SHOWN])} » ; les renommer ou les retirer"
        raise DatasetRefused(UNKNOWN_COLUMN, f"{message} ; connues : {known}")
    return found


def _like_headings(rows: Iterable[Sequence[str]]) -> Sequence[str]:
    """The row with most cells among those that hold no figure: what may be shown, since data nearly always have one."""
    bare = [cells for cells in rows if not any(re.search("[0-9]", cell) for cell in cells)]
    return max(bare, key=lambda cells: sum(bool(cell.strip()) for cell in cells), default=[])


def _explanation(headings: Sequence[str], among: Sequence[Dataset]) -> str:
    """What was found, what lacks for the nearest dataset, and which exist."""
    shown = [text.strip()[:40] for text in headings if text.strip()][:_SHOWN]
    seen = {normalised(text) for text in headings}

    def lacking(contract: Dataset) -> list[str]:
        return [c.label_fr for c in contract.columns if c.is_expected and not seen & set(c.headings)]

    def matched(contract: Dataset) -> int:
        return sum(bool(seen & set(column.headings)) for column in contract.columns)

    nearest = max(among, key=lambda contract: (matched(contract), -len(lacking(contract))))
    told = f"intitulés trouvés : {', '.join(f'« {text} »' for text in shown)}" if shown else "aucune ligne d'intitulés"
    near = f" ; pour {nearest.id} il manque : {', '.join(lacking(nearest))}" if matched(nearest) else ""
    return f"format non reconnu ; {told}{near} ; jeux de données connus : {_existing()}"


def _existing() -> str:
    return ", ".join(f"{contract.id} ({contract.label_fr})" for contract in datasets().values())


# --- workbooks


def _workbook(path: Path) -> Workbook:
    try:
        return look_at_sheets(path.read_bytes())
    except Unreadable as failure:
        raise DatasetRefused(UNREADABLE, str(failure)) from None


def _of_workbook(workbook: Workbook, among: Sequence[Dataset]) -> Found:
    """The one visible sheet whose header is that of a dataset."""
    candidates: list[Found] = []
    tops: list[Sequence[str]] = []
    for sheet in (sheet for sheet in workbook.sheets if not sheet.hidden):
        rows = _top_rows(sheet)
        tops += [cells for _, cells in rows]
        candidates += [replace(found, sheet=sheet.name, workbook=workbook) for found in _headed(rows, among, workbook.format)]
    found = _one(candidates, _like_headings(tops), among)
    same = [one.sheet for one in candidates if one.dataset == found.dataset]
    if len(same) > 1:
        message = f"{len(same)} feuilles visibles ont l'en-tête de {found.dataset} : les réunir, ou masquer les autres"
        raise DatasetRefused(AMBIGUOUS_LAYOUT, message)
    return found


def _top_rows(sheet: Sheet) -> list[tuple[int, list[str]]]:
    cells = sheet.cells.filter(pl.col("row") <= HEADER_ROWS).select("row", "column", "text")
    rows: dict[int, list[str]] = {}
    for row, column, text in cells.sort("row", "column").iter_rows():
        line = rows.setdefault(row, [])
        line += [""] * (column - len(line))
        line[column - 1] = text
    return list(rows.items())


def _sheet_rows(found: Found, contract: Dataset) -> pl.DataFrame:
    """The rows under the header that hold something in some column of the contract; hidden rows are rows."""
    assert found.workbook is not None  # noqa: S101
    sheet = next(sheet for sheet in found.workbook.sheets if sheet.name == found.sheet)
    cells = sheet.cells.filter(pl.col("row") >= found.first_row).with_columns(_cell_text())
    filled = cells.filter(pl.col("column").is_in([place + 1 for place in found.places.values()]), pl.col("text").is_not_null())
    rows = filled.select("row").unique().sort("row")
    for name, place in found.places.items():
        of_column = cells.filter(pl.col("column") == place + 1).select("row", pl.col("text").alias(name))
        rows = rows.join(of_column, on="row", how="left", maintain_order="left")
    nothing = pl.lit(None, pl.String)
    whole = rows.with_columns(
        line_number=pl.col("row").cast(pl.Int64), byte_offset=pl.lit(None, pl.Int64), raw=nothing, fault=nothing
    )
    return _conformed(whole, contract, contract.layout(found.layout))


def _cell_text() -> pl.Expr:
    """The text of a cell; a whole number loses what a spreadsheet adds to it (``12.0``, ``9.99E13``).

    A formula whose value was not stored says nothing: ``#FORMULE!`` stands in its place, for the gate to set the row aside.
    """
    kind = pl.col("kind")
    text = pl.when(kind == "f").then(pl.lit("#FORMULE!")).otherwise(pl.col("text").str.strip_chars())
    number = text.cast(pl.Float64, strict=False)
    whole = (kind == "n") & (number == number.floor()) & (number.abs() < 2**53) & text.str.contains("[.Ee]")
    shown = pl.when(whole.fill_null(value=False)).then(number.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(text)
    return pl.when(shown != "").then(shown).alias("text")


def _conformed(block: pl.DataFrame, contract: Dataset, layout: Layout) -> pl.DataFrame:
    """All the columns of the contract, in its order; those that the file lacks are null or as the layout says."""
    held = set(block.columns)
    columns = []
    for column in contract.columns:
        fixed = pl.lit(layout.defaults.get(column.name), pl.String)
        columns.append((pl.col(column.name) if column.name in held else fixed).alias(column.name))
    return block.select("line_number", "byte_offset", "raw", "fault", *columns)
