"""Why a figure is what it is, and why a line was refused: from a published row down to file and line numbers.

Gives hashes, positions, rule ids, file names and line numbers; never what a line holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts_schema.french import number as figure
from contracts_schema.products import VIEWS, Table
from flows import origins
from flows.decisions import last_decision, last_decisions
from flows.deliveries import all_heads, heads, names_of, quarantines, set_aside, verdict_of
from flows.hub import Hub, WrongUsage
from flows.origins import Origins
from flows.published import contract_of, folder_of, publications, published_rows
from warehouse.log import Event

if TYPE_CHECKING:
    import polars as pl

    from warehouse.heads import Head


@dataclass(frozen=True)
class Quarantined:
    """Lines set aside in one delivery: ``family``, ``line_number``, ``rule``, ``fields``, in the order of the files."""

    delivery_id: str
    scope: str
    file: str
    status: str
    lines: "pl.DataFrame"


def explain(
    hub: Hub, product_name: str, table_name: str, keys: Mapping[str, str], number: int | None = None, until: int | None = None
) -> dict[str, Any]:
    """From one published row to its publication, view, deliveries, files and line numbers.

    ``product_name`` is ``<recipient>/<product>``; ``keys`` are the row's key columns as text; ``number`` is that of the
    publication (by default the last, or the last made at the position ``until``). WrongUsage when nothing is named so.
    """
    event = _publication(hub, product_name, number, until)
    table = _table(event, table_name)
    row = _row(hub, event, table, keys)
    position = int(event.data["log"]["position"])
    product = contract_of(event)
    if product.made_by == VIEWS:
        found, standing = Origins(lines_of(hub, table, row, position)), heads(hub, position)
    else:
        found, standing = origins.of(hub, product.made_by, table, row, position), all_heads(hub, position)
    # a figure of nothing rests on a delivery too: the row names it
    deliveries = [
        head for head in standing.values() if head.scope in found.lines or head.delivery_id == row.get("transmission_id")
    ]
    return {
        "publication": {
            "recipient": event.data["recipient"],
            "product": event.data["product"],
            "number": event.data["number"],
            "folder": str(folder_of(hub, event)),
            "published_at": event.recorded_at,
            "published_by": event.meta["actor"],
            "log_position": position,
            "log_hash": event.data["log"]["hash"],
        },
        "table": table.name,
        "row": row,
        "view": {
            "name": table.view,
            "key": event.data["build_keys"][table.view],
            "rows_from": table.explained_by or product.made_by,
        },
        "basis": list(found.basis),
        "deliveries": [_origin(hub, head, found.lines.get(head.scope, {})) for head in deliveries],
    }


def quarantine(hub: Hub, until: int | None = None, delivery: str | None = None) -> list[Quarantined]:
    """Lines set aside, of the deliveries that stand or wait at a position, or of one delivery by the start of its id."""
    return [
        Quarantined(event.data["delivery_id"], event.data["scope"], names_of(event.data["received"]), verdict_of(event),
                    set_aside(hub, event.data))
        for event in _deciding(hub, until, delivery)
        if quarantines(event.data)
    ]  # fmt: skip


def _deciding(hub: Hub, until: int | None, delivery: str | None) -> list[Event]:
    """The decisions that count: those of the heads, and later ones that hold or refuse."""
    if delivery:
        return [last_decision(hub, delivery, until)]
    last = last_decisions(hub, until)
    standing = {head.delivery_id: head.position for head in heads(hub, until).values()}
    since = {event.stream: event.position for event in last.values() if event.data["delivery_id"] in standing}
    return [
        event
        for found, event in last.items()
        if found in standing or (event.type == "DeliveryRejected" and event.position > since.get(event.stream, 0))
    ]


def _publication(hub: Hub, product_name: str, number: int | None, until: int | None) -> Event:
    recipient, _, product = product_name.partition("/")
    found = [event for event in publications(hub, recipient, product) if until is None or event.position <= until]
    if not found:
        made = sorted({f"{event.data['recipient']}/{event.data['product']}" for event in publications(hub, until=until)})
        raise WrongUsage(f"aucune publication de {product_name} ; publiés : {', '.join(made) or 'aucun'}")
    chosen = found[-1] if number is None else next((e for e in found if e.data["number"] == number), None)
    if chosen is None:
        raise WrongUsage(f"{product_name} n'a pas de publication {number} ; la dernière est la {len(found)}")
    return chosen


def _table(event: Event, name: str) -> Table:
    tables = {table.name: table for table in contract_of(event).tables}
    if name not in tables:
        raise WrongUsage(f"pas de table {name} dans {event.data['product']} ; tables : {', '.join(tables)}")
    return tables[name]


def _row(hub: Hub, event: Event, table: Table, keys: Mapping[str, str]) -> dict[str, Any]:
    import polars as pl

    published = published_rows(hub, event, table.name)
    unknown = set(keys) - set(table.keys)
    if unknown:
        raise WrongUsage(f"{', '.join(sorted(unknown))} n'est pas une clé de {table.name} ; clés : {', '.join(table.keys)}")
    rows = published.filter(pl.col(name).cast(pl.String) == value for name, value in keys.items())
    if rows.height != 1:
        missing = set(table.keys) - set(keys)
        told = f"donnez aussi {', '.join(name for name in table.keys if name in missing)}" if missing else "il n'y en a aucune"
        example = _example(published, table)
        several = f"{figure(rows.height)} lignes publiées" if rows.height else "aucune ligne publiée"
        raise WrongUsage(f"{several} pour ces clés ; {told}, par exemple {example}")
    return rows.row(0, named=True)


def _example(published: "pl.DataFrame", table: Table) -> str:
    first = published.head(1).row(0, named=True) if published.height else {}
    return " ".join(f"{name}={first.get(name, '…')}" for name in table.keys)


def lines_of(hub: Hub, table: Table, row: Mapping[str, Any], position: int) -> dict[str, dict[str, Any]]:
    """Per scope and measure, the line numbers behind a row, as ranges."""
    from flows.building import reading

    view = table.explained_by
    found: dict[str, dict[str, Any]] = {}
    with reading(hub, {view, "ref_pmsi__head"}, position) as engine:
        columns = {line[0] for line in engine.sql(f"describe {view}").fetchall()}
        matched = [name for name in table.keys if name in columns]
        where = " and ".join(f"v.{name} = ${name}" for name in matched)
        for measure, condition in table.measures.items():
            counted = condition if isinstance(condition, str) else condition[row["variant"]]
            sql = RANGES.format(view=view, where=where, counted=counted)
            for scope, first, last, count in engine.execute(sql, {name: row[name] for name in matched}).fetchall():
                entry = found.setdefault(scope, {}).setdefault(measure, {"lines": 0, "ranges": []})
                entry["lines"] += count
                entry["ranges"].append([first, last])
    return found


# Runs of consecutive line numbers: within a run, line number minus rank is constant.
RANGES = """
    with counted as (
        select h.scope, v.line_number, v.line_number - row_number() over (partition by h.scope order by v.line_number) as run
        from {view} as v
        inner join ref_pmsi__head as h on v.finess = h.finess and v.exit_year = h.year
        where {where} and ({counted})
    )
    select scope, min(line_number), max(line_number), count(*)
    from counted
    group by scope, run
    order by scope, min(line_number)
"""


def _waiver(hub: Hub, head: "Head") -> dict[str, Any] | None:
    """Who let a held delivery in, in spite of which rules, why and until when."""
    taken = hub.log.find(head.data["waiver"]) if "waiver" in head.data else None
    if taken is None:
        return None
    said = ("value", "reason", "until", "reference")
    return {"position": taken.position, "by": taken.meta["actor"], **{name: taken.data[name] for name in said}}


def _origin(hub: Hub, head: "Head", measures: Mapping[str, Any]) -> dict[str, Any]:
    received = hub.log.find(f"received/{head.delivery_id}")
    accepted = next(hub.log.read(after=head.position - 1, until=head.position))
    if received is None:
        raise LookupError(f"no reception of delivery {head.delivery_id}")
    return {
        "scope": head.scope,
        "delivery_id": head.delivery_id,
        "received_files": head.data["received"],
        "files": head.data["files"],
        "uid": head.data.get("uid"),
        "received": {"position": received.position, "at": received.recorded_at, "by": received.meta["actor"],
                     "stated": received.data.get("received_at")},
        "accepted": {"position": accepted.position, "at": accepted.recorded_at, "by": accepted.meta["actor"]},
        "waiver": _waiver(hub, head),
        "segments": head.tables,
        "rows_in": head.data["rows_in"],
        "rows_quarantined": head.data["rows_quarantined"],
        "measures": measures,
    }  # fmt: skip
