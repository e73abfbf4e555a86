"""What changed between two positions of the log: rows of each scope, published figures, and which delivery changed each.

Every move of a head is replayed in order; what a delivery contributes to a figure is its value after that move minus its value
before, so that contributions sum to the change. A figure that is not there counts as 0 in sums and is shown as absent. Figures
are those before masking: for whoever runs the hub, never for a recipient. Must never give what a row of a transmission holds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.families import RESTRICTED
from contracts_schema.products import VIEWS, Table, products
from flows import building
from flows.deliveries import heads, verdict_of
from flows.hub import Hub, WrongUsage
from warehouse import views
from warehouse.differences import rows_changed
from warehouse.heads import BORDEREAU, FOLDED, Folding, Head, links
from warehouse.log import Event
from warehouse.masking import TYPES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

Value = int | Decimal | None


@dataclass(frozen=True)
class Figure:
    """One number of one published row: the product's id, the table, the row's keys, the column."""

    product: str
    table: str
    keys: tuple[tuple[str, Any], ...]
    column: str


class PartsDoNotSum(Exception):
    """Contributions that do not add up to the change: a defect of the replay, never of the data."""


@dataclass(frozen=True)
class Move:
    """An event that put another head in place of a scope's, or none."""

    event: Event
    scope: str
    left: Head | None
    right: Head | None


def difference(
    hub: Hub, before: int, after: int, scope: str | None = None, progress: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """What the log changed in (before, after]: ``moves`` of heads, rows per scope and table, figures with their parts.

    With a scope, its deliveries alone are replayed, the other scopes staying as they were at ``before``. WrongUsage when the
    positions are not in order.
    """
    if before > after:
        raise WrongUsage(f"AVANT doit précéder APRÈS : la position {before} vient après {after}")
    moves = list(_moves(hub, before, after, scope))
    return {
        "before": before,
        "after": after,
        "scope": scope,
        "moves": [_told(move) for move in moves],
        "scopes": [_rows(hub, *ends, progress) for ends in _ends(moves)],
        "figures": _figures(hub, before, moves, progress),
    }


def last_change(hub: Hub, scope: str, until: int | None = None) -> tuple[int, int]:
    """The last position where another delivery stood for a scope than now, and the position of now, which may be a past one.

    WrongUsage if none did.
    """
    now = hub.log.head()[0] if until is None else until
    moves = list(_moves(hub, 0, now, scope))
    if not moves:
        raise WrongUsage(f"aucune transmission n'a été en place pour {scope} ; « ecluse status » donne les périmètres")
    for move in reversed(moves):
        if move.left and (move.right is None or move.left.delivery_id != move.right.delivery_id):
            return move.event.position - 1, now
    raise WrongUsage(f"une seule transmission a été en place pour {scope} : rien à comparer")


def _moves(hub: Hub, before: int, after: int, scope: str | None) -> Iterator[Move]:
    """Every change of what stands: one event moves several scopes when a bordereau replaces another."""
    alone = scope if scope and not scope.startswith(f"{BORDEREAU}/") else None  # bordereaux stand by the others' decisions
    folding = Folding()
    for event in hub.log.read(until=after, types=FOLDED, stream=alone):
        if event.position <= before:
            folding.add(event)
            continue
        linked = {event.stream, *(scope for pair in links(event.data) for scope in pair)}
        touched = {tied for one in linked for tied in folding.chain(one)}
        then = folding.heads(touched)
        folding.add(event)
        now = folding.heads(touched)
        for moved in sorted({*then, *now} if scope is None else {scope} & {*then, *now}):
            left, right = (_if_stands(side.get(moved)) for side in (then, now))
            if _place(left) != _place(right):
                yield Move(event, moved, left, right)


def _if_stands(head: Head | None) -> Head | None:
    return head if head and head.superseded_by is None else None


def _place(head: Head | None) -> tuple[str, int] | None:
    return (head.delivery_id, head.position) if head else None


def _ends(moves: list[Move]) -> list[tuple[str, Head | None, Head | None]]:
    """Each scope that moved, with its first head and its last; not those that came back to where they were."""
    first = {move.scope: move.left for move in reversed(moves)}
    last = {move.scope: move.right for move in moves}
    return [(scope, first[scope], last[scope]) for scope in sorted(first) if _place(first[scope]) != _place(last[scope])]


def _told(move: Move) -> dict[str, Any]:
    data = move.event.data
    return {
        "position": move.event.position,
        "recorded_at": move.event.recorded_at,
        "type": move.event.type,
        "outcome": _outcome(move.event),
        "scope": move.scope,
        "delivery_id": data["delivery_id"],
        "files": [file["name"] for file in data["received"]],
        "before": _stood(move.left),
        "after": _stood(move.right),
    }


def _outcome(event: Event) -> str:
    """What a decision made of its delivery: accepted, waived, restored, held, rejected or withdrawn."""
    told = {"restores": "restored", "waiver": "waived"}
    how = next((word for name, word in told.items() if name in event.data), None)
    return how if how and event.type == "DeliveryAccepted" else verdict_of(event)


def _stood(head: Head | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {
        "delivery_id": head.delivery_id,
        "period": head.period,
        "position": head.position,
        "files": [file["name"] for file in head.data["received"]],
    }


def _rows(hub: Hub, scope: str, left: Head | None, right: Head | None, progress: Callable[[str], None]) -> dict[str, Any]:
    """How the rows of a scope changed, table by table; tables kept apart are not read."""
    found = []
    sides = [head.tables if head else {} for head in (left, right)]
    for table in sorted(table for table in {*sides[0], *sides[1]} if not table.startswith(RESTRICTED)):
        progress(table)
        changes = rows_changed(table, *(_segment(hub, tables.get(table)) for tables in sides))
        found.append(
            {
                "table": table,
                "before": changes.left,
                "after": changes.right,
                "unchanged": changes.unchanged,
                "removed": changes.removed.size,
                "added": changes.added.size,
                "by_exit_month": {str(month): {"removed": r, "added": a} for month, (r, a) in changes.by_month.items()},
                "removed_lines": _ranges(changes.removed),
                "added_lines": _ranges(changes.added),
                "not_compared": list(changes.not_compared),
            }
        )
    return {"scope": scope, "before": _stood(left), "after": _stood(right), "tables": found}


def _segment(hub: Hub, sha: str | None) -> Path | None:
    return hub.blobs.segment_path(sha) if sha else None


def _ranges(lines: "npt.NDArray[np.int64]") -> list[list[int]]:
    """Line numbers, ascending, as first and last of each run."""
    import numpy as np

    runs = np.split(lines, np.flatnonzero(np.diff(lines) != 1) + 1) if lines.size else []
    return [[int(run[0]), int(run[-1])] for run in runs]


def _figures(hub: Hub, before: int, moves: list[Move], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every published figure that changed since a position, with what each delivery contributed. PartsDoNotSum."""
    standing = heads(hub, before)
    parts: dict[Figure, list[dict[str, Any]]] = {}
    first = then = _build(hub, standing, before, progress)
    for move in moves:
        standing = {scope: head for scope, head in ({**standing, move.scope: move.right}).items() if head}
        now = _build(hub, standing, move.event.position, progress)
        moved_by = {"position": move.event.position, "delivery_id": move.event.data["delivery_id"]}
        for figure, left, right in _changed(then, now):
            parts.setdefault(figure, []).append(moved_by | {"contribution": _worth(right) - _worth(left)})
        then = now
    found = []
    for figure, left, right in _changed(first, then):
        mine, change = parts.pop(figure, []), _worth(right) - _worth(left)
        _check(figure, mine, change)
        found.append({"product": figure.product, "table": figure.table, "keys": dict(figure.keys), "figure": figure.column,
                      "before": left, "after": right, "change": change, "parts": mine})  # fmt: skip
    for figure, mine in parts.items():  # what changed and came back
        _check(figure, mine, 0)
    return found


def _build(hub: Hub, standing: Mapping[str, Head], until: int, progress: Callable[[str], None]) -> dict[str, views.Table]:
    names = {table.view for product in products().values() if product.made_by == VIEWS for table in product.tables}
    return building.tables(hub, dict(sorted(standing.items())), names, until, progress)


def _changed(left: Mapping[str, views.Table], right: Mapping[str, views.Table]) -> Iterator[tuple[Figure, Value, Value]]:
    """The published figures that differ between two states of the views, in the order of products, tables, keys and columns.

    Files that stand in both states hold equal rows and are not read.
    """
    import polars as pl

    for product in products().values():
        for table in product.tables if product.made_by == VIEWS else ():
            sides = [set(state[table.view].paths) if table.view in state else set() for state in (left, right)]
            frames = [_read(table, mine - other) for mine, other in (sides, sides[::-1])]
            columns = {column: f"{column}_right" for column in _figure_columns(table)}
            differ = pl.any_horizontal(pl.col(one).ne_missing(pl.col(other)) for one, other in columns.items())
            both = frames[0].join(frames[1], on=table.keys, how="full", coalesce=True, nulls_equal=True, validate="1:1")
            for row in both.filter(differ).sort(table.keys).iter_rows(named=True):
                keys = tuple((key, row[key]) for key in table.keys)
                for one, other in columns.items():
                    if row[one] != row[other]:
                        yield Figure(product.id, table.name, keys, one), row[one], row[other]


def _read(table: Table, paths: set[Path]) -> "pl.DataFrame":
    import polars as pl

    types = {column.name: TYPES[column.type] for column in table.columns}
    wanted = [*table.keys, *_figure_columns(table)]
    if not paths:
        return pl.DataFrame(schema={name: types[name] for name in wanted})
    return pl.read_parquet(sorted(paths), columns=wanted).select(pl.col(name).cast(types[name]) for name in wanted)


def _figure_columns(table: Table) -> list[str]:
    """Counts, and whatever has decimals: no identifier does."""
    numbers = [column for column in table.columns if column.type in ("integer", "number") and column.name not in table.keys]
    return [column.name for column in numbers if column.classification == "aggregate" or column.type == "number"]


def _worth(value: Value) -> int | Decimal:
    return 0 if value is None else value


def _check(figure: Figure, parts: list[dict[str, Any]], change: int | Decimal) -> None:
    if sum(part["contribution"] for part in parts) != change:
        raise PartsDoNotSum(f"{figure.table}.{figure.column}: the contributions do not add up to the change; nothing was shown")
