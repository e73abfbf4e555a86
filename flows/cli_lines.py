"""Commands about lines of bordereaux: see one bordereau or one line, decide, take back a filled workbook."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands import AsJson, AsOf, hub_of, print_json

app = typer.Typer()

DONE = frozenset({"taken", "already"})


@app.command()
def bordereau(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="BORDEREAU", help="Le nom de son fichier, ou le début de son identifiant (ecluse status).")
    ],
    limit: Annotated[int, typer.Option(metavar="N", help="Lignes montrées au plus.")] = 20,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Un bordereau rapproché : ses totaux, et chaque ligne avec son résultat, ses montants et son motif."""
    from flows import display_lines, lines, state

    hub, until = state.at(hub_of(context), as_of)
    answer = lines.bordereau(hub, name, until)
    print_json(answer) if as_json else display_lines.bordereau(answer, limit)


@app.command()
def line(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="LIGNE", help="Le début de son identifiant (voir ecluse bordereau), ou FICHIER:LIGNE.")
    ],
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Une ligne expliquée : ce qui était écrit et où, chaque constat avec sa règle et sa preuve, la décision prise."""
    from flows import display_lines, lines, state

    hub, until = state.at(hub_of(context), as_of)
    answer = lines.line(hub, name, until)
    print_json(answer) if as_json else display_lines.line(answer)


@app.command()
def decide(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[LIGNE]", help="Le début de son identifiant.")] = "",
    decision: Annotated[str, typer.Argument(metavar="[DÉCISION]", help="payer, ajuster, rejeter, demander ou attendre.")] = "",
    reason: Annotated[str, typer.Option(help="Pourquoi : obligatoire, sans identifiant de personne.")] = "",
    amount: Annotated[str, typer.Option(metavar="EUROS", help="Montant dû, pour ajuster ou payer : 12,50.")] = "",
    role: Annotated[str, typer.Option(help="Fonction de qui décide, par exemple « service des prestations ».")] = "",
    seen: Annotated[
        int | None,
        typer.Option(metavar="POSITION", help="Décision vue en place (0 : aucune) : si une autre est venue, rien n'est pris."),
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Retire la décision en place.")] = False,
    workbook: Annotated[
        Path | None, typer.Option(metavar="CLASSEUR", help="Prend les décisions d'un classeur publié et rempli.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Décide du sort d'une ligne (payer, ajuster, rejeter, demander, attendre), ou prend un classeur rempli."""
    from flows import display_lines, lines
    from flows.hub import WrongUsage
    from flows.line_decisions import Wanted

    hub = hub_of(context)
    if workbook:
        if name or revoke:
            raise WrongUsage("--workbook donne lignes et décisions : ne les donnez pas aussi à part")
        answer: dict[str, Any] = lines.take_workbook(hub, workbook, role or None)
        print_json(answer) if as_json else display_lines.workbook(answer)
        raise typer.Exit(0 if all(one["status"] in DONE for one in answer["answers"]) else 1)
    if not name or not (decision or revoke):
        raise WrongUsage("donnez LIGNE, DÉCISION et --reason, ou LIGNE et --revoke, ou --workbook CLASSEUR")
    if revoke:
        told = lines.revoke_line(hub, name, reason, seen)
    else:
        told = lines.decide_line(hub, name, Wanted("", decision, reason, _cents(amount), role or None, seen))
    print_json(told.as_json()) if as_json else display_lines.decided(told)
    raise typer.Exit(0 if told.status in DONE else 1)


def _cents(text: str) -> int | None:
    """Integer cents of an amount in euros as people write it. WrongUsage."""
    from decimal import Decimal, InvalidOperation

    from flows.hub import WrongUsage

    bare = text.replace("€", "").replace(" ", "").replace("\u202f", "").replace("\u00a0", "").replace(",", ".")
    if not bare:
        return None
    try:
        found = Decimal(bare) * 100
    except InvalidOperation:
        raise WrongUsage(f"montant illisible : {text} (attendu 12,50)") from None
    if not found.is_finite() or found != found.to_integral_value():
        raise WrongUsage(f"montant illisible : {text} (au centime, par exemple 12,50)")
    return int(found)
