"""The law day by day: from which day what holds, for each kind of structure, family and act.

Made from the law alone: knows no line.
"""

from datetime import date
from functools import cache
from typing import Any

import polars as pl

from checks.snp.law import Law, Tariff, Version, Window, day_of

FIRM = frozenset({"official", "attested"})
KINDS = ("MSP", "CDS", "CPTS", "")
ACTS = ("INCLUSION", "CONSULT_1", "CONSULT_2", "")
"""Kinds of structure and of act that the calendar knows; the empty one stands for any other."""


@cache
def calendar(law: Law) -> pl.DataFrame:
    """The law, one row a kind, family, act and span of days.

    Columns: kind, family, act, since (sorted), then what holds from that day until the next row: version, version_from,
    window, window_firm, gap, tariff_cents, tariff_firm, interim, w2_end, delegates, sex, min_months, max_years, ask_years,
    ages_read, carried_over. A window is null when none covers the day; so is a tariff.
    """
    rows: list[dict[str, Any]] = []
    for family in sorted({version.family for version in law.versions}):
        versions = sorted((v for v in law.versions if v.family == family), key=lambda v: v.valid_from)
        for since in boundaries(law):
            version = next((v for v in reversed(versions) if v.valid_from <= since), versions[0])
            same = {"family": family, "since": since} | _about(version, law, since)
            tariffs = {act: _tariff_on(law, version.code, act, since) for act in ACTS}
            for kind in KINDS:
                told = same | {"kind": kind} | _open(law, kind, version, since)
                rows += [
                    told | {"act": act, "tariff_cents": cents, "tariff_firm": firm} for act, (cents, firm) in tariffs.items()
                ]
    return pl.DataFrame(rows, schema=CALENDAR).sort("since")


CALENDAR = pl.Schema(
    {
        "kind": pl.String(),
        "family": pl.String(),
        "act": pl.String(),
        "since": pl.Date(),
        "version": pl.String(),
        "version_from": pl.Date(),
        "window": pl.String(),
        "window_firm": pl.Boolean(),
        "gap": pl.String(),
        "tariff_cents": pl.Int64(),
        "tariff_firm": pl.Boolean(),
        "interim": pl.String(),
        "w2_end": pl.Boolean(),
        "delegates": pl.List(pl.String),
        "sex": pl.String(),
        "min_months": pl.Int32(),
        "max_years": pl.Int32(),
        "ask_years": pl.Int32(),
        "ages_read": pl.Boolean(),
        "carried_over": pl.Boolean(),
    }
)


def _about(version: Version, law: Law, on: date) -> dict[str, Any]:
    """What holds of a version on a day whatever the structure: patients, delegates, uncertain basis."""
    older = version.max_years_before is not None and on < day_of(law.policy("odyno_age_50_from"))
    start, end = law.interval("TARIFF_2023")
    early, late = law.interval("EARLY_2020")
    interim = "TARIFF_2023" if version.carried_over and start <= on < end else "EARLY_2020" if early <= on < late else None
    return {
        "version": version.code,
        "version_from": version.valid_from,
        "delegates": list(version.delegates),
        "sex": version.sex,
        "min_months": version.min_months,
        "max_years": version.max_years_before if older else version.max_years,
        "ask_years": version.max_years if older else None,
        "ages_read": version.ages_read,
        "carried_over": version.carried_over,
        "interim": interim,
    }


def _open(law: Law, kind: str, version: Version, on: date) -> dict[str, Any]:
    """The window and the gap of a version for a kind of structure on a day, and whether April 2023 is in doubt."""
    found = [w for w in law.windows if kind in w.kinds and version.code in w.versions and _holds(w, on)]
    gaps = [g.item.rpartition(".")[2] for g in law.gaps if kind in g.kinds and version.code in g.versions and _holds(g, on)]
    start, end = law.interval("W2_END")
    doubtful = kind == "CPTS" and version.code in law.gap("GAP2").versions and start <= on < end
    return {
        "window": found[0].item if found else None,
        "window_firm": found[0].status in FIRM if found else None,
        "gap": gaps[0] if gaps and not found else None,
        "w2_end": doubtful,
    }


def _tariff_on(law: Law, version: str, act: str, on: date) -> tuple[int | None, bool | None]:
    rows = [t for t in law.tariffs if (t.version, t.act) == (version, act) and _holds(t, on)]
    return (rows[0].cents, rows[0].status in FIRM) if rows else (None, None)


def _holds(row: Any, on: date) -> bool:
    return bool(row.valid_from <= on and (row.valid_to is None or on < row.valid_to))


def boundaries(law: Law) -> list[date]:
    """Every day on which something of the law changes, and the beginning of time."""
    rows: list[Window | Tariff] = [*law.windows, *law.gaps, *law.tariffs]
    days = {day for row in rows for day in (row.valid_from, row.valid_to) if day}
    days |= {day for _, start, end in law.intervals for day in (start, end)}
    days |= {version.valid_from for version in law.versions} | {day_of(law.policy("odyno_age_50_from"))}
    return [date.min, *sorted(days)]
