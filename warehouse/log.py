"""The event log: small immutable facts in one gapless order, each chained to the one before by its hash.

Must never change or remove an event, order by the clock, or hold a float or a patient's value.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from warehouse import faults
from warehouse.log_database import LogError as LogError
from warehouse.log_database import LogUnavailable as LogUnavailable
from warehouse.log_database import connect, missing_triggers, schema_revision, sqlite_file, transaction
from warehouse.log_database import redacted as redacted

EVENT_TYPES = frozenset(
    {
        "DeliveryReceived",
        "DeliveryAccepted",
        "DeliveryRejected",
        "DeliveryWithdrawn",
        "DecisionTaken",
        "ProductPublished",
        "ProductAcknowledged",
        "SegmentRedacted",
    }
)
GENESIS = "0" * 64
PARIS = ZoneInfo("Europe/Paris")
REVISION = "0001"  # the newest of migrations/versions
ATTEMPTS = 4
PAGE = 1000

SCHEMA_VERSIONS: dict[str, int] = {}
"""What a type of event is written as; 1 when it is not here."""

# (type, schema_version) -> function from the data of that version to data of a greater schema_version
UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


@dataclass(frozen=True)
class Event:
    """One row of the log, in the order of its columns; ``data`` is that of the present schema version."""

    position: int
    stream: str
    version: int
    type: str
    data: dict[str, Any]
    meta: dict[str, Any]
    recorded_at: str
    idempotency_key: str
    hash: str


COLUMNS = tuple(field.name for field in fields(Event))
EVENT = sa.table("event", *(sa.column(name) for name in COLUMNS))


@dataclass(frozen=True)
class NewEvent:
    """``key`` names the fact, for ever; ``data`` may say its ``schema_version``, else it is the present one.

    ``expected_version`` is that of its stream; ``unmoved`` (start of stream names, position) says of which streams together the
    last event must stand no later. ``caused_by`` is the position of the event that it answers, for its ``meta``.
    """

    stream: str
    type: str
    data: dict[str, Any]
    key: str
    expected_version: int | None = None
    unmoved: tuple[str, int] | None = None
    caused_by: int | None = None


@dataclass(frozen=True)
class Link:
    """One event as a link of the chain: ``hash`` is ``chained(hash of the link before, content)``."""

    position: int
    content: str
    hash: str


def chained(previous: str, content: str) -> str:
    """The hash of a link: anyone who holds two hashes of the chain can check the links between them."""
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()


class KeyConflict(LogError):
    """The key already names another fact."""


class VersionConflict(LogError):
    """The stream has moved since its version was read."""


class LogMissing(LogError):
    """There is no log at this address yet."""


class LogSchemaMismatch(LogError):
    """The log's tables are those of another ecluse."""


class Log:
    """A log that exists. Threads may share it; a forked process opens its own."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def append(self, event: NewEvent, meta: Mapping[str, Any]) -> tuple[Event, bool]:
        """Write one event, or find the one that its key already names. True when newly written."""
        return self.append_all([event], meta)[0]

    def append_all(self, events: Sequence[NewEvent], meta: Mapping[str, Any]) -> list[tuple[Event, bool]]:
        """Write all in one transaction, or none. KeyConflict, VersionConflict; ValueError, TypeError when malformed."""
        rows = [_row(event, meta) for event in events]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with transaction(self._engine, writes=True) as connection:
                    written = self._append(connection, rows, events)
                    faults.reached("log.before_commit")
                faults.reached("log.after_commit")
                break
            except LogUnavailable as problem:
                if not problem.transient or attempt == ATTEMPTS:
                    raise
                time.sleep(0.05 * attempt)
        return written

    def _append(
        self, connection: sa.Connection, rows: Sequence[dict[str, Any]], events: Sequence[NewEvent]
    ) -> list[tuple[Event, bool]]:
        known = _by_keys(connection, {row["idempotency_key"] for row in rows})
        versions = _versions(connection, {row["stream"] for row in rows})
        position, previous = _head(connection)
        written: list[tuple[Event, bool]] = []
        new: list[dict[str, Any]] = []
        for row, event in zip(rows, events, strict=True):
            if same := known.get(row["idempotency_key"]):
                if any(same[name] != row[name] for name in ("stream", "type", "data")):
                    raise KeyConflict(
                        f"la clé {row['idempotency_key']} désigne déjà un autre fait, l'événement {same['position']}"
                    )
                written.append((_event(same), False))
                continue
            stream, version = row["stream"], versions.get(row["stream"], 0)
            if event.expected_version is not None and event.expected_version != version:
                told = f"le flux {stream} en est à la version {version}, non {event.expected_version} : à relire"
                raise VersionConflict(told)
            if event.unmoved and _moved(connection, new, *event.unmoved):
                raise VersionConflict(f"un flux {event.unmoved[0]}… a bougé depuis la position {event.unmoved[1]} : à relire")
            position, versions[stream] = position + 1, version + 1
            row = row | {"position": position, "version": version + 1, "recorded_at": _stamp(self._clock())}
            row["hash"] = previous = chained(previous, _content(row))
            known[row["idempotency_key"]] = row
            new.append(row)
            written.append((_event(row), True))
        if new:
            connection.execute(sa.insert(EVENT), new)
        return written

    def read(
        self,
        after: int = 0,
        until: int | None = None,
        stream: str | None = None,
        types: Collection[str] | None = None,
        under: str | None = None,
    ) -> Iterator[Event]:
        """Events of positions in (after, until], in order; each page is read when asked for, in its own transaction.

        ``under`` is how the names of the streams asked for begin.
        """
        query = sa.select(EVENT)
        if until is not None:
            query = query.where(EVENT.c.position <= until)
        if stream is not None:
            query = query.where(EVENT.c.stream == stream)
        if under is not None:
            query = query.where(EVENT.c.stream.startswith(under, autoescape=True))
        if types is not None:
            query = query.where(EVENT.c.type.in_(types))
        return map(_event, self._rows(query, after))

    def _rows(self, query: sa.Select[Any], after: int = 0) -> Iterator[dict[str, Any]]:
        query = query.order_by(EVENT.c.position).limit(PAGE)
        while True:
            with transaction(self._engine) as connection:
                page = [dict(row) for row in connection.execute(query.where(EVENT.c.position > after)).mappings()]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1]["position"]

    def find(self, key: str) -> Event | None:
        """The event that this idempotency key names."""
        with transaction(self._engine) as connection:
            row = _by_key(connection, key)
        return _event(row) if row else None

    def find_all(self, keys: Collection[str]) -> dict[str, Event]:
        """The events that these idempotency keys name, by key; keys that name none are left out."""
        with transaction(self._engine) as connection:
            rows = _by_keys(connection, keys)
        return {key: _event(row) for key, row in rows.items()}

    def version(self, stream: str) -> int:
        """The version of the stream's last event; 0 when it has none."""
        with transaction(self._engine) as connection:
            return _version(connection, stream)

    def last_under(self, under: str) -> int:
        """Position of the last event of the streams whose names begin so; 0 when they have none."""
        with transaction(self._engine) as connection:
            return _last_under(connection, under)

    def head(self) -> tuple[int, str]:
        """Position and hash of the last event, a receipt for all before it; (0, GENESIS) when there is none."""
        with transaction(self._engine) as connection:
            return _head(connection)

    def position_at(self, instant: datetime) -> int:
        """The last position before the first event recorded after ``instant``."""
        later = sa.select(sa.func.min(EVENT.c.position)).where(EVENT.c.recorded_at > _stamp(instant))
        with transaction(self._engine) as connection:
            first: int | None = connection.scalar(later)
            return _head(connection)[0] if first is None else first - 1

    def links(self, after: int = 0, until: int | None = None) -> Iterator[Link]:
        """The links of the chain in (after, until], as stored: they prove an order of contents and show none of them."""
        query = sa.select(EVENT)
        if until is not None:
            query = query.where(EVENT.c.position <= until)
        return (Link(row["position"], _content(row), row["hash"]) for row in self._rows(query, after))

    def verify(self, receipt: tuple[int, str] | None = None) -> list[str]:
        """What is wrong with the log, in words; empty when it is sound and holds the event of the receipt.

        A tail rewritten whole, hashes included, shows only against a receipt that someone else kept.
        """
        with transaction(self._engine) as connection:
            missing = missing_triggers(connection)
        problems = [f"le déclencheur {name} manque ou est coupé : le journal peut être modifié" for name in sorted(missing)]
        position, previous, versions = 0, GENESIS, dict[str, int]()
        for row in self._rows(sa.select(EVENT)):
            if row["position"] != position + 1:
                problems.append(f"la position {row['position']} suit {position} : des événements manquent")
            position = row["position"]
            if row["version"] != versions.get(row["stream"], 0) + 1:
                problems.append(f"la position {position} a la version {row['version']} : des événements de son flux manquent")
            versions[row["stream"]] = row["version"]
            if row["hash"] != chained(previous, _content(row)):
                problems.append(
                    f"la position {position} rompt la chaîne des empreintes : elle a été modifiée, ou celle d'avant"
                )
            previous = row["hash"]
            if receipt and receipt[0] == position and receipt[1] != previous:
                problems.append(f"la position {position} n'est pas l'événement du reçu : le journal a été réécrit")
        if receipt and receipt[0] > position:
            problems.append(f"le journal s'arrête à {position}, avant la position {receipt[0]} du reçu : sa fin a été retirée")
        return problems


def open_log(url: str, clock: Callable[[], datetime]) -> Log:
    """The log at this address; ``clock`` gives aware instants. LogMissing, LogSchemaMismatch, LogUnavailable."""
    engine = connect(url)
    file = sqlite_file(engine)
    revision = None
    if file is None or file.is_file():  # SQLite would create the file
        with transaction(engine) as connection:
            revision = _known_revision(connection)
    if revision is None:
        raise LogMissing(f"pas de journal à {redacted(url)} : lancez « ecluse init »")
    if revision < REVISION:
        raise LogSchemaMismatch(f"journal écrit par un ecluse plus ancien (schéma {revision}) : lancez « ecluse init »")
    return Log(engine, clock)


def create_log(url: str) -> None:
    """Create the log, or bring it to the present schema; changes nothing in one that is there already."""
    engine = connect(url)
    if file := sqlite_file(engine):
        file.parent.mkdir(parents=True, exist_ok=True)
    with transaction(engine, writes=True) as connection:
        if _known_revision(connection) != REVISION:
            from alembic import command  # imported here because no other command has to pay for it
            from alembic.config import Config

            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", "warehouse:migrations")
            command.upgrade(config, REVISION)
    engine.dispose()


def _known_revision(connection: sa.Connection) -> str | None:
    revision = schema_revision(connection)
    if revision and revision > REVISION:
        raise LogSchemaMismatch(f"journal écrit par un ecluse plus récent (schéma {revision}) : mettez ecluse à jour")
    return revision


def canonical(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no escapes. TypeError on a float or a key not text."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("the log holds no float: give money in integer cents, other decimals as text")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("the log holds no key that is not text")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)


def _row(event: NewEvent, meta: Mapping[str, Any]) -> dict[str, Any]:
    if event.type not in EVENT_TYPES:
        raise ValueError(f"unknown event type {event.type}")
    return {
        "stream": event.stream,
        "type": event.type,
        "data": canonical({"schema_version": SCHEMA_VERSIONS.get(event.type, 1)} | event.data),
        "meta": canonical(dict(meta) | ({} if event.caused_by is None else {"caused_by": event.caused_by})),
        "idempotency_key": event.key,
    }


def _event(row: Mapping[str, Any]) -> Event:
    data = json.loads(row["data"])
    if row["type"] not in EVENT_TYPES or data["schema_version"] > SCHEMA_VERSIONS.get(row["type"], 1):
        raise LogSchemaMismatch(f"événement {row['position']} écrit par un ecluse plus récent : mettez ecluse à jour")
    while upcast := UPCASTERS.get((row["type"], data["schema_version"])):
        data = upcast(data)
    return Event(**{**row, "data": data, "meta": json.loads(row["meta"])})


def _content(row: Mapping[str, Any]) -> str:
    """sha256 of a row as stored, its own hash aside: data and meta count as text, so that how they are parsed can change."""
    rest = {name: row[name] for name in COLUMNS if name != "hash"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def _stamp(instant: datetime) -> str:
    """Of fixed width, so that the order of texts is the order of instants in every database."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def paris(recorded_at: str) -> datetime:
    """An instant as the log records it, on the clocks of Paris: its day is the one that dates are told and judged by."""
    return datetime.fromisoformat(recorded_at).astimezone(PARIS)


def _by_key(connection: sa.Connection, key: str) -> dict[str, Any] | None:
    row = connection.execute(sa.select(EVENT).where(EVENT.c.idempotency_key == key)).mappings().one_or_none()
    return dict(row) if row else None


def _by_keys(connection: sa.Connection, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    found = (connection.execute(sa.select(EVENT).where(EVENT.c.idempotency_key.in_(some))).mappings() for some in _some(keys))
    return {row["idempotency_key"]: dict(row) for rows in found for row in rows}


def _versions(connection: sa.Connection, streams: Collection[str]) -> dict[str, int]:
    """The version of each stream; one without an event is left out."""
    last = sa.select(EVENT.c.stream, sa.func.max(EVENT.c.version)).group_by(EVENT.c.stream)
    return {
        stream: version
        for some in _some(streams)
        for stream, version in connection.execute(last.where(EVENT.c.stream.in_(some)))
    }


def _some(names: Collection[str]) -> Iterator[list[str]]:
    """As many at a time as a statement may name."""
    ordered = sorted(names)
    return (ordered[start : start + PAGE] for start in range(0, len(ordered), PAGE))


def _moved(connection: sa.Connection, new: Sequence[Mapping[str, Any]], under: str, position: int) -> bool:
    """Whether an event of the streams whose names begin so, written or about to be, stands after this position."""
    return any(row["stream"].startswith(under) for row in new) or _last_under(connection, under) > position


def _version(connection: sa.Connection, stream: str) -> int:
    return connection.scalar(sa.select(sa.func.max(EVENT.c.version)).where(EVENT.c.stream == stream)) or 0


def _last_under(connection: sa.Connection, under: str) -> int:
    last = sa.select(sa.func.max(EVENT.c.position)).where(EVENT.c.stream.startswith(under, autoescape=True))
    return connection.scalar(last) or 0


def _head(connection: sa.Connection) -> tuple[int, str]:
    last = sa.select(EVENT.c.position, EVENT.c.hash).order_by(EVENT.c.position.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return (row.position, row.hash) if row else (0, GENESIS)
