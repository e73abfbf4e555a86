"""A billing *bordereau* as it arrives, to its header, its lines and all that could not be read.

Every row that holds something is a line, a totals row, a repeated header or a leftover with a name: nothing is dropped. Patient
columns stand in a frame of their own, comments are looked at and thrown away. Nothing is guessed: what can be read in two ways
is a problem that a check asks about. The template is configuration (``contracts_schema/snp/profiles``), and none is official.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from connectors import bordereau_patients
from connectors.bordereau_header import FL9, Finding, read_header
from connectors.bordereau_patients import place
from connectors.bordereau_tables import Match, Table, body, kinds_of_rows, match
from connectors.bordereau_values import candidates, cents, clean, days, mapped, normalised, plain_digits, rpps, whole_number
from connectors.sheets import Unreadable, Workbook, read_sheets, reference
from contracts_schema.bordereau_profiles import COLUMNS, RESTRICTED, Profile, labels, profiles
from contracts_schema.french import counted, euros

FL6_HIDDEN = "bordereau.hidden_sheet"
FL7 = "bordereau.FL7"
FL11 = "bordereau.FL11"
MISPLACED = "bordereau.misplaced_words"
UNREAD = "bordereau.unread"
CP1252 = "bordereau.cp1252"
HIDDEN_ROW = "bordereau.hidden_row"
LINKS = "bordereau.external_links"

LINES = pl.Schema(
    {
        "line_number": pl.Int64(), "sheet": pl.String(), "row": pl.Int64(), "label": pl.String(), "family": pl.String(),
        "family_candidates": pl.List(pl.String), "act": pl.String(), "day": pl.Date(), "month": pl.Date(),
        "date_raw": pl.String(), "date_problem": pl.String(), "date_sign": pl.String(), "delegate_raw": pl.String(),
        "rpps": pl.String(), "rpps_repaired": pl.Boolean(), "profession": pl.String(), "count": pl.Int64(),
        "count_raw": pl.String(), "unit_cents": pl.Int64(), "unit_raw": pl.String(), "amount_cents": pl.Int64(),
        "amount_raw": pl.String(), "ref": pl.String(), "emergency": pl.Boolean(), "notes": pl.List(pl.String),
        "cells": pl.String(),
    }
)  # fmt: skip
PATIENTS = pl.Schema(
    {
        "line_number": pl.Int64(),
        "patient_key": pl.String(),
        "age_years": pl.Int32(),
        "age_months": pl.Int32(),
        "sex": pl.String(),
    }
)
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
CONTENT = tuple(
    name for name in LINES if name not in ("line_number", "sheet", "row", "date_raw", "count_raw", "unit_raw", "amount_raw")
    and name not in ("date_sign", "delegate_raw", "rpps_repaired", "notes", "cells")
)  # fmt: skip
"""Columns that say the content of a line, whatever the file that carried it."""


@dataclass(frozen=True)
class Bordereau:
    """A bordereau that could be read.

    ``header``: facts of the whole (see ``HEADER``); ``lines``: ``LINES``; ``patients`` (restricted): ``PATIENTS``;
    ``quarantined``: rows that could be nothing, ``QUARANTINED`` (cells as JSON, without patient columns and comments);
    ``leftovers``: rows that are no line, by name, ``LEFTOVERS``; ``findings``: what to say of the file.
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
    rows = _without_words(rows)
    lines = _lines(rows.filter(pl.col("what") == "line"), found, workbook)
    if not lines.height:
        raise Unreadable(FL9, "aucune ligne d'acte sous l'en-tête : rien à facturer, ou colonnes vides")
    lines, patients = _apart(lines)
    totals, of_totals = _totals(rows, lines, found)
    bad = rows.filter(pl.col("what").is_in(list(SET_ASIDE)))
    grains = {"act": lines["day"].is_not_null().any(), "month": lines["month"].is_not_null().any()}
    header |= {
        "sum_of_totals_rows_cents": of_totals,
        "grain": "mixed" if all(grains.values()) else "month" if grains["month"] or "date" not in _names(found) else "act",
        "profile": profile.id,
        "profile_version": profile.version,
        "profile_is_older": found.is_older,
        "hidden_sheets": list(found.hidden),
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    said = [*findings, *totals, *_of_file(workbook, found, rows)]
    return Bordereau(header, lines, patients, _quarantined(bad, found), _leftovers(rows, found), tuple(said))


def _names(found: Match) -> set[str]:
    return {name for table in found.tables for name in table.columns}


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


def _without_words(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds ``misplaced``, the first column whose cell names a person or holds words that have no place there; its text is
    dropped from the row, which is no line any more."""
    wrong = bordereau_patients.misplaced(rows)
    flags = {name: pl.col(name).is_in(texts.implode()).fill_null(value=False) for name, texts in wrong.items()}
    first = pl.coalesce(*(pl.when(flag).then(pl.lit(name)) for name, flag in flags.items()), pl.lit(None, pl.String))
    rows = rows.with_columns(misplaced=first)
    is_line = (pl.col("what") == "line") & pl.col("misplaced").is_not_null()
    return rows.with_columns(
        pl.when(is_line).then(pl.lit("misplaced")).otherwise("what").alias("what"),
        *(pl.when(flag).then(None).otherwise(pl.col(name)).alias(name) for name, flag in flags.items()),
    )


def _lines(rows: pl.DataFrame, found: Match, workbook: Workbook) -> pl.DataFrame:
    """Rows that are lines, with what their cells say; patient columns are still there."""
    names = pl.Series([table.sheet.name for table in found.tables], dtype=pl.String)
    missing = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in rows.columns]
    missing += [pl.lit(None, pl.String).alias(f"{name}.kind") for name in COLUMNS if f"{name}.kind" not in rows.columns]
    missing += [pl.lit(None, pl.Boolean).alias(f"{name}.formula") for name in COLUMNS if f"{name}.formula" not in rows.columns]
    rows = rows.with_columns(missing).with_columns(
        names.gather(rows["sheet_number"]).alias("sheet"), pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line_number")
    )
    for name in ("amount", "unit", "count", "rpps", "ref"):
        written = plain_digits(rows.select(pl.col(name).str.strip_chars()), name)
        numbers_only = name in ("rpps", "ref")  # typed text in scientific notation has lost its digits
        kept = pl.when(pl.lit(not numbers_only) | (pl.col(f"{name}.kind") == "n")).then(written).otherwise(pl.col(name))
        rows = rows.with_columns(kept.alias(f"{name}.plain"))
    rows = _dated(rows, found, workbook)
    rows = _people(_amounts(_labelled(rows), found.profile), found)
    return rows.with_columns(_cells(found).alias("cells"), _notes().alias("notes"))


def _distinct(rows: pl.DataFrame, columns: Sequence[str], told: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Adds what is told of some columns, worked out once for each distinct value: a bordereau repeats itself."""
    known = rows.select(columns).unique().with_columns(**told)
    return rows.join(known, on=list(columns), how="left", nulls_equal=True, maintain_order="left")


def _dated(rows: pl.DataFrame, found: Match, workbook: Workbook) -> pl.DataFrame:
    """Adds day, month_of, date_raw, date_problem, date_sign. In a sheet where typed dates stand among real ones, or where one
    can only be month first, every date that could be swapped is ``ambiguous`` or ``month_first``; ``date_sign`` is the first
    cell that shows it.
    """
    profile = found.profile
    options = {"date_1904": workbook.date_1904, "serials": profile.excel_serial, "two_digit_2000": profile.two_digit_years}
    for name, letter in (("date", "d"), ("month", "m")):
        known = days(rows.select(name, f"{name}.kind").unique(), name, f"{name}.kind", **options)
        names = {"written": name, "kind": f"{name}.kind"} | {fact: f"{letter}.{fact}" for fact in known.columns[2:]}
        known = known.rename(names)
        rows = rows.join(known, on=[name, f"{name}.kind"], how="left", nulls_equal=True, maintain_order="left")
    typed = (pl.col("d.numeric") & (pl.col("date.kind") == "t")).fill_null(value=False)
    cell = pl.concat_str(_letter("date", found), pl.col("row").cast(pl.String))
    first = {name: cell.filter(shown).first().over("sheet_number") for name, shown in (("typed", typed), ("us", "d.swapped"))}
    mixed = (pl.col("date.kind") == "d").any().over("sheet_number") & first["typed"].is_not_null()
    english = first["us"].is_not_null()
    swappable = pl.col("d.swappable") & ((pl.col("date.kind") == "d") | pl.col("d.numeric")) & pl.col("d.problem").is_null()
    doubt = pl.when(swappable & english).then(pl.lit("month_first")).when(swappable & mixed).then(pl.lit("ambiguous"))
    sign = pl.when(swappable & english).then(first["us"]).when(swappable & mixed).then(first["typed"])
    rows = rows.with_columns(sign.alias("date_sign"), pl.coalesce("d.problem", doubt).alias("d.problem"))
    sure = pl.col("d.problem").is_null()
    of_month = pl.when(pl.col("date").is_null()).then(pl.coalesce(pl.col("m.month"), pl.col("m.day").dt.month_start()))
    return rows.with_columns(
        pl.coalesce("d.problem", pl.when(pl.col("date").is_null()).then(pl.col("m.problem"))).alias("date_problem"),
        pl.when(sure).then(pl.col("d.day")).alias("day"),
        pl.coalesce(pl.when(sure).then(pl.col("d.month")), of_month).alias("month_of"),
        pl.coalesce("date", "month").alias("date_raw"),
    )


def _amounts(rows: pl.DataFrame, profile: Profile) -> pl.DataFrame:
    """Adds amount, unit and count with their raw texts."""
    for name in ("amount", "unit"):
        value, rounded = cents(pl.col(f"{name}.plain"), pl.col(f"{name}.kind"), profile.currency, profile.thousands)
        rows = _distinct(rows, [f"{name}.plain", f"{name}.kind"], {f"{name}_cents": value, f"{name}.rounded": rounded})
    default = pl.lit(profile.facts["columns"].get("count", {}).get("default", 1), pl.Int64)
    given = whole_number(pl.col("count.plain"), pl.col("count.kind"))
    count = pl.when(pl.col("count.plain").is_null() & pl.col("count.kind").is_null()).then(default).otherwise(given)
    rows = _distinct(rows, ["count.plain", "count.kind"], {"count_of": count})
    return rows.with_columns(pl.col(name).alias(f"{name}_raw") for name in ("amount", "unit", "count"))


def _people(rows: pl.DataFrame, found: Match) -> pl.DataFrame:
    """Adds the delegate, the number, the profession, the reference, and the patient's key, age and sex."""
    if "rpps" not in _names(found):  # the number is then often written in the delegate's column
        digits = clean(pl.col("delegate")).str.replace_all(r"[ .]", "").str.contains(r"^\d{11}$")
        typed = pl.when(digits).then(pl.col("delegate"))
        rows = rows.with_columns(typed.alias("rpps.plain"), pl.col("delegate.kind").alias("rpps.kind"))
    number = ["rpps.plain", "rpps.kind"]
    known = rpps(rows.select(number).unique(), *number)
    rows = rows.join(known, on=number, how="left", nulls_equal=True, maintain_order="left")
    profession = pl.coalesce(mapped(pl.col("profession"), labels()["professions"]), clean(pl.col("profession")))
    rows = _distinct(rows, ["profession"], {"profession_of": profession})
    rows = _distinct(rows, ["sex"], {"sex_of": mapped(pl.col("sex"), labels()["sexes"])})
    age = normalised(pl.col("age"))
    years = age.str.extract(r"^(\d{1,3})(?: ans?)?$").cast(pl.Int32, strict=False)
    months = age.str.extract(r"^(\d{1,3}) mois$").cast(pl.Int32, strict=False)
    rows = _distinct(rows, ["age"], {"age_years": years, "age_months": months})
    rows = _distinct(rows, ["delegate"], {"delegate_raw": clean(pl.col("delegate"))})
    return rows.with_columns(clean(pl.col("ref.plain")).alias("ref_of"), clean(pl.col("patient_key")).alias("key_of"))


def _labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds label, family, its candidates, act and whether an emergency is told."""
    table = labels()
    rows = _distinct(
        rows,
        ["protocol"],
        {
            "label": clean(pl.col("protocol")),
            "family": mapped(pl.col("protocol"), table["families"]),
            "family_candidates": candidates(pl.col("protocol"), table["words"], table["families"]),
        },
    )
    without_urgency = normalised(pl.col("act")).str.replace(" ?(?:en )?urgence$", "")
    act = without_urgency.replace_strict(table["acts"], default=None, return_dtype=pl.String)
    rows = _distinct(rows, ["act"], {"act.told": act})
    default = pl.col("family").replace_strict(table["default_acts"], default=None, return_dtype=pl.String)
    urgent = [pl.col(name).str.contains(r"(?i)\burgences?\b").fill_null(value=False) for name in ("act", "protocol", "comment")]
    return rows.with_columns(
        pl.when(pl.col("act").is_null()).then(default).otherwise(pl.col("act.told")).alias("act_of"),
        pl.any_horizontal(urgent).alias("emergency"),
    )


def _notes() -> pl.Expr:
    """Rule ids of what was repaired or presumed in a line."""
    merged = pl.col("merged").list.len() > 0
    formula = pl.any_horizontal(
        pl.col(f"{name}.formula").fill_null(value=False) & ~pl.col(f"{name}.kind").is_in(["f", "e"])
        for name in ("amount", "unit", "count", "date")
    )
    serial = (pl.col("date.kind") == "n") & pl.col("day").is_not_null()
    timed = pl.col("date_raw").str.contains(r"[T ]\d{1,2}[:h]\d{2}") & pl.col("day").is_not_null()
    noted = {
        "bordereau.rpps_repaired": pl.col("rpps_repaired"),
        "bordereau.float_rounded": pl.col("amount.rounded"),
        "bordereau.formula_value": formula,
        "bordereau.formula_without_value": pl.any_horizontal(
            pl.col(f"{name}.kind") == "f" for name in ("amount", "unit", "count")
        ),
        "bordereau.error_cell": pl.any_horizontal(
            pl.col(f"{name}.kind") == "e" for name in ("amount", "unit", "count", "date")
        ),
        "bordereau.percentage": pl.any_horizontal(pl.col(f"{name}.kind") == "p" for name in ("amount", "unit", "count")),
        "bordereau.date_serial": serial,
        "bordereau.date_time_dropped": timed,
        "bordereau.merged_cell": merged,
        "bordereau.hidden_row_read": pl.col("hidden"),
        "bordereau.act_default": pl.col("act").is_null() & pl.col("act_of").is_not_null(),
        "bordereau.act_unknown": pl.col("act").is_not_null() & pl.col("act_of").is_null(),
        "bordereau.mojibake": pl.col("protocol").str.contains("Ã[\u0080-\u00bf\u2000-\u206f©¨ª«§®´¹»]|\ufffd|â€"),
        "bordereau.two_numbers": pl.col("rpps").str.contains(r"\d{8,}\D+\d{8,}"),
    }
    return pl.concat_list(pl.when(told).then(pl.lit(rule)) for rule, told in noted.items()).list.drop_nulls()


def _letter(name: str, found: Match) -> pl.Expr:
    """The letter of the column of this name in the sheet of each row."""
    letters = [reference(0, table.columns.get(name, 1))[:-1] for table in found.tables]
    return pl.col("sheet_number").replace_strict(dict(enumerate(letters)), return_dtype=pl.String)


def _cells(found: Match) -> pl.Expr:
    """JSON: canonical name → its cell and the text in it. Never a patient column, never a comment."""
    kept = [name for name in COLUMNS if name not in (*RESTRICTED, "comment") and name in _names(found)]
    parts = []
    for name in kept:
        letter = _letter(name, found)
        raw = pl.col(name).str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        raw = raw.str.replace_all("\n", "\\n", literal=True).str.replace_all("[\x00-\x1f]", " ")
        start, middle = pl.lit(f'"{name}": {{"cell": "'), pl.lit('", "raw": "')
        parts.append(pl.concat_str(start, letter, pl.col("row").cast(pl.String), middle, raw, pl.lit('"}')))
    return pl.concat_str(pl.lit("{"), pl.concat_str(parts, separator=", ", ignore_nulls=True), pl.lit("}"))


def _apart(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines without any patient column, and the patients apart."""
    patients = rows.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in ("key_of", "age", "sex"))).select(
        "line_number", pl.col("key_of").alias("patient_key"), "age_years", "age_months", pl.col("sex_of").alias("sex")
    )
    renamed = {"act_of": "act", "month_of": "month", "rpps_of": "rpps", "profession_of": "profession", "count_of": "count"}
    kept = rows.drop(*renamed.values(), "ref").rename({**renamed, "ref_of": "ref"})
    return _typed(kept, LINES), _typed(patients, PATIENTS)


def _typed(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _totals(rows: pl.DataFrame, lines: pl.DataFrame, found: Match) -> tuple[list[Finding], int | None]:
    """Each totals row against the sum since the one before, of its sheet, or of the file; and the sum that those rows tell of
    all lines: None when they tell it of some only."""
    profile = found.profile
    told = rows.filter(pl.col("what") == "totals").select("sheet_number", "row", "amount", "amount.kind")
    if not told.height:
        return [], None
    told = told.with_columns(plain_digits(told, "amount").alias("amount"))
    told = told.with_columns(
        cents(pl.col("amount"), pl.col("amount.kind"), profile.currency, profile.thousands)[0].alias("cents")
    )
    names = [table.sheet.name for table in found.tables]
    claimed = lines.select("sheet", "row", pl.col("amount_cents").fill_null(0).alias("cents"))
    findings: list[Finding] = []
    subtotals = grand = wrong = 0
    since: dict[int, int] = {}
    for number, row, value in told.select("sheet_number", "row", "cents").iter_rows():
        table, name = found.tables[number], names[number]
        cell = place(name, reference(row, table.columns["amount"]))
        above = claimed.filter(pl.col("sheet").eq_missing(pl.lit(name, pl.String)) & (pl.col("row") < row))
        part = int(above.filter(pl.col("row") > since.get(number, 0))["cents"].sum())
        whole, everything = int(above["cents"].sum()), int(claimed["cents"].sum())
        if value is None:
            findings.append(Finding(FL9, cell, f"{cell} : ligne de total dont le montant est illisible", "A03"))
        elif value == part and part:
            subtotals += value
            since[number] = row
        elif value in (whole, everything):
            grand = value
        else:
            message = f"{cell} : total de {euros(value)} alors que les lignes font {euros(part)} (depuis le total précédent)"
            findings.append(Finding(FL9, cell, message, "A03"))
            subtotals, wrong = subtotals + value, wrong + 1
            since[number] = row
    everything = int(claimed["cents"].sum())
    whole_told = everything in (grand, subtotals)  # totals of some of the lines, each right, say nothing of the whole
    return findings, subtotals if wrong else everything if whole_told else None


def _quarantined(rows: pl.DataFrame, found: Match) -> pl.DataFrame:
    if not rows.height:
        return pl.DataFrame(schema=QUARANTINED)
    missing = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in rows.columns]
    names = pl.Series([table.sheet.name for table in found.tables], dtype=pl.String)
    rows = rows.with_columns(missing).with_columns(
        names.gather(rows["sheet_number"]).alias("sheet"), _cells(found).alias("cells")
    )
    at = [pl.when(pl.col("misplaced") == name).then(_letter(name, found)) for name in _names(found)]
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


def content_digest(bordereau: Bordereau) -> str:
    """SHA-256 of what the lines say, whatever their order and the format of the file: equal content, equal digest."""
    rows = bordereau.lines.select(CONTENT).write_ndjson()
    patients = bordereau.lines.select("line_number").join(
        bordereau.patients, on="line_number", how="left", maintain_order="left"
    )
    restricted = patients.drop("line_number").write_ndjson()
    both = sorted(f"{line}{patient}" for line, patient in zip(rows.split("\n"), restricted.split("\n"), strict=True))
    return hashlib.sha256("\n".join(both).encode()).hexdigest()


def line_ids(lines: pl.DataFrame, structure: str, scope: str) -> pl.Series:
    """Identity of each line, 16 hexadecimal digits: structure, scope, then its reference, else what was done, when and by whom,
    and its rank among equal ones. It survives a new sending; the amount is no part of it.
    """
    told = pl.concat_str(
        pl.coalesce("family", normalised(pl.col("label"))), "act", pl.coalesce("day", "month").cast(pl.String),
        pl.coalesce("rpps", normalised(pl.col("delegate_raw"))), separator="|", ignore_nulls=True,
    )  # fmt: skip
    key = pl.when(pl.col("ref").is_not_null()).then(pl.concat_str(pl.lit("ref|"), "ref")).otherwise(told)
    keyed = lines.select(key.alias("key")).with_columns(pl.int_range(pl.len()).over("key").alias("rank"))
    start = json.dumps([structure, scope])
    ids = [hashlib.sha256(f"{start}|{key}|{rank}".encode()).hexdigest()[:16] for key, rank in keyed.iter_rows()]
    return pl.Series("line_id", ids, dtype=pl.String)
