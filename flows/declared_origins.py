"""Where a declaration that a finding cites stands: in which delivery, at which lines of its file. Never what it says."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from flows.hub import Hub
from flows.origins import measure
from warehouse.heads import DEMARCHE, Head

TABLE = "dataset_declarations"


def origins(hub: Hub, known: Mapping[str, Head], cited: str) -> dict[str, dict[str, Any]]:
    """By scope, the lines of the file (of the snapshot, when it was pulled) that tell the dossiers cited in a text."""
    numbers = frozenset(re.findall(r"[0-9]+", cited))
    pulled = {f"declarations/{scope.rpartition('/')[2]}" for scope, head in known.items() if head.source == DEMARCHE}
    told: dict[str, dict[str, Any]] = {}
    for scope, head in known.items():
        if TABLE in head.tables and scope not in pulled:
            lines = list(_of_snapshot(hub, head, numbers) if head.source == DEMARCHE else _of_export(hub, head, numbers))
            if lines:
                told[scope] = {"déclarations": measure(lines)}
    return told


def _of_snapshot(hub: Hub, head: Head, numbers: Collection[str]) -> Iterator[int]:
    [sha256] = [file["sha256"] for file in head.data["files"] if file["family"] == "declarations"]
    with hub.blobs.open_raw(sha256) as kept:
        for place, line in enumerate(kept.read().splitlines(), 1):
            if place > 1 and str(json.loads(line)["number"]) in numbers:  # the first is about the démarche
                yield place


def _of_export(hub: Hub, head: Head, numbers: Collection[str]) -> Iterator[int]:
    rows = pl.read_parquet(hub.blobs.segment_path(head.tables[TABLE]), columns=["number", "line_number"])
    yield from rows.filter(pl.col("number").is_in(list(numbers)))["line_number"].sort()
