"""Commands about the hub itself: make it, prepare its database, look for what is not safe, demonstrate it."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands import AsJson, hub_of, print_json

app = typer.Typer()


@app.command()
def init(
    context: typer.Context,
    test: Annotated[bool, typer.Option("--test", help="Hub d'essai : accepte une horloge fixe par ECLUSE_NOW.")] = False,
    recipient: Annotated[
        list[str] | None, typer.Option(metavar="NOM", help="Destinataire à inscrire : ars-76, cpam-311 (répétable).")
    ] = None,
) -> None:
    """Crée le hub : son dossier, ses réglages, son journal. S'il existe, n'ajoute que des destinataires."""
    from flows.hub import init_hub

    settings = init_hub(context.obj["home"], test=test, recipients=recipient or ())
    typer.echo(f"Hub prêt dans {settings.home}")


@app.command()
def provision(context: typer.Context, as_json: AsJson = False) -> None:
    """Prépare PostgreSQL : rôles, schémas, droits, journal. Par l'administrateur que nomme ECLUSE_ADMIN_URL. Répétable."""
    from flows import display_hub
    from flows.hub import read_settings
    from flows.provision import provision as make

    answer = make(read_settings(context.obj["home"]))
    print_json(answer) if as_json else display_hub.provisioned(answer)


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Cherche les réglages dangereux : comptes, droits, durabilité, dossiers. Code 1 s'il y en a, avec quoi faire."""
    from flows import display_hub
    from flows.doctor import examine

    answer = examine(hub_of(context))
    print_json(answer) if as_json else display_hub.examined(answer)
    if not answer["sound"]:
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Dossier de la démonstration.")] = Path("demo"),
) -> None:
    """Écrit des exports fictifs, les ingère par le flow Prefect, construit, publie, et résume."""
    from flows.demo import run

    run(folder)
