"""A pull laid over the snapshot before it: the next full snapshot, one dossier a line, the same bytes for the same facts.

Must never lose a dossier that was once seen, take absence for a withdrawal, or let an older state cover a newer one.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.demarches_client import instant
from connectors.demarches_journal import Reached, synced
from connectors.demarches_records import FORMAT, Record, canonical, later, nameless, without_scan

SNAPSHOT = "snapshot.jsonl"
OWN = ("deletion", "absent_on", "earlier", "since", "restored")
"""What ecluse itself adds to a record."""
REDEPOSITS = ("depose_correction_usager", "depose_correction_instructeur")


class SnapshotDamaged(ValueError):
    """A file is no snapshot of a démarche that this version can read."""


@dataclass
class Snapshot:
    """``header``: the démarche, its revisions, and how far it was read. ``dossiers``: records by number."""

    header: Record
    dossiers: dict[int, Record]
    sha256: str = ""

    def live(self) -> set[int]:
        """Numbers that no list of deletions holds; those that vanished without a word included."""
        return {number for number, record in self.dossiers.items() if not record.get("deletion")}


@dataclass
class Observed:
    """What one pull saw, folded. ``listing``: numbers of a complete walk, None when there was none."""

    form: Record
    dossiers: dict[int, Record] = field(default_factory=dict)
    listing: Collection[int] | None = None
    pending: dict[int, Record] | None = None
    deleted: dict[int, Record] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    """Asked for by number, and not found."""
    failed: list[int] = field(default_factory=list)
    walked_to: str | None = None


@dataclass
class Changes:
    """Counts of a merge, for the report."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    restored: int = 0
    absent: int = 0


def read_snapshot(path: Path) -> Snapshot:
    """A snapshot as written. SnapshotDamaged."""
    data = path.read_bytes()
    first, *lines = data.split(b"\n")
    header = read_header(first)
    try:
        records = [json.loads(line) for line in lines if line]
        for record in records:
            record |= {name: nameless(record[name]) for name in ("champs", "earlier") if name in record}
        return Snapshot(header, {record["number"]: record for record in records}, hashlib.sha256(data).hexdigest())
    except (ValueError, KeyError, TypeError):
        raise SnapshotDamaged("l'instantané de la démarche est illisible : restaurez-le, ou relisez tout") from None


def read_header(line: bytes) -> Record:
    """The first line of a snapshot: the démarche, its revisions, how far it was read. SnapshotDamaged."""
    try:
        header: Record = json.loads(line)
        if header["kind"] == "demarche" and header["format"] == FORMAT:
            return header
    except (ValueError, KeyError, TypeError):
        pass
    raise SnapshotDamaged(
        "ce fichier n'est pas l'instantané d'une démarche, ou celui d'une autre version d'ecluse : relisez tout"
    )


def write_snapshot(folder: Path, snapshot: Snapshot, reached: Reached) -> tuple[Path, str]:
    """Write a snapshot whole, or not at all; its path and sha256."""
    path, draft = folder / SNAPSHOT, folder / f"{SNAPSHOT}.part"
    digest = hashlib.sha256()
    with draft.open("wb") as file:
        for record in (snapshot.header, *(snapshot.dossiers[number] for number in sorted(snapshot.dossiers))):
            line = canonical(record).encode() + b"\n"
            digest.update(line)
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    reached("pull.snapshot_written")
    draft.replace(path)
    synced(folder)
    reached("pull.snapshot_renamed")
    return path, digest.hexdigest()


def newest(found: dict[int, Record], records: Iterable[Record]) -> None:
    """Keep, of several sights of a dossier, the last of those that the service changed last."""
    for record in records:
        known = found.get(record["number"])
        if known is None or not later(record["modified_at"], known["modified_at"]):
            found[record["number"]] = record


def merge(
    before: Snapshot | None, seen: Observed, plan: Mapping[str, Any], day: str, complete: bool
) -> tuple[Snapshot, Changes]:
    """The snapshot after a pull; ``day``: the Paris day on which the pull began."""
    changes = Changes()
    dossiers = dict(before.dossiers) if before else {}
    hidden = {**(seen.pending or {}), **seen.deleted}
    for number, told in (seen.pending or {}).items():
        if number in seen.dossiers and number not in seen.deleted and _shown_after(seen.dossiers[number], told):
            del hidden[number]
    for number, record in seen.dossiers.items():
        known = dossiers.get(number)
        dossiers[number] = _observed(known, record, None if number in hidden else day)
        changes.added += known is None
        changes.changed += known is not None and dossiers[number] != known
        changes.restored += known is not None and bool(known.get("deletion")) and number not in hidden
    for number, told in hidden.items():
        known = before.dossiers.get(number) if before else None
        deletion = {"list": "deleted" if number in seen.deleted else "pending", **told}
        del deletion["number"]
        dossiers[number] = _deleted(number, dossiers.get(number), deletion)
        changes.deleted += known is None or not known.get("deletion")
    for number in seen.gone - set(hidden):  # hidden once, and now in no list: the withdrawal stands, nobody asks again
        known = dossiers.get(number)
        if known and known.get("deletion") and not known.get("absent_on"):
            dossiers[number] = {**known, "absent_on": day}
    if seen.listing is not None:
        _mark_absent(dossiers, seen, day, changes)
    header = _header(before, seen, plan, day if complete else None)
    return Snapshot(header, dossiers), changes


def _shown_after(record: Record, told: Record) -> bool:
    """Whether a dossier was seen in a state that came after its pending deletion: restored in between."""
    hidden = record["hidden_by_user_at"] or record["hidden_by_administration_at"]
    return hidden is None and later(told["at"], record["modified_at"])


def _observed(known: Record | None, record: Record, day: str | None) -> Record:
    """A dossier as seen now, with what was known of its past. ``day``: when it shows that its deletion was taken back."""
    if known is None or "modified_at" not in known:
        past: Record = {"earlier": [], "since": None, "restored": [], "deletion": None}
        if known:
            past["restored"] = _restored(known, day)
        return {**record, **past, "absent_on": None}
    if later(record["modified_at"], known["modified_at"]):
        record = {name: value for name, value in known.items() if name not in OWN}
    past = {name: known[name] for name in ("earlier", "since")}
    if without_scan(record["champs"]) != without_scan(known["champs"]):
        since = _effective(known, record)
        if since:
            past = {"earlier": [*known["earlier"], {"champs": known["champs"], "since": known["since"]}], "since": since}
    return {**record, **past, "restored": _restored(known, day), "deletion": None, "absent_on": None}


def _restored(known: Record, day: str | None) -> list[Record]:
    """Deletions that were taken back, with the day on which that was seen."""
    deletion = known.get("deletion")
    found: list[Record] = known.get("restored", [])
    return [*found, {"at": deletion["at"], "reason": deletion["reason"], "seen_on": day}] if deletion and day else found


def _effective(known: Record, record: Record) -> str | None:
    """Since when the champs are what they are now: the re-deposit, else their own instant.

    None when nothing dates the change: a new revision of the form moved the dossier, which declares nothing anew.
    """
    start = known["since"] or known["deposited_at"]
    redeposits = [one["at"] for one in record["treatments"] if one["event"] in REDEPOSITS and later(start, one["at"])]
    if redeposits:
        return str(redeposits[-1])
    moved, was = record["champs_modified_at"], known["champs_modified_at"]
    if moved and (was is None or later(was, moved)) and later(start, moved):
        return str(moved)
    return None


def _deleted(number: int, known: Record | None, deletion: Record) -> Record:
    record = known or {
        "kind": "dossier",
        "number": number,
        "state": deletion["state"],
        "earlier": [],
        "since": None,
        "restored": [],
    }
    return {**record, "deletion": deletion, "state": deletion["state"], "absent_on": None}


def _mark_absent(dossiers: dict[int, Record], seen: Observed, day: str, changes: Changes) -> None:
    """A dossier in no list, that even its number does not find: observed, dated, and never a withdrawal."""
    listed = set(seen.listing or ())
    for number, record in dossiers.items():
        if record.get("deletion"):
            continue
        if number in listed:
            if record.get("absent_on"):
                dossiers[number] = {**record, "absent_on": None}
        elif not record.get("absent_on") and number in seen.gone:
            dossiers[number] = {**record, "absent_on": day}
            changes.absent += 1


def _header(before: Snapshot | None, seen: Observed, plan: Mapping[str, Any], completed_on: str | None) -> Record:
    past = before.header if before else {"completed_on": None, "walked_to": None, "deleted_to": None}
    deletions = [told["at"] for told in seen.deleted.values()] + ([past["deleted_to"]] if past["deleted_to"] else [])
    if completed_on and past["completed_on"]:
        completed_on = max(completed_on, past["completed_on"])
    stamps = [at for at in (seen.walked_to, past["walked_to"]) if at]
    return {
        "kind": "demarche",
        "format": FORMAT,
        **seen.form,
        "query": plan["query"],
        "kept": plan["kept"],
        "completed_on": completed_on or past["completed_on"],
        "walked_to": max(stamps, key=instant, default=None),
        "deleted_to": max(deletions, key=instant, default=None),
        "failed": seen.failed,
    }
