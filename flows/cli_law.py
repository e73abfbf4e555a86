"""Commands about what decides amounts: see the law, attest values, settle a policy, link two keys of a structure."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands import DAY, AsJson, AsOf, hub_of, print_json

app = typer.Typer()

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
    from flows import display_law, law_shown, law_table, state

    hub, until = state.at(hub_of(context), as_of)
    days = (_day(on), _day(known_on))
    answer = law_shown.show(hub, parameter, *days, organisation, until)
    if output:
        law_table.write_table(answer["values"], answer["missing"], output)
    print_json(answer) if as_json else display_law.law(answer, output)


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


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None


def _told_decision(answer: dict[str, Any], what: str, *, retired: bool) -> None:
    done = "retrait" if retired else "décision"
    state = "déjà inscrite" if answer["already"] else "inscrite"
    whose = "tout le hub" if answer["organisation"] == "hub" else answer["organisation"]
    typer.echo(f"{done} ({what}, {whose}) : {state} (position {answer['position']})")
    if answer.get("unfilled"):
        typer.echo(f"lignes sans valeur, dont rien n'est attesté : {answer['unfilled']}")
