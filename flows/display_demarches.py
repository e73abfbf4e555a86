"""What the commands about démarches say, for people: counts, states, places of a form; never an answer of a dossier."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from contracts_schema.french import counted, number
from contracts_schema.rules import label
from flows.display import console, plain
from flows.display_deliveries import STATUS
from flows.grids import grid

if TYPE_CHECKING:
    from flows.pull import Pulled

MODES = {"full": "entière", "incremental": "ce qui a changé"}


def pulled(done: "Sequence[Pulled]", stopped: Mapping[int, str]) -> None:
    """One line a démarche, then what deserves to be read."""
    from connectors.demarches_attachments import STATUSES_FR

    out = console()
    table = grid("démarche", "lecture", "état", "requêtes >", "lus >", "nouveaux >", "changés >", "supprimés >", "dossiers >")
    for one in done:
        word, colour = STATUS[one.delivery.status]
        counts = (number(one.pull[name]) for name in ("requests", "read", "added", "changed", "deleted", "dossiers"))
        table.add_row(str(one.demarche), MODES[one.pull["mode"]], Text(word, colour), *counts)
    if done:
        out.print(table)
    for one in done:
        for rule, count in one.delivery.rules.items():
            out.print(f"  {one.demarche} : {label(rule)} ({number(count)})", soft_wrap=True)
        for status, count in one.files.items():
            out.print(f"  {one.demarche} : pièces jointes : {STATUSES_FR[status]} ({number(count)})", soft_wrap=True)
        for said in filter(None, (_lacking(one), one.stopped, one.delivery.message)):
            out.print(Text(f"  {one.demarche} : {plain(said)}", "yellow"), soft_wrap=True)
    for which, said in stopped.items():
        out.print(Text(f"démarche {which} : {plain(said)}", "red"), soft_wrap=True)


def mapping(answer: Mapping[str, Any]) -> None:
    """Where the proposal lies and what is left to fill; or what no longer fits."""
    out = console()
    out.print(f"démarche {answer['demarche']} · {plain(answer['title'])}", soft_wrap=True)
    if answer["written"]:
        out.print(f"proposition écrite dans {plain(answer['path'])}", soft_wrap=True)
        for name, candidates in answer["open"].items():
            out.print(Text(f"  à compléter : {plain(name)}", "yellow"), soft_wrap=True)
            for one in candidates:
                out.print(f"    {plain(one['id'])}  {plain(one['label'])}", soft_wrap=True)
        out.print(f"relisez-la, complétez-la, puis : [demarches.{answer['demarche']}] mapping = \"…\" dans ecluse.toml",
                  soft_wrap=True, markup=False)  # fmt: skip
        return
    out.print(f"correspondance {plain(answer['path'])}", soft_wrap=True)
    for one in answer["misfits"]:
        out.print(Text(f"  {plain(one['field'])} : {plain(one['sentence'])}", "yellow"), soft_wrap=True)
    if not answer["misfits"]:
        out.print("tous ses champs sont dans la révision active, sous les mêmes intitulés")


def _lacking(one: "Pulled") -> str | None:
    """Why the démarche is not known whole."""
    if one.pull["many_absent"]:
        gone = counted(one.pull["many_absent"], "dossier disparu", "dossiers disparus")
        return f"{gone} d'un coup : rien n'en est retenu, vérifiez le jeton"
    if one.pull["failed"]:
        return f"{counted(one.pull['failed'], 'dossier non lu', 'dossiers non lus')} : la prochaine lecture les redemande"
    return None
