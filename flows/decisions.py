"""What a person decides about deliveries: let a held one in, take one back, have one judged again. Each is an event.

A decision says who, why and until when; the older ones stay in the log. Nothing here looks at a row.
"""

from datetime import date
from typing import Any

from contracts_schema.fingerprint import fingerprint
from flows.deliveries import Report, active_waiver, judge_again, reception, report, settled_now, verdict_of
from flows.hub import Hub, WrongUsage
from warehouse.heads import FOLDED
from warehouse.log import Event, KeyConflict, NewEvent, VersionConflict

VERDICTS_FR = {"accepted": "acceptée", "held": "retenue", "rejected": "refusée", "withdrawn": "retirée"}
WITHOUT_STAYS = "pmsi.main_missing"
"""What no waiver lifts: a head without stays would leave every view without its first table."""


def waive(hub: Hub, delivery: str, reason: str, until: date, reference: str | None = None) -> Report:
    """Let a held delivery in, in spite of the rules that hold it: a waiver and the acceptance, in one transaction.

    ``delivery`` is the start of its id; ``until`` the last day on which the waiver holds, should the delivery be judged again.
    """
    decided, version = _last_decision_at(hub, delivery)
    if verdict_of(decided) != "held":
        raise WrongUsage(
            f"cette livraison n'est pas retenue (état : {VERDICTS_FR[verdict_of(decided)]}) : il n'y a rien à lever"
        )
    if until < hub.today():
        raise WrongUsage(f"la dérogation s'arrêterait le {until:%d/%m/%Y}, avant aujourd'hui")
    data = decided.data
    if WITHOUT_STAYS in data["reasons"]:
        raise WrongUsage("sans fichier RSA elle ne peut remplacer les séjours en place : elle est à renvoyer entière")
    if data["rows_in"] and not data["rows_accepted"]:
        raise WrongUsage("aucune de ses lignes n'est acceptée : il n'y a rien à laisser entrer, elle est à renvoyer corrigée")
    key = f"waiver/{data['delivery_id']}/{decided.position}"
    waiver = {"kind": "waiver", "subject": data["delivery_id"], "value": data["reasons"], "reason": _said(reason),
              "until": until.isoformat(), "reference": reference}  # fmt: skip
    accepted = {name: value for name, value in data.items() if name not in ("held", "reasons", "resembles", "schema_version")}
    settled, unmoved = settled_now(hub, decided)
    accepted |= {"waiver": key, "waived": data["reasons"], **settled}
    taken = NewEvent(decided.stream, "DecisionTaken", waiver, key, expected_version=version, unmoved=unmoved)
    acceptance = NewEvent(decided.stream, "DeliveryAccepted", accepted, f"{key}/accepted")
    return report(hub, _record(hub, decided, taken, acceptance)[1], already=False)


def withdraw(hub: Hub, delivery: str, reason: str) -> dict[str, Any]:
    """Take an accepted delivery back: the one before it stands again. Its bytes and its history stay."""
    decided, version = _last_decision_at(hub, delivery)
    if verdict_of(decided) != "accepted":
        raise WrongUsage(f"cette livraison n'est pas acceptée (état : {VERDICTS_FR[verdict_of(decided)]}) : rien à retirer")
    data = {name: value for name, value in decided.data.items() if name != "schema_version"} | {"reason": _said(reason)}
    key = f"withdrawn/{data['delivery_id']}/{decided.position}"
    [event] = _record(hub, decided, NewEvent(decided.stream, "DeliveryWithdrawn", data, key, expected_version=version))
    return {"delivery_id": data["delivery_id"], "scope": data["scope"], "position": event.position, "status": "withdrawn"}


def restore(hub: Hub, delivery: str, reason: str) -> Report:
    """Undo the withdrawal of a delivery: it is accepted again as it was, and stands where its rank puts it now."""
    decided, version = _last_decision_at(hub, delivery)
    if verdict_of(decided) != "withdrawn":
        raise WrongUsage(f"cette livraison n'a pas été retirée (état : {VERDICTS_FR[verdict_of(decided)]}) : rien à rétablir")
    settled, unmoved = settled_now(hub, decided)
    data = {name: value for name, value in decided.data.items() if name != "schema_version"} | settled
    data |= {"reason": _said(reason), "restores": decided.position}
    key = f"restored/{data['delivery_id']}/{decided.position}"
    event = NewEvent(decided.stream, "DeliveryAccepted", data, key, expected_version=version, unmoved=unmoved)
    return report(hub, _record(hub, decided, event)[0], already=False)


def redecide(hub: Hub, delivery: str | None = None) -> list[Report]:
    """Judge kept bytes again under the present contracts: one delivery, or every one judged under others, or held.

    A withdrawn delivery stays withdrawn; one that could not be read is read once more when it is named.
    The older decision stays in the log; the same contracts give the same decision.
    """
    chosen = [last_decision(hub, delivery)] if delivery else list(last_decisions(hub).values())
    found = []
    for decided in sorted(chosen, key=lambda event: event.data["reception"]):
        received = reception(hub, decided.data["delivery_id"])
        held = verdict_of(decided) == "held"
        waived = held and active_waiver(hub, received, tuple(decided.data["reasons"])) is not None
        unread = delivery is not None and "refusal" in decided.data  # the machine may have been too busy: it is read once more
        same_basis = decided.data["basis"] == fingerprint() and not waived and not unread
        if verdict_of(decided) == "withdrawn" or same_basis:
            found.append(report(hub, decided, already=True))
        else:
            found.append(judge_again(hub, received, before=decided))
    return found


def last_decision(hub: Hub, delivery: str, until: int | None = None) -> Event:
    """The last decision on the delivery whose id starts so, now or as of a position; WrongUsage unless there is exactly one."""
    found = [event for name, event in last_decisions(hub, until).items() if name.startswith(delivery)] if delivery else []
    if len(found) != 1:
        several = f"{len(found)} livraisons ont" if found else "aucune livraison n'a"
        raise WrongUsage(f"{several} une empreinte qui commence par « {delivery} » ; voir ecluse status")
    return found[0]


def last_decisions(hub: Hub, until: int | None = None, under: str | None = None) -> dict[str, Event]:
    """The last decision on every delivery, by id, now or as of a position; ``under`` is how the scopes asked for begin."""
    return {event.data["delivery_id"]: event for event in hub.log.read(until=until, types=FOLDED, under=under)}


def _last_decision_at(hub: Hub, delivery: str) -> tuple[Event, int]:
    """The last decision on a delivery, and the version of its stream up to which it surely is the last: read before it."""
    version = hub.log.version(last_decision(hub, delivery).stream)
    return last_decision(hub, delivery), version


def _record(hub: Hub, decided: Event, *events: NewEvent) -> list[Event]:
    """Append what was decided given ``decided``, all or none; WrongUsage when something else came in between."""
    try:
        return [event for event, _ in hub.log.append_all(events, hub.meta(caused_by=decided.position))]
    except (KeyConflict, VersionConflict):
        told = (
            "une autre décision ou réception est arrivée entre-temps : relisez l'état (ecluse status), puis décidez à nouveau"
        )
        raise WrongUsage(told) from None


def _said(reason: str) -> str:
    if not reason.strip():
        raise WrongUsage("un motif est nécessaire")
    return reason.strip()
