"""Tables that Python computes from heads, beside the views in SQL: who makes which, as of which moment, kept under which key.

A module of ``MODULES`` gives ``SOURCES`` (whose deliveries matter), ``KINDS`` (of decisions that matter), ``INTERNAL`` (tables
that no product publishes), ``shares(hub, known, at)``, a key for each part of its tables, and ``computed(hub, known, shares,
at)``, the tables of these parts, one after the other; it may have ``touched(hub, event)``, the rows that an event may change,
and ``ORDER``, by table the columns that its rows are put in the order of where shares cut it across. A share is named by the
place that it is of, its own part of it after a slash. A key is a hash of all that the part is made of: the same key is the same
table, and is not computed again.
"""

import hashlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from contracts_schema.fingerprint import fingerprint
from contracts_schema.products import CAMPAIGN, CONTRACTS, CPOM, RECONCILIATION, products
from flows.deliveries import all_heads
from flows.hub import Hub
from flows.published import publications
from warehouse import views
from warehouse.heads import FOLDED
from warehouse.log import Event, canonical, paris

if TYPE_CHECKING:
    import polars as pl

    from warehouse.log import Log

MODULES = {
    RECONCILIATION: "flows.reconciling",
    CPOM: "flows.cpom",
    CAMPAIGN: "flows.campaigns",
    CONTRACTS: "flows.commitments",
}
"""The module that computes the tables of products, by what their contract says in ``made_by``."""


@dataclass(frozen=True)
class Moment:
    """As of which position of the log, and for which day, something is judged."""

    position: int
    on: date


def maker(made_by: str) -> Any:
    """The module that makes these tables."""
    return import_module(MODULES[made_by])


def names(made_by: str | None = None) -> set[str]:
    """The tables of one maker, or of all."""
    makers = [made_by] if made_by else list(MODULES)
    published = {table.view for product in products().values() if product.made_by in makers for table in product.tables}
    return published | {name for one in makers for name in maker(one).INTERNAL}


def last_change(hub: Hub, made_by: str, until: int | None = None) -> Event | None:
    """The last event, up to a position, that these tables depend on: it moved a head, or is a decision that matters."""
    last = hub.log.head()[0]
    return _last_changes(hub.log, last if until is None else min(until, last)).get(made_by)


@lru_cache(maxsize=4)
def _last_changes(log: "Log", until: int) -> dict[str, Event]:
    """The same for all that Python makes, in one reading of the log; what happened up to a position stays so."""
    makers, let_in = {made_by: maker(made_by) for made_by in MODULES}, set[str]()
    found: dict[str, Event] = {}
    for event in log.read(types=FOLDED | {"DecisionTaken"}, until=until):
        if event.type == "DeliveryAccepted":
            let_in.add(event.data["delivery_id"])
        if event.type == "DecisionTaken" or event.data["delivery_id"] in let_in:
            found |= {made_by: event for made_by, here in makers.items() if _matters(here, event)}
    return found


def changes(hub: Hub, made_by: str, after: int, until: int) -> list[Event]:
    """The events in (after, until] that may have changed these tables, publications that they are compared with included."""
    here = maker(made_by)
    events = hub.log.read(types=FOLDED | {"DecisionTaken", "ProductPublished"}, after=after, until=until)
    return [event for event in events if event.type == "ProductPublished" or _matters(here, event)]


def touched(hub: Hub, made_by: str, event: Event) -> Mapping[str, frozenset[str]] | None:
    """The rows that an event may change, by column the values; None: any row, as for a maker that does not say."""
    here = maker(made_by)
    return here.touched(hub, event) if hasattr(here, "touched") else None


def _matters(here: Any, event: Event) -> bool:
    told = event.data
    return bool(told.get("kind") in here.KINDS if event.type == "DecisionTaken" else told["source"] in here.SOURCES)


def moment(hub: Hub, made_by: str, until: int | None = None) -> Moment | None:
    """The moment to judge at: today for what stands now; on a past day, that day; at a past position, the day of a publication
    made of it, or its own.

    None when nothing that matters ever happened.
    """
    last = last_change(hub, made_by, until)
    if last is None:
        return None
    if until is None:
        return Moment(last.position, hub.today())
    if hub.judged_on:
        return Moment(last.position, hub.judged_on)
    makes = {product.id for product in products().values() if product.made_by == made_by}
    made = [event for event in publications(hub) if event.data["log"]["position"] == last.position]
    days = [(event.position, event.data["judged_on"]) for event in made if event.data["product"] in makes]
    known = [day for position, day in days if position <= until] or [day for _, day in days[:1]]
    recorded = paris(last.recorded_at).date()
    return Moment(last.position, date.fromisoformat(known[-1]) if known else recorded)


def tables(
    hub: Hub,
    made_by: str,
    at: Moment,
    progress: Callable[[str], None] = lambda name: None,
    own: Set[str] = frozenset(),
) -> dict[str, views.Table]:
    """Every table of a maker as of a moment, those missing computed now; none when there is nothing to make them of.

    ``own``: where there are shares of one of these places, of those alone.
    """
    known, here = all_heads(hub, at.position), maker(made_by)
    shares = here.shares(hub, known, at)
    shares = {share: key for share, key in shares.items() if share.partition("/")[0] in own} or shares
    made = sorted(names(made_by)) if shares else []

    def part(name: str, key: str) -> views.Part:
        return views.part(hub.views_folder, name, key)

    lacking = {share: {name for name in made if not part(name, key).path.exists()} for share, key in shares.items()}
    missing = [share for share, names in lacking.items() if names]
    for share, told in here.computed(hub, known, missing, at) if missing else ():
        progress(f"calcul {share}")
        for name, rows in told.items():
            views.keep(hub.views_folder, name, shares[share], rows)
    return {
        name: views.table_of(name, [replace(part(name, key), built=name in lacking[share]) for share, key in shares.items()])
        for name in made
    }


def rows(hub: Hub, made_by: str, name: str, until: int | None = None) -> "pl.DataFrame | None":
    """A table, now or as of a position; None when there is nothing to make it of."""
    at = moment(hub, made_by, until)
    made = tables(hub, made_by, at) if at else {}
    return read(made_by, made[name]) if name in made else None


def read(made_by: str, table: views.Table) -> "pl.DataFrame":
    """The rows of a table, in the order that its maker puts them in."""
    import polars as pl

    found = pl.read_parquet(list(table.paths))
    order = getattr(maker(made_by), "ORDER", {}).get(table.name)
    return found.sort(order, nulls_last=True, maintain_order=True) if order else found


def key_of(package: str, made_of: Mapping[str, Any]) -> str:
    """The key of a part: a hash of what it is made of, the code of the rules (``checks/<package>``) and all contracts."""
    told = {"code": _code(package), "contracts": fingerprint(), **made_of}
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def hash_of(rows: "pl.DataFrame") -> str:
    """A hash of rows, in their order, and of the names of their columns; of plain columns, no list among them."""
    return hashlib.sha256(rows.write_csv().encode()).hexdigest()


@cache
def _code(package: str) -> str:
    import polars as pl

    found = sorted(files("checks").joinpath(package).iterdir(), key=lambda path: path.name)
    told = (path.read_bytes() for path in found if path.name.endswith(".py"))
    return hashlib.sha256(b"\0".join([pl.__version__.encode(), *told])).hexdigest()
