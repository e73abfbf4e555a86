"""The canonical long form of e-CARS (CSV, UTF-8, « ; »): one row a value, one row an indicator that was not chosen; to frames.

Must never repair a line: what the form does not allow is a refusal by line and column, without the value.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from connectors.ecars_grid import FL6, FL8
from connectors.ecars_values import clean, day_of, decimal_of, read_value
from connectors.sheets import Unreadable
from contracts_schema.cpom_catalogue import CAMPAIGN, canonical_columns
from contracts_schema.cpom_frames import schema
from contracts_schema.french import counted

FL4 = "ecars.FL4"
FL5 = "ecars.FL5"
FL9 = "ecars.FL9"
FL10 = "ecars.FL10"
_ROLES = ("INITIALE", "CIBLE", "REALISE")
_BATCH = 20_000
_SEPARATORS = {",": ",", "\t": "tabulation", "|": "|"}
"""Characters that spreadsheets and programs put in the place of « ; », with how they are told."""


def read_canonical(content: bytes, file: str, received_on: date) -> dict[str, pl.DataFrame]:
    """The frames ``sheet``, ``row`` and ``value`` of a canonical file. ``Unreadable`` with line and column."""
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
    return {"sheet": sheets, "row": _rows_of(rows), "value": _values_of(rows)}


def _fields(text: str) -> pl.DataFrame:
    """All rows as text, empty fields null, with their physical ``line``. A row of another width is a refusal.

    A text without quotes nor lone carriage returns is cut at its line ends, all at once; any other one row by row.
    """
    _check_header(text.split("\n", 1)[0])
    plain_lines = text.replace("\r\n", "\n")
    simple = '"' not in text and "\r" not in plain_lines
    found = _cut(plain_lines.split("\n")) if simple else _parsed(text)
    names = canonical_columns()
    return found.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)) for name in names)


def other_separator(line: str, names: Sequence[str]) -> str | None:
    """The character that cuts a header into these names in the place of « ; »; None when none does."""
    plain = clean(line.replace('"', "")) if "\t" not in line else line.replace('"', "").rstrip("\r\n")
    return next((one for one in _SEPARATORS if [clean(name) for name in plain.split(one)] == list(names)), None)


def missing_fields(told: str, fields: Sequence[str], count: int) -> Unreadable:
    """The refusal of a row of another width: of one field that another character cuts, its separator is wrong."""
    for one, name in _SEPARATORS.items() if len(fields) == 1 else ():
        if fields[0].count(one) >= count - 1:
            return Unreadable(FL5, f"{told} : séparateur « {name} » au lieu de « ; »")
    return Unreadable(FL5, f"{told} : {counted(len(fields), 'champ')} au lieu de {count}")


def _check_header(line: str) -> None:
    names = canonical_columns()
    if wrong := other_separator(line, names):
        raise Unreadable(FL5, f"ligne 1 : séparateur « {_SEPARATORS[wrong]} » au lieu de « ; »")
    have = [clean(name) for name in line.rstrip("\r").split(";")]
    if tuple(have) != names:
        wrong = next((one for one, want in zip(have, names, strict=False) if one != want), "fin de ligne")
        raise Unreadable(FL6, f"ligne 1 : en-tête inconnu à « {wrong[:40]} » ; attendu : {';'.join(names)}")


def _cut(lines: list[str]) -> pl.DataFrame:
    """Lines cut at each « ; »; blank ones say nothing."""
    names = canonical_columns()
    rows = pl.DataFrame({"text": pl.Series(lines, dtype=pl.String)}).with_row_index("line", 1)
    rows = rows.slice(1).filter(pl.col("text") != "").with_columns(pl.col("line").cast(pl.Int64))
    widths = rows.select("line", width=pl.col("text").str.count_matches(";", literal=True) + 1)
    wrong = widths.filter(pl.col("width") != len(names))
    if wrong.height:
        line = wrong["line"][0]
        raise missing_fields(f"ligne {line}", rows.filter(line=line)["text"][0].split(";"), len(names))
    fields = pl.col("text").str.split_exact(";", len(names) - 1).struct.rename_fields(list(names))
    return rows.select(fields.struct.unnest(), "line")


def _parsed(text: str) -> pl.DataFrame:
    """Rows as the csv module reads them, strictly."""
    names = canonical_columns()
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=";", strict=True)
    parts: list[pl.DataFrame] = []
    batch: list[list[str]] = []
    lines: list[int] = []
    line = 0
    try:
        for row in reader:
            if line and row:
                if len(row) != len(names):
                    raise missing_fields(f"ligne {line + 1}", row, len(names))
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
    return pl.DataFrame(told).with_columns(pl.Series("line", lines, dtype=pl.Int64))


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
        "valeur_texte": (chosen == "non") & pl.col("valeur_texte").is_not_null(),
    }
    for column, fault in faults.items():
        wrong = rows.filter(fault)
        if wrong.height:
            raise Unreadable(FL10, f"ligne {wrong['line'][0]}, colonne {column} : vide ou hors des valeurs permises")
    choices = rows.filter(pl.col("role").ne_missing("REALISE"))
    strategic = choices.filter(pl.col("annexe") == "STRAT")["finess_ej"].unique()
    alone = choices.filter((pl.col("annexe") == "HPR") & ~pl.col("finess_ej").is_in(strategic.implode()))
    if alone.height:
        told = "choix HPR d'un établissement sans aucune ligne STRAT : l'annexe stratégique est absente du fichier"
        raise Unreadable(FL9, f"ligne {alone['line'][0]}, colonne annexe : {told}")
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
