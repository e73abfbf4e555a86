"""The facts that the rules of the CPOM read: one frame a kind, as ``contracts_schema.cpom_frames`` lays them out.

Must never be filled with guesses: a kind that was never delivered is None, and the rules that need it answer NOT_EVALUABLE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import polars as pl

from contracts_schema.cpom_frames import schema


class FactsRefused(ValueError):
    """A frame does not have its columns or types: a defect of what builds the facts, never of a file."""


@dataclass(frozen=True)
class Facts:
    """What exports and tables say. ``sheet``, ``row`` and ``value`` are all those of the deliveries that stand.

    ``earlier_proof``: (finess_ej, synthesis_on) of superseded exports whose choice was complete: one in time is enough (R36).
    """

    sheet: pl.DataFrame
    row: pl.DataFrame
    value: pl.DataFrame
    financial_line: pl.DataFrame | None = None
    recognition: pl.DataFrame | None = None
    legal_entity: pl.DataFrame | None = None
    establishment: pl.DataFrame | None = None
    hospital_group: pl.DataFrame | None = None
    hpr_label: pl.DataFrame | None = None
    authorisation: pl.DataFrame | None = None
    activity: pl.DataFrame | None = None
    entry: pl.DataFrame | None = None
    validated_choice: pl.DataFrame | None = None
    amendment: pl.DataFrame | None = None
    smr_base: pl.DataFrame | None = None
    emergency_region: pl.DataFrame | None = None
    subsidy: pl.DataFrame | None = None
    payment: pl.DataFrame | None = None
    refund_request: pl.DataFrame | None = None
    recognition_report: pl.DataFrame | None = None
    profile: pl.DataFrame | None = None
    annex: pl.DataFrame | None = None
    signatory: pl.DataFrame | None = None
    insurance_income: pl.DataFrame | None = None
    notice_event: pl.DataFrame | None = None
    contract_event: pl.DataFrame | None = None
    contract_post: pl.DataFrame | None = None
    long_term_account: pl.DataFrame | None = None
    expected_contract: pl.DataFrame | None = None
    earlier_proof: pl.DataFrame | None = None

    def has(self, *names: str) -> bool:
        """Whether each of these kinds was delivered."""
        return all(getattr(self, name) is not None for name in names)

    def frame(self, name: str) -> pl.DataFrame:
        """The frame of a kind, empty when it was never delivered."""
        found: pl.DataFrame | None = getattr(self, name)
        return pl.DataFrame(schema=_schema(name)) if found is None else found


def facts_of(frames: Mapping[str, pl.DataFrame]) -> Facts:
    """Facts of frames by name; kinds left out were never delivered. FactsRefused."""
    empty = {name: pl.DataFrame(schema=schema(name)) for name in ("sheet", "row", "value")}
    facts = Facts(**(empty | dict(frames)))
    for kind in fields(facts):
        found = getattr(facts, kind.name)
        if found is not None and dict(found.schema) != dict(_schema(kind.name)):
            wrong = sorted(set(found.schema.items()) ^ set(_schema(kind.name).items()), key=str)
            raise FactsRefused(f"frame {kind.name}: columns or types differ: {[name for name, _ in wrong]}")
    return facts


def held(frame: pl.DataFrame, on: pl.DataFrame, key: str = "finess_ej") -> pl.DataFrame:
    """The rows of a dated table that hold for each ``key`` of ``on`` on its day ``as_of``: half-open, open when without end."""
    joined = on.select(key, "as_of").unique().join(frame, on=key, how="inner")
    inside = (pl.col("valid_from") <= pl.col("as_of")) & (pl.col("as_of") < pl.col("valid_to")).fill_null(value=True)
    return joined.filter(inside)


def _schema(name: str) -> pl.Schema:
    if name == "earlier_proof":
        return pl.Schema({"finess_ej": pl.String(), "synthesis_on": pl.Date()})
    return schema(name)
