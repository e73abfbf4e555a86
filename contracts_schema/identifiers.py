"""Identifiers of structures and persons: their form and their key, as polars expressions over columns of normalised text.

An identifier is text, never a number. Whether it is well formed and whether its key is right are two questions: a wrong key is
common in old data and never refuses a number that a register knows. Null stays null. Sources: INSEE (SIREN and SIRET, La
Poste); the Luhn key of FINESS with A → 1, B → 2, verified on 148 published numbers; RPPS: 5 published samples, one fails.
"""

import polars as pl

LA_POSTE = "356000000"
"""SIREN whose SIRET may have digits that sum to a multiple of 5 in place of a Luhn key."""

FORMS = {
    "siret": "^[0-9]{14}$",
    "siren": "^[0-9]{9}$",
    "finess": "^[0-9][0-9AB][0-9]{7}$",
    "rpps": "^[0-9]{11}$",
}
"""The second character of a FINESS is A or B in Corsica only; overseas departments begin with 97."""
FINESS_WITHOUT_KEY = "^[0-9][0-9AB][0-9]{6}$"
NIR_FORM = "^[1-478][0-9]{2}[0-9]{2}(?:[0-9]{2}|2[AB])[0-9]{6}[0-9]{2}$"

CODE_WORDS = (
    "acte", "ligne", "num", "numero", "ref", "reference", "facture", "dossier", "bordereau", "lot", "patient", "msp", "cds",
    "cpts", "aci", "snp", "cystite", "odyno", "odynophagie", "rhino", "varicelle", "cheville", "lombalgie", "angine",
    "inclusion", "consult", "consultation", "janvier", "fevrier", "mars", "avril", "mai", "juin", "juillet", "aout",
    "septembre", "octobre", "novembre", "decembre",
)  # fmt: skip
"""Words that a reference may hold beside its number (chosen by hand)."""


def plain(text: pl.Expr) -> pl.Expr:
    """An identifier as compared: capitals, without spaces, dots, dashes; null when nothing is left."""
    bare = text.str.replace_all("[\\s\u00a0\u202f.'\u2019-]", "").str.to_uppercase()
    return pl.when(bare != "").then(bare)


def is_code(text: pl.Expr) -> pl.Expr:
    """Whether a reference or a pseudonym is a code and not words, such as a name: ``A12``, ``CYST-2024-001``, ``acte 12`` are.

    Words are runs of three letters or more that stand alone, but ``CODE_WORDS``. A code has a digit if it has a word, one word
    at most, and none of four letters or more between spaces. Hexadecimal of 16 characters or more always is one.
    """
    bare = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    bare = bare.str.replace_all(rf"\b(?:{'|'.join(CODE_WORDS)})s?\b", "")
    words = bare.str.replace_all("[^a-z0-9]+", "  ").str.count_matches("(?:^| )[a-z]{3,}(?: |$)")
    alone = text.str.contains(r"\S\s+\S") & bare.str.contains(r"(?:^|\s)[a-z]{4,}(?:\s|$)")
    return bare.str.contains("^[0-9a-f-]{16,}$") | ~((words > 1) | ((words > 0) & ~text.str.contains(r"\d")) | alone)


def well_formed(kind: str, number: pl.Expr) -> pl.Expr:
    """Whether it has the length and characters of its kind (siret, siren, finess, rpps)."""
    return number.str.contains(FORMS[kind])


def key_is_right(kind: str, number: pl.Expr) -> pl.Expr:
    """Whether the key of a number of that kind is right; false when it is not well formed."""
    return {"siret": siret_key, "siren": siren_key, "finess": finess_key, "rpps": rpps_key}[kind](number)


def siret_key(number: pl.Expr) -> pl.Expr:
    """Luhn over 14 digits, or the rule of La Poste."""
    post = number.str.starts_with(LA_POSTE) & (_digit_sum(number, 14) % 5 == 0)
    return well_formed("siret", number) & (_luhn(number, 14) | post)


def siren_key(number: pl.Expr) -> pl.Expr:
    """Luhn over 9 digits."""
    return well_formed("siren", number) & _luhn(number, 9)


def rpps_key(number: pl.Expr) -> pl.Expr:
    """Luhn over 11 digits."""
    return well_formed("rpps", number) & _luhn(number, 11)


def finess_key(number: pl.Expr) -> pl.Expr:
    """Luhn over 9 characters, the letters of Corsica counting as A → 1 and B → 2: ``2A0000154`` is valid."""
    return well_formed("finess", number) & _luhn(_without_letters(number), 9)


def finess_completed(number: pl.Expr) -> pl.Expr:
    """The 9 characters of a FINESS of which a file dropped the key; null when it is not such a number, or when it may as well
    be one that lost its first zero. Such files are joined on the first 8 characters, which this gives back unchanged."""
    other = pl.lit("0") + number
    return pl.when(~finess_key(other).fill_null(value=False)).then(number + finess_check_digit(number))


def finess_check_digit(eight: pl.Expr) -> pl.Expr:
    """The key that goes after the first 8 characters of a FINESS, as text; null when they are not such characters."""
    key = (10 - _weighted(_without_letters(eight) + "0", 9) % 10) % 10
    return pl.when(eight.str.contains(FINESS_WITHOUT_KEY)).then(key.cast(pl.String))


def is_nir(text: pl.Expr) -> pl.Expr:
    """Whether text is a social-security number with its key (97 − number mod 97; 2A counts as 19, 2B as 18). Null is none."""
    digits = text.str.replace("2A", "19", literal=True).str.replace("2B", "18", literal=True)
    number = digits.str.slice(0, 13).cast(pl.Int64, strict=False)
    return text.str.contains(NIR_FORM) & (97 - number % 97 == digits.str.slice(13).cast(pl.Int64, strict=False)).fill_null(
        value=False
    )


def _without_letters(number: pl.Expr) -> pl.Expr:
    return number.str.replace("A", "1", literal=True).str.replace("B", "2", literal=True)


def _luhn(digits: pl.Expr, length: int) -> pl.Expr:
    return _weighted(digits, length) % 10 == 0


def _weighted(digits: pl.Expr, length: int) -> pl.Expr:
    """The sum of Luhn: digits, those of every second place from the right doubled, less 9 when they pass 9."""
    number = digits.cast(pl.Int64, strict=False)
    places = [number // 10**place % 10 for place in range(length)]
    # 22 tenths of a digit, of which the units: the digit doubled, less 9 beyond 9; the digit is named once, or worked out twice
    weighted = [digit if place % 2 == 0 else digit * 22 // 10 % 10 for place, digit in enumerate(places)]
    return pl.sum_horizontal(weighted, ignore_nulls=False)


def _digit_sum(digits: pl.Expr, length: int) -> pl.Expr:
    number = digits.cast(pl.Int64, strict=False)
    return pl.sum_horizontal(number // 10**place % 10 for place in range(length))
