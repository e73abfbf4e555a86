"""A billing *bordereau* as it arrives, to its header, its lines and all that could not be read.

Every row that holds something is a line, a totals row, a repeated header or a leftover with a name: nothing is dropped. Patient
columns stand in a frame of their own, comments are looked at and thrown away. Nothing is guessed: what can be read in two ways
is a problem that a check asks about. The template is configuration (``contracts_schema/snp/profiles``), and none is official.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from connectors import bordereau_patients
from connectors.bordereau_header import FL9, Finding, read_header
from connectors.bordereau_lines import apart, cells_of, letter_of, lines_of, without_words
from connectors.bordereau_patients import place
from connectors.bordereau_tables import Match, Table, body, kinds_of_rows, match
from connectors.bordereau_totals import totals
from connectors.bordereau_values import clean
from connectors.sheets import Unreadable, Workbook, read_sheets, reference
from contracts_schema.bordereau_profiles import COLUMNS, Profile, profiles
from contracts_schema.french import counted

FL6_HIDDEN = "bordereau.hidden_sheet"
FL7 = "bordereau.FL7"
FL11 = "bordereau.FL11"
MISPLACED = "bordereau.misplaced_words"
UNREAD = "bordereau.unread"
CP1252 = "bordereau.cp1252"
HIDDEN_ROW = "bordereau.hidden_row"
LINKS = "bordereau.external_links"

QUARANTINED = pl.Schema(
    {"sheet": pl.String(), "row": pl.Int64(), "rule": pl.String(), "cell": pl.String(), "cells": pl.String()}
)
LEFTOVERS = pl.Schema({"sheet": pl.String(), "row": pl.Int64(), "what": pl.String()})
SET_ASIDE = {
    "unreadable": "sans protocole, ou sans date ni montant",
    "below_signature": "sous la signature",
    "misplaced": "un nom ou des mots à la place d'un identifiant, d'un nombre ou d'un libellé (valeur non affichée)",
}
"""Why a row is put in quarantine."""


@dataclass(frozen=True)
class Bordereau:
    """A bordereau that could be read.

    ``header``: facts of the whole (see ``bordereau_header``); ``lines`` and, restricted, ``patients``: see
    ``bordereau_lines``; ``quarantined``: rows that could be nothing, ``QUARANTINED`` (cells as JSON, without patient columns
    and comments); ``leftovers``: rows that are no line, by name, ``LEFTOVERS``; ``findings``: what to say of the file.
    """

    header: dict[str, Any]
    lines: pl.DataFrame
    patients: pl.DataFrame
    quarantined: pl.DataFrame
    leftovers: pl.DataFrame
    findings: tuple[Finding, ...]


def read_bordereau(
    content: bytes, file: str, received_on: date, known: Sequence[Profile] | None = None, timeout: float | None = None
) -> Bordereau:
    """Reads the bytes of a bordereau received on a day. ``file``: its name, for messages; ``known``: profiles other than ours.

    Raises ``Unreadable`` (rule ``bordereau.FL1``, ``FL2``, ``FL4``–``FL7`` or ``FL9``) when the file must be quarantined whole.
    """
    known = profiles() if known is None else known
    try:
        workbook = read_sheets(content, _dialect(known), **({"timeout": timeout} if timeout else {}))
        found = _matched(workbook, received_on, known)
        return _read(workbook, found, content, file, received_on)
    except Unreadable as refusal:
        raise Unreadable(refusal.rule, f"{file} : {refusal}") from None


def _dialect(known: Sequence[Profile]) -> dict[str, Any]:
    """Delimiters and encodings that any profile allows, in order."""
    told = [profile.facts["csv"] for profile in known]
    merged = {name: list(dict.fromkeys(value for csv in told for value in csv[name])) for name in ("delimiters", "encodings")}
    return {**merged, "quote": told[0]["quote"]} if told else {"delimiters": [";"], "encodings": ["utf-8"], "quote": '"'}


def _matched(workbook: Workbook, received_on: date, known: Sequence[Profile]) -> Match:
    """The profile; a file without one is searched for patients before its headings are told."""
    try:
        return match(workbook, received_on, known)
    except Unreadable:
        everywhere = {sheet.name: set(range(1, 200)) for sheet in workbook.sheets}
        _no_patient(bordereau_patients.found(workbook, everywhere))
        raise


def _no_patient(where: str | None) -> None:
    if where:
        message = f"{where} : donnée de patient, fichier mis en quarantaine sans être lu ; la retirer, puis renvoyer le fichier"
        raise Unreadable(FL7, f"{message} (valeur non affichée)")


def _read(workbook: Workbook, found: Match, content: bytes, file: str, received_on: date) -> Bordereau:
    profile = found.profile
    _no_patient(bordereau_patients.found(workbook, {table.sheet.name: _free_text(table) for table in found.tables}))
    header, findings = read_header(workbook, found.tables, profile, received_on)
    rows = pl.concat(
        [kinds_of_rows(body(table, number), table, profile) for number, table in enumerate(found.tables)],
        how="diagonal_relaxed",
    )
    rows = without_words(rows)
    lines = lines_of(rows.filter(pl.col("what") == "line"), found, workbook)
    if not lines.height:
        raise Unreadable(FL9, "aucune ligne d'acte sous l'en-tête : rien à facturer, ou colonnes vides")
    lines, patients = apart(lines)
    of_rows, of_totals = totals(rows, lines, found)
    bad = rows.filter(pl.col("what").is_in(list(SET_ASIDE)))
    grains = {"act": lines["day"].is_not_null().any(), "month": lines["month"].is_not_null().any()}
    header |= {
        "sum_of_totals_rows_cents": of_totals,
        "grain": "mixed" if all(grains.values()) else "month" if grains["month"] or "date" not in found.names else "act",
        "profile": profile.id,
        "profile_version": profile.version,
        "profile_is_older": found.is_older,
        "hidden_sheets": list(found.hidden),
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    said = [*findings, *of_rows, *_of_file(workbook, found, rows)]
    return Bordereau(header, lines, patients, _quarantined(bad, found), _leftovers(rows, found), tuple(said))


def _free_text(table: Table) -> set[int]:
    """Columns in which people write: comments, and those that no heading of the profile names."""
    known = {column for name, column in table.columns.items() if name != "comment"}
    return set(table.sheet.cells["column"].unique().to_list()) - known if table.sheet.cells.height else set()


def _of_file(workbook: Workbook, found: Match, rows: pl.DataFrame) -> list[Finding]:
    """Hidden sheets, sheets and columns left unread, hidden rows, encoding, links, rows that nobody could read."""
    said: list[Finding] = []
    for name in found.hidden:
        filled = next(sheet.cells["row"].n_unique() for sheet in workbook.sheets if sheet.name == name and sheet.hidden)
        lines = counted(filled, "ligne remplie", "lignes remplies")
        said.append(Finding(FL6_HIDDEN, None, f"feuille masquée {name!r} ({lines}) : non lue", "B04"))
    said += [Finding(UNREAD, None, f"feuille {name!r} sans tableau reconnu : non lue") for name in found.without_table]
    for table in found.tables:
        name = table.sheet.name or "fichier"
        if table.unread:
            cells = [reference(table.last_row, column) for column, text in table.headings.items() if text in table.unread]
            said.append(
                Finding(UNREAD, place(table.sheet.name, cells[0]), f"{name} : colonnes non lues, en {', '.join(cells)}")
            )
    for number, table in enumerate(found.tables):
        of_sheet = rows.filter(pl.col("sheet_number") == number)
        hidden = of_sheet.filter(pl.col("hidden") & (pl.col("what") == "line")).height
        if hidden:
            name = table.sheet.name or "fichier"
            lines = counted(hidden, "ligne masquée ou filtrée, lue et comptée", "lignes masquées ou filtrées, lues et comptées")
            message = f"{name} : {lines} dans la somme"
            said.append(Finding(HIDDEN_ROW, table.sheet.name, message, "A03"))
        aside = of_sheet.filter(pl.col("what").is_in(list(SET_ASIDE))).select("row", "what", "misplaced")
        for row, what, column in aside.rows()[:50]:
            rule = MISPLACED if what == "misplaced" else FL11
            cell = place(table.sheet.name, reference(row, table.columns[column or "protocol"]))
            message = f"{cell} : ligne {row} {SET_ASIDE[what]}, mise en quarantaine : le total réclamé peut la compter"
            said.append(Finding(rule, cell, message))
    if workbook.encoding == "cp1252":
        said.append(Finding(CP1252, None, "fichier lu en cp1252 (Windows), faute d'être de l'UTF-8 : accents à vérifier"))
    if workbook.external_links:
        said.append(Finding(LINKS, None, "le classeur a des liens vers d'autres classeurs : non suivis"))
    return said


def _quarantined(rows: pl.DataFrame, found: Match) -> pl.DataFrame:
    if not rows.height:
        return pl.DataFrame(schema=QUARANTINED)
    missing = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in rows.columns]
    names = pl.Series([table.sheet.name for table in found.tables], dtype=pl.String)
    rows = rows.with_columns(missing).with_columns(
        names.gather(rows["sheet_number"]).alias("sheet"), cells_of(found).alias("cells")
    )
    at = [pl.when(pl.col("misplaced") == name).then(letter_of(name, found)) for name in found.names]
    wrong, first = pl.coalesce(at) + pl.col("row").cast(pl.String), pl.col("cells").str.extract(r'"cell": "([A-Z]+[0-9]+)"')
    rule = pl.when(pl.col("what") == "misplaced").then(pl.lit(MISPLACED)).otherwise(pl.lit(FL11))
    return rows.with_columns(cell=pl.coalesce(wrong, first), rule=rule).select(
        pl.col(name).cast(dtype) for name, dtype in QUARANTINED.items()
    )


def _leftovers(rows: pl.DataFrame, found: Match) -> pl.DataFrame:
    """Rows that are no line: headers, totals, certification, notes, and the title rows above the table."""
    frames = [pl.DataFrame(schema=LEFTOVERS)]
    for number, table in enumerate(found.tables):
        above = (
            table.sheet.cells.filter((pl.col("row") <= table.last_row) & clean(pl.col("text")).is_not_null())["row"]
            .unique()
            .sort()
        )
        what = pl.when(pl.col("row") < table.first_row).then(pl.lit("title")).otherwise(pl.lit("header")).alias("what")
        left = ~pl.col("what").is_in(["line", *SET_ASIDE])
        below = rows.filter((pl.col("sheet_number") == number) & left).select("row", "what")
        both = pl.concat([pl.DataFrame({"row": above}).select("row", what), below])
        frames.append(both.select(pl.lit(table.sheet.name, pl.String).alias("sheet"), pl.col("row").cast(pl.Int64), "what"))
    return pl.concat(frames)
