"""Heads: which accepted delivery stands for each scope, by folding the log up to a position.

Nothing is stored: the log is the state. A delivery replaces the head of its scope whole. Corrections of the year (LAMDA,
M999) win over all months, then the greatest period, then the stamp of the archive, then the order of reception: a month sent
late never displaces a later one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts_schema.families import CORRECTIONS
from warehouse.log import Event

FOLDED = frozenset({"DeliveryAccepted", "DeliveryRejected", "DeliveryWithdrawn"})
"""Event types that move a head: a delivery judged again may be refused after it was accepted."""

PMSI = "pmsi"

MAIN = {PMSI: "rsa"}
"""The family whose rows count for the whole, where a source has several."""


@dataclass(frozen=True)
class Head:
    """The delivery that stands for a scope: its period, its segments by table, and the event that let it in."""

    scope: str
    delivery_id: str
    position: int
    rank: tuple[bool, int, str, int]
    source: str
    period: int | None
    """The month that a PMSI transmission goes up to; None for sources without months."""
    rows: int
    """Rows accepted: of the stays for PMSI, of the whole for other sources."""
    tables: dict[str, str]
    """Segment hash per table."""
    data: dict[str, Any]
    """Data of the DeliveryAccepted event."""


def fold(events: Iterable[Event]) -> dict[str, Head]:
    """Heads by scope, in the order of their scopes, after these events (of any type; given in order of position)."""
    accepted: dict[str, dict[str, Head]] = {}
    for event in events:
        if event.type == "DeliveryAccepted":
            present = accepted.setdefault(event.data["scope"], {})
            others = [head for head in present.values() if head.delivery_id != event.data["delivery_id"]]
            present[event.data["delivery_id"]] = _head(event, others)
        elif event.type in FOLDED:
            accepted.get(event.data["scope"], {}).pop(event.data["delivery_id"], None)
    best = {scope: max(heads.values(), key=lambda head: head.rank) for scope, heads in accepted.items() if heads}
    return dict(sorted(best.items()))


def newer(data: Mapping[str, Any], reception: int, head: Head) -> bool:
    """Whether a delivery, received at that position, would take the place of this head."""
    return _rank(data, reception, [head]) > head.rank


def _rank(data: Mapping[str, Any], reception: int, others: Iterable[Head]) -> tuple[bool, int, str, int]:
    """What the greatest of wins: corrections, then the period, then the stamp of the archive, then the order of reception.

    A source without months has its stamps, if any, and the order of reception. A delivery without a stamp counts as built just
    after those of its period that are known when it is accepted.
    """
    place = (data.get("flow") in CORRECTIONS, int(data.get("period") or 0))
    stamp = data.get("stamp") or max((head.rank[2] for head in others if head.rank[:2] == place), default="")
    return (*place, stamp, reception)


def _head(event: Event, others: Iterable[Head]) -> Head:
    data = event.data
    return Head(
        scope=data["scope"],
        delivery_id=data["delivery_id"],
        position=event.position,
        rank=_rank(data, data["reception"], others),
        source=data["source"],
        period=data.get("period"),
        rows=_rows(data),
        tables=dict(data["tables"]),
        data=data,
    )


def _rows(data: Mapping[str, Any]) -> int:
    main = MAIN.get(data["source"])
    return int(data["families"].get(main, {}).get("rows_accepted", 0) if main else data["rows_accepted"])
