"""Why the figures of a contract changed between two positions of the log: each event replayed in order, its part told.

What an event contributes to a figure is its value after it minus its value before, so that parts sum to the change; a figure
that is not there counts as 0 in sums. Rules and parameters are those of now on both sides: what a change of theirs did is not
told. Figures are those before masks: for whoever runs the hub.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flows import computed, cpom
from flows.computed import Moment
from flows.deliveries import all_heads
from flows.hub import PARIS, Hub, WrongUsage
from warehouse.heads import ECARS, FOLDED
from warehouse.log import Event

if TYPE_CHECKING:
    pass

Value = int | Decimal | str | None
Key = tuple[str, tuple[tuple[str, Any], ...], str]

SHOWN = {
    cpom.COMPARED: (
        ("id", "year", "role"),
        ("declared", "numerator", "denominator", "recomputed_hundredths", "gap_hundredths"),
    ),
    "out_ars__cpom_contract": ((), ("chosen_ct", "chosen_os", "chosen_hpr", "blocking", "warnings")),
    "out_ars__cpom_target": (("indicator_id", "year", "role"), ("declared",)),
}
"""By table: what names a row of one contract, and its figures. Hundredths of a point for recomputed values and gaps."""

WORDS = {"DeliveryAccepted": "livraison", "DeliveryRejected": "refus après coup", "DeliveryWithdrawn": "retrait"}


class PartsDoNotSum(Exception):
    """Parts that do not add up to the change: a defect of the replay, never of the data."""


def difference(hub: Hub, finess_ej: str, before: int, after: int) -> dict[str, Any]:
    """Every figure of a contract that changed in (before, after], with the part of each event. WrongUsage; PartsDoNotSum.

    Judged on both sides for the day of ``after``: what only the days that passed changed is no event, and is not told.
    """
    if before > after:
        raise WrongUsage(f"AVANT doit précéder APRÈS : la position {before} vient après {after}")
    region = cpom.region_of_contract(finess_ej)
    end = computed.moment(hub, "cpom", after)
    if end is None:
        raise WrongUsage(f"aucun contrat accepté à la position {after}")
    first = then = _figures(hub, finess_ej, region, Moment(before, end.on))
    parts: dict[Key, list[dict[str, Any]]] = {}
    for event in _events(hub, region, before, after):
        now = _figures(hub, finess_ej, region, Moment(event.position, end.on))
        for key in _differing(then, now):
            part = _worth(now.get(key)) - _worth(then.get(key))
            told = {"position": event.position, "cause": _cause(event), "contribution": part}
            parts.setdefault(key, []).append(told)
        then = now
    found = []
    for key in _differing(first, then):
        change = _worth(then.get(key)) - _worth(first.get(key))
        if sum(part["contribution"] for part in parts[key]) != change:
            raise PartsDoNotSum(f"{key[0]}.{key[2]}: the parts do not add up to the change; nothing was shown")
        table, keys, figure = key
        found.append({"table": table, "keys": dict(keys), "figure": figure, "before": first.get(key), "after": then.get(key),
                      "change": change, "parts": parts[key]})  # fmt: skip
    return {"finess_ej": finess_ej, "before": before, "after": after, "figures": found}


def _events(hub: Hub, region: str, before: int, after: int) -> Iterator[Event]:
    """The events that may have changed a contract of a région."""
    for event in hub.log.read(after=before, until=after, types=FOLDED | {"DecisionTaken"}):
        data = event.data
        if event.type == "DecisionTaken":
            if data["kind"] in cpom.KINDS and data["organisation"] in (f"ars-{region}", "hub"):
                yield event
        elif data["source"] in cpom.SOURCES and (data["source"] != ECARS or region in data.get("regions", (region,))):
            yield event


def _figures(hub: Hub, finess_ej: str, region: str, at: Moment) -> dict[Key, Value]:
    import polars as pl

    from checks.cpom.product import tables

    known = all_heads(hub, at.position)
    if region not in cpom.regions(known):
        return {}
    found = cpom.judged(hub, known, region, at, only=finess_ej)
    made = tables(found.facts, found.judgement, found.comparison, found.watch, found.law)
    made[cpom.COMPARED] = found.comparison.compared
    figures: dict[Key, Value] = {}
    for name, (keys, columns) in SHOWN.items():
        for row in made[name].filter(pl.col("finess_ej") == finess_ej).iter_rows(named=True):
            place = tuple((key, row[key]) for key in keys)
            figures |= {(name, place, column): row[column] for column in columns if row[column] is not None}
    return figures


def _differing(left: Mapping[Key, Value], right: Mapping[Key, Value]) -> list[Key]:
    return sorted((key for key in {*left, *right} if left.get(key) != right.get(key)), key=str)


def _worth(value: Value) -> Any:
    return 0 if value is None else value


def _cause(event: Event) -> str:
    day = f"{datetime.fromisoformat(event.recorded_at).astimezone(PARIS):%d/%m/%Y}, position {event.position}"
    data = event.data
    if event.type == "DecisionTaken":
        word = "retrait d'une décision" if data.get("withdraws") else "décision"
        return f"{word} sur {data['subject']} ({day})"
    return f"{WORDS[event.type]} de {', '.join(str(file['name']) for file in data['received'])} ({day})"
