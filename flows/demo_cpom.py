"""The demonstration's contracts: e-CARS workbooks of the three fictional establishments, their year 2024, one decision.

Same files, same bytes, each time; nothing in them is real.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from connectors.synthetic import Recipe
from connectors.synthetic_bordereaux import Value
from connectors.synthetic_ecars import Contract, sample_contract, table, workbook
from connectors.synthetic_rsa import write_rsa
from flows import contracts_shown, cpom_decisions
from flows.hub import Hub

ARS, INDICATOR, DEFINITION, VARIANT = "ars-99", "OS_13_1_1", "OS_13", "v1"
RECEIVED_ON, BASELINE = date(2025, 7, 24), 2024


def write(folder: Path, establishments: tuple[str, ...]) -> int:
    """Write a workbook an establishment, a table of subsidies, and the year 2024 of the first; gives the number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, finess in enumerate(establishments, 1):
        (folder / f"synthese-{finess}.xlsx").write_bytes(workbook(_contract(place, finess)))
    granted: dict[str, Value] = {
        "subvention_id": "FMIS-1",
        "finess_ej": establishments[0],
        "fonds": "FMIS",
        "montant_cents": "12500000",
    }
    granted["date_notification"] = date(2025, 3, 3)
    (folder / "subventions.csv").write_bytes(table("subventions", [granted]))
    year = Recipe(finess=establishments[0], year=BASELINE, months=12, stays_per_month=150, seed=BASELINE, version="227")
    write_rsa(folder / f"{year.finess}.{BASELINE}.12.rsa", year)
    return len(establishments) + 2


def decide(hub: Hub) -> None:
    """The fictional ARS decides how an indicator is compared; once."""
    cpom_decisions.decide_definition(hub, ARS, DEFINITION, VARIANT, "démonstration", reference="avis fictif")


def shown(hub: Hub, finess: str) -> dict[str, Any]:
    """The indicator that is told: declared, recomputed and judged."""
    [value] = contracts_shown.contract(hub, finess, indicator=INDICATOR)["values"]
    found: dict[str, Any] = value
    return found


def _contract(place: int, finess: str) -> Contract:
    """Sound contracts; the third chose an indicator too few."""
    made = sample_contract(place, hpr=place == 1, finess_ej=finess)
    return replace(made, chosen=dict(list(made.chosen.items())[:-1])) if place == 3 else made
