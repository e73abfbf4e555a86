"""A small sound world for the tests of the CPOM: one contract with every reference table, that breaks no rule."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl

from checks.cpom.facts import Facts, facts_of
from checks.cpom.judge import Judgement, judge
from checks.cpom.law import default_law
from connectors.ecars import NAMES, Export, read_ecars
from connectors.synthetic import fictional_finess
from connectors.synthetic_bordereaux import Value
from connectors.synthetic_ecars import Contract, canonical
from contracts_schema.cpom_frames import schema

EJ, ET, OTHER = fictional_finess(number=7), fictional_finess(number=700_001), fictional_finess(number=8)
ON = date(2025, 8, 1)
AT = datetime(2025, 8, 1, 8, tzinfo=UTC)
START = date(2020, 1, 1)
COUNTS: list[Value] = [Decimal(number) for number in (10, 12, 14, 16, 18, 20)]
RATES: list[Value] = [f"{number},5 %" for number in (20, 22, 24, 26, 28, 30)]
SOUND = Contract(
    EJ,
    "CH FICTIF DU SABLE",
    {
        "CT_02_1_1": COUNTS, "CT_04_1_1": COUNTS, "OS_01_1_1": RATES, "OS_03_1_1": COUNTS, "OS_06_1_1": COUNTS,
        "OS_09_1_1": COUNTS, "OS_11_1_1": RATES, "OS_13_1_1": RATES,
    },
    {
        "1_1": ["10 / cardiologie", "12 / cardiologie", "14 / cardiologie", "16 / cardiologie"], "3_2": RATES[:4],
        "4_3": RATES[:4], "4_5": COUNTS[:4], "4_6": COUNTS[:4], "5_1": ["4 | 6", "5 | 7", "6 | 8", "7 | 9"],
    },
)  # fmt: skip


def frame(name: str, *rows: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of that kind from rows that give the columns they know."""
    columns = schema(name)
    return pl.DataFrame({column: [row.get(column) for row in rows] for column in columns}, schema=columns)


@cache
def references() -> dict[str, pl.DataFrame]:
    """Every reference and follow-up table of the sound contract."""
    held = {"valid_from": START}
    chosen = [("STRAT", code) for code in SOUND.chosen] + [("HPR", code) for code in SOUND.hpr or {}]
    entered = datetime(2025, 7, 10, 9, tzinfo=UTC)
    return {
        "legal_entity": frame("legal_entity", {"finess_ej": EJ, "legal_name": "C.H. fictif du Sable", **held}),
        "establishment": frame("establishment", {"finess_et": ET, "finess_ej": EJ, **held}),
        "hospital_group": frame("hospital_group", {"finess_ej": EJ, "hospital_group": "GHT fictif", **held}),
        "hpr_label": frame("hpr_label", {"finess_ej": EJ, **held}),
        "authorisation": frame(
            "authorisation", *({"finess_et": ET, "activity": name, **held} for name in ("HAD", "CHIRURGIE", "MEDECINE"))
        ),
        "activity": frame("activity", {"finess_ej": EJ, "activity": "IMAGERIE_MAMMAIRE", "present": True, **held}),
        "entry": frame(
            "entry",
            *({"finess_ej": EJ, "annex": annex, "code": code, "chosen": True, "entered_at": entered} for annex, code in chosen),
        ),
        "validated_choice": frame(
            "validated_choice",
            *({"finess_ej": EJ, "annex": annex, "code": code, "validated_on": date(2025, 7, 28)} for annex, code in chosen),
        ),
        "amendment": frame("amendment", {"amendment_id": "AV1", "finess_ej": EJ, "annex": None, "signed_on": date(2025, 3, 1)}),
        "smr_base": frame("smr_base", {"finess_ej": EJ, "year": 2025, "base_cents": 1_000_000_00, "amount_cents": 750_000_00}),
        "emergency_region": frame(
            "emergency_region",
            {"year": 2025, "part": "DGOS", "amount_cents": 70_00},
            {"year": 2025, "part": "OCCITANIE", "amount_cents": 30_00},
        ),
        "subsidy": frame(
            "subsidy",
            {"subsidy_id": "S1", "finess_ej": EJ, "fund": "FMIS", "notified_on": date(2025, 3, 3), "amendment_id": "AV1"},
        ),
        "payment": frame("payment", {"subsidy_id": "S1", "paid_on": date(2025, 6, 1), "paid_cents": 100_00}),
        "recognition_report": frame(
            "recognition_report",
            {"recognition_id": "RC13", "finess_ej": EJ, "data_year": 2025, "due_on": date(2026, 3, 31)},
        ),
        "profile": frame("profile", {"finess_ej": EJ, "profile": "PLURI", **held}),
        "annex": frame(
            "annex",
            *(
                {"finess_ej": EJ, "annex": name, "signed_on": date(2025, 6, 1)}
                for name in ("STRATEGIQUE", "RECONNAISSANCES", "USLD")
            ),
        ),
        "signatory": frame(
            "signatory",
            *({"finess_ej": EJ, "annex": "USLD", "role": role} for role in ("ARS", "ETABLISSEMENT", "CONSEIL_DEPARTEMENTAL")),
        ),
        "insurance_income": frame(
            "insurance_income", {"finess_ej": EJ, "year": 2024, "income_cents": 1_000_000_00, "closed": True}
        ),
        "notice_event": frame(
            "notice_event",
            notice("NOTIFICATION", date(2025, 3, 1), received_on=date(2025, 3, 4)),
            notice("PENALITE", date(2025, 4, 5), amount_cents=10_000_00),
        ),
    }


def notice(event: str, on: date, **more: Any) -> dict[str, Any]:
    """An event of the formal notice P1."""
    told = {"procedure_id": "P1", "finess_ej": EJ, "nature": "INEXECUTION", "event": event, "happened_on": on}
    return told | more


def exported(*contracts: Contract, received_on: date = date(2025, 7, 24)) -> dict[str, pl.DataFrame]:
    """The frames of the canonical form of contracts."""
    export = _read(canonical(contracts), received_on)
    return {name: getattr(export, name) for name in NAMES}


@cache
def _read(content: bytes, received_on: date) -> Export:
    return read_ecars(content, "canonique.csv", received_on)


def world(contract: Contract = SOUND, **frames: pl.DataFrame | None) -> Facts:
    """The sound world with another contract or other frames; a frame of None was never delivered."""
    told: dict[str, Any] = exported(contract) | references() | frames
    return facts_of({name: found for name, found in told.items() if found is not None})


def judged(facts: Facts, on: date = ON, *, closed: bool = False, **policies: Any) -> Judgement:
    """The rules over facts, with these policies."""
    return judge(facts, default_law(policies), on, AT, closed=closed)


def with_series(code: str, *values: Value, contract: Contract = SOUND) -> Contract:
    """The contract with another series for an indicator."""
    if code in (contract.hpr or {}) or code[0].isdigit():
        return replace(contract, hpr={**(contract.hpr or {}), code: list(values)})
    return replace(contract, chosen={**contract.chosen, code: list(values)})


def without(*codes: str, contract: Contract = SOUND) -> Contract:
    """The contract with indicators left unchosen."""
    hpr = None if contract.hpr is None else {code: told for code, told in contract.hpr.items() if code not in codes}
    return replace(contract, chosen={code: told for code, told in contract.chosen.items() if code not in codes}, hpr=hpr)
