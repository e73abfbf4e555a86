"""The first sheet of a workbook, À lire: what the file is, as of when, how many lines, what to do, and the sums of money.

Sums are values, of all rows: apart from the data, no filter and no pivot counts them twice. Must never tell a figure of rows
that the workbook does not hold.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from contracts_schema.french import bound, counted
from contracts_schema.products import Table
from warehouse.sums import COUNT, by_result, sums
from warehouse.workbook_notes import BAND, HEADER, LINE, height, paper, paris

NAME = "À lire"
LABELS, FIGURES, ACROSS = 34, 17, 8  # widths in characters, and the columns over which a text goes
EUROS = {"num_format": "#,##0.00\\ [$€-40C]"}
NO_ROW = "aucune ligne : rien de ce que le hub a reçu n'y entre"
APART = "Sommes de toutes les lignes publiées, à la publication : un filtre ne les change pas."


def reading(manifest: Mapping[str, Any], table: Table, rows: pl.DataFrame) -> dict[str, str]:
    """What the sheet says above its figures, as label → text: what the manifest, the contract and the rows say."""
    told = manifest["ecluse"]
    said = {
        "Ce fichier": manifest["description"].strip(),
        "Pour": f"{manifest['title'].rpartition(' — ')[2]}, publication n° {told['number']}",
        "Données connues au": paris(told["log"]["recorded_at"]),
        "Contenu": _content(table, rows),
        "Que faire": table.use_fr,
        "À côté": "Chaque colonne est expliquée dans la feuille Dictionnaire ; d'où viennent les données, dans Provenance.",
    }
    return {label: text for label, text in said.items() if text}


def front(book: Any, table: Table, rows: pl.DataFrame, said: Mapping[str, str]) -> None:
    """Add the sheet: what is ``said`` (``reading``), then the figures of the rows."""
    sheet = book.add_worksheet(NAME)
    sheet.set_column(0, 0, LABELS)
    sheet.set_column(1, max(ACROSS, len(table.sums) + 1), FIGURES)
    sheet.hide_gridlines(2)
    sheet.write_string(0, 0, table.label_fr, book.add_format({"bold": True, "font_size": 16, "font_color": BAND}))
    sheet.set_row(0, 26)
    label, text = (book.add_format({"valign": "top", "text_wrap": True, **more}) for more in ({"bold": True}, {}))
    for place, (name, told) in enumerate(said.items(), start=1):
        sheet.write_string(place, 0, name, label)
        _across(sheet, place, 1, told, text)
    if table.by or table.sums:
        end = _figures(book, sheet, table, rows, len(said) + 2)
        for place, note in enumerate(_notes(table, rows), start=end):
            _across(sheet, place, 0, note, text)
    paper(sheet, table.label_fr)


def _across(sheet: Any, row: int, column: int, text: str, look: Any) -> None:
    sheet.merge_range(row, column, row, ACROSS, bound(text), look)
    sheet.set_row(row, height([text], [FIGURES * ACROSS]))


def _content(table: Table, rows: pl.DataFrame) -> str:
    masked = int(rows["masked"].sum()) if "masked" in rows.columns else 0
    hidden = f", dont {counted(masked, 'ligne')} où un petit effectif est masqué (cellules grises)" if masked else ""
    return f"{counted(rows.height, 'ligne')}, feuille Données{hidden}" if rows.height else NO_ROW


def _figures(book: Any, sheet: Any, table: Table, rows: pl.DataFrame, place: int) -> int:
    """Rows and sums by result, then in all; gives the next free row of the sheet."""
    labels = {column.name: column.label_fr for column in table.columns}
    header, cell = book.add_format(HEADER), {"border": 1, "border_color": LINE}
    headings = [labels.get(table.by, ""), "Lignes", *(labels[name] for name in table.sums)]
    for column, heading in enumerate(headings):
        sheet.write_string(place, column, heading, header)
    sheet.set_row(place, height(headings, [LABELS - 4] + [FIGURES - 3] * (len(headings) - 1)) + 6)
    total = {"by": "Total", COUNT: rows.height} | sums(table, rows)
    strong = {"bold": True, "top": 2}
    lines = [(line, {"bg_color": _colour(table, line["by"])}, cell) for line in by_result(table, rows).iter_rows(named=True)]
    for line, shade, look in [*lines, (total, {}, cell | strong)]:
        place += 1
        sheet.write_string(place, 0, "(vide)" if line["by"] is None else line["by"], book.add_format(look | shade))
        sheet.write_number(place, 1, line[COUNT], book.add_format(look | {"num_format": "#,##0"}))
        for column, name in enumerate(table.sums, start=2):
            euros = book.add_format(look | EUROS)
            if line[name] is None:
                sheet.write_blank(place, column, None, euros)
            else:
                sheet.write_number(place, column, line[name] / 100, euros)
    return place + 1


def _colour(table: Table, value: str | None) -> str:
    return table.colours.get(table.by, {}).get(value or "", "#FFFFFF")


def _notes(table: Table, rows: pl.DataFrame) -> list[str]:
    """What is said under the sums, and of the columns that have no amount somewhere: it is not a zero."""
    labels = {column.name: column.label_fr for column in table.columns}
    empty = {name: rows[name].null_count() for name in table.sums}
    told = [f"{labels[name]} ({counted(count, 'ligne')})" for name, count in empty.items() if count]
    without = [f"Sans montant, ce qui n'est pas un zéro : {', '.join(told)}."] if told else []
    return [APART, *without] if table.sums else []
