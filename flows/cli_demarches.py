"""Commands about démarches-simplifiées: pull the declarations, propose how a form is to be read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands import AsJson, hub_of, print_json

app = typer.Typer()


@app.command()
def pull(
    context: typer.Context,
    demarche: Annotated[int | None, typer.Argument(metavar="[DÉMARCHE]", help="Son numéro ; sans lui, toutes.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Relit tous les dossiers, et non ce qui a changé.")] = False,
    absences: Annotated[
        bool, typer.Option("--absences", help="Parcourt aussi tous les numéros : trouve ce qui a disparu sans un mot.")
    ] = False,
    files: Annotated[bool, typer.Option("--files/--no-files", help="Rapporte les pièces jointes.")] = True,
    as_json: AsJson = False,
) -> None:
    """Lit les déclarations de démarches-simplifiées et les reçoit comme une livraison. Interrompue, elle reprend."""
    from connectors.demarches_client import PullStopped
    from flows import display, display_demarches
    from flows import pull as pulls

    hub = hub_of(context)
    done, stopped = [], {}
    for number in pulls.numbers(hub, demarche):
        with display.progress(quiet=as_json) as progress:
            try:
                done.append(
                    pulls.pull(hub, number, full=full, absences=absences, files=files, progress=progress(f"démarche {number}"))
                )
            except PullStopped as stop:  # another démarche may stand elsewhere
                stopped[number] = str(stop)
    if as_json:
        print_json({"pulls": [one.as_json() for one in done], "stopped": stopped})
    else:
        display_demarches.pulled(done, stopped)
    if stopped or any(one.delivery.decision != "accepted" for one in done):
        raise typer.Exit(1)


@app.command()
def mapping(
    context: typer.Context,
    demarche: Annotated[int, typer.Argument(metavar="DÉMARCHE", help="Son numéro.")],
    output: Annotated[
        Path | None, typer.Option(metavar="FICHIER", help="Où l'écrire (sinon mappings/demarche-<n°>.yaml dans le hub).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose comment lire le formulaire d'une démarche, sans rien deviner ; ou le compare à la correspondance en place."""
    from flows import display_demarches, mapping_proposal

    answer: dict[str, Any] = mapping_proposal.propose_or_compare(hub_of(context), demarche, output)
    print_json(answer) if as_json else display_demarches.mapping(answer)
    if answer["open"] or any(one["kind"] == "absent" for one in answer["misfits"]):
        raise typer.Exit(1)
