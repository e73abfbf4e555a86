"""The gate of a pulled démarche: kept snapshot, mapping and outcomes of files in, rows of the dataset of declarations out.

The same table as an export that someone sends, so that the same rules read both. What could not be read is told by counts and
by a restricted table that names dossier and champ, never an answer. Records nothing; whoever calls it decides.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

from checks.deliveries import Judgement, Tally
from checks.quarantine import REFUSAL
from connectors.demarches_frames import NOTES, declared
from connectors.demarches_merge import SnapshotDamaged
from connectors.demarches_rows import DATASET, rows
from contracts_schema.datasets import datasets
from contracts_schema.demarches_mappings import InvalidMapping, load
from contracts_schema.families import RESTRICTED
from contracts_schema.identifiers import is_nir
from flows.dataset_gate import table_of
from flows.hub import Hub
from flows.judged import Judged, Progress
from flows.judged import settle as settle
from flows.pull import MAPPING, SNAPSHOT, pieces
from warehouse import faults
from warehouse.log import Event
from warehouse.segments import keep

SETTLED = ()
NOTE = f"{RESTRICTED}demarche_note"
UNREADABLE = "demarche.unreadable"
NIR = "demarche.nir"
FREE = ("siret", "finess", "structure_name", "rpps", "profession")
"""Columns that the platform's users fill as they like."""


def gate(hub: Hub, received: Event, progress: Progress = lambda *_: None) -> Judged:
    """Read the kept snapshot through the mapping kept with it; one that cannot be read is told by ``facts["refusal"]``."""
    doubtful = {one["attachment"]["md5"] for one in pieces(hub, received.data) if one["status"] == "mismatch"}
    judged = Judged({DATASET: Tally()})
    with ExitStack() as held:
        endings = {SNAPSHOT: ".jsonl", MAPPING: ".yaml"}
        beside = {family: held.enter_context(hub.blobs.scratch(ending)) for family, ending in endings.items()}
        for file in received.data["files"]:
            if file["family"] in beside:
                _unpack(hub, file["sha256"], beside[file["family"]])
        try:
            number = int(received.stream.rpartition("/")[2])
            found = declared([beside[SNAPSHOT]], {number: load(beside[MAPPING])}, doubtful)
        except (SnapshotDamaged, InvalidMapping) as problem:  # another version wrote it, or the mapping's contract changed
            said = pl.DataFrame([(UNREADABLE, str(problem))], schema=REFUSAL, orient="row")
            judged.facts |= {"refusal": keep(hub.blobs, said), "refused_by": UNREADABLE}
            return judged
    made, blanked = _without_nir(rows(found))
    progress(f"contrôle {DATASET}", made.height, made.height)
    notes = {f"demarche.{kind}": count for kind, count in sorted(found.notes["kind"].value_counts().rows())}
    if blanked:
        notes[NIR] = blanked
    judged.tallies[DATASET] = Tally(
        lines=made.height, accepted=made.height, warnings={rule: {"": count} for rule, count in notes.items()}, warned=notes
    )
    faults.reached("gate.done")
    judged.tables[table_of(datasets()[DATASET])] = keep(hub.blobs, made)
    if found.notes.height:
        judged.tables[NOTE] = keep(hub.blobs, found.notes.select(*NOTES))
    return judged


def judge(hub: Hub, received: Event, judged: Judged) -> Judgement:
    """A snapshot holds every dossier ever seen: whatever it says now, it stands, unless it cannot be read."""
    refused: Any = judged.facts.get("refused_by")
    if refused:
        return Judgement("rejected", (refused,), ())
    return Judgement("accepted", (), tuple(sorted(judged.tallies[DATASET].warned)))


def _without_nir(made: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The rows without any social-security number, and how many cells held one."""
    held = {name: is_nir(pl.col(name).str.replace_all("[ .\u00a0]", "")).fill_null(value=False) for name in FREE}
    count = made.select(pl.sum_horizontal(held.values()).sum()).item()
    return made.with_columns(pl.when(~found).then(name).alias(name) for name, found in held.items()), int(count)


def _unpack(hub: Hub, sha256: str, path: Path) -> None:
    with hub.blobs.open_raw(sha256) as kept, path.open("wb") as beside:
        shutil.copyfileobj(kept, beside, 1 << 20)
