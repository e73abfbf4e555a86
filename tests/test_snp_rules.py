"""The rules of reconciliation: catalogue and code one to one, what lacks is said, law and policies, invariants, speed."""

import json
import random
import re
import time
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snp_facts import SPEC, facts_of
from snp_random import DEFECTS, random_facts

from checks.snp import law as laws
from checks.snp import scene
from checks.snp.calendar import calendar
from checks.snp.evidence import FINDINGS
from checks.snp.facts import SCHEMAS, Facts, FactsRefused, frame
from checks.snp.law import default_law
from checks.snp.likeness import edits, name_key
from checks.snp.outcome import BORDEREAUX, LINES
from checks.snp.reconcile import Reconciliation, reconcile
from checks.snp.review import review
from checks.snp.ruling import CHECKS, code_of, outcomes, sentences
from contracts_schema.parameters import Attestation
from contracts_schema.rules import Rule, catalogue
from flows.law_table import as_published

BY_LOG = {"snp.U03"}
"""Told by the event log at reception: no line is judged."""
RULES = [rule for rule in catalogue().values() if rule.id.startswith("snp.")]
DAY = date(2024, 8, 1)
LAW = default_law()
PUBLISHED = as_published(("snp.tariff", "snp.window"), "texte détenu par la caisse")
ATTESTED = default_law(attested=PUBLISHED)


def scenario(name: str) -> dict[str, Any]:
    return next(found for found in SPEC["scenarios"] if found["id"] == name)


def facts(name: str, decision: int = -1, **changes: Any) -> Facts:
    found = scenario(name)
    return replace(facts_of(found, found["decisions"][decision]), **changes)


def judged(found: Facts, law: laws.Law = ATTESTED, on: date = DAY) -> Reconciliation:
    return reconcile(found, law, on)


def outcome_of(found: Reconciliation, rule: str, line: int | None = 1) -> str | None:
    """What a rule said of a line of the first bordereau: an outcome, mention, note or NOT_EVALUABLE; None when silent."""
    here = pl.col("line_number").is_null() if line is None else pl.col("line_number") == line
    rows = found.findings.filter(pl.col("rule") == f"snp.{rule}", pl.col("bordereau_id").is_in(["B1", "b0000000"]), here)
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return "mention" if row["mention"] else "note" if row["note"] else row["outcome"]


# --- catalogue and code


def test_each_rule_of_the_catalogue_has_one_implementation_but_the_one_that_the_log_tells() -> None:
    assert set(CHECKS) | BY_LOG == {rule.id for rule in RULES}
    assert not set(CHECKS) & BY_LOG
    assert [check.judge.__name__ for check in CHECKS.values()] == [rule.removeprefix("snp.").lower() for rule in CHECKS]


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.id) for rule in RULES if rule.id in CHECKS])
def test_code_and_catalogue_have_the_same_cases_and_the_sentences_can_be_filled(rule: Rule) -> None:
    ruling = CHECKS[rule.id].judge(ATTESTED, random_facts(1))
    told = {code_of(rule, name) for name in ruling.cases}
    implemented = {2 + place for place, variant in enumerate(rule.variants) if variant.decided_by is None}
    assert told - {1} == implemented, "variants"
    assert 1 in told, "default"
    common = {"jour", "protocole", "acte", "delegue", "dossier"} if CHECKS[rule.id].moment in ("day", "claim") else set()
    known = set(ruling.fields) | common
    for reason, change in sentences(rule).values():
        assert set(re.findall(r"\{(\w+)\}", reason + change)) <= known


def test_rules_say_their_outcome_their_source_and_what_they_answer_when_data_lack() -> None:
    sources = laws._yaml("protocols.yaml")["sources"]
    for rule in RULES:
        assert {rule.outcome, *(variant.outcome for variant in rule.variants)} <= set(
            laws._yaml("reconciliation.yaml")["outcomes"]
        )
        assert set(filter(None, rule.source.split(", "))) <= set(sources), rule.id
        assert rule.if_missing in ("ASK", "NOTE"), rule.id
        assert all([rule.reason_fr, rule.basis_fr, rule.evidence, rule.when]), rule.id
        assert rule.missing_fr or rule.id in BY_LOG, rule.id
        assert all(variant.reason_fr and variant.when for variant in rule.variants), rule.id


def test_every_value_of_a_policy_leads_to_an_outcome_of_the_rule_that_names_it() -> None:
    named = {part.policy for rule in RULES for part in (rule, *rule.variants) if part.policy}
    terms = laws._yaml("reconciliation.yaml")["policies"]
    assert named == {name for name, entry in terms.items() if "values" in entry}
    for name in named:
        for value in terms[name]["values"]:
            law = default_law({name: value})
            asked = [outcomes(rule, law) for rule in RULES if name in {rule.policy, *(v.policy for v in rule.variants)}]
            assert any(law.outcome(name) in told.values() for told in asked)


def test_every_version_has_a_window_and_a_tariff_for_each_of_its_acts_and_there_are_no_others() -> None:
    versions = laws._yaml("protocols.yaml")["versions"]
    acts = {(version["code"], act) for version in versions for act in version["acts"]}
    assert {(tariff.version, tariff.act) for tariff in LAW.tariffs} == acts
    open_to = {(code, kind) for window in LAW.windows for code in window.versions for kind in window.kinds}
    assert open_to == {(version["code"], kind) for version in versions for kind in version["structures"]}


def test_a_label_stands_for_one_family() -> None:
    table, versions = laws._yaml("labels.yaml"), laws._yaml("protocols.yaml")["versions"]
    assert set(table["families"]) == {version["family"] for version in versions}
    labels = [label for found in table["families"].values() for label in found]
    plain = pl.DataFrame({"label": labels}).select(name_key(pl.col("label")))["label"]
    assert plain.null_count() == 0
    assert plain.n_unique() == len(labels)


# --- what lacks

WITHOUT: dict[str, tuple[tuple[str, ...], str, str]] = {
    "D01": (("dossier",), "S01", "NOT_EVALUABLE"),
    "D02": (("dossier", "dossier_protocol"), "S01", "NOT_EVALUABLE"),
    "D03": (("dossier_event",), "S08", "note"),
    "D04": (("dossier_event",), "S10", "note"),
    "D05": (("member",), "S12", "note"),
    "D06": (("member",), "S14", "note"),
    "D07": (("member",), "S15", "note"),
    "D08": (("dossier_protocol",), "F18", "note"),
    "D09": (("dossier",), "S16", "note"),
    "D10": (("dossier_protocol",), "S17", "note"),
    "P01": (("dossier",), "S18", "NOT_EVALUABLE"),
    "P07": (("patient",), "S30", "note"),
    "S01": (("structure",), "S01", "NOT_EVALUABLE"),
    "S02": (("adhesion",), "S31", "NOT_EVALUABLE"),
    "S03": (("adhesion",), "S34", "NOT_EVALUABLE"),
    "S04": (("adhesion",), "S32", "NOT_EVALUABLE"),
    "S07": (("attachment",), "S35", "note"),
    "T01": (("member",), "S37", "NOT_EVALUABLE"),
    "T02": (("professional",), "S38", "note"),
    "T03": (("member",), "S39", "NOT_EVALUABLE"),
    "A05": (("patient",), "S45", "note"),
    "A08": (("common_law",), "S48", "note"),
    "A09": (("indicator",), "S01", "note"),
    "U05": (("patient",), "F16", "note"),
}
"""Rule: the lists withheld, a scenario in which it would speak, and what it says instead."""
LINE_OF = {"A05": 2}


@pytest.mark.parametrize("rule", WITHOUT)
def test_a_rule_says_not_evaluable_when_the_list_that_it_needs_was_never_delivered(rule: str) -> None:
    lists, name, expected = WITHOUT[rule]
    found = judged(facts(name, **dict.fromkeys(lists)))
    assert outcome_of(found, rule, LINE_OF.get(rule, 1)) == expected
    if expected == "NOT_EVALUABLE":
        assert found.lines["payable_cents"].sum() == 0, "it stops the line"


EMPTIED: dict[str, tuple[str, dict[str, Any], str | None, int | None]] = {
    "P02": ("line", {"family": None, "family_candidates": [], "label": None}, "NOT_EVALUABLE", 1),
    "P03": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "P04": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "P05": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "P06": ("line", {"rpps": None}, "note", 1),
    "P08": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "P09": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "S05": ("bordereau", {"structure_kind": None}, "note", 1),
    "S06": ("bordereau", {"siret": None}, "NOT_EVALUABLE", 1),
    "S08": ("bordereau", {"iban_state": None}, "note", None),
    "T04": ("line", {"rpps": None}, "note", 1),
    "T05": ("line", {"rpps": None}, "note", 1),
    "A01": ("line", {"amount_cents": None, "amount_raw": "#REF!"}, "note", 1),
    "A02": ("line", {"act": None}, "note", 1),
    "A03": ("bordereau", {"declared_total_cents": None}, "note", None),
    "A04": ("line", {"act": "CONSULT_2", "family": "CHEVILLE", "day": None, "date_problem": "unreadable"}, "note", 1),
    "A06": ("line", {"amount_cents": None, "amount_raw": None}, "NOT_EVALUABLE", 1),
    "A07": ("line", {"act": "DELEGANT_REVISIT", "day": None, "date_problem": "unreadable"}, "note", 1),
    "U01": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "U02": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "U04": ("line", {"family": None}, "note", 1),
    "B01": ("bordereau", {"period_to": None}, "note", None),
    "B02": ("line", {"day": None, "date_problem": "unreadable"}, "note", 1),
    "B03": ("bordereau", {"certified": None}, "note", None),
    "B04": ("bordereau", {"profile": None}, "ASK", None),
    "B05": ("line", {"day": None}, "note", 1),
    "B06": ("bordereau", {"sender": None}, "note", None),
    "B07": ("line", {"day": None}, "ASK", 1),
}
"""Rule: the cells emptied, and what it says; B04 and B07 are about what lacks."""


@pytest.mark.parametrize("rule", EMPTIED)
def test_a_rule_says_not_evaluable_when_a_cell_lacks_and_only_one_rule_asks_for_it(rule: str) -> None:
    kind, cells, expected, line = EMPTIED[rule]
    found = facts("S01")
    told = getattr(found, kind).with_columns(**{name: pl.lit(value, SCHEMAS[kind][name]) for name, value in cells.items()})
    if kind == "line" and "day" in cells:
        told = told.with_columns(day=pl.lit(None, pl.Date))
    assert outcome_of(judged(replace(found, **{kind: told})), rule, line) == expected


def test_every_rule_is_tried_without_what_it_needs() -> None:
    assert {f"snp.{rule}" for rule in WITHOUT | EMPTIED} | {"snp.R01", "snp.R02"} == set(CHECKS)


# --- law


def test_a_day_outside_every_window_has_none_and_each_day_has_one_version_and_one_tariff() -> None:
    table = calendar(LAW)
    assert table.group_by("kind", "family", "act", "since").len()["len"].max() == 1
    open_to = {(w, v, k) for w in LAW.windows for v in w.versions for k in w.kinds}
    for window, version, kind in open_to:
        for other, other_version, other_kind in open_to:
            if (version, kind) == (other_version, other_kind) and window != other:
                first, then = sorted((window, other), key=lambda found: found.valid_from)
                apart = first.valid_to is not None and first.valid_to <= then.valid_from
                assert apart, f"{window.item} and {other.item} overlap"


@pytest.mark.parametrize("window", [pytest.param(window, id=window.item) for window in LAW.windows])
def test_a_window_opens_on_its_first_day_and_closes_on_its_last(window: laws.Window) -> None:
    version = next(found for found in LAW.versions if found.code == window.versions[0])
    table = calendar(LAW).filter(kind=window.kinds[0], family=version.family, act="INCLUSION")

    def on(day: date) -> str | None:
        row = table.filter(pl.col("since") <= day).row(-1, named=True)
        return row["window"] if row["version"] == version.code else None

    assert on(window.valid_from) == window.item
    assert on(window.valid_from - timedelta(days=1)) != window.item
    if window.valid_to:
        assert on(window.valid_to) != window.item
        assert on(window.valid_to - timedelta(days=1)) == window.item


def test_a_tariff_attested_is_firm_on_its_days_when_its_window_is_too() -> None:
    def attested(parameter: str, value: int, start: date, **cell: str) -> Attestation:
        return Attestation(parameter, tuple(cell.items()), value, start, None, "texte détenu par la caisse")

    tariff = attested("snp.tariff", 2700, date(2024, 4, 3), version="CYSTITE_2023", act="INCLUSION")
    window = attested("snp.window", 1, date(2023, 3, 14), structure_kind="MSP", version="CYSTITE_2023")
    found = judged(facts("S43"), default_law(attested=(tariff, window)))
    assert found.lines["firm"].to_list() == [False, True]
    assert found.lines["tariff_cents"].to_list() == [2500, 2700]
    assert found.lines["payable_cents"].to_list() == [2500, 2500], "never more than claimed"
    for one in (tariff, window):
        assert judged(facts("S43"), default_law(attested=(one,))).lines["firm"].to_list() == [False, False]


def test_an_unknown_policy_and_a_wrong_value_are_refused() -> None:
    with pytest.raises(laws.UnknownPolicy, match="no such policy: w3_end"):
        default_law({"w3_end": "ask"})
    with pytest.raises(laws.UnknownPolicy, match="w2_end takes one of pay_with_mention, ask, reject"):
        default_law({"w2_end": "pay"})


POLICIES = [
    ("S08", {"d03_retroactive": "yes"}, 1, "D03", "REJECT"),
    ("S08", {"d03_retroactive": "no"}, 1, "D03", "mention"),
    ("S11", {"d04_effective_date": "correction"}, 2, "D04", "REJECT"),
    ("S11", {"d04_effective_date": "first_deposit"}, 2, "D04", "mention"),
    ("S17", {"d10_after_suspension": "pay_with_mention"}, 1, "D10", "mention"),
    ("S13", {"t01_member_declared_later": "reject"}, 1, "T01", "REJECT"),
    ("S22", {"w2_end": "reject"}, 2, "P09", "REJECT"),
    ("S25", {"tariff_2023_interim": "pay_with_mention"}, 1, "P08", "mention"),
    ("S43", {"a03_total": "ask"}, None, "A03", "ASK"),
    ("S04", {"same_day_act_payable": False}, 2, "D02", "REJECT"),
    ("S54", {"b02_ask_after_months": 27}, 1, "B02", None),
    ("S54", {"b02_ask_after_months": None}, 1, "B02", "note"),
    ("S54", {"b02_ask_after_months": 27, "b02_mention_after_months": 24}, 1, "B02", "mention"),
    ("S21", {"w2_start": date(2022, 12, 11)}, 2, "P04", "REJECT"),
]


@pytest.mark.parametrize(("name", "policies", "line", "rule", "expected"), POLICIES)
def test_a_policy_replaces_the_outcome_that_it_names(
    name: str, policies: dict[str, Any], line: int | None, rule: str, expected: str | None
) -> None:
    assert outcome_of(judged(facts(name), default_law(policies)), rule, line) == expected


def test_early_acts_follow_their_own_policy() -> None:
    found = facts("S01", decision=0)
    early = found.line.with_columns(day=pl.lit(date(2020, 4, 1)))
    for policy, expected in (("ask", "ASK"), ("pay_with_mention", "mention"), ("reject", "REJECT")):
        law = default_law({"acts_before_2020_09_30": policy})
        assert outcome_of(judged(replace(found, line=early), law), "P08") == expected


def test_a_bordereau_received_early_waits_or_not_as_the_policy_says() -> None:
    on = date(2022, 9, 29)
    assert outcome_of(judged(facts("S53", 0), on=on), "B01", None) == "HOLD"
    assert outcome_of(judged(facts("S53", 0), default_law({"b01_early": "pay_past_acts"}), on=on), "B01", None) == "mention"


# --- cases that no scenario shows


def with_rows(found: Facts, kind: str, **values: Any) -> Facts:
    told = getattr(found, kind).with_columns(**{name: pl.lit(value, SCHEMAS[kind][name]) for name, value in values.items()})
    return replace(found, **{kind: told})


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


# --- invariants


def conserved(found: Reconciliation) -> bool:
    parts = pl.sum_horizontal("payable_cents", "rejected_cents", "pending_cents", "reduction_cents")
    lines = found.lines.select((pl.col("claimed_cents") == parts).all()).item()
    sums = found.bordereaux.select((pl.col("claimed_cents") == parts).all()).item()
    firm = pl.col("payable_firm_cents") + pl.col("payable_reserved_cents")
    return bool(lines and sums and found.bordereaux.select((pl.col("payable_cents") == firm).all()).item())


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), defects=st.sampled_from([0.0, 0.3, 1.0]), patients=st.booleans())
def test_every_cent_claimed_is_paid_rejected_pending_or_reduced_whatever_the_order_of_rows(
    seed: int, defects: float, patients: bool
) -> None:
    found = random_facts(300, seed, defects=defects, months=0.1, patients=patients, per_bordereau=40)
    first = judged(found)
    assert conserved(first)
    assert first.lines.height == found.line.height
    assert first.lines.select((pl.col("payable_cents") <= pl.col("claimed_cents").clip(lower_bound=0)).all()).item()
    assert dict(first.lines.schema) == dict(LINES)
    assert dict(first.findings.schema) == dict(FINDINGS)
    assert dict(first.bordereaux.schema) == dict(BORDEREAUX)
    shuffled = Facts(**{part.name: _shuffled(getattr(found, part.name), seed) for part in fields(found)})
    again = judged(shuffled)
    assert again.lines.equals(first.lines)
    assert again.findings.equals(first.findings)
    assert again.bordereaux.equals(first.bordereaux)


def _shuffled(rows: pl.DataFrame | None, seed: int) -> pl.DataFrame | None:
    return rows if rows is None else rows.sample(fraction=1, shuffle=True, seed=seed)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_more_never_raises_what_is_payable(defect: str) -> None:
    from snp_random import damaged

    clean = random_facts(60, 5, defects=0, months=0.1, per_bordereau=20)
    before = judged(clean).lines
    after = judged(replace(clean, line=damaged(clean.line, defect, every=5))).lines
    pairs = before.join(after, on=["bordereau_id", "line_number"], suffix="_after")
    worse = pl.col("payable_cents_after") <= pl.col("payable_cents")
    assert pairs.select(worse.all()).item()
    if defect not in ("high_amount", "same_ref"):  # paid at the tariff; another act under the same reference
        assert after["payable_cents"].sum() < before["payable_cents"].sum()


def test_the_sum_of_the_findings_of_each_line_says_its_outcome() -> None:
    found = judged(random_facts(400, 3, defects=0.5, months=0.1, per_bordereau=40))
    strict = ["PAY", "ADJUST", "HOLD", "ASK", "REJECT", "REDIRECT"]
    spoken = found.findings.filter(~pl.col("note"), pl.col("rule") != "snp.A03")
    ranks = spoken.with_columns(
        rank=pl.when("blocking")
        .then(3)
        .otherwise(pl.col("outcome").replace_strict({n: i for i, n in enumerate(strict)}, default=0))
    )
    by_line = ranks.drop_nulls("line_number").group_by("bordereau_id", "line_number").agg(pl.col("rank").max())
    told = found.lines.join(by_line, on=["bordereau_id", "line_number"], how="left").with_columns(pl.col("rank").fill_null(0))
    assert [strict[rank] for rank in told["rank"]] == told["outcome"].to_list()


def test_no_patient_value_leaves_in_a_finding() -> None:
    found = random_facts(200, 9, defects=0.5, patients=True)
    text = judged(found).findings.select(pl.concat_str("evidence", "change_fr", ignore_nulls=True).str.join(" ")).item()
    assert not [key for key in found.frame("patient")["patient_key"] if key in text]


def test_evidence_names_the_cell_the_rule_the_dossier_and_what_would_change_the_answer() -> None:
    result = judged(facts("S04"))
    [row] = result.findings.filter(rule="snp.D02").iter_rows(named=True)
    told = json.loads(row["evidence"])
    assert (told["fichier"], told["feuille"], told["ligne"]) == ("B1.xlsx", "Bordereau", 8)
    assert told["cellules"] == [{"colonne": "date", "cellule": "B8", "texte": "2022-07-19"}]
    assert told["dossier"]["chronologie"] == "déposé le 20/07/2022 10:00 (+02:00)"
    assert told["motif"] == "L'acte du 19/07/2022 précède le premier jour où une déclaration couvre CYSTITE : le 20/07/2022."
    assert row["change_fr"] == "Une déclaration couvrant CYSTITE déposée au plus tard le 19/07/2022."


# --- facts and likeness


def test_a_frame_with_other_columns_a_key_twice_or_a_line_of_no_bordereau_is_refused() -> None:
    found = facts("S01")
    for wrong, message in (
        (replace(found, line=found.line.drop("ref")), "frame line: columns or types differ from the schema: ['ref']"),
        (replace(found, line=pl.concat([found.line, found.line])), "frame line: bordereau_id, line_number must be unique"),
        (replace(found, bordereau=found.bordereau.head(0)), "frame line: some lines belong to no bordereau"),
    ):
        with pytest.raises(FactsRefused, match=re.escape(message)):
            judged(wrong)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("abé1", max_size=6), st.text("abé1", max_size=6)), max_size=20))
def test_distances_are_those_of_the_textbook(pairs: list[tuple[str, str]]) -> None:
    def slow(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    left, right = (pl.Series([pair[side] for pair in pairs], dtype=pl.String) for side in (0, 1))
    assert edits(left, right).to_list() == [slow(a, b) for a, b in pairs]


# --- speed


def test_ten_times_more_lines_take_about_ten_times_the_time() -> None:
    spent = []
    for lines in (5_000, 50_000):
        found = random_facts(lines)
        judged(found)
        began = time.process_time()
        judged(found)
        spent.append(time.process_time() - began)
    assert spent[1] < 20 * spent[0]
