"""The declarations of démarches-simplifiées, pulled: walks over its pages, kept as they come, merged into a full snapshot.

The traps it is written against: docs/demarches.md. Must never move past what is not on disk, mistake a silence for a fact, or
let one dossier that fails stop the others.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from connectors import demarches_query as queries
from connectors import demarches_records as records
from connectors.demarches_client import LATER, Client, NotFound, Pace, PullStopped, Service, Unanswered, WronglySet, instant
from connectors.demarches_journal import JOURNAL, Journal, Reached, alone
from connectors.demarches_merge import Observed, Snapshot, merge, newest, read_snapshot, write_snapshot
from connectors.demarches_records import Malformed, Record
from connectors.demarches_walk import Looping, State, Walk, deletions_of, demarche_of, numbers_of, page_of

LONGEST = timedelta(days=3)
"""A pull that began before is not gone on with: its cursors may mean nothing any more."""
PAGE = 50
"""Dossiers asked for at a time: the service takes up to 100, and is slow on large pages."""
EVER = "1970-01-01T00:00:00+00:00"
OVERLAP = timedelta(minutes=10)
"""Read again before the watermark: a row is dated before its transaction ends, so that it may appear behind."""
BACKDATED = timedelta(days=30)
"""Deletions are dated by the hiding, up to this long before they are listed."""
OPEN = ("en_construction", "en_instruction")
REREAD = 3
RESTARTS = 2
"""Times that one call begins a walk again when its cursors go round."""
MANY = 200
"""More dossiers that vanish at once are no observation but a fault of the reading: none is recorded."""
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Order:
    """What to pull. ``mode``: auto (full the first time, or when the query or what is kept changed), full or incremental.

    ``numbers``: walk every number too, which finds what vanished and what came late. ``keep``: descriptors of the champs to
    keep, None for all but personal ones. ``page``: dossiers at a time.
    """

    demarche: int
    mode: str = "auto"
    numbers: bool = False
    pending: bool = True
    keep: frozenset[str] | None = None
    page: int = PAGE


@dataclass
class Report:
    """Counts of a pull, without a value of any dossier. ``complete``: every number was walked and every dossier read."""

    demarche: int
    mode: str
    resumed: bool
    complete: bool
    requests: int
    seconds_waited: int
    attempts_failed: dict[str, int]
    dossiers: int
    read: int
    added: int
    changed: int
    deleted: int
    restored: int
    absent: int
    failed: int
    unknown_types: list[str]
    new_revision: bool
    completed_on: str | None
    many_absent: int = 0

    def as_json(self) -> dict[str, Any]:
        """The counts as plain values, for a reception to record."""
        return asdict(self)


@dataclass(frozen=True)
class Pulled:
    """The snapshot that a pull made, its sha256, and its report."""

    path: Path
    sha256: str
    report: Report


def pull(
    service: Service,
    order: Order,
    folder: Path,
    previous: Path | None,
    pace: Pace | None = None,
    reached: Reached = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Pulled:
    """Read what changed since the previous snapshot, and write the next one in ``folder``, this démarche's own work folder.

    Stopped at any point, the same call goes on where it was, until ``finish``. PullStopped and its kinds, SnapshotDamaged.
    """
    with alone(folder):
        before = read_snapshot(previous) if previous else None
        with closing(Client(service, pace)) as client:
            return _Pull(client, order, folder, before, reached, progress).run()


def describe(service: Service, demarche: int, pace: Pace | None = None) -> Record:
    """A démarche's title, revisions and descriptors, in one request: what a mapping is proposed from. PullStopped and kinds."""
    with closing(Client(service, pace)) as client:
        return _described(_answered(client, demarche, queries.FORM, "form", {"number": demarche}), demarche)


def finish(folder: Path) -> None:
    """Forget a pull whose snapshot is safe elsewhere."""
    with alone(folder):
        (folder / JOURNAL).unlink(missing_ok=True)


def kept_digest(keep: frozenset[str] | None) -> str:
    """What tells one choice of champs to keep from another."""
    return "all" if keep is None else hashlib.sha256("\n".join(sorted(keep)).encode()).hexdigest()[:16]


class _Pull:
    """One pull, from its plan to its snapshot."""

    def __init__(
        self, client: Client, order: Order, folder: Path, before: Snapshot | None, reached: Reached, progress: Progress
    ) -> None:
        self._client = client
        self._order = order
        self._folder = folder
        self._before = before
        self._reached = reached
        self._progress = progress
        self._size = min(max(order.page, 1), 100)
        self._good = 0
        plan = self._plan()
        self._journal = Journal(folder, plan, _earlier(plan["started_at"], LONGEST), reached)
        self._state = State()
        for line in self._journal.lines():
            self._state.apply(line)

    def _plan(self) -> Record:
        """What this pull sets out to do, fixed for all of it: a cursor means nothing under another plan."""
        order, before = self._order, self._before
        plan: Record = {
            "demarche": order.demarche,
            "format": records.FORMAT,
            "previous": before.sha256 if before else None,
            "query": queries.digest(),
            "kept": kept_digest(order.keep),
            "numbers": order.numbers,
            "pending": order.pending,
            "since": EVER,
            "deleted_since": None,
            "mode": "full",
            "started_at": datetime.fromtimestamp(self._client.pace.now(), UTC).isoformat(),
        }
        if before and before.header["number"] != order.demarche:
            raise WronglySet("l'instantané donné est celui d'une autre démarche")
        same = before and all(before.header[name] == plan[name] for name in ("query", "kept"))
        if before and before.header["walked_to"] and same and order.mode != "full":
            plan |= {"mode": "incremental", "since": _earlier(before.header["walked_to"], OVERLAP)}
            if before.header["deleted_to"]:
                plan["deleted_since"] = _earlier(before.header["deleted_to"], BACKDATED)
        elif order.mode == "incremental":
            raise WronglySet("rien n'a encore été lu de cette démarche, ou autrement : lisez-la entière une fois")
        return plan

    def run(self) -> Pulled:
        try:
            form = self._form()
            personal = records.personal_champs(form)
            read = partial(self._dossiers, personal=personal)
            plan, walk = self._journal.plan, self._walk
            walk("main", queries.DOSSIERS, "dossiers", {"since": plan["since"]}, read)
            renewed = self._before is not None and self._before.header["revision"] != form["revision"]
            if renewed and plan["mode"] == "incremental":  # moved to the new revision, and no instant tells
                for state in OPEN:
                    walk(f"open:{state}", queries.DOSSIERS, "dossiers", {"state": state}, read)
            if plan["numbers"] and plan["mode"] == "incremental":
                walk("numbers", queries.NUMBERS, "numbers", {}, numbers_of)
            if plan["pending"]:
                walk("pending", queries.PENDING, "pending", {}, deletions_of)
            walk("deleted", queries.DELETED, "deleted", {"since": plan["deleted_since"]}, deletions_of)
            wanted, vanished = self._to_read_alone()
            for number in wanted:
                self._read_alone(number, personal)
            return self._finished(form, renewed, vanished)
        finally:
            self._journal.close()

    def _form(self) -> Record:
        if self._state.form is None:
            self._reached("pull.asked")
            data = self._ask(queries.FORM, "form", {"number": self._order.demarche})
            self._write({"form": _described(data, self._order.demarche)})
        assert self._state.form is not None  # noqa: S101
        return self._state.form

    def _ask(self, query: str, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return _answered(self._client, self._order.demarche, query, operation, variables)

    def _write(self, line: Record) -> None:
        self._journal.append(line)
        self._state.apply(line)
        self._progress("dossiers", len(self._state.modified))

    def _walk(self, name: str, query: str, operation: str, variables: Record, read: Callable[[Iterable[Any]], Record]) -> None:
        walk, restarts = self._state.walks.setdefault(name, Walk()), 0
        told = {"number": self._order.demarche, "since": None, **variables}
        if operation in ("dossiers", "numbers"):
            told.setdefault("state", None)
        while not walk.done:
            self._reached("pull.asked")
            asked = told | {"after": walk.cursor}
            try:
                line = self._page(walk, query, operation, asked, read)
            except Looping:  # a wrong page was taken for a right one before: what was read stays, the walk begins again
                if restarts == RESTARTS:
                    raise PullStopped(f"le service tourne en rond dans une de ses listes : {LATER}") from None
                restarts += 1
                line = {"end": None, "more": True, "again": True}
            if line is None:
                if operation != "dossiers":
                    raise PullStopped(f"le service ne donne pas une de ses listes : {LATER}")
                line = self._set_aside(walk, asked)
            self._write({"walk": name, "after": walk.cursor, **line})

    def _page(
        self, walk: Walk, query: str, operation: str, asked: Record, read: Callable[[Iterable[Any]], Record]
    ) -> Record | None:
        """One page, in smaller pieces when it fails; None when even one dossier does. Looping."""
        tries = 0
        while True:
            try:
                data = self._client.ask(query, operation, asked | {"first": self._size})
                line = page_of(demarche_of(data, self._order.demarche), walk, read)
                self._good += 1
                if self._good >= 4:
                    self._size, self._good = min(self._size * 2, max(self._order.page, 1), 100), 0
                return line
            except NotFound:
                raise WronglySet(f"la démarche {self._order.demarche} n'existe pas, ou ce jeton ne l'ouvre pas") from None
            except (Unanswered, Malformed) as problem:
                tries += 1
                self._client.wait(float(tries))
                if isinstance(problem, Malformed) and tries < REREAD:
                    continue
                if isinstance(problem, Looping):
                    raise
                if self._size == 1:
                    return None
                self._size, self._good, tries = self._size // 2, 0, 0

    def _set_aside(self, walk: Walk, asked: Record) -> Record:
        """The number and the cursor of the one dossier that does not let itself be read here: it is read alone, later."""
        data = self._ask(queries.NUMBERS, "numbers", asked | {"first": 1})
        try:
            line = page_of(demarche_of(data, self._order.demarche), walk, numbers_of)
        except Malformed:
            raise PullStopped(f"le service répond mal : {LATER}") from None
        return {"end": line["end"], "more": line["more"], "aside": [number for number, _ in line["numbers"]]}

    def _dossiers(self, nodes: Iterable[Any], personal: frozenset[str]) -> Record:
        return {"dossiers": [records.dossier(node, self._order.keep, personal) for node in nodes]}

    def _to_read_alone(self) -> tuple[list[int], int]:
        """Dossiers to ask for by their number; and how many vanished at once, when too many to be believed."""
        state, before = self._state, self._before
        gone = state.listed["pending"] | state.listed["deleted"]
        wanted = set(state.aside)
        if before is None:
            return sorted(wanted), 0
        known = {number: record["modified_at"] for number, record in before.dossiers.items() if "modified_at" in record}
        wanted |= set(before.header["failed"]) - set(state.modified) - gone
        for number, modified in state.listing.items():
            newest_known = max((at for at in (known.get(number), state.modified.get(number)) if at), key=instant, default=None)
            if newest_known is None or records.later(newest_known, modified):
                wanted.add(number)
        if self._journal.plan["pending"]:
            pending = (n for n, one in before.dossiers.items() if (one.get("deletion") or {}).get("list") == "pending")
            hidden = {number for number in pending if not before.dossiers[number].get("absent_on")}
            wanted |= hidden - gone - set(state.modified)
        wanted |= self._scanned() - gone
        vanished = self._vanished(gone)
        return sorted(wanted | (vanished if len(vanished) <= MANY else set())), len(vanished) if len(vanished) > MANY else 0

    def _scanned(self) -> set[int]:
        """Dossiers with a file that the service's scanner held: its verdict moves no instant."""
        before = self._before.dossiers if self._before else {}
        held = {number for number, record in before.items() if records.has_pending_file(record.get("champs", ()))}
        return {number for number in held - set(self._state.modified) if not before[number].get("deletion")}

    def _vanished(self, gone: set[int]) -> set[int]:
        """Dossiers that we knew, and that a complete walk does not show."""
        listing = self._listing()
        if listing is None or self._before is None:
            return set()
        unseen = (self._before.live() | set(self._state.modified)) - listing - gone
        return {number for number in unseen if not self._before.dossiers.get(number, {}).get("absent_on")}

    def _listing(self) -> set[int] | None:
        if self._journal.plan["mode"] == "full":
            return set(self._state.modified) | self._state.aside
        if not self._journal.plan["numbers"]:
            return None
        return set(self._state.listing) | {number for number, outcome in self._state.alone.items() if outcome == "read"}

    def _read_alone(self, number: int, personal: frozenset[str]) -> None:
        if number in self._state.alone:
            return
        self._reached("pull.asked")
        line: Record = {"alone": number, "outcome": "read"}
        try:
            node = self._client.ask(queries.DOSSIER, "dossier", {"number": number})["dossier"]
            line["dossier"] = records.dossier(node, self._order.keep, personal)
            if line["dossier"]["number"] != number or node["demarche"]["number"] != self._order.demarche:
                raise Malformed("dossier")
        except NotFound:
            line["outcome"] = "not_found"
        except (Unanswered, Malformed, KeyError, TypeError):
            line = {"alone": number, "outcome": "failed"}
        self._write(line)

    def _finished(self, form: Record, renewed: bool, vanished: int) -> Pulled:
        """Fold the journal, lay it over the previous snapshot, write."""
        plan, state = self._journal.plan, self._state
        seen = Observed(form, listing=self._listing() if not vanished else None, pending={} if plan["pending"] else None)
        stamps: list[str] = []
        for line in self._journal.lines():
            newest(seen.dossiers, line.get("dossiers", ()))
            if line.get("walk") == "main":
                stamps += [record["modified_at"] for record in line.get("dossiers", ())]
            if line.get("dossier"):
                newest(seen.dossiers, [line["dossier"]])
            told = {one["number"]: one for one in line.get("deletions", ())}
            if line.get("walk") == "pending" and seen.pending is not None:
                seen.pending |= told
            elif line.get("walk") == "deleted":
                seen.deleted |= told
        seen.gone = {number for number, outcome in state.alone.items() if outcome == "not_found"}
        seen.failed = sorted(number for number, outcome in state.alone.items() if outcome == "failed")
        seen.walked_to = max(stamps, key=instant, default=None)
        complete = seen.listing is not None and not seen.failed and bool(plan["pending"])
        day = records.day_of(instant(plan["started_at"]))
        snapshot, changes = merge(self._before, seen, plan, day, complete)
        path, sha256 = write_snapshot(self._folder, snapshot, self._reached)
        tally = self._client.tally
        report = Report(
            demarche=self._order.demarche,
            mode=plan["mode"],
            resumed=self._journal.resumed,
            complete=complete,
            requests=tally.requests,
            seconds_waited=round(tally.waited),
            attempts_failed=dict(sorted(tally.failed.items())),
            dossiers=len(snapshot.dossiers),
            read=len(seen.dossiers),
            **asdict(changes),
            failed=len(seen.failed),
            unknown_types=sorted({kind for record in seen.dossiers.values() for kind in _unknown(record["champs"])}),
            new_revision=renewed,
            completed_on=snapshot.header["completed_on"],
            many_absent=vanished,
        )
        return Pulled(path, sha256, report)


def _earlier(text: str, by: timedelta) -> str:
    return (instant(text) - by).astimezone(UTC).isoformat()


def _answered(client: Client, demarche: int, query: str, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a question about the démarche itself, which must be answered. PullStopped."""
    try:
        return client.ask(query, operation, variables)
    except NotFound:
        raise WronglySet(f"la démarche {demarche} n'existe pas, ou ce jeton ne l'ouvre pas") from None
    except Unanswered as problem:
        raise PullStopped(f"le service ne répond pas comme il faut ({problem.reason}) : {LATER}") from None


def _described(data: Mapping[str, Any], demarche: int) -> Record:
    try:
        return records.form(demarche_of(data, demarche))
    except Malformed:
        raise PullStopped(f"le service décrit mal la démarche : {LATER}") from None


def _unknown(champs: Iterable[Record]) -> set[str]:
    found = {champ["unknown"] for champ in champs if "unknown" in champ}
    for champ in champs:
        for row in champ.get("rows", ()):
            found |= _unknown(row["champs"])
    return found
