"""The gate of a bordereau: kept bytes in, segments and counts out; then what the log makes of it, and whether it may stand.

Patient columns go to a restricted segment. What could not be read is said with the place in the file, in a segment and not in
the log. Records nothing; whoever calls it decides.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from checks import bordereaux
from checks.deliveries import Judgement, Tally
from checks.quarantine import ASIDE
from connectors.bordereau import LEFTOVERS, Bordereau, read_bordereau
from connectors.bordereau_files import FAMILY, caisse_in
from connectors.bordereau_header import Finding
from connectors.bordereau_identity import content_digest, line_ids
from connectors.bordereau_lines import LINES, PATIENTS
from connectors.sheets import Unreadable
from contracts_schema.bordereau_profiles import normalised
from contracts_schema.families import RESTRICTED
from flows import replacements
from flows.hub import Hub
from flows.judged import Judged, Progress
from warehouse import faults
from warehouse.heads import BORDEREAU
from warehouse.log import Event, paris
from warehouse.segments import keep

HEADER, LINE, LEFTOVER, READING = "snp_bordereau", "snp_line", "snp_leftover", "snp_reading"
PATIENT = f"{RESTRICTED}snp_patient"

HEADERS = pl.Schema(
    {
        "bordereau_id": pl.String(), "scope": pl.String(), "received_on": pl.Date(), "siret": pl.String(),
        "finess": pl.String(), "structure_name": pl.String(), "structure_kind": pl.String(), "caisse": pl.String(),
        "caisse_stated": pl.String(), "period_from": pl.Date(), "period_to": pl.Date(), "declared_total_cents": pl.Int64(),
        "sum_of_totals_rows_cents": pl.Int64(), "replaces_stated": pl.String(), "certified": pl.Boolean(),
        "sender": pl.String(), "sender_rpps": pl.String(), "iban_state": pl.String(), "grain": pl.String(),
        "profile": pl.String(), "profile_version": pl.Int64(), "profile_is_older": pl.Boolean(),
        "hidden_sheets": pl.List(pl.String), "file": pl.String(), "sha256": pl.String(), "content_digest": pl.String(),
    }
)  # fmt: skip
"""One row: what the bordereau says of itself. What replaces it is told by its head, since that changes with the log."""
_ID = {"bordereau_id": pl.String()}
LINE_ROWS = pl.Schema({**_ID, "line_number": pl.Int64(), "line_id": pl.String(), **LINES})
READING_ROWS = pl.Schema({**_ID, "rule": pl.String(), "cell": pl.String(), "message_fr": pl.String(), "judged_by": pl.String()})
SHEET_ASIDE = pl.Schema({**ASIDE, "sheet": pl.String(), "cell": pl.String()})
"""Quarantine: ``line_number`` is the row in its sheet; ``raw`` its cells as JSON, without those of patients and comments."""

SETTLED = (BORDEREAU, "replaces", "replaced_by", "lineage", "lineage_structure", "same_content")


def gate(hub: Hub, received: Event, progress: Progress = lambda *_: None) -> Judged:
    """Read the kept bytes of a bordereau into segments; one that cannot be read is told by ``facts["refusal"]``."""
    [file] = received.data["files"]
    with hub.blobs.open_raw(file["sha256"]) as kept:
        content = kept.read()
    progress("lecture du tableur", 0, file["size"])
    bordereau_id = received.stream.removeprefix(replacements.UNDER)
    judged = Judged({FAMILY: Tally()})
    try:
        read = read_bordereau(content, file["name"], received_on(received))
    except Unreadable as refusal:
        said = _readings((Finding(refusal.rule, None, str(refusal)),), bordereau_id)
        judged.facts |= {"refusal": keep(hub.blobs, said), "refused_by": refusal.rule}
        faults.reached("gate.done")
        return judged
    progress("contrôle des lignes", file["size"], file["size"])
    judged.tallies[FAMILY] = _tally(read)
    facts = _facts(read, received)
    judged.facts |= {BORDEREAU: facts, "lineage": received.stream, "lineage_structure": facts["structure"] or received.stream}
    told = pl.lit(bordereau_id).alias("bordereau_id")
    lines = read.lines.with_columns(told, line_ids(read.lines, judged.facts["lineage_structure"], received.stream))
    frames = {
        HEADER: _header(read, received, facts["content_digest"], bordereau_id),
        LINE: lines.select(LINE_ROWS.names()),
        LEFTOVER: read.leftovers.select(told, *LEFTOVERS.names()),
        READING: _readings(read.findings, bordereau_id),
    }
    if read.patients.height:
        frames[PATIENT] = read.patients.select(told, *PATIENTS.names())
    judged.tables |= {name: keep(hub.blobs, frame) for name, frame in frames.items()}
    faults.reached("gate.done")
    if read.quarantined.height:
        judged.quarantine = keep(hub.blobs, _aside(read))
    return judged


def settle(hub: Hub, received: Event, judged: Judged) -> Judged:
    """Find what it replaces, in the log as it is now; its lines take the identity of the first of their chain."""
    if BORDEREAU not in judged.facts:
        return replace(judged, standing=bordereaux.Standing())
    placed = replacements.place(hub, received, judged.facts[BORDEREAU])
    facts = judged.facts | {
        "replaces": placed.replaces,
        "replaced_by": list(placed.replaced_by),
        "lineage": placed.lineage,
        "lineage_structure": placed.structure,
        "same_content": placed.same_content,
    }
    tables = judged.tables
    if any(facts[name] != judged.facts[name] for name in ("lineage", "lineage_structure")):
        lines = pl.read_parquet(hub.blobs.segment_path(tables[LINE]))
        lines = lines.with_columns(line_ids(lines, placed.structure, placed.lineage))
        tables = tables | {LINE: keep(hub.blobs, lines)}
    return replace(judged, facts=facts, tables=tables, standing=placed.standing, unmoved=(replacements.UNDER, placed.seen))


def judge(hub: Hub, received: Event, judged: Judged) -> Judgement:
    """May it be judged line by line; ``judged`` has been settled."""
    stated = judged.facts.get(BORDEREAU, {}).get("caisse_stated")
    return bordereaux.judge(
        judged.tallies[FAMILY],
        judged.facts.get("refused_by"),
        judged.standing,
        other_caisse=stated not in (None, received.data["caisse"]),
    )


def received_on(received: Event) -> date:
    """The day of reception in Paris: as stated, else as recorded."""
    return paris(received.data.get("received_at") or received.recorded_at).date()


def _facts(read: Bordereau, received: Event) -> dict[str, Any]:
    """What the decision says of a bordereau: who, when, how much; the name only of a structure that gives no number."""
    header = read.header
    name = normalised(header["structure_name"] or "")
    return {
        "siret": header["siret"],
        "finess": header["finess"],
        "structure": header["siret"] or header["finess"] or (f"nom:{name}" if name else None),
        "structure_kind": header["structure_kind"],
        "caisse_stated": caisse_in(header["caisse"]),
        "period_from": _iso(header["period_from"]),
        "period_to": _iso(header["period_to"]),
        "received_on": received_on(received).isoformat(),
        "grain": header["grain"],
        "profile": header["profile"],
        "profile_version": header["profile_version"],
        "claimed_cents": int(read.lines["amount_cents"].sum()),
        "mention": replacements.mention(header["replaces"]),
        "content_digest": content_digest(read),
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _tally(read: Bordereau) -> Tally:
    notes = read.lines["notes"].explode().drop_nulls().value_counts().rows()
    quarantined = dict(read.quarantined["rule"].value_counts().rows())
    warned: dict[str, int] = dict(sorted(notes))
    for finding in read.findings:
        if finding.rule not in quarantined:  # what is set aside is counted as such
            warned[finding.rule] = warned.get(finding.rule, 0) + 1
    return Tally(
        lines=read.lines.height + read.quarantined.height,
        accepted=read.lines.height,
        quarantined=quarantined,
        warnings={rule: {"": count} for rule, count in warned.items()},
        warned=warned,
    )


def _header(read: Bordereau, received: Event, digest: str, bordereau_id: str) -> pl.DataFrame:
    header: Mapping[str, Any] = read.header
    told = {
        "bordereau_id": bordereau_id,
        "scope": received.stream,
        "received_on": received_on(received),
        "caisse": received.data["caisse"],
        "caisse_stated": header["caisse"],
        "replaces_stated": header["replaces"],
        "content_digest": digest,
    }
    return pl.DataFrame([{name: told[name] if name in told else header[name] for name in HEADERS}], schema=HEADERS)


def _readings(findings: tuple[Finding, ...], bordereau_id: str) -> pl.DataFrame:
    rows = [(bordereau_id, finding.rule, finding.cell, finding.message_fr, finding.check) for finding in findings]
    return pl.DataFrame(rows, schema=READING_ROWS, orient="row")


def _aside(read: Bordereau) -> pl.DataFrame:
    return read.quarantined.select(
        pl.lit(FAMILY).alias("family"), pl.col("row").alias("line_number"), pl.lit(None, pl.Int64).alias("byte_offset"),
        pl.col("cells").alias("raw"), "rule", pl.lit([], pl.List(pl.String)).alias("fields"), "sheet", "cell",
    ).select(pl.col(name).cast(dtype) for name, dtype in SHEET_ASIDE.items())  # fmt: skip
