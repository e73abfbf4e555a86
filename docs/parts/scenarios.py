"""The scenarios of the reconciliation, as the tests run them, in words."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from parts.markdown import table_of

PROJECT = Path(__file__).parents[2]
SCENARIO = ("ligne", "protocole", "acte", "jour", "délégué", "nombre", "demandé", "résultat", "constats", "à payer (centimes)")

DECLARATION = {
    "dossier": "",
    "structure": "",
    "deposited": "déposée le",
    "protocols": "protocoles",
    "added": "ajoutés ensuite",
    "delegates": "délégués",
    "delegating": "délégants",
    "form": "formulaire",
    "named": "nomme",
    "name": "sous le nom",
    "events": "événements",
    "pieces_missing": "pièces manquantes de",
    "known_from": "connue depuis le",
}

BORDEREAU = {
    "bordereau": "",
    "structure": "",
    "received": "reçu le",
    "period": "période",
    "nic": "NIC",
    "finess": "FINESS",
    "kind": "type",
    "iban": "coordonnées bancaires",
    "certified": "certifié",
    "sender": "envoyé par",
    "total": "total déclaré",
    "replaces": "remplace",
    "grain": "grain",
}

STRUCTURE = {
    "structure": "structure",
    "kind": "type",
    "siret": "SIRET",
    "name": "nom",
    "aci": "adhésion ou ACI",
    "aci_until": "fin (exclue)",
    "project": "projet validé",
    "caisse": "caisse",
}

PROFESSIONAL = {"ref": "professionnel", "profession": "profession", "rpps": "RPPS", "active_to": "inactif à partir du"}

ORDINARY = {"rpps": "professionnel", "day": "le", "kind": ""}

WORDS = {
    "all": "tous",
    "pharmacist_test": "test du pharmacien",
    "changed": "modifiées",
    "month": "mois",
    "False": "non",
    "acces_direct": "accès direct",
}


def snp_scenarios() -> str:
    """Every scenario of the reconciliation: what is known, what is claimed, what comes out."""
    spec = yaml.safe_load((PROJECT / "tests" / "spec" / "snp_scenarios.yaml").read_text(encoding="utf-8"))
    fixtures = spec["fixtures"]
    parts = ["### Structures et professionnels fictifs", "", _records(fixtures["structures"], STRUCTURE)]
    parts += [_records(fixtures["professionals"], PROFESSIONAL)]
    text = "\n".join([*parts, *(part for scenario in spec["scenarios"] for part in _scenario(scenario))])
    return re.sub(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d:\d\d)(\S*?)(?= ;))?", _french_day, text)


def _scenario(scenario: dict[str, Any]) -> Iterable[str]:
    lines = {line["line"]: line for line in scenario["lines"]}
    yield f"### {scenario['id']} : {scenario['title']}\n"
    if "note" in scenario:
        yield f"{scenario['note']}\n"
    for found in scenario["declarations"]:
        yield f"- Déclaration {_told(found, DECLARATION)}"
    for found in scenario["bordereaux"]:
        yield f"- Bordereau {_told(found, BORDEREAU)}"
    yield from (
        f"- Structure {_told(entry, STRUCTURE | {'structure': '', 'closed': 'fermée le'})}"
        for entry in scenario.get("structures", [])
    )
    yield from (f"- Acte de droit commun : {_told(entry, ORDINARY)}" for entry in scenario.get("common_law", []))
    for name, value in scenario.get("policies", {}).items():
        yield f"- Politique `{name}` : {value}"
    for decision in scenario["decisions"]:
        read_on = decision.get("synchronised")
        seen = f", dernière lecture complète des dossiers le {read_on}" if read_on else ""
        paid = "".join(f", déjà payé {entry['line']} : {_amount(entry['amount'])}" for entry in decision.get("paid", []))
        yield f"\nDécision du {decision['decided']}{seen}{paid} :\n"
        yield table_of(SCENARIO, (_line(lines[row["line"]], row) for row in decision["expected"]))
        yield from (f"Sur le bordereau, sans effet sur les lignes : {found}.\n" for found in decision.get("bordereaux", []))
        for row in decision.get("review", []):
            yield f"{row['rule']}, ligne {row['line']} : {row['difference']} centimes de plus qu'à la décision précédente.\n"


def _told(entry: dict[str, Any], names: dict[str, str]) -> str:
    """An entry of a scenario in a line: each known field under its French name."""
    return " ; ".join(f"{names.get(name, name)} {_value(value)}".strip() for name, value in entry.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "aucun"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    return WORDS.get(str(value), str(value))


def _line(line: dict[str, Any], expected: dict[str, Any]) -> Iterable[object]:
    keys = [f"patient {line['patient']}" if "patient" in line else "", f"{line['age']} ans" if "age" in line else ""]
    keys += [f"réf. {line['ref']}" if "ref" in line else ""]
    told = ", ".join(filter(None, keys))
    delegate = line.get("delegate") or line.get("rpps") or "(absent)"
    unit = f" (tarif {_amount(line['unit'])})" if "unit" in line else ""
    yield f"{line['line']} ({told})" if told else line["line"]
    yield line.get("protocol") or f"« {line['label']} »"
    yield line["act"]
    yield line.get("day") or line["month"]
    yield delegate + (" (un chiffre faux)" if line.get("wrong_digit") else "") + (" (rétabli)" if line.get("repaired") else "")
    yield line.get("count", 1)
    yield _amount(line["amount"]) + unit
    yield expected["outcome"]
    yield ", ".join(expected["findings"]) or "-"
    yield expected["payable"]


def _records(entries: list[dict[str, Any]], names: dict[str, str]) -> str:
    return table_of(names.values(), ([entry.get(name, "") for name in names] for entry in entries))


def _french_day(found: re.Match[str]) -> str:
    hour = f" {found[4]} ({found[5]})" if found[4] else ""
    return f"{found[3]}/{found[2]}/{found[1]}{hour}"


def _amount(typed: str) -> str:
    return typed.replace(".", ",")
