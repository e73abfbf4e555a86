"""A démarche's declarations, pulled into the hub: read what changed, fetch the files, receive the whole as one delivery.

What flows and the command line call. A pull stopped at any point goes on at the same call. Bytes are kept: the snapshot, the
mapping that it is read by, what became of each attached file. Must never tell the token, the address of a file or an answer.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors import demarches
from connectors.demarches_attachments import NOT_ASKED, Hosts, Ledger, fetch, wanted
from connectors.demarches_client import Pace, PullStopped, Service, WronglySet
from connectors.demarches_journal import alone
from connectors.demarches_merge import SnapshotDamaged
from connectors.transmissions import Member
from flows import deliveries
from flows.demarches_settings import Demarche, mapping_of, mapping_path, service_of, the_one
from flows.demarches_settings import demarches as configured
from flows.hub import Hub, WrongUsage
from warehouse.heads import DEMARCHE, FOLDED, Head

if TYPE_CHECKING:
    from flows.gate import Progress

SNAPSHOT, MAPPING, PIECES = "declarations", "mapping", "pieces"
"""The families of the files of a delivery."""
FOLDER = "pulls"
FEW = 1000
"""Dossiers of which every number is walked at each pull (20 requests), so that the démarche is read whole on that day."""
PASSING = frozenset({"unreachable"})
"""What may be otherwise a minute later is no fact to keep."""


@dataclass(frozen=True)
class Pulled:
    """What a pull did: its counts, what became of attached files, and of the delivery that it made. Counts and codes only.

    ``stopped`` says why files were not all asked for, when the service stopped answering.
    """

    demarche: int
    pull: dict[str, Any]
    files: dict[str, int]
    delivery: deliveries.Report
    stopped: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class PulledSnapshot:
    """The delivery that a pull makes: an ``Arrival`` that comes through no door."""

    number: int
    received: list[Path]
    counts: Mapping[str, Any] = field(default_factory=dict)
    after: int = 0
    """Position of the last decision on this scope: the same bytes may come back later, and are another delivery then."""

    source = DEMARCHE
    archive = None

    @property
    def name(self) -> str:
        return f"démarche {self.number}"

    @property
    def lane(self) -> str:
        return scope_of(self.number)

    @property
    def members(self) -> Sequence[Member]:
        names = (SNAPSHOT, MAPPING, PIECES)
        return [Member(family, path.name, path) for family, path in zip(names, self.received, strict=True)]

    def content(self, path: Path) -> Iterator[bytes] | None:
        """The exact bytes: the connector asks for no more than may be kept."""

    def correction(self, known: Mapping[str, Any]) -> None:
        """Nothing is told beside its files."""

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"scope": scope_of(self.number), "after": self.after}

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        told = {name: value for name, value in self.counts.items() if isinstance(value, int | bool)}
        return {"source": DEMARCHE, "scope": scope_of(self.number), "dataset": SNAPSHOT, "pull": told}


def scope_of(number: int) -> str:
    """The scope of a démarche."""
    return f"{DEMARCHE}/{number}"


def numbers(hub: Hub, asked: int | None = None) -> list[int]:
    """The démarches to pull: the one asked for, or all that the settings name. WrongUsage when there is none."""
    if asked is not None:
        return [the_one(hub.settings, asked).number]
    found = list(configured(hub.settings))
    if not found:
        raise WrongUsage("aucune démarche dans les réglages : ajoutez [demarches.<numéro>] à ecluse.toml (docs/demarches.md)")
    return found


def pull(
    hub: Hub,
    number: int,
    *,
    full: bool = False,
    absences: bool = False,
    files: bool = True,
    pace: Pace | None = None,
    progress: "Progress" = lambda *_: None,
) -> Pulled:
    """Pull a démarche: what changed since the snapshot that stands, all of it when ``full``.

    ``absences`` walks every number too, which finds what vanished; so does a pull of ``FEW`` dossiers at most. ``files``
    fetches attached files, if the settings name their hosts. WrongUsage when settings or token are wrong; PullStopped when
    the same call, later, goes on.
    """
    told = the_one(hub.settings, number)
    pace = pace or Pace(now=lambda: hub.clock().timestamp())
    folder = hub.settings.home / FOLDER / str(number)
    with _worded(), alone(folder):
        path = mapping_path(told)
        mapping, service = mapping_of(path, number), service_of(told)
        head = deliveries.all_heads(hub, under=scope_of(number)).get(scope_of(number))
        previous = _previous(hub, head, folder / "previous.jsonl")
        order = demarches.Order(
            number, mode="full" if full else "auto", numbers=absences or _few(previous), keep=mapping.kept()
        )
        found = demarches.pull(service, order, folder / "work", previous, pace, progress=_counted(progress))
        counts, stopped = _files(hub, told, service, found.path, folder / "work", pace) if files else ({}, None)
        ours = _delivery_files(folder, number, found.path, path)
        report = _deliver(hub, number, ours, found.report.as_json(), head, progress)
        demarches.finish(folder / "work")
        for left in (*ours, found.path, folder / "previous.jsonl"):  # what they hold is in the store now
            left.unlink(missing_ok=True)
    return Pulled(number, found.report.as_json(), counts, report, stopped)


def read_form(hub: Hub, number: int) -> dict[str, Any]:
    """A démarche as the service describes it: title, revisions, descriptors of its champs; no dossier. WrongUsage."""
    from contextlib import closing

    from connectors import demarches_query, demarches_records
    from connectors.demarches_client import Client, NotFound, Unanswered

    with _worded(), closing(Client(service_of(the_one(hub.settings, number)))) as client:
        try:
            answer = client.ask(demarches_query.FORM, "form", {"number": number})
            return demarches_records.form(answer["demarche"])
        except NotFound:
            raise WrongUsage(f"la démarche {number} n'existe pas, ou ce jeton ne l'ouvre pas") from None
        except (Unanswered, KeyError, demarches_records.Malformed):
            raise PullStopped("le service décrit mal la démarche : relancez plus tard") from None


def attached(hub: Hub, data: Mapping[str, Any]) -> set[str]:
    """The sha256 of the attached files that a delivery of a démarche keeps."""
    return {one["sha256"] for one in pieces(hub, data) if one["sha256"]}


def pieces(hub: Hub, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What became of each attached file of a delivery: attachment, status, sha256, kind."""
    [sha256] = [file["sha256"] for file in data["files"] if file["family"] == PIECES]
    with hub.blobs.open_raw(sha256) as kept:
        return [json.loads(line) for line in kept.read().splitlines()]


@contextmanager
def _worded() -> Iterator[None]:
    """What someone must correct is a wrong usage; what may pass stays what it is."""
    try:
        yield
    except (WronglySet, SnapshotDamaged) as problem:
        raise WrongUsage(str(problem)) from None


def _previous(hub: Hub, head: Head | None, path: Path) -> Path | None:
    """The snapshot that stands, beside."""
    if head is None:
        return None
    [sha256] = [file["sha256"] for file in head.data["files"] if file["family"] == SNAPSHOT]
    with hub.blobs.open_raw(sha256) as kept, _private(path).open("wb") as beside:
        shutil.copyfileobj(kept, beside, 1 << 20)
    return path


def _few(previous: Path | None) -> bool:
    """Whether a snapshot has so few dossiers that walking their numbers costs next to nothing."""
    if previous is None:
        return False
    with previous.open("rb") as lines:
        return sum(1 for _ in lines) <= FEW + 1  # the header, then one line a dossier


def _files(
    hub: Hub, told: Demarche, service: Service, snapshot: Path, folder: Path, pace: Pace
) -> tuple[dict[str, int], str | None]:
    """Fetch the attached files that are not kept yet; counts by status, and why that stopped, if it did."""
    if not told.file_hosts:
        lacking = len(wanted(snapshot))
        return ({NOT_ASKED: lacking} if lacking else {}), None

    def put(chunks: Iterable[bytes]) -> str:
        return hub.blobs.put_stream(chunks).sha256

    hosts = Hosts(frozenset(told.file_hosts), local=told.local, ca_bundle=told.ca_bundle)
    try:
        counts: Counter[str] = fetch(service, told.number, wanted(snapshot), folder, put, hosts, pace)
    except WronglySet:
        raise
    except PullStopped as stop:  # the snapshot is whole without them: they come with the next pull
        return {}, str(stop)
    return dict(sorted(counts.items())), None


def _delivery_files(folder: Path, number: int, snapshot: Path, mapping: Path) -> list[Path]:
    """The three files of the delivery, under their names, the same bytes for the same facts."""
    known = Ledger.read(folder / "work").outcomes
    told = [asdict(known[one]) for one in wanted(snapshot) if one in known and known[one].status not in PASSING]
    lines = [json.dumps(one, sort_keys=True) for one in told]
    ours = [_private(folder / f"demarche-{number}{ending}") for ending in (".jsonl", "-mapping.yaml", "-pieces.jsonl")]
    shutil.copyfile(snapshot, ours[0])
    shutil.copyfile(mapping, ours[1])
    ours[2].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ours


def _deliver(
    hub: Hub, number: int, ours: list[Path], counts: Mapping[str, Any], head: Head | None, progress: "Progress"
) -> deliveries.Report:
    """Receive and decide; a pull that brings what stands already changes nothing."""
    scope = scope_of(number)
    last = max((event.position for event in hub.log.read(stream=scope, types=FOLDED)), default=0)
    if head and sorted(_sha256(path) for path in ours) == sorted(file["sha256"] for file in head.data["received"]):
        stands = deliveries.decision(hub, scope, head.delivery_id)
        assert stands  # noqa: S101
        return deliveries.report(hub, stands, already=True)
    return deliveries.ingest(hub, PulledSnapshot(number, ours, counts, last), progress=progress)


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _private(path: Path) -> Path:
    """A path whose file nobody else may read."""
    with suppress(FileNotFoundError):
        path.unlink()
    path.touch(mode=0o600)
    return path


def _counted(progress: "Progress") -> Callable[[str, int], None]:
    return lambda what, count: progress(f"{count} {what}", count, 0)
