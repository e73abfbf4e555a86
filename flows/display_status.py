"""What stands, on the terminal: a line a delivery, or a line a group where deliveries of one kind and period are many."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from contracts_schema.families import LAMDA, M999
from contracts_schema.french import counted, euros, number
from contracts_schema.rules import label
from flows.display import console, plain
from flows.grids import grid

if TYPE_CHECKING:
    from flows.deliveries import Report

MANY = 12
"""Deliveries of one kind and period beyond which they are told in one line."""
SHORT = 8
"""Characters of a delivery's id that are shown: enough to name it to a command."""
ORIGINS_FR = {"argument": "--home", "environment": "environnement", "default": "par défaut"}
WAIVED = "laissée entrer par dérogation"
CORRECTED = {LAMDA: "LAMDA", M999: "M999"}
"""How corrections of the year are told from its twelfth month."""

Told = Sequence[Mapping[str, Any]]


def status(answer: Mapping[str, Any], *, every: bool = False) -> None:
    """``every``: a line a delivery, however many there are."""
    out = console()
    settings = answer["settings"]
    for name, title in (("home", "hub"), ("database_url", "journal"), ("store_url", "octets"), ("warehouse_url", "tables")):
        origin = ORIGINS_FR.get(settings[name]["from"], settings[name]["from"])
        out.print(f"{title:8} {plain(settings[name]['value'])}  ({origin})", soft_wrap=True)
    if settings["recipients"]:
        out.print(f"pour     {', '.join(one['name'] for one in settings['recipients'])}", soft_wrap=True)
    log = answer["log"]
    out.print(f"position {log['as_of']} sur {log['position']}, empreinte {log['hash'][:16]}…")
    table = grid("id", "en place", "période >", "lignes >", "à l'écart >", "alertes")
    lines, grouped = heads(answer["heads"], every=every)
    for delivery, name, *rest in lines:
        table.add_row(delivery, "\n".join(map(plain, name.split("\n"))), *rest)
    out.print(table if lines else "Aucune transmission en place.")
    many, alone = bordereaux(answer["bordereaux"], every=every)
    if many:
        table = grid("bordereaux", "en place >", "remplacés >", "lignes >", "à l'écart >", "réclamé >")
        for name, *counts, cents in many:
            table.add_row(name, *map(number, counts), euros(cents))
        out.print(table)
    if alone:
        _one_by_one(out, alone, answer["bordereaux"])
    if grouped or many:
        out.print("Livraisons nombreuses, par groupes : « --scope DÉBUT » montre celles d'un périmètre, « --all » toutes.",
                  soft_wrap=True)  # fmt: skip
    for entry in answer["held"]:
        out.print(Text.assemble(("retenue", "yellow"), f" {entry['delivery_id'][:SHORT]}  {plain(entry['file'])}"))
        for rule in entry["reasons"]:
            out.print(f"  {label(rule)}", soft_wrap=True)
    for entry in answer["publications"]:
        answer_fr = {"accepted": ", accepté par le destinataire", "refused": ", refusé par le destinataire"}
        made = f"{entry['recipient']}/{entry['product']} n° {entry['number']}{answer_fr.get(entry['answer'], '')}"
        out.print(f"publié   {made} → {plain(entry['folder'])}", soft_wrap=True)


def _one_by_one(out: Console, found: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> None:
    """One line a bordereau, those that others supersede included, named by the start of their delivery's id."""
    ids = {one["scope"]: one["delivery_id"][:SHORT] for one in known}
    ids |= {scope: scope for one in found for scope in (one["superseded_by"], one["replaces"]) if scope and scope not in ids}
    table = grid("id", "bordereau", "lignes >", "à l'écart >", "réclamé >", "état")
    for one in found:
        told = [f"remplacé par {ids[one['superseded_by']]}"] if one["superseded_by"] else ["en place"]
        told += [f"remplace {ids[one['replaces']]}"] if one["replaces"] else []
        told += [*map(label, one["alerts"]), *(["laissé entrer par dérogation"] if one["waived"] else [])]
        ends = [date.fromisoformat(day).strftime("%d/%m/%Y") for day in (one["period_from"], one["period_to"]) if day]
        days = [" au ".join(ends)] if ends else []
        table.add_row(
            one["delivery_id"][:SHORT],
            "\n".join([plain(one["structure"] or "structure non dite"), *days, f"caisse {one['caisse']}", plain(one["file"])]),
            number(one["lines"]),
            number(one["rows_quarantined"]),
            euros(one["claimed_cents"]),
            "\n".join(told),
        )
    out.print(table)


def heads(found: Told, *, every: bool) -> tuple[list[tuple[str, ...]], bool]:
    """Lines of the heads (id, scope, period, rows, rows aside, alerts), and whether some tell of several."""
    lines, grouped = list[tuple[str, ...]](), False
    for some in _groups(found, lambda one: (kind(one["scope"]), one["period"], one.get("flow")), every=every):
        one = some[0]
        several = len(some) > 1
        grouped |= several
        name = f"{kind(one['scope'])} : {counted(len(some), 'livraison')}{_contracts(some)}" if several else _name(one)
        sums = (number(sum(head[column] for head in some)) for column in ("rows", "rows_quarantined"))
        told = Counter(text for head in some for text in [*map(label, head["alerts"]), *([WAIVED] if head["waived"] else [])])
        alerts = "\n".join(text + (f" : {number(count)}" if several else "") for text, count in told.items())
        period = " ".join(filter(None, (str(one["period"] or ""), CORRECTED.get(str(one.get("flow"))))))
        lines.append(("" if several else one["delivery_id"][:SHORT], name, period, *sums, alerts))
    return lines, grouped


def bordereaux(found: Told, *, every: bool) -> tuple[list[tuple[str, int, int, int, int, int]], Told]:
    """By caisse and month of reception, where they are many: name, bordereaux that stand, that others replace, lines, lines
    aside, cents; and the bordereaux that are told one by one.
    """
    lines, alone = list[tuple[str, int, int, int, int, int]](), list[Mapping[str, Any]]()
    for some in _groups(found, lambda one: (one["caisse"], (one["received_on"] or "")[:7]), every=every):
        if len(some) == 1:
            alone += some
            continue
        year, _, month = (some[0]["received_on"] or "")[:7].partition("-")
        day = f", reçus en {month}/{year}" if year else ""
        replaced = sum(one["superseded_by"] is not None for one in some)
        rows, aside, cents = (sum(one[name] or 0 for one in some) for name in ("lines", "rows_quarantined", "claimed_cents"))
        lines.append((f"caisse {some[0]['caisse']}{day}", len(some) - replaced, replaced, rows, aside, cents))
    return lines, alone


def reports(found: "Sequence[Report]") -> "tuple[list[Report], dict[str, list[Report]]]":
    """The deliveries that are told one by one, and by status those that went well, where they are many."""
    sound: dict[str, list[Report]] = {}
    for one in found:
        if one.status in ("accepted", "already_known") and not (one.message or one.alerts or one.notes or one.rows_quarantined):
            sound.setdefault(one.status, []).append(one)
    many = {status: some for status, some in sound.items() if len(some) > MANY}
    together = {id(one) for some in many.values() for one in some}
    return [one for one in found if id(one) not in together], many


def kind(scope: str) -> str:
    """A scope without what tells it from others of its kind: ``pmsi/mco/…/2026``, ``ecars/…``."""
    parts = scope.split("/")
    parts[2 if parts[0] == "pmsi" and len(parts) > 3 else -1] = "…"
    return "/".join(parts)


def _contracts(some: Told) -> str:
    """The contracts that exports hold, each export for itself: of one contract several may speak."""
    held = [head["contracts"] for head in some if head["contracts"] is not None]
    return f", {counted(sum(held), 'contrat')}" if held else ""


def _name(head: Mapping[str, Any]) -> str:
    """The scope; of e-CARS the file, with the contracts of an export, whose scope only names its bytes."""
    if not head["file"]:
        return str(head["scope"])
    if head["contracts"] is None:
        return f"{head['scope']}\n{head['file']}"
    return f"ecars : {head['file']}\n{counted(head['contracts'], 'contrat')}"


def _groups(found: Told, key: Callable[[Mapping[str, Any]], Hashable], *, every: bool) -> Iterable[list[Mapping[str, Any]]]:
    """Those of one key together where they are many, where the first of them stands; else each alone."""
    groups: dict[Hashable, list[Mapping[str, Any]]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    for one in found:
        some = groups[key(one)]
        if every or len(some) <= MANY:
            yield [one]
        elif one is some[0]:
            yield some
