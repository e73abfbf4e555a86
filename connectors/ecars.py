"""An e-CARS export as it arrives (workbook « SYNTHESE DES SAISIES », or canonical CSV) to frames of what it says.

One workbook an establishment, or several stacked. Texts are kept verbatim beside what they say, with their cells. Must never
judge a value: what is wrong in a cell is for the rules; only a file that is no such export is refused, in French, whole.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from connectors.ecars_grid import FL6, FL8, Block, blocks
from connectors.ecars_values import bare, clean, day_of, decimal_of, read_value
from connectors.sheets import Unreadable, Workbook, read_sheets
from contracts_schema.cpom_catalogue import CAMPAIGN, canonical_columns, recognitions
from contracts_schema.cpom_frames import schema

FL2 = "ecars.FL2"
FL4 = "ecars.FL4"
FL5 = "ecars.FL5"
FL9 = "ecars.FL9"
FL10 = "ecars.FL10"
NAMES = ("sheet", "row", "value", "financial_line", "recognition")
_ROLES = ("INITIALE", "CIBLE", "REALISE")
_BATCH = 20_000


@dataclass(frozen=True)
class Export:
    """What one file says: a frame a name of ``NAMES``, as ``contracts_schema.cpom_frames`` lays them out.

    ``notes``: what to say of the file, in French, without a value (hidden sheets and rows, sheets left unread).
    """

    sheet: pl.DataFrame
    row: pl.DataFrame
    value: pl.DataFrame
    financial_line: pl.DataFrame
    recognition: pl.DataFrame
    notes: tuple[str, ...] = ()


Reader = Callable[[bytes], Workbook]


def read_ecars(content: bytes, file: str, received_on: date, read: Reader = read_sheets) -> Export:
    """Reads the bytes of an export received on a day. ``file``: its name, for evidence; ``read``: how bytes become sheets.

    Raises ``Unreadable`` with a rule ``ecars.FL…`` and what to do in French: file, sheet and cell.
    """
    try:
        header = content[:400].split(b"\n", 1)[0].lstrip(b"\xef\xbb\xbf")
        if header.startswith(b"campagne;"):
            return _canonical(content, file, received_on)
        workbook = read(content)
        if workbook.format == "csv" and file.lower().endswith((".xlsx", ".xlsm", ".ods")):
            raise Unreadable(FL2, "le contenu est un CSV sous un nom de classeur : à enregistrer en XLSX, ou à nommer .csv")
        return _workbook(workbook, content, file, received_on)
    except Unreadable as refusal:
        raise Unreadable(refusal.rule.replace("bordereau.", "ecars."), f"{file} : {refusal}") from None


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
    notes: list[str] = []
    for sheet in workbook.sheets:
        own = blocks(sheet)
        found += own
        named = f"feuille « {sheet.name or 'fichier'} »"
        if sheet.cells.height and not own:
            notes.append(f"{named} sans tableau reconnu : non lue")
        elif sheet.hidden:
            notes.append(f"{named} masquée : lue")
        if own and sheet.hidden_rows:
            notes.append(f"{named} : {len(sheet.hidden_rows)} lignes masquées ou filtrées, lues")
    if not found:
        names = ", ".join(f"« {sheet.name or 'fichier'} »" for sheet in workbook.sheets[:5])
        told = "ni « SYNTHESE DES SAISIES », ni titre d'annexe, ni « DETAIL DE LA BASE »"
        raise Unreadable(FL6, f"{told} dans {names} : ce n'est pas une synthèse e-CARS")
    if not any(block.annex == "STRAT" for block in found):
        have = ", ".join(sorted({f"« {block.sheet} »" for block in found}))
        raise Unreadable(FL9, f"{have} : la feuille « ANNEXE ORIENTATION STRATEGIQUE » est absente du classeur")
    _inherit(found)
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


def _frames(found: Sequence[Block], file: str, sha256: str, received_on: date, notes: Sequence[str]) -> Export:
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
    return Export(**frames, notes=tuple(notes))


def _frame(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    columns = schema(name)
    return pl.DataFrame({column: [row.get(column) for row in rows] for column in columns}, schema=columns)


def recognition_of(label: str | None, modality: str | None) -> str | None:
    """The row of the annex (RC01…) that a label and its modality name; null when none or several do."""
    named = [one for one in recognitions() if bare(one["label"]) == bare(label or "")]
    exact = [one for one in named if bare(one["modalite"] or "") == bare(modality or "")]
    found = exact or (named if len(named) == 1 else [])
    return found[0]["id"] if len(found) == 1 else None


# --- canonical CSV


def _canonical(content: bytes, file: str, received_on: date) -> Export:
    """The canonical long form: one row a value, one row an indicator that was not chosen."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(FL4, f"octet {error.start} : illisible en UTF-8, seul encodage de la forme canonique") from None
    rows = _fields(text)
    if not rows.height:
        raise Unreadable(FL10, "aucune ligne sous l'en-tête")
    other = rows.filter(pl.col("campagne") != CAMPAIGN)
    if other.height:
        raise Unreadable(FL8, f"ligne {other['line'][0]}, campagne : autre campagne que {CAMPAIGN}")
    rows = _checked(rows)
    sheets, rows = _sheets_of(rows, file, hashlib.sha256(content).hexdigest(), received_on)
    return Export(
        sheets,
        _rows_of(rows),
        _values_of(rows),
        pl.DataFrame(schema=schema("financial_line")),
        pl.DataFrame(schema=schema("recognition")),
    )


def _fields(text: str) -> pl.DataFrame:
    """All rows as text, empty fields null, with their physical ``line``. A row of another width is a refusal."""
    names = canonical_columns()
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=";", strict=True)
    parts: list[pl.DataFrame] = []
    batch: list[list[str]] = []
    lines: list[int] = []
    line = 0
    try:
        for row in reader:
            if line == 0 and tuple(map(clean, row)) != names:
                wrong = next((have for have, want in zip(row, names, strict=False) if clean(have) != want), "fin de ligne")
                raise Unreadable(FL6, f"ligne 1 : en-tête inconnu à « {wrong[:40]} » ; attendu : {';'.join(names)}")
            if line and row:
                if len(row) != len(names):
                    raise Unreadable(FL5, f"ligne {line + 1} : {len(row)} champs au lieu de {len(names)}")
                batch.append(row)
                lines.append(line + 1)
                if len(batch) == _BATCH:
                    parts.append(_batch(batch, lines, names))
                    batch, lines = [], []
            line = reader.line_num
    except csv.Error:
        told = f"ligne {line + 1} : guillemet mal placé ou jamais fermé : fichier tronqué ou mal écrit"
        raise Unreadable(FL5, told) from None
    parts.append(_batch(batch, lines, names))
    return pl.concat(parts)


def _batch(batch: list[list[str]], lines: list[int], names: Sequence[str]) -> pl.DataFrame:
    columns = zip(*batch, strict=True) if batch else ([] for _ in names)
    told = {name: pl.Series(column, dtype=pl.String) for name, column in zip(names, columns, strict=True)}
    frame = pl.DataFrame(told).with_columns(pl.Series("line", lines, dtype=pl.Int64))
    return frame.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)) for name in names)


def _checked(rows: pl.DataFrame) -> pl.DataFrame:
    """Refuses what the form does not allow, by line and column, without the value."""
    chosen = pl.col("choisi").str.to_lowercase()
    blank = pl.col("annee").is_null() & pl.col("role").is_null() & pl.col("valeur_texte").is_null()
    year = pl.col("annee").cast(pl.Int64, strict=False)
    faults = {
        "annexe": ~pl.col("annexe").is_in(["STRAT", "HPR"]).fill_null(value=False),
        "finess_ej": pl.col("finess_ej").is_null(),
        "choisi": ~chosen.is_in(["oui", "non"]).fill_null(value=False),
        "role": ~blank & ~pl.col("role").is_in(_ROLES).fill_null(value=False),
        "annee": ~blank & ~year.is_between(2024, 2029).fill_null(value=False),
    }
    for column, fault in faults.items():
        wrong = rows.filter(fault)
        if wrong.height:
            raise Unreadable(FL10, f"ligne {wrong['line'][0]}, colonne {column} : vide ou hors des valeurs permises")
    return rows.with_columns(is_chosen=chosen == "oui", year=year)


_SHEET = ["finess_ej", "annexe", "raison_sociale", "date_synthese", "source_fichier_sha256", "source_feuille"]


def _sheets_of(rows: pl.DataFrame, file: str, sha256: str, received_on: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One sheet a (establishment, annex, source); the rows with their ``sheet_id``."""
    same = rows.select(_SHEET).unique(maintain_order=True)
    same = same.with_columns(sheet_id=pl.format(sha256[:16] + "-{}", pl.int_range(1, pl.len() + 1)))
    rows = rows.join(same, on=_SHEET, how="left", nulls_equal=True, maintain_order="left")
    totals = rows.group_by("sheet_id").agg(
        pl.col("indicateur_code").n_unique().alias("rows_read"),
        pl.col("commentaire").is_not_null().any().alias("commented"),
    )
    days = {text: day_of(text) for text in same["date_synthese"].drop_nulls().unique()}
    told = same.join(totals, on="sheet_id", how="left", maintain_order="left")
    sheets = told.select(
        "sheet_id",
        file=pl.lit(file),
        sha256=pl.coalesce("source_fichier_sha256", pl.lit(sha256)),
        sheet="source_feuille",
        campaign=pl.lit(CAMPAIGN),
        annex="annexe",
        finess_raw="finess_ej",
        finess_ej=pl.col("finess_ej").str.replace_all(r"[\s\x{a0}\x{202f}]", "").str.to_uppercase(),
        finess_cell=pl.lit(None, pl.String),
        finess_padded=pl.lit(value=False),
        legal_name="raison_sociale",
        name_cell=pl.lit(None, pl.String),
        synthesis_raw="date_synthese",
        synthesis_on=pl.col("date_synthese").replace_strict(days, default=None, return_dtype=pl.Date),
        synthesis_cell=pl.lit(None, pl.String),
        has_comments=pl.lit(value=True),
        hidden=pl.lit(value=False),
        received_on=pl.lit(received_on),
        rows_read=pl.col("rows_read").cast(pl.Int64),
        rows_skipped=pl.lit(0, pl.Int64),
        skipped=pl.lit("{}"),
    )
    return sheets.match_to_schema(schema("sheet")), rows


def _rows_of(rows: pl.DataFrame) -> pl.DataFrame:
    """One row an indicator of a sheet, numbered by its first line."""
    return (
        rows.group_by("sheet_id", "indicateur_code", maintain_order=True)
        .agg(
            row=pl.col("line").first(),
            objective_code=pl.col("objectif_code").drop_nulls().first(),
            comment=pl.col("commentaire").drop_nulls().first(),
            code_cell=pl.col("source_cellule").drop_nulls().first(),
            chosen=pl.col("is_chosen").any(),
        )
        .select(
            "sheet_id",
            "row",
            line_code=pl.lit(None, pl.String),
            objective_code="objective_code",
            code="indicateur_code",
            label=pl.lit(None, pl.String),
            objective_label=pl.lit(None, pl.String),
            comment="comment",
            code_cell=pl.lit(None, pl.String),
            label_raw=pl.lit(None, pl.String),
            date_in_code=pl.lit(value=False),
            hidden=pl.lit(value=False),
            chosen="chosen",
        )
        .match_to_schema(schema("row"))
    )


def _values_of(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a value; what each distinct text says is read once."""
    filled = rows.with_columns(first=pl.col("line").min().over("sheet_id", "indicateur_code"))
    filled = filled.filter(pl.col("valeur_texte").is_not_null())
    known = filled.select("valeur_texte", "valeur_num").unique()
    told = pl.DataFrame(
        [_told(text, number) for text, number in known.iter_rows()],
        schema={name: schema("value")[name] for name in ("number", "leading", "percent", "yes_no", "missing", "error")},
        orient="row",
    )
    filled = filled.join(known.hstack(told), on=["valeur_texte", "valeur_num"], nulls_equal=True, maintain_order="left")
    return filled.select(
        "sheet_id",
        row="first",
        code="indicateur_code",
        year="year",
        role="role",
        cell=pl.coalesce("source_cellule", pl.format("ligne {}", "line")),
        text="valeur_texte",
        kind=pl.lit("t"),
        number_format=pl.lit(None, pl.String),
        number="number",
        leading="leading",
        percent="percent",
        yes_no="yes_no",
        missing="missing",
        error="error",
    ).match_to_schema(schema("value"))


def _told(text: str, number: str | None) -> tuple[Any, ...]:
    """What a text says; a number a hundred times the text is the trace of a cell in % format."""
    told = read_value(text, "t")
    given = decimal_of(number) if number else None
    if told.number is not None and told.percent is None and given is not None and given != told.number:
        told = told._replace(percent="format" if given == 100 * told.number else None)
    return tuple(told)
