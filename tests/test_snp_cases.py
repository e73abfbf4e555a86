"""The reconciliation on cases that no scenario shows, and what a second judgement says of the first."""

import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from snp_facts import facts_of
from snp_judged import ATTESTED, DAY, PUBLISHED, facts, judged, outcome_of, scenario, with_rows
from snp_random import random_facts

from checks.snp import scene
from checks.snp.facts import Facts, frame
from checks.snp.law import default_law
from checks.snp.reconcile import reconcile
from checks.snp.review import review

# --- cases that no scenario shows


def test_a_month_judged_on_the_days_of_change_is_the_month_judged_on_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    def every_day(months: pl.DataFrame, *_: object) -> pl.DataFrame:
        days = pl.date_ranges("when", pl.col("when").dt.month_end())
        return months.select("c", at=days).explode("at")

    cases = [(moving_facts(seed), default_law({"same_day_act_payable": seed % 2 == 0})) for seed in range(6)]
    short = [judged(found, law) for found, law in cases]
    monkeypatch.setattr(scene, "looked_at", every_day)
    for seen, (found, law) in zip(short, cases, strict=True):
        whole = judged(found, law)
        assert seen.lines.equals(whole.lines)
        assert seen.findings.equals(whole.findings)
    outcomes_seen = {outcome for seen in short for outcome in seen.lines["outcome"]}
    assert {"PAY", "ASK", "REJECT"} <= outcomes_seen


def moving_facts(seed: int) -> Facts:
    """Monthly lines only, where every kind of fact changes on some day between 2022 and 2024."""
    found = random_facts(300, seed, defects=0, months=1.0, per_bordereau=10)
    dice = random.Random(seed)

    def some(rows: pl.DataFrame, column: str, share: float = 0.5) -> pl.DataFrame:
        days = [
            date(2023, 12, 1) + timedelta(days=dice.randrange(220)) if dice.random() < share else None
            for _ in range(rows.height)
        ]
        return rows.with_columns(pl.coalesce(pl.Series(column, days, dtype=pl.Date), column).alias(column))

    line = found.line.with_columns(
        month=pl.Series([date(dice.choice([2022, 2023, 2024]), dice.randint(1, 12), 1) for _ in range(found.line.height)])
    )
    numbers = found.frame("dossier")["number"]
    events = []
    for number in numbers:
        kind = dice.choice(["refuse", "withdrawn", "purged", "correction_asked", None])
        for kind_of, lag in ((kind, 0), ("correction_resolved" if kind == "correction_asked" else None, 20)):
            if kind_of:
                on = date(2024, 1, 1) + timedelta(days=dice.randrange(150) + lag)
                at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
                events.append({"number": number, "kind": kind_of, "at": at, "on": on, "reason": "user_request"})
    protocols = some(found.frame("dossier_protocol"), "effective_on", 0.3)
    return replace(
        found,
        line=line,
        bordereau=found.bordereau.with_columns(period_from=pl.lit(None, pl.Date)),
        dossier_protocol=some(protocols, "until_on", 0.1),
        dossier_event=frame("dossier_event", events),
        structure=some(found.frame("structure"), "closed_on", 0.2),
        adhesion=some(some(found.frame("adhesion"), "valid_to", 0.2), "valid_from", 0),
        attachment=some(found.frame("attachment"), "valid_from", 0.2),
        professional=some(found.frame("professional"), "active_to", 0.2),
    )


def test_bordereaux_received_on_one_day_are_judged_as_others() -> None:
    found = random_facts(60, 4, per_bordereau=20)
    day = date(2024, 7, 30)
    one_by_one = [found.bordereau[place].with_columns(received_on=pl.lit(day)) for place in range(found.bordereau.height)]
    at_once = found.bordereau.with_columns(received_on=pl.Series([day] * found.bordereau.height))
    same = [replace(found, bordereau=headers) for headers in (pl.concat(one_by_one), at_once)]
    assert judged(same[0]).lines.equals(judged(same[1]).lines)


def test_what_lacks_is_asked_once() -> None:
    def asked(**cells: Any) -> set[str]:
        found = judged(with_rows(facts("S27"), "line", **cells)).findings
        return {f"{rule} {outcome}" for rule, outcome in found.filter(~pl.col("note")).select("rule", "outcome").rows()}

    assert asked(day=None, date_raw="31/06/2024", date_problem="unreadable") == {"snp.B05 ASK"}
    assert asked(day=None) == {"snp.B07 ASK"}
    assert asked(rpps=None) == {"snp.B07 ASK"}
    assert asked(family=None, family_candidates=[]) == {"snp.P02 ASK"}
    assert asked(rpps=None, delegate_raw="Mme Exemple") == {"snp.T01 NOT_EVALUABLE", "snp.T05 ASK", "snp.P06 ASK"}


def test_a_declaration_that_says_no_kind_of_structure_contradicts_none() -> None:
    found = facts("S01")
    silent = found.frame("dossier").with_columns(structure_kind=pl.lit(None, pl.String))
    result = judged(replace(found, dossier=silent))
    assert (outcome_of(result, "S05"), result.lines["outcome"].to_list()) == ("note", ["PAY", "PAY"])


def test_a_date_in_doubt_is_asked_about_with_the_cell_that_makes_it_so() -> None:
    found = facts("S01")
    line = found.line.with_columns(
        day=pl.lit(None, pl.Date), date_problem=pl.lit("ambiguous"), date_raw=pl.lit("2024-06-03"), date_sign=pl.lit("C12")
    )
    told = judged(replace(found, line=line)).findings.filter(pl.col("rule") == "snp.B05")["evidence"]
    assert told.str.contains("« 2024-06-03 » .* la cellule C12 de la colonne est un texte parmi de vraies dates").all()


def test_an_adhesion_that_ended_or_has_no_date_does_not_pay() -> None:
    found = facts("S27")
    siret = found.bordereau["siret"][0]
    ended = frame("adhesion", [{"siret": siret, "basis": "aci", "valid_from": date(2019, 1, 1), "valid_to": date(2024, 1, 1)}])
    assert outcome_of(judged(replace(found, adhesion=ended)), "S04") == "REJECT"
    again = pl.concat([ended, frame("adhesion", [{"siret": siret, "basis": "aci", "valid_from": date(2024, 4, 2)}])])
    assert outcome_of(judged(replace(found, adhesion=again)), "S04") is None
    undated = frame("adhesion", [{"siret": siret, "basis": "aci"}])
    assert outcome_of(judged(replace(found, adhesion=undated)), "S04") == "NOT_EVALUABLE"
    assert outcome_of(judged(replace(found, adhesion=pl.concat([undated, ended]))), "S04") == "NOT_EVALUABLE"
    project = frame("adhesion", [{"siret": siret, "basis": "project", "valid_from": date(2019, 1, 1)}])
    assert outcome_of(judged(replace(found, adhesion=project)), "S02") == "REJECT", "a project is no adhesion of a MSP"


def test_a_confirmed_link_pays_with_a_mention_and_a_likeness_alone_never_does() -> None:
    found = facts("S03")
    assert judged(found).lines["payable_cents"].to_list() == [0]
    key, declared = found.bordereau["siret"][0], found.frame("dossier")["siret"][0]
    linked = replace(found, alias=frame("alias", [{"kind": "structure", "from_key": key, "to_key": declared}]))
    result = judged(linked)
    assert (outcome_of(result, "D01"), outcome_of(result, "S06")) == (None, "mention")
    assert result.lines["payable_cents"].to_list() == [2500]


def test_a_dossier_found_by_its_finess_under_another_siret_is_the_structures_and_is_asked_about() -> None:
    found = with_rows(with_rows(facts("S02"), "bordereau", finess="990000010"), "dossier", finess="990000010")
    result = judged(found)
    assert (outcome_of(result, "D01"), outcome_of(result, "S06")) == (None, "ASK")


def test_a_removed_dossier_is_asked_about_and_a_refused_one_that_is_accepted_again_pays() -> None:
    def events(*told: tuple[str, int, str | None]) -> pl.DataFrame:
        rows = []
        for kind, day, reason in told:
            at = pl.datetime(2022, 7, day, time_zone="UTC")
            rows.append({"number": "101", "kind": kind, "at": pl.select(at).item(), "on": date(2022, 7, day), "reason": reason})
        return frame("dossier_event", rows)

    found = facts("S01")
    for told, expected in (
        ((("withdrawn", 25, "user_removed"),), "ASK"),
        ((("accepte", 21, None), ("purged", 25, "instructeur_request")), "ASK"),
        ((("purged", 25, "expired"),), "ASK"),
        ((("withdrawn", 25, "user_request"),), "REJECT"),
        ((("refuse", 22, None), ("accepte", 25, None)), None),
    ):
        assert outcome_of(judged(replace(found, dossier_event=events(*told))), "D03") == expected


def test_a_pending_scan_holds_and_a_missing_document_asks() -> None:
    assert outcome_of(judged(with_rows(facts("S01"), "member", piece_pending=True)), "D05") == "HOLD"
    assert outcome_of(judged(with_rows(facts("S01"), "dossier", document_unique=False)), "D05") == "ASK"


def test_a_protocol_withdrawn_from_the_dossier_is_no_longer_declared() -> None:
    result = judged(with_rows(facts("S01"), "dossier_protocol", until_on=date(2022, 8, 4)))
    assert (outcome_of(result, "P01", 1), outcome_of(result, "P01", 2)) == (None, "REJECT")
    assert outcome_of(result, "D08", 1) == "mention"


def test_without_a_complete_synchronisation_no_absence_rejects() -> None:
    for name, rule in (("S02", "D01"), ("S04", "D02"), ("S18", "P01"), ("S37", "T01")):
        found = facts(name)
        assert outcome_of(judged(found), rule) == "REJECT"
        assert outcome_of(judged(with_rows(found, "synchronisation", completed_on=date(2022, 10, 2))), rule) == "ASK"
        assert outcome_of(judged(replace(found, synchronisation=None)), rule) == "ASK"


def test_second_consultations_without_key_are_counted_in_their_span() -> None:
    def line(number: int, act: str, on: date) -> dict[str, Any]:
        row = facts("S44").line.row(0, named=True)
        return row | {"line_number": number, "line_id": str(number), "act": act, "day": on, "ref": str(number)}

    start = date(2024, 4, 2)
    for family, span in (("CHEVILLE", 90), ("LOMBALGIE", 28)):
        for gap, expected in ((span, None), (span + 1, "ASK")):
            lines = [line(1, "CONSULT_1", start), line(2, "CONSULT_2", start + timedelta(days=gap))]
            found = replace(facts("S44"), patient=None, line=frame("line", lines).with_columns(family=pl.lit(family)))
            found = with_rows(with_rows(found, "bordereau", period_to=None), "bordereau", received_on=date(2024, 9, 1))
            assert outcome_of(judged(found), "A04", 2) == expected, (family, gap)
    twice = [line(1, "CONSULT_1", start), *(line(n, "CONSULT_2", start + timedelta(days=20)) for n in (2, 3))]
    result = judged(replace(facts("S44"), patient=None, line=frame("line", twice)))
    assert (outcome_of(result, "A04", 2), outcome_of(result, "A04", 3)) == (None, "ASK")


def test_an_early_second_consultation_marked_as_an_emergency_is_asked_about() -> None:
    assert outcome_of(judged(facts("S45")), "A05", 2) == "REJECT"
    assert outcome_of(judged(with_rows(facts("S45"), "line", emergency=True)), "A05", 2) == "ASK"


def test_the_yearly_indicator_bounds_the_inclusions_of_the_year() -> None:
    found = facts("S43")
    for patients, expected in ((1, "ASK"), (2, None)):
        told = frame("indicator", [{"siret": found.bordereau["siret"][0], "year": 2024, "patients": patients}])
        assert outcome_of(judged(replace(found, indicator=told)), "A09") == expected


def test_a_monthly_line_above_the_tariff_is_asked_about_and_one_at_the_tariff_is_not() -> None:
    for amount, unit, expected in ((11000, None, "ASK"), (10000, 3000, "ADJUST"), (9000, None, "mention"), (10000, None, None)):
        found = with_rows(facts("S57"), "line", amount_cents=amount, unit_cents=unit)
        assert outcome_of(judged(found), "A01", 2) == expected


def test_a_line_asked_about_never_says_that_it_is_paid() -> None:
    found = facts("S51")
    negative = found.line.with_columns(amount_cents=pl.lit(-2500, pl.Int64), count=pl.lit(1, pl.Int64))
    result = judged(replace(found, line=negative))
    below = result.findings.filter(pl.col("rule") == "snp.A01")["evidence"]
    assert set(result.lines["outcome"]) == {"ASK"}
    assert below.len() > 0
    assert not below.str.contains("est payé\\.").any()


def test_an_act_outside_every_window_names_those_of_its_family_only() -> None:
    [told] = judged(facts("S28")).findings.filter(rule="snp.P03")["evidence"]
    assert "CPTS du 12/07/2022, 01/10/2022 exclu" in told
    assert "10/03/2020" not in told, "the window of VARICELLE"


def test_a_cancellation_names_the_line_that_it_cancels() -> None:
    found = facts("S46").line.with_columns(ref=pl.when(pl.col("line_number") > 1).then(pl.lit("r5")))
    result = judged(replace(facts("S46"), line=found))
    assert "r5" in result.findings.filter(rule="snp.A06", line_number=2)["evidence"][0]


def test_patients_out_of_age_are_asked_about_where_the_age_is_uncertain() -> None:
    def of(day: date, family: str, years: int) -> str | None:
        base = facts("S30")
        line = base.line.head(1).with_columns(day=pl.lit(day), family=pl.lit(family))
        patient = base.frame("patient").head(1).with_columns(age_years=pl.lit(years, pl.Int32))
        return outcome_of(judged(replace(base, line=line, patient=patient)), "P07")

    assert [of(date(2023, 8, 23), "ODYNO", years) for years in (45, 46, 50, 51)] == [None, "ASK", "ASK", "REJECT"]
    assert [of(date(2023, 8, 24), "ODYNO", years) for years in (50, 51)] == [None, "REJECT"]
    assert of(date(2022, 3, 1), "ODYNO", 50) == "ASK"
    assert [of(date(2024, 4, 2), "VARICELLE", years) for years in (0, 1, 12, 13)] == ["REJECT", None, None, "REJECT"]


def test_a_man_on_cystite_is_refused_and_the_evidence_does_not_tell_his_sex_nor_age() -> None:
    found = with_rows(facts("S30"), "patient", sex="M", age_years=43)
    result = judged(found)
    assert outcome_of(result, "P07", 2) == "REJECT"
    told = result.findings.filter(rule="snp.P07")["evidence"].str.join("").item()
    assert "43" not in told
    assert '"M"' not in told


def test_several_acts_in_a_line_pay_in_part() -> None:
    found = facts("S04")
    one = found.line.head(1).with_columns(
        amount_cents=pl.lit(7500, pl.Int64), count=pl.lit(3, pl.Int64), day=pl.lit(None, pl.Date)
    )
    days = [date(2022, 7, 19), date(2022, 7, 20), date(2022, 7, 21)]
    acts = frame("act", [{"bordereau_id": "B1", "line_number": 1, "day": day, "count": 1} for day in days])
    result = judged(replace(found, line=one, act=acts))
    [line] = result.lines.iter_rows(named=True)
    assert (line["outcome"], line["payable_cents"], line["reduction_cents"]) == ("ADJUST", 5000, 2500)
    assert outcome_of(result, "D02") == "REJECT"
    asked = judged(replace(found, line=one, act=acts.filter(pl.col("day") > days[0]).with_columns(count=pl.lit(2, pl.Int64))))
    assert asked.lines["outcome"].to_list() == ["PAY"]


def test_a_chain_of_replacements_pays_each_act_once() -> None:
    found = facts("S51")
    bordereau, line = found.bordereau, found.line
    third = bordereau.filter(bordereau_id="B2").with_columns(
        bordereau_id=pl.lit("B3"), replaces=pl.lit("B2"), received_on=pl.lit(date(2024, 7, 25))
    )
    second = bordereau.with_columns(superseded_by=pl.Series(["B2", "B3"]))
    again = line.filter(bordereau_id="B2").with_columns(bordereau_id=pl.lit("B3"))
    paid = pl.concat(
        [
            found.frame("payment"),
            frame(
                "payment",
                [
                    {
                        "bordereau_id": "B2",
                        "line_id": line.filter(bordereau_id="B2")["line_id"][1],
                        "siret": "",
                        "paid_cents": 2500,
                        "paid_on": date(2024, 7, 22),
                    }
                ],
            ),
        ]
    )
    result = judged(replace(found, bordereau=pl.concat([second, third]), line=pl.concat([line, again]), payment=paid))
    last = result.lines.filter(bordereau_id="B3").sort("line_number")
    assert last["payable_cents"].to_list() == [0, 0]
    assert last["paid_cents"].to_list() == [2500, 2500]
    assert last["difference_cents"].to_list() == [0, 0]
    assert result.bordereaux.select("bordereau_id", "live").rows() == [("B1", False), ("B2", False), ("B3", True)]


def test_a_paid_line_that_the_replacing_bordereau_drops_is_proposed_for_recovery() -> None:
    found = facts("S51")
    kept = found.line.filter((pl.col("bordereau_id") == "B1") | (pl.col("line_number") == 2))
    after = judged(replace(found, line=kept))
    assert after.lines.filter(bordereau_id="B1")["difference_cents"].to_list() == [-2500, 0]
    told = review(after, after, ATTESTED)
    assert told.select("rule", "bordereau_id", "line_number").rows() == [("snp.R01", "B1", 1)]


def test_a_payment_by_reference_counts_once_and_never_where_two_lines_have_the_reference() -> None:
    found = facts("S50")
    told = {"ref": "r78", "siret": found.bordereau["siret"][0], "paid_cents": 2500, "paid_on": DAY}
    assert judged(replace(found, payment=frame("payment", [told]))).lines["paid_cents"].to_list() == [0, 0, 2500]
    twice = frame("payment", [told | {"ref": "r77"}])
    assert judged(replace(found, payment=twice)).lines["paid_cents"].to_list() == [0, 0, 0]
    named = frame("payment", [told | {"ref": "r77", "bordereau_id": "B1"}])
    assert judged(replace(found, payment=named)).lines["paid_cents"].to_list() == [2500, 0, 0]


def test_no_bordereau_no_line_and_a_bordereau_without_line_give_an_empty_answer() -> None:
    found = facts("S01")
    assert judged(replace(found, line=found.line.head(0))).bordereaux["claimed_cents"].to_list() == [0]
    nothing = judged(Facts(found.bordereau.head(0), found.line.head(0)))
    assert (nothing.lines.height, nothing.findings.height, nothing.bordereaux.height) == (0, 0, 0)


def test_an_act_paid_here_and_claimed_elsewhere_is_asked_of_the_other_structure_only() -> None:
    found = facts("S40")
    first = found.line["line_id"][0]
    paid = frame("payment", [{"line_id": first, "siret": "", "paid_cents": 2500, "paid_on": date(2024, 7, 3)}])
    result = judged(replace(found, payment=paid))
    assert result.lines["outcome"].to_list() == ["PAY", "ASK"]
    other = found.frame("patient").with_columns(patient_key=pl.Series(["p1", "p2"]))
    assert judged(replace(found, patient=other)).lines["outcome"].to_list() == ["PAY", "PAY"]
    assert judged(replace(found, patient=other.head(1))).lines["outcome"].to_list() == ["ASK", "ASK"]


def test_a_structure_that_nothing_identifies_is_asked_about_and_stops_no_other() -> None:
    found = facts("S40")
    stranger = found.bordereau["siret"][1]

    def outcomes_with(name: str) -> list[str | None]:
        kept = {name: found.frame(name).filter(pl.col("siret") != stranger) for name in ("structure", "dossier")}
        result = judged(replace(found, **(kept if name == "both" else {name: kept[name]})))
        asked = result.findings.filter(pl.col("rule") == "snp.T04")["bordereau_id"].to_list()
        return [bordereau for bordereau in ("B1", "B2") if bordereau in asked]

    assert outcomes_with("structure") == ["B1", "B2"], "it has a declaration"
    assert outcomes_with("dossier") == ["B1", "B2"], "it is in the register"
    assert outcomes_with("both") == ["B2"]


def test_other_keys_make_other_acts_and_a_missing_key_is_asked_about() -> None:
    base = facts("S49")
    two = base.line.head(2)

    def second(refs: tuple[str | None, str | None], patients: tuple[str | None, str | None]) -> str | None:
        line = two.with_columns(ref=pl.Series(refs, dtype=pl.String))
        rows = [{"bordereau_id": "B1", "line_number": n + 1, "patient_key": key} for n, key in enumerate(patients) if key]
        return outcome_of(judged(replace(base, line=line, patient=frame("patient", rows))), "U01", 2)

    assert second(("r1", "r2"), (None, None)) is None
    assert second(("r1", "r2"), ("p", "p")) == "REJECT"
    assert second(("r1", "r1"), ("p", "q")) is None
    assert second(("r1", "r1"), ("p", None)) == "REJECT"
    assert second(("r1", None), ("p", None)) == "ASK"
    assert second((None, "r1"), ("p", None)) == "ASK"
    assert second(("r1", "r2"), (None, "p")) is None
    assert second((None, "r2"), ("p", "q")) is None


# --- review


@pytest.mark.parametrize("name", ["S58", "S59"])
def test_a_late_fact_makes_a_new_version_of_the_decision_that_tells_the_difference(name: str) -> None:
    found = scenario(name)
    law = default_law(found.get("policies"), PUBLISHED)
    before, after = (reconcile(facts_of(found, decision), law, decision["decided"]) for decision in found["decisions"])
    [told] = review(before, after, law).iter_rows(named=True)
    assert (told["rule"], told["outcome"]) == ("snp.R02", "ADJUST")
    assert "différence 25,00 €" in told["evidence"]
    assert review(after, after, law).is_empty()


def test_a_paid_act_that_a_later_event_makes_unpayable_is_a_proposal_and_nothing_else() -> None:
    found = facts("S38")
    paid = frame(
        "payment", [{"line_id": line, "siret": "", "paid_cents": 2500, "paid_on": DAY} for line in found.line["line_id"]]
    )
    before = judged(with_rows(found, "professional", active_to=None))
    after = judged(replace(found, payment=paid))
    told = review(before, after, ATTESTED)
    assert told.select("rule", "line_number", "outcome").rows() == [("snp.R01", 2, "ASK"), ("snp.R02", 2, "ADJUST")]
    assert after.lines["difference_cents"].to_list() == [0, -2500]
    assert "jamais automatique" in json.loads(told["evidence"][0])["motif"]
