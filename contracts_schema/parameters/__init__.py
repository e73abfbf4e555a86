"""Dated parameters: the value of a figure of law or policy on a reference date, or the plain answer that there is none.

What an organisation attests takes the place of what the files say, on its days, for whoever passes it. Must never answer the
nearest value, nor a value that no text gives unless a simulation is asked for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from contracts_schema.parameters.record import (
    FIRM,
    STATUSES,
    BrokenParameter,
    Cell,
    Entry,
    Parameter,
    Reference,
    read_parameter,
    said,
)
from contracts_schema.yaml_files import read_yaml

Moved = Mapping[tuple[str, str], date]
"""Bounds that a policy moves: (name of an entry, ``from`` or ``to``) to the day."""


class NoValue(LookupError):
    """No value is known for that date: never the nearest one instead."""


class UnknownParameter(LookupError):
    """There is no such parameter, or it has no such dimensions."""


@dataclass(frozen=True)
class Attestation:
    """An organisation confirms the value of a parameter for one cell on ``[valid_from, valid_to)``, with its reference.

    ``position`` is that of the decision in the log, 0 when it is not there.
    """

    parameter: str
    cell: Cell
    value: int | date
    valid_from: date
    valid_to: date | None
    reference: str
    journal_officiel: date | None = None
    position: int = 0


@dataclass(frozen=True)
class Value:
    """What is known of a parameter for one cell on ``[valid_from, valid_to)``, with its status and texts.

    ``value``: an integer (cents, points, percent, count), a day for a parameter of kind date, null where it is said to be
    missing. ``name``: that of the entry; an attestation of the same value keeps it. ``position``: of the decision that
    attests it. ``simulated``: it stands in for a missing one.
    """

    parameter: str
    cell: Cell
    value: Any
    status: str
    valid_from: date
    valid_to: date | None
    references: tuple[Reference, ...]
    journal_officiel: date | None
    reviewed_on: date | None = None
    name: str | None = None
    position: int | None = None
    simulated: bool = False

    @property
    def reference(self) -> str:
        """The titles of the texts, in one line."""
        return " ; ".join(reference.title for reference in self.references)


def value(
    parameter_id: str,
    on: date,
    *,
    known_on: date | None = None,
    simulation: bool = False,
    attested: Iterable[Attestation] = (),
    **dimensions: str,
) -> Value:
    """The value of a parameter on a reference date.

    ``known_on``: only texts published by then (``journal_officiel`` ≤ known_on; one whose publication day is not known does
    not count). ``simulation``: a missing value may be replaced by the one to try out. ``attested``: what the organisation
    concerned attests. ``dimensions``: one value each, for example ``version="RHINO", act="INCLUSION"``.
    NoValue when none applies or it is missing; UnknownParameter.
    """
    found = parameter(parameter_id)
    cell = cell_of(found, dimensions)
    own = [one for one in attested if (one.parameter, one.cell) == (parameter_id, cell)]
    told = f"{parameter_id} {said(cell)}".rstrip()
    holding = _on(found.cells[cell], own, on, known_on)
    if holding is None:
        raise NoValue(f"{told} has no value on {on}" + (f" as published by {known_on}" if known_on else ""))
    answer = _answer(parameter_id, cell, holding)
    if answer.value is None and simulation and isinstance(holding, Entry) and holding.simulation:
        tried = holding.simulation
        return replace(answer, value=tried.value, status=tried.status, references=tried.references, simulated=True)
    if answer.value is None:
        raise NoValue(f"{told} is missing on {on}: no text that gives it was found")
    return answer


def timeline(
    parameter_id: str,
    attested: Iterable[Attestation] = (),
    known_on: date | None = None,
    moved: Moved | None = None,
) -> Iterator[Value]:
    """What a parameter says over time, cell by cell, in the order of the files, each value on the days on which it is the one.

    Days on which nothing is said are left out. ``moved``: bounds of named entries that a policy moves. UnknownParameter.
    """
    found = parameter(parameter_id)
    own: dict[Cell, list[Attestation]] = {}
    for one in attested:
        if one.parameter == parameter_id:
            own.setdefault(one.cell, []).append(one)
    for cell, texts in found.cells.items():
        entries = [_moved(entry, moved or {}) for entry in texts]
        mine = own.get(cell, [])
        parts: list[Entry | Attestation] = [*entries, *mine]
        bounds = sorted({day for part in parts for day in (part.valid_from, part.valid_to) if day})
        for start, end in zip(bounds, [*bounds[1:], None], strict=True):
            holding = _on(entries, mine, start, known_on)
            if holding is not None:
                answer = replace(_answer(parameter_id, cell, holding), valid_from=start, valid_to=end)
                written = _on(entries, (), start, known_on)
                if isinstance(holding, Attestation) and isinstance(written, Entry) and written.value == holding.value:
                    answer = replace(answer, name=written.name)
                yield answer


def parameter(parameter_id: str) -> Parameter:
    """The parameter of this id. UnknownParameter."""
    try:
        return parameters()[parameter_id]
    except KeyError:
        raise UnknownParameter(f"paramètre inconnu : {parameter_id} (voir « ecluse law »)") from None


@cache
def parameters() -> dict[str, Parameter]:
    """Every parameter by id, read and checked. BrokenParameter."""
    found: dict[str, Parameter] = {}
    folder = files("contracts_schema").joinpath("parameters")
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".yaml"):
            for one in read_parameters(path.name, read_yaml(path)):
                if one.id in found:
                    raise BrokenParameter(f"{path.name}, {one.id} : déjà écrit ailleurs")
                found[one.id] = one
    return found


def read_parameters(file: str, written: Any) -> list[Parameter]:
    """The parameters of a file: a list, or ``parameters`` beside ``sources`` (a table, or the path of a file that has one)."""
    if isinstance(written, list):
        written = {"parameters": written}
    sources = written.get("sources", {})
    if isinstance(sources, str):
        sources = read_yaml(files("contracts_schema").joinpath(*sources.split("/")))["sources"]
    return [read_parameter(entry, sources, file) for entry in written["parameters"]]


def cell_of(found: Parameter, dimensions: Mapping[str, str]) -> Cell:
    """The cell that these dimensions name, one value each. UnknownParameter, in French, says which there are."""
    if set(dimensions) != set(found.dimensions):
        wanted = ", ".join(found.dimensions) or "aucune"
        raise UnknownParameter(f"{found.id} : dimensions attendues : {wanted}")
    cell = tuple((name, dimensions[name]) for name in found.dimensions)
    if cell not in found.cells:
        known = " ; ".join(said(one) for one in found.cells)
        raise UnknownParameter(f"{found.id} ne connaît pas {said(cell)} ; il connaît : {known}")
    return cell


def weakest(statuses: Iterable[str]) -> str:
    """The status of what is made from values of these statuses; ValueError when there is none or one is unknown."""
    return max(statuses, key=STATUSES.index)


def is_firm(status: str) -> bool:
    """Whether a value of this status may enter a total to pay."""
    return status in FIRM


def to_review(today: date) -> list[str]:
    """The values whose last review is more than twelve months before ``today``, each in a sentence (a warning)."""
    leap = (today.month, today.day) == (2, 29)
    limit = today.replace(year=today.year - 1, day=28 if leap else today.day)
    found = {
        f"{one.id} : valeur du {entry.valid_from}, relue le {entry.reviewed_on}, à revoir"
        for one in parameters().values()
        for written in one.cells.values()
        for entry in written
        if entry.reviewed_on and entry.reviewed_on < limit
    }
    return sorted(found)


def _on(
    entries: Sequence[Entry], attested: Sequence[Attestation], on: date, known_on: date | None
) -> Attestation | Entry | None:
    """What holds on a day: what is attested, else the text published last."""
    for one in attested:
        if one.valid_from <= on and (one.valid_to is None or on < one.valid_to) and _known(one.journal_officiel, known_on):
            return one
    holding = [entry for entry in entries if entry.holds(on) and _known(entry.journal_officiel, known_on)]
    return max(holding, key=lambda entry: entry.journal_officiel or date.min, default=None)


def _known(published: date | None, known_on: date | None) -> bool:
    return known_on is None or (published is not None and published <= known_on)


def _moved(entry: Entry, moved: Moved) -> Entry:
    name = entry.name or ""
    start, end = moved.get((name, "from"), entry.valid_from), moved.get((name, "to"), entry.valid_to)
    return replace(entry, valid_from=start, valid_to=end)


def _answer(parameter_id: str, cell: Cell, found: Attestation | Entry) -> Value:
    dates = found.valid_from, found.valid_to
    if isinstance(found, Attestation):
        told, name = (Reference(found.reference),), f"attestation-{found.position}"
        return Value(
            parameter_id, cell, found.value, "attested", *dates, told, found.journal_officiel, None, name, found.position
        )
    texts, published = found.references, found.journal_officiel
    return Value(parameter_id, cell, found.value, found.status, *dates, texts, published, found.reviewed_on, found.name)
