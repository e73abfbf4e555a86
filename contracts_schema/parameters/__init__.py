"""Dated parameters: the value of a figure of law or policy on a reference date, or the plain answer that there is none."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from contracts_schema.yaml_files import read_yaml


class NoValue(LookupError):
    """No value is known for that date: never the nearest one instead."""


@dataclass(frozen=True)
class Value:
    """A value with its status; it holds on ``[valid_from, valid_to)``."""

    value: int
    status: str
    valid_from: date
    valid_to: date | None


def value(parameter_id: str, on: date) -> Value:
    """The value of a parameter on a reference date; NoValue when none applies or it is missing."""
    for entry in _parameters()[parameter_id]["values"]:
        start = date.fromisoformat(entry["valid_from"])
        end = date.fromisoformat(entry["valid_to"]) if entry["valid_to"] else None
        if start <= on and (end is None or on < end) and entry["value"] is not None:
            return Value(entry["value"], entry["status"], start, end)
    raise NoValue(f"{parameter_id} has no value on {on}")


@cache
def _parameters() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in files("contracts_schema").joinpath("parameters").iterdir():
        if path.name.endswith(".yaml"):
            found |= {entry["id"]: entry for entry in read_yaml(path)}
    return found
