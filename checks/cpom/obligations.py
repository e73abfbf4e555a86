"""The calendar of the CPOM as dated obligations of each establishment: due day, state, days left, evidence of what came.

Days are those of Paris; « at the latest on day D » means before the next midnight there. Must never turn the absence of a
table into a delay: what nothing could show is NON_VERIFIABLE once past.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from checks.cpom.days import ceilings, cutoff, notices
from checks.cpom.facts import Facts
from checks.cpom.judge import Judgement
from checks.cpom.law import Law
from checks.cpom.owed import owed

OBLIGATIONS = pl.Schema(
    {
        "deadline_id": pl.String(),
        "finess_ej": pl.String(),
        "subject": pl.String(),
        "label_fr": pl.String(),
        "kind": pl.String(),
        "due_on": pl.Date(),
        "passed_at": pl.Datetime("us", "UTC"),
        "state": pl.String(),
        "days_left": pl.Int64(),
        "received_on": pl.Date(),
        "evidence_fr": pl.String(),
        "source": pl.String(),
        "status": pl.String(),
    }
)
"""``finess_ej`` null: of the whole campaign. ``subject``: recognition, subsidy, notice, post or document. ``due_on``: the last
useful day (of a start, its day), null while the facts that date it are missing: ``evidence_fr`` says which; ``passed_at``: the
instant from which it is passed. ``days_left``: whole days to ``due_on``, negative once past, null once it is settled."""

STATES_FR = {
    "A_VENIR": "à venir",
    "PROCHE": "dans les 30 jours",
    "RECU_A_TEMPS": "reçu dans les délais",
    "RECU_EN_RETARD": "reçu en retard",
    "DEPASSE": "dépassé, rien de reçu",
    "DECHU": "déchu",
    "EN_VIGUEUR": "en vigueur",
    "EN_COURS": "en cours",
    "TERMINE": "terminé",
    "INCOMPLET": "passé, ce qui est reçu est incomplet",
    "NON_VERIFIABLE": "passé, sans élément pour le vérifier",
    "INFORMATIF": "pour information",
    "SANS_DATE": "date inconnue",
}
OPEN = ("A_VENIR", "PROCHE")
HORIZONS = (30, 7, 1)
NEAR_DAYS = 30
CONTRADICTED = ("D05", "D06")
"""Stored, never judged, unless the policy ``prs_dates_block`` says so (C7)."""


@dataclass(frozen=True)
class Watch:
    """``obligations``: ``OBLIGATIONS``; ``notice``: one row a formal notice (``checks.cpom.days.notices``).

    ``ceiling``: penalties of each establishment and year beside their ceiling (``checks.cpom.days.ceilings``).
    """

    obligations: pl.DataFrame
    notice: pl.DataFrame
    ceiling: pl.DataFrame


def watch(facts: Facts, judgement: Judgement, law: Law, on: date) -> Watch:
    """What every establishment owes, as of a day in Paris."""
    rows = owed(facts, judgement, law).with_columns(on=pl.lit(on))
    every = _stated(rows, law).match_to_schema(OBLIGATIONS, extra_columns="ignore")
    events, incomes = facts.frame("notice_event"), facts.frame("insurance_income")
    return Watch(
        every.sort("due_on", "deadline_id", "finess_ej", "subject", nulls_last=False),
        notices(events, law),
        ceilings(events, incomes, law),
    )


def falling_due(obligations: pl.DataFrame, horizons: Iterable[int] = HORIZONS) -> pl.DataFrame:
    """Open obligations and periods near their last day, with ``horizon``: the smallest of ``horizons`` (days) to hold them."""
    sizes = sorted(horizons)
    horizon = pl.coalesce(pl.when(pl.col("days_left") <= size).then(size) for size in sizes)
    kind = pl.col("kind")
    ending = (kind == "end") & (pl.col("state") == "EN_COURS")
    open_ones = obligations.filter((pl.col("state").is_in(OPEN) & (kind != "start")) | ending)
    return (
        open_ones.with_columns(horizon=horizon)
        .drop_nulls("horizon")
        .sort("due_on", "deadline_id", "finess_ej", nulls_last=True)
    )


def _stated(rows: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Adds ``state``, ``days_left`` and ``passed_at``."""
    kind, on, due = pl.col("kind"), pl.col("on"), pl.col("due_on")
    left = (due - on).dt.total_days()
    received = pl.col("received_on").is_not_null()
    informative = pl.col("deadline_id").is_in(CONTRADICTED) & pl.lit(not law.yes("prs_dates_block"))
    state = (
        pl.when(due.is_null())
        .then(pl.lit("SANS_DATE"))
        .when(informative)
        .then(pl.lit("INFORMATIF"))
        .when(pl.col("settled").is_not_null())
        .then("settled")
        .when(kind == "start")
        .then(pl.when(on >= due).then(pl.lit("EN_VIGUEUR")).otherwise(pl.lit("A_VENIR")))
        .when(kind == "end")
        .then(pl.when(on <= due).then(pl.lit("EN_COURS")).otherwise(pl.lit("TERMINE")))
        .when(received & (pl.col("received_on") <= due))
        .then(pl.lit("RECU_A_TEMPS"))
        .when((kind == "lapse") & (on > due))
        .then(pl.lit("DECHU"))
        .when(received)
        .then(pl.lit("RECU_EN_RETARD"))
        .when((on > due) & pl.col("unsure").fill_null(value=False))
        .then(pl.lit("NON_VERIFIABLE"))
        .when((on > due) & pl.col("incomplete").fill_null(value=False))
        .then(pl.lit("INCOMPLET"))
        .when(on > due)
        .then(pl.lit("DEPASSE"))
        .when(left <= NEAR_DAYS)
        .then(pl.lit("PROCHE"))
        .otherwise(pl.lit("A_VENIR"))
    )
    told = rows.with_columns(state=state)
    running = pl.col("state").is_in([*OPEN, "EN_COURS", "DEPASSE", "INCOMPLET"])
    passed = pl.when(kind == "start").then(cutoff(due - pl.duration(days=1))).otherwise(cutoff(due))
    return told.with_columns(days_left=pl.when(running).then(left), passed_at=passed)
