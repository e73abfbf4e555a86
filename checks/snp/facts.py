"""The facts that a reconciliation reads: one frame a kind, canonical columns, None for what was never delivered.

Must never be filled with guesses: a column that may be null is null when nobody said, and the rules answer NOT_EVALUABLE.
Days are Europe/Paris, instants UTC, money integer cents, identifiers text.
"""

from dataclasses import dataclass, fields

import polars as pl

TEXT, DAY, CENTS, FLAG = pl.String(), pl.Date(), pl.Int64(), pl.Boolean()
INSTANT = pl.Datetime("us", "UTC")

COLUMNS: dict[str, dict[str, pl.DataType]] = {
    "bordereau": {
        "bordereau_id": TEXT,
        "scope": TEXT,
        "received_on": DAY,
        "siret": TEXT,
        "finess": TEXT,
        "structure_name": TEXT,
        "structure_kind": TEXT,
        "caisse": TEXT,
        "period_from": DAY,
        "period_to": DAY,
        "declared_total_cents": CENTS,
        "sum_of_totals_rows_cents": CENTS,
        "replaces": TEXT,
        "superseded_by": TEXT,
        "certified": FLAG,
        "sender": TEXT,
        "sender_rpps": TEXT,
        "iban_state": TEXT,
        "grain": TEXT,
        "profile": TEXT,
        "profile_version": pl.Int64(),
        "profile_is_older": FLAG,
        "hidden_sheets": pl.List(pl.String()),
        "file": TEXT,
        "sha256": TEXT,
    },
    "line": {
        "bordereau_id": TEXT,
        "line_number": pl.Int64(),
        "line_id": TEXT,
        "sheet": TEXT,
        "row": pl.Int64(),
        "label": TEXT,
        "family": TEXT,
        "family_candidates": pl.List(pl.String()),
        "act": TEXT,
        "day": DAY,
        "month": DAY,
        "date_raw": TEXT,
        "date_problem": TEXT,
        "date_sign": TEXT,
        "delegate_raw": TEXT,
        "rpps": TEXT,
        "rpps_repaired": FLAG,
        "profession": TEXT,
        "count": pl.Int64(),
        "count_raw": TEXT,
        "unit_cents": CENTS,
        "unit_raw": TEXT,
        "amount_cents": CENTS,
        "amount_raw": TEXT,
        "ref": TEXT,
        "emergency": FLAG,
        "notes": pl.List(pl.String()),
        "cells": TEXT,
    },
    "act": {"bordereau_id": TEXT, "line_number": pl.Int64(), "day": DAY, "count": pl.Int64()},
    "patient": {
        "bordereau_id": TEXT,
        "line_number": pl.Int64(),
        "patient_key": TEXT,
        "age_years": pl.Int32(),
        "age_months": pl.Int32(),
        "sex": TEXT,
    },
    "dossier": {
        "number": TEXT,
        "demarche": TEXT,
        "form": TEXT,
        "siret": TEXT,
        "finess": TEXT,
        "structure_name": TEXT,
        "structure_kind": TEXT,
        "deposited_at": INSTANT,
        "deposited_on": DAY,
        "named_families": pl.List(pl.String()),
        "document_unique": FLAG,
        "state": TEXT,
    },
    "dossier_protocol": {"number": TEXT, "family": TEXT, "effective_on": DAY, "until_on": DAY},
    "dossier_event": {"number": TEXT, "kind": TEXT, "at": INSTANT, "on": DAY, "reason": TEXT, "subject": TEXT},
    "member": {
        "number": TEXT,
        "rpps": TEXT,
        "profession": TEXT,
        "role": TEXT,
        "piece_missing": FLAG,
        "piece_pending": FLAG,
    },
    "synchronisation": {"demarche": TEXT, "completed_on": DAY},
    "structure": {
        "siret": TEXT,
        "siren": TEXT,
        "finess": TEXT,
        "name": TEXT,
        "kind": TEXT,
        "opened_on": DAY,
        "closed_on": DAY,
    },
    "adhesion": {"siret": TEXT, "basis": TEXT, "valid_from": DAY, "valid_to": DAY},
    "attachment": {"siret": TEXT, "caisse": TEXT, "valid_from": DAY, "valid_to": DAY},
    "professional": {"rpps": TEXT, "profession": TEXT, "active_from": DAY, "active_to": DAY, "status_known": FLAG},
    "payment": {
        "line_id": TEXT,
        "bordereau_id": TEXT,
        "ref": TEXT,
        "siret": TEXT,
        "paid_cents": CENTS,
        "paid_on": DAY,
    },
    "alias": {"kind": TEXT, "from_key": TEXT, "to_key": TEXT},
    "common_law": {"patient_key": TEXT, "rpps": TEXT, "day": DAY, "kind": TEXT},
    "indicator": {"siret": TEXT, "year": pl.Int64(), "patients": pl.Int64()},
}
SCHEMAS = {name: pl.Schema(columns) for name, columns in COLUMNS.items()}
"""Columns and types of each frame.

- ``bordereau.caisse``: the caisse that received it. ``bordereau.certified``: null when the template has no such area.
- ``line.rpps``: the number as normalised, kept even when it is no valid RPPS, null only when the cell is empty;
  ``line.month``: first day of the month of a monthly line; ``line.count``: null when unreadable, 1 when there is no column.
- ``act``: only for the lines that hold several dated acts; their ``line.day`` is not read.
- ``dossier_protocol.until_on``, ``valid_to``, ``active_to``, ``closed_on``: first day on which it holds no more.
- ``dossier.form``: snp, acces_direct, local or other. ``member.role``: delegate or delegating.
"""

KEYS = {
    "bordereau": ("bordereau_id",),
    "line": ("bordereau_id", "line_number"),
    "patient": ("bordereau_id", "line_number"),
    "dossier": ("number",),
    "professional": ("rpps",),
}


class FactsRefused(ValueError):
    """A frame does not have its columns, types or keys: a defect of what builds the facts, never of a file."""


@dataclass(frozen=True)
class Facts:
    """One frame a kind of fact, as ``SCHEMAS`` says; None when no delivery of that kind exists. ``bordereau`` and ``line``
    are all those known at the position, live or superseded; ``patient`` and ``common_law`` are restricted."""

    bordereau: pl.DataFrame
    line: pl.DataFrame
    act: pl.DataFrame | None = None
    patient: pl.DataFrame | None = None
    dossier: pl.DataFrame | None = None
    dossier_protocol: pl.DataFrame | None = None
    dossier_event: pl.DataFrame | None = None
    member: pl.DataFrame | None = None
    synchronisation: pl.DataFrame | None = None
    structure: pl.DataFrame | None = None
    adhesion: pl.DataFrame | None = None
    attachment: pl.DataFrame | None = None
    professional: pl.DataFrame | None = None
    payment: pl.DataFrame | None = None
    alias: pl.DataFrame | None = None
    common_law: pl.DataFrame | None = None
    indicator: pl.DataFrame | None = None

    def has(self, *names: str) -> bool:
        """Whether each of these kinds was delivered."""
        return all(getattr(self, name) is not None for name in names)

    def frame(self, name: str) -> pl.DataFrame:
        """The frame of a kind, empty when it was never delivered."""
        found: pl.DataFrame | None = getattr(self, name)
        return pl.DataFrame(schema=SCHEMAS[name]) if found is None else found


def frame(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    """A frame of that kind from rows that give the columns they know; the others are null."""
    return pl.DataFrame([{column: row.get(column) for column in SCHEMAS[name]} for row in rows], schema=SCHEMAS[name])


def check_facts(facts: Facts) -> None:
    """Raise FactsRefused when a frame has other columns or types than its schema, a key twice, or a line without bordereau."""
    for kind in fields(facts):
        found = getattr(facts, kind.name)
        if found is None:
            continue
        if dict(found.schema) != dict(SCHEMAS[kind.name]):
            wrong = sorted(set(found.schema.items()) ^ set(SCHEMAS[kind.name].items()), key=str)
            raise FactsRefused(f"frame {kind.name}: columns or types differ from the schema: {[name for name, _ in wrong]}")
        keys = list(KEYS.get(kind.name, ()))
        if keys and found.select(pl.struct(keys).is_duplicated().any()).item():
            raise FactsRefused(f"frame {kind.name}: {', '.join(keys)} must be unique")
    if facts.line.join(facts.bordereau, on="bordereau_id", how="anti").height:
        raise FactsRefused("frame line: some lines belong to no bordereau of the frame bordereau")
