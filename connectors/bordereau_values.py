"""What the cells of a bordereau say: amounts, counts, dates, identifiers, labels, as polars expressions over columns of text.

Money goes from digits to integer cents by cutting text, never through a binary float. What can be read in two ways gives null
and a problem code, never a guess; what was repaired gives a note.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

import polars as pl

from contracts_schema.identifiers import rpps_key

SPACES = "[\u0009\u000a\u000d\u0020\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]+"
NUMBERS = ("n", "p")
UNREADABLE_KINDS = ("e", "f", "b", "p")
"""Kinds of cells that say no amount, count or day: errors, formulas without stored value, booleans, percentages."""

MONTHS = {
    1: ("janvier", "janv", "jan"), 2: ("fevrier", "fevr", "fev"), 3: ("mars", "mar"), 4: ("avril", "avr"), 5: ("mai",),
    6: ("juin",), 7: ("juillet", "juil"), 8: ("aout", "aou"), 9: ("septembre", "sept", "sep"), 10: ("octobre", "oct"),
    11: ("novembre", "nov"), 12: ("decembre", "dec"),
}  # fmt: skip
_MONTH_NUMBER = {name: f"{number:02d}" for number, names in MONTHS.items() for name in names}
_SCIENTIFIC = r"^[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d{1,2}$"
_TIME = r"(?:[T ]\d{1,2}[:h]\d{2}(?::\d{2}(?:\.\d+)?)?)?"
_YEARS = (2000, 2099)


def clean(text: pl.Expr) -> pl.Expr:
    """Text with ordinary single spaces, no byte order mark or zero-width sign, and a plain minus; null when nothing is left."""
    trimmed = _tidied(text)
    return pl.when(trimmed != "").then(trimmed)


def _tidied(text: pl.Expr) -> pl.Expr:
    """``clean``, save that what is empty stays so."""
    return text.str.replace_all(SPACES, " ").str.strip_chars(" ").str.replace_all("[\u2212\u2013]", "-")


def normalised(text: pl.Expr) -> pl.Expr:
    """As ``contracts_schema.bordereau_profiles.normalised``, over a column."""
    bare = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    bare = bare.str.replace_all("œ", "oe").str.replace_all("æ", "ae")
    return bare.str.replace_all("[^a-z0-9]+", " ").str.strip_chars(" ")


def plain_digits(frame: pl.DataFrame, column: str) -> pl.Series:
    """The column with scientific notation written out, exactly: ``2,5E1`` → ``25``; other values as they are."""
    values = frame[column]
    found = values.filter(values.str.contains(_SCIENTIFIC).fill_null(value=False)).unique()
    if not found.len():
        return values
    written = [format(Decimal(value.replace(",", ".")), "f") for value in found.to_list()]
    return values.replace(found, pl.Series(written, dtype=pl.String))


def _number_parts(text: pl.Expr, currency: Sequence[str], thousands: Sequence[str]) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Whether the number is negative, its whole digits and its decimals; null digits when the text is no number."""
    # each step names the one before once, or polars works it out as many times
    unit = "|".join(re.escape(sign) for sign in sorted(currency, key=len, reverse=True))
    bare = _tidied(text).str.replace("^['’]", "").str.replace(f"(?i) ?(?:{unit})$", "").str.replace(f"(?i)^(?:{unit}) ?", "")
    negative = bare.str.contains(r"^-|-$|^\(.*\)$")
    body = bare.str.replace(r"^\((.*)\)$", "$1").str.replace("^[+-] ?", "").str.replace(" ?-$", "")
    pure = body.str.extract(r"^((?:\d{1,3}(?: \d{3})+|\d+)(?:[.,]\d+)?)$").str.replace_all(" ", "", literal=True)
    if "." in thousands:
        dotted = body.str.extract(r"^(\d{1,3}(?:\.\d{3})+(?:,\d+)?)$")
        pure = pl.coalesce(dotted.str.replace_all(".", "", literal=True), pure)
    digits = pure.str.extract(r"^(\d{1,12}(?:[.,]\d*)?)$")
    return negative, digits.str.extract(r"^(\d+)"), digits.str.extract(r"[.,](\d*)$").fill_null("")


def cents(text: pl.Expr, kind: pl.Expr, currency: Sequence[str], thousands: Sequence[str]) -> tuple[pl.Expr, pl.Expr]:
    """Integer cents (null: no amount, or one that could be read in two ways) and whether a float artefact was rounded.

    At most two decimals; exactly three could be thousands, so null; five nines or zeros on are the trace of a binary float.
    """
    negative, whole, decimals = _number_parts(text, currency, thousands)
    two, rest = decimals.str.slice(0, 2).str.pad_end(2, "0"), decimals.str.slice(2)
    nines, artefact = r"^9{5,}\d?$|^9{7,}\d*$", r"^9{5,}\d?$|^9{7,}\d*$|^0{5,}\d*$"
    rounded_up = rest.str.contains(nines).cast(pl.Int64)
    value = whole.cast(pl.Int64, strict=False) * 100 + two.cast(pl.Int64, strict=False) + rounded_up
    readable = rest.str.contains(f"^$|{artefact}") & ~kind.is_in(UNREADABLE_KINDS)
    sure = pl.when(readable).then(value * (1 - 2 * negative.cast(pl.Int64)))
    return sure, rest.str.contains(artefact) & sure.is_not_null()


def whole_number(text: pl.Expr, kind: pl.Expr) -> pl.Expr:
    """A count: ``3`` and ``3,0`` are 3; ``2,5`` and text are null."""
    negative, whole, decimals = _number_parts(text, ("€",), (" ",))
    value = whole.cast(pl.Int64, strict=False)
    readable = decimals.str.contains("^0*$") & ~kind.is_in(UNREADABLE_KINDS)
    return pl.when(readable).then(value * (1 - 2 * negative.cast(pl.Int64)))


def days(frame: pl.DataFrame, text: str, kind: str, *, date_1904: bool, serials: bool, two_digit_2000: bool) -> pl.DataFrame:
    """The two columns as ``written`` and ``kind``, with what they say.

    ``day`` (Date); ``month`` (Date, first of month, when only a month is told); ``problem`` (unreadable, two_digit_year,
    out_of_range); ``numeric`` (typed as D/M/Y in digits); ``swapped`` (its second number cannot be a month); ``swappable``.
    Worked out step by step, as ``rpps``.
    """
    parts = _day_parts(frame.select(pl.col(text).alias("written"), pl.col(kind).alias("kind")))
    short, short_month = (pl.col(name).str.len_chars() == 2 for name in ("y", "my"))
    is_serial = (pl.col("kind") == "n") & pl.col("serial").is_not_null()
    of_serial = _serial_day(pl.col("serial"), date_1904) if serials else pl.lit(None, pl.Date)
    full = [
        pl.when(two).then(pl.concat_str(pl.lit("20"), name)).otherwise(name)
        for two, name in ((short, "y"), (short_month, "my"))
    ]
    told = parts.with_columns(
        pl.when(is_serial).then(of_serial).otherwise(_date(full[0], pl.col("m"), pl.col("d"))).alias("day"),
        _date(full[1], pl.col("mm"), pl.lit("1")).alias("month"),
        (short | short_month).fill_null(value=False).alias("two_digits"),
    ).with_columns(pl.coalesce("day", "month").alias("told"))
    outside = (is_serial & pl.col("day").is_null()) | ~pl.col("told").dt.year().is_between(*_YEARS).fill_null(value=True)
    problem = (
        pl.when(pl.col("shown").is_null())
        .then(None)
        .when(pl.col("kind").is_in(UNREADABLE_KINDS))
        .then(pl.lit("unreadable"))
        .when(outside)
        .then(pl.lit("out_of_range"))
        .when(pl.col("told").is_null())
        .then(pl.lit("unreadable"))
        .when(pl.col("two_digits") & pl.lit(not two_digit_2000))
        .then(pl.lit("two_digit_year"))
    )
    first, second = (_group("typed", place).cast(pl.Int32, strict=False) for place in (1, 2))
    swappable = (pl.col("day").dt.day() <= 12) & (pl.col("day").dt.day() != pl.col("day").dt.month())
    sure = pl.col("problem").is_null()
    return told.with_columns(
        problem.alias("problem"),
        _group("typed", 1).is_not_null().alias("numeric"),
        ((second > 12) & (first <= 12)).fill_null(value=False).alias("swapped"),
        swappable.fill_null(value=False).alias("swappable"),
    ).select(
        "written",
        "kind",
        pl.when(sure).then(pl.col("day")).alias("day"),
        pl.when(sure & pl.col("day").is_null()).then(pl.col("month")).alias("month"),
        "problem",
        "numeric",
        "swapped",
        "swappable",
    )


def _day_parts(shown: pl.DataFrame) -> pl.DataFrame:
    """Adds what each way of writing a day finds in ``written``: y, m, d; my, mm of a month; ``serial``; groups of ``typed``."""
    bare = (
        clean(pl.col("written")).str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase().str.strip_chars("'’ ")
    )
    time = _TIME.replace("T", "t")
    patterns = {
        "iso": rf"^(\d{{4}})-(\d{{1,2}})-(\d{{1,2}}){time}$",
        "typed": rf"^(\d{{1,2}})[/. -](\d{{1,2}})[/. -](\d{{4}}|\d{{2}}){time}$",
        "named": r"^(?:[a-z]+ )?(\d{1,2})(?:er)?[ -]([a-z]+)\.?[ -](\d{4}|\d{2})$",
        "month_iso": r"^(\d{4})-(\d{1,2})$",
        "month_typed": r"^(\d{1,2})[/.-](\d{4})$",
        "month_named": r"^([a-z]+)\.?[ -](\d{4}|\d{2})$",
    }
    groups = shown.with_columns(bare.alias("shown")).with_columns(
        pl.col("shown").str.extract_groups(pattern).alias(name) for name, pattern in patterns.items()
    )
    return groups.with_columns(
        pl.coalesce(_group("iso", 1), _group("typed", 3), _group("named", 3)).alias("y"),
        pl.coalesce(_group("iso", 2), _group("typed", 2), _month_group("named", 2)).alias("m"),
        pl.coalesce(_group("iso", 3), _group("typed", 1), _group("named", 1)).alias("d"),
        pl.coalesce(_group("month_iso", 1), _group("month_typed", 2), _group("month_named", 2)).alias("my"),
        pl.coalesce(_group("month_iso", 2), _group("month_typed", 1), _month_group("month_named", 1)).alias("mm"),
        pl.col("shown").cast(pl.Float64, strict=False).alias("serial"),
    )


def _group(name: str, number: int) -> pl.Expr:
    return pl.col(name).struct.field(str(number))


def _month_group(name: str, number: int) -> pl.Expr:
    return _group(name, number).replace_strict(_MONTH_NUMBER, default=None, return_dtype=pl.String)


def _date(year: pl.Expr, month: pl.Expr, day: pl.Expr) -> pl.Expr:
    """A day that exists, else null: 31/04 and 29/02 of a common year do not."""
    return pl.concat_str(year, month.str.zfill(2), day.str.zfill(2), separator="-").str.to_date("%Y-%m-%d", strict=False)


def _serial_day(serial: pl.Expr, date_1904: bool) -> pl.Expr:
    within = serial.is_between(0 if date_1904 else 61, 2_957_003 if date_1904 else 2_958_465)
    return (pl.when(within).then(serial.floor()).cast(pl.Int32) - (24107 if date_1904 else 25569)).cast(pl.Date)


def rpps(numbers: pl.DataFrame, text: str, kind: str) -> pl.DataFrame:
    """Adds ``rpps_of``, the number without what a spreadsheet adds (spaces, dots, apostrophe, float), and ``rpps_repaired``.

    Ten digits of a number cell are eleven when the zero in front makes the key right; ten typed digits stay ten. The national
    form (8 then the RPPS) loses its 8. Letters, two numbers in a cell, lost digits: as typed, for check T05 to ask. Worked out
    step by step: one expression of it all would be planned for longer than it runs.
    """
    is_number = pl.col(kind) == "n"
    shown = numbers.select(text, kind).with_columns(clean(pl.col(text)).alias("shown"))
    joined = pl.col("shown").str.replace_all(r"[ .'’\u00b4]", "")
    bare = pl.when(is_number).then(pl.col("shown").str.replace(r"\.0+$", "")).otherwise(joined)
    digits = shown.with_columns(bare.alias("bare")).with_columns(
        pl.when(pl.col("bare").str.contains(r"^\d+$")).then(pl.col("bare")).alias("digits")
    )
    forms = digits.with_columns(pl.concat_str(pl.lit("0"), "digits").alias("zero"), pl.col("digits").str.slice(1).alias("tail"))
    length = pl.col("digits").str.len_chars()
    best = (
        pl.when(is_number & (length == 10) & rpps_key(pl.col("zero")).fill_null(value=False))
        .then(pl.col("zero"))
        .when((length == 12) & pl.col("digits").str.starts_with("8") & rpps_key(pl.col("tail")).fill_null(value=False))
        .then(pl.col("tail"))
        .when(length <= 12)
        .then(pl.col("digits"))
        .otherwise(pl.col("shown"))
    )
    found = forms.select(text, kind, best.alias("rpps_of"))
    changed = (pl.col("rpps_of") != pl.col(text)) | (is_number & pl.col("rpps_of").str.contains(r"^\d{11}$"))
    repaired = changed & pl.col("rpps_of").str.contains(r"^\d{9,11}$")
    return found.with_columns(repaired.fill_null(value=False).alias("rpps_repaired"))


def luhn_valid(digits: str) -> bool:
    """Luhn key of one number, letters of Corsica as A → 1, B → 2 (FINESS)."""
    numbers = [int(letter) for letter in reversed(digits.replace("A", "1").replace("B", "2"))]
    return sum(number if place % 2 == 0 else sum(divmod(number * 2, 10)) for place, number in enumerate(numbers)) % 10 == 0


def siret_valid(digits: str) -> bool:
    """Luhn over 14 digits, or the rule of La Poste (SIREN 356000000: digits sum to a multiple of 5)."""
    if not re.fullmatch(r"[0-9]{14}", digits):
        return False
    return luhn_valid(digits) or (digits.startswith("356000000") and sum(map(int, digits)) % 5 == 0)


def finess_valid(text: str) -> bool:
    """Nine characters with their key; Corsica as 2A and 2B."""
    return bool(re.fullmatch(r"[0-9][0-9AB][0-9]{7}", text)) and luhn_valid(text)


def nir_valid(digits: str) -> bool:
    """Thirteen characters and their key: 97 − (number mod 97), Corsica as 2A → 19, 2B → 18."""
    shape = r"[1-478][0-9]{2}[0-9]{2}(?:[0-9]{2}|2[AB])[0-9]{6}[0-9]{2}"
    if not re.fullmatch(shape, digits):
        return False
    number = int(digits[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(digits[13:])


def mapped(text: pl.Expr, codes: Mapping[str, str]) -> pl.Expr:
    """The code of a text in a table of normalised texts; null when the table has none."""
    return normalised(text).replace_strict(dict(codes), default=None, return_dtype=pl.String)


def candidates(text: pl.Expr, words: Mapping[str, Sequence[str]], codes: Mapping[str, str]) -> pl.Expr:
    """Families that a label may mean: the one it is, else those it holds a word of; in the order of the table."""
    spaced = pl.concat_str(pl.lit(" "), normalised(text))
    found = [
        pl.when(spaced.str.contains(" (?:" + "|".join(starts) + ")")).then(pl.lit(family)) for family, starts in words.items()
    ]
    return (
        pl.when(mapped(text, codes).is_null())
        .then(pl.concat_list(found).list.drop_nulls())
        .otherwise(pl.lit([], pl.List(pl.String)))
    )
