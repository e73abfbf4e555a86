"""Heads: which accepted delivery stands for each scope, by folding the log up to a position.

Nothing is stored: the log is the state. A delivery replaces the head of its scope whole. Corrections of the year (LAMDA,
M999) win over all months, then the greatest period, then the stamp of the archive, then the order of reception: a month sent
late never displaces a later one. Where a delivery says that it replaces another scope (*annule et remplace*), the last of the
chain stands, and the others stay readable as superseded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from contracts_schema.families import CORRECTIONS
from warehouse.log import Event

FOLDED = frozenset({"DeliveryAccepted", "DeliveryRejected", "DeliveryWithdrawn"})
"""Event types that move a head: a delivery judged again may be refused after it was accepted."""

PMSI = "pmsi"
BORDEREAU = "bordereau"
DATASET = "dataset"
ECARS = "ecars"
DEMARCHE = "demarche"

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
    replaces: str | None = None
    """The scope, of those accepted, that comes just before this one in its chain of replacements."""
    superseded_by: str | None = None
    """The scope that comes just after it; None for what stands."""


class Folding:
    """Takes in events in the order of their positions; tells what is accepted after them, and what stands of it."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._accepted: dict[str, dict[str, Head]] = {}
        self._links: dict[str, frozenset[tuple[str, str]]] = {}
        self._received: dict[str, int] = {}
        self._before: dict[str, set[str]] | None = None
        self._after: dict[str, set[str]] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one more event, of a greater position than all before."""
        if event.type not in FOLDED:
            return
        data = event.data
        present = self._accepted.setdefault(data["scope"], {})
        if event.type == "DeliveryAccepted":
            others = [head for head in present.values() if head.delivery_id != data["delivery_id"]]
            present[data["delivery_id"]] = _head(event, others)
        else:
            present.pop(data["delivery_id"], None)
        if "lineage" in data:  # a link outlives the withdrawal of what made it: what comes after it still replaces
            self._received[data["scope"]] = data["reception"]
            self._links[data["scope"]] = links(data)
            self._before = None

    def chain(self, scope: str) -> list[str]:
        """The scopes tied to this one by replacements, withdrawn ones included, from the first to the one that wins."""
        before = self._replaced()
        tied, pending = {scope}, [scope]
        while pending:
            one = pending.pop()
            new = (before.get(one, set()) | self._after.get(one, set())) - tied
            tied |= new
            pending += new
        return self._in_order({one: before.get(one, set()) & tied for one in tied})

    def heads(self, scopes: Iterable[str] | None = None) -> dict[str, Head]:
        """The best accepted delivery of each scope (of all by default), superseded ones included, in the order of scopes."""
        asked = self._accepted if scopes is None else scopes
        found = {scope: head for scope in asked if (head := self._best(scope))}
        tied = {*self._replaced(), *self._after}
        for scope in sorted(tied & set(found)):
            if found[scope].replaces or found[scope].superseded_by:
                continue
            chain = [one for one in self.chain(scope) if self._best(one)]
            for before, after in pairwise(chain):
                if before in found:
                    found[before] = replace(found[before], superseded_by=after)
                if after in found:
                    found[after] = replace(found[after], replaces=before)
        return dict(sorted(found.items()))

    def _best(self, scope: str) -> Head | None:
        return max(self._accepted.get(scope, {}).values(), key=lambda head: head.rank, default=None)

    def _replaced(self) -> dict[str, set[str]]:
        """What each scope directly replaces, by the decisions taken in."""
        if self._before is None:
            self._before, self._after = {}, {}
            for one, other in {pair for found in self._links.values() for pair in found}:
                self._before.setdefault(other, set()).add(one)
                self._after.setdefault(one, set()).add(other)
        return self._before

    def _in_order(self, waiting: dict[str, set[str]]) -> list[str]:
        """What replaces comes after what it replaces; of two that replace the same, the one received later comes last."""
        order: list[str] = []
        while waiting:
            free = [scope for scope, before in waiting.items() if not before - set(order)]
            # none is free in a circle, where each says that it replaces the other
            order.append(min(free or waiting, key=lambda scope: (self._received.get(scope, 0), scope)))
            del waiting[order[-1]]
        return order


def links(data: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The replacements that a decision tells, as (scope replaced, scope that replaces it)."""
    told = {(after, data["scope"]) for after in [data.get("replaces")] if after}
    return frozenset(told | {(data["scope"], after) for after in data.get("replaced_by", [])})


def fold(events: Iterable[Event]) -> dict[str, Head]:
    """The heads that stand, by scope, in the order of their scopes, after these events (of any type; in order of position)."""
    return {scope: head for scope, head in fold_all(events).items() if head.superseded_by is None}


def fold_all(events: Iterable[Event]) -> dict[str, Head]:
    """The same with the heads that others supersede, which say by which scope."""
    return Folding(events).heads()


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
