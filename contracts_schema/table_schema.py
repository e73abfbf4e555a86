"""A product's table as a Table Schema, made from its contract: one for the exact files, one for the workbook.

Must never say something of a file that the file does not hold: the workbook has its own headers, words and euros.
"""

from datetime import date
from typing import Any

from contracts_schema.products import Column, Table

UNITS = {"euro": "EUR cent", "percent": "percent"}
YES, NO = "Oui", "Non"


def table_schema(table: Table) -> dict[str, Any]:
    """Of the Parquet and CSV files: the contract's names, types and units; money in integer cents."""
    return {
        "fields": [_field(column) for column in table.columns],
        "primaryKey": list(table.keys),
        "missingValues": [""],
    }


def workbook_schema(table: Table) -> dict[str, Any]:
    """Of the workbook's first sheet: French labels are the names, booleans are words, money is in euros."""
    labels = {column.name: column.label_fr for column in table.columns}
    return {
        "fields": [_workbook_field(column) for column in table.workbook_columns],
        "primaryKey": [labels[key] for key in table.keys],
        "missingValues": [""],
    }


def constraints(column: Column) -> dict[str, Any]:
    """A column's constraints as JSON holds them: YAML reads a bare day as a date."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in column.constraints.items()}


def _field(column: Column) -> dict[str, Any]:
    field = {"name": column.name, "type": column.type, "title": column.label_fr, "classification": column.classification}
    unit = {"unit": UNITS[column.unit]} if column.unit else {}
    return field | unit | ({"constraints": constraints(column)} if column.constraints else {})


def _workbook_field(column: Column) -> dict[str, Any]:
    field = _field(column) | {"name": column.label_fr, "title": column.name}
    if column.type == "boolean":
        field |= {"trueValues": [YES], "falseValues": [NO]}
    if column.unit == "euro":
        bounds = {name: value / 100 for name, value in column.constraints.items() if name in ("minimum", "maximum")}
        field |= {"type": "number", "unit": "EUR", "constraints": column.constraints | bounds}
    return field
