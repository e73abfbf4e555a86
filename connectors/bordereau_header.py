"""What a bordereau says of itself around its table: structure, period, totals, certification, sender.

Each fact keeps its cell. What is missing, contradictory or has a wrong key is a finding for a check to judge, never corrected.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from connectors.bordereau_patients import place
from connectors.bordereau_tables import Table, top_rows
from connectors.bordereau_values import cents, clean, days, finess_valid, plain_digits, siret_valid
from connectors.sheets import Sheet, Workbook, reference
from contracts_schema.bordereau_profiles import Profile, labels
from contracts_schema.bordereau_profiles import normalised as bare

FL8 = "bordereau.FL8"
FL9 = "bordereau.FL9"
FL10 = "bordereau.FL10"


Rows = Mapping[int, Mapping[int, tuple[str, str]]]
"""Row → column → text and kind."""


@dataclass(frozen=True)
class Finding:
    """One thing said of a file: rule id, cell or None, French message, and the check that judges it, if any."""

    rule: str
    cell: str | None
    message_fr: str
    check: str | None = None


@dataclass(frozen=True)
class Told:
    """A value found beside its label: text, kind of its cell, and where."""

    text: str
    kind: str
    cell: str


def read_header(
    workbook: Workbook, tables: Sequence[Table], profile: Profile, received_on: date
) -> tuple[dict[str, Any], list[Finding]]:
    """Header facts of ``SNP`` bordereaux (identity, period, total, certification, sender) and what is wrong with them."""
    told = _gathered(tables, profile)
    findings: list[Finding] = []
    header: dict[str, Any] = {}
    header["siret"] = identifier(told.get("siret", []), "SIRET", 14, findings)
    header["finess"] = identifier(told.get("finess", []), "FINESS", 9, findings)
    header["structure_name"] = _one(told.get("structure_name", []), "nom de structure", "S06", findings)
    if not any(header.values()):
        findings.append(Finding(FL8, None, "ni SIRET, ni FINESS, ni nom de structure au-dessus du tableau", "S06"))
    kind = _one(told.get("structure_kind", []), "type de structure", "S05", findings)
    header["structure_kind"] = labels()["structure_kinds"].get(bare(kind)) if kind else None
    if kind and not header["structure_kind"]:
        cell = told["structure_kind"][0].cell
        findings.append(Finding(FL8, cell, f"{cell} : type de structure inconnu (attendu : MSP, CDS ou CPTS)", "S05"))
    header["caisse"] = _one(told.get("caisse", []), "caisse", "S07", findings)
    header["period_from"], header["period_to"] = _period(told.get("period", []), workbook, findings)
    total = told.get("total", [])
    header["declared_total_cents"] = _declared(total, profile)
    if total and header["declared_total_cents"] is None:
        findings.append(Finding(FL9, total[0].cell, f"{total[0].cell} : total déclaré illisible", "A03"))
    header["replaces"] = _one(told.get("replaces", []), "bordereau remplacé", "U02", findings)
    header["certified"] = _certified(tables, profile)
    if header["certified"] is False:
        findings.append(Finding(FL10, None, "signature, cachet ou certification absents", "B03"))
    header |= _sender(told.get("sender", []), findings)
    states = told.get("iban_state", [])
    header["iban_state"] = labels()["iban_states"].get(bare(states[0].text)) if states else None
    return header, findings


def _gathered(tables: Sequence[Table], profile: Profile) -> dict[str, list[Told]]:
    """Values by field name, of all tables; of two cells that say the same, the first."""
    told: dict[str, list[Told]] = {}
    for table in tables:
        for name, found in _above(table, profile).items():
            known = {bare(value.text) for value in told.get(name, [])}
            told.setdefault(name, []).extend(value for value in found if bare(value.text) not in known)
    return told


def _above(table: Table, profile: Profile) -> dict[str, list[Told]]:
    """Labels above the table, each with the next cell to the right, else the one below, else what follows its own colon."""
    names = {heading: name for name, accepted in profile.fields.items() for heading in accepted}
    rows = top_rows(table.sheet, table.first_row - 1)
    found: dict[str, list[Told]] = {}
    taken: set[str] = set()
    for row, cells in sorted(rows.items()):
        for column, (text, kind) in sorted(cells.items()):
            label, _, inline = text.partition(":")
            name = names.get(bare(label)) if kind == "t" else None
            if name is None or name in taken:
                continue
            value = _value(table.sheet, rows, row, column, names, inline, several=name == "period")
            if value:
                taken.add(name)
                found.setdefault(name, []).append(value)
    return found


def _value(
    sheet: Sheet, rows: Rows, row: int, column: int, names: Mapping[str, str], inline: str, *, several: bool
) -> Told | None:
    if inline.strip():
        return Told(" ".join(inline.split()), "t", place(sheet.name, reference(row, column)))
    beside = []
    for right, (text, kind) in sorted(rows[row].items()):
        if right > column:
            if kind == "t" and bare(text.partition(":")[0]) in names:
                break
            beside.append((right, text, kind))
    if beside and several and len(beside) > 1:
        return Told(" ".join(text for _, text, _ in beside), "t", place(sheet.name, reference(row, beside[0][0])))
    if beside:
        right, text, kind = beside[0]
        return Told(" ".join(text.split()), kind, place(sheet.name, reference(row, right)))
    below = rows.get(row + 1, {}).get(column)
    if below and not (below[1] == "t" and bare(below[0].partition(":")[0]) in names):
        return Told(" ".join(below[0].split()), below[1], place(sheet.name, reference(row + 1, column)))
    return None


def _one(told: Sequence[Told], what: str, check: str, findings: list[Finding]) -> str | None:
    if len(told) > 1:
        cells = ", ".join(value.cell for value in told)
        findings.append(Finding(FL8, told[1].cell, f"{cells} : deux valeurs de « {what} » dans un même fichier", check))
        return None
    return told[0].text if told else None


def identifier(told: Sequence[Told], what: str, length: int, findings: list[Finding]) -> str | None:
    """The number as text, repaired only when nothing is lost; None when the file names two."""
    if _one(told, what, "S06", findings) is None:
        return None
    value = told[0]
    number, lost = _digits(value, length)
    valid = siret_valid(number) if length == 14 else finess_valid(number)
    if lost:
        findings.append(
            Finding(FL8, value.cell, f"{value.cell} : {what} en notation scientifique, des chiffres sont perdus", "S06")
        )
    elif len(number) != length:
        findings.append(
            Finding(FL8, value.cell, f"{value.cell} : {what} de {len(number)} caractères au lieu de {length}", "S06")
        )
    elif not valid:
        findings.append(Finding(FL8, value.cell, f"{value.cell} : clé du {what} fausse", "S06"))
    elif value.kind == "n" or number != value.text:
        findings.append(
            Finding(FL8, value.cell, f"{value.cell} : {what} rétabli en texte (nombre ou mise en forme du tableur)")
        )
    return number


def _digits(value: Told, length: int) -> tuple[str, bool]:
    text = re.sub(r"[\s.'’\u00a0\u202f_-]", "", value.text).upper() if value.kind != "n" else value.text
    if value.kind != "n":
        lost = bool(re.fullmatch(r"[0-9]+(?:[.,][0-9]+)?[eE][+]?[0-9]{1,2}", "".join(value.text.split())))
        return ("".join(value.text.split()) if lost else text), lost
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text, False
    if number != number.to_integral_value() or number.adjusted() > 20:
        return text, True
    digits = format(number.quantize(Decimal(1)), "f")
    padded = digits.zfill(length)
    return (padded if len(digits) == length - 1 and _key(padded) else digits), False


def _key(number: str) -> bool:
    return siret_valid(number) if len(number) == 14 else finess_valid(number)


def _period(told: Sequence[Told], workbook: Workbook, findings: list[Finding]) -> tuple[date | None, date | None]:
    text = _one(told, "période", "B05", findings)
    if text is None:
        return None, None
    cell = told[0].cell
    parts = re.split(r"\b(?:du|au|à|-->|→)\b|\s[-–]\s|[;→]", text, flags=re.IGNORECASE)
    parts = [part.strip(" :,") for part in parts if part.strip(" :,")]
    if len(parts) == 1:
        parts = re.findall(r"\d{1,2}[/.]\d{1,2}[/.]\d{4}|\d{4}-\d{2}-\d{2}(?:T[\d:]+)?", text) or parts
    frame = pl.DataFrame({"text": parts, "kind": [told[0].kind if len(parts) == 1 else "t"] * len(parts)})
    read = days(frame, "text", "kind", date_1904=workbook.date_1904, serials=True, two_digit_2000=False)
    known = read.select("day", "month").rows()
    ends = [(day or month, day or (_last(month) if month else None)) for day, month in known]
    first, last = (ends[0][0], ends[-1][1]) if ends and len(ends) <= 2 else (None, None)
    if first is None or last is None:
        findings.append(Finding(FL8, cell, f"{cell} : période illisible (attendu : du JJ/MM/AAAA au JJ/MM/AAAA)", "B05"))
        return None, None
    if last < first:
        findings.append(Finding(FL8, cell, f"{cell} : la période finit avant de commencer", "B05"))
        return None, None
    return first, last


def _last(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _declared(told: Sequence[Told], profile: Profile) -> int | None:
    if len(told) != 1:
        return None
    return amount(told[0].text, told[0].kind, profile)


def amount(text: str, kind: str, profile: Profile) -> int | None:
    """Cents of one cell, by the same rules as those of a column."""
    frame = pl.DataFrame({"text": [text], "kind": [kind]})
    frame = frame.with_columns(plain_digits(frame, "text").alias("text"))
    found: int | None = frame.select(cents(pl.col("text"), pl.col("kind"), profile.currency, profile.thousands)[0]).item()
    return found


def _certified(tables: Sequence[Table], profile: Profile) -> bool | None:
    """Whether a certification area is filled; False when there is none and the template has one; None when it has none."""
    if not profile.certification:
        return None
    words = "^(?:" + "|".join(profile.certification) + ")"
    found: bool | None = False if profile.certification_required else None
    for table in tables:
        cells = table.sheet.cells.filter(~pl.col("row").is_between(table.first_row, table.last_row))
        outside = cells.filter((pl.col("kind") == "t") & clean(pl.col("text")).is_not_null())
        for row, column, text in (
            outside.select("row", "column", "text").iter_rows() if outside.height < 5000 else _edges(outside)
        ):
            if re.match(words, bare(text)):
                found = bool(found) or _filled(cells, row, column, text)
    return found


def _edges(cells: pl.DataFrame) -> list[tuple[int, int, str]]:
    """Texts that start like a certification, of a long sheet."""
    start = pl.col("text").str.contains(r"(?i)^\s*\W?\s*[sc]")
    return cells.filter(start).unique("text", keep="first").select("row", "column", "text").rows()


def _filled(cells: pl.DataFrame, row: int, column: int, text: str) -> bool:
    _, colon, inline = text.partition(":")
    if (colon and inline.strip(" ._…")) or re.search(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}", text):
        return True
    right = (pl.col("row") == row) & (pl.col("column") > column)
    below = (pl.col("row") == row + 1) & (pl.col("column") == column)
    filled = cells.filter((right | below) & clean(pl.col("text")).is_not_null())["text"].to_list()
    return any(not re.match("^(?:signature|cachet|certifie)", bare(value)) and bare(value) for value in filled)


def _sender(told: Sequence[Told], findings: list[Finding]) -> dict[str, str | None]:
    if not told:
        return {"sender": None, "sender_rpps": None}
    value = told[0]
    number = re.sub(r"\D", "", value.text)
    words = re.sub(r"\(.*?\)|[0-9]", "", value.text)
    sender = labels()["senders"].get(bare(words)) or ("professional" if len(number) == 11 else None)
    if sender != "structure":
        message = (
            f"{value.cell} : émetteur non reconnu" if sender is None else f"{value.cell} : l'émetteur n'est pas la structure"
        )
        findings.append(Finding(FL10, value.cell, message, "B06"))
    return {"sender": sender, "sender_rpps": number if len(number) == 11 else None}
