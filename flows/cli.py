"""The command line: reads what was asked, calls the plain functions, shows the answer.

Heavy libraries are imported by the commands that need them, so that help and completion answer at once. Prefect is never
imported here, except by ``demo``. Exit codes: 0 done, 1 data refused or falls short, 2 wrong usage.
"""

import gc
import os
import sys
import traceback
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import cli_campaigns, cli_cpom, cli_demarches, cli_lines
from flows.commands import AsJson, AsOf, hub_of, print_json
from flows.usage import usage_fr

app = typer.Typer(
    name="ecluse",
    help="Écluse : reçoit les exports des structures de santé, les contrôle ligne à ligne, publie des tables expliquées.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DAY = ["%Y-%m-%d"]


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


class Answer(StrEnum):
    accepted = "accepted"
    refused = "refused"


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"ecluse {version('ecluse')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Dossier du hub (sinon ECLUSE_HOME, sinon ~/.ecluse).")] = None,
    actor: Annotated[str | None, typer.Option(help="Compte pseudonyme qui agit (sinon l'utilisateur du système).")] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Version, puis fin.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = {"home": home, "actor": actor}


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
    from flows import display
    from flows.hub import read_settings
    from flows.provision import provision as make

    answer = make(read_settings(context.obj["home"]))
    print_json(answer) if as_json else display.provisioned(answer)


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Cherche les réglages dangereux : comptes, droits, durabilité, dossiers. Code 1 s'il y en a, avec quoi faire."""
    from flows import display
    from flows.doctor import examine

    answer = examine(hub_of(context))
    print_json(answer) if as_json else display.examined(answer)
    if not answer["sound"]:
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Dossier de la démonstration.")] = Path("demo"),
) -> None:
    """Écrit des exports fictifs, les ingère par le flow Prefect, construit, publie, et résume."""
    from flows.demo import run

    run(folder)


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
    from flows import deliveries, display, parallel, together
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
        display.ingested(reports)
        display.passed_over(left)
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
    from flows import display, state

    hub = hub_of(context)
    answer = state.status(hub, state.position_of(hub, as_of), scope)
    print_json(answer) if as_json else display.status(answer, every=every or bool(scope))


@app.command()
def quarantine(
    context: typer.Context,
    delivery: Annotated[str | None, typer.Option(metavar="ID", help="Une transmission, par le début de son empreinte.")] = None,
    limit: Annotated[int, typer.Option(help="Lignes montrées par fichier.")] = 10,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Lignes mises à l'écart : fichier, numéro de ligne, règle, champs. Jamais leur contenu."""
    from flows import display, explanation, state

    hub = hub_of(context)
    found = explanation.quarantine(hub, state.position_of(hub, as_of), delivery)
    if as_json:
        print_json({"deliveries": [
            {"delivery_id": q.delivery_id, "scope": q.scope, "file": q.file, "status": q.status, "lines": q.lines.to_dicts()}
            for q in found
        ]})  # fmt: skip
    else:
        display.quarantine(found, limit)


@app.command()
def waive(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Début de l'empreinte de la transmission retenue.")],
    reason: Annotated[str, typer.Option(help="Pourquoi elle peut entrer.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Dernier jour où la dérogation vaut.")],
    reference: Annotated[str | None, typer.Option(help="Courrier, ticket ou texte qui l'appuie.")] = None,
    as_json: AsJson = False,
) -> None:
    """Laisse entrer une transmission retenue : qui, pourquoi, jusqu'à quand."""
    from flows import decisions, display

    report = decisions.waive(hub_of(context), delivery, reason, until.date(), reference)
    print_json(report.as_json()) if as_json else display.ingested([report])


@app.command()
def withdraw(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Début de l'empreinte de la transmission.")],
    reason: Annotated[str, typer.Option(help="Pourquoi elle est retirée, ou rétablie.")],
    undo: Annotated[bool, typer.Option("--undo", help="Rétablit une livraison retirée.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retire une livraison acceptée : la précédente reprend sa place. Ses octets restent. Ou rétablit ce qui fut retiré."""
    from flows import decisions, display

    hub = hub_of(context)
    if undo:
        report = decisions.restore(hub, delivery, reason)
        print_json(report.as_json()) if as_json else display.ingested([report])
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
    from flows import decisions, display

    reports = decisions.redecide(hub_of(context), delivery)
    print_json({"deliveries": [report.as_json() for report in reports]}) if as_json else display.ingested(reports)


@app.command()
def missing(
    context: typer.Context,
    year: Annotated[int | None, typer.Option(help="Année des séjours (celle du dernier mois écoulé par défaut).")] = None,
    month: Annotated[int | None, typer.Option(help="Dernier mois attendu.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Qui n'a pas envoyé quoi : mois reçus, retenus, manquants, par établissement. Code 1 s'il en manque."""
    from flows import display, expected, state

    hub = hub_of(context)
    answer = expected.missing(hub, year, month, state.position_of(hub, as_of))
    print_json(answer) if as_json else display.missing(answer)
    if answer["missing"]:
        raise typer.Exit(1)


@app.command("reject-report")
def reject_report(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Début de l'empreinte de la transmission.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Fichier CSV à écrire pour l'émetteur.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ce qu'il faut dire à l'émetteur : fichiers, lignes, règles et champs ; jamais une valeur."""
    from flows import display, expected

    rows = expected.reject_report(hub_of(context), delivery)
    if output:
        expected.write_reject_report(rows, output)
    print_json({"lines": rows}) if as_json else display.reject_report(rows, output)


@app.command()
def build(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Construit les vues dont une entrée a changé ; les autres restent telles quelles."""
    from flows import building, display, state

    hub = hub_of(context)
    until = state.position_of(hub, as_of)
    with display.spinner("construction", quiet=as_json) as step:
        report = building.build(hub, until, step)
    print_json(report.as_json()) if as_json else display.built(report)


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
    from flows import building, display, state

    hub = hub_of(context)
    until, form = state.position_of(hub, as_of), Format.json if as_json else format_
    if form in (Format.csv, Format.parquet) or (form is Format.table and output):
        display.frame(building.query(hub, sql, until), output, in_parquet=form is Format.parquet)
    else:
        display.rows(building.query_rows(hub, sql, until), output, in_json=form is Format.json)


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
    from flows import display, gate_apart, publication, state
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
    print_json({"publications": [report.as_json() for report in reports]}) if as_json else display.published(reports)
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
    from flows import display, explanation, state

    hub, chosen = hub_of(context), _pairs(keys)
    answer = explanation.explain(hub, product, table, chosen, number, state.position_of(hub, as_of))
    print_json(answer) if as_json else display.explained(answer)


@app.command()
def diff(
    context: typer.Context,
    before: Annotated[str | None, typer.Argument(metavar="AVANT", help="Date ou position du journal.")] = None,
    after: Annotated[str | None, typer.Argument(metavar="APRÈS", help="Date ou position (maintenant par défaut).")] = None,
    scope: Annotated[
        str | None, typer.Option(metavar="PÉRIMÈTRE", help="Un seul périmètre ; sans AVANT, son dernier changement.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Lignes montrées par table.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Ce qui a changé entre deux positions : lignes, puis chiffres publiables, avec l'apport de chaque transmission."""
    from flows import difference, display, state
    from flows.hub import WrongUsage

    hub = hub_of(context)
    start, end = (state.position_of(hub, given) for given in (before, after))
    if start is None:
        if scope is None:
            raise WrongUsage("donnez AVANT et APRÈS (positions ou dates), ou --scope PÉRIMÈTRE")
        start, end = difference.last_change(hub, scope)
    with display.spinner("différence", quiet=as_json) as step:
        answer = difference.difference(hub, start, hub.log.head()[0] if end is None else end, scope, step)
    print_json(answer) if as_json else display.difference(answer, limit)


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
    as_json: AsJson = False,
) -> None:
    """Pourquoi un chiffre publié a changé : la part de chaque livraison, décision, règle ou jour, dont la somme est l'écart."""
    from flows import causes, display, display_causes

    hub, wanted = hub_of(context), _pairs(keys or [])
    with display.spinner("rejeu", quiet=as_json) as step:
        answer = causes.causes(hub, product, number, since, wanted, table, step)
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
    from flows import display, receipts, state
    from flows.hub import WrongUsage

    if chain and not receipt:
        raise WrongUsage("--chain demande --receipt : les maillons partent d'un reçu")
    hub = hub_of(context)
    answer = receipts.verify(hub, receipt, chain) if receipt else state.verify(hub)
    if as_json:
        print_json(answer)
    else:
        (display.receipt if receipt else display.verified)(answer)
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


Motive = Annotated[str, typer.Option("--reason", help="Pourquoi (obligatoire, sauf pour attester).")]
Caisse = Annotated[str | None, typer.Option(metavar="CAISSE", help="Pour cette caisse seule (311) ; sinon pour toutes.")]


@app.command()
def law(
    context: typer.Context,
    parameter: Annotated[
        str | None, typer.Argument(metavar="[PARAMÈTRE]", help="Un paramètre (snp.tariff), ou un début (cds., cds.rfs.).")
    ] = None,
    on: Annotated[datetime | None, typer.Option(formats=DAY, help="Valeurs de ce jour de référence.")] = None,
    known_on: Annotated[datetime | None, typer.Option(formats=DAY, help="D'après les textes publiés à cette date.")] = None,
    organisation: Annotated[str | None, typer.Option(metavar="ORGANISME", help="Avec ce qu'il atteste : cpam-311.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Table à écrire, à compléter puis à attester.")
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Tarifs, périodes et politiques : valeur, statut (ferme ou sous réserve), référence, et ce qui manque."""
    from flows import display, law_shown, law_table, state

    hub = hub_of(context)
    days = (_day(on), _day(known_on))
    answer = law_shown.show(hub, parameter, *days, organisation, state.position_of(hub, as_of))
    if output:
        law_table.write_table(answer["values"], answer["missing"], output)
    print_json(answer) if as_json else display.law(answer, output)


@app.command()
def attest(
    context: typer.Context,
    organisation: Annotated[str, typer.Option(metavar="ORGANISME", help="Qui atteste et détient le texte : cpam-311.")],
    parameter: Annotated[str | None, typer.Argument(metavar="[PARAMÈTRE]", help="Par exemple snp.tariff.")] = None,
    value: Annotated[str, typer.Option(help="La valeur ; un montant en centimes entiers.")] = "",
    start: Annotated[datetime | None, typer.Option("--from", formats=DAY, help="Premier jour (date de l'acte).")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=DAY, help="Premier jour où elle ne vaut plus.")] = None,
    dimension: Annotated[
        list[str] | None, typer.Option(metavar="NOM=VALEUR", help="À quoi elle s'applique : version=RHINO (répétable).")
    ] = None,
    reference: Annotated[str, typer.Option(help="Le texte qui la donne.")] = "",
    journal_officiel: Annotated[datetime | None, typer.Option(formats=DAY, help="Jour de publication du texte.")] = None,
    role: Annotated[str, typer.Option(help="Fonction de qui atteste, par exemple « service des prestations ».")] = "",
    file: Annotated[Path | None, typer.Option(metavar="TABLE", help="Table de valeurs (CSV ou YAML), en une décision.")] = None,
    withdraw: Annotated[
        int | None, typer.Option(metavar="POSITION", help="Retire l'attestation inscrite à cette position.")
    ] = None,
    reason: Motive = "",
    as_json: AsJson = False,
) -> None:
    """Atteste une valeur, ou une table : elle devient ferme pour les produits de cet organisme seul. Ou retire."""
    from flows import law as decisions
    from flows import law_table
    from flows.hub import WrongUsage

    hub = hub_of(context)
    if withdraw is not None:
        answer = decisions.withdraw_attestation(hub, withdraw, organisation, reason)
    elif file:
        if parameter or value:
            raise WrongUsage("--file donne paramètres et valeurs : ne les donnez pas aussi à part")
        left = law_table.unfilled(file)
        answer = decisions.attest(hub, law_table.read_table(file, reference), organisation, role, reason) | {"unfilled": left}
    elif parameter and start:
        days = _day(end), _day(journal_officiel)
        rows = law_table.stated(parameter, value, start.date(), days[0], dimension or [], reference, days[1])
        answer = decisions.attest(hub, rows, organisation, role, reason)
    else:
        raise WrongUsage("donnez PARAMÈTRE, --value, --from et --reference, ou --file TABLE, ou --withdraw POSITION")
    print_json(answer) if as_json else _told_decision(answer, "attestation", retired=withdraw is not None)


@app.command("decide-policy")
def decide_policy(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(metavar="POLITIQUE", help="Par exemple w2_end (voir ecluse law).")],
    value: Annotated[str, typer.Argument(metavar="[VALEUR]", help="Une des valeurs qu'elle prend.")] = "",
    caisse: Caisse = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Revient à la valeur par défaut.")] = False,
    reason: Motive = "",
    as_json: AsJson = False,
) -> None:
    """Règle une politique, là où les textes laissent le choix ; pour une caisse ou pour toutes."""
    from flows import law as decisions

    hub = hub_of(context)
    if withdraw:
        answer = decisions.withdraw_policy(hub, policy, reason, caisse)
    else:
        answer = decisions.decide_policy(hub, policy, value, reason, caisse)
    print_json(answer) if as_json else _told_decision(answer, "politique", retired=withdraw)


@app.command()
def alias(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="GENRE", help="structure")],
    from_key: Annotated[str, typer.Argument(metavar="DE", help="La clé lue : SIRET, FINESS ou nom:…")],
    to_key: Annotated[str, typer.Argument(metavar="VERS", help="La clé de la même structure à retenir.")],
    caisse: Caisse = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Retire ce lien.")] = False,
    reason: Motive = "",
    as_json: AsJson = False,
) -> None:
    """Confirme que deux clés désignent la même structure. Une ressemblance seule ne fait jamais payer."""
    from flows import law as decisions

    decide = decisions.withdraw_link if withdraw else decisions.link
    answer = decide(hub_of(context), kind, from_key, to_key, reason, caisse)
    print_json(answer) if as_json else _told_decision(answer, "lien", retired=withdraw)


app.add_typer(cli_lines.app)
app.add_typer(cli_demarches.app)
app.add_typer(cli_campaigns.app)
app.add_typer(cli_cpom.app)


def main() -> None:
    """Run the command line. A user's mistake gives a sentence, never a traceback; a defect gives its place, never a value."""
    from flows.hub import WrongUsage

    gc.set_threshold(COLLECT_EVERY)
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except WrongUsage as error:
        _fail(str(error), 2)
    except Misused as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        _fail(usage_fr(error), 2)
    except SystemExit as end:  # Typer turns Ctrl-C into a silent one
        if end.code != 130:
            raise
        _fail("interrompu ; relancez la même commande pour reprendre", 130)
    except Exception as error:
        _fail(_told(error), 1)


COLLECT_EVERY = 50_000
"""New objects between two searches for unreachable ones. Importing a library makes many and leaves none: after each 700, as by
default, the searches take an eighth of its time."""

Misused: Any = typer.BadParameter.__base__
"""What the command line library raises for a command that is written wrongly."""

OURS = {
    "warehouse.log": "LogError",
    "warehouse.blobs": "BlobError",
    "warehouse.postgresql": "WarehouseError",
    "warehouse.workbook_notes": "Unshowable",
    "checks.tables": "BrokenCheck",
    "flows.published": "PublicationLost",
    "connectors.demarches_client": "PullStopped",
}
"""Errors of ours by module: none was raised by one that was not imported."""


def _told(error: Exception) -> str:
    """What to say of an error: our own messages hold no value of a row; another library's may, so only its place is told."""
    for module, name in OURS.items():
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} : {error.filename or ''}"
    if os.environ.get("ECLUSE_DEBUG"):
        traceback.print_exc()
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"défaut interne ({type(error).__name__}, {Path(last.filename).name}:{last.lineno}) ; ECLUSE_DEBUG=1 montre la trace"


def _fail(message: str, code: int) -> None:
    from flows.display import plain

    typer.echo(f"ecluse : {plain(message)}", err=True)
    sys.exit(code)


def _pairs(keys: list[str]) -> dict[str, str]:
    from flows.hub import WrongUsage

    pairs = [key.partition("=") for key in keys]
    if any(not sign for _, sign, _ in pairs):
        raise WrongUsage("les clés s'écrivent CLÉ=VALEUR, par exemple finess=990000010")
    return {name: value for name, _, value in pairs}


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None


def _told_decision(answer: dict[str, Any], what: str, *, retired: bool) -> None:
    done = "retrait" if retired else "décision"
    state = "déjà inscrite" if answer["already"] else "inscrite"
    whose = "tout le hub" if answer["organisation"] == "hub" else answer["organisation"]
    typer.echo(f"{done} ({what}, {whose}) : {state} (position {answer['position']})")
    if answer.get("unfilled"):
        typer.echo(f"lignes sans valeur, dont rien n'est attesté : {answer['unfilled']}")


if __name__ == "__main__":
    main()
