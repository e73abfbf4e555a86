"""What is said of the PMSI: families, formats, rules, views, definitions of indicators, thresholds."""

from typing import Any

import duckdb
import polars as pl

from checks.deliveries import limits
from connectors.transmissions import FAMILIES as ENDINGS
from contracts_schema import families as pmsi
from contracts_schema.layouts import index, layouts
from contracts_schema.products import products
from contracts_schema.rules import catalogue
from parts.markdown import code, table_of, yaml_of
from warehouse import references, views

INDICATORS = ("OS_11", "OS_13", "HPR_3_2", "HPR_4_3")

COMPUTED = {
    "ACTIVITY": ("out_ars__pmsi_activity", "out_ars__pmsi_activity_by_ghm", "out_ars__pmsi_unit_activity"),
    **dict.fromkeys(INDICATORS, ("out_ars__pmsi_indicator",)),
}
"""Definitions of indicators.yaml that views compute."""


def families() -> str:
    """The families of files, the table that each one's rows make, and what is kept apart."""
    rows = []
    for name, family in pmsi.FAMILIES.items():
        endings = ", ".join(f"`.{ending}`" for ending in ENDINGS[name])
        apart = set(pmsi.restricted_columns(family)) - {"line_number", family.key}
        open_table = "" if family.closed else f"`{family.table}`"
        closed_table = f"`{family.table}`: all" if family.closed else ""
        if family.restricted_table:
            closed_table = f"`{family.restricted_table}`: {code(sorted(apart))}"
        rows.append((family.record, endings, family.key or "", open_table, closed_table))
    return table_of(("record", "endings", "once in a file", "table", "restricted table: fields kept apart"), rows)


def formats() -> str:
    """The record formats that are read, with who confirms them."""
    rows = []
    for family in pmsi.FAMILIES.values():
        for found in pmsi.formats(family).values():
            entry = index()[found.format_id]
            zones = ", ".join(f"{zone.name} ({zone.width})" for zone in found.zones)
            length = found.fixed_length or entry["variable_formula"]
            rows.append((family.record, found.version, entry["years"], length, zones, entry["status"], entry["confirmed_by"]))
    return table_of(("record", "format", "years", "fixed bytes", "zones (bytes each)", "status", "confirmed by"), rows)


def rules() -> str:
    """The rule catalogue, rules of a line first."""
    parts = []
    for level, title in (("line", "### Rules of a line"), ("delivery", "### Rules of a delivery")):
        found = [rule for rule in catalogue().values() if rule.level == level and rule.id.startswith("pmsi.")]
        rows = ((f"`{rule.id}`", rule.outcome, rule.label_fr, rule.source, rule.status) for rule in found)
        parts += [title, "", table_of(("rule", "outcome", "what it says", "source", "status"), rows)]
    return "\n".join(parts)


def thresholds() -> str:
    """When a whole delivery is held."""
    text = yaml_of("pmsi", "transmission.yaml")
    rows = [(f"`{name}`", f"{value} %") for name, value in limits().items()]
    return table_of(("threshold", "value"), rows) + f"\nStatus: {text['status']}. Source: {text['source']}.\n"


def view_columns() -> str:
    """Every view: what its SQL file says of it, and its columns as the engine sees them."""
    parts = []
    with duckdb.connect(":memory:") as engine:
        rsa = pmsi.FAMILIES["rsa"]
        engine.register(f"{views.SEGMENT}{rsa.table}", pl.DataFrame(schema=pmsi.schema(rsa)))
        for name in references.NAMES:
            references.create(engine, name, {})
        for name, view in views.views().items():
            engine.execute(f"create temp view {name} as {view.sql}")
            columns = engine.execute(f"describe {name}").fetchall()
            known = _labels(name)
            described = ((f"`{column}`", kind.lower(), known.get(column, "")) for column, kind, *_ in columns)
            parts += [f"### {name}", "", _comment(view.sql), "", table_of(("column", "type", "label"), described)]
    return "\n".join(parts)


def definitions() -> str:
    """The definitions behind the published figures, as indicators.yaml writes them."""
    entries = {entry["id"]: entry for entry in yaml_of("pmsi", "indicators.yaml")["indicators"]}
    parts = []
    for name, made in COMPUTED.items():
        entry = entries[name]
        facts = [(key, _fact(value)) for key, value in entry.items() if key not in ("id", "label_fr")]
        parts += [f"### {name}", "", f"{entry['label_fr']}. Computed by {code(made)}.", "", table_of(("", ""), facts)]
    return "\n".join(parts)


def parameters() -> str:
    """The dated parameters that a publication depends on."""
    rows = [
        (f"`{entry['id']}`", entry["label_fr"], value["value"], value["valid_from"], value["valid_to"] or "", value["status"])
        for entry in yaml_of("parameters", "publication.yaml")
        for value in entry["values"]
    ]
    return table_of(("parameter", "label", "value", "from", "until", "status"), rows)


def _labels(view: str) -> dict[str, str]:
    """What a column is called: in a product made from this view, else by the record formats, newest first."""
    found: dict[str, str] = {}
    for layout in layouts("MCO", "RSA").values():
        zones = (field for zone in layout.zones for field in zone.fields)
        found |= {field.name: field.label_fr for field in (*zones, *layout.fields)}
    tables = (table for product in products().values() for table in product.tables if table.view == view)
    return found | {column.name: column.label_fr for table in tables for column in table.columns}


def _comment(sql: str) -> str:
    lines = [line.removeprefix("-- ") for line in sql.splitlines() if line.startswith("-- ")]
    return " ".join("Built head by head." if line == views.PER_HEAD.removeprefix("-- ") else line for line in lines)


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"`{name}`: {part}" for name, part in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
