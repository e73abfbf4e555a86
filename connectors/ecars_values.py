"""What one cell of an e-CARS export says: a number, a rate, a yes or no, a missing value, an error.

Numbers are exact decimals, never binary floats. Must never turn a fraction into a rate in silence, nor drop a text: the caller
keeps the text as stored beside what is read here.
"""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

from connectors.sheet_cells import ERRORS

SPACES = re.compile(r"[\s\u00a0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]+")
_NUMBER = re.compile(r"^[+-]?(?:\d{1,3}(?: \d{3})+|\d+)(?:[.,]\d+)?$")
_LEADING = re.compile(r"^(\d{1,3}(?: \d{3})+|\d+)(?:[.,](\d+))?(?!\d)")
_SCIENTIFIC = re.compile(r"^[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d{1,2}$")
_YES = frozenset(("oui", "o", "x", "vrai", "true"))
_NO = frozenset(("non", "n", "faux", "false"))
_MISSING = {"nc": "NC", "nd": "ND", "nr": "NR", "-": "TIRET"}
_MONTHS = {
    "janvier": 1, "fevrier": 2, "mars": 3, "avril": 4, "mai": 5, "juin": 6, "juillet": 7, "aout": 8, "septembre": 9,
    "octobre": 10, "novembre": 11, "decembre": 12,
}  # fmt: skip
_ACCENTS = str.maketrans("àâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ", "aaaeeeeiioouuucAAAEEEEIIOOUUUC")
_LARGEST = Decimal(10) ** 13
_GRAIN = Decimal("0.000001")


class CellValue(NamedTuple):
    """``number`` in the unit of the text; ``percent`` sign or format; see ``contracts_schema.cpom_frames``."""

    number: Decimal | None
    leading: Decimal | None
    percent: str | None
    yes_no: bool | None
    missing: str | None
    error: bool


@lru_cache(maxsize=1 << 13)
def clean(text: str) -> str:
    """Text with single ordinary spaces, none at the ends."""
    return SPACES.sub(" ", text).strip(" ")


@lru_cache(maxsize=1 << 13)
def bare(text: str) -> str:
    """As ``clean``, in lower case and without accents: how headings and words are compared."""
    return clean(text).translate(_ACCENTS).lower()


@lru_cache(maxsize=1 << 16)
def read_value(text: str, kind: str) -> CellValue:
    """What a non-empty cell says. ``kind``: t n d p b e f of ``connectors.sheet_cells``."""
    if kind == "f":
        return CellValue(None, None, None, None, "FORMULE", False)
    one = clean(text).replace("\u2212", "-").replace("\u2013", "-").replace("\u2014", "-")
    low = one.translate(_ACCENTS).lower()
    if kind == "e" or one.upper() in ERRORS:
        return CellValue(None, None, None, None, None, True)
    if low in _MISSING:
        return CellValue(None, None, None, None, _MISSING[low], False)
    if kind == "d":
        return CellValue(None, None, None, None, None, False)
    yes_no = True if low in _YES else False if low in _NO else None
    if kind == "b" or yes_no is not None:
        return CellValue(None, None, None, yes_no, None, False)
    percent = "format" if kind == "p" else None
    if one.endswith("%"):
        percent, one = "sign", one[:-1].rstrip(" ")
    number = decimal_of(one)
    return CellValue(number, _leading(one) if number is None else None, percent, None, None, False)


def decimal_of(text: str) -> Decimal | None:
    """A number as French or English spreadsheets write it: ``1 200``, ``12,5``, ``12.5``, ``1.2E3``; null for anything else."""
    one = clean(text)
    if not (_NUMBER.match(one) or _SCIENTIFIC.match(one)):
        return None
    try:
        number = Decimal(one.replace(" ", "").replace(",", ".")).quantize(_GRAIN).normalize()
    except InvalidOperation:
        return None
    return number if abs(number) < _LARGEST else None


def _leading(text: str) -> Decimal | None:
    found = _LEADING.match(text)
    return decimal_of(found[1] + (f".{found[2]}" if found[2] else "")) if found else None


def cents_of(text: str, kind: str) -> int | None:
    """An amount in cents: a number cell, or ``1 234,56 €``; null when it is no amount or holds a part of a cent."""
    if kind not in ("n", "t"):
        return None
    one = re.sub(r"(?i) ?(?:€|eur|euros?)$", "", clean(text))
    number = decimal_of(one)
    scaled = None if number is None else number * 100
    return int(scaled) if scaled is not None and scaled == scaled.to_integral_value() else None


@lru_cache(maxsize=1 << 12)
def day_of(text: str, kind: str = "t") -> date | None:
    """A day: a date cell, ``24/07/2025``, ``2025-07-24``, ``Du 24 juillet 2025``; null for anything else."""
    one = bare(text)
    found = re.search(r"(\d{4})-(\d{2})-(\d{2})", one)
    if found:
        return _date(found[1], found[2], found[3])
    found = re.search(r"(?:^|\D)(\d{1,2})[/.](\d{1,2})[/.](\d{4})(?!\d)", one)
    if found:
        return _date(found[3], found[2], found[1])
    found = re.search(r"(?:^|\D)(\d{1,2})(?:er)? ([a-z]+) (\d{4})(?!\d)", one)
    if found and found[2] in _MONTHS:
        return _date(found[3], str(_MONTHS[found[2]]), found[1])
    return None


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def finess_of(text: str, kind: str) -> tuple[str, bool]:
    """A FINESS number as text, and whether zeros that a numeric cell had lost were put back. Malformed text stays as it is."""
    one = clean(text).replace(" ", "").upper()
    if kind == "t":
        one = re.sub(r"^(\d{1,9})[.,]0+$", r"\1", one).replace(".", "")  # a number that was pasted with its decimals
    if kind in ("n", "p"):
        number = decimal_of(one)
        if number is not None and number == number.to_integral_value() and number >= 0:
            digits = str(int(number))
            return digits.zfill(9), len(digits) < 9
    return one, False
