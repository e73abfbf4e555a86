"""Facts of the reconciliation for tests: from the scenarios of tests/spec, and at random for properties and speed."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from checks.snp.facts import Facts, frame
from contracts_schema.yaml_files import read_yaml

SPEC: dict[str, Any] = read_yaml(Path(__file__).parent / "spec" / "snp_scenarios.yaml")
FAMILIES = ("CYSTITE", "ODYNO", "RHINO", "VARICELLE", "CHEVILLE", "LOMBALGIE")
PARIS = ZoneInfo("Europe/Paris")
CAISSE = "C01"
PEOPLE = {person["ref"]: person for person in SPEC["fixtures"]["professionals"]}
Row = dict[str, Any]


def facts_of(scenario: Row, decision: Row) -> Facts:
    """What is known on the day of a decision of a scenario, every list delivered but those of patients when it has none."""
    on = day(decision["decided"])
    places = structures(scenario)
    headers = [entry for entry in scenario["bordereaux"] if day(entry["received"]) <= on]
    known = [entry for entry in scenario["declarations"] if day(entry.get("known_from", "0001-01-01")) <= on]
    lines = [line_of(entry, headers) for entry in scenario["lines"] if entry["line"].split("/")[0] in named(headers)]
    rows: dict[str, list[Row]] = {
        "bordereau": [bordereau_of(entry, headers, places, lines) for entry in headers],
        "line": lines,
        "dossier": [dossier_of(entry, places) for entry in known],
        "dossier_protocol": [row for entry in known for row in protocols_of(entry)],
        "dossier_event": [row for entry in known for row in events_of(entry, on)],
        "member": [row for entry in known for row in members_of(entry)],
        "synchronisation": [{"demarche": "1", "completed_on": day(decision.get("synchronised", decision["decided"]))}],
        "structure": [structure_of(place, header) for header in headers for place in [places[header["structure"]]]],
        "adhesion": [row for header in headers for row in adhesions_of(places[header["structure"]], header)],
        "attachment": [
            {"siret": siret_of(places[h["structure"]], h), "caisse": places[h["structure"]]["caisse"]} for h in headers
        ],
        "professional": [professional_of(person) for person in PEOPLE.values()],
        "payment": [payment_of(entry, lines) for entry in decision.get("paid", [])],
        "alias": scenario.get("aliases", []),
    }
    patients = [patient_of(entry) for entry in scenario["lines"] if "patient" in entry]
    if patients:
        rows["patient"] = [row for row in patients if row["bordereau_id"] in named(headers)]
    if "common_law" in scenario:
        rows["common_law"] = [
            {"patient_key": row["patient"], "rpps": PEOPLE[row["rpps"]]["rpps"], "day": day(row["day"]), "kind": row["kind"]}
            for row in scenario["common_law"]
        ]
    return Facts(**{name: frame(name, found) for name, found in rows.items()})


def named(headers: list[Row]) -> set[str]:
    return {entry["bordereau"] for entry in headers}


def day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def instant(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def cents(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole + part.ljust(2, "0"))


def structures(scenario: Row) -> dict[str, Row]:
    found = {entry["structure"]: dict(entry) for entry in SPEC["fixtures"]["structures"]}
    for entry in scenario.get("structures", []):
        found[entry["structure"]] = found.get(entry["structure"], {}) | entry
    return found


def siret_of(place: Row, header: Row) -> str:
    """The SIRET on the bordereau: another establishment of the same SIREN when the scenario says so."""
    return place["siret"][:9] + header["nic"] if "nic" in header else place["siret"]


def bordereau_of(entry: Row, headers: list[Row], places: dict[str, Row], lines: list[Row]) -> Row:
    place = places[entry["structure"]]
    total = sum(line["amount_cents"] for line in lines if line["bordereau_id"] == entry["bordereau"])
    replacing = [other["bordereau"] for other in headers if other.get("replaces") == entry["bordereau"]]
    return {
        "bordereau_id": entry["bordereau"],
        "scope": f"{entry['structure']}/{entry['bordereau']}",
        "received_on": day(entry["received"]),
        "siret": siret_of(place, entry),
        "finess": entry.get("finess"),
        "structure_name": place["name"],
        "structure_kind": entry.get("kind", place["kind"]),
        "caisse": CAISSE,
        "period_from": day(entry["period"][0]),
        "period_to": day(entry["period"][1]),
        "declared_total_cents": cents(entry["total"]) if "total" in entry else total,
        "replaces": entry.get("replaces"),
        "superseded_by": replacing[0] if replacing else None,
        "certified": entry.get("certified", True),
        "sender": "professional" if "sender" in entry else "structure",
        "sender_rpps": PEOPLE[entry["sender"]]["rpps"] if "sender" in entry else None,
        "iban_state": entry.get("iban", "same"),
        "grain": entry.get("grain", "act"),
        "profile": "snp-proposal",
        "profile_version": 1,
        "profile_is_older": False,
        "hidden_sheets": [],
        "file": f"{entry['bordereau']}.xlsx",
        "sha256": hashlib.sha256(entry["bordereau"].encode()).hexdigest(),
    }


def line_of(entry: Row, headers: list[Row]) -> Row:
    bordereau, _, number = entry["line"].partition("/")
    header = next((found for found in headers if found["bordereau"] == bordereau), {})
    lineage = header.get("replaces", bordereau)
    rpps = entry.get("rpps") or (PEOPLE[entry["delegate"]]["rpps"] if "delegate" in entry else None)
    if entry.get("wrong_digit"):
        rpps = rpps[:-1] + str((int(rpps[-1]) + 1) % 10)
    family = entry.get("protocol")
    identity = entry.get("ref") or (family, entry["act"], entry.get("day"), entry.get("month"), rpps, number)
    text = entry.get("day", entry.get("month"))
    cells = {
        "protocol": {"cell": f"A{int(number) + 7}", "raw": family or entry["label"]},
        "date": {"cell": f"B{int(number) + 7}", "raw": text},
        "rpps": {"cell": f"C{int(number) + 7}", "raw": rpps or ""},
        "amount": {"cell": f"E{int(number) + 7}", "raw": entry["amount"]},
    }
    return {
        "bordereau_id": bordereau,
        "line_number": int(number),
        "line_id": hashlib.sha256(repr((lineage, identity)).encode()).hexdigest()[:16],
        "sheet": "Bordereau",
        "row": int(number) + 7,
        "label": family or entry["label"],
        "family": family,
        "family_candidates": [family] if family else ["ODYNO", "CYSTITE"],
        "act": entry["act"],
        "day": day(entry["day"]) if "day" in entry else None,
        "month": day(f"{entry['month']}-01") if "month" in entry else None,
        "date_raw": text,
        "rpps": rpps,
        "rpps_repaired": entry.get("repaired", False),
        "count": entry.get("count", 1),
        "unit_cents": cents(entry["unit"]) if "unit" in entry else None,
        "amount_cents": cents(entry["amount"]),
        "amount_raw": entry["amount"],
        "ref": entry.get("ref"),
        "emergency": entry.get("emergency", False),
        "notes": [],
        "cells": json.dumps(cells),
    }


def patient_of(entry: Row) -> Row:
    bordereau, _, number = entry["line"].partition("/")
    return {
        "bordereau_id": bordereau,
        "line_number": int(number),
        "patient_key": entry["patient"],
        "age_years": entry.get("age"),
    }


def dossier_of(entry: Row, places: dict[str, Row]) -> Row:
    place = places[entry["structure"]]
    at = instant(entry["deposited"])
    return {
        "number": entry["dossier"],
        "demarche": "1",
        "form": entry.get("form", "snp"),
        "siret": place["siret"],
        "structure_name": entry.get("name", place["name"]),
        "structure_kind": place["kind"],
        "deposited_at": at,
        "deposited_on": at.astimezone(PARIS).date(),
        "named_families": entry.get("named", []),
        "document_unique": True,
        "state": "accepte",
    }


def protocols_of(entry: Row) -> list[Row]:
    families = FAMILIES if entry["protocols"] == "all" else entry["protocols"]
    on = instant(entry["deposited"]).astimezone(PARIS).date()
    first = [{"number": entry["dossier"], "family": family, "effective_on": on} for family in families]
    added = entry.get("added", {}).items()
    return first + [{"number": entry["dossier"], "family": family, "effective_on": day(since)} for family, since in added]


def events_of(entry: Row, until: date) -> list[Row]:
    found = []
    for event in entry.get("events", []):
        at = instant(event["at"])
        on = at.astimezone(PARIS).date()
        if on <= until:
            told = {"number": entry["dossier"], "kind": event["kind"], "at": at, "on": on, "reason": event.get("reason")}
            found.append(told | {"subject": "m1" if event["kind"].startswith("correction") else None})
    return found


def members_of(entry: Row) -> list[Row]:
    found = []
    for role, names in (("delegate", entry.get("delegates", [])), ("delegating", entry.get("delegating", []))):
        for name in names:
            told = {"number": entry["dossier"], "rpps": PEOPLE[name]["rpps"], "profession": PEOPLE[name]["profession"]}
            missing = name in entry.get("pieces_missing", [])
            found.append(
                told | {"role": role, "piece_missing": missing, "piece_pending": name in entry.get("pieces_pending", [])}
            )
    return found


def structure_of(place: Row, header: Row) -> Row:
    siret = siret_of(place, header)
    closed = day(place["closed"]) if "closed" in place else None
    return {"siret": siret, "siren": siret[:9], "name": place["name"], "kind": place["kind"], "closed_on": closed}


def adhesions_of(place: Row, header: Row) -> list[Row]:
    siret = siret_of(place, header)
    found = []
    for basis in ("aci", "project"):
        if basis in place:
            since = None if place[basis] == "inconnue" else day(place[basis])
            until = day(place["aci_until"]) if basis == "aci" and "aci_until" in place else None
            found.append({"siret": siret, "basis": basis, "valid_from": since, "valid_to": until})
    return found


def professional_of(person: Row) -> Row:
    until = day(person["active_to"]) if "active_to" in person else None
    return {"rpps": person["rpps"], "profession": person["profession"], "active_to": until, "status_known": True}


def payment_of(entry: Row, lines: list[Row]) -> Row:
    bordereau, _, number = entry["line"].partition("/")
    line = next(found for found in lines if (found["bordereau_id"], found["line_number"]) == (bordereau, int(number)))
    return {"line_id": line["line_id"], "siret": "", "paid_cents": cents(entry["amount"]), "paid_on": day(entry["on"])}
