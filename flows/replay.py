"""The states that a recipient's product went through between two of its publications, and what led from each to the next.

From the first publication as kept, through each event of the log that changed something, judged for the day of the first, then
to the day of the second, then to the second as kept. All in between is made by the code and contracts of now: what they make
another way than a kept publication is a step of its own. States are masked as for who holds every publication made so far.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import ECDS
from contracts_schema.fingerprint import fingerprint
from contracts_schema.french import counted
from contracts_schema.products import CAMPAIGN, VIEWS, Product, Table
from flows import computed
from flows.changed_rows import among, differing, shaped
from flows.computed import Moment
from flows.editions import tables_of
from flows.hub import Hub
from flows.published import publications, published_rows
from warehouse.heads import BORDEREAU, DATASET, DEMARCHE, ECARS, FOLDED, PMSI
from warehouse.log import Event, paris

if TYPE_CHECKING:
    import polars as pl

    from warehouse.recipients import Recipient

    Rows = dict[str, pl.DataFrame]

MOST = 32
"""States made of one replay: past them, the events that lie between two are told together."""

DECLARATION, TRANSMISSION, LIST, DECISION, PUBLICATION, VERSION, DAYS = (
    "declaration", "transmission", "dataset", "decision", "publication", "version", "days"
)  # fmt: skip
SOURCES_FR = {
    PMSI: (TRANSMISSION, "transmission PMSI"), DATASET: (LIST, "jeu de données"), ECARS: (DECLARATION, "déclaration e-CARS"),
    BORDEREAU: (DECLARATION, "bordereau"), DEMARCHE: (DECLARATION, "démarche"), ECDS: (DECLARATION, "déclaration e-CDS"),
    "cpts": (DECLARATION, "formulaire CPTS"), "fir": (DECLARATION, "engagements FIR"),
}  # fmt: skip
MOVED_FR = {"DeliveryAccepted": "", "DeliveryRejected": "refus après coup : ", "DeliveryWithdrawn": "retrait : "}
DECISIONS_FR = {
    "attestation": "attestation", "policy": "politique", "alias": "rapprochement", "definition": "définition",
    "cpom_policy": "lecture du guide", "closing": "clôture", "line": "décision sur la ligne",
}  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """What may have changed rows: in words, and of which rows, by column the values (None: of any). ``sections``: of an e-CDS
    extraction, the events that let them in."""

    told: dict[str, Any]
    touches: Mapping[str, frozenset[str]] | None = None
    sections: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Point:
    """A moment of the way, and what came since the point before it."""

    at: Moment
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class State:
    """The published tables by name, as at some point of the way; ``causes``: what led here from the state before."""

    tables: "Rows"
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What is asked: a product of a recipient, its tables, and the values that key columns must have."""

    product: Product
    recipient: "Recipient"
    tables: tuple[Table, ...]
    keys: Mapping[str, str]

    def of(self, rows: "pl.DataFrame") -> "pl.DataFrame":
        """The rows asked for."""
        import polars as pl

        return rows.filter(*(pl.col(name).cast(pl.String) == value for name, value in self.keys.items()))

    def seen(self, table: Table, rows: "pl.DataFrame") -> "pl.DataFrame":
        """The rows on which those asked for depend: all, where one is hidden for the sake of another."""
        among = table.follows or table.narrows or any(mask.adds_up for mask in table.mask)
        return rows if among else self.of(rows)


def states(
    hub: Hub, asked: Asked, first: Event, last: Event, progress: Callable[[str], None] = lambda name: None
) -> list[State]:
    """The states from one publication to a later one; the first and the last are these, as kept. PublicationLost.

    Of each state the rows that differ between these two, numbered by ``numbered``.
    """
    way = list(_way(hub, asked, first, last))
    told: dict[int, tuple[str, ...]] = {}

    def digest(place: int) -> tuple[str, ...]:
        if place not in told:
            progress(f"rejeu à la position {way[place].at.position}")
            told[place] = _digest(asked, _made(hub, asked, way[place].at))
        return told[place]

    turns = halves(len(way), lambda one, other: digest(one) == digest(other))
    masks = any(table.mask for table in asked.product.tables)
    held = publications(hub, asked.recipient.name, asked.product.id) if masks else []
    earlier = [_masks(asked, {name: published_rows(hub, one, name) for name in one.data["tables"]}) for one in held]
    ends = [_kept(hub, asked, event) for event in (first, last)]
    origin = asked.product.origin_column
    asked_ends = [{table.name: asked.of(rows[table.name]) for table in asked.tables} for rows in ends]
    wanted = {table.name: differing(table, origin, *(rows[table.name] for rows in asked_ends)) for table in asked.tables}

    def kept(rows: "Rows", *causes: Cause) -> State:
        return State({table.name: among(table, asked.of(rows[table.name]), wanted[table.name]) for table in asked.tables},
                     causes)  # fmt: skip

    def again(event: Event, place: int) -> "Rows":
        """A publication made again as it was made, after those before it."""
        before = [rows for one, rows in zip(held, earlier, strict=False) if one.position < event.position]
        return _masked(hub, asked, way[place].at, before)

    found, as_made = [kept(ends[0])], _equal(asked, again(last, len(way) - 1), ends[1])
    if not _equal(asked, again(first, 0), ends[0]):
        found.append(kept(_masked(hub, asked, way[0].at, earlier), _version(hub, first)))
    for left, right in turns:
        rows = _masked(hub, asked, way[right].at, earlier)
        earlier.append(_masks(asked, rows))
        found.append(kept(rows, *(_detailed(hub, asked, one) for point in way[left + 1 : right + 1] for one in point.causes)))
    causes = found.pop().causes if as_made and len(found) > 1 else (_version(hub, last),)
    return [*found, kept(ends[1], *causes)]


def halves(count: int, same: Callable[[int, int], bool], most: int = MOST) -> list[tuple[int, int]]:
    """Among so many points in order, those next to one another that differ, as (before, after), found by halving.

    Halves whose ends are the same are not looked into: what changed and came back is no change. Of more than ``most`` points
    looked at, pairs are left apart.
    """
    waiting, found, looked = [(0, count - 1)] if count > 1 else [], [], 2
    while waiting:
        waiting.sort(key=lambda pair: pair[0] - pair[1])
        left, right = waiting.pop(0)
        if same(left, right):
            continue
        if right - left == 1 or looked >= most:
            found.append((left, right))
        else:
            middle, looked = (left + right) // 2, looked + 1
            waiting += [(left, middle), (middle, right)]
    return sorted(found)


def _way(hub: Hub, asked: Asked, first: Event, last: Event) -> Iterator[Point]:
    """The points to look at: the log in its order, then the days that passed.

    Deliveries that follow one another and touch other rows each are one point: which one changed a row is known without it.
    """
    start, end = (int(event.data["log"]["position"]) for event in (first, last))
    days = [_judged_on(event) for event in (first, last)]
    yield Point(Moment(start, days[0]))
    if asked.product.made_by == VIEWS:
        events: Sequence[Event] = list(hub.log.read(types=FOLDED, after=start, until=end))
    else:
        events = computed.changes(hub, asked.product.made_by, start, end)
    group, taken, place = list[Cause](), dict[str, set[str]](), start
    for run in _together(events):
        event, alone = run[-1], asked.product.made_by == VIEWS or len(run) > 1
        touches = None if alone else computed.touched(hub, asked.product.made_by, event)
        asked_of = _asked_of(asked, touches)
        alone = asked_of is None or not taken or any(taken[name] & asked_of.get(name, set()) for name in taken)
        if group and alone:
            yield Point(Moment(place, days[0]), tuple(group))
            group, taken = [], {}
        sections = tuple(run) if _extraction_of(event) else ()
        group.append(Cause(_extraction(run) if len(run) > 1 else cause(event), touches, sections))
        place = event.position
        for name, values in (asked_of or {}).items():
            taken.setdefault(name, set()).update(values)
    if group:
        yield Point(Moment(end, days[0]), tuple(group))
    if asked.product.made_by != VIEWS and days[0] != days[1]:
        text = f"jours passés : jugé le {days[0]:%d/%m/%Y}, puis le {days[1]:%d/%m/%Y}"
        yield Point(Moment(end, days[1]), (Cause({"kind": DAYS, "position": None, "text": text}),))


def _asked_of(asked: Asked, touches: Mapping[str, frozenset[str]] | None) -> dict[str, frozenset[str]] | None:
    """What is touched of the rows that are asked for."""
    if touches is None:
        return None
    return {name: values & {asked.keys[name]} if name in asked.keys else values for name, values in touches.items()}


def _together(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events in their order, those that let in sections of one e-CDS extraction one after the other as one: while some of
    its sections are still to come no centre is told, which nobody published."""
    run: list[Event] = []
    for event in events:
        if run and not (_extraction_of(event) and _extraction_of(event) == _extraction_of(run[-1])):
            yield run
            run = []
        run.append(event)
    if run:
        yield run


def _extraction_of(event: Event) -> str | None:
    """Sender, year and day of the extraction that a section was let in for; None for any other event."""
    if event.type == "DeliveryAccepted" and event.data["source"] == ECDS:
        return str(event.data["scope"]).rpartition("/")[0]
    return None


def _extraction(events: Sequence[Event]) -> dict[str, Any]:
    """What the sections of one extraction are together, in words."""
    sections = ", ".join(str(event.data["scope"]).rpartition("/")[2] for event in events)
    where = f"positions {events[0].position} à {events[-1].position}"
    text = f"extraction e-CDS {_extraction_of(events[0])} ({sections}), {_day(events[-1])}, {where}"
    return {"kind": DECLARATION, "position": events[-1].position, "text": text}


def _detailed(hub: Hub, asked: Asked, cause: Cause) -> Cause:
    """A cause with what its sections of e-CDS say another way, of the centre that is asked for."""
    if not cause.sections or asked.product.made_by != CAMPAIGN:
        return cause
    from flows.section_changes import changed

    said = changed(hub, cause.sections, asked.keys.get("finess"))
    return replace(cause, told=cause.told | {"text": f"{cause.told['text']} ; {said}"}) if said else cause


def _day(event: Event) -> str:
    return f"{paris(event.recorded_at):%d/%m/%Y}"


def cause(event: Event) -> dict[str, Any]:
    """What an event is, in words: kind, position, text; never who did it nor what a row holds."""
    data = event.data
    day = f"{_day(event)}, position {event.position}"
    if event.type == "DecisionTaken":
        kind, name = DECISION, DECISIONS_FR.get(data["kind"], data["kind"])
        whose = f" de {data['organisation']}" if data.get("organisation") else ""
        subjects = str(data["subject"]).split(", ")
        about = subjects[0] + (f" et {counted(len(subjects) - 1, 'autre')}" if len(subjects) > 1 else "")
        text = f"{'retrait : ' if data.get('withdraws') else ''}{name} {about}{whose}"
    elif event.type == "ProductPublished":
        kind, text = PUBLICATION, f"publication n° {data['number']} de {data['recipient']}/{data['product']}"
    else:
        kind, name = SOURCES_FR.get(data["source"], (DECLARATION, data["source"]))
        files = [str(file["name"]) for file in data["received"]]
        more = f" et {counted(len(files) - 3, 'autre')}" if len(files) > 3 else ""
        text = f"{MOVED_FR[event.type]}{name} {', '.join(files[:3])}{more} ({data['scope']})"
    return {"kind": kind, "position": event.position, "text": f"{text}, {day}"}


def _version(hub: Hub, event: Event) -> Cause:
    """What the code and contracts of now make another way than those of a publication."""
    then, now = (event.meta["code_version"], event.data["contracts"]), (hub.meta()["code_version"], fingerprint())
    told = [f"{code}, contrats et paramètres {contracts[:12]}" for code, contracts in (then, now)]
    text = f"règle, paramètre ou version : publication n° {event.data['number']} faite par {told[0]}, rejouée par {told[1]}"
    return Cause({"kind": VERSION, "position": None, "text": text})


def _judged_on(event: Event) -> date:
    judged_on = event.data.get("judged_on")
    return date.fromisoformat(judged_on) if judged_on else paris(event.recorded_at).date()


def _made(hub: Hub, asked: Asked, at: Moment) -> "Rows":
    """The rows of the recipient as of a moment, by view, before masks; none when a table of them cannot be made."""
    import polars as pl

    from warehouse.masking import inside

    made = tables_of(hub, asked.product, at, asked.recipient)
    if not (made and all(made[table.view].paths for table in asked.product.tables)):
        return {}
    frames = {table.view: pl.read_parquet(list(made[table.view].paths)) for table in asked.product.tables}
    return {view: inside(asked.product, rows, asked.recipient.territory) for view, rows in frames.items()}


def _digest(asked: Asked, made: "Rows") -> tuple[str, ...]:
    """What tells a state from another, table by table."""
    seen = (asked.seen(table, made[table.view]) for table in asked.tables) if made else ()
    return tuple(sha256(rows.hash_rows().to_numpy().tobytes()).hexdigest() for rows in seen)


def _masked(hub: Hub, asked: Asked, at: Moment, earlier: "Sequence[Mapping[str, pl.DataFrame]]") -> "Rows":
    """The tables as they would be published to who holds the earlier ones."""
    from warehouse import masking

    made = _made(hub, asked, at)
    if not made:
        return {table.name: shaped(table, None) for table in asked.product.tables}
    [event] = hub.log.read(after=at.position - 1, until=at.position)
    return masking.masked(asked.product, made, asked.recipient.territory, paris(event.recorded_at).date(), earlier)


def _masks(asked: Asked, rows: "Rows") -> "Rows":
    """What later masks depend on: which figures of which data were shown, and which were hidden."""
    told = {}
    for table in asked.product.tables:
        if table.mask and table.name in rows:
            columns = (*table.keys, asked.product.origin_column, *(mask.hides[0] for mask in table.mask), "masked")
            told[table.name] = rows[table.name].select(
                name for name in dict.fromkeys(columns) if name in rows[table.name].columns
            )
    return told


def _kept(hub: Hub, asked: Asked, event: Event) -> "Rows":
    """The tables of a publication, in the columns of now; one that it had not is empty."""
    named = event.data["tables"]
    return {
        table.name: shaped(table, published_rows(hub, event, table.name) if table.name in named else None)
        for table in asked.product.tables
    }


def _equal(asked: Asked, one: "Rows", other: "Rows") -> bool:
    return all(asked.of(one[table.name]).equals(asked.of(other[table.name])) for table in asked.tables)
