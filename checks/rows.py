"""The row gate: text to types, then the row contract, then the rules of a line; one bad line never costs the others.

Rows come in as text and leave as accepted (typed) or quarantined (raw, with the rule and the fields it names); warnings are
only counted. Nothing is edited, nothing is dropped, and no value ever leaves in an error: a rule id, a field and a count do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandera.errors
import polars as pl

from checks.deliveries import Tally
from contracts_schema import pmsi_rsa
from contracts_schema.layouts import Field, Layout, Zone

COUNT_MISMATCH = "pmsi.count_mismatch"
PARTIAL_LOS = "pmsi.partial_los"
DUPLICATE = "pmsi.duplicate_record"

DIGITS_OR_BLANK = "^ *[0-9]* *$"

QUARANTINE = pl.Schema(
    {
        "line_number": pl.Int64(),
        "byte_offset": pl.Int64(),
        "raw": pl.String(),
        "rule": pl.String(),
        "fields": pl.List(pl.String),
    }
)
"""Columns of a quarantine segment; ``raw`` is the line in latin-1, ``fields`` the fields that the rule names."""


class RowsLost(Exception):
    """A block left the gate with more or fewer lines than it came with: a defect of the gate, never of the file."""


@dataclass
class Gate:
    """The row gate of one file, of a year and period; ``tally`` counts what it has judged so far."""

    layouts: Mapping[str, Layout]
    year: int
    period: int
    tally: Tally = field(default_factory=Tally)
    _seen: list[pl.DataFrame] = field(default_factory=list)
    _greatest: str = ""

    def judge(self, text: Mapping[str, pl.DataFrame], refused: pl.DataFrame, ignored: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Judge the lines of one block: cut as text under their formats, refused by the reader already, or blank.

        Gives the accepted rows (``line_number``, ``padded``, the fixed fields typed, the zones as strings; the columns of
        ``segment_schema``) and the quarantined ones (``QUARANTINE``), both ordered by line number: steps 8 to 10 of the
        order of checks on one line.
        """
        accepted, set_aside = [], [pl.DataFrame(schema=QUARANTINE), refused]
        for version, lines in text.items():
            rows, bad = self._judge_format(lines, self.layouts[version])
            accepted.append(rows)
            set_aside += bad
        rows = pl.concat([pl.DataFrame(schema=_judged_schema()), *accepted], how="diagonal").sort("line_number")
        rows, again = self._first_of_each_record(rows)
        quarantined = pl.concat([*set_aside, again]).sort("line_number")
        if sum(lines.height for lines in text.values()) + refused.height != rows.height + quarantined.height:
            raise RowsLost("the row gate did not give back the lines it was given; nothing was recorded")
        self._count(rows, quarantined, ignored)
        return rows.select(segment_schema().names()), quarantined

    def _count(self, rows: pl.DataFrame, quarantined: pl.DataFrame, ignored: int) -> None:
        self.tally = replace(
            self.tally,
            lines=self.tally.lines + rows.height + quarantined.height + ignored,
            ignored=self.tally.ignored + ignored,
            accepted=self.tally.accepted + rows.height,
            padded=self.tally.padded + int(rows["padded"].sum()),
            formats=_added(self.tally.formats, rows["format_version"]),
            quarantined=_added(self.tally.quarantined, quarantined["rule"]),
        )

    def _judge_format(self, text: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        typed = _cast(text, layout)
        faulty = pl.concat([_uncast(text, typed, layout), _faulty_zones(text, layout), self._contract(typed, layout)])
        rows, invalid = _set_aside(typed, faulty, pmsi_rsa.INVALID)
        mismatched = self._unit_sums(rows, layout)
        rows, uneven = _set_aside(rows, mismatched, COUNT_MISMATCH)
        return rows, [invalid, uneven]

    def _contract(self, typed: pl.DataFrame, layout: Layout) -> pl.DataFrame:
        """Rows that break a blocking check of the contract (``line_number``, ``field``); the other breaches are counted."""
        try:
            pmsi_rsa.contract(layout, self.year, self.period).validate(typed, lazy=True)
        except pandera.errors.SchemaErrors as found:
            cases = found.failure_cases.select(pl.col("index").cast(pl.Int64), "column", "check")
        else:
            return _no_faults()
        blocking = []
        for (column, check), rows in cases.partition_by("column", "check", as_dict=True).items():
            rule = pmsi_rsa.broken_rule(str(check), str(column))
            if rule in pmsi_rsa.BLOCKING:
                blocking.append(rows.select(index="index", field=pl.lit(str(column))))
            else:
                self._warn(rule, str(column), rows.height)
        if not blocking:
            return _no_faults()
        faults: pl.DataFrame = pl.concat(blocking)
        return faults.select(line_number=typed["line_number"].gather(faults["index"]), field="field")

    def _unit_sums(self, rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
        """Lines whose units' diagnoses or acts do not add up to the line's (``line_number``, ``field``); nights only warn."""
        unit = next(zone for zone in layout.zones if zone.name == "rum")
        sums = _items(rows, unit, ["rum_das_count", "rum_act_count", "rum_partial_los"]).group_by("line_number").sum()
        totals = rows.select("line_number", "das_count", "act_count", "los_nights").join(sums, on="line_number", how="left")
        zero = {"das_count": 0, "act_count": 0, "rum_das_count": 0, "rum_act_count": 0}
        totals = totals.with_columns(pl.col(name).fill_null(value) for name, value in zero.items())
        self._warn(PARTIAL_LOS, "los_nights", totals.filter(pl.col("rum_partial_los") != pl.col("los_nights")).height)
        wrong = [
            totals.filter(pl.col(total) != pl.col(f"rum_{total}")).select("line_number", field=pl.lit(total))
            for total in ("das_count", "act_count")
        ]
        return pl.concat(wrong)

    def _first_of_each_record(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Keep the first row of each record number; say of a later one whether its bytes are those of the first."""
        marks = rows.select("record_number", "line_number", mark=pl.col("raw").hash())
        least, greatest = rows["record_number"].min(), rows["record_number"].max()
        ascending = least is not None and str(least) > self._greatest
        known = marks if ascending or not self._seen else pl.concat([*self._seen, marks])
        self._greatest = max(self._greatest, str(greatest or ""))
        firsts = known.unique("record_number", keep="first", maintain_order=True)
        again = marks.join(firsts, on="record_number", how="left", suffix="_first").filter(
            pl.col("line_number") != pl.col("line_number_first"),
        )
        if again.is_empty():
            self._seen.append(marks)
            return rows, pl.DataFrame(schema=QUARANTINE)
        same = pl.when(pl.col("mark") == pl.col("mark_first")).then(pl.lit("identical")).otherwise(pl.lit("different"))
        faults = again.select("line_number", field=pl.concat_str(pl.lit("record_number:"), same))
        rows, quarantined = _set_aside(rows, faults, DUPLICATE)
        self._seen.append(marks.join(again, on="line_number", how="anti"))
        return rows, quarantined

    def _warn(self, rule: str, column: str, count: int) -> None:
        if count:
            by_field = self.tally.warnings.setdefault(rule, {})
            by_field[column] = by_field.get(column, 0) + count


def segment_schema() -> pl.Schema:
    """Columns of a segment of RSA rows: the line number, the padded mark, every fixed field of any format, the zones."""
    fields = {name: pmsi_rsa.DTYPES[spec.type] for name, spec in pmsi_rsa.columns().items()}
    zones = {f"{zone}_zone": pl.String() for zone in ("pgv", "radiotherapy", "rum", "das", "act")}
    return pl.Schema({"line_number": pl.Int64(), "padded": pl.Boolean(), **fields, **zones})


def _added(counts: Mapping[str, int], values: pl.Series) -> dict[str, int]:
    """These counts, and how often each value stands in the column; in the order of the names."""
    found = dict(values.value_counts().iter_rows())
    return {name: counts.get(name, 0) + found.get(name, 0) for name in sorted({*counts, *found})}


def _judged_schema() -> pl.Schema:
    return pl.Schema({**segment_schema(), "byte_offset": pl.Int64(), "raw": pl.String()})


def _no_faults() -> pl.DataFrame:
    return pl.DataFrame(schema={"line_number": pl.Int64, "field": pl.String})


def _numbers(layout: Layout) -> list[str]:
    return [spec.name for spec in layout.fields if spec.type == "int"]


def _cast(text: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Digits become integers, blank becomes null; what is neither becomes null as well, and ``_uncast`` finds it."""
    fixed = [
        _number(pl.col(spec.name)).alias(spec.name) if spec.type == "int" else _blank_is_null(spec)
        for spec in layout.fields
        if not spec.is_filler
    ]
    typed = text.with_columns(fixed)
    # most number fields are filled with zeros: spaces are only taken off where a cast without it gave nothing
    spaced = [name for name in _numbers(layout) if typed[name].null_count()]
    return typed.with_columns(_number(pl.lit(text[name]).str.strip_chars(" ")).alias(name) for name in spaced)


def _number(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.UInt32, strict=False).cast(pl.Int32, strict=False)


def _blank_is_null(spec: Field) -> pl.Expr:
    text = pl.col(spec.name) if spec.length == 1 else pl.col(spec.name).str.strip_chars(" ")
    return pl.when(text != (" " if spec.length == 1 else "")).then(text).alias(spec.name)


def _uncast(text: pl.DataFrame, typed: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Number fields that are neither blank nor digits (``line_number``, ``field``).

    A cast takes ``+5``: lines with a plus sign in their fixed part are suspects too, and the pattern decides for suspects.
    """
    names = _numbers(layout)
    signed = text["raw"].str.head(layout.fixed_length).str.contains("+", literal=True)
    doubtful = [signed, *(typed[name].is_null() & _filled(text[name]) for name in names if typed[name].null_count())]
    suspects = text.filter(pl.any_horizontal(*doubtful))
    return (
        suspects.unpivot(names, index="line_number", variable_name="field")
        .filter(~pl.col("value").str.contains(DIGITS_OR_BLANK))
        .select("line_number", "field")
    )


def _filled(text: pl.Series) -> pl.Series:
    return text.str.strip_chars(" ") != ""


def _faulty_zones(text: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Number fields of zones that are neither blank nor digits (``line_number``, ``field``), one entry a line and field.

    A pattern screens whole zones, so that only the lines it refuses are cut into items.
    """
    faults = [_no_faults()]
    for zone in layout.zones:
        names = [spec.name for spec in zone.fields if spec.type == "int"]
        suspects = text.filter(~pl.col(f"{zone.name}_zone").str.contains(_zone_pattern(zone))) if names else text.clear()
        if suspects.height:
            items = _items(suspects, zone, names, as_text=True)
            found = items.unpivot(names, index="line_number", variable_name="field")
            bad = found.filter(~pl.col("value").str.contains(DIGITS_OR_BLANK))
            faults.append(bad.select("line_number", "field").unique(maintain_order=True))
    return pl.concat(faults)


def _zone_pattern(zone: Zone) -> str:
    def piece(length: int) -> str:
        filled = (" " * before + f"[0-9]{{{digits}}}" + " " * (length - before - digits)
                  for digits in range(length, 0, -1) for before in range(length - digits, -1, -1))  # fmt: skip
        return "(?:" + "|".join([*filled, " " * length]) + ")"

    parts = (piece(spec.length) if spec.type == "int" else f".{{{spec.length}}}" for spec in zone.fields)
    return "^(?:" + "".join(parts) + ")*$"


def _items(rows: pl.DataFrame, zone: Zone, names: list[str], *, as_text: bool = False) -> pl.DataFrame:
    """The items of a zone, one row each: ``line_number`` and the named fields (numbers, or text without outer spaces)."""
    specs = {spec.name: spec for spec in zone.fields}
    content = pl.col(f"{zone.name}_zone")
    items = (
        rows.lazy()
        .select(
            "line_number",
            content,
            item=pl.int_ranges(0, content.str.len_chars() // zone.width, dtype=pl.Int64),
        )
        .explode("item", empty_as_null=False)
    )
    texts = {
        name: content.str.slice(pl.col("item") * zone.width + specs[name].offset, specs[name].length).str.strip_chars(" ")
        for name in names
    }
    return items.select("line_number", **{n: text if as_text else _number(text) for n, text in texts.items()}).collect()


def _set_aside(rows: pl.DataFrame, faults: pl.DataFrame, rule: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part the rows named by ``faults`` (``line_number``, ``field``) from the others, under that rule."""
    if faults.is_empty():
        return rows, pl.DataFrame(schema=QUARANTINE)
    named = faults.group_by("line_number").agg(fields=pl.col("field").unique(maintain_order=True).sort())
    bad = rows.join(named, on="line_number", how="inner").with_columns(rule=pl.lit(rule))
    return rows.join(named, on="line_number", how="anti", maintain_order="left"), bad.select(QUARANTINE.names())
