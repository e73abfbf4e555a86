"""Campaigns of the centres de santé on the terminal, in French."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from contracts_schema.french import counted, euros, number
from flows.closings import DEADLINES
from flows.display import console, plain
from flows.grids import grid

MONEY = {
    "computed_cents": "calculé",
    "payable_cents": "payable",
    "under_reserve_cents": "sous réserve",
    "blocked_cents": "bloqué",
}
COLOURS = {"Payable": "green", "Payable en partie": "green", "Sous réserve": "yellow", "Bloqué": "red"}
TELLING = ("Bloquant", "Alerte")


def campaigns(answer: Mapping[str, Any]) -> None:
    out = console()
    if not answer["campaigns"]:
        out.print(
            "aucune extraction e-CDS reçue : « ecluse ingest DOSSIER » reçoit ses sections (ECDS_rfs_2025_2026_03_02.csv)"
        )
    for one in answer["campaigns"]:
        out.print(Text(f"Campagne {one['year']}", "bold"))
        for extraction in one["extractions"]:
            sections = ", ".join(f"{name} {number(rows)}" for name, rows in extraction["sections"].items())
            missing = f" ; non reçu : {', '.join(extraction['missing'])}" if extraction["missing"] else ""
            if extraction["stands"] != extraction["day"]:
                missing += f" ; celle du {_french(extraction['stands'])} reste en place"
            told = f"extraction du {_french(extraction['day'])} ({extraction['sender']}) : {sections}{missing}"
            out.print(Text(plain(f"  {told}")))
        for day in one["deadlines"]:
            last = f"jusqu'au {_french(day['last_day'])}" if day["last_day"] else "date inconnue"
            closed = next((done for done in one["closings"] if done["deadline"] == day["deadline"]), None)
            state = f", arrêtée à la position {closed['position']}" if closed else ", non arrêtée"
            out.print(f"  {DEADLINES[day['deadline']]} : {last}{state}")
            if closed and closed["moved"]:
                _moved(out, closed)
        table = grid("caisse", "centres >", *(f"{label} >" for label in MONEY.values()))
        for row in one["caisses"]:
            table.add_row(
                row["caisse"], number(row["centres"]), *("—" if row[name] is None else euros(row[name]) for name in MONEY)
            )
        out.print(table)
    if lost := answer["unplaced"]:
        told = f"{counted(len(lost), 'centre')} sans caisse ou sans région, hors de tout produit"
        out.print(plain(f"{told} : {_shown(one['finess_et'] for one in lost)}"), style="yellow")
    for one in answer["contested"]:
        whose = f"centre {one['finess_et']} : chacune des caisses {one['caisses']} le dit sien ({one['year']})"
        out.print(plain(f"{whose} ; il compte une fois, pour la caisse {one['counted']}, et pour aucune autre"), style="yellow")


def _shown(names: Iterable[str], most: int = 5) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:most]) + (f" et {len(found) - most} autres (--json les donne)" if len(found) > most else "")


def _moved(out: Console, closed: Mapping[str, Any], most: int = 5) -> None:
    """What is computed now is not what was closed: which centres, and how to see what counted."""
    found = closed["moved"]
    told = counted(len(found), "centre a un autre montant calculé", "centres ont un autre montant calculé")
    out.print(f"  depuis l'arrêté, {told} ; ce qui faisait foi : ecluse campaigns --as-of {closed['position']}", style="yellow")
    for one in found[:most]:
        before, after = ("non calculé" if one[name] is None else euros(one[name]) for name in ("before", "after"))
        out.print(f"    {one['finess']} : {before} → {after}")
    if len(found) > most:
        out.print(f"    et {len(found) - most} autres (--json les donne)")


def closed(answer: Mapping[str, Any]) -> None:
    out = console()
    already = "déjà arrêté" if answer["already"] else "arrêté"
    what = f"{DEADLINES[answer['deadline']]} {answer['year']}"
    out.print(f"{what} : état {already} à la position {answer['position']}")
    if answer["before_the_end"]:
        told = ", ".join(answer["before_the_end"])
        out.print(f"attention : aucune extraction postérieure à la date butoir pour {told}", style="yellow")
    out.print(f"pour le refaire : ecluse publish --as-of {answer['position']} --output DOSSIER")


def centre(answer: Mapping[str, Any], *, full: bool) -> None:
    out = console()
    for scheme in answer["schemes"]:
        name = plain(scheme["legal_name"] or answer["finess"])
        out.print(Text(f"{name} · {answer['finess']} · {scheme['scheme_fr']} {answer['year']}", "bold"))
        out.print(Text.assemble((scheme["result"], COLOURS.get(scheme["result"], "")), plain(f" : {scheme['reason']}")))
        money = (f"{label} {euros(scheme[cents])}" for cents, label in MONEY.items() if scheme[cents] is not None)
        out.print("  " + "  ".join(money))
        for tree in (scheme["tree"], *({**one, "inputs": []} for one in scheme["advance"])):  # the same indicators again
            out.print(_branch(tree, full, (scheme["scheme_fr"],)))
        out.print()
    telling = [one for one in answer["findings"] if one["state"] in TELLING]
    for one in telling:
        out.print(Text(plain(f"{one['rule']} · {one['state']} ({one['effect_fr']}) : {one['reason']}")))
    if silent := len(answer["findings"]) - len(telling):
        out.print(f"{counted(silent, 'autre constat', 'autres constats')}, sans suite ou pour information (--json : tous)")


def _branch(node: Mapping[str, Any], full: bool, within: tuple[str, ...], into: Tree | None = None) -> Tree:
    """``within``: the words of the steps above, which are not said again."""
    step = said = node.get("step", node["node"])
    for above in within:
        said = said.removeprefix(f"{above} : ")
    label = Text(plain(node["node"] if full else said))
    if "value" in node:
        label.append(f" = {node['shown']}", "cyan")
        label.append(f"  {node['status_fr']}", "green" if node["firm"] else "yellow")
        if full:
            told = [node["text_fr"], *(part for part in node["parameters"].split(" ; ") if part not in node["text_fr"])]
            for part in filter(None, told):
                label.append(f"\n  {plain(part)}", "dim")
    branch = Tree(label) if into is None else into.add(label)
    for one in node["inputs"]:
        if full or "value" in one:  # an entry of the campaign is no step
            _branch(one, full, (*within, step), branch)
    return branch


def _french(day: date) -> str:
    return f"{day:%d/%m/%Y}"
