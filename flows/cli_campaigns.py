"""Commands about campaigns of the centres de santé: what was received and closed, one centre's remuneration step by step."""

from typing import Annotated

import typer

from flows.commands import AsJson, AsOf, hub_of, print_json

app = typer.Typer()


@app.command()
def campaigns(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Campagnes e-CDS reçues : extractions, dates butoirs, états arrêtés, montants par caisse, centres sans caisse."""
    from flows import closings, display_campaigns, state

    answer = closings.campaigns(*state.at(hub_of(context), as_of))
    print_json(answer) if as_json else display_campaigns.campaigns(answer)


@app.command("close-campaign")
def close_campaign(
    context: typer.Context,
    year: Annotated[int, typer.Argument(metavar="ANNÉE", help="Année de référence, par exemple 2025.")],
    deadline: Annotated[str, typer.Argument(metavar="DATE_BUTOIR", help="rosp ou rfs.")],
    as_json: AsJson = False,
) -> None:
    """Arrête l'état d'une campagne à une date butoir passée : une position du journal, d'où tout se refait."""
    from flows import closings, display_campaigns

    answer = closings.close(hub_of(context), year, deadline)
    print_json(answer) if as_json else display_campaigns.closed(answer)


@app.command()
def centre(
    context: typer.Context,
    finess: Annotated[str, typer.Argument(metavar="FINESS", help="Numéro FINESS géographique du centre.")],
    year: Annotated[int | None, typer.Option(metavar="ANNÉE", help="Année de référence (la dernière par défaut).")] = None,
    full: Annotated[bool, typer.Option("--full", help="Avec la valeur du droit et le texte de chaque étape.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """La rémunération d'un centre, étape par étape : valeur, statut, paramètres et textes ; ce qui bloque et pourquoi."""
    from flows import closings, display_campaigns, state

    hub, until = state.at(hub_of(context), as_of)
    answer = closings.centre(hub, finess.upper(), year, until)
    print_json(answer) if as_json else display_campaigns.centre(answer, full=full)
