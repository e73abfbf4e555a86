"""The products of the reconciliation: what an agent reads, money that adds up, no fact of a patient, sums under the gate."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from answered import (
    ACTIVITY,
    CAISSE,
    CPAM,
    DAY,
    LAW,
    LINE,
    PRODUCT,
    Tables,
    decisions_on,
    made_of,
    of_caisse,
    published,
    random_tables,
    scenario_facts,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snp_facts import SPEC
from snp_random import random_facts

from checks.snp.facts import Facts, frame
from checks.snp.law import default_law
from checks.snp.product import MONEY
from checks.snp.product_findings import words
from checks.snp.product_letters import LONGEST
from checks.snp.reconcile import Reconciliation, reconcile
from contracts_schema.rules import catalogue
from contracts_schema.table_schema import workbook_schema
from warehouse.masking import TYPES, masked
from warehouse.recipient_tables import staged

SCENARIOS = [scenario["id"] for scenario in SPEC["scenarios"]]
PARTS = [name for name in MONEY if name not in ("claimed_cents", "paid_cents", "difference_cents")]
TEXT = {"line": ("reason", "change", "result"), "finding": ("reason", "change", "seen", "timeline", "title")}


def line_of(found: Tables, bordereau: str, number: int) -> dict[str, Any]:
    here = pl.col("bordereau_id") == bordereau, pl.col("line_number") == number
    return found["out_cpam__bordereau_line"].filter(*here).row(0, named=True)


# --- money


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), lines=st.integers(1, 400), decide=st.booleans(), attested=st.booleans())
def test_every_cent_claimed_is_in_one_place_per_line_per_bordereau_per_structure_and_overall(
    seed: int, lines: int, decide: bool, attested: bool
) -> None:
    facts = of_caisse(random_facts(lines, seed, defects=0.4, per_bordereau=40))
    law = LAW if attested else default_law()
    judged = reconcile(facts, law, DAY)
    taken = decisions_on(judged.lines, seed) if decide else None
    found, _, decided = made_of(facts, law, DAY, taken) if taken is not None else made_of(facts, law, DAY)
    tables = [rows for name, rows in found.items() if "cpam" in name and not name.endswith(("finding", "payment"))]
    for rows in tables:
        assert rows.select((pl.col("claimed_cents") == pl.sum_horizontal(PARTS)).all()).item()
        assert rows["claimed_cents"].sum() == decided["claimed_cents"].sum() == facts.line["amount_cents"].sum()
    for name in MONEY:
        assert len({rows[name].sum() for rows in tables}) == 1, name
    line = tables[0]
    assert not attested or line.filter(pl.col("standing") != "Ferme")["payable_firm_cents"].sum() == 0
    paid = decided.filter(pl.col("line_id").is_in(line.filter(pl.col("payable_firm_cents") > 0)["line_id"].implode()))
    by_decision = pl.col("decision").is_in(["pay", "adjust"]) & ~pl.col("unconfirmed")
    assert attested or paid.select(by_decision.all()).item(), (
        "firm without an attestation: where a decision stands for what lacks"
    )


@cache
def told_of(scenario: str) -> tuple[Tables, Reconciliation]:
    """The tables of a scenario as of its last decision."""
    facts, on, law = scenario_facts(scenario)
    return made_of(facts, law, on)[:2]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_told_line_by_line_with_a_reason_that_its_findings_give(name: str) -> None:
    found, judged = told_of(name)
    line, finding = found["out_cpam__bordereau_line"], found["out_cpam__bordereau_finding"]
    outcomes = dict(zip(*(judged.lines.filter("live")[name] for name in ("line_id", "outcome")), strict=True))
    shown = line.filter("live")
    assert dict(shown.select("line_id", "outcome").iter_rows()) == outcomes
    labels = {code: entry["label_fr"] for code, entry in words("reconciliation.yaml")["outcomes"].items()}
    assert set(shown["result"]) == {labels[outcome] for outcome in outcomes.values()}
    for row in shown.iter_rows(named=True):
        about = pl.col("bordereau_id") == row["bordereau_id"], pl.col("line_number").is_in([0, row["line_number"]])
        strict = finding.filter(*about, pl.col("result") == row["result"])
        said = [reason for reason in strict["reason"] if row["reason"].startswith(reason)]
        assert said or row["outcome"] in ("PAY", "ADJUST"), f"the strictest first: {row['reason']}"
        assert row["change"] or row["outcome"] in ("PAY", "ADJUST", "HOLD")


def test_a_line_of_a_replaced_bordereau_that_is_claimed_no_more_claims_nothing_and_proposes_what_was_paid_as_undue() -> None:
    facts = of_caisse(random_facts(40, defects=0))
    line, header = facts.line, facts.bordereau
    header = pl.concat(
        [
            header.with_columns(superseded_by=pl.lit("b1")),
            header.with_columns(
                bordereau_id=pl.lit("b1"), replaces="bordereau_id", received_on=pl.col("received_on").dt.offset_by("3d")
            ),
        ]
    )
    kept = line.filter(pl.col("line_number") > 5).with_columns(bordereau_id=pl.lit("b1"))
    gone = line.filter(pl.col("line_number") <= 5)["line_id"]
    paid = [
        {"line_id": line_id, "siret": header["siret"][0], "paid_cents": 2500, "paid_on": DAY}
        for line_id in [*gone[:2], kept["line_id"][0]]
    ]
    facts = replace(facts, bordereau=header, line=pl.concat([line, kept]), payment=frame("payment", paid))
    found = made_of(facts)[0]
    shown = found["out_cpam__bordereau_line"]
    dropped = shown.filter(~pl.col("live"))
    assert (shown["live"].sum(), set(dropped["line_id"])) == (35, set(gone[:2]))
    for row in dropped.iter_rows(named=True):
        assert (row["result"], row["proposal"], row["claimed_cents"]) == ("Remplacée", "Indu proposé", 0)
        assert (row["paid_cents"], row["difference_cents"]) == (2500, -2500)
        assert row["reason"].startswith("Le bordereau a été remplacé et le nouveau ne demande plus cette ligne : 25,00 €")
    [replaced] = found["out_cpam__bordereau"].filter(~pl.col("live")).to_dicts()
    assert (replaced["lines"], replaced["lines_replaced"], replaced["undue_cents"]) == (2, 2, 5000)
    [structure] = found["out_cpam__bordereau_structure"].to_dicts()
    assert (structure["bordereaux"], structure["lines"], structure["difference_cents"]) == (2, 37, 34 * 2500 - 5000)


def test_a_first_payment_a_supplement_and_an_undue_have_their_own_words() -> None:
    facts = of_caisse(random_facts(60, defects=0))
    ids = facts.line.sort("line_number")["line_id"]
    paid = [(ids[0], 1000), (ids[1], 3000), (ids[2], 2500)]
    rows = [
        {"line_id": line, "siret": facts.bordereau["siret"][0], "paid_cents": amount, "paid_on": DAY} for line, amount in paid
    ]
    found = made_of(replace(facts, payment=frame("payment", rows)))[0]["out_cpam__bordereau_line"]
    told = {row["line_id"]: (row["proposal"], row["difference_cents"]) for row in found.iter_rows(named=True)}
    assert [told[line] for line in ids[:4]] == [
        ("Supplément proposé", 1500),
        ("Indu proposé", -500),
        (None, 0),
        ("Paiement proposé", 2500),
    ]


# --- words


def test_a_decision_stands_beside_what_was_proposed_and_says_when_it_is_contradicted() -> None:
    facts = of_caisse(random_facts(300, defects=0.5))
    judged = reconcile(facts, LAW, DAY)
    asked = judged.lines.filter(pl.col("outcome") == "ASK").head(1)
    taken = decisions_on(asked, 0).with_columns(decision=pl.lit("reject"))
    for seen, state in (("ASK", "tient"), ("HOLD", "contredite par de nouveaux faits")):
        found = made_of(facts, decisions=taken.with_columns(seen_outcome=pl.lit(seen)))[0]["out_cpam__bordereau_line"]
        line = found.filter(pl.col("line_id") == asked["line_id"].item()).row(0, named=True)
        assert (line["result"], line["proposed_result"], line["decision_fr"]) == ("Rejeté", "Question à poser", "Rejeter")
        assert line["decision_state"] == state
        assert line["reason"].startswith("Décidé : rejeter, « Pièce reçue ». Sans cette décision : question à poser. ")
        assert (line["decision_role"], line["rejected_cents"]) == ("gestionnaire", line["claimed_cents"])


def test_what_cannot_be_verified_and_stops_nothing_is_told_once_a_bordereau_after_the_findings() -> None:
    found = random_tables(300)["out_cpam__bordereau_finding"]
    notes = found.filter(pl.col("result") == "Non vérifiable (sans effet)")
    assert notes.height
    assert notes.select(pl.struct("bordereau_id", "rule").is_unique().all()).item()
    assert set(notes["line_number"]) == {0}
    assert notes.filter(pl.col("rule") == "snp.P07")["lines"].sum() == 300
    order = found.with_columns(note=pl.col("result") == "Non vérifiable (sans effet)").group_by("bordereau_id").agg("note")
    assert all(told == sorted(told) for told in order["note"].to_list())


def test_a_finding_shows_the_cell_the_rule_its_references_and_the_dossier() -> None:
    found = told_of("S04")[0]["out_cpam__bordereau_finding"].filter(pl.col("rule") == "snp.D02").row(0, named=True)
    assert found["title"] == catalogue()["snp.D02"].label_fr
    assert "cellule B8 (date) : « 2022-07-19 »" in found["seen"]
    assert "premier jour couvert : 20/07/2022" in found["seen"]
    assert found["timeline"].startswith("déposé le 20/07/2022 10:00")
    assert found["sources"] == "Lettre de l'ARS Pays de la Loire aux CPTS du 26/07/2022"
    assert found["basis"] == catalogue()["snp.D02"].basis_fr


def test_texts_hold_no_code_and_no_unfilled_place() -> None:
    found = published(random_tables(400, defects=0.6))
    for name, columns in TEXT.items():
        texts = pl.concat([found[name][column].drop_nulls() for column in columns])
        assert not texts.str.contains(r"CONSULT_|INCLUSION|NOT_EVALUABLE|\{|\}|None|null").any()


def test_the_words_are_one_for_each_code_of_the_catalogue() -> None:
    told, protocols = words("words.yaml"), words("protocols.yaml")
    assert set(told["versions"]) == {version["code"] for version in protocols["versions"]}
    assert set(told["families"]) == {version["family"] for version in protocols["versions"]}
    assert {act for version in protocols["versions"] for act in version["acts"]} <= set(told["acts"])
    assert {rule.status for rule in catalogue().values() if rule.id.startswith("snp.")} <= set(told["statuses"])
    results = words("reconciliation.yaml")["outcomes"].items()
    enum = {column.name: column.constraints.get("enum") for column in LINE.columns}
    labels = [entry["label_fr"] for code, entry in results if code != "NOT_EVALUABLE"]
    assert set(enum["result"]) == {*labels, told["replaced"]}
    assert set(LINE.colours["result"]) == set(enum["result"])


# --- questions


def test_the_letter_names_each_line_in_question_as_the_structure_finds_it_and_what_is_expected() -> None:
    found = random_tables(400, defects=0.5)
    asked = found["out_cpam__bordereau_line"].filter(pl.col("outcome") == "ASK")
    letters = dict(found["out_cpam__bordereau_structure"].select("structure_key", "questions").iter_rows())
    assert asked.height
    for line in asked.iter_rows(named=True):
        letter = letters[line["structure_key"]]
        assert f"\nLigne {line['row']} (" in letter
        assert f"Bordereau {line['file']}, reçu le {line['received_on']:%d/%m/%Y}" in letter
    counts = found["out_cpam__bordereau_structure"].select("lines_asked", "lines_to_answer").drop_nulls()
    assert (counts["lines_to_answer"] <= counts["lines_asked"]).all()
    assert all(letter.endswith("Cordialement,") for letter in letters.values() if letter)


def test_what_only_the_caisse_can_answer_is_no_question_to_the_structure() -> None:
    internal = [
        found.change_fr or found.reason_fr
        for rule in catalogue().values()
        for found in (rule, *rule.variants)
        if found.asked_of == "caisse"
    ]
    assert len(internal) == 13
    for name in SCENARIOS:
        found, _ = told_of(name)
        told = " ".join(found["out_cpam__bordereau_structure"]["questions"].drop_nulls())
        assert "politique " not in told
        assert "commande " not in told
        assert "lecture complète" not in told
        asked = found["out_cpam__bordereau_finding"].filter(pl.col("asked_of") == "caisse")
        assert not any(reason in told for reason in asked["reason"])


def test_a_letter_about_thousands_of_lines_stays_within_a_cell_and_says_how_many_it_leaves_out() -> None:
    facts = of_caisse(random_facts(3000, defects=0, per_bordereau=1500))
    facts = replace(facts, line=facts.line.with_columns(family=pl.lit(None, pl.String)))
    [letter] = made_of(facts)[0]["out_cpam__bordereau_structure"]["questions"].to_list()
    assert "3000 lignes en question" in letter
    named = letter.count("\nLigne ")
    assert f"… et {3000 - named} autres lignes de la table" in letter
    assert LONGEST * 0.9 < len(letter) < 32_767


# --- who gets what


def test_no_value_of_a_patient_is_in_any_table() -> None:
    facts = of_caisse(random_facts(200, defects=0.5, patients=True))
    assert facts.patient is not None
    patient = facts.patient.with_columns(
        patient_key=pl.concat_str(pl.lit("canari-"), "line_number"), age_years=pl.lit(987654, pl.Int32), sex=pl.lit("M")
    )
    rows = [{"patient_key": "canari-3", "rpps": rpps, "day": day, "kind": "ordinary"} for rpps, day in
            facts.line.select("rpps", "day").drop_nulls().head(20).iter_rows()]  # fmt: skip
    planted = replace(facts, patient=patient, common_law=frame("common_law", rows))
    found, judged, _ = made_of(planted)
    assert (judged.findings["rule"] == "snp.P07").any(), "the rules have read the patients"
    for name, table in found.items():
        text = table.write_csv()
        assert "canari" not in text, name
        assert "987654" not in text, name


def test_a_cpam_gets_its_own_bordereaux_alone_in_the_contract_s_columns_and_types() -> None:
    found = random_tables(200)
    mine = published(found)
    assert [rows.height for rows in mine.values()] == [found[table.view].height for table in PRODUCT.tables]
    for table in PRODUCT.tables:
        assert mine[table.name].schema == {column.name: TYPES[column.type] for column in table.columns}
        assert mine[table.name].select(pl.struct(table.keys).is_unique().all()).item()
    assert all(rows.is_empty() for rows in masked(PRODUCT, found, "311", DAY).values())


def test_the_same_facts_in_another_order_give_the_same_tables() -> None:
    facts = of_caisse(random_facts(300, defects=0.4))
    shuffled = Facts(**{
        name: rows if rows is None else rows.sample(fraction=1, shuffle=True, seed=3)
        for name, rows in vars(facts).items()
    })  # fmt: skip
    first, second = made_of(facts)[0], made_of(shuffled)[0]
    for name, rows in first.items():
        assert rows.equals(second[name]), name


def test_an_ars_gets_acts_by_structure_protocol_and_month_of_its_region_with_small_counts_masked() -> None:
    found = random_tables(1000, per_bordereau=250, defects=0.3)
    rows = masked(ACTIVITY, found, "99", DAY)["activity"]
    assert rows.filter(pl.col("acts") < 11).is_empty()
    assert rows.filter("masked")["acts"].null_count() == rows["masked"].sum() > 0
    assert rows.filter(~pl.col("masked"))["lines"].min() >= 1
    line = found["out_cpam__bordereau_line"].filter(~pl.col("outcome").is_in(["REJECT", "REDIRECT"]))
    told = found["out_ars__snp_protocol"]
    assert told["lines"].sum() == line.drop_nulls(["protocol", "month"]).height
    assert masked(ACTIVITY, found, "76", DAY)["activity"].is_empty()


def test_a_structure_without_finess_is_of_the_region_of_its_caisse_only_when_the_others_agree() -> None:
    facts = of_caisse(random_facts(400, per_bordereau=50), finess=None)
    for places, expected in (
        (["990000010"], {"99"}),
        (["990000010", "310000010"], {"99", "76", None}),
        ([], {None}),
    ):
        written = pl.Series([*places, *[None] * (facts.bordereau.height - len(places))], dtype=pl.String)
        header = facts.bordereau.with_columns(finess=written)
        found = made_of(replace(facts, bordereau=header))[0]["out_ars__snp_protocol"]
        assert set(found["region"]) == expected


# --- the table gate


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path)
    address: str = request.getfixturevalue("postgresql_url")
    return address


def breaches(url: str, tables: Mapping[str, pl.DataFrame]) -> set[str]:
    from checks.tables import judge
    from warehouse.postgresql import is_postgresql

    if is_postgresql(url):
        import psycopg

        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for schema in (CPAM.schema, CPAM.staging_schema):
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')  # type: ignore[call-overload]
    facts = {"number": 1, "log_position": 1, "log_hash": "x", "content": "x", "known_at": "x"}
    with staged(url, CPAM, PRODUCT, tables, facts) as staging:
        names = {table.name: staging.table(table.name) for table in PRODUCT.tables}
        gate = judge(staging.url, staging.schema, names, PRODUCT, parameters={"small_cell_threshold": 11})
    return {result.id for result in gate.breaches}


def test_the_gate_finds_a_cent_that_moved_in_a_line_in_a_total_or_between_tables(url: str) -> None:
    facts = of_caisse(random_facts(200, defects=0.4, per_bordereau=20))
    sound = published(made_of(facts, decisions=decisions_on(reconcile(facts, LAW, DAY).lines, 1))[0])
    assert breaches(url, sound) == set()

    def moved(table: str, *columns: str) -> pl.DataFrame:
        rows = sound[table]
        paid = rows["payable_firm_cents"] > 0
        cent = pl.when(pl.int_range(pl.len()) == paid.arg_max()).then(1).otherwise(0)
        return rows.with_columns(pl.col(column) + cent for column in columns)

    wrong = sound | {"line": moved("line", "claimed_cents", "reduction_cents"), "structure": moved("structure", "undue_cents")}
    assert breaches(url, wrong) == {
        "bordereau.is_the_sum_of_its_lines",
        "structure.is_the_sum_of_its_lines",
        "structure.differences_add_up",
    }


def test_the_schema_of_the_workbook_tells_the_columns_that_people_fill() -> None:
    names = [field["name"] for field in workbook_schema(LINE)["fields"]]
    at = names.index("Ce qui changerait la réponse")
    assert names[at + 1 : at + 4] == ["Décision", "Montant", "Motif"]
    assert len(set(names)) == len(names) == len(LINE.columns) + 3


def test_the_caisse_of_the_tests_is_one_that_settings_take() -> None:
    assert CPAM.territory == CAISSE


def test_one_reason_is_said_once_however_many_rules_have_it() -> None:
    found = random_facts(40, 3, defects=0.2, per_bordereau=20)
    unknown = replace(found, dossier=None, dossier_protocol=None, dossier_event=None, member=None, synchronisation=None)
    for reason in made_of(of_caisse(unknown))[0]["out_cpam__bordereau_line"]["reason"]:
        sentences = reason.split(". ")
        assert len(sentences) == len(set(sentences)), reason


def test_a_payment_of_no_line_is_told_apart_and_one_of_a_line_is_not() -> None:
    found = of_caisse(random_facts(20, 5, defects=0, per_bordereau=20))
    siret = found.bordereau["siret"][0]
    line = made_of(found)[0]["out_cpam__bordereau_line"]["line_id"][0]
    paid = {"siret": siret, "paid_cents": 2500, "paid_on": DAY}
    payments = frame("payment", [paid | {"line_id": line}, paid | {"line_id": "0" * 16}, paid | {"ref": "nulle part"}])
    tables, judged, _ = made_of(replace(found, payment=payments))
    assert judged.lines["paid_cents"].sum() == 2500
    told = tables["out_cpam__bordereau_payment"]
    assert told.select("line_id", "ref", "paid_cents").rows() == [(None, "nulle part", 2500), ("0" * 16, None, 2500)]
