"""A delivery's way in, as plain functions: land its bytes, judge its rows, decide. What flows and the command line call.

Bytes first, event second, one transaction per decision: stopped at any point, the same call again ends in the same single
decision. Whoever calls gets counts, hashes and rule ids, never a row.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from connectors import transmissions
from contracts_schema.families import FAMILIES
from contracts_schema.fingerprint import fingerprint
from flows import arrivals
from flows.arrivals import Arrival
from flows.arrivals import passed_over as passed_over
from flows.hub import PARIS, Hub, Settings, WrongUsage
from warehouse.heads import FOLDED, Head, fold, fold_all, newer
from warehouse.log import Event, KeyConflict, NewEvent, VersionConflict, canonical, paris

if TYPE_CHECKING:
    import polars as pl

    from checks.deliveries import Judgement, Standing
    from flows.judged import Judged, Progress
    from warehouse.log import Log

READ_BYTES = 16 << 20
"""Bytes of a file read at a time: bounds memory."""

CARRIED = ("delivery_id", "source", "scope", "finess", "year", "period", "flow", "stamp", "field_of_care", "caisse",
           "dataset", "layout", "reduced", "sender", "received", "files")  # fmt: skip
"""What a decision repeats of the reception, so that it can be read alone."""

GATES = {
    "pmsi": "flows.gate",
    "bordereau": "flows.bordereau_gate",
    "dataset": "flows.dataset_gate",
    "ecars": "flows.ecars_gate",
    "demarche": "flows.demarche_gate",
    **dict.fromkeys(("ecds", "fir", "cpts"), "flows.campaign_gate"),
}
"""The module that judges the deliveries of each source: its functions ``gate`` (rows), ``settle`` (what the log makes of them)
and ``judge`` (the whole)."""


@dataclass(frozen=True)
class Report:
    """What became of one delivery: the answer of ``ingest``. ``rules`` counts lines per rule, warnings included."""

    status: str
    """accepted, held, rejected, or already_known when these bytes were decided before."""
    files: list[dict[str, Any]]
    """The files as received: name, sha256, size."""
    scope: str | None = None
    delivery_id: str | None = None
    period: int | None = None
    rows_in: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    lines_ignored: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    message: str | None = None
    decision: str | None = None
    """What was decided, now or before: accepted, held, rejected or withdrawn."""
    families: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Counts per family of files."""
    notes: list[str] = field(default_factory=list)
    """What else is to be known of it, in French: the same content, or the same bytes under another name."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def find(
    paths: Iterable[Path], caisse: str | None = None, settings: Settings | None = None
) -> tuple[list[Arrival], list[Report]]:
    """The deliveries among these files and folders, transmissions month after month, then bordereaux; and a report for each
    file refused at the door.

    Under a folder, files that say nothing by their names are passed over. ``caisse`` received the bordereaux; by default a
    folder ``cpam-<code>`` tells it, else the settings, else the file. WrongUsage when a path does not exist or a folder holds
    nothing to read.
    """
    found, refused = arrivals.gather(paths, caisse, settings)
    return found, [refusal_report(path.name, refusal) for path, refusal in refused]


def refusal_report(name: str, refusal: transmissions.Refused) -> Report:
    """The report of a file refused at the door."""
    reasons = [refusal.rule] if refusal.rule else []
    return Report("rejected", [{"name": name}], reasons=reasons, message=str(refusal), decision="rejected")


def ingest(hub: Hub, found: Arrival, received_at: datetime | None = None, progress: "Progress" = lambda *_: None) -> Report:
    """Ingest one delivery: land it, judge it, decide; ``already_known`` when these bytes were decided before."""
    delivery = receive(hub, found, received_at, progress)
    return delivery if isinstance(delivery, Report) else decide(hub, delivery, progress)


def receive(
    hub: Hub, found: Arrival, received_at: datetime | None = None, progress: "Progress" = lambda *_: None
) -> Report | str:
    """Land a delivery's exact bytes and record its reception; gives its id, or a report when there is no more to do."""
    try:
        received = [described(found, path, progress) for path in found.received]
        identity = identity_of(found, received)
        delivery_id, known = _known(hub, identity)
        if known and (wrong := found.correction(known.data)):
            if verdict_of(known) == "accepted":
                return replace(report(hub, known, already=True), message=wrong.format(id=delivery_id[:8]))
            delivery_id, known = _known(hub, identity | {"corrects": known.position})
        if known:
            return _under_its_name(report(hub, known, already=True), received)
        hub.blobs.sweep()
        key = f"received/{delivery_id}"
        if hub.log.find(key) is None:
            event = reception_of(hub, found, delivery_id, received, received_at)
            # compressing leaves the interpreter free: what judges is imported meanwhile
            Thread(target=import_module, args=(GATES[event.data["source"]],)).start()
            for path, file in zip(found.received, received, strict=True):
                land(hub, found, path, file["sha256"], progress)
            _append_once(hub, event, hub.meta())
        return delivery_id
    except transmissions.Refused as refusal:
        return refusal_report(found.name, refusal)
    except OSError as error:
        return refusal_report(found.name, transmissions.unreadable(error))


def _under_its_name(known: Report, received: Iterable[Mapping[str, Any]]) -> Report:
    """The report of a known delivery, which says so when its bytes came under other names than before."""
    names = {file["sha256"]: str(file["name"]) for file in received}
    moved = [f"{names[one['sha256']]} : mêmes octets que {one['name']}" for one in known.files
             if names.get(one["sha256"], one["name"]) != one["name"]]  # fmt: skip
    return replace(known, notes=[*known.notes, *moved])


def reception_of(
    hub: Hub, found: Arrival, delivery_id: str, received: list[dict[str, Any]], received_at: datetime | None
) -> NewEvent:
    """The event that records a reception. Refused."""
    facts = found.facts(received, received_at.astimezone(PARIS).date() if received_at else hub.today())
    data = {"delivery_id": delivery_id, **facts, "received": received, "files": _members(found, received)}
    if received_at:
        data["received_at"] = received_at.isoformat()
    return NewEvent(facts["scope"], "DeliveryReceived", data, f"received/{delivery_id}")


def decide(hub: Hub, delivery_id: str, progress: "Progress" = lambda *_: None) -> Report:
    """Judge a received delivery and record what becomes of it; a second call gives the first answer."""
    received = reception(hub, delivery_id)
    known = decision(hub, received.stream, delivery_id)
    if known:
        return report(hub, known, already=True)
    return judge_again(hub, received, progress)


def judge_again(hub: Hub, received: Event, progress: "Progress" = lambda *_: None, before: Event | None = None) -> Report:
    """Judge a delivery's kept bytes under the present contracts and record the answer, which replaces ``before``."""
    judged = import_module(GATES[received.data["source"]]).gate(hub, received, progress)
    while True:
        version = hub.log.version(received.stream)
        last = decision(hub, received.stream, received.data["delivery_id"])
        if last and last != before:  # decided elsewhere in the meantime, or withdrawn
            return report(hub, last, already=True)
        event = decision_of(hub, received, judged, version, before)
        try:
            decided, ours = hub.log.append(event, hub.meta())
            return report(hub, decided, already=not ours)
        except (VersionConflict, KeyConflict):
            continue  # another event of this scope came in between: what stands may have changed


def reception(hub: Hub, delivery_id: str) -> Event:
    """The reception of a delivery; LookupError when there is none."""
    received = hub.log.find(f"received/{delivery_id}")
    if received is None:
        raise LookupError(f"no delivery {delivery_id} was received")
    return received


def decision(hub: Hub, scope: str, delivery_id: str) -> Event | None:
    """The last decision on a delivery, if any."""
    found = None
    for event in hub.log.read(stream=scope, types=FOLDED):
        if event.data["delivery_id"] == delivery_id:
            found = event
    return found


def heads(hub: Hub, until: int | None = None) -> dict[str, Head]:
    """The heads that stand, by scope, now or as of a position of the log."""
    return {scope: head for scope, head in all_heads(hub, until).items() if head.superseded_by is None}


def all_heads(hub: Hub, until: int | None = None, under: str | None = None) -> dict[str, Head]:
    """The same with those that others supersede; ``under`` is how the scopes asked for begin (``bordereau/``)."""
    last = hub.log.head()[0]
    return dict(_folded(hub.log, last if until is None else min(until, last), under))


@lru_cache(maxsize=4)
def _folded(log: "Log", until: int, under: str | None) -> dict[str, Head]:
    """What stood at a position stands there for ever."""
    return fold_all(log.read(until=until, types=FOLDED, under=under))


def report(hub: Hub, decided: Event, *, already: bool) -> Report:
    """What a decision says, as the answer to who asks."""
    data = decided.data
    verdict = verdict_of(decided)
    families = data["families"]
    rules: dict[str, int] = {}
    for tally in families.values():
        for rule, count in (tally["quarantined"] | tally.get("warned", {})).items():
            rules[rule] = rules.get(rule, 0) + count
    return Report(
        status="already_known" if already else verdict,
        decision=verdict,
        files=data["received"],
        scope=data["scope"],
        delivery_id=data["delivery_id"],
        period=data.get("period"),
        rows_in=data["rows_in"],
        rows_accepted=data["rows_accepted"],
        rows_quarantined=data["rows_quarantined"],
        lines_ignored=data["lines_ignored"],
        rules=dict(sorted(rules.items())),
        reasons=data.get("reasons", []),
        alerts=data["alerts"],
        message=withdrawal_fr(decided) if verdict == "withdrawn" else _message(hub, data),
        families={
            name: {"rows_in": tally["rows_in"], "rows_accepted": tally["rows_accepted"],
                   "rows_quarantined": tally["rows_quarantined"]}
            for name, tally in families.items()
        },
        notes=_notes(data),
    )  # fmt: skip


def lacking(data: Mapping[str, Any]) -> list[str]:
    """The families of files that a transmission has not, or empty, in their order."""
    return [name for name in FAMILIES if not data["families"].get(name, {}).get("rows_in")]


def _notes(data: Mapping[str, Any]) -> list[str]:
    """What its alerts do not tell: which families lack, and that another delivery has the same content."""
    same, alerts, found = data.get("same_content"), set(data["alerts"]), []
    if alerts & {"pmsi.family_missing", "pmsi.family_empty"}:
        found += [f"familles absentes ou vides : {', '.join(lacking(data))}"]
    if same and not any(alert.endswith(".same_content") for alert in alerts):
        found += [f"même contenu, à la cellule près, que la livraison {same[:8]} : seuls les octets diffèrent"]
    return found


def _message(hub: Hub, data: Mapping[str, Any]) -> str | None:
    """What to say of a delivery besides its rules; what the gate said of a file that it could not read lies in a segment."""
    if data.get("resembles"):
        return f"le contenu ressemble à {data['resembles']}"
    if "refusal" in data:
        import polars as pl

        said = pl.read_parquet(hub.blobs.segment_path(data["refusal"]), columns=["message_fr"])
        return " ; ".join(said["message_fr"])
    return None


def withdrawal_fr(withdrawn: Event) -> str:
    """Who took a delivery back, when and why, and how it comes back."""
    data = withdrawn.data
    when = paris(withdrawn.recorded_at)
    who = f"retirée le {when:%d/%m/%Y} par {withdrawn.meta['actor']} (position {withdrawn.position}) : « {data['reason']} »"
    return f"{who} ; « ecluse withdraw {data['delivery_id'][:8]} --undo --reason … » la rétablit"


def set_aside(hub: Hub, data: Mapping[str, Any]) -> "pl.DataFrame":
    """The lines that a decision sets aside: ``family``, ``line_number``, ``rule``, ``fields``; never what they hold."""
    import polars as pl

    columns = {"family": pl.String(), "line_number": pl.Int64(), "rule": pl.String(), "fields": pl.List(pl.String())}
    parts = [pl.read_parquet(hub.blobs.segment_path(segment), columns=list(columns)) for segment in quarantines(data)]
    order = {file["family"]: rank for rank, file in enumerate(data["files"])}
    rows = pl.concat([pl.DataFrame(schema=columns), *parts])
    return rows.sort(pl.col("family").replace_strict(order, return_dtype=pl.Int64), maintain_order=True)


def quarantines(data: Mapping[str, Any]) -> list[str]:
    """The segments of lines that a decision sets aside, the restricted one last."""
    return [data[name] for name in ("quarantine", "restricted_quarantine") if data.get(name)]


def names_of(received: Iterable[Mapping[str, Any]]) -> str:
    """The names of the files as received, for people."""
    return ", ".join(str(file["name"]) for file in received)


def verdict_of(decided: Event) -> str:
    """accepted, held, rejected or withdrawn."""
    if decided.type == "DeliveryRejected":
        return "held" if decided.data["held"] else "rejected"
    return "accepted" if decided.type == "DeliveryAccepted" else "withdrawn"


def described(found: Arrival, path: Path, progress: "Progress" = lambda *_: None) -> dict[str, Any]:
    """A file as received: name, sha256, size."""
    digest, size, total = hashlib.sha256(), 0, path.stat().st_size
    for chunk in found.content(path) or _chunks(path):
        digest.update(chunk)
        size += len(chunk)
        progress("lecture", size, total)
    return {"name": path.name, "sha256": digest.hexdigest(), "size": size}


def _members(found: Arrival, received: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files to read: entries of the archive, or the files received themselves, whose hash is known already."""
    hashes = (
        [(file["sha256"], file["size"]) for file in received]
        if found.archive is None
        else [transmissions.fingerprint(member) for member in found.members]
    )
    return [
        {"family": member.family, "name": member.name, "entry": member.entry, "sha256": sha256, "size": size}
        for member, (sha256, size) in zip(found.members, hashes, strict=True)
    ]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            yield chunk


def identity_of(found: Arrival, received: list[dict[str, Any]]) -> dict[str, Any]:
    """What makes it this delivery and no other. Refused."""
    return found.identity(received) | {"received": sorted(file["sha256"] for file in received)}


def id_of(identity: Mapping[str, Any]) -> str:
    """The id of the delivery of this identity."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def _known(hub: Hub, identity: Mapping[str, Any]) -> tuple[str, Event | None]:
    """The id of the delivery of this identity, and the last decision on it, if any."""
    delivery_id = id_of(identity)
    return delivery_id, decision(hub, identity["scope"], delivery_id)


def land(hub: Hub, found: Arrival, path: Path, sha256: str, progress: "Progress" = lambda *_: None) -> None:
    """Keep the bytes of a file, which must be those of this hash. WrongUsage when they changed since they were read."""
    total = path.stat().st_size

    def counted() -> Iterator[bytes]:
        done = 0
        for chunk in found.content(path) or _chunks(path):
            yield chunk
            done += len(chunk)
            progress("réception", done, total)

    blob = hub.blobs.put_stream(counted())
    if blob.sha256 != sha256:
        raise WrongUsage(f"{path.name} a changé pendant la lecture : attendez la fin de son dépôt, puis relancez")


def _append_once(hub: Hub, event: NewEvent, meta: dict[str, Any]) -> None:
    """Append a reception, unless another process has just recorded the same one under another name or date."""
    try:
        hub.log.append(event, meta)
    except KeyConflict:
        if hub.log.find(event.key) is None:
            raise


def decision_of(hub: Hub, received: Event, judged: "Judged", version: int, before: Event | None = None) -> NewEvent:
    """The event that decides, given what stands for the scope at this version of its stream."""
    data = received.data
    source = import_module(GATES[data["source"]])
    judged = source.settle(hub, received, judged)
    judgement: Judgement = source.judge(hub, received, judged)
    decided = {
        **{name: data[name] for name in CARRIED if name in data},
        "reception": received.position,
        "basis": fingerprint(),
        **judged.facts,
        "tables": judged.tables,
        "quarantine": judged.quarantine,
        "restricted_quarantine": judged.restricted_quarantine,
        "alerts": list(judgement.alerts),
        **totals(judged),
    }
    kind = "DeliveryAccepted"
    waiver = active_waiver(hub, received, judgement.rules) if judgement.outcome == "held" else None
    if waiver:
        decided |= {"waiver": waiver.idempotency_key, "waived": list(judgement.rules)}
    elif judgement.outcome != "accepted":
        kind = "DeliveryRejected"
        decided |= {"held": judgement.outcome == "held", "reasons": list(judgement.rules), "resembles": judged.resembles}
    # contracts may go back to what they were: what is replaced is part of the fact
    key = f"decided/{data['delivery_id']}/{fingerprint()}" + (f"/{before.position}" if before else "")
    return NewEvent(received.stream, kind, decided, key, version, judged.unmoved, caused_by=received.position)


def totals(judged: "Judged") -> dict[str, Any]:
    """The counts of a decision: of the whole delivery, then of each family."""
    families: dict[str, dict[str, Any]] = {
        name: {"lines": tally.lines, "lines_ignored": tally.ignored, "rows_in": tally.rows, "rows_accepted": tally.accepted,
               "rows_quarantined": sum(tally.quarantined.values()), "padded": tally.padded, "formats": tally.formats,
               "quarantined": tally.quarantined, "warnings": tally.warnings, "warned": tally.warned}
        for name, tally in judged.tallies.items()
    }  # fmt: skip
    counted = ("rows_in", "rows_accepted", "rows_quarantined", "lines_ignored")
    return {name: sum(tally[name] for tally in families.values()) for name in counted} | {"families": families}


def active_waiver(hub: Hub, received: Event, rules: tuple[str, ...]) -> Event | None:
    """The last waiver of this delivery that covers these rules and still holds today."""
    found = None
    for event in hub.log.read(stream=received.stream, types={"DecisionTaken"}):
        decided = event.data
        covers = decided["kind"] == "waiver" and decided["subject"] == received.data["delivery_id"]
        if covers and set(rules) <= set(decided["value"]) and date.fromisoformat(decided["until"]) >= hub.today():
            found = event
    return found


def settled_now(hub: Hub, decided: Event) -> tuple[dict[str, Any], tuple[str, int] | None]:
    """What a decision says that depends on the rest of the log, as of now: its alerts, and what its source settles; with the
    streams that must not have moved since (see ``NewEvent``).
    """
    from checks.deliveries import Tally
    from flows.judged import Judged

    data = decided.data
    tallies = {
        name: Tally(lines=counts["lines"], ignored=counts["lines_ignored"], accepted=counts["rows_accepted"],
                    quarantined=counts["quarantined"], warnings=counts["warnings"])
        for name, counts in data["families"].items()
    }  # fmt: skip
    source = import_module(GATES[data["source"]])
    received = reception(hub, data["delivery_id"])
    facts = {name: data[name] for name in source.SETTLED if name in data}
    judged = source.settle(hub, received, Judged(tallies, dict(data["tables"]), facts=facts))
    alerts = list(source.judge(hub, received, judged).alerts)
    return {**judged.facts, "tables": judged.tables, "alerts": alerts}, judged.unmoved


def standing(hub: Hub, received: Event) -> "Standing | None":
    """What now stands for the scope of a delivery, and whether the delivery would take its place."""
    from checks.deliveries import Standing

    others = (event for event in hub.log.read(stream=received.stream, types=FOLDED)
              if event.data["delivery_id"] != received.data["delivery_id"])  # fmt: skip
    head = fold(others).get(received.stream)
    if head is None:
        return None
    rows = {name: tally["rows_accepted"] for name, tally in head.data["families"].items()}
    return Standing(rows, displaced=newer(received.data, received.position, head))
