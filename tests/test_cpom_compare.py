"""Declared beside recomputed: four statuses on their very bounds, the decided variant alone, and each reason not to compare."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from cpom_world import COUNTS, EJ, ON, OTHER, RATES, SOUND, judged, references, with_series, world

from checks.cpom.compare import DEFINITION, RECOMPUTED, Comparison, compare
from checks.cpom.facts import Facts, facts_of
from checks.cpom.law import default_law
from connectors.ecars import NAMES, read_ecars
from connectors.sheet_batch import sheet_reader
from connectors.synthetic_bordereaux import Cell, Value
from connectors.synthetic_ecars import Contract, workbook

ET1, ET2 = "990000101", "990000119"


def variant(**columns: Any) -> dict[str, Any]:
    """One recomputed row: OS_13 v1 of 2024, 205 of 1,000."""
    return {
        "finess": EJ, "finess_ej": EJ, "exit_year": 2024, "definition_id": "OS_13", "definition_version": 2, "variant": "v1",
        "numerator": 205, "denominator": 1000, "population": 1000, "askable": 1000, "stated": 1000, "conflicts": 0,
        "transmission_period": 12, "transmission_id": "a" * 64, "provisional": False,
    } | columns  # fmt: skip


def decision(**columns: Any) -> dict[str, Any]:
    told = {
        "finess_ej": EJ,
        "definition_id": "OS_13",
        "variant": "v1",
        "tolerance_hundredths": None,
        "reference": "Avis",
        "position": 4,
    }
    return told | columns


def compared(
    *rows: dict[str, Any],
    decided: list[dict[str, Any]] | None = None,
    contract: Contract = SOUND,
    disputed: pl.DataFrame | None = None,
) -> Comparison:
    told = pl.DataFrame([decision()] if decided is None else decided, DEFINITION)
    return compare(judged(world(contract)), pl.DataFrame(list(rows), RECOMPUTED), told, default_law(), disputed)


def declared(text: str, code: str = "OS_13_1_1") -> Contract:
    rest = RATES[1:] if code != "OS_09_1_1" else COUNTS[1:]
    return with_series(code, text, *rest)


def read(contract: Contract) -> Facts:
    """The facts of a workbook, its cells as a spreadsheet stores them."""
    with sheet_reader() as reader:
        export = read_ecars(workbook(contract), "ch.xlsx", ON, reader)
    return facts_of({part: getattr(export, part) for part in NAMES} | references())


def of(found: Comparison, code: str = "OS_13_1_1") -> dict[str, Any]:
    return found.compared.filter(pl.col("code") == code).row(0, named=True)


@pytest.mark.parametrize(
    ("text", "numerator", "denominator", "status"),
    [
        ("20,5 %", 2045, 10000, "concordant"),
        ("20,5 %", 2055, 10000, "ecart_tolere"),
        ("20,5 %", 20549, 100000, "concordant"),
        ("20 %", 195, 1000, "concordant"),
        ("20 %", 205, 1000, "ecart_tolere"),
        ("20 %", 220, 1000, "ecart_tolere"),
        ("20 %", 221, 1000, "ecart"),
        ("20 %", 180, 1000, "ecart_tolere"),
        ("20 %", 179, 1000, "ecart"),
        ("33,33 %", 1, 3, "non_verifiable"),
        ("33,33 %", 10, 30, "concordant"),
    ],
)
def test_the_status_changes_on_the_very_bound(text: str, numerator: int, denominator: int, status: str) -> None:
    size = {"numerator": numerator, "denominator": denominator}
    found = of(compared(variant(**size), contract=declared(text)))
    assert found["status"] == status, found["message_fr"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"denominator": 29, "numerator": 6}, "DENOMINATEUR_FAIBLE"),
        ({"askable": 0, "denominator": 0, "numerator": 0, "stated": 0}, "CHAMP_ABSENT"),
        ({"stated": 799}, "COMPLETUDE"),
        ({"stated": 800}, None),
        ({"finess_ej": None}, "FINESS_NON_RESOLU"),
        ({"finess_ej": OTHER}, "FINESS_NON_RESOLU"),
        ({"exit_year": 2025}, "FINESS_NON_RESOLU"),
    ],
)
def test_each_reason_not_to_compare(change: dict[str, Any], reason: str | None) -> None:
    found = of(compared(variant(**change)))
    assert found["reason"] == reason
    assert (found["status"] == "non_verifiable") == (reason is not None)
    assert (found["gap_hundredths"] is None) == (reason is not None)


@pytest.mark.parametrize(
    ("low", "absent", "blank", "torn", "undecided", "reason"),
    [
        # denominator 29; field in no stay; completeness 79 %; EJ in doubt; no variant named
        ("x", ".", "x", "x", "x", "DENOMINATEUR_FAIBLE"),
        (".", "x", "x", "x", "x", "CHAMP_ABSENT"),
        ("x", "x", "x", "x", "x", "CHAMP_ABSENT"),  # no stay has the field: there is no denominator to be small
        (".", ".", "x", "x", "x", "COMPLETUDE"),
        (".", ".", ".", "x", "x", "FINESS_NON_RESOLU"),
        (".", ".", ".", ".", "x", "DEFINITION_NON_CONVENUE"),
        (".", ".", ".", ".", ".", None),
    ],
)
def test_of_several_reasons_the_first_in_the_order_of_evaluation_is_told(
    low: str, absent: str, blank: str, torn: str, undecided: str, reason: str | None
) -> None:
    size: dict[str, Any] = {"denominator": 29, "numerator": 6} if low == "x" else {}
    size |= {"stated": 790} if blank == "x" else {}
    size |= {"askable": 0, "denominator": 0, "numerator": 0, "stated": 0} if absent == "x" else {}
    doubt = pl.DataFrame({"finess_ej": [EJ], "year": [2024]}) if torn == "x" else None
    found = compared(variant(**size), decided=[] if undecided == "x" else None, disputed=doubt)
    assert of(found)["reason"] == reason


def test_the_reason_of_all_variants_is_told_when_none_is_named_and_all_have_one() -> None:
    low = {"denominator": 29, "numerator": 6}
    rows = (variant(stated=790), variant(variant="v2_overnight", **low))
    assert of(compared(*rows, decided=[]))["reason"] == "DENOMINATEUR_FAIBLE"


def test_without_a_decision_every_variant_is_shown_and_none_judges() -> None:
    found = compared(variant(), variant(variant="v2_overnight", numerator=900), decided=[])
    assert (of(found)["status"], of(found)["reason"]) == ("non_verifiable", "DEFINITION_NON_CONVENUE")
    assert found.context.filter(pl.col("definition_id") == "OS_13")["variant"].to_list() == ["v1", "v2_overnight"]
    assert found.context["rate_hundredths"].to_list() == [2050, 9000]


def test_the_decision_of_the_establishment_passes_before_the_general_one_and_the_latest_before_the_others() -> None:
    rows = [variant(), variant(variant="v2_overnight", numerator=900)]
    general = decision(finess_ej=None, position=9)
    own = [general, decision(variant="v2_overnight", position=2), decision(variant="v1", position=1)]
    assert of(compared(*rows, decided=own))["variant"] == "v2_overnight"
    assert of(compared(*rows, decided=[general]))["variant"] == "v1"
    other = [decision(finess_ej=OTHER)]
    assert of(compared(*rows, decided=other))["reason"] == "DEFINITION_NON_CONVENUE"


def test_a_decided_tolerance_takes_the_place_of_the_default_one() -> None:
    size = {"numerator": 230}
    assert of(compared(variant(**size)))["status"] == "ecart"
    wide = of(compared(variant(**size), decided=[decision(tolerance_hundredths=250)]))
    assert (wide["status"], wide["tolerance_hundredths"], wide["decision_position"]) == ("ecart_tolere", 250, 4)


def test_establishments_of_one_legal_entity_are_added_before_the_rate() -> None:
    rows = [
        variant(finess=ET1, numerator=100, denominator=900),
        variant(finess=ET2, numerator=105, denominator=100, transmission_id="b" * 64),
    ]
    found = of(compared(*rows))
    assert (found["numerator"], found["denominator"], found["recomputed_hundredths"]) == (205, 1000, 2050)
    assert found["finess"] == f"{ET1} {ET2}"
    assert len(found["transmissions"].split()) == 2
    late = of(compared(rows[0], rows[1] | {"transmission_period": 9, "provisional": True}))
    assert (late["transmission_period"], late["provisional"]) == (9, True)


def test_what_no_pmsi_gives_is_said_and_what_is_not_read_yet_too() -> None:
    found = compared(variant(), contract=with_series("OS_14_1_1", *COUNTS)).compared
    reasons = dict(found.select("code", "reason").rows())
    assert reasons["OS_03_1_1"] == "DECLARATIF_SEUL"
    assert reasons["OS_14_1_1"] == reasons["OS_09_1_1"] == reasons["1_1"] == "CHAMP_ABSENT"
    assert found.height == found.select("finess_ej", "annex", "code").n_unique(), "one baseline an indicator"


@pytest.mark.parametrize(
    ("text", "counted", "status"),
    [
        ("500", 200, "concordant"),
        ("200", 200, "concordant"),
        ("195", 200, "ecart_tolere"),
        ("190", 200, "ecart_tolere"),  # 5 % of 200 is 10, included
        ("189", 200, "ecart"),
        ("35", 40, "ecart_tolere"),  # 5 % of 40 is 2: 5 units, included
        ("34", 40, "ecart"),
        ("0", 5, "ecart_tolere"),
    ],
)
def test_a_lower_bound_is_broken_from_below_only_and_by_more_than_the_greater_tolerance(
    text: str, counted: int, status: str
) -> None:
    row = variant(definition_id="OS_09", variant="lower", numerator=counted, denominator=None)
    told = [decision(definition_id="OS_09", variant="lower")]
    found = of(compared(row, decided=told, contract=declared(text, "OS_09_1_1")), "OS_09_1_1")
    assert found["status"] == status, found["message_fr"]
    assert "minimum" in found["message_fr"]


def test_the_declared_text_stays_beside_what_is_recomputed_with_its_cell() -> None:
    found = of(compared(variant(numerator=300), contract=declared("20,5 %")))
    assert (found["declared_text"], found["status"]) == ("20,5 %", "ecart")
    assert found["message_fr"] == "déclaré 20,5 %, recalculé 30 % (variante v1) : écart -9,5 points, tolérance 2 points"
    assert found["sha256"]
    assert found["cell"]


def test_the_trajectory_sets_each_target_beside_its_year_and_what_is_already_reached_is_told() -> None:
    found = compared(variant(numerator=310), variant(exit_year=2025, numerator=200), variant(exit_year=2026, stated=1))
    told = found.trajectory.filter(pl.col("code") == "OS_13_1_1")
    assert told.select("year", "target_hundredths", "recomputed_hundredths", "reached").rows()[:3] == [
        (2024, 2050, 3100, True),
        (2025, 2250, 2000, False),
        (2026, 2450, None, None),
    ]
    assert found.reached["code"].to_list() == ["OS_13_1_1"]
    assert "(31) atteint déjà la cible 2029 (30,5)" in found.reached["message_fr"].item()
    assert compared(variant(numerator=304)).reached.is_empty()
    cut = with_series("OS_13_1_1", *RATES[:5], None)
    assert compared(variant(numerator=310), contract=cut).reached.is_empty(), "no target of the last year to be reached"


@pytest.mark.parametrize(
    ("cell", "first", "last", "beyond"),
    [
        # the declared figure stands for [low, high): of 1,000,000 stays, the first and last numerators inside, and the next
        ("12,5 %", 124_500, 125_499, 125_500),
        ("12,50 %", 124_950, 125_049, 125_050),
        ("12 %", 115_000, 124_999, 125_000),
        (Cell("p", "0.125"), 124_500, 125_499, 125_500),
        (Cell("p", "0.12"), 115_000, 124_999, 125_000),
        (Cell("p", "0.12500000000000003"), 124_500, 125_499, 125_500),
        (Decimal("12.5"), 124_500, 125_499, 125_500),
    ],
)
def test_a_declared_figure_stands_for_what_rounds_to_it(cell: Value, first: int, last: int, beyond: int) -> None:
    found = judged(read(with_series("OS_13_1_1", cell, *RATES[1:])))
    decided, size = pl.DataFrame([decision()], DEFINITION), 1_000_000
    told = {}
    for numerator in (first - 1, first, last, beyond):
        row = variant(numerator=numerator, denominator=size, population=size, askable=size, stated=size)
        told[numerator] = of(compare(found, pl.DataFrame([row], RECOMPUTED), decided, default_law()))["status"]
    assert list(told.values()) == ["ecart_tolere", "concordant", "concordant", "ecart_tolere"]


def test_a_missing_value_is_not_compared() -> None:
    found = compared(variant(), contract=replace(declared("NC")))
    assert found.compared.filter(pl.col("code") == "OS_13_1_1").is_empty()


def test_nothing_recomputed_leaves_everything_unverifiable() -> None:
    found = compared()
    assert found.compared["status"].unique().to_list() == ["non_verifiable"]
    assert found.context.is_empty()
    assert found.reached.is_empty()
