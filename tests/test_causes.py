"""Why a published figure changed: the states looked at, the parts of each cause, and what masks keep hidden on the way."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import polars as pl
import pytest

from contracts_schema.products import Table, product_of, products
from flows.causes import HIDDEN, SHOWN, Chain, _figures, parts
from flows.changed_rows import shaped
from flows.replay import Cause, State, halves

TABLES = {table.name: table for table in product_of("ars-99", "cpom-indicateurs").tables}
INDICATOR, FINDING = TABLES["indicator"], TABLES["finding"]


def cause(name: str) -> dict[str, Any]:
    return {"kind": "declaration", "position": None, "text": name}


def chain(*values: Any, number: bool = True) -> list[tuple[str, Any, Any, Any]]:
    """The parts of a figure that went through these values, led by a, b, c…"""
    led = tuple((cause(name),) for name in "abcdefgh"[: len(values) - 1])
    found = parts(Chain(values, led, number))
    return [("".join(c["text"] for c in part["causes"]), part["before"], part["after"], part["contribution"]) for part in found]


# --- which states are looked at


@pytest.mark.parametrize("seed", range(5))
def test_halving_finds_every_step_of_what_only_goes_forward_and_looks_at_few_states(seed: int) -> None:
    chance = Random(seed)
    states = sorted(chance.choices(range(4), k=300))
    looked = set[int]()

    def same(one: int, other: int) -> bool:
        looked.update((one, other))
        return states[one] == states[other]

    found = halves(len(states), same)
    assert found == [(one, other) for one, other in pairwise(range(len(states))) if states[one] != states[other]]
    assert len(looked) <= 2 + 9 * len(found)


def test_what_changed_and_came_back_is_no_change_and_a_way_of_one_point_has_no_step() -> None:
    assert halves(3, lambda one, other: one % 2 == other % 2) == []
    assert halves(1, lambda _one, _other: False) == []


def test_past_the_most_states_the_rest_is_told_together_without_a_gap() -> None:
    found = halves(1000, lambda _one, _other: False, most=10)
    assert [other for _, other in found[:-1]] == [one for one, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (0, 999)
    assert len(found) == 9


# --- the parts


def test_the_parts_of_a_number_sum_to_its_change_and_steps_that_did_nothing_are_not_told() -> None:
    assert chain(10, 10, 13, 11) == [("b", 10, 13, 3), ("c", 13, 11, -2)]
    assert chain(None, Decimal("1.50"), None) == [("a", None, Decimal("1.50"), Decimal("1.50")),
                                                  ("b", Decimal("1.50"), None, Decimal("-1.50"))]  # fmt: skip


def test_a_text_is_told_from_step_to_step() -> None:
    assert chain("Écart", "Masqué", "Masqué", "Concordant", number=False) == [
        ("a", "Écart", "Masqué", None), ("c", "Masqué", "Concordant", None),
    ]  # fmt: skip


def test_steps_between_which_a_figure_would_be_hidden_are_told_together() -> None:
    assert chain(50, HIDDEN, HIDDEN, 60, 61) == [("abc", 50, 60, 10), ("d", 60, 61, 1)]


def test_a_figure_hidden_at_an_end_has_no_part_in_numbers_whatever_was_shown_on_the_way() -> None:
    assert chain(50, 30, HIDDEN) == [("b", SHOWN, HIDDEN, None)]
    assert chain(HIDDEN, 30, 40) == [("a", HIDDEN, SHOWN, None)]


# --- the figures of a table


def state(table: Table, *rows: dict[str, Any], led: Sequence[str | Cause] = ()) -> State:
    causes = tuple(one if isinstance(one, Cause) else Cause(cause(one)) for one in led)
    return State({table.name: shaped(table, pl.DataFrame(list(rows)) if rows else None)}, causes)


def value(**more: Any) -> dict[str, Any]:
    return {"finess_ej": "990000010", "indicator_id": "OS_13_1_1", "year": 2024, "role": "Initiale", "result": "Écart",
            "masked": False, "numerator": 40, "denominator": 90, **more}  # fmt: skip


def test_what_a_mask_left_empty_is_hidden_and_what_is_not_there_is_absent() -> None:
    hidden = value(numerator=None, masked=True, result="Masqué")
    [result, numerator] = _figures(INDICATOR, [state(INDICATOR, value()), state(INDICATOR, hidden, led="a")])
    assert (result["figure"], result["before"], result["after"]) == ("result", "Écart", "Masqué")
    assert (numerator["before"], numerator["after"], numerator["change"]) == (40, HIDDEN, None)
    assert [part["contribution"] for part in numerator["parts"]] == [None]
    kept_back = value(numerator=None, denominator=None, result="Masqué")  # by the product of the PMSI: no row says masked
    found = {
        one["figure"]: one["after"] for one in _figures(INDICATOR, [state(INDICATOR), state(INDICATOR, kept_back, led="a")])
    }
    assert found == {"ligne": "présente"}
    told = {one["figure"]: one for one in _figures(INDICATOR, [state(INDICATOR, value()), state(INDICATOR, led="a")])}
    assert (told["ligne"]["after"], told["numerator"]["change"], told["denominator"]["after"]) == ("absente", -40, None)


def test_findings_are_followed_by_what_they_are_about_when_a_new_one_shifts_their_numbers() -> None:
    def finding(number: int, rule: str, **more: Any) -> dict[str, Any]:
        return {"finess_ej": "990000010", "number": number, "rule": rule, "message": "m", **more}

    before = state(FINDING, finding(1, "cpom.R18"), finding(2, "cpom.R27"), finding(3, "cpom.R27"))
    after = state(FINDING, finding(1, "cpom.R05"), finding(2, "cpom.R18"), finding(3, "cpom.R27"),
                  finding(4, "cpom.R27", message="n"), led="a")  # fmt: skip
    found = [
        (one["keys"]["rule"], one["keys"].get("#"), one["figure"], one["after"]) for one in _figures(FINDING, [before, after])
    ]
    assert found == [("cpom.R05", None, "ligne", "présente"), ("cpom.R27", 1, "message", "n")]


def test_of_deliveries_told_together_each_row_has_those_that_touch_it() -> None:
    led = [Cause(cause(name), {"finess_ej": frozenset({finess})}) for name, finess in (("a", "990000010"), ("b", "990000028"))]
    before = state(INDICATOR, value(), value(finess_ej="990000028"), value(finess_ej="990000036"))
    after = state(INDICATOR, value(numerator=41), value(finess_ej="990000028", numerator=42),
                  value(finess_ej="990000036", numerator=43), led=led)  # fmt: skip
    told = [
        [one["text"] for part in figure["parts"] for one in part["causes"]] for figure in _figures(INDICATOR, [before, after])
    ]
    assert told == [["a"], ["b"], ["a", "b"]], "where none says that it touches the row, all are told"


def test_where_keys_only_number_the_rows_the_contract_says_what_tells_them_apart() -> None:
    for product in products().values():
        for table in product.tables:
            columns = {column.name for column in table.columns}
            assert set(table.named_by) <= columns
            assert bool(table.named_by) == bool({"number", "rank"} & set(table.keys)), f"{product.id} {table.name}"
