"""Views and products on the terminal, in French: what was built, asked, published, proved."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from contracts_schema.french import counted, number
from flows.display import as_json, console, plain
from flows.grids import grid

if TYPE_CHECKING:
    import polars as pl

    from flows.building import BuildReport, Rows
    from flows.publication import PublishReport

PUBLISHED = {
    "published": ("publié", "green"),
    "unchanged": ("inchangé", "cyan"),
    "refused": ("refusé par la barrière des tables", "red"),
    "recreated": ("recréé", "green"),
}


def built(report: "BuildReport") -> None:
    """The files of each view, and how many had to be computed now."""
    out = console()
    if not report.heads:
        out.print("Rien à construire : aucune transmission acceptée.")
    elif not report.built:
        heads = counted(report.heads, "livraison")
        out.print(f"Rien n'a changé : {counted(len(report.views), 'vue')} à jour pour {heads} en place.")
    else:
        table = grid("vue", "fichiers >", "calculés >")
        for name, view in report.views.items():
            table.add_row(name, str(view["files"]), str(view["built"]))
        out.print(table)


def published(reports: "Sequence[PublishReport]") -> None:
    """Each product with its state, its rows, what is masked, its receipt; a refused one with what refused it."""
    out = console()
    for report in reports:
        rows = ", ".join(f"{name} {counted(count, 'ligne')}" for name, count in report.rows.items())
        masked = sum(report.masked_rows.values())
        out.print(Text.assemble(f"{report.recipient}/{report.product} n° {report.number} ", PUBLISHED[report.status]))
        for breach in report.breaches:
            out.print(Text(f"  {breach['table']} : {plain(breach['label_fr'])}", "red"), soft_wrap=True)
        out.print(f"  {rows}" + (f", dont {number(masked)} où un petit effectif est masqué" if masked else ""), soft_wrap=True)
        out.print(f"  {plain(report.folder)}", soft_wrap=True)
        out.print(f"  reçu : journal à la position {report.position}, empreinte {report.hash[:16]}…", soft_wrap=True)
        if report.status == "recreated":
            same = (
                f"octet pour octet la publication n° {report.known_as}" if report.known_as else "jamais publié sous cette forme"
            )
            out.print(f"  {same}")


def rows(found: "Rows", output: Path | None, *, in_json: bool) -> None:
    """Show rows as a table; or as JSON, there or in a file."""
    if not in_json:
        table = grid(*map(plain, found.columns))
        for line in found.content:
            table.add_row(*("" if value is None else plain(value) for value in line))
        console().print(table)
        return
    _put(as_json([dict(zip(found.columns, map(_finite, line), strict=True)) for line in found.content]) + "\n", output)


def frame(rows: "pl.DataFrame", output: Path | None, *, in_parquet: bool) -> None:
    """Write rows as csv, or as parquet."""
    from polars.exceptions import ComputeError

    from flows.hub import WrongUsage

    if not in_parquet:
        try:
            _put(rows.write_csv(), output)
        except ComputeError:
            raise WrongUsage("une colonne composée ne s'écrit pas en csv : choisissez --format json ou parquet") from None
    elif output is None:
        raise WrongUsage("le format parquet s'écrit dans un fichier : ajoutez --output FICHIER")
    else:
        rows.write_parquet(output)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _finite(value: object) -> object:
    """Without NaN and infinities, which JSON cannot say."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def verified(answer: Mapping[str, Any]) -> None:
    """What was checked, and every problem."""
    out = console()
    checked = answer["checked"]
    out.print(
        f"{counted(checked['events'], 'événement')}, {counted(checked['raw'], 'fichier reçu', 'fichiers reçus')}, "
        f"{counted(checked['segments'], 'segment')}, {counted(checked['publications'], 'publication')} vérifiés"
    )
    for problem in answer["problems"]:
        out.print(Text(plain(problem), "red"))
    problems = counted(len(answer["problems"]), "anomalie")
    verdict = Text("Tout est intact.", "green") if answer["sound"] else Text(f"{problems}.", "red")
    out.print(verdict)
    out.print(f"reçu : position {answer['log']['position']}, empreinte {answer['log']['hash']}", soft_wrap=True)


def receipt(answer: Mapping[str, Any]) -> None:
    """Whether a receipt is proved, and what is wrong with it."""
    out = console()
    made, held, log = answer["publication"], answer["receipt"], answer["log"]
    out.print(f"reçu de {made['recipient']}/{made['product']} n° {made['number']} : journal à la position {held['position']}")
    for problem in answer["problems"]:
        out.print(Text(plain(problem), "red"))
    if answer["sound"]:
        out.print(Text(f"Prouvé : rien n'a été altéré jusqu'à la position {log['position']}.", "green"))
    else:
        out.print(Text("Ce reçu n'est pas prouvé.", "red"))
    if answer["chain"]:
        out.print(f"maillons : {answer['chain']}", soft_wrap=True)
