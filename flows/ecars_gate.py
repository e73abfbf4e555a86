"""The gate of e-CARS: kept bytes in, segments of what an export or a follow-up table says and counts out. Judges no value.

What is wrong in a cell is told by the rules once contracts are judged; a file that is no export is refused whole, with the
place. Records nothing; whoever calls it decides.
"""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from threading import Lock

import polars as pl

from checks.deliveries import Judgement, Tally
from checks.quarantine import REFUSAL
from connectors.ecars import NAMES, Export, read_ecars
from connectors.ecars_files import EXPORT, SOURCE
from connectors.ecars_tables import read_table
from connectors.sheet_batch import sheet_reader
from connectors.sheets import Unreadable, Workbook
from contracts_schema.french import counted
from contracts_schema.geography import region_of
from flows.bordereau_gate import received_on
from flows.ecars_kept import KEPT, left_out, near_annexes
from flows.ecars_segments import keep, segment, table_of
from flows.hub import Hub
from flows.judged import Judged, Progress
from flows.judged import settle as settle_table
from warehouse import faults
from warehouse.log import Event

SETTLED = ("unplaced", "warned")
UNPLACED = "cpom.R01"
"""What is said of a file with a number of no known région: no ARS can be told of it, whoever runs the hub must be."""
_reading = Lock()


def gate(hub: Hub, received: Event, progress: Progress = lambda *_: None) -> Judged:
    """Read the kept bytes of a file of e-CARS; one that cannot be read is told by ``facts["refusal"]``."""
    [file] = received.data["files"]
    with hub.blobs.open_raw(file["sha256"]) as kept:
        content = kept.read()
    progress("lecture e-CARS", 0, file["size"])
    judged = Judged({SOURCE: Tally()})
    try:
        if received.data["layout"] == EXPORT:
            found = read_ecars(content, file["name"], received_on(received), _read)
            frames, rows = {name: getattr(found, name) for name in NAMES}, found.value.height + found.financial_line.height
            left = left_out(hub, received, found, file["name"])
            warned = [(rule, f"{file['name']} : {note} (règle {rule})") for rule, note in found.notes]
            warned += [(KEPT, left)] if left else []
            judged.facts |= _about(found) | {"warned": sorted({rule for rule, _ in warned})}
            if judged.facts["unplaced"]:
                warned.append((UNPLACED, _nowhere(found, file["name"])))
            if warned:
                judged.facts |= {"refusal": segment(hub, pl.DataFrame(warned, schema=REFUSAL, orient="row"))}
        else:
            name, rows_of = read_table(content, file["name"])
            frames, rows = {name: rows_of}, rows_of.height
    except Unreadable as refusal:
        said = pl.DataFrame([(refusal.rule, str(refusal))], schema=REFUSAL, orient="row")
        judged.facts |= {"refusal": segment(hub, said), "refused_by": refusal.rule}
        faults.reached("gate.done")
        return judged
    progress("lecture e-CARS", file["size"], file["size"])
    judged.tallies[SOURCE] = Tally(lines=rows, accepted=rows)
    alone = received.data["layout"] != EXPORT  # an emptied table is one that says that nothing holds
    judged.tables |= {table_of(name): segment(hub, rows_of) for name, rows_of in frames.items()} if alone else keep(hub, frames)
    faults.reached("gate.done")
    return judged


def settle(hub: Hub, received: Event, judged: Judged) -> Judged:
    """What the log makes of it: an export is a scope of its own, named by its bytes, equal to no other."""
    if received.data["layout"] == EXPORT:
        return replace(judged, facts=judged.facts | {"same_content": None})
    return settle_table(hub, received, judged)


def judge(hub: Hub, received: Event, judged: Judged) -> Judgement:
    """May the file be judged contract by contract: it may when it could be read."""
    if "refused_by" in judged.facts:
        return Judgement("rejected", (judged.facts["refused_by"],), ())
    unplaced = (UNPLACED,) if judged.facts.get("unplaced") else ()
    return Judgement("accepted", (), (*unplaced, *judged.facts.get("warned", ())))


def _regions(export: Export) -> dict[str, str | None]:
    """The région of each number of an export."""
    return {
        number: region_of(number) if len(number) == 9 else None for number in export.sheet["finess_ej"].fill_null("").unique()
    }


def _nowhere(export: Export, file: str) -> str:
    """Where the numbers of no known région stand: file, sheet and cell, or line of the canonical form; never the numbers."""
    nowhere = [number for number, region in _regions(export).items() if region is None]
    first = export.row.group_by("sheet_id").agg(line=pl.col("row").min())
    rows = export.sheet.filter(pl.col("finess_ej").fill_null("").is_in(nowhere)).join(first, on="sheet_id", how="left")
    places = []
    for one in rows.head(5).iter_rows(named=True):
        sheet = f"feuille « {one['sheet']} », " if one["sheet"] else ""
        places.append(sheet + (f"cellule {one['finess_cell']}" if one["finess_cell"] else f"ligne {one['line'] or 1}"))
    more = f" et {counted(rows.height - len(places), 'autre')}" if rows.height > len(places) else ""
    told = "numéro FINESS EJ absent, mal formé ou d'aucune région connue : le contrat n'est donné à aucune ARS"
    return f"{file} : {' ; '.join(places)}{more} : {told} (règle {UNPLACED})"


def _about(export: Export) -> dict[str, object]:
    """What the decision says of an export: its contracts, counted, the régions that they are of, whose they are, how many
    are of none; which of them have their annex HPR in it."""
    places = _regions(export)
    known = sorted({region for region in places.values() if region})
    numbers = sorted(number for number, region in places.items() if region)
    unplaced = len(places) - len(numbers)
    return {
        "contracts": len(places), "regions": known, "numbers": numbers, "unplaced": unplaced, "near": near_annexes(export),
    }  # fmt: skip


def _read(content: bytes) -> Workbook:
    """One after the other: a reader is not for several threads."""
    with _reading:
        return _reader()(content)


@cache
def _reader() -> Callable[[bytes], Workbook]:
    """A reader that lasts as long as this process: starting one for each of many workbooks costs more than reading them."""
    held = ExitStack()
    atexit.register(held.close)
    return held.enter_context(sheet_reader())
