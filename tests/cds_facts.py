"""Campaigns for the tests: sound centres, each spoiled on its own, read from files as a real extraction is."""

import random
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import polars as pl

from checks.cds.facts import CRISES, KNOWN_HOURS, PATIENTS, REGISTER, RELEASES, SITES, Campaign, counts
from connectors import ecds, synthetic_ecds
from connectors.synthetic_ecds import Centre, Row
from contracts_schema import parameters
from contracts_schema.parameters import Attestation

Spoil = Callable[[Centre], None]
CODES = {name: f"CDS15-{code}" for name, code in {
    "HOR": "A1-HOR", "CRISE": "A1-CRISE", "COORD": "A2-COORD", "SI": "A3-SI", "PROTO": "A2-PROTO", "CONC": "A2-CONC",
    "VULN": "A1-VULN", "SP": "A1-SP", "FORM": "A2-FORM", "SAS": "A1-SASEFF", "INF": "A2-INFSUP", "MSP": "A2-MSPCONV",
    "DIV": "A1-DIV",
}.items()}  # fmt: skip


def sound(number: int = 5, year: int = 2025) -> Centre:
    """A polyvalent centre (for a multiple of five) about which no rule has anything to say."""
    found = synthetic_ecds.centre(number, random.Random(number), 9, year)
    found["rfs"] = [row for row in found["rfs"] if row["reponse"] == "OUI" and row["code_indicateur"] in synthetic_ecds.FORFAIT]
    for row in found["rfs"]:
        row |= {"themes": "asthme|diabète"} if row["code_indicateur"] == CODES["PROTO"] else {}
    for place, row in enumerate(found["rosp"]):
        row |= {"numerateur": str(40 + place), "denominateur": "100"}
    found["identification"][0] |= {"patientele_mt": "4000", "file_active": "5000"}
    return found


def read(centres: Sequence[Centre], extracted_on: date = synthetic_ecds.EXTRACTED, year: int = 2025, **more: Any) -> Campaign:
    """The campaign of these centres, through its files."""
    found = ecds.read_extraction(synthetic_ecds.files(centres, extracted_on, year))
    return Campaign(year, extracted_on, **found.frames(), **more)


def numbers(centres: Sequence[Centre]) -> list[str]:
    return [one["identification"][0]["finess_et"] for one in centres]


def surroundings(centres: Sequence[Centre]) -> dict[str, Any]:
    """What other sources say, all of it in agreement with sound centres."""
    own = numbers(centres)
    register = [(number, "ET", "124", synthetic_ecds.finess(800_000 + int(number[2:8]) // 4), None) for number in own]
    hours = [
        (row["finess_et"], row["jour"].lower(), minutes(row["ouverture"]), minutes(row["fermeture"]))
        for row in sound(5)["horaires"]
    ]
    known = [(number, *rest) for number in own for _, *rest in hours]
    before = read([sound(int(number[2:8]), 2024) for number in own], date(2025, 3, 1), 2024)
    return {
        "register": pl.DataFrame(register, schema=REGISTER, orient="row"),
        "computed_patients": pl.DataFrame([(number, 4000, 5000) for number in own], schema=PATIENTS, orient="row"),
        "known_hours": pl.DataFrame(known, schema=KNOWN_HOURS, orient="row"),
        "crises": pl.DataFrame(schema=CRISES),
        "sites": pl.DataFrame(schema=SITES),
        "releases": pl.DataFrame([("Logiciel fictif", date(2017, 1, 1))], schema=RELEASES, orient="row"),
        "before": before,
        "counts_before": counts(before),
    }


def minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def entry(found: Centre, name: str, section: str = "rfs") -> Row:
    """The entry of an indicator; one is added, answered OUI in time, when there is none."""
    code = CODES.get(name, name)
    for row in found[section]:
        if row["code_indicateur"] == code:
            return row
    row = found[section][0] | dict.fromkeys(synthetic_ecds.EMPTY, "") if section == "rfs" else dict(found[section][0])
    row |= {key: found[section][0][key] for key in ("finess_et", "annee_exercice")}
    row |= {"code_indicateur": code, "horodatage_saisie": "2026-01-15T10:00:00+01:00"}
    row |= {"reponse": "OUI"} if section == "rfs" else {}
    found[section].append(row)
    return row


def answer(name: str, **cells: str) -> Spoil:
    return lambda found: entry(found, name).update(cells)


def identity(**cells: str) -> Spoil:
    return lambda found: found["identification"][0].update(cells)


def spoiled(spoils: Sequence[Spoil], year: int = 2025) -> list[Centre]:
    centres = []
    for place, spoil in enumerate(spoils):
        one = sound(5 * (place + 1), year)
        spoil(one)
        centres.append(one)
    return centres


def attested(parameter: str, value: int | date, **dimensions: str) -> Attestation:
    """An organisation attests one value from 2015 on."""
    cell = parameters.cell_of(parameters.parameter(parameter), dimensions)
    return Attestation(parameter, cell, value, date(2015, 1, 1), None, "Lettre de la caisse", None, 1)


def everything(**changed: int) -> list[Attestation]:
    """A whole table attested as the analogue says it: every figure of the forfait and of its campaign, by one organisation."""
    found = []
    for name, one in parameters.parameters().items():
        if not name.startswith(("cds.rfs.", "cds.regime", "cds.campaign")):
            continue
        for cell, entries in one.cells.items():
            last = entries[-1] if name != "cds.regime" else entries[0]
            value = last.value if last.value is not None else last.simulation.value if last.simulation else 0
            if name == "cds.rfs.patients_cap":
                value = changed.get("cap", value)
            found.append(Attestation(name, cell, value, date(2015, 1, 1), date(2026, 1, 1), "Lettre de la caisse", None, 1))
    return found
