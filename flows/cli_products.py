"""Commands about views and products: build, query, publish, explain, compare, verify, record a recipient's answer."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.commands import AsJson, AsOf, hub_of, print_json

app = typer.Typer()


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


class Answer(StrEnum):
    accepted = "accepted"
    refused = "refused"


@app.command()
def build(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Construit les vues dont une entrée a changé ; les autres restent telles quelles."""
    from flows import building, display, display_products, state

    hub, until = state.at(hub_of(context), as_of)
    with display.spinner("construction", quiet=as_json) as step:
        report = building.build(hub, until, step)
    print_json(report.as_json()) if as_json else display_products.built(report)


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="Une requête SELECT sur les vues.")],
    as_of: AsOf = None,
    format_: Annotated[Format, typer.Option("--format", help="Forme de la réponse.")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Fichier à écrire (obligatoire en parquet).")] = None,
    as_json: AsJson = False,
) -> None:
    """Interroge les vues en lecture seule, telles qu'elles sont ou telles qu'elles étaient."""
    from flows import building, display_products, state

    hub, until = state.at(hub_of(context), as_of)
    form = Format.json if as_json else format_
    if form in (Format.csv, Format.parquet) or (form is Format.table and output):
        display_products.frame(building.query(hub, sql, until), output, in_parquet=form is Format.parquet)
    else:
        display_products.rows(building.query_rows(hub, sql, until), output, in_json=form is Format.json)


@app.command()
def publish(
    context: typer.Context,
    recipient: Annotated[
        str | None, typer.Option(metavar="DESTINATAIRE", help="Un seul destinataire, par exemple ars-76.")
    ] = None,
    as_of: AsOf = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DOSSIER", help="Avec --as-of : dossier neuf où recréer les fichiers."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publie les produits : fichiers numérotés, immuables, avec leur reçu. Un contenu inchangé n'est pas republié.

    Avec --as-of, recrée dans un dossier ce qui était publiable à cette date, sans rien publier.
    """
    from flows import display, display_products, gate_apart, publication, state
    from flows.hub import WrongUsage

    if (as_of is None) != (output is None):
        raise WrongUsage("--as-of et --output vont ensemble : le passé se recrée dans un dossier, il ne se republie pas")
    hub = hub_of(context)
    until = state.position_of(hub, as_of)
    with display.spinner("publication", quiet=as_json) as step:
        if until is None or output is None:
            with gate_apart.table_gate(hub, recipient) as judge:
                reports = publication.publish(hub, recipient, step, judge)
        else:
            reports = publication.recreate(hub, until, output, recipient, step)
    print_json({"publications": [report.as_json() for report in reports]}) if as_json else display_products.published(reports)
    if any(report.status == "refused" for report in reports):
        raise typer.Exit(1)


@app.command()
def explain(
    context: typer.Context,
    product: Annotated[str, typer.Argument(metavar="DESTINATAIRE/PRODUIT", help="Par exemple ars-76/pmsi-activity.")],
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Par exemple activity ou indicator.")],
    keys: Annotated[list[str], typer.Argument(metavar="CLÉ=VALEUR…", help="La ligne : finess=990000010 exit_month=3 …")],
    number: Annotated[int | None, typer.Option("--publication", help="Numéro de publication (la dernière par défaut).")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Remonte d'une ligne publiée à ce qui la fait : fichiers, cellules et lignes, décisions, règles, étapes du calcul."""
    from flows import display_explained, explanation, state

    hub, chosen = hub_of(context), _pairs(keys)
    answer = explanation.explain(hub, product, table, chosen, number, state.position_of(hub, as_of))
    print_json(answer) if as_json else display_explained.explained(answer)


@app.command()
def diff(
    context: typer.Context,
    before: Annotated[str | None, typer.Argument(metavar="AVANT", help="Date ou position du journal.")] = None,
    after: Annotated[str | None, typer.Argument(metavar="APRÈS", help="Date ou position (maintenant par défaut).")] = None,
    scope: Annotated[
        str | None, typer.Option(metavar="PÉRIMÈTRE", help="Un seul périmètre ; sans AVANT, son dernier changement.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Lignes montrées par table.")] = 5,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Ce qui a changé entre deux positions : lignes, puis chiffres publiables, avec l'apport de chaque transmission."""
    from flows import difference, display, display_difference, state
    from flows.hub import WrongUsage

    hub = hub_of(context)
    if after and as_of:
        raise WrongUsage("APRÈS et --as-of disent la même chose : donnez l'un ou l'autre")
    start, end = (state.position_of(hub, given) for given in (before, after or as_of))
    if start is None:
        if scope is None:
            raise WrongUsage("donnez AVANT et APRÈS (positions ou dates), ou --scope PÉRIMÈTRE")
        start, end = difference.last_change(hub, scope, end)
    with display.spinner("différence", quiet=as_json) as step:
        answer = difference.difference(hub, start, hub.log.head()[0] if end is None else end, scope, step)
    print_json(answer) if as_json else display_difference.difference(answer, limit)


@app.command()
def why(
    context: typer.Context,
    product: Annotated[str, typer.Argument(metavar="DESTINATAIRE/PRODUIT", help="Par exemple ars-76/cpom-indicateurs.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[CLÉ=VALEUR…]", help="Ces lignes seules : finess_ej=990000010 …")
    ] = None,
    number: Annotated[int | None, typer.Option("--publication", help="La publication (la dernière par défaut).")] = None,
    since: Annotated[int | None, typer.Option(help="Celle d'avant, par son numéro (la précédente par défaut).")] = None,
    table: Annotated[str | None, typer.Option(help="Une seule table du produit.")] = None,
    limit: Annotated[int, typer.Option(help="Lignes montrées par table.")] = 10,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Pourquoi un chiffre publié a changé : la part de chaque livraison, décision, règle ou jour, dont la somme est l'écart."""
    from flows import causes, display, display_causes, state

    hub, wanted = hub_of(context), _pairs(keys or [])
    with display.spinner("rejeu", quiet=as_json) as step:
        answer = causes.causes(hub, product, number, since, wanted, table, step, state.position_of(hub, as_of))
    print_json(answer) if as_json else display_causes.changes(answer, limit)


@app.command()
def verify(
    context: typer.Context,
    receipt: Annotated[
        Path | None, typer.Option(metavar="DATAPACKAGE", help="Reçu d'une publication (datapackage.json), à prouver.")
    ] = None,
    chain: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Avec --receipt : écrit les maillons du journal depuis ce reçu.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Vérifie la chaîne du journal, chaque octet gardé, chaque fichier publié ; ou prouve un reçu."""
    from flows import display_products, receipts, state
    from flows.hub import WrongUsage

    if chain and not receipt:
        raise WrongUsage("--chain demande --receipt : les maillons partent d'un reçu")
    hub = hub_of(context)
    answer = receipts.verify(hub, receipt, chain) if receipt else state.verify(hub)
    if as_json:
        print_json(answer)
    else:
        (display_products.receipt if receipt else display_products.verified)(answer)
    if not answer["sound"]:
        raise typer.Exit(1)


@app.command()
def acknowledge(
    context: typer.Context,
    product: Annotated[str, typer.Argument(metavar="DESTINATAIRE/PRODUIT", help="Par exemple ars-76/pmsi-activity.")],
    number: Annotated[int, typer.Argument(metavar="NUMÉRO", help="Numéro de la publication.")],
    answer: Annotated[Answer, typer.Argument(metavar="accepted|refused", help="Ce que répond le destinataire.")],
    reason: Annotated[str, typer.Option(help="Pourquoi (obligatoire pour un refus).")] = "",
    reference: Annotated[str | None, typer.Option(help="Courrier ou ticket de la réponse.")] = None,
    receipt: Annotated[
        Path | None, typer.Option(metavar="DATAPACKAGE", help="Reçu renvoyé : doit être celui de cette publication.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Inscrit la réponse d'un destinataire à une publication."""
    from flows import receipts

    told = receipts.acknowledge(hub_of(context), product, number, answer.value, reason, reference, receipt)
    already = ", déjà inscrite" if told["already"] else ""
    line = f"réponse de {told['recipient']} à {told['product']} n° {told['number']} : {told['answer']}{already}"
    print_json(told) if as_json else typer.echo(f"{line} (position {told['position']})")


def _pairs(keys: list[str]) -> dict[str, str]:
    from flows.hub import WrongUsage

    pairs = [key.partition("=") for key in keys]
    if any(not sign for _, sign, _ in pairs):
        raise WrongUsage("les clés s'écrivent CLÉ=VALEUR, par exemple finess=990000010")
    return {name: value for name, _, value in pairs}
