"""An e-CDS extraction as it arrives, five sections in a file each, to canonical frames; rfs and rosp keep their entry journal.

Every line received is a row, a line kept aside with its rule, or an identical repetition: none is lost. A file of which no line
can be trusted is refused with its reason in French. Codes of indicators are not judged here, nor is any value changed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from connectors.ecds_table import CDS57, EcdsRefused, read_table
from connectors.section_rows import Finding, Rows, read_rows
from contracts_schema import ecds

CDS20 = "cds.CDS20"
NAME = re.compile(r"(?i)^ECDS_([a-z]+)_(\d{4})_(\d{4})_(\d{2})_(\d{2})\.(?:csv|xlsx)$")


@dataclass(frozen=True)
class Section(Rows):
    """One section as read: its rows (see ``section_rows.Rows``), what its file is called, its year and day of extraction."""

    name: str
    file: str
    year: int
    extracted_on: date


@dataclass(frozen=True)
class Extraction:
    """A set of sections of one year and one day of extraction; a section that did not come is ``NON_RECU``, in ``missing``."""

    year: int
    extracted_on: date
    sections: Mapping[str, Section]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in ecds.SECTIONS if name not in self.sections)

    def frames(self) -> dict[str, pl.DataFrame | None]:
        """The rows of each section, None for one that did not come."""
        return {name: self.sections[name].rows if name in self.sections else None for name in ecds.SECTIONS}


def file_name(name: str) -> tuple[str, int, date]:
    """Section, reference year and day of extraction that the name of a file says. Raises ``EcdsRefused``."""
    found = NAME.match(name)
    if not found or found[1].lower() not in ecds.SECTIONS:
        known = ", ".join(ecds.SECTIONS)
        raise EcdsRefused(CDS57, f"{name} : nom attendu ECDS_<section>_<année>_<AAAA>_<MM>_<JJ>.csv, section parmi {known}")
    try:
        return found[1].lower(), int(found[2]), date(int(found[3]), int(found[4]), int(found[5]))
    except ValueError:
        raise EcdsRefused(CDS57, f"{name} : la date d'extraction du nom n'existe pas") from None


def read_extraction(files: Mapping[str, bytes]) -> Extraction:
    """The sections of a set of files by name, of one year and one extraction. Raises ``EcdsRefused`` (CDS20, CDS57)."""
    if not files:
        raise EcdsRefused(CDS57, "aucun fichier")
    told = {name: file_name(name) for name in files}
    years, days = {year for _, year, _ in told.values()}, {day for _, _, day in told.values()}
    if len(years) > 1:
        first = next(iter(told))
        other = next(name for name in told if told[name][1] != told[first][1])
        fields = {"annee_ligne": told[other][1], "lieu": "nom du fichier", "annee": told[first][1]}
        raise EcdsRefused(CDS20, Finding(CDS20, "default", other, told[other][0], fields).reason_fr)
    if len(days) > 1:
        raise EcdsRefused(CDS57, "le jeu mêle des extractions de jours différents : un jeu par extraction")
    read = [read_section(content, name) for name, content in files.items()]
    twice = [one.name for one in read if sum(other.name == one.name for other in read) > 1]
    if twice:
        raise EcdsRefused(CDS57, f"section {twice[0]} en double dans le jeu")
    return Extraction(years.pop(), days.pop(), {one.name: one for one in read})


def read_section(content: bytes, file: str) -> Section:
    """One section from its bytes; ``file``: its name, which says which. Raises ``EcdsRefused`` with name, line and reason."""
    name, year, extracted_on = file_name(file)
    try:
        table = read_table(content)
        found = read_rows(table, ecds.sections()[name], file, ecds.aliases(), lambda rows: _check_year(rows, year, file, name))
    except EcdsRefused as refusal:
        raise EcdsRefused(refusal.rule, f"{file} : {str(refusal).removeprefix(f'{file} : ')}", refusal.line) from None
    return Section(**vars(found), name=name, file=file, year=year, extracted_on=extracted_on)


def _check_year(rows: pl.DataFrame, year: int, file: str, section: str) -> None:
    other = rows.filter(pl.col("year").ne_missing(year))
    if other.height:
        line, found = other.select("line", "year").row(0)
        told = found if found is not None else "vide"
        fields = {"annee_ligne": told, "lieu": f"ligne {line}, colonne annee_exercice", "annee": year}
        raise EcdsRefused(CDS20, Finding(CDS20, "default", file, section, fields).reason_fr, line)
