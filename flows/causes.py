"""Why what was published changed: every figure that differs between two publications, each with its part of every cause.

A part is the value after a step of ``flows.replay`` minus the value before, so that parts sum to the change; a text is told
from step to step. What a mask hides stays hidden: a figure hidden on one side has no parts in numbers, and steps between which
a figure would have been hidden are told together. A figure that is not there counts as 0 in sums.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from contracts_schema.products import Column, Table
from flows.changed_rows import AGAIN, compared, named, numbered
from flows.hub import Hub, WrongUsage
from flows.published import contract_of, publications
from flows.replay import Asked, Cause, State, states
from warehouse.log import Event

HIDDEN, SHOWN = "masqué", "montré"
ROW = "ligne"


@dataclass(frozen=True)
class Chain:
    """The values of one figure from state to state, None where there is none, and what led to each."""

    values: tuple[Any, ...]
    causes: tuple[tuple[dict[str, Any], ...], ...]
    number: bool


def causes(
    hub: Hub,
    product_name: str,
    number: int | None = None,
    since: int | None = None,
    keys: Mapping[str, str] | None = None,
    table: str | None = None,
    progress: Callable[[str], None] = lambda name: None,
    until: int | None = None,
) -> dict[str, Any]:
    """What changed from publication ``since`` to publication ``number`` of ``<recipient>/<product>``, figure by figure.

    By default from the last but one to the last, now or as of the position ``until``. ``keys``: only rows that have these
    values; ``table``: only this one.
    Each figure has ``table``, ``keys``, ``figure`` (a column, or ``ligne`` for the row itself), ``before``, ``after``,
    ``change`` (of numbers shown on both sides) and ``parts``: ``causes``, ``before``, ``after``, ``contribution``. WrongUsage.
    """
    from warehouse.recipients import recipient

    first, last = _ends(hub, product_name, number, since, until)
    product = contract_of(last)
    asked = Asked(product, recipient(last.data["recipient"]), _tables(product.tables, keys or {}, table), keys or {})
    found = states(hub, asked, first, last, progress)
    figures = [figure for one in asked.tables for figure in _figures(one, found, product.origin_column)]
    return {"recipient": asked.recipient.name, "product": product.id, "before": _told(first), "after": _told(last),
            "figures": figures}  # fmt: skip


def _ends(hub: Hub, product_name: str, number: int | None, since: int | None, until: int | None) -> tuple[Event, Event]:
    recipient, _, product = product_name.partition("/")
    made = {event.data["number"]: event for event in publications(hub, recipient, product, until)}
    if not made:
        raise WrongUsage(f"aucune publication de {product_name} (ecluse status donne celles qu'il y a)")
    number = max(made) if number is None else number
    since = number - 1 if since is None else since
    if since not in made or number not in made or since >= number:
        told = "il n'y en a qu'une : rien à comparer" if len(made) == 1 else f"il y a les numéros 1 à {max(made)}, dans l'ordre"
        raise WrongUsage(f"{product_name} : pas de publications {since} puis {number} ; {told}")
    return made[since], made[number]


def _tables(tables: Sequence[Table], keys: Mapping[str, str], name: str | None) -> tuple[Table, ...]:
    if name is not None and name not in {table.name for table in tables}:
        raise WrongUsage(f"pas de table {name} ; tables : {', '.join(table.name for table in tables)}")
    mine = [table for table in tables if name in (None, table.name)]
    found = tuple(table for table in mine if set(keys) <= _open(table))
    if not found:
        columns = sorted({key for table in mine for key in named(table)} - {AGAIN})
        raise WrongUsage(f"aucune table n'a toutes ces clés ; clés : {', '.join(columns)}")
    return found


def _open(table: Table) -> set[str]:
    """The columns by which rows may be asked for: those that no mask changes."""
    changed = {
        "masked",
        *(name for mask in table.mask for name in mask.hides),
        *([table.remark.column] if table.remark else []),
    }
    return {column.name for column in table.columns} - changed


def _told(event: Event) -> dict[str, Any]:
    data = event.data
    return {"number": data["number"], "published_at": event.recorded_at, "log_position": data["log"]["position"],
            "judged_on": data.get("judged_on")}  # fmt: skip


def _figures(table: Table, found: Sequence[State], origin: str = "") -> Iterator[dict[str, Any]]:
    """The figures of a table that are not the same at both ends, in the order of their rows and columns."""
    name = named(table)
    seen = [
        {tuple(row[column] for column in name): row for row in numbered(table, state.tables[table.name]).iter_rows(named=True)}
        for state in found
    ]
    own = [_by_row(state.causes) for state in found[1:]]
    for place in sorted({*seen[0], *seen[-1]}, key=lambda place: [(value is None, value) for value in place]):
        line = [one.get(place) for one in seen]
        keys = {column: value for column, value in zip(name, place, strict=True) if column != AGAIN or value}
        row = next(one for one in line if one is not None)
        led = tuple(of(row) for of in own)
        for figure, chain in _chains(table, compared(table, origin), line, led):
            yield {"table": table.name, "keys": keys, "figure": figure, "before": chain.values[0], "after": chain.values[-1],
                   "change": _change(chain), "parts": list(parts(chain))}  # fmt: skip


def _by_row(causes: Sequence[Cause]) -> Callable[[Mapping[str, Any]], tuple[dict[str, Any], ...]]:
    """Gives of the causes told together those that touch a row; all of them when none says that it does."""
    touching: dict[tuple[str, str], list[int]] = {}
    of_any = [place for place, one in enumerate(causes) if one.touches is None]
    for place, one in enumerate(causes):
        for column, values in (one.touches or {}).items():
            for value in values:
                touching.setdefault((column, value), []).append(place)
    columns = {column for column, _ in touching}

    def of(row: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        mine = {*of_any, *(place for column in columns for place in touching.get((column, row.get(column) or ""), ()))}
        return tuple(causes[place].told for place in sorted(mine or range(len(causes))))

    return of


def _chains(table: Table, columns: Sequence[Column], line: Sequence[Any], led: Any) -> Iterator[tuple[str, Chain]]:
    """The chains of a row that differ at their ends: the row itself where it came or went, then its columns."""
    came = (line[0] is None) != (line[-1] is None)
    if came:
        yield ROW, Chain(tuple("absente" if row is None else "présente" for row in line), led, number=False)
    for column in columns:
        number = column.type in ("integer", "number")
        ends = [row and row[column.name] for row in (line[0], line[-1])]  # as published: an empty cell is an empty cell
        if ends[0] != ends[1] and (number or not came):
            yield column.name, Chain(tuple(row and _shown(table, row, column.name) for row in line), led, number)


def _shown(table: Table, row: Mapping[str, Any], column: str) -> Any:
    """A value as published: what a mask left empty is said to be hidden."""
    hides = any(column in mask.hides for mask in table.mask)
    hidden = row.get("masked") or (table.remark and row[table.remark.column] == table.remark.hidden_as)
    return HIDDEN if hides and hidden and row[column] is None else row[column]


def _change(chain: Chain) -> Any:
    ends = chain.values[0], chain.values[-1]
    return _worth(ends[1]) - _worth(ends[0]) if chain.number and HIDDEN not in ends else None


def parts(chain: Chain) -> Iterator[dict[str, Any]]:
    """What each cause did to a figure. Where a state hides it, causes are told together up to the next that shows it."""
    values = chain.values
    if chain.number and HIDDEN in (values[0], values[-1]):  # nothing of the numbers: only when it came to be hidden or shown
        values = tuple(value if value in (None, HIDDEN) else SHOWN for value in values)
        shown = list(range(len(values)))
    else:
        shown = [place for place, value in enumerate(values) if not (chain.number and value == HIDDEN)]
    for left, right in pairwise(shown):
        if values[left] != values[right]:
            told = [cause for led in chain.causes[left:right] for cause in led]
            number = chain.number and not {HIDDEN, SHOWN} & {values[left], values[right]}
            part = _worth(values[right]) - _worth(values[left]) if number else None
            yield {"causes": told, "before": values[left], "after": values[right], "contribution": part}


def _worth(value: Any) -> int | Decimal:
    return 0 if value is None else value
