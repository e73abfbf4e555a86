"""Small deliveries by the hundred, each decided for itself, whose bytes and events reach the disk together.

The same bytes, events and answers as ``flows.deliveries.ingest`` one after the other; only for deliveries that nothing else
bears upon. Bytes first, events second, as there: all receptions of a group in one transaction, then all its decisions. What is
known already, refused, or touched by another process meanwhile is left to ``flows.deliveries``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any

from connectors.ecars_files import EXPORT, EcarsFile
from connectors.transmissions import Refused
from flows import deliveries
from flows.arrivals import Arrival
from flows.deliveries import GATES, Report
from flows.hub import Hub
from warehouse.log import Event, KeyConflict, VersionConflict

if TYPE_CHECKING:
    from flows.judged import Progress

SMALL = 1 << 20
"""Bytes of a file that may be held with those of its group."""
GROUP = 60
"""Deliveries of a group: enough for one transaction to cost little, few enough to lose little when it is interrupted."""


@dataclass(frozen=True)
class _New:
    found: Arrival
    delivery_id: str
    received: list[dict[str, Any]]


def groups(found: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    """What may be taken in side by side: deliveries of one lane, or small ones of lanes of their own, in the order found."""
    for alone, some in groupby(found, key=_is_small):
        lanes = [list(lane) for _, lane in groupby(some, key=lambda one: one.lane)]
        size = GROUP if alone else 1
        for start in range(0, len(lanes), size):
            yield [one for lane in lanes[start : start + size] for one in lane]


def ingest(
    hub: Hub,
    group: Sequence[Arrival],
    received_at: datetime | None = None,
    progress: "Callable[[Arrival], Progress]" = lambda one: lambda *_: None,
) -> list[Report]:
    """Ingest a group that ``groups`` made; reports in its order."""
    if is_group(group):
        new = _new(hub, group)
        if len(new) > 1:
            with suppress(KeyConflict, VersionConflict, Refused, OSError):  # another process is at it, or a file moved away
                made = _ingested(hub, new, received_at)
                return [made.get(_name(one)) or deliveries.ingest(hub, one, received_at, progress(one)) for one in group]
    return [deliveries.ingest(hub, one, received_at, progress(one)) for one in group]


def is_group(group: Sequence[Arrival]) -> bool:
    """Whether these are small deliveries that go side by side."""
    return len(group) > 1 and all(map(_is_small, group))


def _is_small(one: Arrival) -> bool:
    """An export of the CPOM is a scope of its own: nothing else is looked at to decide of it."""
    with suppress(OSError):  # told when it is read
        return isinstance(one, EcarsFile) and one.kind == EXPORT and one.path.stat().st_size <= SMALL
    return False


def _new(hub: Hub, group: Sequence[Arrival]) -> list[_New]:
    """Those of the group that were never received, the same bytes once."""
    read: dict[str, _New] = {}
    for one in group:
        with suppress(Refused, OSError):
            received = [deliveries.described(one, path) for path in one.received]
            delivery_id = deliveries.id_of(deliveries.identity_of(one, received))
            read.setdefault(delivery_id, _New(one, delivery_id, received))
    known = hub.log.find_all([f"received/{delivery_id}" for delivery_id in read])
    return [one for delivery_id, one in read.items() if f"received/{delivery_id}" not in known]


def _ingested(hub: Hub, new: Sequence[_New], received_at: datetime | None) -> dict[str, Report]:
    hub.blobs.sweep()
    with hub.blobs.together():
        for one in new:
            for path, file in zip(one.found.received, one.received, strict=True):
                deliveries.land(hub, one.found, path, file["sha256"])
    events = [deliveries.reception_of(hub, one.found, one.delivery_id, one.received, received_at) for one in new]
    received = [event for event, _ in hub.log.append_all(events, hub.meta())]
    decided = _decided(hub, received)
    return {
        _name(one.found): deliveries.report(hub, event, already=not ours)
        for one, (event, ours) in zip(new, decided, strict=True)
    }


def _decided(hub: Hub, received: Sequence[Event]) -> list[tuple[Event, bool]]:
    with hub.blobs.together():
        judged = [import_module(GATES[event.data["source"]]).gate(hub, event) for event in received]
    made = [deliveries.decision_of(hub, event, one, event.version) for event, one in zip(received, judged, strict=True)]
    return hub.log.append_all(made, hub.meta())


def _name(one: Arrival) -> str:
    return "\0".join(map(str, one.received))
