"""The gate of sections of e-CDS extractions, FIR commitments and forms on CPTS: kept bytes in, segments and counts out.

Every line received is a row, a line kept aside or an identical repetition. What the reading says of a section is a segment of
findings, published with those of the rules. Records nothing; whoever calls it decides.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from checks.cds.ruling import FINDINGS, FIRED
from checks.deliveries import Judgement, Tally
from checks.quarantine import ASIDE, REFUSAL
from connectors.campaign_files import ECDS, FIR
from connectors.ecds_table import EcdsRefused
from connectors.section_rows import SHOWN, Finding, Rows
from contracts_schema import geography
from contracts_schema.families import RESTRICTED
from flows.hub import Hub
from flows.judged import Judged, Progress
from flows.judged import settle as settle
from warehouse import faults
from warehouse.log import Event
from warehouse.segments import keep

SETTLED = ()
NAMES_PEOPLE = frozenset({"professionnels"})
"""Sections whose rows give numbers of persons: kept where no view and no product may read them."""
READING = "reading"
HELD_PERCENT = 20
"""Above this share of lines kept aside someone decides (proposal: that of the other inputs on declarations)."""


def table_of(source: str, section: str) -> str:
    """The table of a section's rows: ``ecds_rfs``, ``restricted_ecds_professionnels``, ``fir_fir``."""
    return f"{RESTRICTED if section in NAMES_PEOPLE else ''}{source}_{section}"


def gate(hub: Hub, received: Event, progress: Progress = lambda *_: None) -> Judged:
    """Read the kept bytes of a section into segments; one that cannot be read is told by ``facts["refusal"]``."""
    data, [file] = received.data, received.data["files"]
    with hub.blobs.open_raw(file["sha256"]) as kept:
        content = kept.read()
    progress("lecture", 0, file["size"])
    section, family = data["dataset"], file["family"]
    judged = Judged({family: Tally()})
    try:
        read = _read(data["source"], section, content, file["name"])
    except EcdsRefused as refusal:
        told = pl.DataFrame([(refusal.rule, f"{refusal} [{refusal.rule}]")], schema=REFUSAL, orient="row")
        judged.facts |= {"refusal": keep(hub.blobs, told), "refused_by": refusal.rule}
        faults.reached("gate.done")
        return judged
    progress("contrôle des lignes", file["size"], file["size"])
    judged.tallies[family] = _tally(read)
    if data["source"] == ECDS:
        judged.facts["places"] = _places(section, read.rows)
    elif "region" in read.rows.columns:  # a form that names contracts alone is of the regions of these, known later
        judged.facts["places"] = _regions(read.rows)
    judged.tables[table_of(data["source"], section)] = keep(hub.blobs, read.rows)
    judged.tables[f"{data['source']}_{READING}"] = keep(hub.blobs, _readings((*read.findings, *of_centres(read))))
    faults.reached("gate.done")
    if read.apart.height:
        name = "restricted_quarantine" if section in NAMES_PEOPLE else "quarantine"
        setattr(judged, name, keep(hub.blobs, _aside(family, read.apart)))
    return judged


def judge(hub: Hub, received: Event, judged: Judged) -> Judgement:
    """May the section stand: readable, with lines, and not too much of it kept aside. A header alone is held: it would make
    every centre unanswered."""
    if "refused_by" in judged.facts:
        return Judgement("rejected", (judged.facts["refused_by"],), ())
    [tally] = judged.tallies.values()
    aside = sum(tally.quarantined.values())
    if not tally.accepted:
        return Judgement("rejected" if aside else "held", ("dataset.no_row",), ())
    if aside * 100 > tally.rows * HELD_PERCENT:
        return Judgement("held", ("dataset.quarantine_rate",), ())
    return Judgement("accepted", (), ())


def _read(source: str, section: str, content: bytes, name: str) -> Rows:
    from connectors import cpts, ecds

    if source == ECDS:
        return ecds.read_section(content, name)
    return cpts.read_fir(content, name) if source == FIR else cpts.read_form(content, name, section)


def _places(section: str, rows: pl.DataFrame) -> Mapping[str, list[str]]:
    """The caisses and regions that a section concerns, for whoever publishes to them."""
    caisses = rows["cpam"].drop_nulls().unique().to_list() if section == "identification" else []
    regions = {geography.region_of(number) for number in rows["finess_et"].drop_nulls().unique()}
    regions |= set(rows["ars_region"].drop_nulls()) if section == "identification" else set()
    known = {region for region in regions if region in geography.regions()}
    return {"cpam": sorted(one for one in caisses if geography.CAISSE.fullmatch(one)), "ars": sorted(known)}


def _regions(rows: pl.DataFrame) -> Mapping[str, list[str]]:
    """The regions that commitments or a form are of."""
    return {"ars": sorted(rows["region"].unique())}


def _tally(read: Rows) -> Tally:
    warned: dict[str, int] = {}
    aside = dict(read.apart["rule"].value_counts().rows())
    for finding in read.findings:
        if finding.rule not in aside:  # what is set aside is counted as such
            warned[finding.rule] = warned.get(finding.rule, 0) + 1
    return Tally(
        lines=read.received,
        ignored=read.repeated,
        accepted=read.rows.height,
        quarantined=aside,
        warnings={rule: {"": count} for rule, count in warned.items()},
        warned=warned,
    )


def of_centres(read: Rows) -> Iterator[Finding]:
    """The lines set aside, told once a centre, rule and column: what they say is not counted, and the outcome hides it."""
    known = read.apart.filter(pl.col("finess").is_not_null())
    by = known.group_by("finess", "rule", "file", "section", "column", maintain_order=True).agg(pl.col("line").sort())
    for finess, rule, file, section, column, lines in by.iter_rows():
        told = ", ".join(map(str, lines[:SHOWN])) + (f"… ({len(lines)} lignes)" if len(lines) > SHOWN else "")
        yield Finding(rule, "of_centre", file, section, {"finess": finess, "lignes": told, "colonne": column})


def _readings(found: Iterable[Finding]) -> pl.DataFrame:
    """What the reading says, as findings about the whole extraction, or about a centre."""
    rows: list[dict[str, Any]] = [
        {"rule": one.rule, "case": one.case, "severity": one.severity, "effect": one.effect, "status": FIRED,
         "section": one.section, "finess_et": one.fields.get("finess"), "reason_fr": _with_file(one)}
        for one in found
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=FINDINGS)


def _with_file(one: Finding) -> str:
    return f"{one.file} : {one.reason_fr.removeprefix(f'{one.file} : ')}"


def _aside(family: str, apart: pl.DataFrame) -> pl.DataFrame:
    return apart.select(
        pl.lit(family).alias("family"), pl.col("line").alias("line_number"), pl.lit(None, pl.Int64).alias("byte_offset"), "raw",
        "rule", pl.concat_list(pl.col("column").fill_null("")).alias("fields"),
    ).select(pl.col(name).cast(dtype) for name, dtype in ASIDE.items())  # fmt: skip
