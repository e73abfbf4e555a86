"""A product's contract in the terms of the Open Data Contract Standard, for those whose tools read that.

Must never say more than the contract does: no team, price, service level or owner is made up.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import yaml

from contracts_schema.products import Column, Product, Table
from contracts_schema.table_schema import UNITS, constraints

API_VERSION = "v3.1.0"
FILE = "contract.odcs.yaml"
PHYSICAL_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DECIMAL(18,2)",
    "boolean": "BOOLEAN",
    "date": "DATE",
}
BREAKING = "SELECT COUNT(*) FROM {{object}} WHERE {condition}"  # the standard's own marks: {object}, {property}
MASKING = (
    "Les nombres sous le seuil de publication, et ceux qui permettraient de les retrouver, sont vides (jamais à zéro) ; "
    "la colonne masked le signale à chaque ligne."
)


def odcs(product: Product) -> dict[str, Any]:
    """The contract as an ODCS document, ready for YAML; its version changes exactly when the contract does."""
    limits = {"limitations": MASKING} if any(table.mask for table in product.tables) else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": product.id,
        "name": product.label_fr,
        "version": version(product),
        "status": "active",
        "dataProduct": product.id,
        "description": {"purpose": product.description_fr.strip()} | limits,
        "schema": [_object(table) for table in product.tables],
        "customProperties": [
            {"property": "recipientKind", "value": product.recipient_kind},
            {"property": "territoryColumn", "value": product.territory_column},
        ],
    }


def odcs_yaml(product: Product) -> str:
    """The same as YAML text: equal contracts give equal text, written once."""
    known = version(product)
    if known not in _texts:
        _texts[known] = yaml.safe_dump(odcs(product), allow_unicode=True, sort_keys=False, width=120)
    return _texts[known]


_texts: dict[str, str] = {}
"""By version of the contract."""


def version(product: Product) -> str:
    """The first 12 characters of the sha256 of the contract's content."""
    text = json.dumps(asdict(product), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _object(table: Table) -> dict[str, Any]:
    labels = {column.name: column.label_fr for column in table.columns}
    checks = [
        {
            "id": check.id,
            "type": "sql",
            "description": check.label_fr,
            "query": BREAKING.format(condition=f"NOT ({check.sql})"),
            "mustBe": 0,
        }
        for check in table.checks
    ]
    unique = {
        "id": "unique_key",
        "type": "library",
        "metric": "duplicateValues",
        "arguments": {"properties": list(table.keys)},
        "mustBe": 0,
    }
    return {
        "name": table.name,
        "logicalType": "object",
        "physicalType": "table",
        "businessName": table.label_fr,
        "dataGranularityDescription": "Une ligne par : " + " ; ".join(labels[key] for key in table.keys),
        "properties": [_property(column, table) for column in table.columns],
        "quality": [unique, *checks],
    }


def _property(column: Column, table: Table) -> dict[str, Any]:
    given = constraints(column)
    options = {name: given[name] for name in ("minimum", "maximum", "pattern") if name in given}
    key = {"primaryKey": True, "primaryKeyPosition": table.keys.index(column.name) + 1} if column.name in table.keys else {}
    quality = _quality(column)
    custom = [
        *([{"property": "unit", "value": UNITS[column.unit]}] if column.unit else []),
        *([{"property": "maskable", "value": True}] if any(column.name in mask.hides for mask in table.mask) else []),
    ]
    return (
        {
            "name": column.name,
            "businessName": column.label_fr,
            "logicalType": column.type,
            "physicalType": PHYSICAL_TYPES[column.type],
            "required": bool(given.get("required")),
            "classification": column.classification,
        }
        | key
        | ({"logicalTypeOptions": options} if options else {})
        | ({"quality": quality} if quality else {})
        | ({"customProperties": custom} if custom else {})
    )


def _quality(column: Column) -> list[dict[str, Any]]:
    """One rule for each constraint: the number of rows that break it must be 0."""
    given = constraints(column)
    rules: list[dict[str, Any]] = []
    if given.get("required"):
        rules.append({"id": "required", "type": "library", "metric": "nullValues", "mustBe": 0})
    for name, argument in (("enum", "validValues"), ("pattern", "pattern")):
        if name in given:
            arguments = {"arguments": {argument: given[name]}}
            rules.append({"id": name, "type": "library", "metric": "invalidValues"} | arguments | {"mustBe": 0})
    for name, sign in (("minimum", "<"), ("maximum", ">")):
        if name in given:
            bound = f"'{given[name]}'" if column.type == "date" else given[name]
            query = BREAKING.format(condition=f"{{property}} {sign} {bound}")
            rules.append({"id": name, "type": "sql", "query": query, "mustBe": 0})
    return rules
