"""The entry journal as of a cut-off: the value that counts, what was typed after it, and what cannot be told.

An entry is in time when its instant is before the first midnight of Paris after the last day. The value that counts is the last
one in time, whatever was typed later; an entry without instant is in time only if the file was extracted by the last day.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from checks.cds.facts import Campaign, identity_mapping
from contracts_schema.parameters import Attestation, NoValue, Value, value

PARIS = ZoneInfo("Europe/Paris")
IN_TIME, LATE, UNVERIFIABLE = "in_time", "late", "unverifiable"


@dataclass(frozen=True)
class Deadlines:
    """Days of a campaign as the law says them, each with its status; None when no text gives it for that year."""

    opening: Value | None
    rosp: Value | None
    rfs: Value | None

    def cutoff(self, section: str) -> datetime | None:
        """The first instant that no longer counts: midnight in Paris after the last day."""
        found = self.rosp if section == "rosp" else self.rfs
        return None if found is None else midnight(found.value + timedelta(days=1))

    def last_day(self, section: str) -> date | None:
        found = self.rosp if section == "rosp" else self.rfs
        return None if found is None else found.value


def midnight(day: date) -> datetime:
    """The first instant of a day in Paris, in UTC."""
    return datetime.combine(day, time(), PARIS).astimezone(UTC)


def deadlines(year: int, attested: Iterable[Attestation] = ()) -> Deadlines:
    """The days of the campaign about a reference year."""
    own = list(attested)
    found: dict[str, Value | None] = {}
    for name in ("opening", "rosp", "rfs"):
        try:
            found[name] = value("cds.campaign.day", date(year, 12, 31), attested=own, deadline=name)
        except NoValue:
            found[name] = None
    return Deadlines(**found)


@dataclass(frozen=True)
class Journal:
    """The journal of a section. ``entries``: its rows with ``code`` ours, ``code_source`` as written, ``deadline`` (in_time,
    late, unverifiable) and ``early``; ``in_force``: the one that counts of each (finess_et, code); ``latest``: the last one
    of all, with the same key; ``unmapped``: rows whose code has no mapping, kept aside to be read once it has one."""

    entries: pl.DataFrame
    in_force: pl.DataFrame
    latest: pl.DataFrame
    unmapped: pl.DataFrame


def journal(campaign: Campaign, section: str, days: Deadlines) -> Journal | None:
    """The journal of ``rfs`` or ``rosp`` as of the cut-off of its section; None when the section did not come."""
    frame = campaign.sections()[section]
    if frame is None:
        return None
    if campaign.as_of is not None:
        frame = frame.filter(pl.col("entered_at").is_null() | (pl.col("entered_at") < campaign.as_of))
    if "seen_on" not in frame.columns:
        frame = frame.with_columns(seen_on=pl.lit(campaign.extracted_on))
    mapped = _mapped(frame, section, campaign)
    cutoff, last = days.cutoff(section), days.last_day(section)
    if cutoff is None or last is None:
        told = pl.lit(UNVERIFIABLE)
    else:
        blind = pl.col("entered_at").is_null()
        told = (
            pl.when(blind & (pl.col("seen_on") <= last))
            .then(pl.lit(IN_TIME))
            .when(blind)
            .then(pl.lit(UNVERIFIABLE))
            .when(pl.col("entered_at") >= cutoff)
            .then(pl.lit(LATE))
            .otherwise(pl.lit(IN_TIME))
        )
    opening = None if days.opening is None else midnight(days.opening.value)
    early = pl.lit(value=False) if opening is None else (pl.col("entered_at") < opening).fill_null(value=False)
    entries = _not_gone(mapped.filter(pl.col("code").is_not_null()).with_columns(deadline=told, early=early))
    ordered = entries.sort("finess_et", "code", "entered_at", "seen_on", "line", nulls_last=False)
    in_force = ordered.filter(pl.col("deadline") != LATE).unique(["finess_et", "code"], keep="last", maintain_order=True)
    latest = ordered.unique(["finess_et", "code"], keep="last", maintain_order=True)
    return Journal(entries, in_force, latest, mapped.filter(pl.col("code").is_null()))


def _not_gone(entries: pl.DataFrame) -> pl.DataFrame:
    """The entries without those that the last extraction no longer has (``gone``), unless they are what it typed over too late:
    where it has late entries only of an indicator, the value that counts is the last one that an earlier extraction had."""
    if "gone" not in entries.columns:
        return entries
    key = ["finess_et", "code"]
    over = entries.filter(~pl.col("gone")).group_by(key).agg((pl.col("deadline") == LATE).all().alias("over"))
    told = entries.join(over, on=key, how="left", maintain_order="left")
    kept = ~pl.col("gone") | pl.col("entered_at").is_null() | pl.col("over").fill_null(value=False)
    return told.filter(kept).drop("over")


def combined(extractions: Iterable[tuple[date, pl.DataFrame]]) -> pl.DataFrame:
    """The entries of a section over several extractions, each once; ``gone``: the last extraction no longer has it.

    ``seen_on``, of an entry without instant: the day of the first extraction that has it, which tells that it was
    typed by then. An entry with its instant is as the last extraction that has it says.
    """
    told = [frame.with_columns(seen_on=pl.lit(day)) for day, frame in sorted(extractions, key=lambda one: one[0])]
    rows = pl.concat(told, how="diagonal")
    last, blind = rows["seen_on"].max(), pl.col("entered_at").is_null()
    dated = rows.filter(~blind).unique(["finess_et", "code", "entered_at"], keep="last", maintain_order=True)
    said = [name for name in rows.columns if name not in ("line", "file", "seen_on")]
    first = (
        rows.filter(blind)
        .with_columns(until=pl.col("seen_on").max().over(said))
        .unique(said, keep="first", maintain_order=True)
    )
    parts = [dated.with_columns(gone=pl.col("seen_on") < last), first.with_columns(gone=pl.col("until") < last).drop("until")]
    return pl.concat(parts).sort("finess_et", "code", "entered_at", "seen_on", "line", nulls_last=False)


def _mapped(frame: pl.DataFrame, section: str, campaign: Campaign) -> pl.DataFrame:
    """``code``: ours on the reference date, null where the mapping has none; ``code_source``: as written."""
    table = identity_mapping() if campaign.mapping is None else campaign.mapping
    day = campaign.last_day
    # The codes that are ours hold on any day: whether an indicator still exists that year is another rule's question.
    holds = (pl.col("valid_from") <= day) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > day))
    rows = table.filter(holds, pl.col("section") == section).select("code_source", "code").unique("code_source", keep="last")
    return frame.rename({"code": "code_source"}).join(rows, on="code_source", how="left", maintain_order="left")
