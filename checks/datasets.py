"""The row gate of datasets: text to types, the contract, the identifiers, the intervals, the keys; then the whole file.

Rows come in as text and leave as accepted (typed) or quarantined (raw, with the rule and the fields it names); warnings are
only counted. One bad row never costs the others, nothing is edited, and no value ever leaves in an error. A wrong key is a
warning: a number that a register knows is never refused for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandera.errors
import polars as pl

from checks import dataset_values
from checks.deliveries import Judgement, Outcome, Tally
from checks.quarantine import QUARANTINE, RowsLost
from contracts_schema import dataset_rows, identifiers
from contracts_schema.datasets import Column, Dataset, Layout, schema
from contracts_schema.rules import catalogue

MALFORMED_LINE = "dataset.malformed_line"
TRUNCATED_LINE = "dataset.truncated_line"
NIR = "dataset.nir"
INVALID = "dataset.invalid_value"
INTERVAL_REVERSED = "dataset.interval_reversed"
INTERVAL_OVERLAP = "dataset.interval_overlap"
DUPLICATE = "dataset.duplicate_key"
WRONG_KEY = "dataset.wrong_key"
MALFORMED_IDENTIFIER = "dataset.malformed_identifier"
SIREN_MISMATCH = "dataset.siren_mismatch"
KEY_COMPLETED = "dataset.key_completed"
UNKNOWN_LABEL = "dataset.unknown_label"

_NO_FAULTS = pl.Schema({"line_number": pl.Int64(), "field": pl.String()})
_LIKE_NIR = r"(?:^|[^0-9])[1-478][ ]?[0-9]{2}[ ]?[0-9]{2}[ ]?(?:[0-9]{2}|2[AB])[ ]?[0-9]{3}[ ]?[0-9]{3}[ ]?[0-9]{2}(?:[^0-9]|$)"


@dataclass
class Gate:
    """The row gate of one file; ``tally`` counts what it has judged so far. Lines in = accepted + quarantined."""

    dataset: Dataset
    layout: Layout
    tally: Tally = field(default_factory=Tally)
    _seen: list[pl.DataFrame] = field(default_factory=list)
    _intervals: list[pl.DataFrame] = field(default_factory=list)

    def judge(self, text: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Judge the rows of one block, as ``connectors.datasets.read`` gives them.

        Gives the accepted rows (``datasets.schema``: ``line_number`` and the columns typed) and the quarantined ones
        (``checks.rows.QUARANTINE``, but that ``raw`` is null where a NIR was seen), both ordered by line number.
        """
        cut = text.filter(pl.col("fault").is_null())
        typed = self._typed(cut)
        uncut = text.filter(pl.col("fault").is_not_null())
        rule = pl.when(pl.col("fault") == "cut").then(pl.lit(TRUNCATED_LINE)).otherwise(pl.lit(MALFORMED_LINE))
        set_aside = [_quarantined(uncut, uncut.select("line_number", field="fault"), rule)]
        for rule_id, faults in (
            (NIR, self._nirs(cut)),
            (INVALID, self._invalid(cut, typed)),
            (INTERVAL_REVERSED, self._reversed(typed)),
        ):
            typed, bad = self._set_aside(typed, cut, faults, rule_id)
            set_aside.append(bad)
        for rule_id, find in ((DUPLICATE, self._duplicates), (INTERVAL_OVERLAP, self._overlaps)):
            typed, bad = self._set_aside(typed, cut, find(typed), rule_id)
            set_aside.append(bad)
        self._warn_identifiers(cut, typed)
        quarantined = pl.concat(set_aside).sort("line_number")
        if text.height != typed.height + quarantined.height:
            raise RowsLost("the row gate did not give back the lines it was given; nothing was recorded")
        self.tally = replace(
            self.tally,
            lines=self.tally.lines + text.height,
            accepted=self.tally.accepted + typed.height,
            quarantined=_added(self.tally.quarantined, quarantined["rule"]),
        )
        return typed.select(schema(self.dataset).names()), quarantined

    def _typed(self, cut: pl.DataFrame) -> pl.DataFrame:
        columns = [dataset_values.typed(cut[column.name], column) for column in self.dataset.columns]
        return pl.DataFrame([cut["line_number"], *columns], schema=schema(self.dataset))

    def _set_aside(
        self, typed: pl.DataFrame, cut: pl.DataFrame, faults: pl.DataFrame, rule: str
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows without fault, and the others as they lie in quarantine; a row has one rule, the first that it breaks."""
        faults = faults.join(typed.select("line_number"), on="line_number", how="semi")
        if faults.is_empty():
            return typed, pl.DataFrame(schema=QUARANTINE)
        rows = cut.join(faults, on="line_number", how="semi")
        return typed.join(faults, on="line_number", how="anti"), _quarantined(rows, faults, pl.lit(rule, pl.String))

    # --- what is about one row

    def _nirs(self, cut: pl.DataFrame) -> pl.DataFrame:
        """Cells that hold a social-security number: the line is kept aside, its text is not."""
        free = [column for column in self.dataset.columns if column.type == "text" and not (column.codes or column.identifier)]
        bare = {column.name: pl.col(column.name).str.replace_all("[ .\u00a0]", "") for column in free}
        return _where(cut, {name: identifiers.is_nir(text) for name, text in bare.items()})

    def _invalid(self, cut: pl.DataFrame, typed: pl.DataFrame) -> pl.DataFrame:
        refusing: dict[str, pl.Series] = {}
        warned: dict[str, pl.Series] = {}
        for column in self.dataset.columns:
            group = warned if column.unknown == "blank" or column.malformed == "warn" else refusing
            group[column.name] = dataset_values.lost(cut[column.name], typed[column.name], column)
        self._warn(UNKNOWN_LABEL, _where(cut, {n: where for n, where in warned.items() if self.dataset.column(n).codes}))
        self._warn(
            MALFORMED_IDENTIFIER, _where(cut, {n: where for n, where in warned.items() if self.dataset.column(n).identifier})
        )
        formless = {
            column.name: ~identifiers.well_formed(column.identifier, pl.col(column.name))
            for column in self.dataset.columns
            if column.identifier and column.malformed == "refuse"
        }
        return pl.concat([_where(cut, refusing), _where(typed, formless), self._contract(typed)])

    def _contract(self, typed: pl.DataFrame) -> pl.DataFrame:
        """Rows that break the contract (``line_number``, ``field``)."""
        try:
            dataset_rows.contract(self.dataset).validate(typed.select(pl.exclude("line_number")), lazy=True)
        except pandera.errors.SchemaErrors as found:
            cases: pl.DataFrame = found.failure_cases.select(pl.col("index").cast(pl.Int64), "column", "check")
        else:
            return pl.DataFrame(schema=_NO_FAULTS)
        name = pl.when(pl.col("check") == "not_nullable").then("column").otherwise("check")
        return cases.select(line_number=typed["line_number"].gather(cases["index"]), field=name)

    def _reversed(self, typed: pl.DataFrame) -> pl.DataFrame:
        if self.dataset.interval is None:
            return pl.DataFrame(schema=_NO_FAULTS)
        start, stop = self.dataset.interval
        return _where(typed, {stop: pl.col(start) >= pl.col(stop)})

    # --- what is about rows together

    def _duplicates(self, typed: pl.DataFrame) -> pl.DataFrame:
        """Rows whose key an earlier row has; says whether the rest of the row is the same."""
        keys = self.dataset.keys if self.layout.keys is None else self.layout.keys
        if not keys or typed.is_empty():
            return pl.DataFrame(schema=_NO_FAULTS)
        marks = typed.select("line_number", key=pl.struct(keys).hash(), mark=pl.struct(pl.exclude("line_number")).hash(seed=1))
        known = pl.concat([*self._seen, marks]) if self._seen else marks
        firsts = known.unique("key", keep="first", maintain_order=True)
        again = marks.join(firsts, on="key", suffix="_first").filter(pl.col("line_number") != pl.col("line_number_first"))
        self._seen.append(marks.join(again, on="line_number", how="anti") if again.height else marks)
        same = pl.when(pl.col("mark") == pl.col("mark_first")).then(pl.lit("identical")).otherwise(pl.lit("different"))
        return again.select("line_number", field=pl.concat_str(pl.lit(f"{keys[0]}:"), same))

    def _overlaps(self, typed: pl.DataFrame) -> pl.DataFrame:
        """Rows whose half-open interval meets one of the same owner that was accepted."""
        if not self.dataset.interval_of or self.dataset.interval is None or typed.is_empty():
            return pl.DataFrame(schema=_NO_FAULTS)
        start, stop = self.dataset.interval
        owner = pl.struct(self.dataset.interval_of).hash()
        first, last = pl.col(start).to_physical().fill_null(-(10**6)), pl.col(stop).to_physical().fill_null(10**7)
        new = typed.select("line_number", owner=owner, start=first.cast(pl.Int64), stop=last.cast(pl.Int64), is_new=True)
        whole = pl.concat([*self._intervals, new]).sort("owner", "start", "line_number")
        met = pl.col("start") < pl.col("stop").cum_max().shift(1).over("owner")
        doubtful = whole.filter(pl.col("owner").is_in(whole.filter(met)["owner"].unique().implode()))
        bad = pl.Series("line_number", _overlapping(doubtful), dtype=pl.Int64).to_frame()
        self._intervals.append(new.join(bad, on="line_number", how="anti").with_columns(is_new=pl.lit(value=False)))
        return bad.with_columns(field=pl.lit(start))

    # --- warnings

    def _warn_identifiers(self, cut: pl.DataFrame, typed: pl.DataFrame) -> None:
        numbered = [column for column in self.dataset.columns if column.identifier]
        wrong, formless = [], []
        for column in numbered:
            kind, number = column.identifier or "", pl.col(column.name)
            suspects = typed.select("line_number", column.name).filter(~identifiers.key_is_right(kind, number))
            formed = identifiers.well_formed(kind, number)
            wrong.append(_where(suspects, {column.name: formed}))
            formless.append(_where(suspects, {column.name: ~formed}))
        if numbered:
            self._warn(WRONG_KEY, pl.concat(wrong))
            self._warn(MALFORMED_IDENTIFIER, pl.concat(formless))
        names = {column.name for column in numbered}
        if {"siret", "siren"} <= names:
            self._warn(SIREN_MISMATCH, _where(typed, {"siren": pl.col("siret").str.head(9) != pl.col("siren")}))
        short = {column.name: _was_completed(column, cut, typed) for column in numbered if column.identifier == "finess"}
        self._warn(KEY_COMPLETED, _where(typed, short))

    def _warn(self, rule: str, found: pl.DataFrame) -> None:
        """Count rows (``line_number``, ``field``) under a warning rule: by field, and once for the rule."""
        if found.is_empty():
            return
        counts = self.tally.warnings.setdefault(rule, {})
        for name, count in found["field"].value_counts().iter_rows():
            counts[name] = counts.get(name, 0) + count
        self.tally.warned[rule] = self.tally.warned.get(rule, 0) + found["line_number"].n_unique()


def judge_file(dataset: Dataset, tally: Tally, standing: int | None) -> Judgement:
    """Whether the file may stand for its scope. ``standing``: rows accepted of the delivery that it would take the place of;
    None when there is none. The gravest outcome wins, each rule broken is named once."""
    lost = 0 if standing is None else standing - tally.accepted
    breaches = {
        "dataset.no_row": tally.accepted == 0,
        "dataset.truncated": bool(tally.quarantined.get(TRUNCATED_LINE)),
        "dataset.quarantine_rate": sum(tally.quarantined.values()) * 100 > tally.rows * dataset.quarantine_percent,
        "dataset.shrunken": lost * 100 > (standing or 0) * dataset.shrink_percent,
    }
    broken = tuple(rule for rule in catalogue() if breaches.get(rule))
    outcomes: dict[str, Outcome] = {"refuse": "rejected", "hold": "held"}
    found = {outcomes[catalogue()[rule].outcome] for rule in broken}
    return Judgement("rejected" if "rejected" in found else "held" if "held" in found else "accepted", broken, ())


def _where(rows: pl.DataFrame, conditions: Mapping[str, pl.Expr | pl.Series]) -> pl.DataFrame:
    """Rows and fields where a condition holds (``line_number``, ``field``); null holds nothing."""
    if not conditions or rows.is_empty():
        return pl.DataFrame(schema=_NO_FAULTS)
    flags = rows.select("line_number", **conditions)
    met = [
        flags.filter(pl.col(name).fill_null(value=False)).select("line_number", field=pl.lit(name))
        for name in conditions
        if flags[name].any()
    ]
    return pl.concat(met) if met else pl.DataFrame(schema=_NO_FAULTS)


def _overlapping(intervals: pl.DataFrame) -> list[int]:
    """New rows that meet one accepted before or one kept here, the earliest start first: a row set aside costs no other."""
    kept: dict[int, list[tuple[int, int]]] = {}
    for owner, start, stop in intervals.filter(~pl.col("is_new")).select("owner", "start", "stop").iter_rows():
        kept.setdefault(owner, []).append((start, stop))
    bad = []
    for number, owner, start, stop in intervals.filter("is_new").select("line_number", "owner", "start", "stop").iter_rows():
        others = kept.setdefault(owner, [])
        if any(start < until and since < stop for since, until in others):
            bad.append(number)
        else:
            others.append((start, stop))
    return bad


def _was_completed(column: Column, cut: pl.DataFrame, typed: pl.DataFrame) -> pl.Series:
    told = cut.select("line_number", column.name)
    before = typed.select("line_number").join(told, on="line_number", how="left", maintain_order="left")
    plain = before.select(identifiers.plain(pl.col(column.name))).to_series()
    return (plain.str.len_chars() == 8) & (typed[column.name].str.len_chars() == 9)


def _quarantined(rows: pl.DataFrame, faults: pl.DataFrame, rule: pl.Expr) -> pl.DataFrame:
    """Rows as they lie in quarantine: the line as text, or its cells where the line may not be kept; never with a NIR."""
    named = faults.group_by("line_number").agg(fields=pl.col("field").unique().sort())
    cells = [name for name in rows.columns if name not in ("line_number", "byte_offset", "raw", "fault")]
    joined = pl.concat_str([pl.col(name).fill_null("") for name in cells], separator=";")
    text = pl.coalesce("raw", pl.when(pl.col("fault").is_null()).then(joined))
    return (
        rows.join(named, on="line_number", how="left", maintain_order="left")
        .with_columns(raw=text)
        .with_columns(raw=pl.when(~pl.col("raw").str.contains(_LIKE_NIR)).then("raw"))
        .with_columns(rule.alias("rule"))
        .select(pl.col(name).cast(kind) for name, kind in QUARANTINE.items())
    )


def _added(counts: Mapping[str, int], values: pl.Series) -> dict[str, int]:
    total = dict(counts)
    for value, count in values.value_counts().iter_rows():
        total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))
