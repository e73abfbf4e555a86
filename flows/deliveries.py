"""A delivery's way in, as plain functions: land its bytes, judge its rows, decide. What flows and the command line call.

Bytes first, event second, one transaction per decision: stopped at any point, the same call again ends in the same single
decision. Whoever calls gets counts, hashes and rule ids, never a row.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors import pmsi
from contracts_schema.fingerprint import fingerprint
from contracts_schema.layouts import layouts
from flows.hub import Hub, WrongUsage
from warehouse import faults
from warehouse.heads import Head, fold, rank
from warehouse.log import Event, KeyConflict, NewEvent, VersionConflict, canonical

if TYPE_CHECKING:
    from checks.deliveries import Standing, Tally

READ_BYTES = 16 << 20
"""Bytes of a file read and judged at a time: bounds memory."""

TABLE = "pmsi_rsa"

CARRIED = ("delivery_id", "source", "scope", "finess", "year", "period", "field_of_care", "record")
"""What a decision repeats of the reception, so that it can be read alone."""

Progress = Callable[[str, int, int], None]
"""Called with a step's name, bytes done and bytes in all."""


@dataclass(frozen=True)
class Report:
    """What became of one delivery: the answer of ``ingest``. ``rules`` counts lines per rule, warnings included."""

    status: str
    """accepted, held, rejected, or already_known when these bytes were decided before."""
    files: list[dict[str, Any]]
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
    """What was decided, now or before: accepted, held or rejected."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The files to ingest: those named, and under a folder every file whose name a reader knows, month after month.

    WrongUsage when a path does not exist or a folder holds nothing to read.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(entry for entry in path.rglob("*") if entry.is_file() and pmsi.is_known(entry))
            if not inside:
                raise WrongUsage(
                    f"rien à ingérer dans {path} : aucun fichier au nom reconnu (par exemple 990000017.2025.3.rsa)"
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise WrongUsage(f"fichier introuvable : {path}")
    return sorted(dict.fromkeys(found), key=_stated_order)


def ingest(hub: Hub, path: Path, received_at: datetime | None = None, progress: Progress = lambda *_: None) -> Report:
    """Ingest one file: land it, judge it, decide; ``already_known`` when these bytes were decided before."""
    delivery = receive(hub, path, received_at, progress)
    return delivery if isinstance(delivery, Report) else decide(hub, delivery, progress)


def receive(hub: Hub, path: Path, received_at: datetime | None = None, progress: Progress = lambda *_: None) -> Report | str:
    """Land one file's exact bytes and record their reception; gives the delivery's id, or a report when there is no more to do.

    A file that cannot be named is refused at the door: nothing of it is kept, since it may hold what must not enter.
    """
    try:
        name = pmsi.parse_name(path)
        sha256, size = _hash(path, progress)
    except pmsi.UnreadableName as refused:
        return Report("rejected", [{"name": path.name}], reasons=[refused.rule], message=str(refused))
    except OSError as error:
        return Report("rejected", [{"name": path.name}], message=f"lecture impossible : {error.strerror}")
    file = {"name": path.name, "family": name.record.lower(), "sha256": sha256, "size": size}
    delivery_id = _delivery_id(name, sha256)
    known = decision(hub, name.scope, delivery_id)
    if known:
        return _report(known, already=True)
    hub.blobs.sweep()
    if hub.log.find(f"received/{delivery_id}") is None:
        _land(hub, path, sha256, progress)
        data = {"delivery_id": delivery_id, "source": "pmsi", "scope": name.scope, "files": [file], **asdict(name)}
        if received_at:
            data["received_at"] = received_at.isoformat()
        _append_once(hub, NewEvent(name.scope, "DeliveryReceived", data, f"received/{delivery_id}"), hub.meta())
    return delivery_id


def decide(hub: Hub, delivery_id: str, progress: Progress = lambda *_: None) -> Report:
    """Judge a received delivery and record what becomes of it; a second call gives the first answer."""
    received = hub.log.find(f"received/{delivery_id}")
    if received is None:
        raise LookupError(f"no delivery {delivery_id} was received")
    known = decision(hub, received.stream, delivery_id)
    if known:
        return _report(known, already=True)
    tally, tables, quarantine = _gate(hub, received, progress)
    while True:
        version = hub.log.version(received.stream)
        event = _decision(hub, received, tally, tables, quarantine, version)
        try:
            decided, ours = hub.log.append(event, hub.meta(caused_by=received.position))
            return _report(decided, already=not ours)
        except VersionConflict:
            continue  # another delivery of this scope came in between: what stands may have changed
        except KeyConflict:
            return _report(_decided(hub, received, delivery_id), already=True)


def decision(hub: Hub, scope: str, delivery_id: str) -> Event | None:
    """The last decision on a delivery, if any."""
    found = None
    for event in hub.log.read(stream=scope, types={"DeliveryAccepted", "DeliveryRejected"}):
        if event.data["delivery_id"] == delivery_id:
            found = event
    return found


def heads(hub: Hub, until: int | None = None) -> dict[str, Head]:
    """Heads by scope, now or as of a position of the log."""
    return fold(hub.log.read(until=until, types={"DeliveryAccepted", "DeliveryWithdrawn"}))


def _stated_order(path: Path) -> tuple[str, int, str]:
    """Months in their order, so that a folder of a year's files raises no alert for a late month."""
    try:
        name = pmsi.parse_name(path)
    except pmsi.UnreadableName:
        return "", 0, path.name
    return name.scope, name.period, path.name


def _delivery_id(name: pmsi.FileName, sha256: str) -> str:
    stated = {"scope": name.scope, "period": name.period, "files": [[name.record.lower(), sha256]]}
    return hashlib.sha256(canonical(stated).encode()).hexdigest()


def _hash(path: Path, progress: Progress) -> tuple[str, int]:
    digest, size, total = hashlib.sha256(), 0, path.stat().st_size
    for chunk in _chunks(path):
        digest.update(chunk)
        size += len(chunk)
        progress("lecture", size, total)
    return digest.hexdigest(), size


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            yield chunk


def _land(hub: Hub, path: Path, sha256: str, progress: Progress) -> None:
    total = path.stat().st_size

    def counted() -> Iterator[bytes]:
        done = 0
        for chunk in _chunks(path):
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


def _decided(hub: Hub, received: Event, delivery_id: str) -> Event:
    found = decision(hub, received.stream, delivery_id)
    if found is None:
        raise LookupError(f"no decision on delivery {delivery_id}")
    return found


def _gate(hub: Hub, received: Event, progress: Progress) -> tuple["Tally", dict[str, str], str | None]:
    """Read the landed bytes through the row gate; gives the counts, the segment of each table, the quarantine segment."""
    from checks.rows import QUARANTINE, Gate, segment_schema
    from warehouse.segments import SegmentWriter

    data = received.data
    name = pmsi.FileName(data["finess"], data["year"], data["period"], data["field_of_care"], data["record"])
    gate = Gate(layouts(name.field_of_care, name.record), name.year, name.period)
    file = data["files"][0]
    with hub.blobs.scratch(".parquet") as rows_path, hub.blobs.scratch(".parquet") as quarantine_path:
        with (
            SegmentWriter(rows_path, segment_schema()) as rows,
            SegmentWriter(quarantine_path, QUARANTINE) as quarantined,
            hub.blobs.open_raw(file["sha256"]) as raw,
        ):
            done = 0
            for block in pmsi.read(iter(lambda: raw.read(READ_BYTES), b""), name):
                accepted, refused = gate.judge(block.cut, block.refused, block.ignored)
                rows.write(accepted)
                quarantined.write(refused)
                done += block.size
                progress("contrôle", done, file["size"])
        other_kind = _other_kind(quarantine_path, gate.tally, name)
        faults.reached("gate.done")
        tables = {TABLE: hub.blobs.adopt_segment(rows_path)}
        quarantine = hub.blobs.adopt_segment(quarantine_path) if quarantined.rows else None
    return replace(gate.tally, resembles=other_kind), tables, quarantine


def _other_kind(quarantine: Path, tally: "Tally", name: pmsi.FileName) -> str | None:
    """The record kind that a file of unknown formats looks like, when it is not the one that its name says."""
    import polars as pl

    if tally.quarantined.get("pmsi.unknown_format", 0) * 2 <= tally.rows:
        return None
    unknown = pl.scan_parquet(quarantine).filter(pl.col("rule") == "pmsi.unknown_format").head(1000).collect()
    kind = pmsi.resembles(unknown["raw"])
    return None if kind == f"{name.field_of_care} {name.record}" else kind


def _decision(
    hub: Hub, received: Event, tally: "Tally", tables: dict[str, str], quarantine: str | None, version: int
) -> NewEvent:
    """The event that decides, given what stands for the scope at this version of its stream."""
    from checks.deliveries import judge

    data = received.data
    judgement = judge(tally, _standing(hub, received))
    decided = {
        **{name: data[name] for name in CARRIED},
        "reception": received.position,
        "files": data["files"],
        "rows_in": tally.rows,
        "rows_accepted": tally.accepted,
        "rows_quarantined": sum(tally.quarantined.values()),
        "lines_ignored": tally.ignored,
        "padded": tally.padded,
        "formats": tally.formats,
        "quarantined": tally.quarantined,
        "warnings": tally.warnings,
        "alerts": list(judgement.alerts),
        "tables": tables,
        "quarantine": quarantine,
        "basis": fingerprint(),
    }
    kind = "DeliveryAccepted"
    if judgement.outcome != "accepted":
        kind = "DeliveryRejected"
        decided |= {"held": judgement.outcome == "held", "reasons": list(judgement.rules), "resembles": tally.resembles}
    key = f"decided/{data['delivery_id']}/{fingerprint()}"
    return NewEvent(received.stream, kind, decided, key, expected_version=version)


def _standing(hub: Hub, received: Event) -> "Standing | None":
    from checks.deliveries import Standing

    head = fold(hub.log.read(stream=received.stream)).get(received.stream)
    if head is None:
        return None
    return Standing(head.rows, displaced=rank(received.data, received.position) > head.rank)


def _report(decided: Event, *, already: bool) -> Report:
    data = decided.data
    status = "accepted" if decided.type == "DeliveryAccepted" else "held" if data["held"] else "rejected"
    warnings = {rule: sum(fields.values()) for rule, fields in data["warnings"].items()}
    return Report(
        status="already_known" if already else status,
        decision=status,
        files=data["files"],
        scope=data["scope"],
        delivery_id=data["delivery_id"],
        period=data["period"],
        rows_in=data["rows_in"],
        rows_accepted=data["rows_accepted"],
        rows_quarantined=data["rows_quarantined"],
        lines_ignored=data["lines_ignored"],
        rules=dict(sorted((data["quarantined"] | warnings).items())),
        reasons=data.get("reasons", []),
        alerts=data["alerts"],
        message=f"le contenu ressemble à {data['resembles']}" if data.get("resembles") else None,
    )
