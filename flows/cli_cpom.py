"""Commands about the CPOM: see contracts and what falls due, decide the variant of an indicator, set a reading of the guide."""

from typing import Annotated

import typer

from flows.commands import AsJson, AsOf, hub_of, print_json

app = typer.Typer()

Ars = Annotated[str, typer.Option("--ars", metavar="ARS", help="L'ARS qui décide, par exemple ars-76.")]
Reason = Annotated[str, typer.Option(help="Pourquoi : obligatoire, sans identifiant de personne.")]


@app.command()
def cpom(
    context: typer.Context,
    finess_ej: Annotated[str | None, typer.Argument(metavar="[FINESS]", help="Un contrat, par son FINESS EJ.")] = None,
    indicator: Annotated[
        str | None, typer.Option(metavar="CODE", help="Un indicateur du contrat, avec toutes ses variantes : OS_13_1_1.")
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Les contrats CPOM et leur état ; ou un contrat : chaque valeur déclarée, recalculée et jugée, et les constats."""
    from flows import contracts_shown, display_cpom, state
    from flows.hub import WrongUsage

    hub, until = state.at(hub_of(context), as_of)
    if finess_ej is None:
        if indicator:
            raise WrongUsage("--indicator demande un contrat : ecluse cpom FINESS --indicator CODE")
        found, campaign = contracts_shown.contracts(hub, until), contracts_shown.campaign(hub, until)
        print_json({"contracts": found, **campaign}) if as_json else display_cpom.contracts(found, campaign)
    else:
        one = contracts_shown.contract(hub, finess_ej, until, indicator)
        print_json(one) if as_json else display_cpom.contract(one)


@app.command()
def deadlines(
    context: typer.Context,
    finess_ej: Annotated[str | None, typer.Argument(metavar="[FINESS]", help="Un contrat, par son FINESS EJ.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Seulement ce qui échoit dans ce nombre de jours.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Les échéances des contrats : dernier jour utile, jours restants, ce qui a été reçu."""
    from flows import contracts_shown, display_cpom, state

    hub, until = state.at(hub_of(context), as_of)
    found = contracts_shown.obligations_of(hub, finess_ej, until) if days is None else [
        one for one in contracts_shown.falling_due(hub, (days,), until) if finess_ej in (None, one["finess_ej"])
    ]  # fmt: skip
    print_json({"obligations": found}) if as_json else display_cpom.due(found)


@app.command("decide-definition")
def decide_definition(
    context: typer.Context,
    definition: Annotated[str, typer.Argument(metavar="DÉFINITION", help="OS_11, OS_13, HPR_3_2 ou HPR_4_3.")],
    ars: Ars,
    variant: Annotated[str, typer.Argument(metavar="[VARIANTE]", help="La variante comparée, par exemple v1.")] = "",
    reason: Reason = "",
    tolerance: Annotated[
        str | None,
        typer.Option(metavar="POINTS", help="Écart toléré, points ou unités : 1,5 (sinon celui des paramètres)."),
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Avis, courrier ou compte rendu qui l'appuie.")] = None,
    finess_ej: Annotated[str | None, typer.Option("--finess", metavar="FINESS", help="Pour ce contrat seul.")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Retire la décision en place.")] = False,
    as_json: AsJson = False,
) -> None:
    """Décide la variante et la tolérance dans lesquelles un indicateur est comparé ; sans elle, rien ne l'est."""
    from flows import cpom_decisions, display_cpom
    from flows.hub import WrongUsage

    hub = hub_of(context)
    if revoke:
        if variant:
            raise WrongUsage("--revoke retire la décision en place : sans VARIANTE")
        answer = cpom_decisions.withdraw_definition(hub, ars, definition, reason, finess_ej)
    else:
        if not variant:
            raise WrongUsage("donnez DÉFINITION et VARIANTE, ou DÉFINITION et --revoke")
        answer = cpom_decisions.decide_definition(
            hub, ars, definition, variant, reason, tolerance=tolerance, reference=reference, finess_ej=finess_ej
        )
    print_json(answer) if as_json else display_cpom.decision(answer)


@app.command("cpom-policy")
def cpom_policy(
    context: typer.Context,
    ars: Ars,
    policy: Annotated[str, typer.Argument(metavar="[POLITIQUE]", help="Son nom (docs/cpom.md les donne).")] = "",
    value: Annotated[str, typer.Argument(metavar="[VALEUR]", help="oui, non, un nombre, un jour ou un mot.")] = "",
    reason: Reason = "",
    revoke: Annotated[bool, typer.Option("--revoke", help="Retire la décision : la valeur par défaut vaut à nouveau.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Fixe une lecture du guide là où il laisse un choix ; sans nom, ce qu'une ARS a décidé, définitions comprises."""
    from flows import contracts_shown, cpom_decisions, display_cpom, state
    from flows.hub import WrongUsage

    hub = hub_of(context)
    if policy and as_of:
        raise WrongUsage("--as-of montre ce qui était décidé, sans POLITIQUE : rien ne se décide dans le passé")
    if not policy:
        found = contracts_shown.decided(hub, ars, state.position_of(hub, as_of))
        print_json({"decisions": found}) if as_json else display_cpom.decisions(found)
        return
    if bool(value) == revoke:
        raise WrongUsage("donnez POLITIQUE et VALEUR, ou POLITIQUE et --revoke")
    if revoke:
        answer = cpom_decisions.withdraw_policy(hub, ars, policy, reason)
    else:
        answer = cpom_decisions.decide_policy(hub, ars, policy, value, reason)
    print_json(answer) if as_json else display_cpom.decision(answer)


@app.command("cpom-close")
def cpom_close(
    context: typer.Context,
    ars: Ars,
    reason: Reason = "",
    revoke: Annotated[bool, typer.Option("--revoke", help="Rouvre la campagne : la décision est retirée.")] = False,
    as_json: AsJson = False,
) -> None:
    """Clôt la campagne CPOM d'une ARS : les contrats reçus sont alors comptés face au nombre attendu (règle cpom.R52)."""
    from flows import cpom_decisions, display_cpom

    decide = cpom_decisions.reopen if revoke else cpom_decisions.close
    answer = decide(hub_of(context), ars, reason)
    print_json(answer) if as_json else display_cpom.decision(answer)
