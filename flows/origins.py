"""What a published row rests on: lines of files by delivery, and beside them cells, recomputed values, decisions, rules, steps.

Each module of ``MAKERS`` says it for the tables of one maker, by ``origins(hub, table, row, position)``. What a mask hides of
the row stays out. Must never give what a line about a person holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from contracts_schema.products import CAMPAIGN, CONTRACTS, CPOM, RECONCILIATION, Table
from flows.hub import Hub

MAKERS = {
    RECONCILIATION: "flows.reconciling",
    CPOM: "flows.cpom_origins",
    CAMPAIGN: "flows.campaign_origins",
    CONTRACTS: "flows.commitment_origins",
}
CELL, RECOMPUTED, DECISION, RULE, STEP = "cell", "recomputed", "decision", "rule", "step"


@dataclass(frozen=True)
class Origins:
    """``lines``: by scope, what is counted there, as ``measure`` gives it. ``basis``: in order of reading, each with ``kind``
    and ``text``, and what it is made of by name; ``depth`` of a step: under which it stands."""

    lines: Mapping[str, Mapping[str, Any]]
    basis: tuple[dict[str, Any], ...] = field(default=())


def of(hub: Hub, made_by: str, table: Table, row: Mapping[str, Any], position: int) -> Origins:
    """What a published row of a table that Python computes rests on."""
    found: Origins = import_module(MAKERS[made_by]).origins(hub, table, row, position)
    return found


def measure(lines: Iterable[int]) -> dict[str, Any]:
    """Line numbers as their count, and the first and last of each run."""
    found: list[list[int]] = []
    ordered = sorted(set(lines))
    for line in ordered:
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return {"lines": len(ordered), "ranges": found}


def rule(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A rule that speaks, with where it comes from."""
    from contracts_schema.rules import catalogue

    told = catalogue().get(name)
    source = {"source": told.source, "status": told.status} if told else {}
    return {"kind": RULE, "rule": name, "text": f"{name} : {text}", **source, **more}


def decision(hub: Hub, position: int) -> dict[str, Any]:
    """A decision that counts here, by its position in the log."""
    from flows.replay import cause

    [event] = hub.log.read(after=position - 1, until=position)
    return {"kind": DECISION, "position": position, "text": cause(event)["text"]}
