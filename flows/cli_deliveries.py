"""Commands about deliveries: receive them, see what stands or was set aside, decide, tell the sender, find who has not sent."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands import DAY, AsJson, AsOf, hub_of, print_json

app = typer.Typer()


@app.command()
def ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Fichiers, ou dossiers à parcourir.")],
    received_at: Annotated[str | None, typer.Option(metavar="DATE", help="Réception déclarée, si ce n'est maintenant.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processus (un par cœur quand les établissements sont nombreux).")
    ] = None,
    caisse: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Caisse qui reçoit les bordereaux (sinon dossier cpam-311, réglages ou en-tête)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reçoit des exports, contrôle chaque ligne, décide. Les mêmes octets une seconde fois ne changent rien."""
    from flows import deliveries, display, display_deliveries, parallel, together
    from flows.hub import WrongUsage, parse_instant

    hub = hub_of(context)
    stated = parse_instant(received_at) if received_at else None
    if stated and stated.date() > hub.today():
        raise WrongUsage(f"réception dans l'avenir : {received_at}")
    found, reports = deliveries.find(paths, caisse, hub.settings)
    count = parallel.workers(found, jobs)
    if count > 1:
        with display.counter(len(found), quiet=as_json) as done:
            reports += parallel.ingest_all(hub, found, count, stated, done)
    else:
        with display.progress(quiet=as_json) as progress:
            for group in together.groups(found):
                reports += together.ingest(hub, group, stated, lambda one: progress(one.name))
    left = [path.name for path in deliveries.passed_over(paths)]
    if as_json:
        print_json({"deliveries": [report.as_json() for report in reports], "passed_over": left})
    else:
        display_deliveries.ingested(reports)
        display_deliveries.passed_over(left)
    if any(report.status in ("held", "rejected") for report in reports):
        raise typer.Exit(1)


@app.command()
def status(
    context: typer.Context,
    scope: Annotated[
        str, typer.Option(metavar="DÉBUT", help="Les seules livraisons dont le périmètre commence ainsi, une par ligne.")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Une ligne par livraison, aussi nombreuses soient-elles.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Réglages, livraisons en place (par groupes si elles sont nombreuses), livraisons retenues, publications."""
    from flows import display_status, state

    hub = hub_of(context)
    answer = state.status(hub, state.position_of(hub, as_of), scope)
    print_json(answer) if as_json else display_status.status(answer, every=every or bool(scope))


@app.command()
def quarantine(
    context: typer.Context,
    delivery: Annotated[str | None, typer.Option(metavar="ID", help="Une transmission, par le début de son empreinte.")] = None,
    limit: Annotated[int, typer.Option(help="Lignes montrées par fichier.")] = 10,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Lignes mises à l'écart : fichier, numéro de ligne, règle, champs. Jamais leur contenu."""
    from flows import display_deliveries, explanation, state

    hub = hub_of(context)
    found = explanation.quarantine(hub, state.position_of(hub, as_of), delivery)
    if as_json:
        print_json({"deliveries": [
            {"delivery_id": q.delivery_id, "scope": q.scope, "file": q.file, "status": q.status, "lines": q.lines.to_dicts()}
            for q in found
        ]})  # fmt: skip
    else:
        display_deliveries.quarantine(found, limit)


@app.command()
def waive(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Début de l'empreinte de la transmission retenue.")],
    reason: Annotated[str, typer.Option(help="Pourquoi elle peut entrer.")],
    until: Annotated[datetime, typer.Option(formats=DAY, help="Dernier jour où la dérogation vaut.")],
    reference: Annotated[str | None, typer.Option(help="Courrier, ticket ou texte qui l'appuie.")] = None,
    as_json: AsJson = False,
) -> None:
    """Laisse entrer une transmission retenue : qui, pourquoi, jusqu'à quand."""
    from flows import decisions, display_deliveries

    report = decisions.waive(hub_of(context), delivery, reason, until.date(), reference)
    print_json(report.as_json()) if as_json else display_deliveries.ingested([report])


@app.command()
def withdraw(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Début de l'empreinte de la transmission.")],
    reason: Annotated[str, typer.Option(help="Pourquoi elle est retirée, ou rétablie.")],
    undo: Annotated[bool, typer.Option("--undo", help="Rétablit une livraison retirée.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retire une livraison acceptée : la précédente reprend sa place. Ses octets restent. Ou rétablit ce qui fut retiré."""
    from flows import decisions, display_deliveries

    hub = hub_of(context)
    if undo:
        report = decisions.restore(hub, delivery, reason)
        print_json(report.as_json()) if as_json else display_deliveries.ingested([report])
        return
    answer = decisions.withdraw(hub, delivery, reason)
    print_json(answer) if as_json else typer.echo(f"retirée : {answer['scope']} (position {answer['position']})")


@app.command()
def redecide(
    context: typer.Context,
    delivery: Annotated[str | None, typer.Argument(metavar="[ID]", help="Une transmission (toutes par défaut).")] = None,
    as_json: AsJson = False,
) -> None:
    """Juge à nouveau les octets gardés, après un changement de format, de contrat ou de règle."""
    from flows import decisions, display_deliveries

    reports = decisions.redecide(hub_of(context), delivery)
    print_json({"deliveries": [report.as_json() for report in reports]}) if as_json else display_deliveries.ingested(reports)


@app.command()
def missing(
    context: typer.Context,
    year: Annotated[int | None, typer.Option(help="Année des séjours (celle du dernier mois écoulé par défaut).")] = None,
    month: Annotated[int | None, typer.Option(help="Dernier mois attendu.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Qui n'a pas envoyé quoi : mois reçus, retenus, manquants, par établissement. Code 1 s'il en manque."""
    from flows import display_deliveries, expected, state

    hub = hub_of(context)
    answer = expected.missing(hub, year, month, state.position_of(hub, as_of), state.day_of(hub, as_of))
    print_json(answer) if as_json else display_deliveries.missing(answer)
    if answer["missing"]:
        raise typer.Exit(1)


@app.command("reject-report")
def reject_report(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Début de l'empreinte de la transmission.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Fichier CSV à écrire pour l'émetteur.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Ce qu'il faut dire à l'émetteur : fichiers, lignes, règles et champs ; jamais une valeur."""
    from flows import display_deliveries, expected, state

    hub = hub_of(context)
    rows = expected.reject_report(hub, delivery, state.position_of(hub, as_of))
    if output:
        expected.write_reject_report(rows, output)
    print_json({"lines": rows}) if as_json else display_deliveries.reject_report(rows, output)
