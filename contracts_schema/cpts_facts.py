"""The facts on CPTS as the code reads them: input sections, missions, types of contract, what a claimed source says."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from contracts_schema.ecds import Section, read_sections
from contracts_schema.yaml_files import read_yaml

if TYPE_CHECKING:
    import polars as pl

GRANT = "FONCTIONNEMENT"
"""The code of the operating grant, beside those of missions."""
TIERS = ("1", "2", "3", "4")
"""By population of the territory."""
FIR_KEY = ("ars_code", "campaign", "beneficiary", "order_number", "measure_3", "pep_code")
"""Proposed: no document gives a key of commitments; ``occurrence`` numbers the lines that share it."""


@dataclass(frozen=True)
class Conflict:
    """A point on which the claimed source and the others differ; ``default``: what is done meanwhile."""

    point: str
    label_fr: str
    claimed: str
    elsewhere: str
    elsewhere_source: str | None
    default: str


@cache
def sections() -> dict[str, Section]:
    """The forms of this project (``saisie``, ``contrats``, ``missions``, ``financements``) and ``fir``, what an ARS commits."""
    return read_sections(_yaml("sections.yaml"))


@cache
def aliases() -> dict[str, str]:
    found: dict[str, str] = _yaml("sections.yaml")["aliases"]
    return found


@cache
def missions() -> dict[str, str]:
    """Every mission by code: core or optional."""
    return {entry["code"]: entry["kind"] for entry in agreement()["missions"]}


def region_of(code: "pl.Expr") -> "pl.Expr":
    """The region of a code, its own or that of its ARS (« 11 », « R11 »); null when it is none known."""
    import polars as pl

    from contracts_schema.geography import regions

    region = code.str.extract(r"^R?([0-9]{2})$")
    return pl.when(region.is_in(list(regions()))).then(region)


@cache
def contract_kinds() -> dict[str, dict[str, Any]]:
    """Every type of contract by code: its name, parties, years, and whether the law gives figures for it."""
    return {entry["code"]: entry for entry in agreement()["contracts"]}


@cache
def fundings() -> dict[str, str]:
    """What can finance an action, by code, as people read it."""
    found: dict[str, str] = agreement()["fundings"]
    return found


@cache
def themes() -> tuple[dict[str, Any], ...]:
    """What actions may be about: ``label_fr`` and the beginnings of ``words`` that name it, without accents nor capitals."""
    return tuple(agreement()["themes"])


@cache
def titles() -> dict[str, str]:
    """The title of each source by its name."""
    return {name: source["title"] for name, source in _yaml("sources.yaml")["sources"].items()}


@cache
def conflicts() -> tuple[Conflict, ...]:
    """What the claimed source says beside the others, point by point."""
    return tuple(Conflict(**entry) for entry in agreement()["conflicts"])


@cache
def agreement() -> dict[str, Any]:
    found: dict[str, Any] = _yaml("agreement.yaml")
    return found


def _yaml(name: str) -> Any:
    return read_yaml(files("contracts_schema").joinpath("cpts", name))
