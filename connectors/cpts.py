"""Inputs on CPTS and FIR: the commitments that an ARS exports (HAPI flow), and the manual form on contracts of CPTS.

Amounts are whole cents; an empty notified amount is « not notified », never zero; a negative one is a correction, a line of its
own. A beneficiary that is no FINESS is kept as text. Lines have no known key: what looks the same is numbered, never merged.
A line that no ARS could be told of, or whose code is none of the project's, is kept aside with its line and column.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from connectors.ecds import CDS20
from connectors.ecds_table import EcdsRefused, read_table
from connectors.section_rows import CDS58, CDS60, Finding, Rows, lines_of, read_rows, set_aside
from contracts_schema import cpts_facts, identifiers
from contracts_schema.cpts_facts import FIR_KEY

TIERS_FR = f"attendu : {', '.join(cpts_facts.TIERS)}, ou rien"
YEAR = re.compile(r"_(\d{4})(?:[_.]|$)")
CAMPAIGNS = (2012, 2100)
"""Years of a campaign of the FIR, which exists since 2012."""


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
    is_siren = (number == pl.col("siren")).fill_null(value=False)  # nine digits as well
    kind = pl.when(identifiers.well_formed("finess", number) & ~is_siren).then(pl.lit("finess"))
    other = pl.when(identifiers.well_formed("siret", number)).then(pl.lit("siret"))
    key = pl.struct(FIR_KEY)
    rows = found.rows.with_columns(
        beneficiary_kind=kind.otherwise(other),
        occurrence=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(FIR_KEY),
        notified=pl.col("notified_cents").is_not_null(),
    )
    collisions = int(rows.select(key.is_duplicated()).to_series().sum())
    findings = (*found.findings, *_of_year(rows, file), *_of_collisions(rows, file, collisions))
    return Commitments(rows, found.apart, found.repeated, found.received, findings, file, collisions)


def read_form(content: bytes, file: str, section: str = "saisie") -> Rows:
    """A form on contracts: ``saisie`` (one line an indicator and year of contract), ``contrats``, ``missions``,
    ``financements``. Raises ``EcdsRefused``."""
    return _read(content, file, section, ";")


def _read(content: bytes, file: str, section: str, separator: str) -> Rows:
    try:
        found = read_rows(read_table(content, separator), cpts_facts.sections()[section], file, cpts_facts.aliases())
    except EcdsRefused as refusal:
        raise EcdsRefused(refusal.rule, f"{file} : {refusal}", refusal.line) from None
    known = _placed(found.rows)
    right, apart, told = set_aside(known, _unusable(section), section, file)
    said = _gathered(found.findings, file) if section == "fir" else found.findings
    return replace(found, rows=right, apart=pl.concat([found.apart, apart]), findings=(*said, *told))


def _placed(rows: pl.DataFrame) -> pl.DataFrame:
    """With the region that a line is of, by its code or that of its ARS; null when it is none known."""
    code = next((name for name in ("ars_code", "region") if name in rows.columns), None)
    if code is None:
        return rows
    return rows.with_columns(region=cpts_facts.region_of(pl.col(code)))


def _unusable(section: str) -> dict[str, tuple[pl.Expr, str]]:
    """By heading, the lines that cannot be used, and why."""
    region = (pl.col("region").is_null(), "code d'aucune région connue")
    achieved = pl.col("achieved_percent").is_between(0, 100)
    campaign = pl.col("campaign").is_between(*CAMPAIGNS).fill_null(value=False)
    return {
        "fir": {"code_ars": region, "campagne": (~campaign, "campagne absente ou d'aucune année du FIR")},
        "contrats": {
            "region": region,
            "type_contrat": _among("kind", cpts_facts.contract_kinds()),
            "palier": (~(pl.col("tier").is_null() | pl.col("tier").is_in(cpts_facts.TIERS)), TIERS_FR),
        },
        "missions": {
            "mission": _among("mission", cpts_facts.missions()),
            "taux_atteinte": (~achieved.fill_null(value=True), "taux entre 0 et 100 attendu"),
        },
        "saisie": {"mission": _among("mission", [*cpts_facts.missions(), cpts_facts.GRANT])},
        "financements": {"region": region, "financement": _among("funding", cpts_facts.fundings())},
    }[section]


def _among(column: str, known: Iterable[str]) -> tuple[pl.Expr, str]:
    codes = sorted(known)
    return ~pl.col(column).is_in(codes).fill_null(value=False), f"attendu : {', '.join(codes)}"


def _gathered(found: Iterable[Finding], file: str) -> list[Finding]:
    """Headings in capitals are those of the flow, no other names; columns without a known name are told at once."""
    unknown = [str(one.fields["colonne"]) for one in found if (one.rule, one.case) == (CDS58, "unknown")]
    told = [one for one in found if (one.rule, one.case) != (CDS58, "unknown") and not _of_capitals(one)]
    return told + ([Finding(CDS58, "unknown", file, "fir", {"colonne": ", ".join(unknown)})] if unknown else [])


def _of_capitals(one: Finding) -> bool:
    return one.rule == CDS58 and one.case == "default" and str(one.fields["colonne"]).lower() == one.fields["lue"]


def _of_collisions(rows: pl.DataFrame, file: str, collisions: int) -> list[Finding]:
    lines = rows.filter(pl.struct(FIR_KEY).is_duplicated())["line"]
    return [Finding(CDS60, "numbered", file, "fir", {"nombre": collisions, "lignes": lines_of(lines)})] if collisions else []


def _of_year(rows: pl.DataFrame, file: str) -> list[Finding]:
    """The year of the name against the campaign of the lines: the campaign wins, the difference is told."""
    named = YEAR.search(file)
    other = rows.filter(pl.col("campaign") != int(named[1])) if named else rows.clear()
    if not named or not other.height:
        return []
    line, campaign = other.select("line", "campaign").row(0)
    return [Finding(CDS20, "hapi", file, "fir", {"annee_ligne": campaign, "ligne": line, "annee": int(named[1])})]
