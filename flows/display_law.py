"""Dated law on the terminal, in French: values, what is missing, decisions, policies, links."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from contracts_schema.french import counted, euros, number
from contracts_schema.parameters.record import STATUSES_FR
from flows.display import console, plain
from flows.grids import grid
from warehouse.log import paris

MANY = 12
"""Parameters beyond which each is told in one line."""


def law(answer: Mapping[str, Any], output: Path | None) -> None:
    """What ``flows.law_shown.show`` answers; where it was written to a table, the count alone."""
    out = console()
    if output:
        lacking = f", et {number(len(answer['missing']))} à compléter" if answer["missing"] else ""
        out.print(f"{counted(len(answer['values']), 'valeur écrite', 'valeurs écrites')} dans {plain(output)}{lacking}")
        return
    if len({one["parameter"] for one in (*answer["values"], *answer["missing"])}) > MANY:
        _overview(out, answer)
    else:
        _values(out, answer)
    for one in answer["decisions"]:
        out.print(Text(plain(_attested(one)), "dim" if one["withdrawn"] else ""), soft_wrap=True)
    if answer["policies"]:
        table = grid("politique", "ce qu'elle règle", "valeur", "par défaut", "décision")
        for one in answer["policies"]:
            default = "" if one["value"] == one["default"] else one["default"]
            table.add_row(one["policy"], one["label_fr"], one["value"], default, str(one["position"] or ""))
        out.print(table)
    for one in answer["aliases"]:
        out.print(Text(plain(f"lien : {one['from_key']} se lit {one['to_key']} (décision {one['position']})")))
    for told in answer["to_review"]:
        out.print(told)


def _values(out: Console, answer: Mapping[str, Any]) -> None:
    """One line a value, then what is missing."""
    from flows.law_shown import gathered

    table = grid("paramètre", "pour", "du", "au (exclu)", "valeur >", "statut", "référence")
    for one in gathered(answer["values"]):
        what = one["parameter"] + (f" {one['name']}" if one["name"] else "")
        firm, colour = ("ferme", "green") if one["firm"] else ("sous réserve", "yellow")
        amount = euros(one["value"]) if one["kind"] == "cents" else str(one["value"])
        days = (f"{day:%d/%m/%Y}" if day else "" for day in (one["valid_from"], one["valid_to"]))
        status = Text(f"{firm} ({STATUSES_FR[one['status']]})", colour)
        decided = f" (décision {one['position']})" if one["position"] else ""
        table.add_row(what, one["dimensions"], *days, amount, status, Text(plain(one["reference"]) + decided))
    out.print(table)
    for lack in gathered(answer["missing"]):
        out.print(Text(f"manque : {lack['parameter']} {lack['dimensions']} ({lack['why']}{_days(lack)})"))


def _overview(out: Console, answer: Mapping[str, Any]) -> None:
    """One line a parameter: how many values, how many of them firm, how many are to be completed."""
    firm = Counter(one["parameter"] for one in answer["values"] if one["firm"])
    known, lacking = (Counter(one["parameter"] for one in answer[kind]) for kind in ("values", "missing"))
    table = grid("paramètre", "valeurs >", "fermes >", "sous réserve >", "à compléter >")
    for name in sorted(known | lacking):
        counts = (known[name], firm[name], known[name] - firm[name], lacking[name])
        table.add_row(name, *(number(count) if count else "" for count in counts))
    out.print(table)
    told = "« ecluse law PARAMÈTRE », ou le début de son nom (snp., cds.rosp.), donne les valeurs et les textes ; « --output »"
    out.print(f"{told} les écrit dans une table, avec les lignes à compléter.", soft_wrap=True)


def _days(lack: Mapping[str, Any]) -> str:
    start, end = lack["valid_from"], lack["valid_to"]
    return (f", depuis le {start:%d/%m/%Y}" if start else "") + (f", avant le {end:%d/%m/%Y}" if end else "")


def _attested(one: Mapping[str, Any]) -> str:
    """A decision: what, when, by whom, why; and how it was withdrawn, or can be."""
    who = f"{one['role']} (compte {one['actor']})"
    values = counted(one["values"], "valeur")
    told = f"décision {one['position']} du {paris(one['recorded_at']):%d/%m/%Y} : {values} de {one['subject']}, par {who}"
    told += f", motif : {one['reason']}" if one["reason"] else ""
    gone = one["withdrawn"]
    if not gone:
        return f"{told} ; se retire par ecluse attest --withdraw {one['position']}"
    return f"{told} ; retirée le {paris(gone['recorded_at']):%d/%m/%Y} par le compte {gone['actor']} : {gone['reason']}"
