"""How the hub stands: settings, heads, what waits for a decision, what was published; and whether all of it is sound."""

from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from flows.decisions import last_decisions
from flows.deliveries import all_heads, names_of, quarantines, verdict_of
from flows.hub import PARIS, Hub, Settings, WrongUsage, parse_instant
from flows.published import folder_of, publications
from warehouse.blobs import BlobDamaged, BlobMissing
from warehouse.heads import BORDEREAU, DEMARCHE, ECARS, FOLDED, Head
from warehouse.log import GENESIS, Event


def position_of(hub: Hub, as_of: str | None) -> int | None:
    """A position of the log from ``--as-of``: a number is a position, anything else a date or instant of recording."""
    if as_of is None:
        return None
    head = hub.log.head()[0]
    if _is_position(as_of):
        if int(as_of) > head:
            raise WrongUsage(f"le journal s'arrête à la position {head}")
        return int(as_of)
    return hub.log.position_at(parse_instant(as_of))


def at(hub: Hub, as_of: str | None) -> tuple[Hub, int | None]:
    """The hub to ask and the position to ask it at: by a date, what depends on the day is judged on that day."""
    until = position_of(hub, as_of)
    return (replace(hub, judged_on=day_of(hub, as_of)) if as_of and not _is_position(as_of) else hub), until


def day_of(hub: Hub, as_of: str | None) -> date:
    """The day in Paris that ``--as-of`` names: that of a position is when its event was recorded; today by default, at most."""
    until = position_of(hub, as_of)
    if as_of is None or until is None:
        return hub.today()
    if _is_position(as_of):
        recorded = [event.recorded_at for event in hub.log.read(after=until - 1, until=until)] if until else []
        instant = datetime.fromisoformat(recorded[0]) if recorded else hub.clock()
    else:
        instant = parse_instant(as_of)
    return min(instant.astimezone(PARIS).date(), hub.today())


def _is_position(as_of: str) -> bool:
    return as_of.isdecimal() and len(as_of) < len("20260331")


def status(hub: Hub, until: int | None = None, under: str = "") -> dict[str, Any]:
    """Settings (without secrets) and their origins, log head, heads, deliveries held, last publication of each product.

    ``under``: only deliveries whose scope begins so.
    """
    settings = hub.settings
    position, hash_ = hub.log.head()
    if until is not None:
        hash_ = next(hub.log.read(after=until - 1, until=until)).hash if until else GENESIS
    known = {scope: head for scope, head in all_heads(hub, until).items() if scope.startswith(under)}
    standing = [head for head in known.values() if head.superseded_by is None]
    since = {head.scope: head.position for head in known.values()}  # what was held before is settled
    decided = [event for event in last_decisions(hub, until).values() if event.stream.startswith(under)]
    published = {event.stream: event for event in publications(hub, until=until)}
    answered = hub.log.read(until=until, types={"ProductAcknowledged"})
    answers = {(event.stream, event.data["number"]): event.data["answer"] for event in answered}
    return {
        "settings": {
            **{name: _setting(settings, name) for name in ("home", "database_url", "store_url", "warehouse_url")},
            "test": settings.test,
            "recipients": [
                {"name": one.name, "clearance": one.clearance, "formats": list(one.formats)} for one in settings.recipients
            ],
        },
        "log": {"position": position, "hash": hash_, "as_of": position if until is None else until},
        "heads": [_head(head) for head in standing if head.source != BORDEREAU],
        "bordereaux": [_bordereau(head) for head in known.values() if head.source == BORDEREAU],
        "held": [_held(one) for one in decided if verdict_of(one) == "held" and one.position > since.get(one.stream, 0)],
        "publications": [
            _publication(hub, event) | {"answer": answers.get((event.stream, event.data["number"]))}
            for event in published.values()
        ],
    }


def verify(hub: Hub) -> dict[str, Any]:
    """Check the log's chain, every blob that it names, every publication's files; ``problems`` is empty when all is sound."""
    from warehouse import products

    problems = hub.log.verify()
    raw: dict[str, str] = {}
    segments: dict[str, str] = {}
    for event in hub.log.read(types=FOLDED | {"DeliveryReceived"}):
        raw |= {file["sha256"]: str(file["name"]) for file in event.data.get("received", [])}
        if event.type == "DeliveryReceived" and event.data["source"] == DEMARCHE:
            raw |= _attached(hub, event)
        segments |= _segments(event)
    for name in sorted(raw):
        problems += _named(hub.blobs.verify("raw", name), raw[name])
    for name in sorted(segments):
        problems += _named(hub.blobs.verify("segments", name), segments[name])
    made = publications(hub)
    for event in made:
        problems += products.check(folder_of(hub, event), event)
    position, hash_ = hub.log.head()
    checked = {"events": position, "raw": len(raw), "segments": len(segments), "publications": len(made)}
    return {"sound": not problems, "problems": problems, "log": {"position": position, "hash": hash_}, "checked": checked}


def _attached(hub: Hub, event: Event) -> dict[str, str]:
    """The attached files of a delivery of a démarche; none where the list of them is itself lost, which is told of the list."""
    from flows.pull import attached

    with suppress(BlobDamaged, BlobMissing):
        return dict.fromkeys(attached(hub, event.data), f"pièce jointe, {event.stream}")
    return {}


def _segments(event: Event) -> dict[str, str]:
    """The segments that a decision names: the table, or what it is, and the scope."""
    told = {sha256: table for table, sha256 in event.data.get("tables", {}).items()}
    told |= dict.fromkeys(quarantines(event.data), "lignes écartées")
    told |= {event.data["refusal"]: "refus"} if event.data.get("refusal") else {}
    return {sha256: f"{what}, {event.stream}" for sha256, what in told.items()}


def _named(problem: str | None, whose: str) -> list[str]:
    """A problem of a blob, with what it holds in the words of people."""
    return [f"{problem} ({whose})"] if problem else []


def _head(head: Head) -> dict[str, Any]:
    return {
        "scope": head.scope,
        "file": names_of(head.data["received"]) if head.source == ECARS else None,
        "contracts": head.data.get("contracts"),
        "period": head.period,
        "flow": head.data.get("flow"),
        "rows": head.rows,
        "rows_quarantined": head.data["rows_quarantined"],
        "alerts": head.data["alerts"],
        "waived": head.data.get("waived", []),
        "delivery_id": head.delivery_id,
        "position": head.position,
    }


def _held(decided: Event) -> dict[str, Any]:
    return {
        "scope": decided.data["scope"],
        "period": decided.data.get("period"),
        "file": names_of(decided.data["received"]),
        "reasons": decided.data["reasons"],
        "delivery_id": decided.data["delivery_id"],
        "position": decided.position,
    }


def _publication(hub: Hub, published: Event) -> dict[str, Any]:
    return {
        "recipient": published.data["recipient"],
        "product": published.data["product"],
        "number": published.data["number"],
        "folder": str(folder_of(hub, published)),
        "published_at": published.recorded_at,
        "log_position": published.data["log"]["position"],
    }


def _bordereau(head: Head) -> dict[str, Any]:
    """A bordereau that stands, or that another one supersedes: of whom, when, how much."""
    told = head.data[BORDEREAU]
    return {
        "scope": head.scope,
        "file": names_of(head.data["received"]),
        "caisse": head.data["caisse"],
        **{name: told[name] for name in ("structure", "period_from", "period_to", "received_on", "claimed_cents")},
        "lines": head.rows,
        "rows_quarantined": head.data["rows_quarantined"],
        "replaces": head.replaces,
        "superseded_by": head.superseded_by,
        "same_content": head.data["same_content"],
        "alerts": head.data["alerts"],
        "waived": head.data.get("waived", []),
        "delivery_id": head.delivery_id,
        "position": head.position,
    }


def _setting(settings: Settings, name: str) -> dict[str, str]:
    from warehouse.log import redacted

    value = str(getattr(settings, name))
    return {"value": redacted(value) if "://" in value else value, "from": settings.origins[name]}
