"""What guides the eye and the hand in a workbook: colours of results, drop-down lists, and protection of all that is not asked.

The protection has no password: it is against slips. What comes back is compared with what was published. Must never change a
value, nor hide one.
"""

from typing import Any

from contracts_schema.products import Answer, Table

TO_FILL = {"locked": False, "bg_color": "#FFFBE6"}
TO_FILL_BAND = "#9C5700"
ALLOWED = {
    "select_locked_cells": True,
    "select_unlocked_cells": True,
    "autofilter": True,
    "format_columns": True,
    "format_rows": True,
}
"""What stays possible on a protected sheet: to read, to filter, to widen."""


def to_fill(answer: Answer) -> tuple[str, str, str]:
    """What is to be written in each of the three columns that people fill, in French."""
    with_amount = ", ".join(answer.decisions[code] for code in answer.amount_with)
    return (
        f"{', '.join(answer.decisions.values())}. Vide : pas de décision.",
        f"En euros. Pour {with_amount} ; nécessaire pour {answer.decisions[answer.amount_of]}.",
        "Nécessaire à toute décision. Aucun nom ni identifiant de personne.",
    )


def guide(book: Any, sheet: Any, table: Table, count: int) -> None:
    """Add to a data sheet of so many rows the colours of the contract, and the lists and limits of what people fill."""
    names = [column.name for column in table.workbook_columns]
    last = max(count, 1)
    for name, colours in table.colours.items():
        place = names.index(name)
        for text, colour in colours.items():
            told = {"type": "cell", "criteria": "==", "value": f'"{text}"', "format": book.add_format({"bg_color": colour})}
            sheet.conditional_format(1, place, last, place, told)
    answer = table.answer
    if answer is None:
        return
    decision, amount, reason = (names.index(column.name) for column in answer.columns)
    words = list(answer.decisions.values())
    inputs = to_fill(answer)
    sheet.data_validation(
        1,
        decision,
        last,
        decision,
        {
            "validate": "list",
            "source": words,
            "input_title": answer.decision,
            "input_message": inputs[0],
            "error_title": "Décision inconnue",
            "error_message": f"Attendu : {', '.join(words)}.",
        },
    )
    sheet.data_validation(
        1,
        amount,
        last,
        amount,
        {
            "validate": "decimal",
            "criteria": ">=",
            "value": 0,
            "input_title": answer.amount,
            "input_message": inputs[1],
            "error_title": "Montant illisible",
            "error_message": "Un montant en euros, par exemple 12,50.",
        },
    )
    sheet.data_validation(
        1,
        reason,
        last,
        reason,
        {
            "validate": "length",
            "criteria": "<=",
            "value": 1000,
            "input_title": answer.reason,
            "input_message": inputs[2],
            "error_title": "Motif trop long",
            "error_message": "1 000 caractères au plus.",
        },
    )


def protect(book: Any) -> None:
    """Protect every sheet, without a password: only the cells to fill can be written."""
    for sheet in book.worksheets():
        sheet.protect("", ALLOWED)
