"""What an ARS decides about the CPOM: the variant and tolerance of an indicator, how the guide is read, the campaign's close.

Each is a ``DecisionTaken`` in the stream of the ARS (``cpom/ars-76``); a further one on the same subject replaces it, and a
withdrawal takes it back. Must never change a past decision, nor compare anything that was not decided.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from contracts_schema.cpom_catalogue import CAMPAIGN, Choice, WrongChoice, chosen_policies, indicators, policies
from contracts_schema.geography import region_of
from contracts_schema.parameters.policies import BOOLEANS, OFF, written_choice
from flows import law
from flows.hub import Hub, WrongUsage
from warehouse.log import Event, KeyConflict, NewEvent, VersionConflict

if TYPE_CHECKING:
    import polars as pl

    from checks.cpom.law import Law

DEFINITION, POLICY, CLOSING = "definition", "cpom_policy", "cpom_closing"
KINDS = frozenset({DEFINITION, POLICY, CLOSING})
VARIANTS = {
    "OS_11": tuple(f"{age}_{door}" for age in ("ge75", "gt75") for door in ("v1", "v2", "v3")),
    "OS_13": ("v1", "v2_overnight"),
    "HPR_3_2": tuple(f"{place}_{home}_medical_social" for place in ("whole", "any_rum") for home in ("with", "without")),
    "HPR_4_3": ("whole", "any_rum", "last_rum"),
}
"""Variants that are recomputed of each definition, a row an establishment: those of ``out_ars__pmsi_indicator``."""


def decide_definition(
    hub: Hub, ars: str, definition: str, variant: str, reason: str, *,
    tolerance: str | None = None, reference: str | None = None, finess_ej: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Decide the variant that an indicator is compared in, for all contracts of the ARS or for one.

    ``tolerance``: points of a rate, or units of a number, as people write them: 1,5; None: that of the parameters. WrongUsage.
    """
    name, reason = _ars(ars), _said(reason)
    known = sorted({found for one in indicators().values() for found in one.definitions})
    if definition not in known:
        raise WrongUsage(f"définition inconnue : {definition} ; il y a {', '.join(known)}")
    if definition not in VARIANTS:
        raise WrongUsage(f"{definition} : aucune variante n'est recalculée (famille de fichiers absente, ou grain du site)")
    if variant not in VARIANTS[definition]:
        raise WrongUsage(f"variante inconnue de {definition} : {variant} ; il y a {', '.join(VARIANTS[definition])}")
    if finess_ej is not None and region_of(finess_ej) != name.removeprefix("ars-"):
        raise WrongUsage(f"{finess_ej} n'est pas un établissement de la région de {name}")
    value = {
        "definition_id": definition,
        "variant": variant,
        "tolerance_hundredths": None if tolerance is None else _hundredths(tolerance),
        "finess_ej": finess_ej,
        "reference": reference,
    }
    return _record(hub, name, DEFINITION, _subject(definition, finess_ej), value, reason)


def withdraw_definition(hub: Hub, ars: str, definition: str, reason: str, finess_ej: str | None = None) -> dict[str, Any]:
    """Take back the variant decided for an indicator: nothing is compared any more, but by a wider decision. WrongUsage."""
    return _withdraw(hub, _ars(ars), DEFINITION, _subject(definition, finess_ej), reason)


def decide_policy(hub: Hub, ars: str, policy: str, value: str, reason: str) -> dict[str, Any]:
    """Set how the guide is read where it leaves a choice. WrongUsage when there is no such policy or value."""
    name, reason = _ars(ars), _said(reason)
    chosen = parse_choice(policy, value)
    return _record(hub, name, POLICY, policy, written_choice(chosen), reason)


def withdraw_policy(hub: Hub, ars: str, policy: str, reason: str) -> dict[str, Any]:
    """Take back the setting of a policy: its default holds again. WrongUsage."""
    return _withdraw(hub, _ars(ars), POLICY, policy, reason)


def close(hub: Hub, ars: str, reason: str) -> dict[str, Any]:
    """Say that the campaign is closed for an ARS: the contracts received are then counted against those expected (R52)."""
    return _record(hub, _ars(ars), CLOSING, CAMPAIGN, "close", _said(reason))


def reopen(hub: Hub, ars: str, reason: str) -> dict[str, Any]:
    """Take the closing of the campaign back. WrongUsage when it is not closed."""
    return _withdraw(hub, _ars(ars), CLOSING, CAMPAIGN, reason)


def is_closed(hub: Hub, ars: str, until: int | None = None) -> bool:
    """Whether the campaign is closed for an ARS, now or as of a position."""
    return (CLOSING, CAMPAIGN) in standing(hub, ars, until)


def standing(hub: Hub, ars: str, until: int | None = None) -> dict[tuple[str, str], Event]:
    """The decision that stands on each (kind, subject), now or as of a position."""
    found: dict[tuple[str, str], Event] = {}
    for event in hub.log.read(stream=f"cpom/{ars}", types={"DecisionTaken"}, until=until):
        key = event.data["kind"], event.data["subject"]
        if event.data["withdraws"] is None:
            found[key] = event
        else:
            found.pop(key, None)
    return found


def definitions(hub: Hub, ars: str, until: int | None = None) -> "pl.DataFrame":
    """The variants in force, as ``checks.cpom.compare.DEFINITION``."""
    import polars as pl

    from checks.cpom.compare import DEFINITION as COLUMNS

    rows = [
        {**event.data["value"], "position": event.position}
        for (kind, _), event in standing(hub, ars, until).items()
        if kind == DEFINITION
    ]
    return pl.DataFrame({name: [row[name] for row in rows] for name in COLUMNS}, schema=COLUMNS)


def law_of(hub: Hub, ars: str, until: int | None = None) -> "Law":
    """The law that the contracts of an ARS are judged by: its policies, and what it attests of the parameters."""
    from checks.cpom.law import default_law

    set_ = {
        subject: parse_choice(subject, event.data["value"])
        for (kind, subject), event in standing(hub, ars, until).items()
        if kind == POLICY
    }
    attested = [one for one in law.law_of(hub, ars, until).parameters if one.parameter.startswith("cpom.")]
    return default_law(set_, attested)


def parse_choice(policy: str, text: str) -> Choice:
    """What a policy is set to by this text. WrongUsage."""
    told, text = policies().get(policy), text.strip()
    value: Choice = text
    if told and told["kind"] == "yes_no":
        value = BOOLEANS.get(text.lower(), text)
    elif told and told["kind"] == "day":
        value = None if text == OFF else _day(text)
    elif text.isascii() and text.isdecimal():
        value = int(text)
    try:
        chosen_policies({policy: value})
    except WrongChoice as error:
        raise WrongUsage(str(error)) from None
    return value


def _record(hub: Hub, ars: str, kind: str, subject: str, value: Any, reason: str) -> dict[str, Any]:
    def decide(last: Event | None) -> dict[str, Any] | None:
        same = last is not None and last.data["value"] == value
        return None if same else {"value": value, "reason": reason, "withdraws": None}

    return _append(hub, ars, kind, subject, decide)


def _withdraw(hub: Hub, ars: str, kind: str, subject: str, reason: str) -> dict[str, Any]:
    told = _said(reason)

    def decide(last: Event | None) -> dict[str, Any]:
        if last is None:
            raise WrongUsage(f"{subject} : aucune décision en place pour {ars}")
        return {"value": None, "reason": told, "withdraws": last.position}

    return _append(hub, ars, kind, subject, decide)


def _append(
    hub: Hub, ars: str, kind: str, subject: str, decide: Callable[[Event | None], dict[str, Any] | None]
) -> dict[str, Any]:
    """Append what is decided given what stands, unless it stands already; WrongUsage when something came in between."""
    stream = f"cpom/{ars}"
    version = hub.log.version(stream)
    last = standing(hub, ars).get((kind, subject))
    data = decide(last)
    if data is None and last is not None:
        return {"organisation": ars, "subject": subject, "position": last.position, "already": True}
    told = {"kind": kind, "subject": subject, "organisation": ars, **(data or {})}
    try:
        event, _ = hub.log.append(
            NewEvent(stream, "DecisionTaken", told, f"{stream}/{version + 1}", expected_version=version), hub.meta()
        )
    except (KeyConflict, VersionConflict):
        raise WrongUsage("une autre décision est arrivée entre-temps : relisez, puis décidez à nouveau") from None
    return {"organisation": ars, "subject": subject, "position": event.position, "already": False}


def _ars(name: str) -> str:
    found = law.organisation_of(name)
    if not found.startswith("ars-"):
        raise WrongUsage(f"{name} : une ARS est attendue, par exemple ars-76")
    return found


def _subject(definition: str, finess_ej: str | None) -> str:
    return f"{definition}/{finess_ej}" if finess_ej else definition


def _hundredths(text: str) -> int:
    try:
        found = Decimal(text.strip().replace(",", ".")) * 100
    except InvalidOperation:
        raise WrongUsage(f"tolérance illisible : {text} (attendu 1,5)") from None
    if not found.is_finite() or found < 0 or found != found.to_integral_value():
        raise WrongUsage(f"tolérance illisible : {text} (au centième près, positive)")
    return int(found)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise WrongUsage(f"jour illisible : {text} (attendu 2025-07-25)") from None


def _said(reason: str) -> str:
    if not reason.strip():
        raise WrongUsage("un motif est nécessaire (--reason)")
    return reason.strip()
