"""What earlier exports hold of a contract that a new one lacks: its annex HPR stays, and whoever delivers is told.

Nothing here decides what stands (``flows.cpom_standing`` does). An export of the same group, not recorded yet, is not seen; the
product tells of it all the same. The index of a log grows with it: no export is looked at twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from connectors.ecars import Export
from flows.ecars_segments import WHOLE, table_of
from flows.hub import Hub
from warehouse.heads import ECARS, FOLDED
from warehouse.log import Event

if TYPE_CHECKING:
    from warehouse.log import Log

KEPT = "ecars.A1"
SHOWN = 5


@dataclass
class _Index:
    """By number, the exports that hold its annex HPR: by scope the reception, the file, and whether the annex is filled."""

    position: int = 0
    held: dict[str, dict[str, tuple[int, str, bool]]] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)
    """By scope, the numbers under which it stands in ``held``."""


def near_annexes(export: Export) -> dict[str, bool]:
    """The FINESS EJ whose annex HPR an export holds, and whether an indicator is chosen there; results alone are no annex."""
    said = export.value.group_by("sheet_id").agg(results=(pl.col("role") == "REALISE").all())
    sheets = export.sheet.filter(pl.col("annex") == "HPR").join(said, on="sheet_id", how="left")
    sheets = sheets.filter(~pl.col("results").fill_null(value=False)).drop_nulls("finess_ej")
    filled = set(export.row.filter("chosen")["sheet_id"])
    return {ej: sheet in filled for ej, sheet in sheets.select("finess_ej", "sheet_id").sort("finess_ej").iter_rows()}


def left_out(hub: Hub, received: Event, export: Export, file: str) -> str | None:
    """The warning of an export without the annex HPR of a contract that an earlier one holds filled; None when none does."""
    said = export.value.group_by("sheet_id").agg(results=(pl.col("role") == "REALISE").all())
    strategic = export.sheet.filter(pl.col("annex") == "STRAT").join(said, on="sheet_id", how="left")
    choices = strategic.filter(~pl.col("results").fill_null(value=False))["finess_ej"].drop_nulls().unique().sort()
    near = near_annexes(export)
    kept = _former(hub, received.position, [ej for ej in choices if ej not in near])
    if not kept:
        return None
    places = [f"{ej} (feuille « {_sheet(hub, scope, ej)} » de « {name} »)" for ej, scope, name in kept[:SHOWN]]
    more = f" et {len(kept) - SHOWN} de plus" if len(kept) > SHOWN else ""
    told = "pas de feuille « ANNEXE HOPITAUX DE PROXIMITE » ; celle d'un export précédent reste en place"
    return f"{file} : {told} : {', '.join(places)}{more} (règle {KEPT})"


def _former(hub: Hub, before: int, numbers: Sequence[str]) -> list[tuple[str, str, str]]:
    """Of these FINESS EJ, scope and file of the last export received before a position that holds its annex HPR, filled."""
    index = _index(hub.log)
    last = hub.log.head()[0]
    for event in hub.log.read(after=index.position, until=last, types=FOLDED, under=f"{ECARS}/"):
        for ej in index.named.pop(event.stream, ()):
            del index.held[ej][event.stream]
        if event.type == "DeliveryAccepted" and "regions" in event.data and (held := _held(hub, event)):
            index.named[event.stream] = [*held]
            for ej, filled in held.items():
                told = (event.data["reception"], event.data["files"][0]["name"], filled)
                index.held.setdefault(ej, {})[event.stream] = told
    index.position = last
    found = []
    for ej in numbers:
        received = [(*told, scope) for scope, told in index.held.get(ej, {}).items() if told[0] < before]
        if received and max(received)[2]:
            found.append((ej, max(received)[3], max(received)[1]))
    return found


@lru_cache(maxsize=2)
def _index(log: "Log") -> _Index:
    return _Index()


def _held(hub: Hub, event: Event) -> dict[str, bool]:
    """What a decision says of annexes HPR; one taken before it was said there is read in its segments, as filled."""
    if "near" in event.data:
        near: dict[str, bool] = event.data["near"]
        return near
    return dict.fromkeys(_sheets(hub, event.data["tables"])["finess_ej"].drop_nulls().sort(), True)


def _sheets(hub: Hub, tables: dict[str, str]) -> pl.DataFrame:
    """finess_ej and name of the sheets HPR of an export."""
    columns = ["finess_ej", "sheet", "annex"]
    found = [tables[name] for name in (table_of("sheet"), WHOLE) if name in tables]
    rows = [pl.read_parquet(hub.blobs.segment_path(segment), columns=columns) for segment in found]
    return pl.concat(rows).filter(pl.col("annex") == "HPR")


def _sheet(hub: Hub, scope: str, ej: str) -> str:
    """The name of the sheet HPR of a number in the export that stands for a scope."""
    return next(_names(hub, scope, ej), "HPR")


def _names(hub: Hub, scope: str, ej: str) -> Iterator[str]:
    events = [event for event in hub.log.read(stream=scope, types={"DeliveryAccepted"}) if "regions" in event.data]
    for event in events[-1:]:
        yield from _sheets(hub, event.data["tables"]).filter(pl.col("finess_ej") == ej)["sheet"].drop_nulls()
