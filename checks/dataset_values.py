"""What the cells of a dataset say: text to days, instants, cents, counts, yes or no, codes. Strict, and never raising.

These files are written by programs or from a template: what can be read in two ways is null, and named by the gate.
"""

from dataclasses import replace

import polars as pl

from contracts_schema import identifiers
from contracts_schema.bordereau_profiles import normalised
from contracts_schema.datasets import Column

YES, NO = ("oui", "o", "vrai", "true", "1", "x"), ("non", "n", "faux", "false", "0")
_ERROR = "^#(?:N/A|VALUE!|VALEUR!|REF!|DIV/0!|NAME\\?|NOM\\?|NULL!|NUL!|NUM!|NOMBRE!|FORMULE!)$"
"""What a spreadsheet writes in the place of a value; the last stands for a formula whose value was not stored."""
_INSTANT = r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})?(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})$"


def typed(text: pl.Series, column: Column) -> pl.Series:
    """The cells as their column is typed; null for blank and for what is not of that type."""
    if column.type == "list":
        return _list(text, column)
    if column.codes:
        return _coded(text, column)
    if column.identifier:
        return _identifier(text, column.identifier)
    return _evaluated(text, _of_type(pl.col("cell"), column.type))


def lost(text: pl.Series, cells: pl.Series, column: Column) -> pl.Series:
    """Where a cell holds something that is not of its column's type, or that no table of labels has."""
    if column.type == "list":
        items = _items(text, column)
        unread = items.filter(_coded(items["item"], column).is_null())["row"].unique().implode()
        return text.to_frame("cell").with_row_index("row").select(pl.col("row").is_in(unread)).to_series()
    return text.is_not_null() & cells.is_null()


def _evaluated(text: pl.Series, expression: pl.Expr) -> pl.Series:
    return text.to_frame("cell").select(expression.alias(text.name)).to_series()


def _of_type(text: pl.Expr, kind: str) -> pl.Expr:
    if kind == "day":
        return _day(text)
    if kind == "instant":
        return _instant(text)
    if kind == "cents":
        bare = text.str.replace_all("[\\s\u00a0\u202f€]", "")
        sign = pl.when(bare.str.starts_with("-")).then(-1).otherwise(1)
        whole = bare.str.extract(r"^-?(\d{1,12})(?:[.,]\d{1,2})?$").cast(pl.Int64, strict=False)
        part = bare.str.extract(r"[.,](\d{1,2})$").fill_null("").str.pad_end(2, "0").cast(pl.Int64, strict=False)
        return (sign * (whole * 100 + part)).cast(pl.Int64)
    if kind == "integer":
        return pl.when(text.str.contains(r"^-?\d{1,15}$")).then(text).cast(pl.Int64, strict=False)
    if kind == "boolean":
        word = text.str.to_lowercase()
        return pl.when(word.is_in(YES)).then(True).when(word.is_in(NO)).then(False)
    return pl.when(~text.str.contains(_ERROR)).then(text)


def _day(text: pl.Expr) -> pl.Expr:
    """2022-07-20 (with midnight, as spreadsheets give it), 20/07/2022 or 20220720."""
    iso = text.str.extract(r"^(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00)?)?$").str.to_date("%Y-%m-%d", strict=False)
    typed_in = text.str.extract(r"^(\d{2}/\d{2}/\d{4})$").str.to_date("%d/%m/%Y", strict=False)
    packed = text.str.extract(r"^(\d{8})$").str.to_date("%Y%m%d", strict=False)
    return pl.coalesce(iso, typed_in, packed)


def _instant(text: pl.Expr) -> pl.Expr:
    """An ISO instant with its offset, to the second; without offset it is nothing."""
    parts = text.str.extract_groups(_INSTANT)
    day, clock, seconds, offset = (parts.struct.field(str(place)) for place in range(1, 5))
    zone = pl.when(offset == "Z").then(pl.lit("+0000")).otherwise(offset.str.replace(":", "", literal=True))
    whole = pl.concat_str(day, pl.lit("T"), clock, seconds.fill_null(":00"), zone)
    return whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us", time_zone="UTC", strict=False)


def _identifier(text: pl.Series, kind: str) -> pl.Series:
    """The numbers as compared; only what is not written so already is worked on, each text once."""
    odd = text.to_frame("cell").filter(~identifiers.well_formed(kind, pl.col("cell")))["cell"].unique()
    if odd.is_empty():
        return text
    forms = {"finess": _finess, "rpps": _rpps}
    plain = identifiers.plain(pl.col("cell"))
    return text.replace(odd, odd.to_frame("cell").select(forms[kind](plain) if kind in forms else plain).to_series())


def _finess(number: pl.Expr) -> pl.Expr:
    """The number; with its key worked out again where the file dropped it."""
    return pl.coalesce(identifiers.finess_completed(number), number)


def _rpps(number: pl.Expr) -> pl.Expr:
    """The number, without the 8 of the national form."""
    national = number.str.contains("^8[0-9]{11}$")
    return pl.when(national).then(number.str.slice(1)).otherwise(number)


def _coded(text: pl.Series, column: Column) -> pl.Series:
    return text.replace_strict(_codes(text, column), default=None, return_dtype=pl.String)


def _codes(text: pl.Series, column: Column) -> dict[str, str | None]:
    """Each text seen and its code: few texts stand in many cells, so each is looked up once."""
    kept = column.unknown == "keep"
    found: dict[str, str | None] = {}
    for seen in text.drop_nulls().unique():
        bare = normalised(seen)
        found[seen] = column.codes.get(bare) or (bare.replace(" ", "_").upper() or None if kept else None)
    return found


def _items(text: pl.Series, column: Column) -> pl.DataFrame:
    """One row an item of the lists: ``row``, ``item``. A cell that is one label whole is one item, commas and all."""
    whole = text.to_frame("item").with_row_index("row").drop_nulls("item")
    known = _coded(whole["item"], replace(column, unknown="blank")).is_not_null()
    cut = whole.filter(~known).with_columns(pl.col("item").str.replace_all("[,;]", "|").str.split("|")).explode("item")
    items = pl.concat([whole.filter(known), cut]).with_columns(pl.col("item").str.strip_chars())
    return items.filter(pl.col("item") != "")


def _list(text: pl.Series, column: Column) -> pl.Series:
    items = _items(text, column)
    coded = items.with_columns(_coded(items["item"], column).alias("item")).drop_nulls("item").unique(maintain_order=True)
    lists = coded.group_by("row", maintain_order=True).agg("item")
    rows = text.to_frame("cell").with_row_index("row").join(lists, on="row", how="left", maintain_order="left")
    return rows["item"].alias(text.name)
