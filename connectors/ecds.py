"""An e-CDS extraction as it arrives, five sections in a file each, to canonical frames; rfs and rosp keep their entry journal.

Every line received is a row, a line kept aside with its rule, or an identical repetition: none is lost. A file of which no line
can be trusted is refused with its reason in French. Codes of indicators are not judged here, nor is any value changed.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from connectors.bordereau_values import normalised
from connectors.ecds_table import CDS57, EcdsRefused, TextTable, read_table
from connectors.ecds_values import Reading, reading
from contracts_schema import ecds
from contracts_schema.rules import case_of, catalogue

CDS20 = "cds.CDS20"
CDS58 = "cds.CDS58"
CDS59 = "cds.CDS59"
CDS60 = "cds.CDS60"
NAME = re.compile(r"(?i)^ECDS_([a-z]+)_(\d{4})_(\d{4})_(\d{2})_(\d{2})\.(?:csv|xlsx)$")
SHOWN = 20
"""Line numbers that a finding names at most; the lines themselves are all kept aside."""
APART = pl.Schema(
    {
        "section": pl.String(),
        "file": pl.String(),
        "line": pl.Int64(),
        "rule": pl.String(),
        "column": pl.String(),
        "raw": pl.String(),
    }
)
TOLD = {
    "french_day": "jours écrits JJ/MM/AAAA",
    "no_offset": "instants sans décalage horaire, lus à l'heure de Paris",
}


@dataclass(frozen=True)
class Finding:
    """What is to be said of a file: a rule, one of its cases, its texts; ``reason_fr`` as an agent reads it."""

    rule: str
    case: str
    file: str
    section: str
    fields: Mapping[str, Any]

    @property
    def severity(self) -> str:
        return case_of(catalogue()[self.rule], self.case)[0]

    @property
    def effect(self) -> str:
        return case_of(catalogue()[self.rule], self.case)[1]

    @property
    def reason_fr(self) -> str:
        return case_of(catalogue()[self.rule], self.case)[2].format(**self.fields, fichier=self.file, section=self.section)


@dataclass(frozen=True)
class Section:
    """One section as read. ``rows``: the canonical columns of its contract, ``file`` and ``line``, and ``others`` (JSON of
    unknown columns) when there are some; ``apart``: ``APART``; ``repeated``: identical lines left out; ``received``: all
    lines under the header. received = rows + apart + repeated."""

    name: str
    file: str
    year: int
    extracted_on: date
    rows: pl.DataFrame
    apart: pl.DataFrame
    repeated: int
    received: int
    findings: tuple[Finding, ...]


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
        fields = {"annee_ligne": told[other][1], "ligne": "nom du fichier", "annee": told[first][1]}
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
        columns, findings = _columns(table, ecds.sections()[name], file)
    except EcdsRefused as refusal:
        raise EcdsRefused(refusal.rule, f"{file} : {refusal}", refusal.line) from None
    rows, bad, told = _typed(table, columns, name, file)
    _check_year(rows, year, file, name)
    rows, repeated, doubled = _without_doubles(rows, ecds.sections()[name], file)
    apart = pl.concat([_ragged(table, name, file), bad, doubled.apart])
    findings += [*_of_ragged(table, name, file), *told, *doubled.findings]
    received = table.rows.height + table.ragged.height
    return Section(name, file, year, extracted_on, rows, apart, repeated, received, tuple(findings))


def _columns(table: TextTable, section: ecds.Section, file: str) -> tuple[dict[str, str], list[Finding]]:
    """Which column of text is which heading of the contract; unknown headings stand under their own name."""
    wanted = {column.heading: column for column in section.columns}
    written = pl.DataFrame({"h": list(table.headings)}, schema={"h": pl.String})
    bare = written.select(normalised(pl.col("h").str.replace_all("_", " ")).str.replace_all(" ", "_"))["h"].to_list()
    found: dict[str, str] = {}
    findings = []
    for place, (heading, key) in enumerate(zip(table.headings, bare, strict=True)):
        known = key if key in wanted else ecds.aliases().get(key, key)
        if known in found:
            raise EcdsRefused(CDS57, f"colonne « {known} » deux fois dans l'en-tête (« {heading} »)", 1)
        found[known] = f"c{place}"
        if known not in wanted:
            findings.append(Finding(CDS58, "unknown", file, section.name, {"colonne": heading}))
        elif known != key or heading.strip() != known:
            findings.append(Finding(CDS58, "default", file, section.name, {"colonne": heading.strip(), "lue": known}))
    lacking = [column.heading for column in section.columns if column.required and column.heading not in found]
    if lacking:
        raise EcdsRefused(
            CDS57, f"modèle non reconnu pour la section {section.name} : colonnes absentes : {', '.join(lacking)}", 1
        )
    return found, findings


def _typed(
    table: TextTable, found: Mapping[str, str], section: str, file: str
) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """The rows as the contract types them, those that could not be read, and what to tell of both."""
    spec = ecds.sections()[section]
    read = {column: reading(column, pl.col(found[column.heading])) for column in spec.columns if column.heading in found}
    absent = [column for column in spec.columns if column.heading not in found]
    marks = {f"bad_{column.name}": one.bad | one.comma for column, one in read.items()}
    values = {name: expression for one in read.values() for name, expression in one.columns.items()}
    empty = {
        name: expression for column in absent for name, expression in reading(column, pl.lit(None, pl.String)).columns.items()
    }
    frame = table.rows.with_columns(**values, **empty, **marks).with_columns(
        any_bad=pl.any_horizontal(*(pl.col(mark) for mark in marks))
    )
    others = [
        (heading, place) for heading, place in found.items() if heading not in {column.heading for column in spec.columns}
    ]
    extra = (
        {"others": pl.struct([pl.col(place).alias(heading) for heading, place in others]).struct.json_encode()}
        if others
        else {}
    )
    good = frame.filter(~pl.col("any_bad"))
    rows = good.select("line", pl.lit(file).alias("file"), *values, *empty, **extra)
    told = list(_told(table.rows, frame, read, section, file))
    if good.height == frame.height:
        return rows, pl.DataFrame(schema=APART), told
    raw = pl.struct([pl.col(place).alias(heading) for heading, place in found.items()]).struct.json_encode()
    first = pl.coalesce(pl.when(pl.col(f"bad_{column.name}")).then(pl.lit(column.heading)) for column in read)
    bad = frame.filter("any_bad").select(
        section=pl.lit(section), file=pl.lit(file), line="line", rule=pl.lit(CDS57), column=first, raw=raw
    )
    return rows, bad, told


def _told(
    rows: pl.DataFrame, frame: pl.DataFrame, read: Mapping[ecds.Column, Reading], section: str, file: str
) -> Iterable[Finding]:
    """One finding a column and kind of trouble, with line numbers."""
    texts = rows.select(
        *(one.comma.alias(f"comma {column.name}") for column, one in read.items()),
        *(mark.alias(f"{kind} {column.name}") for column, one in read.items() for kind, mark in one.told.items()),
    )
    counts = texts.sum().row(0, named=True) if texts.height else {}
    for column in read:
        commas, unread = counts.get(f"comma {column.name}", 0), frame[f"bad_{column.name}"].sum()
        where = {"colonne": column.heading}
        if commas:
            lines = frame.filter(texts[f"comma {column.name}"])["line"]
            yield Finding(CDS57, "decimal_comma", file, section, where | {"lignes": _lines(lines)})
        if unread > commas:
            lines = frame.filter(pl.col(f"bad_{column.name}") & ~texts[f"comma {column.name}"])["line"]
            detail = {"lignes": _lines(lines), "detail": "valeur que la colonne ne peut prendre"}
            yield Finding(CDS57, "unreadable_value", file, section, where | detail)
        if noise := counts.get(f"noise {column.name}", 0):
            yield Finding(CDS59, "default", file, section, where | {"nombre": noise, "decimales": column.places})
        for kind, detail_fr in TOLD.items():
            if number := counts.get(f"{kind} {column.name}", 0):
                yield Finding(CDS58, "form", file, section, where | {"nombre": number, "detail": detail_fr})


def _lines(lines: pl.Series) -> str:
    shown = ", ".join(map(str, lines.head(SHOWN)))
    return shown if lines.len() <= SHOWN else f"{shown}… ({lines.len()} lignes)"


def _check_year(rows: pl.DataFrame, year: int, file: str, section: str) -> None:
    other = rows.filter(pl.col("year").ne_missing(year))
    if other.height:
        line, found = other.select("line", "year").row(0)
        fields = {"annee_ligne": found if found is not None else "vide", "ligne": line, "annee": year}
        raise EcdsRefused(CDS20, Finding(CDS20, "default", file, section, fields).reason_fr, line)


@dataclass(frozen=True)
class _Doubled:
    apart: pl.DataFrame
    findings: tuple[Finding, ...]


def _without_doubles(rows: pl.DataFrame, section: ecds.Section, file: str) -> tuple[pl.DataFrame, int, _Doubled]:
    """Identical lines once; lines of one key with other values all aside (rule cds.CDS60)."""
    key = list(section.key)
    nothing = _Doubled(pl.DataFrame(schema=APART), ())
    if not rows.select(key).is_duplicated().any():
        return rows, 0, nothing
    said = [name for name in rows.columns if name not in ("line", "file")]
    once = rows.unique(said, keep="first", maintain_order=True)
    repeated = rows.height - once.height
    findings = [Finding(CDS60, "identical", file, section.name, {"nombre": repeated})] if repeated else []
    clash = once.select(key).is_duplicated()
    if not clash.any():
        return once, repeated, _Doubled(nothing.apart, tuple(findings))
    apart = once.filter(clash)
    findings.append(Finding(CDS60, "default", file, section.name, {"lignes": _lines(apart["line"])}))
    raw = pl.struct(pl.exclude("line", "file")).struct.json_encode()
    kept = apart.select(
        section=pl.lit(section.name), file=pl.lit(file), line="line", rule=pl.lit(CDS60), column=pl.lit(", ".join(key)), raw=raw
    )
    return once.filter(~clash), repeated, _Doubled(kept, tuple(findings))


def _ragged(table: TextTable, section: str, file: str) -> pl.DataFrame:
    return table.ragged.select(
        section=pl.lit(section), file=pl.lit(file), line="line", rule=pl.lit(CDS57), column=pl.lit(None, pl.String), raw="raw"
    )


def _of_ragged(table: TextTable, section: str, file: str) -> list[Finding]:
    if not table.ragged.height:
        return []
    fields = {
        "lignes": _lines(table.ragged["line"]),
        "colonne": "toutes",
        "detail": f"nombre de champs différent de {len(table.headings)}",
    }
    return [Finding(CDS57, "unreadable_value", file, section, fields)]
