"""What each deadline of the calendar asks, and of whom: one row an obligation, with its day and what was received.

Where the facts that date it are missing, the row is there without a day and says what is missing. Judges no state.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from checks.cpom.days import NOTICES_FR, notices, with_lapse
from checks.cpom.facts import Facts
from checks.cpom.judge import Judgement
from checks.cpom.law import Law
from checks.cpom.ruling import french
from contracts_schema.cpom_catalogue import deadlines, recognitions
from contracts_schema.french import euros_of

CAMPAIGN = ("D03", "D04", "D05", "D06", "D20", "D21", "D22")
"""Deadlines of the whole campaign; the others are those of each establishment."""
_YEARLY = {"RC11": "D14", "RC13": "D15a", "RC14": "D15b", "RC15": "D15c", "RC16": "D15d", "RC35": "D15e"}
_YEARS = range(2026, 2030)
_DOCUMENTS = {"PROPOSITIONS_BUDGETAIRES": "propositions budgétaires", "COMPTE_ADMINISTRATIF": "compte administratif"}
_STATE_OF_CHOICE = {"DANS_LES_DELAIS": "RECU_A_TEMPS", "HORS_DELAI": "RECU_EN_RETARD"}


def owed(facts: Facts, judgement: Judgement, law: Law) -> pl.DataFrame:
    """Every obligation: the columns of ``checks.cpom.obligations.OBLIGATIONS`` that do not depend on the day.

    ``settled``: a state known already; ``unsure``: nothing could show that it came; ``incomplete``: what came lacks something.
    """
    parts = [
        _campaign(law),
        _choice(judgement, law),
        _annexes(facts, judgement, law),
        _reviews(facts, judgement),
        _answers(facts, judgement, law),
        _posts(facts, law),
        _accounts(facts),
        _near(facts, judgement),
        _reports(facts, judgement),
        _subsidies(facts, law),
        _notices(facts, law),
    ]
    return pl.concat(parts, how="diagonal")


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


_EVERYBODY = pl.DataFrame({"finess_ej": [None]}, schema={"finess_ej": pl.String()})


def _undated(deadline: str, rows: pl.DataFrame, lacks: str, **more: pl.Expr) -> pl.DataFrame:
    """Obligations that nothing dates yet, with what is missing."""
    told = pl.lit(f"date inconnue : il manque {lacks}")
    return _of(deadline, rows, due_on=pl.lit(None, pl.Date()), evidence_fr=told, **more)


def _campaign(law: Law) -> pl.DataFrame:
    return pl.concat(_of(name, _EVERYBODY) for name in CAMPAIGN)


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
        incomplete=pl.col("deadline_status") == "CHOIX_INCOMPLET",
        evidence_fr=pl.col("deadline_status").replace_strict(words, default=None, return_dtype=pl.String),
    )


def _annexes(facts: Facts, judgement: Judgement, law: Law) -> pl.DataFrame:
    """D01, of establishments that have recognitions: in the export, the table of annexes, or by their profile."""
    asked = facts.frame("profile").filter(pl.col("profile") == "PLURI")["finess_ej"].to_list()
    signed = facts.frame("annex").filter(pl.col("annex") == "RECONNAISSANCES")
    holders = [*asked, *signed["finess_ej"].to_list(), *_recognised(facts, judgement)["finess_ej"].drop_nulls().to_list()]
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


def _events(facts: Facts, event: str, name: str) -> pl.DataFrame:
    """finess_ej and the day on which such an event first came."""
    rows = facts.frame("contract_event").filter(pl.col("event") == event)
    return rows.group_by("finess_ej").agg(pl.col("happened_on").min().alias(name))


def _reviews(facts: Facts, judgement: Judgement) -> pl.DataFrame:
    """D07 to D09: review, final evaluation and request for renewal, with the day on which each came."""
    contracts = judgement.contract.drop_nulls("finess_ej").select("finess_ej")
    unsure = pl.lit(not facts.has("contract_event"))
    evidence = pl.when(pl.col("received_on").is_not_null()).then(pl.format("reçu le {}", french(pl.col("received_on"))))
    return pl.concat(
        _of(
            name,
            contracts.join(_events(facts, event, "received_on"), on="finess_ej", how="left", maintain_order="left"),
            received_on=pl.col("received_on"),
            unsure=unsure,
            evidence_fr=evidence,
        )
        for name, event in (("D07", "REVUE"), ("D08", "EVALUATION_FINALE"), ("D09", "DEMANDE_RENOUVELLEMENT"))
    )


def _answers(facts: Facts, judgement: Judgement, law: Law) -> pl.DataFrame:
    """D10: the answer of the ARS, four months after the request was received, its day not counted (guide, L275)."""
    rows = judgement.contract.drop_nulls("finess_ej").select("finess_ej")
    for event, name in (("DEMANDE_RENOUVELLEMENT", "asked_on"), ("REPONSE_RENOUVELLEMENT", "received_on")):
        rows = rows.join(_events(facts, event, name), on="finess_ej", how="left", maintain_order="left")
    asked = rows.drop_nulls("asked_on")
    evidence = pl.concat_str(
        pl.format("demande reçue le {}", french(pl.col("asked_on"))),
        pl.when(pl.col("received_on").is_not_null()).then(pl.format(", réponse le {}", french(pl.col("received_on")))),
        ignore_nulls=True,
    )
    last = pl.col("asked_on").dt.offset_by(f"{law.known('renewal.answer_months')}mo")
    dated = _of("D10", asked, due_on=last, received_on=pl.col("received_on"), evidence_fr=evidence)
    lacks = "la réception de la demande de renouvellement (table suivi_contrat)"
    return pl.concat([dated, _undated("D10", rows.filter(pl.col("asked_on").is_null()), lacks)], how="diagonal")


def _posts(facts: Facts, law: Law) -> pl.DataFrame:
    """D23: the last day that a contract on ground 2 may reach: three years, six once renewed, its first day counted (L764)."""
    if not facts.has("contract_post"):
        return _undated("D23", _EVERYBODY, "le début de chaque contrat (table praticiens_motif_2)")
    rows = facts.frame("contract_post")
    years = {name: law.known(f"posts.{name}_years") for name in ("initial", "total")}
    spans = {name: pl.col("started_on").dt.offset_by(f"{count}y") - pl.duration(days=1) for name, count in years.items()}
    rows = rows.with_columns(last=pl.when(pl.col("renewed_on").is_null()).then(spans["initial"]).otherwise(spans["total"]))
    ended = pl.col("ended_on").is_not_null()
    over = pl.when(ended & (pl.col("ended_on") <= pl.col("last"))).then(pl.lit("TERMINE")).when(ended).then(pl.lit("DEPASSE"))
    evidence = pl.concat_str(
        pl.format("contrat commencé le {}", french(pl.col("started_on"))),
        pl.when(pl.col("renewed_on").is_not_null()).then(pl.format(", renouvelé le {}", french(pl.col("renewed_on")))),
        pl.when(ended).then(pl.format(", terminé le {}", french(pl.col("ended_on")))),
        ignore_nulls=True,
    )
    return _of("D23", rows, subject=pl.col("post_id"), due_on=pl.col("last"), settled=over, evidence_fr=evidence)


def _accounts(facts: Facts) -> pl.DataFrame:
    """D24: budget proposals and closing account of each exercise of an USLD; the guide gives no day (L607)."""
    if not facts.has("long_term_account"):
        holders = facts.frame("annex").filter(pl.col("annex") == "USLD").select("finess_ej").unique(maintain_order=True)
        rows = holders if facts.has("annex") else _EVERYBODY
        return _undated("D24", rows, "les pièces de chaque exercice et leur date limite (table usld_exercices)")
    rows = facts.frame("long_term_account")
    subject = pl.format("{} {}", pl.col("document").replace(_DOCUMENTS), "year")
    came = pl.when(pl.col("received_on").is_not_null()).then(pl.format("reçu le {}", french(pl.col("received_on"))))
    dated = _of(
        "D24", rows.drop_nulls("due_on"), subject=subject, due_on=pl.col("due_on"), received_on=pl.col("received_on"),
        evidence_fr=came,
    )  # fmt: skip
    lacks = "la date limite, que le guide ne donne pas (table usld_exercices)"
    without = rows.filter(pl.col("due_on").is_null())
    return pl.concat(
        [dated, _undated("D24", without, lacks, subject=subject, received_on=pl.col("received_on"))], how="diagonal"
    )


def _near(facts: Facts, judgement: Judgement) -> pl.DataFrame:
    near = facts.sheet.filter(pl.col("annex") == "HPR")["finess_ej"]
    return _of("D19", judgement.contract.filter(pl.col("finess_ej").is_in(near.implode())))


def _recognition(entry: Mapping[str, Any], rows: pl.DataFrame, status: str, **more: pl.Expr) -> pl.DataFrame:
    """Rows as an obligation that the calendar does not have: the guide asks it of a recognition and gives no day."""
    return rows.select(
        "finess_ej",
        deadline_id=pl.lit(entry["id"]),
        label_fr=pl.lit(f"{entry['label']} : {entry['evaluation']}"),
        kind=pl.lit("deadline"),
        source=pl.lit(f"guide, L{entry['source']['line']}"),
        status=pl.lit(status),
        subject=pl.lit(entry["id"]),
        **more,
    )


def _yearly_without_day(entry: Mapping[str, Any], own: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """RC01 to RC10: due every year, on a day that the guide does not give; not where the table dates one that is awaited."""
    awaited = told.filter((pl.col("recognition_id") == entry["id"]) & pl.col("received_on").is_null())["finess_ej"]
    rows = own.filter(~pl.col("finess_ej").is_in(awaited.implode()))
    lacks = "le jour de chaque année, que le guide ne donne pas (table rapports_reconnaissance)"
    told_fr = pl.lit(f"date inconnue : il manque {lacks}")
    return _recognition(entry, rows, "missing", due_on=pl.lit(None, pl.Date()), evidence_fr=told_fr)


def _recognised(facts: Facts, judgement: Judgement) -> pl.DataFrame:
    """The recognitions that stand: not those of a sheet in quarantine, nor the rows that a rule sets aside."""
    away = judgement.findings.filter(pl.col("effect") == "quarantine_sheet")["sheet_id"]
    rejected = judgement.findings.filter(pl.col("effect") == "reject_row").select("sheet_id", "row")
    rows = facts.frame("recognition").filter(~pl.col("sheet_id").is_in(away.implode()))
    return rows.join(rejected.unique(), on=["sheet_id", "row"], how="anti", maintain_order="left")


def _reports(facts: Facts, judgement: Judgement) -> pl.DataFrame:
    """D14 to D16: reports of the recognitions held, one a year or once, beside those received and those the table names; then
    those of recognitions that the guide does not date, on the days of the table. Nothing of a survey that nobody asked for.
    """
    named = _recognised(facts, judgement).drop_nulls(["finess_ej", "recognition_id"])
    held = named.group_by("finess_ej", "recognition_id", maintain_order=True).agg(pl.col("effective_on").min())
    told = facts.frame("recognition_report")
    parts, undated = [], []
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
        else:
            days = {name: pl.col(name) for name in ("due_on", "data_year")}
            parts.append(_recognition(one, told.filter(pl.col("recognition_id") == one["id"]), "attested", **days))
        if due["kind"] == "annual" and name not in _YEARLY:
            undated.append(_yearly_without_day(one, own, told))
    expected = pl.concat(parts, how="diagonal")
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
    dated = every.with_columns(
        unsure=pl.lit(not facts.has("recognition_report")),
        evidence_fr=came.then(pl.format("rapport reçu le {}", french(pl.col("received_on")))),
    ).drop("data_year", "once_on")
    return pl.concat([dated, *undated], how="diagonal")


def _subsidies(facts: Facts, law: Law) -> pl.DataFrame:
    """D17 and D18: documents of subsidies that can lapse."""
    rows = with_lapse(facts.frame("subsidy"), law)
    evidence = pl.concat_str(
        pl.format("notifiée le {}", french(pl.col("notified_on"))),
        pl.when(pl.col("amount_cents").is_not_null()).then(pl.format(", {}", euros_of(pl.col("amount_cents")))),
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
    """D11 to D13: the running period of each formal notice, with its reception as evidence, without which no day is known."""
    every = notices(facts.frame("notice_event"), law)
    rows = every.drop_nulls("ends_on")
    waiting = every.filter((pl.col("state") == "OUVERTE") & pl.col("ends_on").is_null())
    renewed, grave = pl.col("renewals") > 0, pl.col("nature") == "MANQUEMENT_GRAVE"
    which = {"D13": grave, "D12": ~grave & renewed, "D11": ~grave & ~renewed}
    closed = pl.when(~pl.col("state").str.starts_with("PERIODE")).then(pl.lit("TERMINE"))
    words = pl.col("state").replace_strict(NOTICES_FR, return_dtype=pl.String).str.to_lowercase()
    evidence = pl.format("mise en demeure reçue le {} ; {}", french(pl.col("received_on")), words)
    dated = [
        _of(
            name,
            rows.filter(some),
            subject=pl.col("procedure_id"),
            due_on=pl.col("ends_on"),
            settled=closed,
            evidence_fr=evidence,
        )
        for name, some in which.items()
    ]
    lacks = "la réception de la mise en demeure (table mises_en_demeure)"
    undated = [_undated(name, waiting.filter(some), lacks, subject=pl.col("procedure_id")) for name, some in which.items()]
    return pl.concat([*dated, *undated], how="diagonal")
