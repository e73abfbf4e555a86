"""The gate of a dataset: kept bytes in, a segment of typed rows and counts out. Records nothing; whoever calls it decides.

A delivery replaces the head of its scope whole. The rows of a dataset with restricted columns lie, all of them, in a table that
no view and no product may read.
"""

import shutil
from contextlib import ExitStack

import polars as pl

from checks.datasets import Gate, judge_file
from checks.deliveries import Judgement, Tally
from checks.quarantine import ASIDE, REFUSAL
from connectors.datasets import DatasetRefused, read, recognise
from contracts_schema.datasets import Dataset, datasets, schema
from contracts_schema.families import RESTRICTED
from flows.deliveries import standing
from flows.hub import Hub
from flows.judged import Judged, Progress
from flows.judged import settle as settle
from warehouse import faults
from warehouse.log import Event
from warehouse.segments import SegmentWriter, keep

SETTLED = ()


def table_of(dataset: Dataset) -> str:
    """The table of a dataset's rows: ``dataset_<id>``, ``restricted_dataset_<id>`` when a column is restricted."""
    return f"{RESTRICTED if dataset.restricted else ''}dataset_{dataset.id}"


def gate(hub: Hub, received: Event, progress: Progress = lambda *_: None) -> Judged:
    """Read the kept bytes of a dataset through its row gate, block by block; one that cannot be read any more is told by
    ``facts["refusal"]``.
    """
    [file] = received.data["files"]
    contract = datasets()[file["family"]]
    judged = Judged({contract.id: Tally()})
    with ExitStack() as held:
        kept, rows, aside = (held.enter_context(hub.blobs.scratch(ending)) for ending in (".dat", ".parquet", ".parquet"))
        with hub.blobs.open_raw(file["sha256"]) as raw, kept.open("wb") as unpacked:
            shutil.copyfileobj(raw, unpacked, 1 << 20)
        try:
            found = recognise(kept, contract.id)
        except DatasetRefused as refusal:  # the contract is another one than when the file came
            told = pl.DataFrame([(refusal.rule, str(refusal))], schema=REFUSAL, orient="row")
            judged.facts |= {"refusal": keep(hub.blobs, told), "refused_by": refusal.rule}
            return judged
        row_gate = Gate(contract, contract.layout(found.layout))
        with SegmentWriter(rows, schema(contract)) as accepting, SegmentWriter(aside, ASIDE) as refusing:
            for block in read(kept, found):
                accepted, refused = row_gate.judge(block)
                accepting.write(accepted)
                refusing.write(refused.with_columns(family=pl.lit(contract.id)).select(ASIDE.names()))
                progress(f"contrôle {contract.id}", row_gate.tally.lines, row_gate.tally.lines)
        faults.reached("gate.done")
        judged.tallies[contract.id] = row_gate.tally
        judged.tables[table_of(contract)] = hub.blobs.adopt_segment(rows)
        if refusing.rows:
            name = "restricted_quarantine" if contract.restricted else "quarantine"
            setattr(judged, name, hub.blobs.adopt_segment(aside))
    return judged


def judge(hub: Hub, received: Event, judged: Judged) -> Judgement:
    """May the file stand: its counts against its contract and what stands now."""
    if "refused_by" in judged.facts:
        return Judgement("rejected", (judged.facts["refused_by"],), ())
    contract = datasets()[received.data["files"][0]["family"]]
    now = standing(hub, received)
    before = now.rows.get(contract.id, 0) if now and now.displaced else None
    return judge_file(contract, judged.tallies[contract.id], before)
