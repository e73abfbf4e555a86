"""Looks for the identity of patients in a file that may hold none: NIR, names in free text, headings that name a person.

Tells where and what kind, never what: no value leaves this module, in a result, an error or a log.
"""

import re
from collections.abc import Iterable

import polars as pl

from connectors.bordereau_values import mapped, nir_valid
from connectors.sheets import Sheet, Workbook, reference
from contracts_schema.bordereau_profiles import labels, normalised, patient_marks
from contracts_schema.identifiers import is_code

_GAP = r"[ .\-\u00a0\u202f]?"
_GROUPED = rf"[1-478](?:{_GAP}\d){{4}}{_GAP}(?:\d{_GAP}\d|2{_GAP}[ABab])(?:{_GAP}\d){{6}}"
_NIR_LIKE = rf"(?:^|[^0-9A-Za-z])({_GROUPED})(?:[ .\-/\u00a0\u202f]*(\d[ ]?\d))?(?:[^0-9A-Za-z]|$)"
_SHAPE_13 = re.compile(r"[1-478][0-9]{2}(?:0[1-9]|1[0-2]|[23][0-9]|4[0-2]|[5-9][0-9])(?:[0-9]{2}|2[AB])[0-9]{6}")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BORN = re.compile(r"\bne e? ?le\b|\bnee? (le|en)\b|date de naissance")

CODES = ("ref", "patient_key")
WITHOUT_WORDS = (*CODES, "rpps", "date", "month", "count", "unit", "amount")
LABELS = {"protocol": "families", "act": "acts", "profession": "professions"}
"""Columns of a bordereau in which nobody is named: references, numbers and days; labels, where the table does not know them."""


def found(workbook: Workbook, free_text: dict[str | None, set[int]]) -> str | None:
    """Where patients are identified, in French, or None. ``free_text``: columns of comments of each sheet read."""
    for sheet in workbook.sheets:
        cell = _nir_cell(sheet)
        if cell:
            return f"numéro de sécurité sociale en {place(sheet.name, cell)}"
        cell = _heading_cell(sheet)
        if cell:
            return f"colonne qui nomme des patients, en-tête en {place(sheet.name, cell)}"
        columns = free_text.get(sheet.name, set())
        for row, column, text in _texts(sheet, columns):
            if names_a_person(text):
                return f"nom de personne dans un commentaire en {place(sheet.name, reference(row, column))}"
    if any(_holds_nir(text) or names_a_person(text) for text in workbook.comments):
        return "identité d'une personne dans une annotation de cellule"
    return None


def misplaced(rows: pl.DataFrame) -> dict[str, pl.Series]:
    """By column of the rows of a bordereau, the texts that have no place in it: a name, or words in the place of a code."""
    wrong: dict[str, pl.Series] = {}
    for name in (*WITHOUT_WORDS, *LABELS):
        if name not in rows.columns:
            continue
        texts = rows.select(text=name).unique().filter(pl.col("text").str.contains(r"\p{L}{2}"))
        if name in LABELS:
            texts = texts.filter(mapped(pl.col("text"), labels()[LABELS[name]]).is_null())
        shapes = texts.with_columns(shape=pl.col("text").str.replace_all(r"\d+", "0"))  # numbers name nobody
        named = [shape for shape in shapes["shape"].unique() if names_a_person(shape)]
        bad = pl.col("shape").is_in(named) | (~is_code(pl.col("text")) if name in CODES else pl.lit(value=False))
        wrong[name] = shapes.filter(bad)["text"]
    return {name: texts for name, texts in wrong.items() if texts.len()}


def place(sheet: str | None, cell: str) -> str:
    """``Bordereau!B7``; the cell alone for a CSV."""
    return f"{sheet}!{cell}" if sheet else cell


def _nir_cell(sheet: Sheet) -> str | None:
    suspects = sheet.cells.filter(
        pl.col("text").str.contains(r"\d(?:\D?\d){10}|\d[.,]\d+[eE]\+?1[2-4]") & ~pl.col("kind").is_in(["d", "f"])
    )
    suspects = suspects.filter(pl.col("text").str.contains(_NIR_LIKE) | pl.col("text").str.contains(r"[eE]\+?1[2-4]$"))
    for row, column, text in suspects.select("row", "column", "text").iter_rows():
        if _holds_nir(text):
            return reference(row, column)
    return None


def _holds_nir(text: str) -> bool:
    if re.fullmatch(r"[0-9](\.[0-9]+)?[eE]\+?1[2-4]", text):
        text = f"{float(text):.0f}"
    for match in re.finditer(rf"(?=(?:^|(?<![0-9A-Za-z])){_NIR_LIKE.removeprefix('(?:^|[^0-9A-Za-z])')})", text):
        number = re.sub(r"[^0-9A-Z]", "", match.group(1).upper())
        key = re.sub(r"\D", "", match.group(2) or "")
        if nir_valid(number + key) or (not key and _SHAPE_13.fullmatch(number)):
            return True
    return False


def _heading_cell(sheet: Sheet) -> str | None:
    headings = patient_marks()["headings"]
    top = sheet.cells.filter((pl.col("row") <= 60) & (pl.col("kind") == "t") & (pl.col("text").str.len_chars() < 60))
    for row, column, text in top.select("row", "column", "text").iter_rows():
        if normalised(text) in headings:
            return reference(row, column)
    return None


def _texts(sheet: Sheet, columns: set[int]) -> Iterable[tuple[int, int, str]]:
    """Distinct free texts: each is looked at once, at its first cell."""
    wanted = sheet.cells.filter(pl.col("column").is_in(list(columns)) & pl.col("text").str.contains(r"\p{L}"))
    return wanted.unique("text", keep="first", maintain_order=True).select("row", "column", "text").iter_rows()


def names_a_person(text: str) -> bool:
    """Whether free text seems to name a patient: a birth date, a form of address or a first name beside a capitalised word."""
    if _BORN.search(normalised(text)):
        return True
    marks = patient_marks()
    words = _WORD.findall(text)
    plain = [normalised(word) for word in words]
    for number, word in enumerate(plain):
        before = plain[number - 1] if number else ""
        before_that = plain[number - 2] if number > 1 else ""
        if marks["professionals"] & {before, before_that, word}:
            continue
        following = words[number + 1] if number + 1 < len(words) else ""
        if (word in marks["address"] or (word == "m" and words[number] == "M")) and following[:1].isupper():
            if plain[number + 1] not in marks["professionals"]:
                return True
        elif word in marks["first_names"] and words[number][:1].isupper():
            previous = words[number - 1] if number else ""
            if following[:1].isupper() or (previous.isupper() and len(previous) > 1) or len(words) == 1:
                return True
    return False
