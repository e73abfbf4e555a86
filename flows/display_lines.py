"""Lines of bordereaux on the terminal, in French."""

from collections.abc import Mapping
from typing import Any

from rich.padding import Padding
from rich.text import Text

from contracts_schema.french import counted, euros, number
from flows.display import console, plain
from flows.grids import grid
from flows.line_decisions import Answer

MONEY = (
    ("claimed_cents", "demandé"),
    ("payable_firm_cents", "payable ferme"),
    ("payable_reserved_cents", "payable sous réserve"),
    ("rejected_cents", "rejeté"),
    ("pending_cents", "en attente"),
    ("reduction_cents", "réduction"),
    ("paid_cents", "déjà payé"),
    ("difference_cents", "écart avec le payé"),
)
COLOURS = {"PAY": "green", "ADJUST": "green", "REJECT": "red", "ASK": "yellow", "HOLD": "cyan", "REDIRECT": "magenta"}
WITHOUT_EFFECT = "Non vérifiable (sans effet)"
STATUS = {"taken": "prise", "already": "déjà en place", "changed": "à relire", "refused": "refusée"}


def bordereau(answer: Mapping[str, Any], limit: int) -> None:
    out = console()
    if "told" in answer:
        head = (answer["bordereau_id"][:8], answer["structure_key"] or "structure non dite", answer["file"])
        out.print(Text(plain(" · ".join(head)), "bold"))
        out.print(Text(plain(answer["told"]), "yellow"), soft_wrap=True)
        if answer["claimed_cents"] is not None:
            out.print(f"{counted(answer['lines'], 'ligne')}, {euros(answer['claimed_cents'])} demandés")
        return
    lines = answer["details"]
    out.print(Text(plain(f"{answer['structure_name']} · {answer['file']} · reçu le {answer['received_on']:%d/%m/%Y}"), "bold"))
    if not answer["live"]:
        out.print("remplacé par un autre bordereau : rien n'y est payable", style="yellow")
    if answer["reason"]:
        out.print(Text(plain(answer["reason"])))
    for one in lines[:limit]:
        reserved = " *" if one["payable_reserved_cents"] else ""
        when = f"{one['day']:%d/%m/%Y}" if one["day"] else str(one["month"] or "sans date")
        cents = f"{euros(one['claimed_cents']):>10} demandés  {euros(payable(one)):>10} payables{reserved} "
        result = Text(one["result"], COLOURS.get(one["outcome"], ""))
        out.print(Text(f"{one['line_id'][:8]}  {when:<10}  {cents}"), result, sep="")
        about = plain(one["protocol"] or one["label"] or "protocole absent")
        out.print(Padding(Text(f"{about} · {plain(one['reason'])}"), (0, 0, 0, 10)))
    if len(lines) > limit:
        out.print(f"… et {counted(len(lines) - limit, 'ligne')} de plus (--limit)")
    for name, told in MONEY:
        out.print(f"{told:<22}{euros(answer[name]):>16}")
    if answer["payable_reserved_cents"]:
        out.print("* sous réserve : un paramètre n'est ni officiel ni attesté (ecluse law, ecluse attest)")


def payable(one: Mapping[str, Any]) -> int:
    """Firm or under reserve, in cents."""
    return int(one["payable_firm_cents"] + one["payable_reserved_cents"])


def line(answer: Mapping[str, Any]) -> None:
    out = console()
    place = ", ".join(str(part) for part in (answer["file"], answer["sheet"], f"ligne {answer['row']}") if part)
    out.print(Text(plain(f"{answer['line_id']} · {answer['structure_name']} · {place}"), "bold"))
    when = f"{answer['day']:%d/%m/%Y}" if answer["day"] else answer["month"] or "sans date lue"
    about = answer["protocol"] or f"« {answer['label'] or 'protocole absent'} »"
    who = f"RPPS {answer['rpps']}" if answer["rpps"] else "sans RPPS lu"
    out.print(Text(plain(" · ".join([about, answer["act_fr"] or "acte non dit", when, who]))))
    out.print(Text(answer["result"], COLOURS.get(answer["outcome"], "")), f": {answer['standing'].lower()}")
    for name, told in MONEY:
        if answer[name] or name == "claimed_cents":
            out.print(f"  {told:<22}{euros(answer[name]):>16}")
    if answer["decision_fr"]:
        who = f", {answer['decision_role']}" if answer["decision_role"] else ""
        when = f"le {answer['decided_on']:%d/%m/%Y}{who} (position {answer['decision_position']})"
        out.print(Text(plain(f"décision : {answer['decision_fr']} {when} : {answer['decision_reason']}")))
        out.print(Text(plain(f"  la décision {answer['decision_state']} ; proposé sans elle : {answer['proposed_result']}")))
    telling = [one for one in answer["findings"] if one["result"] != WITHOUT_EFFECT]
    for finding in telling:
        out.print()
        out.print(Text(plain(f"{finding['rule']} · {finding['title']} : {finding['result']}"), "bold"))
        for name, told in (("reason", ""), ("seen", "vu : "), ("timeline", "dossier : "), ("change", "changerait : "),
                           ("basis", "règle : "), ("sources", "texte : ")):  # fmt: skip
            if finding[name]:
                out.print(Text(f"  {told}" + "\n    ".join(plain(part) for part in str(finding[name]).splitlines())))

    if silent := len(answer["findings"]) - len(telling):
        told = counted(silent, "contrôle non vérifiable", "contrôles non vérifiables")
        out.print(f"\n{told}, sans effet sur cette ligne (--json les donne)")


def decided(answer: Answer) -> None:
    told = f" : {answer.message}" if answer.message else ""
    place = f" (position {answer.position})" if answer.position else ""
    console().print(Text(plain(f"ligne {answer.line_id} : décision {STATUS[answer.status]}{told}{place}")))


def workbook(answer: Mapping[str, Any]) -> None:
    out = console()
    out.print(Text(plain(f"classeur de la publication n° {answer['number']} pour {answer['recipient']}"), "bold"))
    for status, count in answer["counts"].items():
        if count:
            out.print(f"  {STATUS[status]:<14}{number(count):>8}")
    if not answer["answers"]:
        out.print("Aucune décision n'y est écrite. À remplir dans la feuille Données, ligne par ligne :")
        for heading, told in answer["to_fill"].items():
            out.print(f"  {heading:<10}{told}")
        out.print("Puis enregistrez le classeur et renvoyez-le par la même commande.")
    others = [one for one in answer["answers"] if one["status"] in ("changed", "refused")]
    if others:
        shown = grid("cellule", "ligne", "sort", "raison")
        for one in others:
            cells = (one.get("where") or "", (one.get("line_id") or "")[:8], STATUS[one["status"]], one["message"] or "")
            shown.add_row(*(Text(plain(cell)) for cell in cells))
        out.print(shown)
