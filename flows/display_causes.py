"""Why published figures changed, on the terminal, in French."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.text import Text

from contracts_schema.french import counted, euros, number
from contracts_schema.products import Column, product_of
from flows.causes import HIDDEN, ROW
from flows.display import console, plain


def changes(answer: Mapping[str, Any], limit: int) -> None:
    """The causes, then each row that changed, its figures, and the part of every cause. ``limit``: rows shown of each table."""
    out = console()
    before, after = answer["before"], answer["after"]
    name, count = (
        f"{answer['recipient']}/{answer['product']}",
        counted(len(answer["figures"]), "chiffre changé", "chiffres changés"),
    )
    out.print(f"{name}, de la publication n° {before['number']} à la n° {after['number']} : {count}")
    told = {one["text"]: one["position"] for figure in answer["figures"] for part in figure["parts"] for one in part["causes"]}
    ordered = sorted(told, key=lambda text: (told[text] is None, told[text]))
    places = {text: f"[{place}]" for place, text in enumerate(ordered, 1)}
    for text, place in places.items():
        out.print(f"  {place} {plain(text)}", soft_wrap=True)
    for table in product_of(answer["recipient"], answer["product"]).tables:
        columns, found = {column.name: column for column in table.columns}, _by_row(answer["figures"], table.name)
        for keys, figures in list(found.items())[:limit]:
            out.print(Text(f"\n{table.name} {keys}", "bold"), soft_wrap=True)
            for figure in figures:
                _figure(figure, columns.get(figure["figure"]), places)
        if len(found) > limit:
            more = counted(len(found) - limit, "autre ligne", "autres lignes")
            out.print(f"… et {more} de {table.name} (--limit, --json, ou CLÉ=VALEUR)")


def _by_row(figures: Sequence[Mapping[str, Any]], table: str) -> dict[str, list[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for figure in figures:
        if figure["table"] == table:
            keys = " ".join(f"{key}={plain(value)}" for key, value in figure["keys"].items() if value is not None)
            rows.setdefault(keys, []).append(figure)
    return rows


def _figure(figure: Mapping[str, Any], column: Column | None, places: Mapping[str, str]) -> None:
    """The change on a line with its cause; with more than one, each on its own."""
    out = console()
    label = column.label_fr if column else ROW.capitalize()
    told = f"  {label} : {_value(figure['before'], column)} → {_value(figure['after'], column)}"
    if len(figure["parts"]) == 1:
        out.print(f"{told}  {_causes(figure['parts'][0], places)}", soft_wrap=True)
        return
    out.print(told, soft_wrap=True)
    for part in figure["parts"]:
        gave = part["contribution"]
        if gave is None:
            did = f"{_value(part['before'], column)} → {_value(part['after'], column)}"
        else:
            did = f"{'−' if gave < 0 else '+'}{_value(abs(gave), column)}"
        out.print(f"      {did}  {_causes(part, places)}", soft_wrap=True)


def _causes(part: Mapping[str, Any], places: Mapping[str, str]) -> str:
    return " ".join(places[cause["text"]] for cause in part["causes"])


def _value(value: object, column: Column | None) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "oui" if value else "non"
    if isinstance(value, date):
        return f"{value:%d/%m/%Y}"
    if value == HIDDEN or isinstance(value, str):
        return plain(value)
    if column and column.unit == "euro" and isinstance(value, int):
        return euros(value).replace("-", "−")
    return (number(value) if isinstance(value, int) else str(value).replace(".", ",")).replace("-", "−")
