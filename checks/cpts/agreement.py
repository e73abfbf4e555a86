"""What a contract of CPTS is worth, year of contract by year of contract: operating grant, fixed and variable parts, proration.

A payment refers to a contract, a mission, a part and a year of the contract, never to a civil year. Every amount is a
simulation until the payer attests its figures; a contract of a type without parameters (ITAOS) is listed and not computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from checks.cds.figures import Figure, Figures
from contracts_schema import cpts_facts
from contracts_schema.cpts_facts import GRANT
from contracts_schema.parameters import Attestation
from contracts_schema.parameters.record import STATUSES

COMPUTED = "ACI_CPTS"
BOUNDS = (40_000, 80_000, 175_000)
JOINED_BEFORE = date(2021, 12, 31)
"""A CPTS that joined before that day (not on it) has the boosted operating grant (trade press)."""
CONTRACTS = pl.Schema(
    {
        "contract_id": pl.String(),
        "kind": pl.String(),
        "siret": pl.String(),
        "finess_ej": pl.String(),
        "population": pl.Int64(),
        "tier": pl.String(),
        "signed_on": pl.Date(),
        "territory": pl.String(),
        "region": pl.String(),
    }
)
"""``tier``: as the contract says it; the FINESS is never required, a CPTS may have none. ``region``: of the ARS, INSEE code."""
MISSIONS = pl.Schema(
    {
        "contract_id": pl.String(),
        "mission": pl.String(),
        "started_on": pl.Date(),
        "deployed_on": pl.Date(),
        "achieved_percent": pl.Int64(),
        "paid_first_cents": pl.Int64(),
    }
)
"""``achieved_percent``: of the variable part, by the indicators of the contract itself; null: not known. ``paid_first_cents``:
what was paid at the start of the mission."""
AMOUNTS = pl.Schema(
    {
        "contract_id": pl.String(),
        "contract_year": pl.Int64(),
        "tier": pl.String(),
        "mission": pl.String(),
        "part": pl.String(),
        "full_cents": pl.Int64(),
        "due_days": pl.Int64(),
        "year_days": pl.Int64(),
        "amount_cents": pl.Int64(),
        "first_payment_cents": pl.Int64(),
        "balance_cents": pl.Int64(),
        "status": pl.String(),
        "firm": pl.Boolean(),
        "parameters": pl.String(),
        "reason_fr": pl.String(),
    }
)
Line = dict[str, object]
PARTS = ("FIXE", "VARIABLE", "SNP")


def tiers(on: date, attested: Iterable[Attestation] = ()) -> tuple[tuple[tuple[int, str], ...], Figure]:
    """Where each tier begins, and the policy of the bounds (1: a population equal to a bound is in the upper tier)."""
    law = Figures(on, tuple(attested))
    found = [(law.one("cpts.tier.population_from", tier=tier).value or 0, tier) for tier in cpts_facts.TIERS]
    return tuple(found), law.one("cpts.tier.lower_bound_included")


def tier_of(population: pl.Expr, starts: Iterable[tuple[int, str]], included: bool) -> pl.Expr:
    """The tier of a population at the date of the contract; null when it is not known."""
    found: Any = pl.when(population.is_null()).then(pl.lit(None, pl.String))
    for start, tier in sorted(starts, reverse=True):
        inside = population >= start if included or start == 0 else population > start
        found = found.when(inside).then(pl.lit(tier))
    told: pl.Expr = found.otherwise(pl.lit(None, pl.String))
    return told


@dataclass(frozen=True)
class Year:
    """A year of a contract: from its anniversary to the day before the next."""

    number: int
    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days


def year_of(signed_on: date, number: int) -> Year:
    """The year of a contract, from 1. A contract of 29 February has its anniversary on 1 March of common years."""
    return Year(number, _anniversary(signed_on, number - 1), _anniversary(signed_on, number))


def _anniversary(signed_on: date, years: int) -> date:
    try:
        return signed_on.replace(year=signed_on.year + years)
    except ValueError:
        return date(signed_on.year + years, 3, 1)


def amounts(contracts: pl.DataFrame, missions: pl.DataFrame, number: int, attested: Iterable[Attestation] = ()) -> pl.DataFrame:
    """``AMOUNTS`` of a year of contract: one row for the operating grant, one a mission and part that the law knows.

    The fixed part is paid for the days from the start of the mission to the anniversary, a share of it at the start; the
    variable part by what the contract says was achieved. Contracts of another type than the ACI give no row.
    """
    own, rows = tuple(attested), []
    by_contract = missions.partition_by("contract_id", as_dict=True)
    for contract in contracts.filter(pl.col("kind") == COMPUTED, pl.col("signed_on").is_not_null()).iter_rows(named=True):
        year = year_of(contract["signed_on"], number)
        law = Figures(year.start, own)
        tier = tier_at_signature(contract, own)
        rows.append(_grant(contract, tier, year, law))
        share = law.one("cpts.fixed_part.advance_percent")
        for mission in by_contract.get((contract["contract_id"],), missions.clear()).iter_rows(named=True):
            parts = [part for part in PARTS if _exists(mission["mission"], part, tier)]
            rows += [_part(contract, tier, year, law, share, mission, part) for part in parts]
    return pl.DataFrame(rows, schema=AMOUNTS, orient="row")


def tier_at_signature(contract: Line, own: tuple[Attestation, ...], *, told: bool = True) -> str | None:
    """That of the contract (when ``told``), else that of its population on the day of signature; None when not known."""
    if told and contract["tier"] is not None:
        return str(contract["tier"]) if contract["tier"] in cpts_facts.TIERS else None
    if not isinstance(contract["signed_on"], date):
        return None
    starts, policy = tiers(contract["signed_on"], own)
    row = pl.DataFrame({"p": [contract["population"]]}, schema={"p": pl.Int64})
    found: str | None = row.select(tier_of(pl.col("p"), starts, policy.value == 1)).item()
    return found


def _exists(mission: str, part: str, tier: str | None) -> bool:
    if tier is None or mission not in cpts_facts.missions():
        return False
    return part != "SNP" or mission == "ACCES"


def _grant(contract: Line, tier: str | None, year: Year, law: Figures) -> tuple[object, ...]:
    if tier is None:
        unknown = Figure(None, "missing", "palier inconnu")
        return _row(contract, year, None, GRANT, "FIXE", None, None, None, None, (unknown,))
    grant, boost = law.one("cpts.operating_grant", tier=tier), law.one("cpts.operating_boost")
    signed = contract["signed_on"]
    boosted = isinstance(signed, date) and signed < JOINED_BEFORE and boost.value is not None
    value = grant.value if grant.value is None or not boosted else _half_up(grant.value * (boost.value or 100), 100)
    used = (grant, boost) if boosted else (grant,)
    return _row(contract, year, tier, GRANT, "FIXE", value, year.days, value, None, used)


def _part(
    contract: Line,
    tier: str | None,
    year: Year,
    law: Figures,
    share: Figure,
    mission: dict[str, object],
    part: str,
) -> tuple[object, ...]:
    full = law.one("cpts.mission_amount", tier=str(tier), mission=str(mission["mission"]), part=part)
    started, achieved = mission["started_on"], mission["achieved_percent"]
    days = max(0, (year.end - max(year.start, started)).days) if isinstance(started, date) else None
    amount, first = None, None
    if full.value is not None and days is not None:
        due = _half_up(full.value * days, year.days)
        if part == "VARIABLE":
            amount = _half_up(full.value * days * achieved, 100 * year.days) if isinstance(achieved, int) else None
        else:
            amount = due
        if part == "FIXE" and share.value is not None:
            first = _half_up(full.value * days * share.value, 100 * year.days)
    used = (full, share) if part == "FIXE" else (full,)
    return _row(contract, year, tier, str(mission["mission"]), part, full.value, days, amount, first, used)


def _row(
    contract: Line, year: Year, tier: str | None, mission: str, part: str, full: int | None, days: int | None,
    amount: int | None, first: int | None, used: tuple[Figure, ...],
) -> tuple[object, ...]:  # fmt: skip
    rank = max(figure.rank for figure in used)
    status = STATUSES[rank]
    firm = status in ("official", "attested") and amount is not None
    told = " ; ".join(figure.told for figure in used)
    balance = amount - first if amount is not None and first is not None else None
    reason = (
        "ferme" if firm else "non calculable : une valeur n'est pas connue" if amount is None else "simulation, sous réserve"
    )
    of = (contract["contract_id"], year.number, tier, mission, part)
    return (*of, full, days, year.days, amount, first, balance, status, firm, told, reason)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def side_by_side() -> pl.DataFrame:
    """What the claimed source and the others say of each point: point, label_fr, claimed, elsewhere, elsewhere_source (its
    title), default; and whether the claimed word is ever a parameter (never)."""
    named = [
        replace(one, elsewhere_source=cpts_facts.titles().get(one.elsewhere_source or "")) for one in cpts_facts.conflicts()
    ]
    rows = [(*vars(one).values(), False) for one in named]
    names = ("point", "label_fr", "claimed", "elsewhere", "elsewhere_source", "default")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | {"usable": pl.Boolean}, orient="row")
