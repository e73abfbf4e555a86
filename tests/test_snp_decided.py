"""A person's decision over what the reconciliation proposes."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from snp_random import random_facts

from checks.snp.decided import DECIDED, DECISIONS, apply, proposed_due
from checks.snp.law import default_law
from checks.snp.outcome import LINES
from checks.snp.reconcile import reconcile

ON = date(2026, 3, 2)


def line(**cells: Any) -> pl.DataFrame:
    """One line that claims 25 € and is proposed to be paid."""
    known = {name: 0 for name, kind in LINES.items() if kind == pl.Int64} | {
        "firm": True,
        "unconfirmed": False,
        "live": True,
        "line_id": "a",
    }
    known |= {"outcome": "PAY", "claimed_cents": 2500, "tariff_cents": 2500, "entitled_cents": 2500, "payable_cents": 2500}
    known |= {"difference_cents": 2500, "version": "CYSTITE_2023", "bordereau_id": "b"}
    return pl.DataFrame([known | cells], schema=LINES)


REJECTED = {
    "outcome": "REJECT",
    "entitled_cents": 0,
    "payable_cents": 0,
    "rejected_cents": 2500,
    "difference_cents": 0,
}
ASKED = {"outcome": "ASK", "payable_cents": 0, "pending_cents": 2500, "potential_cents": 2500, "difference_cents": 0}


def decision(kind: str, amount: int | None = None, seen: tuple[str, int] = ("PAY", 2500), line_id: str = "a") -> pl.DataFrame:
    row = (line_id, kind, amount, "Pièce reçue", "agent", ON, 12, *seen)
    return pl.DataFrame([row], schema=DECISIONS, orient="row")


def decided(lines: pl.DataFrame, *decisions: pl.DataFrame) -> dict[str, Any]:
    return apply(lines, pl.concat([pl.DataFrame(schema=DECISIONS), *decisions])).row(0, named=True)


def test_a_line_without_a_decision_keeps_what_is_proposed() -> None:
    found = apply(line(), decision("reject", line_id="another"))
    assert found.select(LINES.names()).equals(line())
    assert found.row(0, named=True)["proposed_payable_cents"] == 2500
    assert found["decision"].to_list() == [None]
    assert found["contradicted"].to_list() == [False]


@pytest.mark.parametrize(
    ("kind", "amount", "before", "outcome", "payable", "rejected", "pending", "reduction", "difference"),
    [
        ("pay", 2500, REJECTED, "PAY", 2500, 0, 0, 0, 2500),
        ("pay", 2500, ASKED, "PAY", 2500, 0, 0, 0, 2500),
        ("adjust", 1000, {}, "ADJUST", 1000, 0, 0, 1500, 1000),
        ("pay", 1000, {}, "ADJUST", 1000, 0, 0, 1500, 1000),
        ("pay", 9900, {}, "PAY", 2500, 0, 0, 0, 2500),
        ("reject", None, {}, "REJECT", 0, 2500, 0, 0, 0),
        ("reject", None, {"paid_cents": 2500}, "REJECT", 0, 2500, 0, 0, -2500),
        ("ask", None, {}, "ASK", 0, 0, 2500, 0, 0),
        ("hold", None, REJECTED, "HOLD", 0, 0, 2500, 0, 0),
        ("pay", 2500, {"paid_cents": 2000, "paid_before_cents": 2000}, "PAY", 500, 0, 0, 2000, 500),
        ("pay", 2500, {"paid_cents": 2500}, "PAY", 2500, 0, 0, 0, 0),
    ],
)
def test_what_holds_is_what_the_person_decided(
    kind: str, amount: int | None, before: dict[str, Any], outcome: str, payable: int, rejected: int, pending: int,
    reduction: int, difference: int,
) -> None:  # fmt: skip
    found = decided(line(**before), decision(kind, amount))
    cents = (payable, rejected, pending, reduction, difference)
    assert found["outcome"] == outcome
    assert tuple(found[f"{name}_cents"] for name in ("payable", "rejected", "pending", "reduction", "difference")) == cents
    assert found["proposed_outcome"] == before.get("outcome", "PAY")


def test_new_facts_that_speak_against_a_decision_are_told_and_change_nothing() -> None:
    found = decided(line(**REJECTED), decision("pay", 2500, ("ASK", 0)))
    assert (found["outcome"], found["payable_cents"], found["contradicted"]) == ("PAY", 2500, True)


@pytest.mark.parametrize(
    ("now", "kind", "seen"),
    [(ASKED, "pay", ("ASK", 0)), (REJECTED, "reject", ("PAY", 2500)), ({"paid_cents": 2500}, "pay", ("PAY", 2500))],
)
def test_what_the_person_saw_or_decided_contradicts_nothing(now: dict[str, Any], kind: str, seen: tuple[str, int]) -> None:
    assert not decided(line(**now), decision(kind, 2500 if kind == "pay" else None, seen))["contradicted"]


@pytest.mark.parametrize(("unconfirmed", "kind", "firm"), [(False, "pay", True), (True, "pay", False), (False, "ask", False)])
def test_a_decision_stands_for_what_lacks_and_confirms_nothing(unconfirmed: bool, kind: str, firm: bool) -> None:
    """Of a line of unknown protocol: it has no tariff, which nobody could attest."""
    unknown = ASKED | {"tariff_cents": None, "entitled_cents": 0, "firm": False, "unconfirmed": unconfirmed}
    assert decided(line(**unknown), decision(kind, 2500 if kind == "pay" else None, ("ASK", 0)))["firm"] is firm


def test_a_line_of_a_superseded_bordereau_shows_the_decision_and_counts_as_before() -> None:
    found = decided(line(live=False), decision("reject"))
    assert (found["decision"], found["outcome"], found["payable_cents"]) == ("reject", "PAY", 2500)


@pytest.mark.parametrize("seed", [1, 2])
def test_cents_are_conserved_whatever_is_decided(seed: int) -> None:
    lines = reconcile(random_facts(400, seed, defects=0.4, per_bordereau=40), default_law(), ON).lines
    some = lines.filter(pl.col("claimed_cents") > 0).unique("line_id", keep="first", maintain_order=True).gather_every(2)
    kinds = pl.Series(["pay", "adjust", "reject", "ask", "hold"] * some.height).head(some.height)
    amount = pl.when(kinds.is_in(["pay", "adjust"])).then(pl.col("claimed_cents") // 2)
    decisions = some.select(
        "line_id", decision=kinds, amount_cents=amount, reason=pl.lit("m"), role=pl.lit("r"), decided_on=pl.lit(ON),
        position=pl.int_range(pl.len()), seen_outcome="outcome", seen_due_cents=proposed_due(),
    ).cast(DECISIONS)  # fmt: skip
    found = apply(lines, decisions)
    assert found.schema == DECIDED
    assert found.select("bordereau_id", "line_number").equals(lines.select("bordereau_id", "line_number"))
    parts = sum(pl.col(f"{name}_cents") for name in ("payable", "rejected", "pending", "reduction"))
    assert found.filter(pl.col("claimed_cents") != parts).is_empty()
    assert found["decision"].is_not_null().sum() >= some.height > 100
    assert not found["contradicted"].any()
