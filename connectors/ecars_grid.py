"""One sheet of an e-CARS workbook, row by row, to logical sheets: header, indicators, values, financial lines, recognitions.

Found by titles and headings, never by the name or place of a sheet. Must never lose a row: each one is read or skipped with a
reason, counted. A renamed column or another campaign is a refusal that names sheet and cell, never a guess.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from connectors.ecars_annexes import RECOGNITION, financial, recognition
from connectors.ecars_block import Block, Cell, place_of
from connectors.ecars_values import bare, clean, day_of, finess_of, read_value
from connectors.sheets import Sheet, Unreadable, reference

FL6 = "ecars.FL6"
FL8 = "ecars.FL8"

_CODE = re.compile(r"^((?:CT|OS)_\d{2}(?:_\d+(?:_\d+)?)?)(?=\s|$)")
_HPR_CODE = re.compile(r"^(\d_\d)(?=\s|$)")
_HPR_OBJECTIVE = re.compile(r"^(\d)_")
_TITLE = re.compile(r"annexe (\d{4}) ?- ?(\d{4}) ?: ?annexe (.+)")
_BASE = re.compile(r"detail de la base (mig|ac ssr|ac)\b")
_HEADINGS = ("engagement", "objectif", "indicateur", "commentaire", "cible", "valeur initiale", "valeur cible")
_COLUMNS = {"engagement": "Engagements", "objectif": "Objectifs opérationnels", "indicateur": "Indicateurs"}
"""Columns that a table of indicators must have; HPR has no engagement."""
YEARS = {"STRAT": range(2024, 2030), "HPR": range(2024, 2028)}
SPANS = {"STRAT": (2025, 2029), "HPR": (2025, 2027)}


def blocks(sheet: Sheet) -> list[Block]:
    """The logical sheets of one sheet, in its order. Raises ``Unreadable`` (FL6, FL8) with sheet and cell."""
    name = sheet.name or "fichier"
    hidden = set(sheet.hidden_rows)
    merged = {row for top, _, bottom, _ in sheet.merged for row in range(top, bottom + 1)} if sheet.merged else set()
    found: list[Block] = []
    block: Block | None = None
    for number, cells in _rows(sheet):
        opened = _opened(name, number, cells, block, hidden=sheet.hidden)
        if opened is not None and opened is not block:
            found.append(opened)
        block = opened or block
        if block is None or opened is not None:
            if block:
                block.last_row = number
            continue
        if number > block.last_row + 1 and (block.years or block.lines):
            block.skipped["vide"] += number - block.last_row - 1
        block.last_row = number
        _take(block, number, cells, hidden=number in hidden, merged=number in merged)
    for one in found:
        _complete(one)
    return [one for one in found if one.annex or one.lines or one.recognitions or one.columns]


def _rows(sheet: Sheet) -> Iterator[tuple[int, list[Cell]]]:
    row, cells = 0, list[Cell]()
    frame = sheet.cells
    if not (frame["row"].is_sorted() if frame.height else True):
        frame = frame.sort("row", "column")
    for number, column, kind, _, form, text in frame.iter_rows():
        if number != row:
            if cells:
                yield row, cells
            row, cells = number, []
        if kind != "t" or clean(text):
            cells.append(Cell(column, kind, text, form))
    if cells:
        yield row, cells


def _opened(name: str, row: int, cells: list[Cell], block: Block | None, *, hidden: bool) -> Block | None:
    """The block that a title row opens, or names; None for any other row."""
    for cell in cells:
        if cell.kind != "t":
            continue
        text = bare(cell.text).replace("–", "-").replace("—", "-")
        if text.startswith("synthese des saisies"):
            return Block(name, {"hidden": hidden}, first_row=row)
        title = _TITLE.search(text)
        if title:
            new = block is None or block.annex is not None or bool(block.years)
            one = Block(name, {"hidden": hidden}, first_row=row) if new or block is None else block
            _name_annex(one, row, cell, title)
            return one
        if text.startswith("finess ej") and block is None:
            opened = Block(name, {"hidden": hidden}, first_row=row)
            _header(opened, row, cells)
            return opened
        base = _BASE.search(text)
        if base:
            one = block if block and block.annex in (None, "FINANCE") else Block(name, {"hidden": hidden}, first_row=row)
            one.annex, one.title_cell = "FINANCE", reference(row, cell.column)
            one.envelope, one.base_on, one.daf = base[1].upper(), day_of(cell.text), {}
            return one
    labels = {bare(cell.text): cell.column for cell in cells if cell.kind == "t"}
    if {RECOGNITION["label"], RECOGNITION["evaluation"]} <= set(labels):
        one = block if block and block.annex is None else Block(name, {"hidden": hidden}, first_row=row)
        one.annex, one.title_cell = "RECOGNITION", reference(row, cells[0].column)
        one.columns = {column: labels[text] for column, text in RECOGNITION.items() if text in labels}
        if missing := sorted(set(RECOGNITION) - set(one.columns)):
            named = ", ".join(f"« {RECOGNITION[column]} »" for column in missing)
            raise Unreadable(FL6, f"{place_of(one, row, cells[0].column)} : colonnes absentes ou renommées : {named}")
        return one
    return None


def _name_annex(block: Block, row: int, cell: Cell, title: re.Match[str]) -> None:
    first, last, text = int(title[1]), int(title[2]), title[3]
    annex = "STRAT" if "orientation strategique" in text else "HPR" if "proximite" in text else None
    if annex is None:
        raise Unreadable(FL6, f"{place_of(block, row, cell.column)} : annexe inconnue « {clean(cell.text)[:80]} »")
    if (first, last) != SPANS[annex]:
        wanted = "-".join(map(str, SPANS[annex]))
        told = f"annexe {first}-{last} : classeur d'une autre campagne, {wanted} attendu"
        raise Unreadable(FL8, f"{place_of(block, row, cell.column)} : {told}")
    block.annex, block.title_cell = annex, reference(row, cell.column)


def _take(block: Block, row: int, cells: list[Cell], *, hidden: bool, merged: bool) -> None:
    """One row of a block."""
    if block.annex == "FINANCE" and bare(cells[0].text).startswith("finess ej"):
        _header(block, row, cells)
    elif block.annex == "FINANCE":
        financial(block, row, cells)
    elif block.annex == "RECOGNITION":
        recognition(block, row, cells)
    elif not block.years and not _years(cells):
        _header(block, row, cells)
    elif (years := _years(cells)) and not (block.years and _codes(block, cells)):
        _headings(block, row, cells, years)
    elif _is_heading(cells):
        block.skipped["entete_repete"] += 1
    else:
        _indicator(block, row, cells, hidden=hidden, merged=merged)


def _header(block: Block, row: int, cells: list[Cell]) -> None:
    """A row above the years: FINESS, name, date, or headings."""
    facts = block.facts
    for place, cell in enumerate(cells):
        text = bare(cell.text)
        following = cells[place + 1] if place + 1 < len(cells) else None
        if text.startswith("finess ej"):
            told, kind, column = _after(cell, following)
            facts["finess_raw"], facts["finess_cell"] = told, reference(row, column)
            facts["finess_ej"], facts["finess_padded"] = finess_of(told, kind)
            return
        if text.startswith("nom de l'etablissement"):
            told, _, column = _after(cell, following)
            facts["legal_name"], facts["name_cell"] = clean(told) or None, reference(row, column)
            return
        if text == "du" and following:
            cell, text = following, "du " + bare(following.text)
        if "synthesis_cell" not in facts and (cell.kind == "d" or re.match(r"(?:du |\d{1,2}/\d|x{2,}|\d{4}-\d)", text)):
            facts["synthesis_raw"], facts["synthesis_cell"] = clean(cell.text), reference(row, cell.column)
            facts["synthesis_on"] = day_of(cell.text, cell.kind)
            return
    _labels(block, row, cells)


def _labels(block: Block, row: int, cells: list[Cell]) -> None:
    """Columns by their headings; those of a row of headings that are none are kept, for a refusal to name."""
    unknown = {}
    for cell in cells:
        text = bare(cell.text)
        for name in ("engagement", "objectif", "indicateur", "commentaire"):
            if text.startswith(name) and len(text) < 40:
                block.columns.setdefault(name, cell.column)
        if cell.kind == "t" and not text.startswith(_HEADINGS) and not text.isdecimal():
            unknown[reference(row, cell.column)] = clean(cell.text)[:40]
    if len(unknown) < len(cells):
        block.unknown |= unknown


def _after(cell: Cell, following: Cell | None) -> tuple[str, str, int]:
    """What follows « label : » in its cell, else the next cell: text, kind and column."""
    _, colon, told = cell.text.partition(":")
    if clean(told) or following is None:
        return clean(told) if colon else "", "t", cell.column
    return following.text, following.kind, following.column


def _years(cells: list[Cell]) -> dict[int, int]:
    """Column → year of a row that holds 2024 and 2025; empty for any other row."""
    years: dict[int, int] = {}
    for cell in cells:
        text = cell.text.strip()
        if len(text) <= 6 and cell.kind in ("n", "t") and re.fullmatch(r"20[2-3]\d(?:\.0)?", text):
            years[cell.column] = int(text[:4])
    return years if {2024, 2025} <= set(years.values()) else {}


def _headings(block: Block, row: int, cells: list[Cell], years: dict[int, int]) -> None:
    """The row of years: first or repeated."""
    if block.years:
        block.skipped["entete_repete"] += 1
    _labels(block, row, cells)
    counts = Counter(years.values())
    twice = next((year for year, count in counts.items() if count > 1), None)
    if twice:
        column = [column for column, year in years.items() if year == twice][1]
        raise Unreadable(FL6, f"{place_of(block, row, column)} : l'année {twice} est en tête de deux colonnes")
    if block.annex in YEARS:
        missing = [str(year) for year in YEARS[block.annex] if year not in counts]
        extra = [str(year) for year in counts if year not in range(2024, 2030)]
        if missing or extra:
            told = f"colonne {', '.join(missing)} absente ou renommée" if missing else f"année {', '.join(extra)} hors campagne"
            raise Unreadable(FL6 if missing else FL8, f"{place_of(block, row, min(years))} : {told}")
    block.years = years


def _is_heading(cells: list[Cell]) -> bool:
    return all(cell.kind == "t" and bare(cell.text).startswith(_HEADINGS) and len(cell.text) < 60 for cell in cells)


def _codes(block: Block, cells: list[Cell]) -> dict[int, str]:
    """Column → code at the head of the cell, left of the years."""
    found: dict[int, str] = {}
    for cell in cells:
        if cell.kind == "t" and cell.column not in block.years:
            code = _CODE.match(cell.text.lstrip()) or (_HPR_CODE.match(cell.text.lstrip()) if block.annex == "HPR" else None)
            if code:
                found[cell.column] = code[1]
    return found


def _indicator(block: Block, row: int, cells: list[Cell], *, hidden: bool, merged: bool) -> None:
    """A data row, or a note: footer, stray text."""
    place = block.columns.get("indicateur", min(block.years) - 1)
    comment_at = block.columns.get("commentaire")
    by_column = {cell.column: cell for cell in cells}
    here = by_column.get(place)
    values = [cell for cell in cells if cell.column in block.years]
    label = clean(here.text) if here else ""
    found = _CODE.match(label) or (_HPR_CODE.match(label) if block.annex == "HPR" else None)
    if not values and not found and not (here and here.kind == "d"):
        what = "pied_de_page" if any("ars " in bare(cell.text) or "page" in bare(cell.text) for cell in cells) else "note"
        block.skipped[what] += 1
        return
    line, objective = _above(block, by_column, found[1] if found else "", merged=merged)
    cell_name = reference(row, here.column if here else place)
    comment = by_column.get(comment_at) if comment_at else None
    code = found[1] if found else None
    block.rows.append(
        {
            "row": row, "line_code": line, "objective_code": objective, "code": code,
            "label": clean(label[len(code) :]) if code else label or None, "label_raw": here.text if here else None,
            "objective_label": block.filled.get("objectif"), "comment": clean(comment.text) if comment else None,
            "code_cell": cell_name, "date_in_code": bool(here and here.kind == "d"), "hidden": hidden, "chosen": bool(values),
        }
    )  # fmt: skip
    for cell in values:
        told = read_value(cell.text, cell.kind)
        year = block.years[cell.column]
        block.values.append(
            {
                "row": row, "code": code, "year": year, "role": "INITIALE" if year == 2024 else "CIBLE",
                "cell": reference(row, cell.column), "text": cell.text, "kind": cell.kind, "number_format": cell.number_format,
                **told._asdict(),
            }
        )  # fmt: skip


def _above(block: Block, cells: Mapping[int, Cell], code: str, *, merged: bool) -> tuple[str | None, str | None]:
    """The line and objective codes of the row; where its own cells are empty, those above when they can be its own."""
    told: dict[str, str | None] = {}
    for name in ("engagement", "objectif"):
        cell = cells.get(block.columns.get(name, -1))
        if cell is not None:
            block.filled[name] = clean(cell.text)
        text = block.filled.get(name, "")
        found = _CODE.match(text) or (_HPR_OBJECTIVE.match(text) if block.annex == "HPR" else None)
        carried = cell is None and not merged
        told[name] = found[1] if found and not (carried and not code.startswith(found[1] + "_")) else None
    return told["engagement"], told["objectif"]


def _complete(block: Block) -> None:
    """A strategic or HPR block must have its years and its columns."""
    if block.annex not in YEARS:
        if block.annex is None and (block.years or block.facts.get("finess_ej")):
            raise Unreadable(FL6, f"feuille « {block.sheet} », ligne {block.first_row} : titre d'annexe absent ou renommé")
        return
    if not block.years:
        told = "aucune ligne ne porte 2024 et 2025 : en-tête absent ou renommé"
        raise Unreadable(FL6, f"feuille « {block.sheet} », cellule {block.title_cell} : {told}")
    for name, heading in _COLUMNS.items():
        if name not in block.columns and not (name == "engagement" and block.annex == "HPR"):
            cell, seen = next(iter(block.unknown.items()), (block.title_cell, None))
            told = f"colonne « {heading} » absente ou renommée" + (f" (en-tête lu ici : « {seen} »)" if seen else "")
            raise Unreadable(FL6, f"feuille « {block.sheet} », cellule {cell} : {told}")
