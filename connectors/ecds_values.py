"""What the cells of an e-CDS section say: whole numbers, decimals, days, instants, codes, as polars expressions over text.

A decimal comma is never replaced, a day is never read month first, an instant without offset is one of Paris and told so. What
cannot be read gives null and the place is told; nothing is guessed, and no value goes through a binary float.
"""

from dataclasses import dataclass

import polars as pl

from contracts_schema.ecds import Column

PARIS = "Europe/Paris"
ISO_DAY = r"^\d{4}-\d{2}-\d{2}$"
FRENCH_DAY = r"^(\d{2})/(\d{2})/(\d{4})$"
INSTANT = r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d+))?)?(Z|[+-]\d{2}:?\d{2})?$"
HOUR = r" \d{2}:\d{2}(?::\d{2})?$"
COMMA = r"^[+-]?\d+,\d+$"
DECIMAL = r"^([+-]?)(\d{1,15})(?:\.(\d*))?$"


@dataclass(frozen=True)
class Reading:
    """Of one column: ``columns`` to add; ``bad``: cells that hold something and could not be read; ``comma``: those with a
    decimal comma; ``told``: what to say of cells that could be read all the same, by kind (noise, french_day, no_offset)."""

    columns: dict[str, pl.Expr]
    bad: pl.Expr
    comma: pl.Expr
    told: dict[str, pl.Expr]


NOTHING = pl.lit(value=False)


def reading(column: Column, text: pl.Expr) -> Reading:
    """How a column of text is read."""
    if column.kind in ("whole", "count"):
        return _whole(column, text)
    if column.kind == "decimal":
        return _decimal(column, text)
    if column.kind in ("day", "stamp"):
        return _day(column, text.str.replace(HOUR, "") if column.kind == "stamp" else text)
    if column.kind == "instant":
        return _instant(column, text)
    if column.kind == "time":
        return _time(column, text)
    if column.kind in ("yes_no", "among"):
        return _among(column, text)
    value = text.str.to_uppercase().str.replace_all(r"[ .\u00a0]", "") if column.kind == "finess" else text
    return Reading({column.name: value}, NOTHING, NOTHING, {})


def _whole(column: Column, text: pl.Expr) -> Reading:
    """``4000`` and ``4000.0``. A count that is no whole number is kept as typed beside a null (rule cds.CDS52 tells it)."""
    value = text.str.extract(r"^([+-]?\d{1,15})(?:\.0*)?$").cast(pl.Int64, strict=False)
    comma = text.str.contains(COMMA).fill_null(value=False)
    unread = value.is_null() & text.is_not_null() & ~comma
    if column.kind == "count":
        number = text.str.contains(DECIMAL).fill_null(value=False)
        return Reading({column.name: value, f"{column.name}_raw": text}, unread & ~number, comma, {})
    return Reading({column.name: value}, unread, comma, {})


def _decimal(column: Column, text: pl.Expr) -> Reading:
    """A whole number of 10^-places, more decimals rounded half-even on the text."""
    parts = text.str.extract_groups(DECIMAL)
    sign, whole, decimals = (parts.struct.field(str(place)) for place in (1, 2, 3))
    decimals = decimals.fill_null("")
    kept = decimals.str.slice(0, column.places).str.pad_end(column.places, "0")
    rest = decimals.str.slice(column.places).str.strip_chars_end("0")
    lower = pl.concat_str(whole, kept).cast(pl.Int64, strict=False)
    half = rest.str.slice(0, 1)
    up = (half > "5") | ((half == "5") & ((rest.str.len_chars() > 1) | (lower % 2 == 1)))
    size = lower + up.cast(pl.Int64)
    value = pl.when(sign == "-").then(-size).otherwise(size)
    comma = text.str.contains(COMMA).fill_null(value=False)
    noise = (decimals.str.len_chars() > column.places).fill_null(value=False)
    told = {column.name: value, f"{column.name}_raw": pl.when(noise).then(text)}
    return Reading(told, value.is_null() & text.is_not_null() & ~comma, comma, {"noise": noise})


def _day(column: Column, text: pl.Expr) -> Reading:
    iso = pl.when(text.str.contains(ISO_DAY)).then(text).str.to_date("%Y-%m-%d", strict=False)
    french = text.str.contains(FRENCH_DAY).fill_null(value=False)
    turned = text.str.replace(FRENCH_DAY, "$3-$2-$1")
    value = pl.coalesce(iso, pl.when(french).then(turned).str.to_date("%Y-%m-%d", strict=False))
    unread = value.is_null() & text.is_not_null()
    told = {} if column.kind == "stamp" else {"french_day": french & ~unread}
    return Reading({column.name: value}, unread, NOTHING, told)


def _instant(column: Column, text: pl.Expr) -> Reading:
    """UTC, microseconds, so that two entries of one second stay two; ``zone_assumed`` where no offset was written. An hour that
    Paris skipped in March is no instant."""
    parts = text.str.extract_groups(INSTANT)
    day, clock, seconds, fraction, offset = (parts.struct.field(str(place)) for place in (1, 2, 3, 4, 5))
    local = pl.concat_str(day, pl.lit("T"), clock, pl.lit(":"), seconds.fill_null("00")).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False
    ) + pl.duration(microseconds=fraction.fill_null("").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64), time_unit="us")
    hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False)
    minutes = hours * 60 + offset.str.replace(":", "", literal=True).str.slice(3, 2).cast(pl.Int64, strict=False)
    shift = pl.when(offset == "Z").then(0).when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    given = (local - pl.duration(minutes=shift)).dt.replace_time_zone("UTC")
    paris = local.dt.replace_time_zone(PARIS, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    assumed = parts.struct.field("1").is_not_null() & offset.is_null()
    value = pl.when(assumed).then(paris).otherwise(given)
    unread = value.is_null() & text.is_not_null()
    columns = {column.name: value, "zone_assumed": (assumed & ~unread).fill_null(value=False)}
    return Reading(columns, unread, NOTHING, {"no_offset": assumed.fill_null(value=False) & ~unread})


def _time(column: Column, text: pl.Expr) -> Reading:
    """Minutes from midnight, up to 24:00."""
    parts = text.str.extract_groups(r"^(\d{1,2}):(\d{2})(?::00)?$")
    hours, minutes = (parts.struct.field(str(place)).cast(pl.Int64, strict=False) for place in (1, 2))
    value = pl.when((minutes < 60) & (hours * 60 + minutes <= 1440)).then(hours * 60 + minutes)
    return Reading({column.name: value}, value.is_null() & text.is_not_null(), NOTHING, {})


def _among(column: Column, text: pl.Expr) -> Reading:
    """One of the values of the contract, whatever its case and accents; yes and no as booleans."""
    bare = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase().str.replace_all(r"[ '’-]+", "_")
    value: pl.Expr
    if column.kind == "yes_no":
        value = bare.replace_strict({"oui": True, "non": False}, default=None, return_dtype=pl.Boolean)
    else:
        value = pl.when(bare.is_in(list(column.values))).then(bare)
    return Reading({column.name: value}, value.is_null() & text.is_not_null(), NOTHING, {})
