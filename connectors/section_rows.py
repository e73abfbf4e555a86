"""Text tables to canonical rows, by a contract of columns: headings recognised, values typed, doubles told, nothing lost.

What a line cannot be is kept aside with its rule, its column and what it said; what is odd but readable is told once a column.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from connectors.bordereau_values import normalised
from connectors.ecds_table import CDS57, EcdsRefused, TextTable
from connectors.ecds_values import Reading, reading
from contracts_schema import ecds
from contracts_schema.french import counted
from contracts_schema.rules import case_of, catalogue

CDS58 = "cds.CDS58"
CDS59 = "cds.CDS59"
CDS60 = "cds.CDS60"
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
        "finess": pl.String(),
    }
)
"""``column``: headings; ``finess``: of the centre that the line is about, where it could be read."""
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
class _Doubled:
    apart: pl.DataFrame
    findings: tuple[Finding, ...]


NOTHING = _Doubled(pl.DataFrame(schema=APART), ())


@dataclass(frozen=True)
class Rows:
    """``rows``: the canonical columns of the contract, ``file`` and ``line``, and ``others`` (JSON of unknown columns) when
    there are some; ``apart``: ``APART``; ``repeated``: identical lines left out; ``received``: all lines under the header.
    received = rows + apart + repeated."""

    rows: pl.DataFrame
    apart: pl.DataFrame
    repeated: int
    received: int
    findings: tuple[Finding, ...]


def read_rows(
    table: TextTable,
    section: ecds.Section,
    file: str,
    aliases: Mapping[str, str],
    verify: Callable[[pl.DataFrame], None] = lambda rows: None,
) -> Rows:
    """The rows of a table by its contract. ``verify`` sees every row that could be typed, and may refuse the file.

    Raises ``EcdsRefused`` (cds.CDS57) when the header is not that of the contract.
    """
    columns, findings = _columns(table, section, file, aliases)
    rows, bad, told = _typed(table, columns, section, file)
    verify(rows)
    rows, repeated, doubled = _without_doubles(rows, section, file) if section.key else (rows, 0, NOTHING)
    apart = pl.concat([_ragged(table, section.name, file), bad, doubled.apart])
    findings += [*_of_ragged(table, section.name, file), *told, *doubled.findings]
    return Rows(rows, apart, repeated, table.rows.height + table.ragged.height, tuple(findings))


def _columns(
    table: TextTable, section: ecds.Section, file: str, aliases: Mapping[str, str]
) -> tuple[dict[str, str], list[Finding]]:
    """Which column of text is which heading of the contract; unknown headings stand under their own name."""
    wanted = {column.heading: column for column in section.columns}
    written = pl.DataFrame({"h": list(table.headings)}, schema={"h": pl.String})
    bare = written.select(normalised(pl.col("h").str.replace_all("_", " ")).str.replace_all(" ", "_"))["h"].to_list()
    found: dict[str, str] = {}
    findings = []
    for place, (heading, key) in enumerate(zip(table.headings, bare, strict=True)):
        known = key if key in wanted else aliases.get(key, key)
        if known in found:
            places = f"ligne 1, colonnes {int(found[known].removeprefix('c')) + 1} et {place + 1}"
            raise EcdsRefused(CDS57, f"colonne « {known} » deux fois dans l'en-tête (« {heading} », {places})", 1)
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
    table: TextTable, found: Mapping[str, str], contract: ecds.Section, file: str
) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """The rows as the contract types them, those that could not be read, and what to tell of both."""
    spec, section = contract, contract.name
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
        section=pl.lit(section),
        file=pl.lit(file),
        line="line",
        rule=pl.lit(CDS57),
        column=first,
        raw=raw,
        finess=_finess(frame),
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
            yield Finding(CDS57, "decimal_comma", file, section, where | {"lignes": lines_of(lines)})
        if unread > commas:
            lines = frame.filter(pl.col(f"bad_{column.name}") & ~texts[f"comma {column.name}"])["line"]
            detail = {"lignes": lines_of(lines), "detail": "valeur que la colonne ne peut prendre"}
            yield Finding(CDS57, "unreadable_value", file, section, where | detail)
        if noise := counts.get(f"noise {column.name}", 0):
            yield Finding(CDS59, "default", file, section, where | {"nombre": noise, "decimales": column.places})
        for kind, detail_fr in TOLD.items():
            if number := counts.get(f"{kind} {column.name}", 0):
                yield Finding(CDS58, "form", file, section, where | {"nombre": number, "detail": detail_fr})


def lines_of(lines: pl.Series) -> str:
    """The numbers of these lines, the first ones when they are many."""
    shown = ", ".join(map(str, lines.head(SHOWN)))
    return shown if lines.len() <= SHOWN else f"{shown}… ({counted(lines.len(), 'ligne')})"


def set_aside(
    rows: pl.DataFrame, unusable: Mapping[str, tuple[pl.Expr, str]], section: str, file: str
) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """Rows that can be used, the others as ``APART`` (the first heading that spoils each), and what to tell of them.

    ``unusable``: by heading, the rows that it spoils, never null, and why.
    """
    first = pl.coalesce(pl.when(bad).then(pl.lit(heading)) for heading, (bad, _) in unusable.items())
    marked = rows.with_columns(spoilt=first)
    apart = marked.filter(pl.col("spoilt").is_not_null())
    raw = pl.struct(pl.exclude("line", "file", "spoilt")).struct.json_encode()
    kept = apart.select(
        section=pl.lit(section), file=pl.lit(file), line="line", rule=pl.lit(CDS57), column="spoilt",
        raw=raw, finess=_finess(apart),
    )  # fmt: skip
    told = []
    for (heading,), part in apart.partition_by("spoilt", as_dict=True, maintain_order=True).items():
        fields = {"lignes": lines_of(part["line"]), "colonne": heading, "detail": unusable[str(heading)][1]}
        told.append(Finding(CDS57, "unreadable_value", file, section, fields))
    return marked.filter(pl.col("spoilt").is_null()).drop("spoilt"), kept, told


def _without_doubles(rows: pl.DataFrame, section: ecds.Section, file: str) -> tuple[pl.DataFrame, int, _Doubled]:
    """Identical lines once; lines of one key with other values all aside (rule cds.CDS60)."""
    key = list(section.key)
    if not rows.select(key).is_duplicated().any():
        return rows, 0, NOTHING
    said = [name for name in rows.columns if name not in ("line", "file")]
    once = rows.unique(said, keep="first", maintain_order=True)
    repeated = rows.height - once.height
    findings = [Finding(CDS60, "identical", file, section.name, {"nombre": repeated})] if repeated else []
    clash = once.select(key).is_duplicated()
    if not clash.any():
        return once, repeated, _Doubled(NOTHING.apart, tuple(findings))
    apart = once.filter(clash)
    columns = ", ".join(column.heading for column in section.columns if column.name in key)
    findings.append(Finding(CDS60, "default", file, section.name, {"lignes": lines_of(apart["line"]), "colonnes": columns}))
    raw = pl.struct(pl.exclude("line", "file")).struct.json_encode()
    headings = {column.name: column.heading for column in section.columns}
    kept = apart.select(
        section=pl.lit(section.name), file=pl.lit(file), line="line", rule=pl.lit(CDS60),
        column=pl.lit(", ".join(headings[name] for name in key)), raw=raw, finess=_finess(apart),
    )  # fmt: skip
    return once.filter(~clash), repeated, _Doubled(kept, tuple(findings))


def _ragged(table: TextTable, section: str, file: str) -> pl.DataFrame:
    return table.ragged.select(
        section=pl.lit(section), file=pl.lit(file), line="line", rule=pl.lit(CDS57), column=pl.lit(None, pl.String), raw="raw",
        finess=pl.lit(None, pl.String),
    )  # fmt: skip


def _finess(rows: pl.DataFrame) -> pl.Expr:
    return pl.col("finess_et") if "finess_et" in rows.columns else pl.lit(None, pl.String)


def _of_ragged(table: TextTable, section: str, file: str) -> list[Finding]:
    if not table.ragged.height:
        return []
    fields = {
        "lignes": lines_of(table.ragged["line"]),
        "colonne": "toutes",
        "detail": f"nombre de champs différent de {len(table.headings)}",
    }
    return [Finding(CDS57, "unreadable_value", file, section, fields)]
