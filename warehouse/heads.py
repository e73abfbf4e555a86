"""Heads: which accepted delivery stands for each scope, by folding the log up to a position.

Nothing is stored: the log is the state. A delivery replaces the head of its scope whole; the greatest period wins, then the
stamp of the archive, then the order of reception, so that a month sent late never displaces a later one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from warehouse.log import Event

FOLDED = frozenset({"DeliveryAccepted", "DeliveryWithdrawn"})
"""Event types that move a head."""


@dataclass(frozen=True)
class Head:
    """The delivery that stands for a scope: its period, its segments by table, and the event that let it in."""

    scope: str
    delivery_id: str
    position: int
    rank: tuple[int, str, int]
    period: int
    rows: int
    tables: dict[str, str]
    """Segment hash per table."""
    data: dict[str, Any]
    """Data of the DeliveryAccepted event."""


def rank(data: dict[str, Any], reception: int) -> tuple[int, str, int]:
    """How a delivery, received at a position of the log, compares with the others of its scope."""
    return int(data["period"]), str(data.get("stamp") or ""), reception


def fold(events: Iterable[Event]) -> dict[str, Head]:
    """Heads by scope, in the order of their scopes, after these events (of any type; given in order of position)."""
    accepted: dict[str, dict[str, Head]] = {}
    for event in events:
        if event.type == "DeliveryAccepted":
            head = _head(event)
            accepted.setdefault(head.scope, {})[head.delivery_id] = head
        elif event.type == "DeliveryWithdrawn":
            accepted.get(event.data["scope"], {}).pop(event.data["delivery_id"], None)
    best = {scope: max(heads.values(), key=lambda head: head.rank) for scope, heads in accepted.items() if heads}
    return dict(sorted(best.items()))


def _head(event: Event) -> Head:
    data = event.data
    return Head(
        scope=data["scope"],
        delivery_id=data["delivery_id"],
        position=event.position,
        rank=rank(data, int(data["reception"])),
        period=int(data["period"]),
        rows=int(data["rows_accepted"]),
        tables=dict(data["tables"]),
        data=data,
    )
