"""Why published figures changed, on the terminal, in French."""

from collections.abc import Mapping
from typing import Any

from rich.padding import Padding
from rich.text import Text

from contracts_schema.products import Column, products
from flows.causes import HIDDEN, ROW
from flows.display import console, number, plain


def changes(answer: Mapping[str, Any], limit: int) -> None:
    """Each row that changed, its figures, and under each the part of every cause. ``limit``: rows shown of each table."""
    out = console()
    before, after = answer["before"], answer["after"]
    name, count = f"{answer['recipient']}/{answer['product']}", number(len(answer["figures"]))
    out.print(f"{name}, de la publication n° {before['number']} à la n° {after['number']} : {count} chiffres changés")
    rows: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for figure in answer["figures"]:
        keys = " ".join(f"{key}={plain(value)}" for key, value in figure["keys"].items() if value is not None)
        rows.setdefault(figure["table"], {}).setdefault(keys, []).append(figure)
    for table in products()[answer["product"]].tables:
        columns, found = {column.name: column for column in table.columns}, rows.get(table.name, {})
        for keys, figures in list(found.items())[:limit]:
            out.print(Text(f"\n{table.name} {keys}", "bold"), soft_wrap=True)
            for figure in figures:
                _figure(figure, columns.get(figure["figure"]))
        if len(found) > limit:
            out.print(f"… et {number(len(found) - limit)} autres lignes de {table.name} (--limit, --json, ou CLÉ=VALEUR)")


def _figure(figure: Mapping[str, Any], column: Column | None) -> None:
    out = console()
    label = column.label_fr if column else ROW.capitalize()
    out.print(f"  {label} : {_value(figure['before'], column)} → {_value(figure['after'], column)}", soft_wrap=True)
    for part in figure["parts"]:
        gave = part["contribution"]
        if gave is None:
            told = f"{_value(part['before'], column)} → {_value(part['after'], column)}"
        else:
            told = f"{'−' if gave < 0 else '+'}{_value(abs(gave), column)}"
        causes = " ; ".join(cause["text"] for cause in part["causes"])
        out.print(Padding(Text(plain(f"{told} : {causes}")), (0, 0, 0, 6)))


def _value(value: object, column: Column | None) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "oui" if value else "non"
    if value == HIDDEN or isinstance(value, str):
        return plain(value)
    if column and column.unit == "euro" and isinstance(value, int):
        return f"{number(value // 100)},{value % 100:02d} €" if value >= 0 else f"−{_value(-value, column)}"
    return number(value) if isinstance(value, int) else str(value).replace(".", ",")
