"""The figures of the law that a remuneration uses, as a table: value, status and reference of each, looked up once a year.

A value that no text gives may be replaced by one to try out (simulation): its status then says so, and nothing made from it is
firm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from contracts_schema import parameters
from contracts_schema.french import euros
from contracts_schema.parameters import Attestation, NoValue, Value
from contracts_schema.parameters.record import FIRM, STATUSES, STATUSES_FR

FIGURES = pl.Schema({"value": pl.Int64, "rank": pl.Int64, "told": pl.String})

PART_FR = {
    "fixed": "part fixe",
    "variable": "part variable, selon la patientèle",
    "variable_above": "part variable, au-delà de la borne de patientèle",
    "per_professional": "par professionnel",
    "per_professional_above": "par professionnel au-delà de la borne",
    "per_unit": "par unité",
    "fifth_stage": "cinquième stage",
}
"""The parts of an indicator of the forfait, as people read them."""


@dataclass(frozen=True)
class Figure:
    """A figure on the reference date: ``value`` null and status missing when no text gives it; ``told``: id, value, text."""

    value: int | None
    status: str
    told: str

    @property
    def rank(self) -> int:
        """The place of its status, from the strongest."""
        return STATUSES.index(self.status)


@dataclass(frozen=True)
class Figures:
    """Where figures are looked up: on ``on``, as ``attested`` by an organisation, tried out where ``simulation``."""

    on: date
    attested: tuple[Attestation, ...] = ()
    simulation: bool = True

    def one(self, parameter: str, **dimensions: str) -> Figure:
        """A figure; one without value when no text gives it on that day."""
        where = f" ({', '.join(PART_FR.get(one, one) for one in dimensions.values())})" if dimensions else ""
        try:
            found = value_of(parameter, self.on, self.attested, dimensions, simulation=self.simulation)
        except NoValue:
            return Figure(None, "missing", f"{parameter}{where} : non trouvé")
        text = f"{parameter}{where} = {_shown(found)} [{STATUSES_FR[found.status]}] {found.reference}".rstrip()
        return Figure(found.value, found.status, text)

    def table(self, parameter: str) -> pl.DataFrame:
        """Every cell of a parameter: its dimensions as columns, then value, rank of the status, told."""
        rows = []
        names = parameters.parameter(parameter).dimensions
        for cell in parameters.parameter(parameter).cells:
            found = self.one(parameter, **dict(cell))
            rows.append((*(given for _, given in cell), found.value, found.rank, found.told))
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | dict(FIGURES), orient="row")


def _shown(found: Value) -> str:
    """A value as people read it: money in euros."""
    if parameters.parameter(found.parameter).kind != "cents":
        return str(found.value)
    return euros(found.value)


def value_of(
    parameter: str, on: date, attested: Iterable[Attestation], dimensions: Mapping[str, str], *, simulation: bool = False
) -> Value:
    """As ``parameters.value``, with the dimensions as a table. Raises NoValue."""
    told: dict[str, Any] = dict(dimensions)
    return parameters.value(parameter, on, simulation=simulation, attested=attested, **told)


def status_of(rank: pl.Expr) -> pl.Expr:
    """The status of a rank."""
    return rank.replace_strict(dict(enumerate(STATUSES)), return_dtype=pl.String)


def is_firm(rank: pl.Expr) -> pl.Expr:
    """Whether a rank is that of a value that may enter a total to pay: official or attested."""
    return rank <= max(STATUSES.index(name) for name in FIRM)


def weakest(figures: Iterable[Figure]) -> int:
    """The rank of what is made from these figures."""
    return max((one.rank for one in figures), default=0)
