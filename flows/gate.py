"""The row gate of a whole delivery: kept bytes in, segments and counts out. Records nothing; whoever calls it decides."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from checks import deliveries
from checks.deliveries import Judgement, Tally
from checks.quarantine import ASIDE
from checks.rows import BYTE_ORDER_MARK, Gate
from connectors import pmsi, transmissions
from connectors.pmsi import Block
from contracts_schema.families import FAMILIES, Family, restricted_columns, schema, unstored_tail
from flows.deliveries import READ_BYTES, standing
from flows.hub import Hub
from flows.judged import Judged, Progress
from flows.judged import settle as settle
from warehouse import faults
from warehouse.log import Event
from warehouse.segments import SegmentWriter

UNKNOWN_FORMAT = "pmsi.unknown_format"
SETTLED = ("uid",)
"""Facts of a decision that are settled again with it when it is waived."""


def gate(hub: Hub, received: Event, progress: Progress = lambda *_: None) -> Judged:
    """Read the kept bytes of every family of a received delivery through the row gate, into segments."""
    judged = Judged()
    with ExitStack() as held:
        chunks = held.enter_context(_kept(hub, received.data))
        paths = {restricted: held.enter_context(hub.blobs.scratch(".parquet")) for restricted in (False, True)}
        with ExitStack() as writing:
            aside = {restricted: writing.enter_context(SegmentWriter(path, ASIDE)) for restricted, path in paths.items()}
            for file in received.data["files"]:
                quarantined = aside[FAMILIES[file["family"]].is_restricted]
                _gate_family(hub, received.data, file, chunks(file), judged, quarantined, progress)
        for name, tally in judged.tallies.items():
            path = paths[FAMILIES[name].is_restricted]
            judged.tallies[name] = replace(tally, resembles=_other_kind(path, tally, name))
        faults.reached("gate.done")
        if aside[False].rows:
            judged.quarantine = hub.blobs.adopt_segment(paths[False])
        if aside[True].rows:
            judged.restricted_quarantine = hub.blobs.adopt_segment(paths[True])
    judged.facts["uid"] = _uid(hub, judged.tables)
    return judged


def judge(hub: Hub, received: Event, judged: Judged) -> Judgement:
    """May the transmission stand: its counts against the delivery rules and what stands now."""
    return deliveries.judge(judged.tallies, standing(hub, received))


@contextmanager
def _kept(hub: Hub, data: Mapping[str, Any]) -> Iterator[Callable[[Mapping[str, Any]], Iterator[bytes]]]:
    """Gives a function that reads a member's bytes as kept; an archive is unpacked once, beside, to be read at random."""
    with ExitStack() as held:
        archive: BinaryIO | None = None
        if any(file["entry"] is not None for file in data["files"]):
            path = held.enter_context(hub.blobs.scratch(".zip"))
            with hub.blobs.open_raw(data["received"][0]["sha256"]) as kept, path.open("wb") as unpacked:
                shutil.copyfileobj(kept, unpacked, 1 << 20)
            archive = held.enter_context(path.open("rb"))

        def chunks(file: Mapping[str, Any]) -> Iterator[bytes]:
            if file["entry"] is None:
                with hub.blobs.open_raw(file["sha256"]) as kept:
                    yield from iter(lambda: kept.read(READ_BYTES), b"")
            else:
                member = transmissions.Member(file["family"], file["name"], Path(), file["entry"])
                yield from transmissions.chunks(member, archive, READ_BYTES)

        yield chunks


def _gate_family(
    hub: Hub,
    data: Mapping[str, Any],
    file: Mapping[str, Any],
    chunks: Iterable[bytes],
    judged: Judged,
    quarantined: SegmentWriter,
    progress: Progress,
) -> None:
    """One file through the gate: its open columns to its table, its restricted ones to a table apart, the rest aside."""
    family = FAMILIES[file["family"]]
    row_gate, done = Gate(family, data["year"], data["period"]), 0
    with ExitStack() as held:
        parts = {table: (columns, held.enter_context(hub.blobs.scratch(".parquet"))) for table, columns in _parts(family)}
        with ExitStack() as writing:
            writers = {
                table: writing.enter_context(SegmentWriter(path, pl.Schema({name: schema(family)[name] for name in columns})))
                for table, (columns, path) in parts.items()
            }
            for block in _ahead(pmsi.read(chunks, family, data["finess"])):
                row_gate.warn(BYTE_ORDER_MARK, "file", int(block.after_mark))
                accepted, refused = row_gate.judge(block.cut, block.refused, block.ignored)
                for table, writer in writers.items():
                    writer.write(accepted.select(parts[table][0]))
                refused = refused.with_columns(_storable(family), family=pl.lit(family.name))
                quarantined.write(refused.select(ASIDE.names()))
                done += block.size
                progress(f"contrôle {family.name}", done, file["size"])
        for table, (_, path) in parts.items():
            judged.tables[table] = hub.blobs.adopt_segment(path)
    judged.tallies[family.name] = row_gate.tally


def _storable(family: Family) -> pl.Expr:
    """A line set aside without the end that must not be stored, wherever a fault of the line has moved it."""
    raw, tail = pl.col("raw"), unstored_tail(family)
    if tail is None:
        return raw
    offset, length = tail
    return raw.str.head(pl.min_horizontal(pl.lit(offset), pl.max_horizontal(raw.str.len_chars().cast(pl.Int64) - length, 0)))


def _ahead(blocks: Iterator[Block]) -> Iterator[Block]:
    """The same blocks; while one is judged, a thread reads and cuts the next."""
    with ThreadPoolExecutor(1) as reader:
        pending = reader.submit(next, blocks, None)
        while (block := pending.result()) is not None:
            pending = reader.submit(next, blocks, None)
            yield block


def _parts(family: Family) -> list[tuple[str, list[str]]]:
    """The tables that a family's rows make, and the columns of each."""
    apart = restricted_columns(family)
    joining = {"line_number", family.key}
    kept = [name for name in schema(family) if name not in apart or name in joining]
    parts = [(family.table, kept)]
    if family.restricted_table:
        parts.append((family.restricted_table, list(apart)))
    return parts


def _other_kind(quarantine: Path, tally: Tally, name: str) -> str | None:
    """The record kind that a file of unknown formats looks like, when it is not the one that its name says."""
    if tally.quarantined.get(UNKNOWN_FORMAT, 0) * 2 <= tally.rows:
        return None
    here = (pl.col("rule") == UNKNOWN_FORMAT) & (pl.col("family") == name)
    kind = pmsi.resembles(pl.scan_parquet(quarantine).filter(here).head(1000).collect()["raw"])
    return None if kind == f"MCO {FAMILIES[name].record}" else kind


def _uid(hub: Hub, tables: Mapping[str, str]) -> str | None:
    """The UID of the build, which the delimited form of the TRA carries: it tells which build e-PMSI validated."""
    table = FAMILIES["tra"].table
    if table not in tables:
        return None
    uids = pl.scan_parquet(hub.blobs.segment_path(tables[table])).select("build_uid").drop_nulls().unique().collect()
    return str(uids.item()) if uids.height == 1 else None
