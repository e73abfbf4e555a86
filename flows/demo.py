"""The demonstration: fictional exports written, ingested through the Prefect flow, built, published, and told in a page.

Everything stays in one folder, which can be deleted; nothing in it is real. A second run changes nothing and says so.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from contracts_schema.french import counted
from contracts_schema.rules import label
from flows import (
    closings,
    demo_bordereaux,
    demo_campaigns,
    demo_cpom,
    demo_others,
    display,
    display_campaigns,
    display_causes,
    display_cpom,
    display_deliveries,
    display_lines,
    display_products,
    lines,
)
from flows.deliveries import Report, heads
from flows.explanation import quarantine
from flows.hub import init_hub, open_hub
from flows.prefect_settings import set_prefect_defaults
from flows.publication import PublishReport

if TYPE_CHECKING:
    from flows.pull import Pulled

YEAR = 2026
MONTHS = (1, 2, 3, 4)
NORTH, EAST, SOUTH = (fictional_finess(number=number) for number in (1, 2, 3))
SHOWN = 3
"""Quarantined lines told per file."""

BORDEREAU_SHOWN = "msp-tilleuls-2026-03.xlsx"
INPUT_ARCHIVE = f"{NORTH}.{YEAR}.4.20260512101500.in.zip"


@dataclass(frozen=True)
class Export:
    """One fictional transmission: what it holds, and what is wrong with it."""

    recipe: Recipe
    defects: Mapping[int, str]
    named: str | None = None
    """The FINESS of the name, when it is not that of the lines."""
    kept_percent: int = 100

    @property
    def name(self) -> str:
        return f"{self.named or self.recipe.finess}.{self.recipe.year}.{self.recipe.months}.rsa"


def run(folder: Path) -> None:
    """Run the demonstration in ``folder``: exports in ``exports/``, the hub in ``hub/``."""
    folder = folder.absolute()
    exports, home = folder / "exports", folder / "hub"
    out = display.console()
    out.print(Panel(Text("Écluse — démonstration sur des données fictives"), expand=False))
    count = _step(out, "Écriture des exports fictifs de trois établissements", lambda: write_exports(exports))
    out.print(f"      {counted(count, 'fichier')} dans {display.plain(_short(exports))}")
    demo_bordereaux.write(folder / "bordereaux", exported=False)
    demo_campaigns.write(folder / "centres")
    demo_cpom.write(folder / "cpom", (NORTH, EAST, SOUTH))
    init_hub(home, recipients=["ars-99", demo_bordereaux.FOLDER])
    reports = _step(out, "Ingestion par le flow Prefect (le serveur met quelques secondes à démarrer)",
                    lambda: _ingest(exports, home) + _ingest_bordereaux(folder / "bordereaux", home)
                    + _ingest_contracts(folder / "cpom", home))  # fmt: skip
    pulled = _step(out, "Lecture des déclarations sur un simulateur de démarches-simplifiées", lambda: _pull(home))
    published = _step(out, "Construction des vues et publication par le flow Prefect", lambda: _publish(home))
    others = _step(out, "Ce que d'autres disent des centres de santé, puis une seconde publication à leur caisse",
                   lambda: demo_others.deliver(open_hub(home), folder / "centres-autres"))  # fmt: skip
    out.print(f"      {', '.join(report.scope.removeprefix('reference/') for report in others)}", soft_wrap=True)
    _tell(out, reports + [one.delivery for one in pulled], published, home)


def write_exports(folder: Path) -> int:
    """Write every fictional export into ``folder``; gives the number of files. Same files, same bytes, each time."""
    folder.mkdir(parents=True, exist_ok=True)
    made = exports()
    for export in made:
        path = folder / export.name
        write_rsa(path, export.recipe, defects=export.defects)
        if export.kept_percent < 100:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) * export.kept_percent // 100])
    (folder / INPUT_ARCHIVE).write_bytes(b"PK\x05\x06" + bytes(18))
    return len(made) + 1


def exports() -> list[Export]:
    """Three establishments, four cumulative months each, and the accidents of real life."""
    made = []
    for months in MONTHS:
        version = "228" if months < 3 else "229"  # the new format comes with the March production
        last = months == MONTHS[-1]
        made.append(Export(_recipe(NORTH, months, 420, "229"), {40: "control_byte", 90: "month_13"} if last else {}))
        made.append(Export(_recipe(EAST, months, 260, version), {7: "same_line_twice", 130: "cut_in_variable_part"}))
        # the last month of the South was cut by a broken transfer
        made.append(Export(_recipe(SOUTH, months, 180, version), {12: "age_a5"}, kept_percent=55 if last else 100))
    made.append(Export(_recipe(SOUTH, 5, 180, "229"), {}, named=NORTH))  # and the next one bears its neighbour's name
    return made


def _recipe(finess: str, months: int, stays: int, version: str) -> Recipe:
    return Recipe(finess=finess, year=YEAR, months=months, stays_per_month=stays, seed=int(finess), version=version)


def _ingest(exports: Path, home: Path) -> list[Report]:
    _quiet_prefect(home)
    from flows.ingest import ingest

    return [Report(**report) for report in ingest(paths=[str(exports)], home=str(home))]


def _ingest_bordereaux(bordereaux: Path, home: Path) -> list[Report]:
    from flows.ingest import ingest

    demo_bordereaux.attest(open_hub(home))
    received = min(demo_bordereaux.RECEIVED_ON, open_hub(home).today())
    paths = [str(bordereaux), str(bordereaux.parent / "centres")]
    reports = [Report(**report) for report in ingest(paths=paths, home=str(home), received_at=received.isoformat())]
    demo_campaigns.attest(open_hub(home))
    demo_campaigns.close(open_hub(home))
    return reports


def _ingest_contracts(contracts: Path, home: Path) -> list[Report]:
    from flows.ingest import ingest

    received = demo_cpom.RECEIVED_ON.isoformat()
    reports = [Report(**report) for report in ingest(paths=[str(contracts)], home=str(home), received_at=received)]
    demo_cpom.decide(open_hub(home))
    return reports


def _pull(home: Path) -> "list[Pulled]":
    from flows import demo_declarations

    return demo_declarations.pull_all(open_hub(home))


def _publish(home: Path) -> list[PublishReport]:
    from flows.publish import publish

    return [PublishReport(**report) for report in publish(home=str(home))]


def _quiet_prefect(home: Path) -> None:
    set_prefect_defaults(home)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")


def _step(out: Console, title: str, work: Callable[[], Any]) -> Any:
    """Do one step, with its title and the time it took; a spinner turns on a terminal."""
    started = time.monotonic()
    if out.is_terminal:
        with out.status(Text(title)):
            answer = work()
    else:
        answer = work()
    out.print(Text.assemble(("✓ ", "green"), title, (f"  {time.monotonic() - started:.1f} s", "dim")))
    return answer


def _tell(out: Console, reports: list[Report], published: list[PublishReport], home: Path) -> None:
    out.print()
    if all(report.status != "accepted" for report in reports):
        out.print(
            Text("Rien de nouveau : ces octets étaient déjà connus, les vues et les publications n'ont pas bougé.", "cyan")
        )
    out.print(Text("Ce qui est arrivé", "bold"))
    display_deliveries.ingested(reports)
    hub = open_hub(home)
    out.print(Text("Ce qui a été mis à l'écart, ligne par ligne (transmissions en place ou retenues)", "bold"))
    for entry in quarantine(hub):
        for line in entry.lines.head(SHOWN).iter_rows(named=True):
            fields = f" ({', '.join(line['fields'])})" if line["fields"] else ""
            out.print(f"  {entry.file}, ligne {line['line_number']} : {label(line['rule'])}{fields}", soft_wrap=True)
        if entry.lines.height > SHOWN:
            out.print(f"  {entry.file} : et {counted(entry.lines.height - SHOWN, 'autre')}")
    out.print()
    out.print(Text("Ce qui a été publié", "bold"))
    display_products.published(published)
    out.print()
    out.print(Text("Un bordereau rapproché : d'abord ce qui attend quelqu'un", "bold"))
    shown = next(head.scope for head in heads(hub).values() if BORDEREAU_SHOWN in str(head.data["received"]))
    display_lines.bordereau(lines.bordereau(hub, shown.rpartition("/")[2]), 6)
    out.print()
    out.print(Text("Une campagne de centres de santé, arrêtée à ses dates butoirs", "bold"))
    display_campaigns.campaigns(closings.campaigns(hub))
    out.print()
    out.print(Text("Pourquoi un chiffre publié a changé", "bold"))
    display_causes.changes(demo_others.why(hub), SHOWN)
    out.print()
    out.print(Text("Un indicateur de CPOM : déclaré, recalculé du PMSI, jugé", "bold"))
    display_cpom.indicator(demo_cpom.shown(hub, NORTH))
    _next(out, shown.rpartition("/")[2][:8], home)


def _next(out: Console, bordereau: str, home: Path) -> None:
    ecluse = f".venv/bin/ecluse --home {_short(home)}"
    out.print()
    out.print(Text("À essayer ensuite", "bold"))
    for command, why in (
        ("status", "ce qui est en place, ce qui attend une décision"),
        (
            f"explain ars-99/pmsi-activity activity finess={NORTH} exit_year={YEAR} exit_month=2",
            "d'un chiffre publié aux lignes du fichier",
        ),
        (f"bordereau {bordereau}", "chaque ligne d'un bordereau, son résultat et son motif ; puis « line » et « decide »"),
        (f"cpom {NORTH} --indicator {demo_cpom.INDICATOR}", "un contrat CPOM ; « deadlines » donne ce qui échoit"),
        (f"centre {demo_others.SHOWN}", "la rémunération d'un centre de santé, étape par étape ; « --full » donne les textes"),
        (f"why {demo_others.PRODUCT} finess={demo_others.SHOWN}", "ce qui a changé d'une publication à l'autre, et par quoi"),
        (
            'query "select finess, exit_month, stays from out_ars__pmsi_activity" --as-of 8',
            "l'activité telle que connue à la position 8",
        ),
        ("verify", "la chaîne du journal, chaque octet, chaque publication"),
    ):
        out.print(Text.assemble("  ", (f"{ecluse} {command}", "cyan")), soft_wrap=True)
        out.print(Text(f"      {why}", "dim"))


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
