"""What the rows of a bordereau say: acts, days, amounts, people, each beside its own words; patients apart.

What can be read in two ways stays a problem of its line. Must never let a patient column or a comment into a line.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from connectors import bordereau_patients
from connectors.bordereau_tables import Match
from connectors.bordereau_values import candidates, cents, clean, days, mapped, normalised, plain_digits, rpps, whole_number
from connectors.sheets import Workbook, reference
from contracts_schema.bordereau_profiles import COLUMNS, RESTRICTED, Profile, labels

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


def without_words(rows: pl.DataFrame) -> pl.DataFrame:
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


def lines_of(rows: pl.DataFrame, found: Match, workbook: Workbook) -> pl.DataFrame:
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
    return rows.with_columns(cells_of(found).alias("cells"), _notes().alias("notes"))


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
    cell = pl.concat_str(letter_of("date", found), pl.col("row").cast(pl.String))
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
    if "rpps" not in found.names:  # the number is then often written in the delegate's column
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


def letter_of(name: str, found: Match) -> pl.Expr:
    """The letter of the column of this name in the sheet of each row."""
    letters = [reference(0, table.columns.get(name, 1))[:-1] for table in found.tables]
    return pl.col("sheet_number").replace_strict(dict(enumerate(letters)), return_dtype=pl.String)


def cells_of(found: Match) -> pl.Expr:
    """JSON: canonical name → its cell and the text in it. Never a patient column, never a comment."""
    kept = [name for name in COLUMNS if name not in (*RESTRICTED, "comment") and name in found.names]
    parts = []
    for name in kept:
        letter = letter_of(name, found)
        raw = pl.col(name).str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        raw = raw.str.replace_all("\n", "\\n", literal=True).str.replace_all("[\x00-\x1f]", " ")
        start, middle = pl.lit(f'"{name}": {{"cell": "'), pl.lit('", "raw": "')
        parts.append(pl.concat_str(start, letter, pl.col("row").cast(pl.String), middle, raw, pl.lit('"}')))
    return pl.concat_str(pl.lit("{"), pl.concat_str(parts, separator=", ", ignore_nulls=True), pl.lit("}"))


def apart(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines without any patient column, and the patients apart."""
    patients = rows.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in ("key_of", "age", "sex"))).select(
        "line_number", pl.col("key_of").alias("patient_key"), "age_years", "age_months", pl.col("sex_of").alias("sex")
    )
    renamed = {"act_of": "act", "month_of": "month", "rpps_of": "rpps", "profession_of": "profession", "count_of": "count"}
    kept = rows.drop(*renamed.values(), "ref").rename({**renamed, "ref_of": "ref"})
    return _typed(kept, LINES), _typed(patients, PATIENTS)


def _typed(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
