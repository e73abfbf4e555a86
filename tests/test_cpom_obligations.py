"""What falls due: each deadline of the calendar on its last day and the next, with what was received, in the time of Paris."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from cpom_world import EJ, SOUND, exported, frame, judged, notice, references, world

from checks.cpom.facts import Facts, facts_of
from checks.cpom.law import default_law
from checks.cpom.obligations import OBLIGATIONS, STATES_FR, falling_due, watch
from checks.cpom.owed import CAMPAIGN
from contracts_schema.cpom_catalogue import deadlines


def watched(on: date, facts: Facts | None = None, **policies: Any) -> pl.DataFrame:
    facts = facts or world()
    return watch(facts, judged(facts, on, **policies), default_law(policies), on).obligations


def states(found: pl.DataFrame, deadline: str) -> list[tuple[str, int | None]]:
    rows: list[tuple[str, int | None]] = found.filter(pl.col("deadline_id") == deadline).select("state", "days_left").rows()
    return rows


def recognised(*names: str, **columns: Any) -> dict[str, pl.DataFrame]:
    sheet = exported(SOUND)["sheet"]["sheet_id"][0]
    whole = {"sheet_id": sheet, "finess_ej": EJ, "without_capacity": True, "effective_on": date(2025, 1, 1)}
    told = [whole | {"recognition_id": name, "label": name, "row": row} | columns for row, name in enumerate(names, 1)]
    return {"recognition": frame("recognition", *told)}


def test_every_obligation_has_its_schema_a_known_state_and_a_source() -> None:
    found = watched(date(2025, 8, 1), world(**recognised("RC11", "RC13", "RC37")))
    assert found.schema == OBLIGATIONS
    assert set(found["state"]) <= set(STATES_FR)
    assert found["source"].str.starts_with("guide, L").all()
    told = {"D01", "D02", "D07", "D08", "D09", "D10", "D11", "D14", "D15a", "D16", "D17", "D19", "D23", "D24"}
    assert set(found["deadline_id"]) == {*CAMPAIGN, *told}
    assert found["finess_ej"].null_count() == len(CAMPAIGN) + 1
    assert set(found.filter(pl.col("due_on").is_null())["deadline_id"]) == {"D10", "D23", "D24"}, "no table dates them"


def test_every_deadline_of_the_calendar_is_an_obligation_of_somebody() -> None:
    """But for those that nobody's facts can open at once: a notice is of one nature and in one period."""
    rows = [
        notice("NOTIFICATION", date(2025, 3, 1), received_on=date(2025, 3, 4), procedure_id=name, **more)
        for name, more in {"P1": {}, "P2": {}, "P3": {"nature": "MANQUEMENT_GRAVE"}}.items()
    ]
    renewed = notice("RENOUVELLEMENT", date(2025, 4, 2), procedure_id="P2")
    told = references()["subsidy"].with_columns(fund=pl.lit("FIR"), payment_mode=pl.lit("sur pièces"), subsidy_id=pl.lit("S2"))
    facts = world(
        **recognised("RC11", "RC13", "RC14", "RC15", "RC16", "RC35", "RC37"),
        notice_event=frame("notice_event", *rows, renewed),
        subsidy=pl.concat([references()["subsidy"], told]),
    )
    assert set(watched(date(2025, 4, 10), facts)["deadline_id"]) == set(deadlines())


def test_what_nothing_dates_says_what_is_missing_and_is_neither_late_nor_near() -> None:
    found = watched(date(2029, 1, 1)).filter(pl.col("deadline_id").is_in(["D10", "D23", "D24"]))
    assert found["state"].unique().to_list() == ["SANS_DATE"]
    assert found["evidence_fr"].str.starts_with("date inconnue : il manque ").all()
    assert found["days_left"].null_count() == found.height
    assert falling_due(found).is_empty()
    no_annex = watched(date(2029, 1, 1), world(annex=None)).filter(pl.col("deadline_id") == "D24")
    assert no_annex["finess_ej"].to_list() == [None], "nobody knows who has an USLD"


@pytest.mark.parametrize(
    ("asked", "answered", "on", "due", "state"),
    [
        (date(2028, 10, 31), None, date(2029, 2, 28), date(2029, 2, 28), "PROCHE"),
        (date(2028, 10, 31), None, date(2029, 3, 1), date(2029, 2, 28), "DEPASSE"),
        (date(2028, 11, 3), date(2029, 3, 3), date(2029, 4, 1), date(2029, 3, 3), "RECU_A_TEMPS"),
        (date(2028, 11, 3), date(2029, 3, 4), date(2029, 4, 1), date(2029, 3, 3), "RECU_EN_RETARD"),
    ],
)
def test_a_request_for_renewal_is_answered_within_four_months_of_its_reception(
    asked: date, answered: date | None, on: date, due: date, state: str
) -> None:
    events = [("DEMANDE_RENOUVELLEMENT", asked), ("REPONSE_RENOUVELLEMENT", answered)]
    rows = [{"finess_ej": EJ, "event": event, "happened_on": day} for event, day in events if day]
    found = watched(on, world(contract_event=frame("contract_event", *rows)))
    told = found.filter(pl.col("deadline_id") == "D10").row(0, named=True)
    assert (told["due_on"], told["state"]) == (due, state)
    assert states(found, "D09") == [("RECU_A_TEMPS", None)], "the request itself came before the end of 2028"


@pytest.mark.parametrize(
    ("renewed", "ended", "on", "due", "state"),
    [
        (None, None, date(2028, 10, 2), date(2028, 10, 2), "PROCHE"),
        (None, None, date(2028, 10, 3), date(2028, 10, 2), "DEPASSE"),
        (date(2028, 10, 3), None, date(2029, 1, 1), date(2031, 10, 2), "A_VENIR"),
        (None, date(2028, 10, 2), date(2029, 1, 1), date(2028, 10, 2), "TERMINE"),
        (None, date(2028, 12, 1), date(2029, 1, 1), date(2028, 10, 2), "DEPASSE"),
    ],
)
def test_a_post_on_ground_2_lasts_three_years_and_six_once_renewed(
    renewed: date | None, ended: date | None, on: date, due: date, state: str
) -> None:
    post = {"post_id": "SIG-1", "finess_ej": EJ, "started_on": date(2025, 10, 3), "renewed_on": renewed, "ended_on": ended}
    found = watched(on, world(contract_post=frame("contract_post", post))).filter(pl.col("deadline_id") == "D23")
    assert found.select("due_on", "state", "subject").rows() == [(due, state, "SIG-1")]


def test_a_document_of_an_exercise_is_due_on_the_day_that_its_table_gives() -> None:
    told = {"finess_ej": EJ, "year": 2026, "document": "COMPTE_ADMINISTRATIF"}
    table = frame(
        "long_term_account",
        told | {"due_on": date(2027, 4, 30), "received_on": date(2027, 4, 30)},
        told | {"year": 2027, "received_on": date(2028, 4, 1)},
    )
    found = watched(date(2028, 5, 1), world(long_term_account=table)).filter(pl.col("deadline_id") == "D24")
    assert found.select("subject", "state").rows() == [
        ("compte administratif 2027", "SANS_DATE"),
        ("compte administratif 2026", "RECU_A_TEMPS"),
    ]


@pytest.mark.parametrize(
    ("on", "state"),
    [
        (date(2027, 5, 1), ("A_VENIR", 61)),
        (date(2027, 6, 1), ("PROCHE", 30)),
        (date(2027, 7, 1), ("PROCHE", 0)),
        (date(2027, 7, 2), ("NON_VERIFIABLE", None)),
    ],
)
def test_a_review_is_due_until_its_day_included_and_nothing_shows_it_afterwards(
    on: date, state: tuple[str, int | None]
) -> None:
    assert states(watched(on), "D07") == [state]


def test_the_choice_is_told_from_what_proves_it() -> None:
    assert states(watched(date(2025, 8, 1)), "D02") == [("RECU_A_TEMPS", None)]
    part = facts_of(exported(SOUND) | {"row": exported(SOUND)["row"].with_columns(chosen=pl.lit(value=False))})
    assert states(watched(date(2025, 7, 24), part), "D02") == [("PROCHE", 1)]
    assert states(watched(date(2025, 7, 25), part), "D02") == [("PROCHE", 0)]
    assert states(watched(date(2025, 7, 26), part), "D02") == [("INCOMPLET", -1)], "something came"


def test_a_yearly_report_is_due_each_year_from_the_one_after_its_effect_and_shows_what_came() -> None:
    facts = world(**recognised("RC13", effective_on=date(2026, 2, 1)), recognition_report=None)
    found = watched(date(2026, 3, 1), facts).filter(pl.col("deadline_id") == "D15a")
    assert found["due_on"].to_list() == [date(2027, 3, 31), date(2028, 3, 31), date(2029, 3, 31)]
    came = frame(
        "recognition_report",
        {
            "recognition_id": "RC13",
            "finess_ej": EJ,
            "data_year": 2025,
            "due_on": date(2026, 3, 31),
            "received_on": date(2026, 3, 31),
        },
        {
            "recognition_id": "RC13",
            "finess_ej": EJ,
            "data_year": 2026,
            "due_on": date(2027, 3, 31),
            "received_on": date(2027, 4, 1),
        },
    )
    found = watched(date(2028, 4, 1), world(**recognised("RC13"), recognition_report=came))
    assert [state for state, _ in states(found, "D15a")] == ["RECU_A_TEMPS", "RECU_EN_RETARD", "DEPASSE", "A_VENIR"]
    assert found.filter(pl.col("deadline_id") == "D15a")["evidence_fr"][0] == "rapport reçu le 31/03/2026"
    blind = watched(date(2028, 4, 1), world(**recognised("RC13"), recognition_report=None))
    assert [state for state, _ in states(blind, "D15a")][:3] == ["NON_VERIFIABLE"] * 3


def test_what_the_guide_asks_every_year_without_a_day_is_owed_and_the_table_may_date_it() -> None:
    """RC01 to RC10; nothing of a survey, of the PMSI or of a specification, which nobody asked for yet."""
    names = [f"RC{number:02d}" for number in range(1, 40)]
    found = watched(date(2026, 4, 1), world(**recognised(*names), recognition_report=None))
    without = found.filter(pl.col("subject").is_in(names) & pl.col("due_on").is_null())
    assert without["deadline_id"].to_list() == names[:10]
    assert set(without.select("state", "status", "days_left").rows()) == {("SANS_DATE", "missing", None)}
    assert without["label_fr"][0].endswith("Rapport d'activité annuel (cf.circulaires nationales)")
    dated = set(found.filter(pl.col("subject").is_in(names)).drop_nulls("due_on")["subject"])
    assert dated == {"RC11", "RC13", "RC14", "RC15", "RC16", "RC35", "RC37", "RC38", "RC39"}
    rows = [
        {"recognition_id": name, "finess_ej": EJ, "data_year": 2025, "due_on": date(2026, 3, 31), "received_on": came}
        for name, came in (("RC01", None), ("RC02", date(2026, 3, 30)), ("RC21", None))
    ]
    told = watched(date(2026, 4, 1), world(**recognised(*names), recognition_report=frame("recognition_report", *rows)))
    told = told.filter(pl.col("deadline_id").is_in(["RC01", "RC02", "RC21"])).sort("deadline_id", "due_on", nulls_last=True)
    assert told.select("deadline_id", "state", "status").rows() == [
        ("RC01", "DEPASSE", "attested"), ("RC02", "RECU_A_TEMPS", "attested"), ("RC02", "SANS_DATE", "missing"),
        ("RC21", "DEPASSE", "attested"),
    ]  # fmt: skip


def test_a_recognition_that_a_rule_sets_aside_owes_nothing() -> None:
    assert "D14" in set(watched(date(2025, 8, 1), world(**recognised("RC11")))["deadline_id"])
    found = watched(date(2025, 8, 1), world(**recognised("RC11", effective_on=None)))
    assert "D14" not in set(found["deadline_id"]), "R47: its amendment is signed, it has no day of effect"


def test_what_is_due_once_is_received_with_any_report_of_the_recognition() -> None:
    told = {"recognition_id": "RC37", "finess_ej": EJ, "data_year": 2029, "due_on": date(2029, 12, 31)}
    for came, state in ((None, "DEPASSE"), (date(2029, 12, 31), "RECU_A_TEMPS"), (date(2030, 1, 4), "RECU_EN_RETARD")):
        facts = world(**recognised("RC37"), recognition_report=frame("recognition_report", told | {"received_on": came}))
        assert [one for one, _ in states(watched(date(2030, 2, 1), facts), "D16")] == [state]


@pytest.mark.parametrize(
    ("sent", "on", "state"),
    [
        (None, date(2029, 12, 31), "PROCHE"),
        (None, date(2030, 1, 1), "DECHU"),
        (date(2029, 12, 31), date(2030, 1, 1), "RECU_A_TEMPS"),
        (date(2030, 1, 1), date(2030, 1, 2), "DECHU"),
    ],
)
def test_a_subsidy_lapses_unless_its_documents_were_sent_in_time(sent: date | None, on: date, state: str) -> None:
    subsidy = references()["subsidy"].with_columns(documents_sent_on=pl.lit(sent, pl.Date))
    assert [told for told, _ in states(watched(on, world(subsidy=subsidy)), "D17")] == [state]


def test_a_notice_runs_a_month_and_once_more_when_renewed() -> None:
    opened = notice("NOTIFICATION", date(2025, 3, 1), received_on=date(2025, 3, 4))
    first = watched(date(2025, 3, 20), world(notice_event=frame("notice_event", opened)))
    told = first.filter(pl.col("deadline_id") == "D11").row(0, named=True)
    assert (told["due_on"], told["days_left"], told["subject"]) == (date(2025, 4, 4), 15, "P1")
    assert told["passed_at"] == datetime(2025, 4, 4, 22, tzinfo=UTC)
    renewed = frame("notice_event", opened, notice("RENOUVELLEMENT", date(2025, 4, 2)))
    second = watched(date(2025, 4, 20), world(notice_event=renewed)).filter(pl.col("deadline_id") == "D12")
    assert second["due_on"].to_list() == [date(2025, 5, 4)]
    grave = frame("notice_event", opened | {"nature": "MANQUEMENT_GRAVE"})
    assert states(watched(date(2025, 4, 20), world(notice_event=grave)), "D13") == [("DEPASSE", -16)]
    closed = frame("notice_event", opened, notice("CLOTURE", date(2025, 3, 15)))
    assert states(watched(date(2025, 4, 20), world(notice_event=closed)), "D11") == [("TERMINE", None)]


def test_the_ceiling_is_that_of_the_last_closed_exercise_before_the_penalties() -> None:
    incomes = frame(
        "insurance_income",
        {"finess_ej": EJ, "year": 2023, "income_cents": 100_00, "closed": True},
        {"finess_ej": EJ, "year": 2024, "income_cents": 300_00, "closed": True},
        {"finess_ej": EJ, "year": 2025, "income_cents": 900_00, "closed": True},
    )
    facts = world(insurance_income=incomes)
    day = date(2025, 8, 1)
    told = watch(facts, judged(facts), default_law(), day).ceiling
    assert told.select("year", "exercise", "penalties_cents", "cap_cents").rows() == [(2025, 2024, 10_000_00, 15_00)]
    none = world(insurance_income=incomes.with_columns(closed=pl.lit(value=False)))
    assert watch(none, judged(none), default_law(), day).ceiling["cap_cents"].to_list() == [None]


def test_contradicted_dates_are_told_and_never_late_unless_a_policy_says_so() -> None:
    assert states(watched(date(2025, 8, 1)), "D05") == [("INFORMATIF", None)]
    assert states(watched(date(2025, 8, 1), prs_dates_block=True), "D05") == [("DEPASSE", -278)]


def test_the_annex_of_recognitions_follows_the_policy_that_dates_it() -> None:
    assert states(watched(date(2025, 8, 1)), "D01") == [("RECU_A_TEMPS", None)]
    assert states(watched(date(2025, 8, 1), recognitions_due_on=date(2025, 5, 31)), "D01") == [("RECU_EN_RETARD", None)]
    assert states(watched(date(2025, 8, 1), world(annex=None)), "D01") == [("NON_VERIFIABLE", None)]


def test_what_falls_due_is_told_once_in_the_nearest_of_the_horizons() -> None:
    for left, horizon in ((31, None), (30, 30), (8, 30), (7, 7), (2, 7), (1, 1), (0, 1)):
        day = date.fromordinal(date(2027, 7, 1).toordinal() - left)
        near = falling_due(watched(day)).filter(pl.col("deadline_id") == "D07")
        assert near["horizon"].to_list() == ([] if horizon is None else [horizon]), left
    ends = falling_due(watched(date(2027, 12, 25)))
    assert ends.select("deadline_id", "horizon").rows() == [("D19", 7), ("D20", 7)], "a period that ends is told too"


def test_periods_start_and_end_at_midnight_in_paris() -> None:
    before, last, after = watched(date(2024, 12, 31)), watched(date(2029, 12, 31)), watched(date(2030, 1, 1))
    assert [states(found, "D03")[0][0] for found in (before, last)] == ["A_VENIR", "EN_VIGUEUR"]
    assert [states(found, "D04")[0][0] for found in (last, after)] == ["EN_COURS", "TERMINE"]
    start = before.filter(pl.col("deadline_id") == "D03")["passed_at"].item()
    assert start == datetime(2024, 12, 31, 23, tzinfo=UTC)


def test_dated_deadlines_of_the_calendar_are_those_of_the_obligations() -> None:
    found = watched(date(2025, 8, 1), world(**recognised("RC37")))
    for name, day in found.select("deadline_id", "due_on").unique().iter_rows():
        if deadlines()[name].get("date") and day:
            assert day == date.fromisoformat(str(deadlines()[name]["date"])), name
