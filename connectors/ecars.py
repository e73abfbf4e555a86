"""An e-CARS export as it arrives (workbook « SYNTHESE DES SAISIES », or canonical CSV) to frames of what it says.

One workbook an establishment, or several stacked. Texts are kept verbatim beside what they say, with their cells. Must never
judge a value: what is wrong in a cell is for the rules; only a file that is no such export is refused, in French, whole.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from connectors.ecars_block import Block
from connectors.ecars_canonical import FL9, read_canonical
from connectors.ecars_files import is_canonical
from connectors.ecars_grid import FL6, blocks
from connectors.ecars_values import bare
from connectors.sheets import Unreadable, Workbook, read_sheets
from contracts_schema.cpom_catalogue import CAMPAIGN, recognitions
from contracts_schema.cpom_frames import schema
from contracts_schema.french import counted
from contracts_schema.identifiers import is_nir, plain

_HEAD = 4096
FL2 = "ecars.FL2"
FL7 = "ecars.FL7"
UNREAD, HIDDEN = "ecars.A2", "ecars.A3"
NAMES = ("sheet", "row", "value", "financial_line", "recognition")
_NIR = r"[1-478][\s.]?\d{2}[\s.]?\d{2}[\s.]?(?:\d{2}|2[ABab])[\s.]?\d{3}[\s.]?\d{3}[\s.]?\d{2}"
_LIKE_NIR = re.compile(_NIR)


@dataclass(frozen=True)
class Export:
    """What one file says: a frame a name of ``NAMES``, as ``contracts_schema.cpom_frames`` lays them out.

    ``notes``: what to say of the file, a rule and a text in French without a value: sheets left unread, hidden sheets and rows
    that are read.
    """

    sheet: pl.DataFrame
    row: pl.DataFrame
    value: pl.DataFrame
    financial_line: pl.DataFrame
    recognition: pl.DataFrame
    notes: tuple[tuple[str, str], ...] = ()


Reader = Callable[[bytes], Workbook]


def read_ecars(content: bytes, file: str, received_on: date, read: Reader = read_sheets) -> Export:
    """Reads the bytes of an export received on a day. ``file``: its name, for evidence; ``read``: how bytes become sheets.

    Raises ``Unreadable`` with a rule ``ecars.FL…`` and what to do in French: file, sheet and cell.
    """
    try:
        workbook = None if is_canonical(content[:_HEAD]) else read(content)
        is_text = workbook is None or workbook.format == "csv"
        if is_text and file.lower().endswith((".xlsx", ".xlsm", ".ods")):
            raise Unreadable(FL2, "le contenu est un CSV sous un nom de classeur : à enregistrer en XLSX, ou à nommer .csv")
        if workbook is None:
            return _without_patient(_export(read_canonical(content, file, received_on)))
        return _without_patient(_workbook(workbook, content, file, received_on))
    except Unreadable as refusal:
        rule = refusal.rule.replace("bordereau.", "ecars.")
        raise Unreadable(rule, f"{file} : {refusal} (règle {rule})") from None


def _without_patient(export: Export) -> Export:
    """The export, unless a text that people typed holds a social-security number: it has no place here and is never shown."""
    for name, column, cell in (("row", "comment", "code_cell"), ("value", "text", "cell"), ("row", "label", "code_cell")):
        rows = getattr(export, name)
        texts = rows[column].to_list()
        places = [place for place, text in enumerate(texts) if text and len(text) >= 15 and _LIKE_NIR.search(text)]
        if not places:
            continue
        typed = rows[places]
        numbers = pl.col(column).str.extract_all(_NIR).list.eval(is_nir(plain(pl.element()))).list.any()
        found = typed.filter(numbers.fill_null(value=False))
        if found.height:
            sheet = export.sheet.filter(pl.col("sheet_id") == found["sheet_id"][0])["sheet"][0]
            place = found[cell][0] or f"ligne {found['row'][0]}"
            told = f"feuille « {sheet} », {place} : numéro de sécurité sociale, fichier mis en quarantaine ; à retirer"
            raise Unreadable(FL7, f"{told} (valeur non affichée)")
    return export


def _export(frames: Mapping[str, pl.DataFrame], notes: Sequence[tuple[str, str]] = ()) -> Export:
    """These frames; those left out are empty."""
    empty = {name: pl.DataFrame(schema=schema(name)) for name in NAMES if name not in frames}
    return Export(**frames, **empty, notes=tuple(notes))


def gathered(exports: Iterable[Export]) -> Export:
    """Several exports as one."""
    found = list(exports)
    frames = {
        name: pl.concat([getattr(one, name) for one in found], rechunk=True) if found else pl.DataFrame(schema=schema(name))
        for name in NAMES
    }
    return Export(**frames, notes=tuple(note for one in found for note in one.notes))


# --- workbooks


def _workbook(workbook: Workbook, content: bytes, file: str, received_on: date) -> Export:
    found: list[Block] = []
    notes: list[tuple[str, str]] = []
    for sheet in workbook.sheets:
        own = blocks(sheet)
        found += own
        named = f"feuille « {sheet.name or 'fichier'} »"
        if sheet.cells.height and not own:
            notes.append((UNREAD, f"{named} sans tableau reconnu : non lue"))
        elif sheet.hidden:
            notes.append((HIDDEN, f"{named} masquée : lue"))
        if own and sheet.hidden_rows:
            rows = counted(len(sheet.hidden_rows), "ligne masquée ou filtrée, lue", "lignes masquées ou filtrées, lues")
            notes.append((HIDDEN, f"{named} : {rows}"))
    if not found:
        names = ", ".join(f"« {sheet.name or 'fichier'} »" for sheet in workbook.sheets[:5])
        told = "ni « SYNTHESE DES SAISIES », ni titre d'annexe, ni « DETAIL DE LA BASE »"
        raise Unreadable(FL6, f"{told} dans {names} : ce n'est pas une synthèse e-CARS")
    if not any(block.annex == "STRAT" for block in found):
        have = ", ".join(sorted({f"« {block.sheet} »" for block in found}))
        raise Unreadable(FL9, f"{have} : la feuille « ANNEXE ORIENTATION STRATEGIQUE » est absente du classeur")
    _inherit(found)
    strategic = {block.facts.get("finess_ej") for block in found if block.annex == "STRAT"}
    for block in found:
        if block.annex == "HPR" and block.facts.get("finess_ej") not in strategic:
            cell = block.facts.get("finess_cell", block.title_cell)
            told = "annexe HPR d'un numéro FINESS dont la feuille « ANNEXE ORIENTATION STRATEGIQUE » est absente du classeur"
            raise Unreadable(FL9, f"feuille « {block.sheet} », cellule {cell} : {told}")
    sha256 = hashlib.sha256(content).hexdigest()
    return _frames(found, file, sha256, received_on, notes)


def _inherit(found: list[Block]) -> None:
    """A block that prints no FINESS, name or date has those of the strategic block before it, or of the only one."""
    strategic = [block for block in found if block.annex == "STRAT"]
    above = strategic[0] if len(strategic) == 1 else None
    for block in found:
        if block.annex == "STRAT":
            above = block
            continue
        if above and "finess_raw" not in block.facts:
            told = above.facts
            block.facts |= {name: told[name] for name in ("finess_raw", "finess_ej", "finess_padded") if name in told}
        same = above and above.facts.get("finess_ej") == block.facts.get("finess_ej")
        if above and same and block.facts.get("synthesis_on") is None:
            block.facts["synthesis_on"] = above.facts.get("synthesis_on")


def _frames(found: Sequence[Block], file: str, sha256: str, received_on: date, notes: Sequence[tuple[str, str]]) -> Export:
    sheets, rows, values, lines, recognised = [], [], [], [], []
    for number, block in enumerate(found, 1):
        key = {"sheet_id": f"{sha256[:16]}-{number}"}
        skipped = sum(block.skipped.values())
        sheets.append(
            key | block.facts | {
                "file": file, "sha256": sha256, "sheet": block.sheet, "campaign": CAMPAIGN, "annex": block.annex,
                "has_comments": "commentaire" in block.columns, "received_on": received_on, "rows_read": block.read + skipped,
                "rows_skipped": skipped, "skipped": json.dumps(block.skipped, sort_keys=True),
            }
        )  # fmt: skip
        rows += [key | row for row in block.rows]
        values += [key | value for value in block.values]
        lines += [key | line for line in block.lines]
        finess = {"finess_ej": block.facts.get("finess_ej")}
        recognised += [
            key | finess | one | {"recognition_id": recognition_of(one["label"], one["modality"])} for one in block.recognitions
        ]
    parts = (sheets, rows, values, lines, recognised)
    frames = {name: _frame(name, part) for name, part in zip(NAMES, parts, strict=True)}
    return _export(frames, notes)


def _frame(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    columns = schema(name)
    return pl.from_dicts(rows, schema=columns) if rows else pl.DataFrame(schema=columns)


def recognition_of(label: str | None, modality: str | None) -> str | None:
    """The row of the annex (RC01…) that a label and its modality name; null when none or several do."""
    named = [one for one in recognitions() if bare(one["label"]) == bare(label or "")]
    exact = [one for one in named if bare(one["modalite"] or "") == bare(modality or "")]
    found = exact or (named if len(named) == 1 else [])
    return found[0]["id"] if len(found) == 1 else None
