"""What a published row about CPTS and FIR rests on: lines of contracts, missions and commitments, figures of the law, rules."""

import re
from collections.abc import Mapping
from typing import Any

from contracts_schema.french import euros
from contracts_schema.products import CONTRACTS, Table
from flows import commitments, computed, law
from flows.deliveries import all_heads
from flows.hub import Hub
from flows.origins import STEP, Origins, decision, measure, rule
from warehouse.heads import Head

ABOUT = ("contract_id", "beneficiary", "order_number")
"""Columns that the item of a finding may be of."""


def origins(hub: Hub, table: Table, row: Mapping[str, Any], position: int) -> Origins:
    """What a row rests on, as of a position."""
    at = computed.moment(hub, CONTRACTS, position)
    if at is None:
        return Origins({})
    known = {scope: head for scope, head in all_heads(hub, at.position).items() if head.source in commitments.SOURCES}
    if table.name == "part":
        contract, mission = {"contract_id": row["contract_id"]}, {"contract_id": row["contract_id"], "mission": row["mission"]}
        lines = _last(_lines(hub, known, commitments.CONTRACTS, "contrat", contract))
        lines |= _last(_lines(hub, known, commitments.MISSIONS, "mission", mission))
        cents = "non calculable" if row["amount_cents"] is None else euros(row["amount_cents"])
        step = {"kind": STEP, "depth": 0, "node": f"{row['mission']} {row['part']}", "value": row["amount_cents"],
                "unit": "centimes", "firm": row["firm"], "status_fr": row["status_fr"], "parameters": row["parameters"],
                "text": f"{row['mission']} {row['part']} = {cents} [{row['status_fr']}] : {row['reason']} ; "
                        f"{row['due_days']} jours sur {row['year_days']} ; {row['parameters']}"}  # fmt: skip
        own = law.law_of(hub, f"ars-{row['region']}", at.position).parameters
        used = {one.position for one in own if re.search(rf"{re.escape(one.parameter)}\b(?!\.)", row["parameters"])}
        return Origins(lines, (step, *(decision(hub, one) for one in sorted(used))))
    if table.name == "commitment":
        place = {"file": row["file"], "line": row["line"]}
        return Origins(_last(_lines(hub, known, commitments.COMMITMENTS, "engagement", place)))
    if table.name == "finding":
        found: dict[str, Any] = {}
        for name in commitments.ONCE:
            for column in ABOUT:
                line = {"line": row["line"]} if row["line"] else {}
                found |= _lines(hub, known, name, "lignes", {column: row["item"], **line}) if row["item"] else {}
        return Origins(found, (rule(row["rule"], row["reason"]),))
    return Origins({}, (rule(row["point"], f"{row['claimed']} ; ailleurs : {row['elsewhere']}"),))


def _lines(
    hub: Hub, known: Mapping[str, Head], name: str, what: str, condition: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The lines of a table that have these values, by scope, the last accepted last."""
    import polars as pl

    found = {}
    for head in sorted(known.values(), key=lambda one: one.position):
        rows = pl.read_parquet(hub.blobs.segment_path(head.tables[name])) if name in head.tables else pl.DataFrame()
        if set(condition) <= set(rows.columns):
            lines = rows.filter(*(pl.col(column) == value for column, value in condition.items()))["line"]
            if lines.len():
                found[head.scope] = {what: measure(lines)}
    return found


def _last(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the last delivery that says it says: it alone is believed."""
    return dict(list(found.items())[-1:])
