"""Text to types, without failing: digits become integers, days become dates, blank becomes null.

What is neither blank nor of its type becomes null as well, and is named as a fault; nothing is ever raised about a value.
Repeated zones stay strings: a pattern screens them whole, and only what it refuses is cut into items.
"""

import polars as pl

from contracts_schema.families import dtype, is_date, is_number
from contracts_schema.layouts import Field, Layout, Zone

DIGITS_OR_BLANK = "^ *[0-9]* *$"
MASKED = "^X+$"
"""An amount or a date that the source hides (ANO): null, and counted; not a fault."""


def cast(text: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """The fixed fields typed as their columns are, the other columns as they come."""
    fields = [field for field in layout.fields if not field.is_filler]
    typed = text.with_columns(_typed(field).alias(field.name) for field in fields)
    # most number fields are filled with zeros: spaces are only taken off where a cast without it gave nothing
    spaced = [field for field in fields if is_number(field) and typed[field.name].null_count()]
    return typed.with_columns(
        _number(pl.lit(text[field.name]).str.strip_chars(" "), dtype(field)).alias(field.name) for field in spaced
    )


def uncast(text: pl.DataFrame, typed: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Fields that are neither blank nor of their type, and those that are masked: twice ``line_number``, ``field``.

    A cast takes ``+5``: lines with a plus sign in their fixed part are suspects too, and the pattern decides for suspects.
    """
    numbers = [field for field in layout.fields if is_number(field)]
    dates = [field for field in layout.fields if is_date(field)]
    lost = [_lost(text, typed, field) for field in [*numbers, *dates] if typed[field.name].null_count()]
    signed = text["raw"].str.head(layout.fixed_length).str.contains("+", literal=True)
    suspects = text.filter(pl.any_horizontal(signed, *lost))
    found = suspects.unpivot([field.name for field in numbers], index="line_number", variable_name="field")
    unread = found.cast({"value": pl.String}).filter(~pl.col("value").str.contains(DIGITS_OR_BLANK))
    undated = [
        text.filter(_lost(text, typed, field)).select("line_number", field=pl.lit(field.name), value=field.name)
        for field in dates
        if typed[field.name].null_count()
    ]
    bad = pl.concat([unread, *undated])
    amounts = [field for field in numbers if field.type.startswith("decimal")]
    hidden = pl.col("value").str.contains(MASKED) & pl.col("field").is_in([field.name for field in [*amounts, *dates]])
    return bad.filter(~hidden).select("line_number", "field"), bad.filter(hidden).select("line_number", "field")


def faulty_zones(text: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Number fields of zones that are neither blank nor digits (``line_number``, ``field``), one entry a line and field."""
    faults = [no_faults()]
    for zone in layout.zones:
        names = [field.name for field in zone.fields if is_number(field)]
        suspects = text.filter(~pl.col(f"{zone.name}_zone").str.contains(_pattern(zone))) if names else text.clear()
        if suspects.height:
            found = items(suspects, zone, names, as_text=True).unpivot(names, index="line_number", variable_name="field")
            bad = found.filter(~pl.col("value").str.contains(DIGITS_OR_BLANK))
            faults.append(bad.select("line_number", "field").unique(maintain_order=True))
    return pl.concat(faults)


def items(rows: pl.DataFrame, zone: Zone, names: list[str], *, as_text: bool = False) -> pl.DataFrame:
    """The items of a zone, one row each: ``line_number`` and the named fields (numbers, or text without outer spaces)."""
    fields = {field.name: field for field in zone.fields}
    content = pl.col(f"{zone.name}_zone")
    count = content.str.len_chars() // zone.width
    each = rows.lazy().select("line_number", content, item=pl.int_ranges(0, count, dtype=pl.Int64))
    cut = {
        name: content.str.slice(pl.col("item") * zone.width + fields[name].offset, fields[name].length).str.strip_chars(" ")
        for name in names
    }
    asked = {name: text if as_text else _number(text, pl.Int32()) for name, text in cut.items()}
    return each.explode("item", empty_as_null=False).select("line_number", **asked).collect()


def no_faults() -> pl.DataFrame:
    """No fault: the columns of a table of faults."""
    return pl.DataFrame(schema={"line_number": pl.Int64, "field": pl.String})


def _typed(field: Field) -> pl.Expr:
    text = pl.col(field.name)
    if is_number(field):
        return _number(text, dtype(field))
    if is_date(field):
        day = text.str.contains("^[0-9]{8}$") & ~text.str.ends_with("0000")  # polars knows a year 0, the calendar does not
        return pl.when(day).then(text).str.to_date("%d%m%Y", strict=False)
    stripped = text if field.length == 1 else text.str.strip_chars(" ")
    return pl.when(stripped != (" " if field.length == 1 else "")).then(stripped)


def _number(text: pl.Expr, to: pl.DataType) -> pl.Expr:
    unsigned = pl.UInt32() if to == pl.Int32() else pl.UInt64()
    return text.cast(unsigned, strict=False).cast(to, strict=False)


def _lost(text: pl.DataFrame, typed: pl.DataFrame, field: Field) -> pl.Series:
    return typed[field.name].is_null() & (text[field.name].str.strip_chars(" ") != "")


def _pattern(zone: Zone) -> str:
    def piece(length: int) -> str:
        filled = (
            " " * before + f"[0-9]{{{digits}}}" + " " * (length - before - digits)
            for digits in range(length, 0, -1)
            for before in range(length - digits, -1, -1)
        )
        return "(?:" + "|".join([*filled, " " * length]) + ")"

    parts = (piece(field.length) if is_number(field) else f".{{{field.length}}}" for field in zone.fields)
    return "^(?:" + "".join(parts) + ")*$"
