"""The rules of reconciliation: catalogue and code one to one, what lacks is said, law and policies."""

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from snp_judged import ATTESTED, LAW, facts, judged, outcome_of
from snp_random import random_facts

from checks.snp import law as laws
from checks.snp.calendar import calendar
from checks.snp.facts import SCHEMAS
from checks.snp.law import default_law
from checks.snp.likeness import name_key
from checks.snp.ruling import CHECKS, code_of, outcomes, sentences
from contracts_schema.parameters import Attestation
from contracts_schema.rules import Rule, catalogue

BY_LOG = {"snp.U03"}
"""Told by the event log at reception: no line is judged."""
RULES = [rule for rule in catalogue().values() if rule.id.startswith("snp.")]


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
