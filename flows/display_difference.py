"""What changed between two positions of the log, on the terminal, in French."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from contracts_schema.french import counted, number
from flows.display import console, plain
from flows.grids import grid

MOVED = {
    "accepted": "acceptée",
    "waived": "acceptée par dérogation",
    "restored": "rétablie",
    "held": "retenue",
    "rejected": "refusée",
    "withdrawn": "retirée",
}


def difference(answer: Mapping[str, Any], limit: int) -> None:
    """Moves of heads, rows per scope, then changed figures with what each move contributed."""
    out = console()
    out.print(f"De la position {answer['before']} à la position {answer['after']} du journal.")
    if not answer["moves"]:
        out.print("Aucune transmission en place n'a changé.")
        return
    moves = grid("position >", "ce qui a changé", "transmission")
    for move in answer["moves"]:
        moves.add_row(str(move["position"]), f"{move['scope']}\n{MOVED[move['outcome']]}", plain(", ".join(move["files"])))
    out.print(moves)
    for scope in answer["scopes"]:
        ends = (_named(scope[end]) for end in ("before", "after"))
        out.print(f"{scope['scope']} : {' → '.join(ends)}", soft_wrap=True)
        _rows_changed(out, scope["tables"])
    _figures_changed(out, answer["figures"], limit)


def _named(stood: Mapping[str, Any] | None) -> str:
    if not stood:
        return "rien"
    return plain(", ".join(stood["files"])) + (f" (mois {stood['period']})" if stood["period"] else "")


def _rows_changed(out: Console, tables: Sequence[Mapping[str, Any]]) -> None:
    shown = grid("lignes", "avant >", "retirées >", "inchangées >", "ajoutées >", "après >")
    for table in tables:
        counts = (number(table[name]) for name in ("before", "removed", "unchanged", "added", "after"))
        shown.add_row(table["table"], *counts)
    out.print(shown)
    for table in tables:
        months = (f"{month} : {of['removed']}/{of['added']}" for month, of in table["by_exit_month"].items())
        if table["by_exit_month"]:
            out.print(f"  {table['table']}, retirées/ajoutées par mois de sortie : {', '.join(months)}")
        if table["not_compared"]:
            out.print(
                f"  {table['table']} comparée sans les champs qu'un des formats n'a pas : {', '.join(table['not_compared'])}"
            )


def _figures_changed(out: Console, figures: Sequence[Mapping[str, Any]], limit: int) -> None:
    told = counted(len(figures), "chiffre changé", "chiffres changés")
    out.print(f"\n{told}, avant masquage ; apport de chaque mouvement, par position")
    for name, of_table in _grouped(figures, lambda figure: f"{figure['product']} {figure['table']}").items():
        rows = _grouped(of_table, lambda figure: " ".join(f"{key}={plain(value)}" for key, value in figure["keys"].items()))
        for keys, changed in list(rows.items())[:limit]:
            out.print(f"\n{name} {keys}", soft_wrap=True)
            table = Table.grid(padding=(0, 2))
            for width, justify in ((20, "left"), (9, "right"), (9, "right"), (9, "right"), (0, "left")):
                table.add_column(min_width=width, justify=justify)  # type: ignore[arg-type]
            for figure in changed:
                parts = "\n".join(f"{signed(part['contribution'])} en {part['position']}" for part in figure["parts"])
                table.add_row(f"  {figure['figure']}", _value(figure["before"]), _value(figure["after"]),
                              signed(figure["change"]), parts)  # fmt: skip
            out.print(table)
        if len(rows) > limit:
            out.print(f"… et {counted(len(rows) - limit, 'autre ligne', 'autres lignes')} de {name} (--limit, --json)")


def _grouped(
    figures: Sequence[Mapping[str, Any]], by: Callable[[Mapping[str, Any]], str]
) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for figure in figures:
        groups.setdefault(by(figure), []).append(figure)
    return groups


def _value(value: int | Decimal | None) -> str:
    if value is None:
        return "—"
    return number(value) if isinstance(value, int) else str(value).replace(".", ",")


def signed(value: int | Decimal) -> str:
    """A change, with its sign."""
    return f"−{_value(-value)}" if value < 0 else f"+{_value(value)}"
