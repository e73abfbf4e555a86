"""What a workbook says beside its rows: sheets Dictionnaire, made from the contract, and Provenance, made from the manifest.

Must never say a figure or a source that neither the contract nor the manifest holds.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts_schema.french import euros
from contracts_schema.odcs import FILE as CONTRACT
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import FORMS_FR, Column, Table
from contracts_schema.table_schema import NO, YES
from warehouse.workbook_answers import to_fill

MAX_CHARACTERS = 32_767  # of a cell, counted in UTF-16 as Excel does
TYPES_FR = {"string": "texte", "integer": "nombre entier", "number": "nombre décimal", "boolean": "oui / non", "date": "date"}
UNITS_FR = {"euro": "euro (centimes entiers dans les fichiers CSV et Parquet)", "percent": "pourcentage, sur 100"}
CLASSIFICATIONS_FR = {
    "public": "publique",
    "aggregate": "agrégée (soumise au seuil de publication)",
    "individual": "individuelle, sous pseudonyme",
    "restricted": "restreinte",
}
HEADINGS = {"Colonne": 50, "Nom technique": 26, "Type": 16, "Unité": 26, "Clé": 7, "Contraintes": 56, "Classification": 26}
HEADINGS |= {"Peut être masquée": 12}  # with their widths
GREY_FR = " Grisée, elle est masquée : le nombre est sous le seuil de publication, ou permettrait d'en retrouver un."
WIDTHS = (38, 100)  # of the sheet Provenance, in characters
BOUNDS_FR = {"minimum": "au moins", "maximum": "au plus"}
LENGTHS_FR = {"minLength": "au moins", "maxLength": "au plus"}
INK, BAND, LINE = "#FFFFFF", "#1F3864", "#BFBFBF"
CELL = {"text_wrap": True, "valign": "top", "border": 1, "border_color": LINE}
HEADER = CELL | {"bold": True, "font_color": INK, "bg_color": BAND, "valign": "vcenter"}


class Unshowable(Exception):
    """A workbook cannot hold a value as it is; the message names the table and column, never the value."""


def sections(manifest: Mapping[str, Any], table: Table) -> dict[str, dict[str, str]]:
    """What a manifest says, for people: sections of the sheet Provenance, as section → label → text."""
    told = manifest["ecluse"]
    place = f"{told['recipient']}/{told['product']}"
    keys = " ".join(f"{key}=…" for key in table.keys)
    return {
        "Publication": {
            "Produit": f"{manifest['title']} ({told['product']})",
            "Table": f"{table.label_fr} ({table.name})",
            "Description": manifest["description"].strip(),
            "Destinataire": told["recipient"],
            "Numéro": str(told["number"]),
            "Données connues au": paris(told["log"]["recorded_at"]),
        },
        "Journal": {"Position": str(told["log"]["position"]), "Empreinte": told["log"]["hash"]},
        "Paramètres": {
            name: f"{given['value']} — statut : {STATUSES_FR[given['status']]}" for name, given in told["parameters"].items()
        },
        "Lire": {
            "Cellules vides": "Une cellule vide n'est jamais un zéro." + (GREY_FR if table.mask else ""),
            "Colonnes": "Voir la feuille Dictionnaire ; les noms techniques sont ceux des fichiers CSV et Parquet.",
        },
        "Vérifier et expliquer": {
            "Vérifier ce fichier": "Son empreinte sha256 est dans datapackage.json ; au hub : ecluse verify",
            "Expliquer une ligne": f"ecluse explain {place} {table.name} {keys} --publication {told['number']}",
            "Contrat": f"{CONTRACT} (Open Data Contract Standard)",
        },
        "Calcul": {"Contrats et règles": told["contracts"]} | {f"Vue {name}": key for name, key in told["build_keys"].items()},
    }


def paris(instant: str) -> str:
    """An instant of the log as people read it."""
    return datetime.fromisoformat(instant).astimezone(ZoneInfo("Europe/Paris")).strftime("%d/%m/%Y à %H:%M:%S (heure de Paris)")


def dictionary(book: Any, table: Table) -> None:
    """Add the sheet Dictionnaire: one line a column of the workbook, as its contract says, then its key and checks."""
    sheet = book.add_worksheet("Dictionnaire")
    header, cell, bold = (book.add_format(given) for given in (HEADER, CELL, CELL | {"bold": True}))
    hidden = {name for mask in table.mask for name in mask.hides}
    for place, (heading, width) in enumerate(HEADINGS.items()):
        sheet.set_column(place, place, width)
        sheet.write_string(0, place, heading, header)
    asked: dict[str, str] = {}
    if table.answer:
        names = (column.name for column in table.answer.columns)
        asked = dict(zip(names, to_fill(table.answer), strict=True))
    columns = table.workbook_columns
    for rank, column in enumerate(columns, start=1):
        line = (
            column.label_fr,
            "dans le classeur seul" if column.name in asked else column.name,
            TYPES_FR[column.type],
            UNITS_FR.get(column.unit or "", ""),
            str(table.keys.index(column.name) + 1) if column.name in table.keys else "",
            f"À remplir. {asked[column.name]}" if column.name in asked else constraints_fr(column),
            CLASSIFICATIONS_FR[column.classification],
            YES if column.name in hidden else NO,
        )
        for place, text in enumerate(line):
            sheet.write_string(rank, place, text, cell if place else bold)
        sheet.set_row(rank, height(line, list(HEADINGS.values())))
    sheet.set_row(0, 36)
    sheet.freeze_panes(1, 1)
    sheet.autofilter(0, 0, len(columns), len(HEADINGS) - 1)
    notes = ["Clé : rang de la colonne dans la clé ; pas deux lignes de même clé."]
    notes += [f"Contrôle de chaque ligne : {check.label_fr}." for check in table.checks]
    labels = {column.name: column.label_fr for column in table.columns}
    notes += [f"{labels[name]}, {code} : {told}." for name, words in table.words.items() for code, told in words.items()]
    for rank, note in enumerate(notes, start=len(columns) + 2):
        sheet.write_string(rank, 0, note)
    paper(sheet, table.label_fr)


def constraints_fr(column: Column) -> str:
    """A column's constraints in plain French; bounds of money in euros."""
    given = column.constraints
    said = ["toujours renseignée" if given.get("required") else "peut être vide"]
    said += [f"{word} {_bound(given[name], column)}" for name, word in BOUNDS_FR.items() if name in given]
    said += [f"{given[name]} caractères {word}" for name, word in LENGTHS_FR.items() if name in given]
    if "enum" in given:
        said.append("une valeur parmi : " + ", ".join(str(value) for value in given["enum"]))
    if "pattern" in given:
        said.append(FORMS_FR.get(given["pattern"], f"de la forme {given['pattern']}"))
    return " ; ".join(said)


def _bound(bound: Any, column: Column) -> str:
    if isinstance(bound, date):
        return f"{bound:%d/%m/%Y}"
    return euros(bound) if column.unit == "euro" else str(bound).replace(".", ",")


def provenance(book: Any, title: str, told: Mapping[str, Mapping[str, str]]) -> None:
    """Add the sheet Provenance: sections of labels and texts. Unshowable when a text is longer than a cell holds."""
    sheet = book.add_worksheet("Provenance")
    header, cell, bold = (book.add_format(given) for given in (HEADER, CELL, CELL | {"bold": True}))
    for place, width in enumerate(WIDTHS):
        sheet.set_column(place, place, width)
    row = 0
    for section, lines in told.items():
        sheet.write_string(row, 0, section, header)
        sheet.write_blank(row, 1, None, header)
        for label, text in lines.items():
            row += 1
            if characters(text) > MAX_CHARACTERS:
                raise Unshowable(f"Provenance, {label}: the text is longer than a cell holds; give it as several lines")
            sheet.write_string(row, 0, label, bold)
            sheet.write_string(row, 1, text, cell)
            sheet.set_row(row, height((label, text), WIDTHS))
        row += 2
    paper(sheet, title)


def paper(sheet: Any, label: str) -> None:
    """How a sheet prints: A4 across, one page wide, named and numbered."""
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
    sheet.set_header(f"&L&9{label.replace('&', '&&')}")
    sheet.set_footer("&L&9&F, &A&R&9&P / &N")


def height(texts: Sequence[str], widths: Sequence[float]) -> float:
    """The height, in points, that lets texts stand in columns of so many characters: it is not left to who opens the file."""
    return 15.0 * max(math.ceil(len(text) / width) or 1 for text, width in zip(texts, widths, strict=True))


def characters(text: str) -> int:
    """The length of a text as Excel counts it, in UTF-16."""
    return len(text.encode("utf-16-le")) // 2
