"""The calendar of the CPOM as dated obligations of each establishment: due day, state, days left, evidence of what came.

Days are those of Paris; « at the latest on day D » means before the next midnight there. Must never turn the absence of a
table into a delay: what nothing could show is NON_VERIFIABLE once past.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from checks.cpom.days import ceilings, cutoff, notices, with_lapse
from checks.cpom.facts import Facts
from checks.cpom.judge import Judgement
from checks.cpom.law import Law
from checks.cpom.ruling import french
from checks.snp.ruling import euros
from contracts_schema.cpom_catalogue import deadlines, recognitions

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
"""``finess_ej`` null: of the whole campaign. ``subject``: recognition, subsidy or notice. ``due_on``: the last useful day (of a
start, its day); ``passed_at``: the instant from which it is passed. ``days_left``: whole days to ``due_on``, negative once
past, null once it is settled."""

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
    "NON_VERIFIABLE": "passé, sans élément pour le vérifier",
    "INFORMATIF": "pour information",
}
OPEN = ("A_VENIR", "PROCHE")
HORIZONS = (30, 7, 1)
NEAR_DAYS = 30
CAMPAIGN = ("D03", "D04", "D05", "D06", "D20", "D21", "D22")
"""Deadlines of the whole campaign; the others are those of each establishment."""
CONTRADICTED = ("D05", "D06")
"""Stored, never judged, unless the policy ``prs_dates_block`` says so (C7)."""
_YEARLY = {"RC11": "D14", "RC13": "D15a", "RC14": "D15b", "RC15": "D15c", "RC16": "D15d", "RC35": "D15e"}
_YEARS = range(2026, 2030)
_STATE_OF_CHOICE = {"DANS_LES_DELAIS": "RECU_A_TEMPS", "HORS_DELAI": "RECU_EN_RETARD"}


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
    parts = [
        _campaign(law),
        _choice(judgement, law),
        _annexes(facts, judgement, law),
        _reviews(judgement),
        _near(facts, judgement),
        _reports(facts),
        _subsidies(facts, law),
        _notices(facts, law),
    ]
    rows = pl.concat(parts, how="diagonal").with_columns(on=pl.lit(on))
    every = _stated(rows, law).match_to_schema(OBLIGATIONS, extra_columns="ignore")
    events, incomes = facts.frame("notice_event"), facts.frame("insurance_income")
    return Watch(
        every.sort("due_on", "deadline_id", "finess_ej", "subject", nulls_last=False),
        notices(events, law),
        ceilings(events, incomes, law),
    )


def falling_due(obligations: pl.DataFrame, horizons: Iterable[int] = HORIZONS) -> pl.DataFrame:
    """Open obligations whose last day is near, with ``horizon``: the smallest of ``horizons`` (days) that holds them."""
    sizes = sorted(horizons)
    horizon = pl.coalesce(pl.when(pl.col("days_left") <= size).then(size) for size in sizes)
    open_ones = obligations.filter(pl.col("state").is_in(OPEN) & (pl.col("kind") != "start"))
    return (
        open_ones.with_columns(horizon=horizon)
        .drop_nulls("horizon")
        .sort("due_on", "deadline_id", "finess_ej", nulls_last=True)
    )


def _of(deadline: str, rows: pl.DataFrame, **more: pl.Expr) -> pl.DataFrame:
    """Rows (finess_ej, and what is known) as obligations of a deadline of the calendar."""
    entry: Any = deadlines()[deadline]
    told: dict[str, pl.Expr] = {
        "deadline_id": pl.lit(deadline),
        "label_fr": pl.lit(entry["label_fr"]),
        "kind": pl.lit(entry["kind"]),
        "source": pl.lit(f"guide, L{entry['source']['line']}"),
        "status": pl.lit(entry["status"]),
    }
    if entry.get("date"):
        told["due_on"] = pl.lit(date.fromisoformat(entry["date"]))
    return rows.select("finess_ej", **(told | more))


def _campaign(law: Law) -> pl.DataFrame:
    nobody = pl.DataFrame({"finess_ej": [None]}, schema={"finess_ej": pl.String()})
    return pl.concat(_of(name, nobody) for name in CAMPAIGN)


def _choice(judgement: Judgement, law: Law) -> pl.DataFrame:
    """D02: judged by R36 and what proves the choice; an incomplete choice is due until its day, then late."""
    proved = pl.col("deadline_status").replace_strict(_STATE_OF_CHOICE, default=None, return_dtype=pl.String)
    words = {
        "DANS_LES_DELAIS": "choix complet, prouvé dans les délais",
        "HORS_DELAI": "choix complété après la date limite",
        "DELAI_NON_VERIFIABLE": "rien ne prouve quand le choix a été fait",
        "CHOIX_INCOMPLET": "choix incomplet",
    }
    contracts = judgement.contract.drop_nulls("finess_ej")
    return _of(
        "D02",
        contracts,
        due_on=pl.lit(law.day("choice_due_on")),
        settled=proved,
        unsure=pl.col("deadline_status") == "DELAI_NON_VERIFIABLE",
        evidence_fr=pl.col("deadline_status").replace_strict(words, default=None, return_dtype=pl.String),
    )


def _annexes(facts: Facts, judgement: Judgement, law: Law) -> pl.DataFrame:
    """D01, of establishments that have recognitions: in the export, the table of annexes, or by their profile."""
    asked = facts.frame("profile").filter(pl.col("profile") == "PLURI")["finess_ej"].to_list()
    signed = facts.frame("annex").filter(pl.col("annex") == "RECONNAISSANCES")
    holders = [*asked, *signed["finess_ej"].to_list(), *facts.frame("recognition")["finess_ej"].drop_nulls().to_list()]
    rows = judgement.contract.filter(pl.col("finess_ej").is_in(holders))
    dates = signed.group_by("finess_ej").agg(received_on=pl.col("signed_on").min())
    rows = rows.join(dates, on="finess_ej", how="left", maintain_order="left")
    evidence = pl.when(pl.col("received_on").is_not_null()).then(
        pl.format("annexe signée le {}", french(pl.col("received_on")))
    )
    return _of(
        "D01",
        rows,
        due_on=pl.lit(law.day("recognitions_due_on")),
        received_on=pl.col("received_on"),
        unsure=pl.lit(not facts.has("annex")),
        evidence_fr=evidence,
    )


def _reviews(judgement: Judgement) -> pl.DataFrame:
    """D07 to D09: no table says that a review, an evaluation or a request came."""
    contracts = judgement.contract.drop_nulls("finess_ej")
    return pl.concat(_of(name, contracts, unsure=pl.lit(value=True)) for name in ("D07", "D08", "D09"))


def _near(facts: Facts, judgement: Judgement) -> pl.DataFrame:
    near = facts.sheet.filter(pl.col("annex") == "HPR")["finess_ej"]
    return _of("D19", judgement.contract.filter(pl.col("finess_ej").is_in(near.implode())))


def _reports(facts: Facts) -> pl.DataFrame:
    """D14 to D16: reports of the recognitions held, one a year or once, beside those received and those the table names."""
    named = facts.frame("recognition").drop_nulls(["finess_ej", "recognition_id"])
    held = named.group_by("finess_ej", "recognition_id", maintain_order=True).agg(pl.col("effective_on").min())
    parts = []
    for one in recognitions():
        due, name = one["due"], one["id"]
        own = held.filter(pl.col("recognition_id") == name)
        started = (pl.col("effective_on").dt.year() < pl.col("year")).fill_null(value=True)
        if name in _YEARLY:
            years = own.join(pl.DataFrame({"year": list(_YEARS)}, schema={"year": pl.Int64()}), how="cross").filter(started)
            last = pl.date(pl.col("year"), due["month"], due["day"])
            parts.append(_of(_YEARLY[name], years, subject=pl.lit(name), due_on=last, data_year=pl.col("year") - 1))
        elif due["kind"] == "once":
            parts.append(_of("D16", own, subject=pl.lit(name), data_year=pl.lit(None, pl.Int64)))
    expected = pl.concat(parts, how="diagonal")
    told = facts.frame("recognition_report")
    listed = pl.concat(
        _of(
            deadline,
            told.filter(pl.col("recognition_id") == name),
            subject=pl.lit(name),
            due_on=pl.col("due_on"),
            data_year=pl.col("data_year"),
        )
        for name, deadline in _YEARLY.items()
    )
    every = pl.concat([listed, expected], how="diagonal").unique(
        ["finess_ej", "subject", "data_year"], keep="first", maintain_order=True
    )
    received = told.group_by("finess_ej", "data_year", subject="recognition_id").agg(received_on=pl.col("received_on").min())
    every = every.join(received, on=["finess_ej", "subject", "data_year"], how="left", maintain_order="left")
    # what is due once is of no year: any report of the recognition is the one
    once = received.group_by("finess_ej", "subject").agg(once_on=pl.col("received_on").min())
    every = every.join(once, on=["finess_ej", "subject"], how="left", maintain_order="left").with_columns(
        received_on=pl.when(pl.col("data_year").is_null()).then("once_on").otherwise("received_on")
    )
    came = pl.when(pl.col("received_on").is_not_null())
    return every.with_columns(
        unsure=pl.lit(not facts.has("recognition_report")),
        evidence_fr=came.then(pl.format("rapport reçu le {}", french(pl.col("received_on")))),
    ).drop("data_year", "once_on")


def _subsidies(facts: Facts, law: Law) -> pl.DataFrame:
    """D17 and D18: documents of subsidies that can lapse."""
    rows = with_lapse(facts.frame("subsidy"), law)
    evidence = pl.concat_str(
        pl.format("notifiée le {}", french(pl.col("notified_on"))),
        pl.when(pl.col("amount_cents").is_not_null()).then(pl.format(", {}", euros(pl.col("amount_cents")))),
        pl.when(pl.col("documents_sent_on").is_not_null()).then(
            pl.format(", pièces envoyées le {}", french(pl.col("documents_sent_on")))
        ),
        ignore_nulls=True,
    )
    return pl.concat(
        _of(
            name,
            rows.filter(pl.col("fund") == fund),
            subject=pl.col("subsidy_id"),
            due_on=pl.col("last_day"),
            received_on=pl.col("documents_sent_on"),
            evidence_fr=evidence,
        )
        for name, fund in (("D17", "FMIS"), ("D18", "FIR"))
    )


def _notices(facts: Facts, law: Law) -> pl.DataFrame:
    """D11 to D13: the running period of each formal notice, with its reception as evidence."""
    rows = notices(facts.frame("notice_event"), law).drop_nulls("ends_on")
    renewed, grave = pl.col("renewals") > 0, pl.col("nature") == "MANQUEMENT_GRAVE"
    which = {"D13": grave, "D12": ~grave & renewed, "D11": ~grave & ~renewed}
    closed = pl.when(~pl.col("state").str.starts_with("PERIODE")).then(pl.lit("TERMINE"))
    evidence = pl.format("mise en demeure reçue le {} ; état : {}", french(pl.col("received_on")), "state")
    return pl.concat(
        _of(
            name,
            rows.filter(some),
            subject=pl.col("procedure_id"),
            due_on=pl.col("ends_on"),
            settled=closed,
            evidence_fr=evidence,
        )
        for name, some in which.items()
    )


def _stated(rows: pl.DataFrame, law: Law) -> pl.DataFrame:
    """Adds ``state``, ``days_left`` and ``passed_at``."""
    kind, on, due = pl.col("kind"), pl.col("on"), pl.col("due_on")
    left = (due - on).dt.total_days()
    received = pl.col("received_on").is_not_null()
    informative = pl.col("deadline_id").is_in(CONTRADICTED) & pl.lit(not law.yes("prs_dates_block"))
    state = (
        pl.when(informative)
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
        .when(on > due)
        .then(pl.lit("DEPASSE"))
        .when(left <= NEAR_DAYS)
        .then(pl.lit("PROCHE"))
        .otherwise(pl.lit("A_VENIR"))
    )
    told = rows.with_columns(state=state)
    running = pl.col("state").is_in([*OPEN, "EN_COURS", "DEPASSE"])
    passed = pl.when(kind == "start").then(cutoff(due - pl.duration(days=1))).otherwise(cutoff(due))
    return told.with_columns(days_left=pl.when(running).then(left), passed_at=passed)
