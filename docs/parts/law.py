"""What is said of the law: every dated parameter, what each status means."""

from contracts_schema import parameters as dated
from contracts_schema.french import euros
from contracts_schema.parameters.record import STATUSES_FR
from flows.law_shown import gathered, shown
from parts.markdown import table_of


def law() -> str:
    """Every dated parameter over time: value, status, texts read."""
    parts = []
    for one in dated.parameters().values():
        rows = []
        for value in gathered(map(shown, dated.timeline(one.id))):
            amount = euros(value["value"]) if one.kind == "cents" and value["value"] is not None else value["value"]
            amount = "inconnue" if amount is None else amount
            known = STATUSES_FR[value["status"]]
            days = value["valid_from"], value["valid_to"] or ""
            rows.append((value["name"] or "", value["dimensions"], *days, amount, known, value["reference"]))
        head = ("nom", "pour", "du", "au (exclu)", "valeur", "statut", "textes lus")
        parts += [f"### `{one.id}`", "", f"{one.label_fr}. Unité : {one.unit}.", "", table_of(head, rows)]
    return "\n".join(parts)


def statuses() -> str:
    """From the strongest to the weakest."""
    firm = ((known, "ferme" if dated.is_firm(known) else "sous réserve", told) for known, told in STATUSES_FR.items())
    return table_of(("statut", "montant", "en français"), ((f"`{known}`", what, told) for known, what, told in firm))
