"""The row gate: text to types, then the row contract, then the rules of a line; one bad line never costs the others.

Rows come in as text and leave as accepted (typed) or quarantined (raw, with the rule and the fields it names); warnings are
only counted. Nothing is edited, nothing is dropped, and no value ever leaves in an error: a rule id, a field and a count do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandera.errors
import polars as pl

from checks import casting
from checks.deliveries import Tally
from checks.quarantine import QUARANTINE as QUARANTINE
from checks.quarantine import RowsLost as RowsLost
from contracts_schema import pmsi_rows
from contracts_schema.families import Family, formats, schema
from contracts_schema.layouts import Layout

BYTE_ORDER_MARK = "pmsi.byte_order_mark"
COUNT_MISMATCH = "pmsi.count_mismatch"
PARTIAL_LOS = "pmsi.partial_los"
DUPLICATE = "pmsi.duplicate_record"


@dataclass
class Gate:
    """The row gate of one file, of a year and period; ``tally`` counts what it has judged so far."""

    family: Family
    year: int
    period: int
    tally: Tally = field(default_factory=Tally)
    _seen: list[pl.DataFrame] = field(default_factory=list)
    _greatest: str = ""

    def judge(self, text: Mapping[str, pl.DataFrame], refused: pl.DataFrame, ignored: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Judge the lines of one block: cut as text under their formats, refused by the reader already, or blank.

        Gives the accepted rows (``line_number``, ``padded``, the fixed fields typed, the zones as strings, as
        ``families.schema`` says) and the quarantined ones (``QUARANTINE``), both ordered by line number: steps 8 to 10 of the
        order of checks on one line.
        """
        accepted, set_aside = [], [pl.DataFrame(schema=QUARANTINE), refused]
        for version, lines in text.items():
            rows, bad = self._judge_format(lines, formats(self.family)[version])
            accepted.append(rows)
            set_aside += bad
        empty = pl.DataFrame(schema={**schema(self.family), "byte_offset": pl.Int64(), "raw": pl.String()})
        rows = pl.concat([empty, *accepted], how="diagonal")
        if len(accepted) > 1:
            rows = rows.sort("line_number")
        rows, again = self._first_of_each_record(rows)
        quarantined = pl.concat([*set_aside, again]).sort("line_number")
        if sum(lines.height for lines in text.values()) + refused.height != rows.height + quarantined.height:
            raise RowsLost("the row gate did not give back the lines it was given; nothing was recorded")
        self._count(rows, quarantined, ignored)
        return rows.select(schema(self.family).names()), quarantined

    def _count(self, rows: pl.DataFrame, quarantined: pl.DataFrame, ignored: int) -> None:
        self.tally = replace(
            self.tally,
            lines=self.tally.lines + rows.height + quarantined.height + ignored,
            ignored=self.tally.ignored + ignored,
            accepted=self.tally.accepted + rows.height,
            padded=self.tally.padded + int(rows["padded"].sum()),
            formats=_added(self.tally.formats, rows["format_version"]) if "format_version" in rows.columns else {},
            quarantined=_added(self.tally.quarantined, quarantined["rule"]),
        )

    def _judge_format(self, text: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        typed = casting.cast(text, layout)
        uncast, masked = casting.uncast(text, typed, layout)
        self._warn_lines(masked.select("line_number", "field", rule=pl.lit(pmsi_rows.MASKED)))
        faulty = pl.concat([uncast, casting.faulty_zones(text, layout), self._contract(typed, layout)])
        rows, invalid = _set_aside(typed, faulty, pmsi_rows.INVALID)
        mismatched = self._unit_sums(rows, layout)
        rows, uneven = _set_aside(rows, mismatched, COUNT_MISMATCH)
        return rows, [invalid, uneven]

    def _contract(self, typed: pl.DataFrame, layout: Layout) -> pl.DataFrame:
        """Rows that break a blocking check of the contract (``line_number``, ``field``); the other breaches are counted."""
        try:
            pmsi_rows.contract(self.family, layout, self.year, self.period).validate(typed, lazy=True)
        except pandera.errors.SchemaErrors as found:
            cases = found.failure_cases.select(pl.col("index").cast(pl.Int64), "column", "check")
        else:
            return casting.no_faults()
        blocking, warned = [casting.no_faults()], []
        for (column, check), rows in cases.partition_by("column", "check", as_dict=True).items():
            rule = pmsi_rows.broken_rule(self.family, str(check), str(column))
            lines = rows.select(line_number=typed["line_number"].gather(rows["index"]), field=pl.lit(str(column)))
            if rule in pmsi_rows.BLOCKING:
                blocking.append(lines)
            else:
                warned.append(lines.with_columns(rule=pl.lit(rule)))
        if warned:
            self._warn_lines(pl.concat(warned))
        return pl.concat(blocking)

    def _unit_sums(self, rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
        """Lines whose units' diagnoses or acts do not add up to the line's (``line_number``, ``field``); nights only warn."""
        unit = next((zone for zone in layout.zones if zone.name == "rum"), None)
        if unit is None:
            return casting.no_faults()
        sums = casting.items(rows, unit, ["rum_das_count", "rum_act_count", "rum_partial_los"]).group_by("line_number").sum()
        totals = rows.select("line_number", "das_count", "act_count", "los_nights").join(sums, on="line_number", how="left")
        zero = {"das_count": 0, "act_count": 0, "rum_das_count": 0, "rum_act_count": 0}
        totals = totals.with_columns(pl.col(name).fill_null(value) for name, value in zero.items())
        self.warn(PARTIAL_LOS, "los_nights", totals.filter(pl.col("rum_partial_los") != pl.col("los_nights")).height)
        wrong = [
            totals.filter(pl.col(total) != pl.col(f"rum_{total}")).select("line_number", field=pl.lit(total))
            for total in ("das_count", "act_count")
        ]
        return pl.concat(wrong)

    def _first_of_each_record(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Keep the first row of each key; say of a later one whether its bytes are those of the first."""
        key = self.family.key
        if key is None:
            return rows, pl.DataFrame(schema=QUARANTINE)
        marks = rows.select(key, "line_number", mark=pl.col("raw").hash())
        least, greatest = rows[key].min(), rows[key].max()
        ascending = least is not None and str(least) > self._greatest
        known = marks if ascending or not self._seen else pl.concat([*self._seen, marks])
        self._greatest = max(self._greatest, str(greatest or ""))
        firsts = known.unique(key, keep="first", maintain_order=True)
        again = marks.join(firsts, on=key, how="left", suffix="_first").filter(
            pl.col("line_number") != pl.col("line_number_first"),
        )
        if again.is_empty():
            self._seen.append(marks)
            return rows, pl.DataFrame(schema=QUARANTINE)
        same = pl.when(pl.col("mark") == pl.col("mark_first")).then(pl.lit("identical")).otherwise(pl.lit("different"))
        faults = again.select("line_number", field=pl.concat_str(pl.lit(f"{key}:"), same))
        rows, quarantined = _set_aside(rows, faults, DUPLICATE)
        self._seen.append(marks.join(again, on="line_number", how="anti"))
        return rows, quarantined

    def warn(self, rule: str, column: str, count: int) -> None:
        """Count lines under a warning rule that is about one field only."""
        if count:
            self._add(rule, {column: count}, count)

    def _warn_lines(self, found: pl.DataFrame) -> None:
        """Count lines (``rule``, ``field``, ``line_number``) under warning rules: by field, and once for each rule."""
        for (rule,), lines in found.partition_by("rule", as_dict=True).items():
            self._add(str(rule), dict(lines["field"].value_counts().iter_rows()), lines["line_number"].n_unique())

    def _add(self, rule: str, by_field: Mapping[str, int], lines: int) -> None:
        counts = self.tally.warnings.setdefault(rule, {})
        for field_name, count in by_field.items():
            counts[field_name] = counts.get(field_name, 0) + count
        self.tally.warned[rule] = self.tally.warned.get(rule, 0) + lines


def _added(counts: Mapping[str, int], values: pl.Series) -> dict[str, int]:
    """These counts, and how often each value stands in the column; in the order of the names."""
    found = dict(values.value_counts().iter_rows())
    return {name: counts.get(name, 0) + found.get(name, 0) for name in sorted({*counts, *found})}


def _set_aside(rows: pl.DataFrame, faults: pl.DataFrame, rule: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part the rows named by ``faults`` (``line_number``, ``field``) from the others, under that rule."""
    if faults.is_empty():
        return rows, pl.DataFrame(schema=QUARANTINE)
    named = faults.group_by("line_number").agg(fields=pl.col("field").unique(maintain_order=True).sort())
    bad = rows.join(named, on="line_number", how="inner").with_columns(rule=pl.lit(rule))
    return rows.join(named, on="line_number", how="anti", maintain_order="left"), bad.select(QUARANTINE.names())
