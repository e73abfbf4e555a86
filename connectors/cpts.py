"""Inputs on CPTS and FIR: the commitments that an ARS exports (HAPI flow), and the manual form on contracts of CPTS.

Amounts are whole cents; an empty notified amount is « not notified », never zero; a negative one is a correction, a line of its
own. A beneficiary that is no FINESS is kept as text. Lines have no known key: what looks the same is numbered, never merged.
"""

import re
from dataclasses import dataclass

import polars as pl

from connectors.ecds import CDS20
from connectors.ecds_table import EcdsRefused, read_table
from connectors.section_rows import Finding, Rows, read_rows
from contracts_schema import cpts_facts, identifiers

FIR_KEY = ("ars_code", "campaign", "beneficiary", "order_number", "measure_3", "pep_code")
"""Proposed: no document gives a key; ``occurrence`` numbers the lines that share it."""
YEAR = re.compile(r"_(\d{4})(?:[_.]|$)")


@dataclass(frozen=True)
class Commitments(Rows):
    """``rows`` with ``beneficiary_kind`` (finess, siret, null: not resolved), ``occurrence`` (from 1, among lines of the same
    proposed key) and ``notified`` (whether an amount was). ``collisions``: lines that share their key with another one."""

    file: str
    collisions: int


def read_fir(content: bytes, file: str) -> Commitments:
    """The FIR commitments of a file. Raises ``EcdsRefused`` (cds.CDS57) with its name, the line and the reason in French."""
    found = _read(content, file, "fir", "|")
    number = pl.col("beneficiary")
    kind = pl.when(identifiers.well_formed("finess", number)).then(pl.lit("finess"))
    other = pl.when(identifiers.well_formed("siret", number)).then(pl.lit("siret"))
    key = pl.struct(FIR_KEY)
    rows = found.rows.with_columns(
        beneficiary_kind=kind.otherwise(other),
        occurrence=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(FIR_KEY),
        notified=pl.col("notified_cents").is_not_null(),
    )
    collisions = int(rows.select(key.is_duplicated()).to_series().sum())
    findings = (*found.findings, *_of_year(rows, file))
    return Commitments(rows, found.apart, found.repeated, found.received, findings, file, collisions)


def read_form(content: bytes, file: str, section: str = "saisie") -> Rows:
    """A form on contracts: ``saisie`` (one line an indicator and year of contract), ``contrats``, ``missions``,
    ``financements``. Raises ``EcdsRefused``."""
    return _read(content, file, section, ";")


def _read(content: bytes, file: str, section: str, separator: str) -> Rows:
    try:
        return read_rows(read_table(content, separator), cpts_facts.sections()[section], file, cpts_facts.aliases())
    except EcdsRefused as refusal:
        raise EcdsRefused(refusal.rule, f"{file} : {refusal}", refusal.line) from None


def _of_year(rows: pl.DataFrame, file: str) -> list[Finding]:
    """The year of the name against the campaign of the lines: the campaign wins, the difference is told."""
    named = YEAR.search(file)
    other = rows.filter(pl.col("campaign") != int(named[1])) if named else rows.clear()
    if not named or not other.height:
        return []
    line, campaign = other.select("line", "campaign").row(0)
    return [Finding(CDS20, "hapi", file, "fir", {"annee_ligne": campaign, "ligne": line, "annee": int(named[1])})]
