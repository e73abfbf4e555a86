"""Rows of the financial sheet and of the sheet of recognitions of an e-CARS workbook. A line without code or label is skipped,
counted, never dropped."""

import re

from connectors.ecars_block import Block, Cell
from connectors.ecars_values import bare, cents_of, clean, day_of, read_value
from connectors.sheets import reference

_LINE = re.compile(r"^([A-Z0-9]{2,6})(?: *[-–—] +|(?<=\d) *[-–—:] *)(.+)$", re.DOTALL)
RECOGNITION = {
    "establishment": "nom de l'etablissement", "label": "libelle activite - reconnaissance", "modality": "modalite",
    "capacity": "capacite reconnue", "effect": "date d'effet", "evaluation": "modalite d'evaluation",
}  # fmt: skip
"""Column of a recognition → its heading, as compared."""


def financial(block: Block, row: int, cells: list[Cell]) -> None:
    """A line « code - label | amount », a total, or the DAF headings and their amounts."""
    headings = {cell.column: clean(cell.text) for cell in cells if bare(cell.text) in ("daf autres", "daf usld")}
    if headings:
        block.daf = {column: "DAF USLD" if "usld" in text.lower() else "DAF Autres" for column, text in headings.items()}
        block.envelope = None
        return
    if block.daf:
        for cell in cells:
            if cell.column in block.daf:
                _amount(block, row, cell, block.daf.pop(cell.column), None, None)
        return
    head = cells[0]
    label = clean(head.text)
    line = _LINE.match(label)
    amount = next((cell for cell in cells[1:]), None)
    if block.envelope and amount and bare(label).startswith("total"):
        _amount(block, row, amount, block.envelope, None, label, is_total=True)
    elif block.envelope and amount and line:
        _amount(block, row, amount, block.envelope, line[1], clean(line[2]))
    elif line and block.envelope:
        block.skipped["ligne_sans_montant"] += 1
    else:
        block.base_on = block.base_on or day_of(label)
        block.skipped["note"] += 1


def _amount(
    block: Block, row: int, cell: Cell, envelope: str, code: str | None, label: str | None, *, is_total: bool = False
) -> None:
    told = read_value(cell.text, cell.kind)
    block.lines.append(
        {
            "envelope": envelope, "code": code, "label": label, "amount_cents": cents_of(cell.text, cell.kind),
            "amount_raw": cell.text, "cell": reference(row, cell.column), "is_total": is_total, "error": told.error,
            "base_on": block.base_on,
        }
    )  # fmt: skip


def recognition(block: Block, row: int, cells: list[Cell]) -> None:
    """A recognition, or a note."""
    by_column = {cell.column: cell for cell in cells}
    told = {name: by_column.get(column) for name, column in block.columns.items()}
    label = told["label"]
    if label is None:
        block.skipped["note"] += 1
        return
    if not any(told[name] for name in ("establishment", "capacity", "effect")):  # printed by the template, filled by nobody
        block.skipped["non_renseignee"] += 1
        return
    texts = {name: clean(cell.text) if cell else None for name, cell in told.items()}
    effect = told["effect"]
    number = read_value(told["capacity"].text, told["capacity"].kind).number if told["capacity"] else None
    block.recognitions.append(
        {
            "row": row, "establishment": texts["establishment"], "label": texts["label"], "modality": texts["modality"],
            "capacity_raw": texts["capacity"], "capacity": int(number) if number is not None and number % 1 == 0 else None,
            "without_capacity": bare(texts["capacity"] or "") == "sans objet", "effect_raw": texts["effect"],
            "effective_on": day_of(effect.text, effect.kind) if effect else None, "evaluation": texts["evaluation"],
            "cell": reference(row, label.column),
        }
    )  # fmt: skip
