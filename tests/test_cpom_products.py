"""The products of the CPOM: what was judged, compared and watched, in the contract's columns; small counts are masked."""

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest
from cpom_world import EJ, OTHER, SOUND, exported, frame, judged, references, with_series, world
from test_cpom_compare import decision, variant

from checks.cpom.compare import DEFINITION, RECOMPUTED, compare
from checks.cpom.facts import Facts, facts_of
from checks.cpom.law import default_law
from checks.cpom.obligations import watch
from checks.cpom.product import PRODUCTS, TYPES, tables
from connectors.synthetic_ecars import sample_contract
from contracts_schema.geography import region_of
from contracts_schema.products import products
from warehouse.masking import masked

ON = date(2025, 8, 1)
LAW = default_law()
VIEWS = {table.view: table for name in PRODUCTS for table in products()["ars", name].tables}


def made(
    facts: Facts | None = None, *recomputed: dict[str, Any], decided: list[dict[str, Any]] | None = None
) -> dict[str, pl.DataFrame]:
    facts = facts or world()
    found = judged(facts, ON)
    told = pl.DataFrame([decision()] if decided is None else decided, DEFINITION)
    comparison = compare(found, pl.DataFrame(list(recomputed), RECOMPUTED), told, LAW)
    return tables(facts, found, comparison, watch(facts, found, LAW, ON), LAW)


def published(found: dict[str, pl.DataFrame], product: str) -> dict[str, pl.DataFrame]:
    """What the ARS of the fictional région gets."""
    return masked(products()["ars", product], found, region_of(EJ) or "", ON)


def test_every_table_of_the_contracts_is_made_in_its_columns_types_and_keys() -> None:
    found = made(None, variant())
    assert set(found) == set(VIEWS)
    for name, table in VIEWS.items():
        columns = {column.name: TYPES[column.type] for column in table.columns if column.name != "masked"}
        beside = {"conflicts_hidden": pl.Boolean()} if name == "out_ars__cpom_indicator" else {}
        assert dict(found[name].schema) == columns | beside, name
        assert not found[name].select(pl.struct(table.keys).is_duplicated().any()).item(), name
        for column in table.columns:
            told = found[name].get_column(column.name) if column.name != "masked" else pl.Series(dtype=pl.String)
            if column.constraints.get("required"):
                assert not told.null_count(), (name, column.name)
            if "enum" in column.constraints:
                assert set(told.drop_nulls()) <= set(column.constraints["enum"]), (name, column.name)


def test_no_table_is_empty_in_the_sound_world_but_those_that_may_be() -> None:
    found = made(None, variant(), variant(exit_year=2025))
    assert {name for name, rows in found.items() if rows.is_empty()} == {
        "out_ars__cpom_finding",
        "out_ars__cpom_financial_line",
    }
    assert all(VIEWS[name].may_be_empty for name in ("out_ars__cpom_finding", "out_ars__cpom_financial_line"))


def test_a_comparison_is_published_with_its_figures_and_its_decision() -> None:
    rows = published(made(None, variant(numerator=300)), "cpom-indicateurs")["indicator"]
    told = rows.filter(pl.col("indicator_id") == "OS_13_1_1").row(0, named=True)
    assert (told["result"], str(told["recomputed"]), str(told["gap"])) == ("Écart", "30.00", "-9.50")
    assert (told["definition"], told["definition_variant"], told["reference"]) == ("OS_13 v2", "v1", "Avis")
    assert not told["masked"]


@pytest.mark.parametrize(
    ("numerator", "told"),
    [(225, ("22.50", "0.00", "Atteinte")), (224, ("22.40", "-0.10", "Non atteinte")), (10, (None, None, "Masqué"))],
)
def test_a_target_stands_beside_what_is_recomputed_of_its_year(numerator: int, told: tuple[str | None, ...]) -> None:
    row = variant(exit_year=2025, numerator=numerator)
    [found] = published(made(None, variant(), row), "cpom-indicateurs")["trajectory"].iter_rows(named=True)
    assert (found["year"], found["declared"], found["definition_variant"]) == (2025, 22.5, "v1")
    assert tuple(None if found[name] is None else str(found[name]) for name in ("recomputed", "gap", "reached")) == told


@pytest.mark.parametrize(("numerator", "denominator"), [(10, 1000), (995, 1000), (5, 8)])
def test_small_counts_are_hidden_with_all_that_would_tell_them(numerator: int, denominator: int) -> None:
    contract = with_series("OS_13_1_1", "1 %", *["2 %", "3 %", "4 %", "5 %", "6 %"])
    rows = published(made(world(contract), variant(numerator=numerator, denominator=denominator)), "cpom-indicateurs")[
        "indicator"
    ]
    told = rows.filter(pl.col("indicator_id") == "OS_13_1_1").row(0, named=True)
    assert [told[name] for name in ("numerator", "recomputed", "gap", "completeness")] == [None] * 4
    assert (told["result"], told["masked"]) == ("Masqué", True)
    assert told["declared_text"] == "1 %", "what was declared stays"


@pytest.mark.parametrize(
    ("conflicts", "numerator", "told", "hidden"),
    [(0, 300, 0, False), (10, 300, None, True), (11, 300, 11, False), (11, 5, None, True)],
)
def test_coding_conflicts_stand_beside_the_recomputed_value_unless_few_or_masked_with_it(
    conflicts: int, numerator: int, told: int | None, hidden: bool
) -> None:
    contract = with_series("OS_11_1_1", "30 %", *["31 %", "32 %", "33 %", "34 %", "35 %"])
    of_ages = [
        variant(definition_id="OS_11", variant=f"{age}_v1", numerator=numerator, denominator=1000, conflicts=count)
        for age, count in (("ge75", conflicts), ("gt75", conflicts // 2))
    ]
    decided = [decision(definition_id="OS_11", variant="gt75_v1")]
    rows = published(made(world(contract), *of_ages, decided=decided), "cpom-indicateurs")["indicator"]
    found = rows.filter(pl.col("definition") == "OS_11 v2").row(0, named=True)
    assert (found["conflicts"], found["masked"]) == (told, hidden)
    assert set(rows.filter(pl.col("definition") != "OS_11 v2")["conflicts"]) <= {None}


def test_findings_are_numbered_the_gravest_first_and_said_in_french() -> None:
    facts = world(replace(with_series("OS_03_1_1", "douze", "12", "14", "16", "18", "20"), name="Clinique des Dunes"))
    rows = made(facts)["out_ars__cpom_finding"]
    assert rows["number"].to_list() == list(range(1, rows.height + 1))
    assert rows["severity"].to_list() == ["Bloquant", "Avertissement", "Avertissement"]
    assert rows["effect"][0] == "Cellule écartée"
    assert "« douze »" in rows["message"][0]


def test_the_calendar_of_the_campaign_stands_once_in_each_region() -> None:
    contracts = [SOUND, replace(sample_contract(3), finess_ej="310000019")]
    found = made(facts_of(exported(*contracts)))["out_ars__cpom_obligation"]
    common = found.filter(pl.col("finess_ej").is_null()).group_by("deadline_id").agg(pl.col("region").sort())
    assert set(map(tuple, common["region"])) == {tuple(sorted({region_of(EJ), region_of("310000019")}))}


def test_two_reports_of_one_recognition_may_be_due_on_one_day() -> None:
    report = {"recognition_id": "RC01", "finess_ej": EJ, "due_on": date(2026, 3, 31)}
    told = frame("recognition_report", *(report | {"data_year": year} for year in (2024, 2025)))
    rows = made(world(recognition_report=told))["out_ars__cpom_obligation"]
    ids = rows.filter(deadline_id="RC01")["obligation_id"].to_list()
    assert len(ids) == 2
    assert ids[1] == f"{ids[0]}/2"
    assert rows["obligation_id"].is_unique().all()


def test_money_is_in_cents_and_an_unknown_line_is_shown() -> None:
    facts = financial(("MIG", "H11", 12_50, False), ("MIG", "Z99", 1, False), ("MIG", None, 12_51, True))
    found = made(facts)["out_ars__cpom_financial_line"]
    assert found.select("code", "amount_cents", "is_known", "kind").rows() == [
        ("H11", 12_50, True, "Ligne"),
        ("Z99", 1, False, "Ligne"),
        (None, 12_51, True, "Total"),
    ]
    lost = financial(("AC SSR", "234", 5, False), ("AC SSR", "235", 7, False), ("AC SSR", None, None, True))
    errors = replace(lost, financial_line=lost.frame("financial_line").with_columns(error=pl.col("is_total")))
    shown = made(errors)["out_ars__cpom_financial_line"].select("kind", "amount_cents", "amount_text")
    assert shown.row(2) == ("Total recalculé", 12, "x"), "C12: an error is no total"
    assert made(lost)["out_ars__cpom_financial_line"]["amount_cents"].to_list() == [5, 7, None]
    subsidy = made()["out_ars__cpom_subsidy"].row(0, named=True)
    assert (subsidy["last_day"], subsidy["paid_cents"]) == (date(2029, 12, 31), 100_00)
    assert made()["out_ars__cpom_ceiling"]["cap_cents"].to_list() == [5 * 1_000_000]


def financial(*rows: tuple[str, str | None, int | None, bool]) -> Facts:
    """The sound world with a financial sheet: envelope, code, cents, is_total."""
    facts = world()
    sheet = facts.sheet.head(1).with_columns(sheet_id=pl.lit("F1"), annex=pl.lit("FINANCE"))
    told = [
        {"sheet_id": "F1", "envelope": e, "code": c, "amount_cents": a, "is_total": t, "amount_raw": "x", "cell": f"B{place}"}
        for place, (e, c, a, t) in enumerate(rows)
    ]
    lines = pl.DataFrame(told).match_to_schema(facts.frame("financial_line").schema, missing_columns="insert")
    return replace(facts, sheet=pl.concat([facts.sheet, sheet]), financial_line=lines)


def test_what_a_rule_holds_is_not_published_and_its_finding_is() -> None:
    facts = financial(("MIG", "H11", 100, False), ("MIG", None, 900, True), ("AC", "201", 7, False), ("AC", None, 7, True))
    found = made(facts)
    assert found["out_ars__cpom_financial_line"].select("number", "envelope").rows() == [(3, "AC"), (4, "AC")]
    assert "cpom.R41" in found["out_ars__cpom_finding"]["rule"].to_list()
    small = references()["insurance_income"].with_columns(income_cents=pl.lit(100, pl.Int64))
    over = made(world(insurance_income=small))
    assert over["out_ars__cpom_ceiling"].is_empty()
    assert "cpom.R50" in over["out_ars__cpom_finding"]["rule"].to_list()
    early = references()["notice_event"].with_columns(received_on=pl.lit(date(2025, 3, 5)))
    assert made(world(notice_event=early))["out_ars__cpom_notice"].is_empty()
    assert made()["out_ars__cpom_notice"].height == made()["out_ars__cpom_ceiling"].height == 1


def test_a_subsidy_whose_payment_is_held_says_so() -> None:
    without = references()["subsidy"].with_columns(amendment_id=pl.lit(None, pl.String))
    for facts, held in ((world(), False), (world(subsidy=without), True)):
        assert made(facts)["out_ars__cpom_subsidy"]["payment_held"].to_list() == [held]


def test_what_is_said_of_no_contract_in_particular_is_told_to_the_region() -> None:
    split = references()["emergency_region"].with_columns(amount_cents=pl.Series([71_00, 29_00]))
    found = made(world(emergency_region=split))
    told = found["out_ars__cpom_finding"].row(0, named=True)
    assert (told["rule"], told["finess_ej"], told["region"]) == ("cpom.R43", None, region_of(EJ))
    assert "71 %" in told["message"]
    assert found["out_ars__cpom_not_evaluable"].select("rule", "finess_ej").rows() == [("cpom.R52", None)]
    bare = made(facts_of(exported(SOUND)))["out_ars__cpom_not_evaluable"]
    assert {"cpom.R02", "cpom.R36", "cpom.R46"} <= set(bare["rule"])
    assert bare["reason"].str.len_chars().min() > 10


def test_a_number_of_no_region_is_given_to_nobody() -> None:
    contract = replace(SOUND, finess_ej="00A000012")
    found = made(facts_of(exported(contract)))
    assert found["out_ars__cpom_contract"].is_empty()
    assert OTHER not in str(references())


def test_the_same_arguments_make_the_same_tables() -> None:
    first, second = made(None, variant()), made(None, variant())
    assert all(first[name].equals(second[name]) for name in VIEWS)
