"""Forms and keys of identifiers: published numbers, fictional ones, and every way to be wrong."""

import polars as pl
import pytest

from connectors.synthetic import fictional_finess
from connectors.synthetic_references import PROFESSIONALS, STRUCTURES, rpps, siret, with_key
from contracts_schema import identifiers as ids


def told(expression: pl.Expr, *texts: str | None) -> list[object]:
    """What an expression over the column ``t`` says of each text."""
    return pl.DataFrame({"t": texts}, schema={"t": pl.String}).select(expression.alias("x"))["x"].to_list()


T = pl.col("t")


def luhn_by_hand(number: str) -> bool:
    """The key, as a schoolbook says it."""
    total = 0
    for place, digit in enumerate(reversed(number.replace("A", "1").replace("B", "2"))):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def test_the_key_of_a_finess_counts_the_letters_of_corsica_as_1_and_2() -> None:
    right = ["2A0000154", fictional_finess("99", 1), fictional_finess("2A99", 7), fictional_finess("2B99", 7)]
    assert told(ids.finess_key(T), *right) == [True] * 4
    assert told(ids.finess_key(T), "2A0000155", "2C0000154", "2A000015", "2A00001540", "A20000154", "", None) == [
        *[False] * 6,
        None,
    ]


@pytest.mark.parametrize(("kind", "numbers"), [
    ("siret", [place["siret"] for place in STRUCTURES] + [siret(n) for n in range(40)]),
    ("siren", [place["siret"][:9] for place in STRUCTURES]),
    ("rpps", [number for _, _, number, _ in PROFESSIONALS] + [rpps(n) for n in range(40)]),
    ("finess", [fictional_finess("99", n) for n in range(40)] + [fictional_finess("2A99", n) for n in range(40)]),
])  # fmt: skip
def test_every_wrong_last_digit_is_a_wrong_key(kind: str, numbers: list[str]) -> None:
    assert told(ids.key_is_right(kind, T), *numbers) == [True] * len(numbers)
    others = [number[:-1] + str(digit) for number in numbers for digit in range(10) if str(digit) != number[-1]]
    assert told(ids.key_is_right(kind, T), *others) == [False] * len(others)
    assert told(ids.well_formed(kind, T), *others) == [True] * len(others)
    assert all(luhn_by_hand(number) for number in numbers)


def test_a_siret_of_la_poste_may_have_digits_that_sum_to_a_multiple_of_five() -> None:
    assert told(ids.siret_key(T), "35600000049837", "35600000049838") == [True, False]
    assert told(ids.siret_key(T), "99900001149837") == [luhn_by_hand("99900001149837")]


def test_spaces_dots_and_case_do_not_make_another_number() -> None:
    assert told(ids.plain(T), " 999 000 011 00018 ", "2a 0000154", "99900000011", "  ", None) == [
        "99900001100018",
        "2A0000154",
        "99900000011",
        None,
        None,
    ]


def test_a_finess_without_its_key_is_completed_unless_it_may_have_lost_its_first_zero() -> None:
    whole = [fictional_finess("99", number) for number in range(200)] + ["2A0000154"]
    found = told(ids.finess_completed(T), *(number[:8] for number in whole))
    sure = [not luhn_by_hand("0" + number[:8]) if number[1].isdigit() else True for number in whole]
    assert [value is not None for value in found[:-1]] == sure[:-1]
    assert {value for value, number in zip(found, whole, strict=True) if value is not None and value != number} == set()
    assert found[-1] == "2A0000154"
    assert told(ids.finess_completed(T), "990000017", "9900000", "99A00001", None) == [None] * 4


def test_a_nir_is_told_by_its_key_with_corsica_and_a_rpps_is_none() -> None:
    def nir(body: str) -> str:
        number = int(body.replace("2A", "19").replace("2B", "18"))
        return f"{body}{97 - number % 97:02d}"

    numbers = [nir("2550899168025"), nir("199022A001001"), nir("299022B001001")]
    assert told(ids.is_nir(T), *numbers) == [True] * 3
    others = [numbers[0][:-2] + "98", numbers[0][:-1], "99900000011", "99900001100018", None]
    assert told(ids.is_nir(T), *others) == [False] * 5


def test_a_key_is_made_as_it_is_checked() -> None:
    assert [luhn_by_hand(with_key(f"{number:08d}")) for number in range(0, 10**8, 7_654_321)] == [True] * 14
