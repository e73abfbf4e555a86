"""A fictional platform of online forms, in memory: démarches, revisions, dossiers and what befalls them. For tests and demo.

Faithful to what the real service does to those who read it: stable deposit dates, silent revisions, hidden and purged
dossiers, states that go back. Must never hold anything but synthetic data, nor be taken for a reference of the service.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

OPEN = ("en_construction", "en_instruction")
TREATED = {"accepte": "accepte", "refuse": "refuse", "sans_suite": "classe_sans_suite"}
"""Terminal state → event of the treatment."""

Answers = dict[int, Any]
"""Value of each champ by stable id. A repetition holds a list of rows (row id, answers), a piece a list of ``Piece``."""


@dataclass(frozen=True)
class Field:
    """A champ of a form: ``type`` is the concrete type that the service names, ``champs`` those of a repetition."""

    stable: int
    type: str
    label: str
    required: bool = False
    options: tuple[str, ...] = ()
    champs: tuple["Field", ...] = ()


@dataclass(frozen=True)
class Piece:
    """An attached file. ``scan``: safe, pending or infected; the service leaves infected ones out."""

    name: str
    content: bytes
    type: str = "application/pdf"
    scan: str = "safe"
    created: datetime = datetime(2022, 1, 1, tzinfo=UTC)

    @property
    def id(self) -> str:
        return hashlib.sha256(self.name.encode() + b"\0" + self.content).hexdigest()[:20]

    @property
    def checksum(self) -> str:
        return base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True)
class Revision:
    """One published version of a form."""

    id: str
    published: datetime
    fields: tuple[Field, ...]


@dataclass
class Demarche:
    """A form. ``declarative``: the state that a deposit takes at once, or None."""

    number: int
    title: str
    revisions: list[Revision]
    declarative: str | None = None
    state: str = "publiee"


@dataclass
class Dossier:
    """One declaration filed. ``stamp`` grows at each change; ``updated`` only where the real service moves it."""

    number: int
    demarche: Demarche
    revision: Revision
    answers: Answers
    deposited: datetime
    updated: datetime
    built: datetime
    state: str = "en_construction"
    instructed: datetime | None = None
    treated: datetime | None = None
    champs_updated: datetime | None = None
    applicant: dict[str, Any] | None = None
    treatments: list[tuple[str, datetime]] = field(default_factory=list)
    corrections: list[dict[str, Any]] = field(default_factory=list)
    messages: int = 0
    buffer: Answers = field(default_factory=dict)
    invisible: set[int] = field(default_factory=set)
    hidden_by_user: datetime | None = None
    hidden_by_administration: datetime | None = None
    expired: bool = False
    broken: str | None = None
    """The error that each reading of this dossier gives, and only it."""
    stamp: int = 0

    @property
    def pending(self) -> bool:
        """In the list of pending deletions."""
        user = self.hidden_by_user is not None and self.state == "en_construction"
        return not self.expired and (user or self.hidden_by_administration is not None)

    @property
    def visible(self) -> bool:
        return not self.expired and not self.pending


@dataclass(frozen=True)
class Deleted:
    """A dossier purged for good, dated by its hiding."""

    number: int
    state: str
    reason: str
    at: datetime


class Platform:
    """All of it. ``now`` moves only when told to, by a microsecond at each change so that no two are simultaneous."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.demarches: dict[int, Demarche] = {}
        self.dossiers: dict[int, Dossier] = {}
        self.deleted: dict[int, list[Deleted]] = {}
        self._next = 1

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def publish(self, number: int, title: str, fields: Sequence[Field], declarative: str | None = None) -> Demarche:
        """A new démarche, or a new revision of one: its open dossiers move to it and no update instant tells."""
        known = self.demarches.get(number)
        rank = len(known.revisions) + 1 if known else 1
        revision = Revision(base64.b64encode(f"Revision-{number}-{rank}".encode()).decode(), self._tick(), tuple(fields))
        if known is None:
            self.demarches[number] = Demarche(number, title, [revision], declarative)
            self.deleted[number] = []
            return self.demarches[number]
        known.revisions.append(revision)
        for dossier in self.dossiers.values():
            if dossier.demarche is known and dossier.state in OPEN:
                dossier.revision = revision
                dossier.stamp += 1
        return known

    def deposit(self, demarche: int, answers: Answers, number: int | None = None, applicant: str | None = None) -> Dossier:
        """File a dossier now; ``applicant`` is the SIRET of who files it, if it is a legal person."""
        form = self.demarches[demarche]
        at = self._tick()
        if number is None:
            while self._next in self.dossiers:
                self._next += 1
            number = self._next
        told = {"__typename": "PersonneMorale", "siret": applicant} if applicant else None
        dossier = Dossier(
            number, form, form.revisions[-1], dict(answers), at, at, at, champs_updated=at, applicant=told,
            treatments=[("depose", at)],
        )  # fmt: skip
        self.dossiers[number] = dossier
        if form.declarative:
            self.settle(number, form.declarative, automatically=True)
        return dossier

    def settle(self, number: int, state: str, *, automatically: bool = False) -> None:
        """Give a dossier a state: en_instruction, accepte, refuse, sans_suite."""
        dossier, at = self.dossiers[number], self._tick()
        event = TREATED.get(state, "passe_en_instruction")
        dossier.treatments.append((event + ("_automatiquement" if automatically else ""), at))
        dossier.state = state
        if state in TREATED:
            dossier.treated = at
        else:
            dossier.instructed = at
        self._moved(dossier, at)

    def reopen(self, number: int, state: str) -> None:
        """Take a decision back: to en_construction or en_instruction."""
        dossier, at = self.dossiers[number], self._tick()
        dossier.treatments.append((f"repasse_{state}", at))
        dossier.state, dossier.treated = state, None
        if state == "en_construction":
            dossier.built = at
        self._moved(dossier, at)

    def ask_correction(self, number: int, reason: str = "incorrect") -> None:
        dossier, at = self.dossiers[number], self._tick()
        dossier.corrections.append({"at": at, "reason": reason, "resolved": None})
        if dossier.state == "en_instruction":
            dossier.state = "en_construction"
        self._moved(dossier, at)

    def resolve(self, number: int) -> None:
        """The administration closes the open requests of correction, without a new deposit."""
        dossier, at = self.dossiers[number], self._tick()
        for correction in dossier.corrections:
            correction["resolved"] = correction["resolved"] or at
        self._moved(dossier, at)

    def edit(self, number: int, answers: Answers) -> None:
        """What the user types after the deposit: nobody sees it before ``redeposit``."""
        self.dossiers[number].buffer |= answers

    def redeposit(self, number: int, who: str = "usager") -> None:
        dossier, at = self.dossiers[number], self._tick()
        dossier.answers |= dossier.buffer
        dossier.buffer = {}
        dossier.champs_updated = dossier.built = at
        dossier.treatments.append((f"depose_correction_{who}", at))
        for correction in dossier.corrections:
            correction["resolved"] = correction["resolved"] or at
        self._moved(dossier, at)

    def write_message(self, number: int) -> None:
        self.dossiers[number].messages += 1
        self._moved(self.dossiers[number], self._tick())

    def hide(self, number: int, who: str = "user") -> None:
        """Hidden by its user or by the administration; the purge comes later."""
        dossier, at = self.dossiers[number], self._tick()
        if who == "user":
            dossier.hidden_by_user = at
        else:
            dossier.hidden_by_administration = at
        self._moved(dossier, at)

    def restore(self, number: int) -> None:
        dossier = self.dossiers[number]
        dossier.hidden_by_user = dossier.hidden_by_administration = None
        self._moved(dossier, self._tick())

    def expire(self, number: int) -> None:
        """Hidden because its time is over: in no list at all, and its update instant does not move."""
        self.dossiers[number].expired = True

    def purge(self, number: int, reason: str = "user_request") -> None:
        """Destroyed for good, under the date of its hiding when it was hidden."""
        dossier = self.dossiers.pop(number)
        at = dossier.hidden_by_user or dossier.hidden_by_administration or self._tick()
        self.deleted[dossier.demarche.number].append(Deleted(number, dossier.state, reason, at))

    def replace_piece(self, number: int, stable: int, **changes: Any) -> None:
        """Change the pieces of a champ of the dossier, or of the rows of its tables, as a scanner does: no instant moves."""
        dossier = self.dossiers[number]
        dossier.answers = _with_pieces(dossier.answers, stable, changes)
        dossier.stamp += 1

    def _moved(self, dossier: Dossier, at: datetime) -> None:
        dossier.updated = at
        dossier.stamp += 1

    def _tick(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


def _with_pieces(answers: Answers, stable: int, changes: Mapping[str, Any]) -> Answers:
    found: Answers = {}
    for key, value in answers.items():
        found[key] = value
        if key == stable:
            found[key] = [replace(piece, **changes) for piece in value]
        elif isinstance(value, list) and value and isinstance(value[0], tuple):
            found[key] = [(row, _with_pieces(inner, stable, changes)) for row, inner in value]
    return found
