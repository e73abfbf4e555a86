"""Contracts of the CPOM on the terminal, in French."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.text import Text

from checks.cpom.obligations import STATES_FR
from contracts_schema.cpom_catalogue import indicators
from contracts_schema.french import number
from flows.display import console, plain
from flows.grids import grid

STATUS = {
    "concordant": ("concordant", "green"),
    "ecart_tolere": ("écart toléré", "yellow"),
    "ecart": ("écart", "red"),
    "non_verifiable": ("non vérifiable", "cyan"),
}

URGENT = {"DEPASSE": "red", "DECHU": "red", "RECU_EN_RETARD": "yellow", "PROCHE": "yellow", "RECU_A_TEMPS": "green"}


def contracts(found: Sequence[Mapping[str, Any]], campaign: Mapping[str, Any]) -> None:
    out = console()
    table = grid("FINESS EJ", "nom", "conformité", "choix", "conc. >", "écarts >", "n. v. >")
    for one in found:
        gaps = one["ecart"] + one["ecart_tolere"]
        counts = [number(count) for count in (one["concordant"], gaps, one["non_verifiable"])]
        table.add_row(one["finess_ej"], plain(one["legal_name"] or ""), one["compliance"], one["deadline"], *counts)
    out.print(table)
    out.print("conc. : concordants ; écarts, tolérés compris ; n. v. : non vérifiables")
    findings(campaign)


def findings(about: Mapping[str, Any]) -> None:
    """Findings with their rule and their place, then the rules that nothing lets be judged, with what is missing."""
    out = console()
    for one in about["findings"]:
        place = ", ".join(part for part in (one["file"], one["sheet"], one["cell"]) if part)
        told = f"{one['severity']} {one['rule']} : {one['message']}" + (f" ({place})" if place else "")
        out.print(Padding(Text(plain(told)), (0, 0, 0, 2)))
    lacking: dict[str, list[str]] = {}
    for one in about["not_evaluable"]:
        lacking.setdefault(one["reason"], []).append(one["rule"])
    for reason, rules in lacking.items():
        out.print(Padding(Text(plain(f"Non vérifiable {', '.join(rules)} : {reason}")), (0, 0, 0, 2)))


def contract(one: Mapping[str, Any]) -> None:
    out = console()
    out.print(Text(plain(f"{one['finess_ej']} · {one['legal_name'] or 'nom absent'} · {one['file']}"), "bold"))
    chosen = ", ".join(f"{one[f'chosen_{kind}'] or 0} {kind.upper()}" for kind in ("ct", "os", "hpr"))
    out.print(f"{one['compliance']} ; choix : {one['deadline'].lower()} ; indicateurs choisis : {chosen}")
    for value in one["values"]:
        indicator(value)
    for variant in one["variants"]:
        rate = variant["rate_hundredths"]
        told = "sans valeur" if rate is None else _hundredths(rate)
        counted = f"{variant['numerator']} / {variant['denominator']}" if variant["denominator"] else f"{variant['numerator']}"
        out.print(f"    {variant['year']}, variante {variant['variant']} : {told} ({counted})")
    steps = one["trajectory"] if one["variants"] else []
    for step in steps:
        target(step)
    for told in () if steps else one["targets"]:
        place = ", ".join(part for part in (told["sheet"], told["cell"]) if part)
        out.print(f"    cible {told['year']} : « {plain(told['declared_text'])} » ({plain(place)})", soft_wrap=True)
    findings(one)
    for reached in one["reached"]:
        out.print(Padding(Text(plain(reached["message_fr"])), (0, 0, 0, 2)))


def indicator(value: Mapping[str, Any]) -> None:
    """One indicator: what was declared and where, what the PMSI gives, and what is said of it."""
    out = console()
    word, colour = STATUS[value["status"]]
    place = ", ".join(part for part in (value["sheet"], value["cell"]) if part)
    if known := indicators().get((value["annex"], value["code"])):
        out.print(Text(plain(known.label), "bold"), soft_wrap=True)
    head = f"{value['id']} {value['year']} · déclaré « {plain(value['declared_text'])} » ({plain(place)}) : "
    out.print(Text.assemble(head, (word, colour)), soft_wrap=True)
    if value["numerator"] is not None and value["variant"]:
        counted = f"{value['numerator']} / {value['denominator']}" if value["denominator"] else str(value["numerator"])
        month = f"transmission jusqu'au mois {value['transmission_period']}" + (", provisoire" if value["provisional"] else "")
        out.print(f"    {plain(value['message_fr'])}", soft_wrap=True)
        whole = value["completeness_hundredths"]
        told = "" if whole is None else f" ; champ renseigné à {_hundredths(whole)} %"
        told += f" ; conflits de codage : {value['conflicts']}" if value["conflicts"] else ""
        out.print(f"    {value['definition_id']} {value['variant']} : {counted} séjours, {month}{told} ; "
                  f"décision {value['decision_position']}", soft_wrap=True)  # fmt: skip
    else:
        out.print(f"    {plain(value['message_fr'])}", soft_wrap=True)


def target(step: Mapping[str, Any]) -> None:
    """A target beside what is recomputed of its year."""
    words = {True: "atteinte", False: "non atteinte", None: "sens d'évolution non connu"}
    told = f"cible {step['year']} : {_hundredths(step['target_hundredths'])}"
    if step["recomputed_hundredths"] is not None:
        told += f", recalculé {_hundredths(step['recomputed_hundredths'])} : {words[step['reached']]}"
        told += " (provisoire)" if step["provisional"] else ""
    console().print(f"    {told}")


def due(found: Sequence[Mapping[str, Any]]) -> None:
    out = console()
    if not found:
        out.print("Aucune échéance.")
        return
    table = grid("échéance", "jours >", "FINESS EJ", "obligation", "état")
    for one in found:
        left = "" if one["days_left"] is None else number(one["days_left"])
        day = f"{one['due_on']:%d/%m/%Y}" if one["due_on"] else "sans date"
        about = " · ".join(plain(part) for part in (one["label_fr"], one["subject"], one["evidence_fr"]) if part)
        state = Text(STATES_FR[one["state"]], URGENT.get(one["state"], ""))
        table.add_row(day, left, one["finess_ej"] or "campagne", about, state)
    out.print(table)


def decision(answer: Mapping[str, Any]) -> None:
    word = "déjà en place" if answer["already"] else "prise"
    console().print(f"{answer['organisation']}, {plain(answer['subject'])} : décision {word} (position {answer['position']})")


def decisions(found: Sequence[Mapping[str, Any]]) -> None:
    out = console()
    if not found:
        out.print("Aucune décision en place : rien n'est comparé, les politiques ont leur valeur par défaut.")
    for one in found:
        value = one["value"]
        told = value if isinstance(value, str) else f"variante {value['variant']}"
        out.print(f"{one['position']:>6}  {plain(one['subject'])} : {plain(told)} — {plain(one['reason'])}", soft_wrap=True)


def _hundredths(value: int) -> str:
    return f"{value / 100:.2f}".replace(".", ",")
