"""What parts are written with: tables, names as code, facts read from the contracts."""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import yaml

from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.rules import Rule


def table_of(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown: its headings, then a line a row."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell(str(value)) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(text: str) -> str:
    """Text that neither ends its cell nor passes for a tag."""
    return re.sub(r"<(?!br>)", r"\\<", text.replace("|", "\\|"))


def code(names: Iterable[str], between: str = ", ") -> str:
    """Names as code, one after the other."""
    return between.join(f"`{name}`" for name in names)


def yaml_of(*path: str) -> Any:
    """A YAML file of ``contracts_schema``, by the names of its folders and its own."""
    return yaml.safe_load(files("contracts_schema").joinpath(*path).read_text(encoding="utf-8"))


def basis(rule: Rule) -> str:
    """The status of a rule in French, and its source."""
    return " : ".join(filter(None, (STATUSES_FR[rule.status], rule.source)))
