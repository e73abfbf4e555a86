"""The states that a recipient's product went through between two of its publications, and what led from each to the next.

From the first publication as kept, through each event of the log that changed something, judged for the day of the first, then
to the day of the second, then to the second as kept. All in between is made by the code and contracts of now: what they make
another way than a kept publication is a step of its own. States are masked as for who holds every publication made so far.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import ECDS
from contracts_schema.fingerprint import fingerprint
from contracts_schema.products import VIEWS, Product, Table
from flows import computed
from flows.computed import Moment
from flows.editions import tables_of
from flows.hub import PARIS, Hub
from flows.published import publications, published_rows
from warehouse.heads import BORDEREAU, DATASET, DEMARCHE, ECARS, FOLDED, PMSI
from warehouse.log import Event

if TYPE_CHECKING:
    import polars as pl

    from warehouse.recipients import Recipient

    Rows = dict[str, pl.DataFrame]

MOST = 64
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
class State:
    """The published tables by name, as at some point of the way; ``causes``: what led here from the state before."""

    tables: "Rows"
    causes: tuple[dict[str, Any], ...] = ()


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

    def kept(self, rows: "Rows") -> "Rows":
        """The rows asked for of the tables asked for, by name."""
        return {table.name: self.of(rows[table.name]) for table in self.tables}


def states(
    hub: Hub, asked: Asked, first: Event, last: Event, progress: Callable[[str], None] = lambda name: None
) -> list[State]:
    """The states from one publication to a later one; the first and the last are these, as kept. PublicationLost."""
    way = list(_way(hub, asked, first, last))
    made: dict[int, Rows] = {}

    def at(place: int) -> "Rows":
        if place not in made:
            progress(f"rejeu à la position {way[place][0].position}")
            made[place] = _made(hub, asked, way[place][0])
        return made[place]

    turns = halves(len(way), lambda one, other: _same(asked, at(one), at(other)))
    masks = any(table.mask for table in asked.product.tables)
    held = publications(hub, asked.recipient.name, asked.product.id) if masks else []
    earlier = [{name: published_rows(hub, event, name) for name in event.data["tables"]} for event in held]
    ends = [_kept(hub, asked, event) for event in (first, last)]
    before = [
        [rows for one, rows in zip(held, earlier, strict=True) if one.position < event.position] for event in (first, last)
    ]
    again = [_masked(hub, asked, at(place), way[place][0], before[end]) for end, place in enumerate((0, len(way) - 1))]
    found = [State(asked.kept(ends[0]))]
    if not _equal(asked, again[0], ends[0]):
        found.append(State(asked.kept(_masked(hub, asked, at(0), way[0][0], earlier)), (_version(hub, first),)))
    for left, right in turns:
        rows = _masked(hub, asked, at(right), way[right][0], earlier)
        earlier.append(rows)
        found.append(State(asked.kept(rows), tuple(cause for _, cause in way[left + 1 : right + 1] if cause)))
    as_made = len(found) > 1 and _equal(asked, again[1], ends[1])
    causes = found.pop().causes if as_made else (_version(hub, last),)
    return [*found, State(asked.kept(ends[1]), causes)]


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


def _way(hub: Hub, asked: Asked, first: Event, last: Event) -> Iterator[tuple[Moment, dict[str, Any] | None]]:
    """The moments to look at, each with what came there: the log in its order, then the days that passed."""
    start, end = (int(event.data["log"]["position"]) for event in (first, last))
    days = [_judged_on(event) for event in (first, last)]
    yield Moment(start, days[0]), None
    if asked.product.made_by == VIEWS:
        events: Sequence[Event] = list(hub.log.read(types=FOLDED, after=start, until=end))
    else:
        events = computed.changes(hub, asked.product.made_by, start, end)
    for together in _together(events):
        yield Moment(together[-1].position, days[0]), cause(together[0]) if len(together) == 1 else _extraction(together)
    if asked.product.made_by != VIEWS and days[0] != days[1]:
        text = f"jours passés : jugé le {days[0]:%d/%m/%Y}, puis le {days[1]:%d/%m/%Y}"
        yield Moment(end, days[1]), {"kind": DAYS, "position": None, "text": text}


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


def _day(event: Event) -> str:
    return f"{datetime.fromisoformat(event.recorded_at).astimezone(PARIS):%d/%m/%Y}"


def cause(event: Event) -> dict[str, Any]:
    """What an event is, in words: kind, position, text; never who did it nor what a row holds."""
    data = event.data
    day = f"{_day(event)}, position {event.position}"
    if event.type == "DecisionTaken":
        kind, name = DECISION, DECISIONS_FR.get(data["kind"], data["kind"])
        whose = f" de {data['organisation']}" if data.get("organisation") else ""
        subjects = str(data["subject"]).split(", ")
        about = subjects[0] + (f" et {len(subjects) - 1} autres" if len(subjects) > 1 else "")
        text = f"{'retrait : ' if data.get('withdraws') else ''}{name} {about}{whose}"
    elif event.type == "ProductPublished":
        kind, text = PUBLICATION, f"publication n° {data['number']} de {data['recipient']}/{data['product']}"
    else:
        kind, name = SOURCES_FR.get(data["source"], (DECLARATION, data["source"]))
        files = [str(file["name"]) for file in data["received"]]
        more = f" et {len(files) - 3} autres" if len(files) > 3 else ""
        text = f"{MOVED_FR[event.type]}{name} {', '.join(files[:3])}{more} ({data['scope']})"
    return {"kind": kind, "position": event.position, "text": f"{text}, {day}"}


def _version(hub: Hub, event: Event) -> dict[str, Any]:
    """What the code and contracts of now make another way than those of a publication."""
    then, now = (event.meta["code_version"], event.data["contracts"]), (hub.meta()["code_version"], fingerprint())
    told = [f"{code}, contrats et paramètres {contracts[:12]}" for code, contracts in (then, now)]
    text = f"règle, paramètre ou version : publication n° {event.data['number']} faite par {told[0]}, rejouée par {told[1]}"
    return {"kind": VERSION, "position": None, "text": text}


def _judged_on(event: Event) -> date:
    return date.fromisoformat(event.data.get("judged_on") or event.recorded_at[:10])


def _made(hub: Hub, asked: Asked, at: Moment) -> "Rows":
    """The rows of the recipient as of a moment, by view, before masks; none when a table of them cannot be made."""
    import polars as pl

    from warehouse.masking import inside

    made = tables_of(hub, asked.product, at, asked.recipient)
    if not (made and all(made[table.view].paths for table in asked.product.tables)):
        return {}
    frames = {table.view: pl.read_parquet(list(made[table.view].paths)) for table in asked.product.tables}
    return {view: inside(asked.product, rows, asked.recipient.territory) for view, rows in frames.items()}


def _same(asked: Asked, one: "Rows", other: "Rows") -> bool:
    if not (one and other):
        return not (one or other)
    return all(asked.seen(table, one[table.view]).equals(asked.seen(table, other[table.view])) for table in asked.tables)


def _masked(hub: Hub, asked: Asked, made: "Rows", at: Moment, earlier: "Sequence[Mapping[str, pl.DataFrame]]") -> "Rows":
    """The tables as they would be published to who holds the earlier ones."""
    from warehouse import masking

    if not made:
        return {table.name: shaped(table, None) for table in asked.product.tables}
    [event] = hub.log.read(after=at.position - 1, until=at.position)
    return masking.masked(asked.product, made, asked.recipient.territory, date.fromisoformat(event.recorded_at[:10]), earlier)


def _kept(hub: Hub, asked: Asked, event: Event) -> "Rows":
    """The tables of a publication, in the columns of now; one that it had not is empty."""
    named = event.data["tables"]
    return {
        table.name: shaped(table, published_rows(hub, event, table.name) if table.name in named else None)
        for table in asked.product.tables
    }


def _equal(asked: Asked, one: "Rows", other: "Rows") -> bool:
    mine, theirs = asked.kept(one), asked.kept(other)
    return all(rows.equals(theirs[name]) for name, rows in mine.items())


def shaped(table: Table, rows: "pl.DataFrame | None") -> "pl.DataFrame":
    """Rows in the columns and types of a contract; a column that they have not is empty."""
    import polars as pl

    from warehouse.masking import TYPES

    if rows is None:
        return pl.DataFrame(schema={column.name: TYPES[column.type] for column in table.columns})
    there = set(rows.columns)
    empty = [pl.lit(None).alias(column.name) for column in table.columns if column.name not in there]
    return rows.with_columns(empty).select(pl.col(column.name).cast(TYPES[column.type]) for column in table.columns)
