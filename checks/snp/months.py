"""Monthly lines: the days to look at, and one answer for the month when each of them gives the same."""

import polars as pl

from checks.snp.calendar import boundaries
from checks.snp.facts import Facts
from checks.snp.fold import Teams
from checks.snp.identity import structure_keys
from checks.snp.law import Law
from checks.snp.ruling import ELSEWHERE


def looked_at(months: pl.DataFrame, law: Law, facts: Facts, teams: Teams) -> pl.DataFrame:
    """The days to look at for each monthly claim (``c``, ``at``): the first, and each one on which the law, a dossier, a right
    of the structure or the register of the delegate changes; between two of them every rule of a day says the same."""
    rows = months.select("c", "skey", "delegate", "closed_on", first="when")
    law_days = boundaries(law)
    dossiers = teams.coverage.select("skey", "d").unique().join(teams.dossiers, on="d")
    spans = [structure_keys(facts.frame(name), facts) for name in ("adhesion", "attachment")]
    people = facts.frame("professional").rename({"rpps": "delegate"})
    found = [
        rows.select("c", at="first"),
        _changes(rows, pl.DataFrame({"at": law_days}, schema={"at": pl.Date}), []),
        _changes(rows, _days_of(teams.coverage, ("effective_on", "until_on"), "skey"), ["skey"]),
        _changes(rows, _days_of(dossiers, DOSSIER_DAYS, "skey"), ["skey"]),
        *(_changes(rows, _days_of(span, ("valid_from", "valid_to"), "skey"), ["skey"]) for span in spans),
        _changes(rows, _days_of(people, ("active_from", "active_to"), "delegate"), ["delegate"]),
        rows.filter(pl.col("closed_on").dt.month_start() == pl.col("first")).select("c", at="closed_on"),
    ]
    return pl.concat(found).unique()


DOSSIER_DAYS = ("deposited_on", "ended_on", "purged_on", "open_from", "resolved_on", "exit_on", "changed_on")


def _days_of(frame: pl.DataFrame, columns: tuple[str, ...], key: str) -> pl.DataFrame:
    """The days of these columns and the days after them (a rule may count the day itself), by key."""
    days = pl.concat([frame.select(key, at=column) for column in columns]).drop_nulls()
    return pl.concat([days, days.with_columns(pl.col("at").dt.offset_by("1d"))]).unique()


def _changes(rows: pl.DataFrame, days: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    return rows.join(days.with_columns(first=pl.col("at").dt.month_start()), on=[*by, "first"]).select("c", "at")


def collapse(rows: pl.DataFrame, codes: list[str]) -> pl.DataFrame:
    """One row a claim again: a code that changes within the month becomes a note, and ``varies`` says so.

    The tariff of a month is that of each of its days, or none; the rest is what stands on its first day.
    """
    dated = rows.filter(~pl.col("is_month")).with_columns(varies=pl.lit(value=False))
    if dated.height == rows.height:
        return dated.sort("c")
    spread = rows.filter("is_month").sort("c", "at")
    steady = {name: pl.col(name).min() == pl.col(name).max() for name in codes}
    same_tariff = (pl.col("tariff_cents").n_unique() == 1) & (pl.col("version").n_unique() == 1)
    kept = [name for name in rows.columns if name not in (*codes, "c", "tariff_cents", "tariff_firm", "window_firm")]
    folded = spread.group_by("c", maintain_order=True).agg(
        *(pl.col(name).first() for name in kept),
        *(
            pl.when(steady[name]).then(pl.col(name).first()).otherwise(pl.lit(ELSEWHERE, pl.UInt8)).alias(name)
            for name in codes
        ),
        tariff_cents=pl.when(same_tariff).then(pl.col("tariff_cents").first()),
        tariff_firm=pl.col("tariff_firm").all(ignore_nulls=False),
        window_firm=pl.col("window_firm").all(ignore_nulls=False),
        varies=~pl.all_horizontal(list(steady.values())),
    )
    return pl.concat([dated, folded.select(dated.columns)]).sort("c")
