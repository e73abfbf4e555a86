"""What people decide about the law: values attested by an organisation, policies set, two keys of one structure linked.

Each is a ``DecisionTaken`` in the stream of its organisation (``law/cpam-311``) or of the whole hub (``law/hub``); a further
event withdraws it. Must never change a past decision, nor make a value firm for an organisation that did not attest it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from contracts_schema import parameters
from contracts_schema.parameters import Attestation, policies
from contracts_schema.parameters.policies import Choice
from contracts_schema.parameters.record import said
from flows.hub import Hub, WrongUsage
from warehouse.log import Event, KeyConflict, NewEvent, VersionConflict
from warehouse.recipients import UnknownRecipient, recipient

if TYPE_CHECKING:
    import polars as pl

    from checks.snp.law import Law

WHOLE_HUB = "hub"
ALIAS_KINDS = ("structure",)


@dataclass(frozen=True)
class Alias:
    """Two keys of one structure, as an agent confirmed: ``from_key`` is to be read as ``to_key``."""

    kind: str
    from_key: str
    to_key: str
    position: int


@dataclass(frozen=True)
class Decided:
    """A policy as it was set, with the position of the decision."""

    value: Choice
    position: int


@dataclass(frozen=True)
class Attested:
    """What was decided for an organisation: its attestations, policies set for it or for all, links for it or for all."""

    organisation: str | None
    parameters: tuple[Attestation, ...]
    decided: Mapping[str, Decided]
    aliases: tuple[Alias, ...]

    @property
    def policies(self) -> dict[str, Choice]:
        """The policies that were set; the others have their default."""
        return {name: one.value for name, one in self.decided.items()}

    def law(self) -> "Law":
        """The law that the bordereaux of this organisation are judged by."""
        from checks.snp.law import default_law

        return default_law(self.policies, attested=self.parameters)

    def alias(self) -> "pl.DataFrame":
        """The confirmed links. Columns: kind, from_key, to_key; the later one of two is the one to follow."""
        import polars as pl

        rows = [(one.kind, one.from_key, one.to_key) for one in self.aliases]
        return pl.DataFrame(rows, schema=dict.fromkeys(("kind", "from_key", "to_key"), pl.String), orient="row")


def law_of(hub: Hub, organisation: str | None = None, until: int | None = None) -> Attested:
    """What stands for an organisation (None: what holds for the whole hub), now or as of a position of the log."""
    names = [WHOLE_HUB] + ([organisation_of(organisation)] if organisation else [])
    streams = [list(hub.log.read(until=until, stream=f"law/{name}", types={"DecisionTaken"})) for name in names]
    withdrawn = {event.data["withdraws"] for events in streams for event in events}
    standing = [event for events in streams for event in events if event.position not in withdrawn and not _withdraws(event)]
    links: dict[tuple[str, str], Alias] = {}
    for event in standing:
        if event.data["kind"] == "alias":
            value = event.data["value"]
            links[event.data["subject"], value["from_key"]] = Alias(event.data["subject"], **value, position=event.position)
    return Attested(
        organisation,
        tuple(one for event in standing if event.data["kind"] == "attestation" for one in _attestations(event)),
        {name: _decided(name, event) for name, event in _policy_events(streams).items()},
        tuple(links.values()),
    )


def organisations(hub: Hub, until: int | None = None) -> list[str]:
    """Those that have decided anything about the law."""
    streams = {event.stream for event in hub.log.read(until=until, under="law/", types={"DecisionTaken"})}
    return sorted(name for stream in streams if (name := stream.removeprefix("law/")) != WHOLE_HUB)


def attestations(hub: Hub, organisation: str, until: int | None = None) -> list[dict[str, Any]]:
    """Every attestation of an organisation, in the order of the log: when, by whom, why, of what, and what withdrew it."""
    stream = f"law/{organisation_of(organisation)}"
    events = [
        one for one in hub.log.read(until=until, stream=stream, types={"DecisionTaken"}) if one.data["kind"] == "attestation"
    ]
    gone = {event.data["withdraws"]: event for event in events if _withdraws(event)}
    return [
        {
            "position": event.position,
            "recorded_at": event.recorded_at,
            "actor": event.meta.get("actor"),
            "role": event.data["role"],
            "reason": event.data["reason"],
            "subject": event.data["subject"],
            "values": len(event.data["value"]),
            "withdrawn": _withdrawal(gone[event.position]) if event.position in gone else None,
        }
        for event in events
        if not _withdraws(event)
    ]


def _withdrawal(event: Event) -> dict[str, Any]:
    told = {"position": event.position, "recorded_at": event.recorded_at, "reason": event.data["reason"]}
    return told | {"actor": event.meta.get("actor")}


def attest(hub: Hub, rows: Iterable[Attestation], organisation: str, role: str, reason: str | None = None) -> dict[str, Any]:
    """Record that an organisation, which holds the text, confirms values: one decision for all of them, or none.

    What it attests already is passed over. WrongUsage when two values fall on one day, among them or with one that stands.
    """
    name, role = organisation_of(organisation), _said(role, "la fonction de qui atteste est nécessaire (--role)")
    rows = list(rows)
    if not rows:
        raise WrongUsage("rien à attester : la table est vide")

    def decide() -> tuple[dict[str, Any] | None, int | None]:
        own = law_of(hub, name).parameters
        known = {_same(one): one.position for one in own}
        added = [one for one in rows if _same(one) not in known]
        _refuse_overlaps(added, own)
        if not added:
            return None, max(known[_same(one)] for one in rows)
        subject = ", ".join(dict.fromkeys(one.parameter for one in added))
        value = [_as_data(one) for one in added]
        return {"kind": "attestation", "subject": subject, "value": value, "role": role, "reason": reason}, None

    return _record(hub, name, decide)


def decide_policy(hub: Hub, policy: str, value: str, reason: str, caisse: str | None = None) -> dict[str, Any]:
    """Set a policy, for one caisse or for all those that have not set theirs. WrongUsage when it does not take the value."""
    name, reason = _caisse(caisse), _said(reason)
    try:
        chosen = policies.parse_choice(policy, value)
    except policies.WrongPolicy as error:
        raise WrongUsage(str(error)) from None

    def decide() -> tuple[dict[str, Any] | None, int | None]:
        stands = _own_policy(hub, name, policy)
        if stands and policies.parse_choice(policy, stands.data["value"]) == chosen:
            return None, stands.position
        return {"kind": "policy", "subject": policy, "value": policies.written_choice(chosen), "reason": reason}, None

    return _record(hub, name, decide)


def link(hub: Hub, kind: str, from_key: str, to_key: str, reason: str, caisse: str | None = None) -> dict[str, Any]:
    """Confirm that two keys are of one structure: a SIRET, a FINESS or ``nom:…``. WrongUsage for a second link or a circle."""
    name, reason = _caisse(caisse), _said(reason)
    if kind not in ALIAS_KINDS:
        raise WrongUsage(f"lien inconnu : {kind} (attendu : {', '.join(ALIAS_KINDS)})")
    start, end = _key(from_key), _key(to_key)

    def decide() -> tuple[dict[str, Any] | None, int | None]:
        links = {one.from_key: one for one in law_of(hub, caisse and name).aliases if one.kind == kind}
        stands = links.get(start)
        if stands and stands.to_key == end:
            return None, stands.position
        if stands:
            raise WrongUsage(f"{start} est déjà lié à {stands.to_key} (position {stands.position}) : retirez d'abord ce lien")
        step = end
        while step in links and step != start:
            step = links[step].to_key
        if step == start:
            raise WrongUsage(f"{end} mène déjà à {start} : ce lien tournerait en rond")
        return {"kind": "alias", "subject": kind, "value": {"from_key": start, "to_key": end}, "reason": reason}, None

    return _record(hub, name, decide)


def withdraw_attestation(hub: Hub, position: int, organisation: str, reason: str) -> dict[str, Any]:
    """Withdraw a decision of kind attestation by its position: all its values are what the files say again."""
    name = organisation_of(organisation)
    return _withdraw(hub, name, "attestation", reason, lambda event: event.position == position, f"l'attestation {position}")


def withdraw_policy(hub: Hub, policy: str, reason: str, caisse: str | None = None) -> dict[str, Any]:
    """Take back the setting of a policy: for a caisse the one for all holds again, and for all the default."""

    def chosen(event: Event) -> bool:
        return bool(event.data["subject"] == policy)

    return _withdraw(hub, _caisse(caisse), "policy", reason, chosen, f"la politique {policy}")


def withdraw_link(hub: Hub, kind: str, from_key: str, to_key: str, reason: str, caisse: str | None = None) -> dict[str, Any]:
    """Take back a confirmed link."""
    value = {"from_key": _key(from_key), "to_key": _key(to_key)}

    def chosen(event: Event) -> bool:
        return bool(event.data["subject"] == kind and event.data["value"] == value)

    return _withdraw(hub, _caisse(caisse), "alias", reason, chosen, f"le lien de {from_key} à {to_key}")


def organisation_of(name: str) -> str:
    """The name of an organisation that pays or steers, as recipients are named. WrongUsage."""
    try:
        return recipient(name).name
    except UnknownRecipient as error:
        raise WrongUsage(f"organisme {name} {error}") from None


def _caisse(caisse: str | None) -> str:
    """The stream's name for a caisse (``311`` or ``cpam-311``), or for the whole hub."""
    if caisse is None:
        return WHOLE_HUB
    return organisation_of(caisse if caisse.startswith("cpam-") else f"cpam-{caisse}")


def _record(hub: Hub, name: str, decide: Callable[[], tuple[dict[str, Any] | None, int | None]]) -> dict[str, Any]:
    """Append what ``decide`` says given what stands, unless it stands already; WrongUsage when something came in between."""
    stream = f"law/{name}"
    version = hub.log.version(stream)
    data, already = decide()
    if data is None:
        return {"organisation": name, "position": already, "already": True}
    data = {"withdraws": None, "organisation": name} | data
    key = f"{stream}/{version + 1}"
    try:
        event, _ = hub.log.append(NewEvent(stream, "DecisionTaken", data, key, expected_version=version), hub.meta())
    except (KeyConflict, VersionConflict):
        raise WrongUsage("une autre décision est arrivée entre-temps : relisez (ecluse law), puis décidez à nouveau") from None
    return {"organisation": name, "position": event.position, "already": False}


def _withdraw(hub: Hub, name: str, kind: str, reason: str, chosen: Callable[[Event], bool], told: str) -> dict[str, Any]:
    reason = _said(reason)

    def decide() -> tuple[dict[str, Any] | None, int | None]:
        events = list(hub.log.read(stream=f"law/{name}", types={"DecisionTaken"}))
        withdrawn = {event.data["withdraws"]: event.position for event in events}
        found = [event for event in events if event.data["kind"] == kind and not _withdraws(event) and chosen(event)]
        if not found:
            raise WrongUsage(f"{told} : aucune décision en place pour {name} (voir ecluse law)")
        if found[-1].position in withdrawn:
            return None, withdrawn[found[-1].position]
        last = found[-1]
        data = {"kind": kind, "subject": last.data["subject"], "value": None, "reason": reason, "withdraws": last.position}
        return data, None

    return _record(hub, name, decide)


def _withdraws(event: Event) -> bool:
    return event.data["withdraws"] is not None


def _own_policy(hub: Hub, name: str, policy: str) -> Event | None:
    """The decision that sets a policy in this stream."""
    return _policy_events([list(hub.log.read(stream=f"law/{name}", types={"DecisionTaken"}))]).get(policy)


def _policy_events(streams: Iterable[Iterable[Event]]) -> dict[str, Event]:
    """The decision that sets each policy, those of a later stream before those of an earlier one.

    A policy that is withdrawn has no setting in its stream any more: an older one does not come back.
    """
    found: dict[str, Event] = {}
    for events in streams:
        own: dict[str, Event] = {}
        for event in events:
            if event.data["kind"] == "policy":
                if _withdraws(event):
                    own.pop(event.data["subject"], None)
                else:
                    own[event.data["subject"]] = event
        found |= own
    return found


def _decided(name: str, event: Event) -> Decided:
    try:
        return Decided(policies.parse_choice(name, event.data["value"]), event.position)
    except policies.WrongPolicy as error:  # the catalogue has changed since
        raise WrongUsage(f"décision {event.position} : {error} ; retirez-la (ecluse decide-policy {name} --withdraw)") from None


def _attestations(event: Event) -> Iterable[Attestation]:
    for row in event.data["value"]:
        found = parameters.parameters().get(row["parameter"])
        dates = {name: date.fromisoformat(row[name]) if row[name] else None for name in ("valid_to", "journal_officiel")}
        yield Attestation(
            parameter=row["parameter"],
            cell=tuple(tuple(pair) for pair in row["cell"]),
            value=date.fromisoformat(row["value"]) if found and found.kind == "date" else row["value"],
            valid_from=date.fromisoformat(row["valid_from"]),
            reference=row["reference"],
            position=event.position,
            **dates,
        )


def _as_data(one: Attestation) -> dict[str, Any]:
    return {
        "parameter": one.parameter,
        "cell": [list(pair) for pair in one.cell],
        "value": one.value.isoformat() if isinstance(one.value, date) else one.value,
        "valid_from": one.valid_from.isoformat(),
        "valid_to": one.valid_to and one.valid_to.isoformat(),
        "reference": one.reference,
        "journal_officiel": one.journal_officiel and one.journal_officiel.isoformat(),
    }


def _same(one: Attestation) -> tuple[object, ...]:
    return one.parameter, one.cell, one.value, one.valid_from, one.valid_to, one.reference, one.journal_officiel


def _refuse_overlaps(added: list[Attestation], standing: Iterable[Attestation]) -> None:
    seen: dict[object, list[Attestation]] = {}
    for one in standing:
        seen.setdefault((one.parameter, one.cell), []).append(one)
    for one in added:
        before = seen.setdefault((one.parameter, one.cell), [])
        for other in before:
            if other.valid_from < (one.valid_to or date.max) and one.valid_from < (other.valid_to or date.max):
                whose = f"l'attestation {other.position} : retirez-la d'abord" if other.position else "une autre ligne donnée"
                day = max(one.valid_from, other.valid_from)
                raise WrongUsage(f"{one.parameter} {said(one.cell)} : le {day:%d/%m/%Y} est déjà dans {whose}")
        before.append(one)


def _key(text: str) -> str:
    """A key of a structure as bordereaux give it: 14 digits, a FINESS of 9, or ``nom:`` and a name."""
    text = text.strip()
    if text.startswith("nom:") and len(text) > len("nom:"):
        return text
    bare = text.replace(" ", "").upper()
    siret, finess = (
        bare.isdecimal() and len(bare) == 14,
        len(bare) == 9 and bare.replace("A", "0").replace("B", "0").isdecimal(),
    )
    if not (bare.isascii() and (siret or finess)):
        raise WrongUsage("clé de structure attendue : un SIRET (14 chiffres), un FINESS (9 caractères) ou nom:…")
    return bare


def _said(text: str, told: str = "un motif est nécessaire") -> str:
    if not text.strip():
        raise WrongUsage(told)
    return text.strip()
