"""What a published row about CPTS, FIR and FMIS rests on: lines of what was received, figures of the law, rules."""

import re
from collections.abc import Mapping
from typing import Any

from contracts_schema.french import euros
from contracts_schema.products import CONTRACTS, Table
from flows import commitments, computed, cpom_origins, law
from flows.deliveries import all_heads
from flows.hub import Hub
from flows.origins import STEP, Origins, decision, measure, rule
from warehouse.heads import Head

FINANCED_BY = {
    commitments.COMMITMENTS: ("beneficiary", "siret"),
    commitments.FINANCED: ("beneficiary",),
    commitments.CONTRACTS: ("siret", "finess_ej"),
    commitments.SUBSIDIES: ("finess_ej",),
    commitments.IDENTITIES: ("finess_et", "siret"),
}
"""Where the numbers of a beneficiary are written."""
ABOUT = ("contract_id", "beneficiary", "order_number")
"""Columns that the item of a finding may be of."""
LISTED = {"commitment": (commitments.COMMITMENTS, "engagement"), "indicator": (commitments.ENTRIES, "saisie")}
"""Tables whose rows say their file and line."""


def origins(hub: Hub, table: Table, row: Mapping[str, Any], position: int) -> Origins:
    """What a row rests on, as of a position."""
    at = computed.moment(hub, CONTRACTS, position)
    if at is None:
        return Origins({})
    known = {scope: head for scope, head in all_heads(hub, at.position).items() if head.source in commitments.SOURCES}
    contract = {"contract_id": row.get("contract_id")}
    if table.name == "contract":
        return Origins(_last(_lines(hub, known, commitments.CONTRACTS, "contrat", contract)))
    if table.name == "part":
        lines = _last(_lines(hub, known, commitments.CONTRACTS, "contrat", contract))
        lines |= _last(_lines(hub, known, commitments.MISSIONS, "mission", {**contract, "mission": row["mission"]}))
        return Origins(lines, (_step(row), *_decisions(hub, row, at.position)))
    if table.name in LISTED:
        name, what = LISTED[table.name]
        return Origins(_last(_lines(hub, known, name, what, {"file": row["file"], "line": row["line"]})))
    if table.name == "subsidy":
        return _of_subsidy(hub, known, row)
    if table.name == "source":
        return Origins({}, (rule(row["point"], f"{row['claimed']} ; ailleurs : {row['elsewhere']}"),))
    found: dict[str, Any] = {}
    if table.name == "overlap":
        for name, columns in FINANCED_BY.items():
            for column in columns:
                found |= _lines(hub, known, name, name, {column: row["beneficiary"]})
        return Origins(found, (rule("cds.CDS71", row["verdict"]),))
    line = {"line": row["line"]} if row["line"] else {}
    for name in commitments.ONCE if row["item"] else ():
        for column in ABOUT:
            found |= _lines(hub, known, name, "lignes", {column: row["item"], **line})
    return Origins(found, (rule(row["rule"], row["reason"]),))


def _step(row: Mapping[str, Any]) -> dict[str, Any]:
    cents = "non calculable" if row["amount_cents"] is None else euros(row["amount_cents"])
    told = (row["reason"], f"{row['due_days']} jours sur {row['year_days']}", row["parameters"])
    return {"kind": STEP, "depth": 0, "node": f"{row['mission']} {row['part']}", "value": row["amount_cents"],
            "unit": "centimes", "firm": row["firm"], "status_fr": row["status_fr"], "parameters": row["parameters"],
            "text": f"{row['mission']} {row['part']} = {cents} [{row['status_fr']}] : {' ; '.join(told)}"}  # fmt: skip


def _decisions(hub: Hub, row: Mapping[str, Any], position: int) -> list[dict[str, Any]]:
    """The attestations that a part uses."""
    own = law.law_of(hub, f"ars-{row['region']}", position).parameters
    used = {one.position for one in own if re.search(rf"{re.escape(one.parameter)}\b(?!\.)", row["parameters"])}
    return [decision(hub, one) for one in sorted(used)]


def _of_subsidy(hub: Hub, known: Mapping[str, Head], row: Mapping[str, Any]) -> Origins:
    found = cpom_origins.followed(hub, known, cpom_origins.of_subsidy(row["subsidy_id"], row["finess_ej"]))
    said = (
        f"notifiée le {row['notified_on']:%d/%m/%Y} ; dernier jour utile le {row['last_day']:%d/%m/%Y} (cpom.fmis.lapse_years)"
    )
    return Origins(found, (rule("cpom.R44", f"{row['state']} : {said}"),))


def _lines(
    hub: Hub, known: Mapping[str, Head], name: str, what: str, condition: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The lines of a table that have these values, by scope, the last accepted last."""
    import polars as pl

    found = {}
    for head in sorted(known.values(), key=lambda one: one.position):
        rows = pl.read_parquet(hub.blobs.segment_path(head.tables[name])) if name in head.tables else pl.DataFrame()
        if set(condition) <= set(rows.columns):
            own = rows.filter(*(pl.col(column) == value for column, value in condition.items()))
            if own.height:  # tables that are kept without the numbers of their lines give how many
                lines = measure(own["line"]) if "line" in own.columns else {"lines": own.height, "ranges": []}
                found[head.scope] = {what: lines}
    return found


def _last(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the last delivery that says it says: it alone is believed."""
    return dict(list(found.items())[-1:])
