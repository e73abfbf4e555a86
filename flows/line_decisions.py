"""What a person decides about lines of bordereaux: pay, adjust, reject, ask or hold. Each is a ``DecisionTaken`` in its stream.

The stream of a line holds its decisions, so of two people who decide on the same state one is told to look again. Must never
take a decision on a state that its author did not see, nor change one that was taken: the last one holds until it is revoked.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from contracts_schema.bordereau_profiles import normalised
from contracts_schema.french import euros
from contracts_schema.products import decisions as words
from flows.hub import Hub, WrongUsage
from warehouse.log import Event, KeyConflict, NewEvent, VersionConflict, paris

if TYPE_CHECKING:
    import polars as pl

KIND = "line"
PAYING = ("pay", "adjust")
UNKNOWN = "ligne inconnue de ce hub"
NUMBER = re.compile(r"\d(?:[ .\-]?\d){10,}")


@dataclass(frozen=True)
class Proposed:
    """A line as it stands: what is proposed, and the last decision on it (0 for none). Amounts in cents."""

    line_id: str
    caisse: str
    claimed_cents: int
    outcome: str
    due_cents: int
    potential_cents: int
    position: int
    live: bool


@dataclass(frozen=True)
class Wanted:
    """A decision asked for a line. ``seen``: position of the last decision that its author saw on the line (0: none; None: the
    one given with the line); ``outcome`` and ``due_cents``: what its author saw proposed, if told."""

    line_id: str
    decision: str
    reason: str
    amount_cents: int | None = None
    role: str | None = None
    seen: int | None = None
    outcome: str | None = None
    due_cents: int | None = None
    where: str | None = None
    """The cell that it was read from."""


@dataclass(frozen=True)
class Answer:
    """What became of a decision: ``taken``, ``already`` (the same one stands), ``changed`` (the line moved since) or
    ``refused``, with the reason in French."""

    line_id: str
    status: str
    message: str | None = None
    position: int | None = None
    where: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def code_of(word: str) -> str:
    """The code of a decision as people write it, in French or as a code; a word that is none stays as it is."""
    bare = normalised(word)
    codes = {normalised(told): code for code, told in words().items()}
    return codes.get(bare, bare if bare in codes.values() else word)


def decisions(hub: Hub, until: int | None = None) -> "pl.DataFrame":
    """The decision that stands on each line, as ``checks.snp.decided.DECISIONS``, now or as of a position of the log."""
    import polars as pl

    from checks.snp.decided import DECISIONS

    rows = [
        (event.data["subject"], event.data["value"]["decision"], event.data["value"]["amount_cents"], event.data["reason"],
         event.data["role"], paris(event.recorded_at).date(), event.position,
         event.data["seen"]["outcome"], event.data["seen"]["due_cents"])
        for event in standing(hub, until).values()
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


def standing(hub: Hub, until: int | None = None) -> dict[str, Event]:
    """The decision that stands on each line, by line."""
    return {line: state.last for line, state in _states(hub, until).items() if state.last}


def decide(hub: Hub, wanted: Sequence[Wanted], lines: Mapping[str, Proposed], workbook: str | None = None) -> list[Answer]:
    """Take these decisions, each judged against the lines as they stand; gives what became of each, in the order given.

    ``workbook``: hash of the file that they were read from. All that can be taken are taken in one transaction.
    """
    wanted = [replace(one, decision=code_of(one.decision)) for one in wanted]
    while True:
        states, answers, events = _states(hub), dict[int, Answer](), dict[int, NewEvent]()
        twice = {line for line, times in Counter(one.line_id for one in wanted).items() if times > 1}
        for place, one in enumerate(wanted):
            line, state = lines.get(one.line_id), states.get(one.line_id, State())
            answer = _refusal(one, line, twice) or _moved(one, line, state.last)
            if answer or line is None:
                answers[place] = answer or _answer(one, "refused", UNKNOWN)
            else:
                events[place] = _event(one, line, state.version, workbook)
        try:
            appended = hub.log.append_all(list(events.values()), hub.meta()) if events else []
        except (KeyConflict, VersionConflict):
            continue  # decided elsewhere in between: judged again, against that
        taken = {place: event.position for place, (event, _) in zip(events, appended, strict=True)}
        answers |= {place: _answer(wanted[place], "taken", None, position) for place, position in taken.items()}
        return [answers[place] for place in range(len(wanted))]


def revoke(hub: Hub, line_id: str, reason: str, seen: int | None = None) -> Answer:
    """Take back the decision that stands on a line: what is proposed holds again. WrongUsage when there is none."""
    state = _states(hub).get(line_id, State())
    if state.last is None:
        raise WrongUsage(f"aucune décision en place sur la ligne {line_id}")
    if problem := _wrong_reason(reason):
        raise WrongUsage(problem)
    if seen is not None and seen != state.last.position:
        return Answer(
            line_id, "changed", f"une autre décision est en place (position {state.last.position}) : relisez la ligne"
        )
    kept = {name: state.last.data[name] for name in ("kind", "subject", "organisation", "role", "seen")}
    data = {**kept, "value": None, "reason": reason.strip(), "withdraws": state.last.position}
    try:
        event, _ = hub.log.append(_new(line_id, data, state.version), hub.meta())
    except (KeyConflict, VersionConflict):
        return Answer(line_id, "changed", "une autre décision est arrivée entre-temps : relisez la ligne")
    return Answer(line_id, "taken", "décision retirée", event.position)


@dataclass(frozen=True)
class State:
    """Of a line: how many decisions and revocations it has had, and the decision that stands."""

    version: int = 0
    last: Event | None = None


def _states(hub: Hub, until: int | None = None) -> dict[str, State]:
    found: dict[str, State] = {}
    for event in hub.log.read(until=until, types={"DecisionTaken"}):
        if event.data.get("kind") == KIND:
            found[event.data["subject"]] = State(event.version, event if event.data["withdraws"] is None else None)
    return found


def _refusal(one: Wanted, line: Proposed | None, twice: Collection[str]) -> Answer | None:
    """Why a decision cannot be taken whatever was decided before; None when it can."""
    if one.line_id in twice:
        return _answer(one, "refused", "la ligne est nommée deux fois : une seule décision par ligne")
    if line is None:
        return _answer(one, "refused", UNKNOWN)
    if not line.live:
        return _answer(one, "refused", "le bordereau de cette ligne a été remplacé : décidez sur celui qui le remplace")
    if one.decision not in words():
        told = ", ".join(word.lower() for word in words().values())
        return _answer(one, "refused", f"décision inconnue : {one.decision} ; attendu : {told}")
    problem = _wrong_reason(one.reason) or _wrong_amount(one, line)
    return _answer(one, "refused", problem) if problem else None


def _wrong_reason(reason: str) -> str | None:
    from connectors.bordereau_patients import names_a_person

    if not reason.strip():
        return "un motif est nécessaire"
    if NUMBER.search(reason):
        return "le motif porte un numéro de 11 chiffres ou plus : il est gardé à jamais, n'y écrivez l'identifiant de personne"
    if names_a_person(reason):
        return "le motif semble nommer une personne : il est gardé à jamais et publié, dites-le sans nom ni date de naissance"
    return None


def _wrong_amount(one: Wanted, line: Proposed) -> str | None:
    amount = one.amount_cents
    if one.decision not in PAYING:
        return None if amount is None else "un montant ne va qu'avec payer ou ajuster"
    if line.claimed_cents <= 0:
        return "rien n'est demandé sur cette ligne : elle ne peut être payée"
    if amount is None:
        if one.decision == "adjust":
            return "ajuster demande un montant"
        return None if _due(one, line) else "rien n'est proposé au paiement sur cette ligne : donnez le montant dû"
    if not 0 < amount <= line.claimed_cents:
        return f"le montant doit être entre 0,01 € et le montant demandé ({euros(line.claimed_cents)})"
    return None


def _moved(one: Wanted, line: Proposed | None, last: Event | None) -> Answer | None:
    """The answer when what the author saw is no more, or when the same decision stands already."""
    if line is None:
        return None
    position = last.position if last else 0
    if last and last.data["value"] == _value(one, line) and last.data["reason"] == one.reason.strip():
        return _answer(one, "already", "cette décision est déjà en place", position)
    if position != (line.position if one.seen is None else one.seen):
        other = f"une autre décision est en place (position {position})" if position else "la décision vue a été retirée"
        return _answer(one, "changed", f"{other} : relisez la ligne")
    if one.outcome is not None and (one.outcome, one.due_cents) != (line.outcome, line.due_cents):
        from checks.snp.product_findings import results

        told = f"{results()[line.outcome].lower()}, {euros(line.due_cents)}"
        return _answer(one, "changed", f"la proposition a changé depuis ce classeur : {told} ; relisez la ligne")
    return None


def _event(one: Wanted, line: Proposed, version: int, workbook: str | None) -> NewEvent:
    data = {
        "kind": KIND,
        "subject": one.line_id,
        "organisation": f"cpam-{line.caisse}",
        "value": _value(one, line),
        "reason": one.reason.strip(),
        "role": one.role,
        "seen": {"outcome": line.outcome, "due_cents": line.due_cents},
        "withdraws": None,
    }
    return _new(one.line_id, data | ({"workbook": workbook, "cell": one.where} if workbook else {}), version)


def _new(line_id: str, data: Mapping[str, Any], version: int) -> NewEvent:
    stream = f"line/{line_id}"
    return NewEvent(stream, "DecisionTaken", dict(data), f"{stream}/{version + 1}", expected_version=version)


def _value(one: Wanted, line: Proposed) -> dict[str, Any]:
    amount = (one.amount_cents or _due(one, line)) if one.decision in PAYING else None
    return {"decision": one.decision, "amount_cents": amount}


def _due(one: Wanted, line: Proposed) -> int:
    """What is due when nobody says: what is proposed, or what it would be once the questions are answered."""
    return line.due_cents or line.potential_cents


def _answer(one: Wanted, status: str, message: str | None, position: int | None = None) -> Answer:
    return Answer(one.line_id, status, message, position, one.where)
