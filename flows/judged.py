"""What the gate of any source makes of a delivery, and what the log adds to it. Imports no gate, which each take their time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from checks.deliveries import Tally
from flows.hub import Hub
from warehouse.log import Event

Progress = Callable[[str, int, int], None]
"""Called with a step's name, bytes done and bytes in all."""


@dataclass
class Judged:
    """What the gate made of a delivery: counts per family, segment per table, quarantine segment."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    quarantine: str | None = None
    restricted_quarantine: str | None = None
    """Segment of the lines set aside of families whose lines may be read by no view and no product."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the source has to say of the whole, for the decision to record."""
    standing: Any = None
    """What the log makes of it, for its judgement; not recorded."""
    unmoved: tuple[str, int] | None = None
    """The streams, and the position, that what was settled rests on (see ``NewEvent``)."""

    @property
    def resembles(self) -> str | None:
        """Another record kind that a file looks like, if one does."""
        return next((tally.resembles for tally in self.tallies.values() if tally.resembles), None)


def settle(hub: Hub, received: Event, judged: Judged) -> Judged:
    """Adds ``same_content``: an earlier delivery of the scope whose rows are the same to the cell, though its bytes differ."""
    same = None
    for event in hub.log.read(stream=received.stream, types={"DeliveryAccepted"}):
        if event.data["delivery_id"] != received.data["delivery_id"] and _same_rows(hub, event.data, judged):
            same = event.data["delivery_id"]
    return replace(judged, facts=judged.facts | {"same_content": same})


def _same_rows(hub: Hub, told: Mapping[str, Any], judged: Judged) -> bool:
    """Whether a decision accepted these very rows, in whatever order; segments are read only where counts do not tell."""
    before = told["tables"]
    if before == judged.tables:
        return True
    counts = {name: found["rows_accepted"] for name, found in told["families"].items()}
    if before.keys() != judged.tables.keys() or counts != {name: one.accepted for name, one in judged.tallies.items()}:
        return False
    from warehouse.blobs import BlobError
    from warehouse.differences import same_rows

    try:
        pairs = [(hub.blobs.segment_path(before[name]), hub.blobs.segment_path(judged.tables[name]))
                 for name in before if before[name] != judged.tables[name]]  # fmt: skip
    except BlobError:
        return False  # taken away since: nothing can be said of it
    return all(same_rows(*pair) for pair in pairs)
