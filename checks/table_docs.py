"""Data Docs of the table gate: one page a publication, in French, that opens without network and runs nothing.

Great Expectations renders each result; its own pages load styles and scripts from elsewhere, so the page around them is ours.
Shows counts of rows, never a value.
"""

from itertools import groupby
from pathlib import Path

from checks.table_results import Result, TableGate
from contracts_schema.french import counted
from contracts_schema.products import Column, Table

PAGE = "data-docs.html"


def write_docs(gate: TableGate, folder: Path, *, recipient: str, number: int) -> Path:
    """Write the page of one publication into a folder; the same results give the same bytes."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("checks", "."), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("table_docs.html.j2").render(
        gate=gate,
        broken=[result for result in gate.results if result.success is False],
        recipient=recipient,
        number=number,
        title=f"{gate.product.label_fr} — {recipient} — publication n° {number}",
        labels={table.name: table.label_fr for table in gate.product.tables},
        by_table={table.name: _of(gate, table) for table in gate.product.tables},
        columns=lambda table: _by_column(gate, table),
        counted=_counted,
        outcome=_outcome,
    )
    path = folder / PAGE
    path.write_text(page + "\n", encoding="utf-8")
    return path


def _of(gate: TableGate, table: Table) -> list[Result]:
    return [result for result in gate.results if result.table == table.name]


def _by_column(gate: TableGate, table: Table) -> list[tuple[Column | None, list[Result]]]:
    """The results of a table in the order of the contract: those about whole rows first, under None."""
    columns = {column.name: column for column in table.columns}
    grouped = groupby(_of(gate, table), key=lambda result: result.column)
    return [(columns[name] if name else None, list(results)) for name, results in grouped]


def _outcome(result: Result) -> tuple[str, str]:
    """The style and the words of an outcome."""
    if result.success:
        return "kept", "✓ respectée"
    if result.success is None:
        return "broken", "— non contrôlable"
    return ("broken", "✗ non respectée") if result.severity == "critical" else ("warned", "! à vérifier")


def _counted(results: list[Result] | tuple[Result, ...]) -> str:
    """How many rules were kept, in words."""
    kept = sum(bool(result.success) for result in results)
    text = f"{counted(len(results), 'règle')}, {counted(kept, 'respectée')}"
    others = {
        "non respectée": sum(result.success is False and result.severity == "critical" for result in results),
        "à vérifier": sum(result.success is False and result.severity != "critical" for result in results),
        "non contrôlable": sum(result.success is None for result in results),
    }
    plural = {"non respectée": "non respectées", "à vérifier": "à vérifier", "non contrôlable": "non contrôlables"}
    said = [f"{count} {plural[word] if count > 1 else word}" for word, count in others.items() if count]
    return ", ".join([text, *said]) + "."
