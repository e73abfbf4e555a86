"""Writes the generated parts of these pages: ``python docs/generate.py``.

They come from the rule catalogue, the contracts, the views and the command line, so that nothing is written twice; the same
sources always give the same text. Must never touch what stands outside the markers.
"""

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer.main
from parts import centres, cpom, law, pmsi, received, scenarios, snp
from parts.products import dictionary
from typer.testing import CliRunner

from contracts_schema.products import CAMPAIGN, CONTRACTS, CPOM, RECONCILIATION, VIEWS
from flows.cli import app

FOLDER = Path(__file__).parent
PARTS = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = 100


def page(path: Path) -> str:
    """The text of a page with its generated parts as they should be. KeyError for a part that is not known."""
    return PARTS.sub(lambda part: f"{part[1]}\n{GENERATED[part[2]]()}\n{part[3]}", path.read_text(encoding="utf-8"))


def commands() -> str:
    """The help of the program, then of each command."""
    names = typer.main.get_group(app).commands
    parts = ["## ecluse", _help()]
    for name in names:
        parts += [f"## ecluse {name}", _help(name)]
    return "\n".join(parts)


def _help(*command: str) -> str:
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="ecluse", terminal_width=WIDTH).output
    return f"\n```text\n{shown.rstrip()}\n```\n"


WRITTEN = (
    commands,
    pmsi.families, pmsi.formats, pmsi.rules, pmsi.thresholds, pmsi.view_columns, pmsi.definitions, pmsi.parameters,
    received.bordereau_rules, received.bordereau_headings, received.dataset_rules, received.dataset_contracts,
    received.answer_rules,
    snp.snp_outcomes, snp.snp_rules, snp.snp_policies, scenarios.snp_scenarios,
    law.law, law.statuses,
    centres.cds_sections, centres.cds_rules, centres.cpts_sections, centres.cpts_rules, centres.cpts_conflicts,
    cpom.cpom_rules, cpom.cpom_policies, cpom.cpom_tables,
)  # fmt: skip
"""A part is named by the function that writes it."""

GENERATED: dict[str, Callable[[], str]] = {
    **{part.__name__: part for part in WRITTEN},
    "dictionary": partial(dictionary, VIEWS),
    "snp_dictionary": partial(dictionary, RECONCILIATION),
    "cpom_dictionary": partial(dictionary, CPOM),
    "cds_dictionary": partial(dictionary, CAMPAIGN),
    "cpts_dictionary": partial(dictionary, CONTRACTS),
}


if __name__ == "__main__":
    for found in sorted(FOLDER.glob("*.md")):
        found.write_text(page(found), encoding="utf-8")
        sys.stdout.write(f"{found.name}\n")
