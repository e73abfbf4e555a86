"""The record of a dated parameter as its file writes it, checked when read: what is wrong is told with file, id and value.

Must never accept a float, an amount in euros, a value without reference where its status needs one, or two values that hold
on the same day by texts of the same date.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, product
from typing import Any

KINDS = {"cents": "centimes", "points": "points", "percent": "pour cent", "count": "nombre", "date": "jour"}
"""Kinds of values, with the unit of each in French."""

STATUSES = ("official", "attested", "derived", "secondary", "analogue", "proposal", "recalled", "missing")
"""From the strongest to the weakest."""

STATUSES_FR = dict(
    zip(
        STATUSES,
        ("officiel", "attesté", "déduit", "source secondaire", "par analogie", "proposition", "de mémoire", "non trouvé"),
        strict=True,
    )
)
FIRM = frozenset({"official", "attested"})
WITHOUT_REFERENCE = frozenset({"recalled", "missing", "proposal"})
FIELDS = frozenset(
    {"valid_from", "valid_to", "value", "status", "reference", "journal_officiel", "read_on", "reviewed_on", "note"}
)
OPTIONAL = frozenset({"name", "simulation"})

Cell = tuple[tuple[str, str], ...]
"""One value for each dimension of a parameter, in the order of its dimensions: where one value applies on a day."""


class BrokenParameter(ValueError):
    """A parameter file that says something it must not; the message names file, parameter and value."""


@dataclass(frozen=True)
class Reference:
    """A text: its title, where it is, which of its articles."""

    title: str
    href: str | None = None
    article: str | None = None


@dataclass(frozen=True)
class Entry:
    """What a text says of a parameter on ``[valid_from, valid_to)``; ``value`` is null when the text was not found.

    ``journal_officiel`` is the day the text was published, null when it is not known; ``name`` is a name of its own that
    reasons sent to structures use (``W4``).
    """

    value: int | date | None
    status: str
    valid_from: date
    valid_to: date | None
    references: tuple[Reference, ...]
    journal_officiel: date | None
    read_on: date | None
    reviewed_on: date | None
    note: str
    name: str | None
    simulation: "Simulation | None"

    def holds(self, on: date) -> bool:
        """Whether it is the value of this day; ``valid_to`` is excluded."""
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


@dataclass(frozen=True)
class Simulation:
    """A value to try out in place of a missing one: never firm."""

    value: int | date
    status: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Parameter:
    """A figure of law or policy: ``cells`` gives, for each combination of its dimensions, what the texts say over time.

    ``among``: the only values that it takes, when there are such.
    """

    id: str
    label_fr: str
    kind: str
    unit: str
    dimensions: tuple[str, ...]
    cells: Mapping[Cell, tuple[Entry, ...]]
    among: tuple[int, ...] = ()

    def choices(self, dimension: str) -> tuple[str, ...]:
        """The values that a dimension takes, in the order of the file."""
        place = self.dimensions.index(dimension)
        return tuple(dict.fromkeys(cell[place][1] for cell in self.cells))


def read_parameter(entry: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]], file: str) -> Parameter:
    """The parameter that an entry of a file writes. BrokenParameter.

    An entry has ``applies_to`` and ``values``, or ``cells``, a list of both. ``reference`` is a reference, a key of
    ``sources``, or a list of them.
    """
    where = f"{file}, {entry.get('id', 'sans id')}"
    parts = entry.get("cells", [entry])
    if missing := [name for name in ("id", "label_fr", "kind") if not entry.get(name)]:
        raise BrokenParameter(f"{where} : il manque {', '.join(missing)}")
    if entry["kind"] not in KINDS:
        raise BrokenParameter(f"{where} : kind {entry['kind']} inconnu ({', '.join(KINDS)})")
    unit = entry.get("unit") or KINDS[entry["kind"]]
    if "eur" in unit.lower():
        raise BrokenParameter(f"{where} : un montant s'écrit en centimes entiers, jamais en euros")
    cells: dict[Cell, tuple[Entry, ...]] = {}
    dimensions = tuple(parts[0]["applies_to"])
    for part in parts:
        if tuple(part["applies_to"]) != dimensions:
            raise BrokenParameter(f"{where} : applies_to n'a pas partout les mêmes dimensions, dans le même ordre")
        entries = tuple(
            _entry(value, entry["kind"], sources, f"{where}, valeur {place}") for place, value in enumerate(part["values"], 1)
        )
        for cell in _cells(part["applies_to"]):
            cells[cell] = (*cells.get(cell, ()), *entries)
    for cell, entries in cells.items():
        _refuse_overlaps(entries, f"{where} {said(cell)}".rstrip())
    among = tuple(entry.get("among", ()))
    if among and any(one.value not in among for entries in cells.values() for one in entries if one.value is not None):
        raise BrokenParameter(f"{where} : une valeur n'est pas de celles que dit among")
    return Parameter(entry["id"], entry["label_fr"], entry["kind"], unit, dimensions, cells, among)


def said(cell: Cell) -> str:
    """A combination of dimensions as text: ``version=RHINO, act=INCLUSION``."""
    return ", ".join(f"{name}={value}" for name, value in cell)


def is_of_kind(value: object, kind: str) -> bool:
    """Whether a value is one of this kind: a day for a date, a whole number for all else."""
    return type(value) is (date if kind == "date" else int)


def _cells(applies_to: Mapping[str, str | Sequence[str]]) -> Iterator[Cell]:
    lists = [[values] if isinstance(values, str) else list(values) for values in applies_to.values()]
    return (tuple(zip(applies_to, chosen, strict=True)) for chosen in product(*lists))


def _entry(written: Mapping[str, Any], kind: str, sources: Mapping[str, Mapping[str, Any]], where: str) -> Entry:
    if missing := FIELDS - {"note"} - written.keys():
        raise BrokenParameter(f"{where} : il manque {', '.join(sorted(missing))} (null si inconnu)")
    if unknown := written.keys() - FIELDS - OPTIONAL:
        raise BrokenParameter(f"{where} : champ inconnu {', '.join(sorted(unknown))}")
    start, end = _day(written, "valid_from", where), _day(written, "valid_to", where)
    if start is None or (end is not None and end <= start):
        raise BrokenParameter(f"{where} : valid_from est nécessaire et précède valid_to")
    status, references = written["status"], _references(written["reference"], sources, where)
    value = _value(written["value"], kind, where)
    _check_status(status, references, where)
    if (value is None) != (status == "missing"):
        raise BrokenParameter(f"{where} : null va avec le statut missing, et lui seul")
    return Entry(
        value=value,
        status=status,
        valid_from=start,
        valid_to=end,
        references=references,
        journal_officiel=_day(written, "journal_officiel", where),
        read_on=_day(written, "read_on", where),
        reviewed_on=_day(written, "reviewed_on", where),
        note=written.get("note") or "",
        name=written.get("name"),
        simulation=_simulation(written.get("simulation"), kind, sources, where),
    )


def _simulation(
    written: Mapping[str, Any] | None, kind: str, sources: Mapping[str, Mapping[str, Any]], where: str
) -> Simulation | None:
    if written is None:
        return None
    references, value = _references(written.get("reference"), sources, where), _value(written.get("value"), kind, where)
    _check_status(written["status"], references, where)
    if value is None or written["status"] in FIRM:
        raise BrokenParameter(f"{where} : une simulation a une valeur, et n'est ni official ni attested")
    return Simulation(value, written["status"], references)


def _check_status(status: str, references: tuple[Reference, ...], where: str) -> None:
    if status not in STATUSES or status == "attested":
        raise BrokenParameter(f"{where} : statut {status} inconnu ; « attested » vient d'une décision, jamais d'un fichier")
    if not references and status not in WITHOUT_REFERENCE:
        raise BrokenParameter(f"{where} : une valeur {status} dit sa référence")


def _value(value: Any, kind: str, where: str) -> int | date | None:
    if kind == "date" and isinstance(value, str):
        value = _day({"value": value}, "value", where)
    if value is not None and not is_of_kind(value, kind):
        wanted = "un jour" if kind == "date" else "un nombre entier (des centimes pour un montant)"
        raise BrokenParameter(f"{where} : attendu {wanted}")
    known: int | date | None = value
    return known


def _references(written: Any, sources: Mapping[str, Mapping[str, Any]], where: str) -> tuple[Reference, ...]:
    found = []
    for one in written if isinstance(written, list) else [written] if written else []:
        known = sources.get(one) if isinstance(one, str) else one
        if not known or not known.get("title"):
            raise BrokenParameter(f"{where} : référence sans titre, ou inconnue : {one}")
        found.append(Reference(known["title"], known.get("href") or known.get("url"), known.get("article")))
    return tuple(found)


def _refuse_overlaps(entries: tuple[Entry, ...], where: str) -> None:
    """Two texts may speak of one day when the later one is known to be later: it then takes the place of the other."""
    for one, other in combinations(entries, 2):
        together = one.holds(max(one.valid_from, other.valid_from)) and other.holds(max(one.valid_from, other.valid_from))
        days = one.journal_officiel, other.journal_officiel
        if together and (None in days or days[0] == days[1]):
            raise BrokenParameter(f"{where} : deux valeurs le {max(one.valid_from, other.valid_from)}")


def _day(written: Mapping[str, Any], field: str, where: str) -> date | None:
    value = written[field]
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise BrokenParameter(f"{where} : {field} n'est pas un jour (AAAA-MM-JJ)") from None
