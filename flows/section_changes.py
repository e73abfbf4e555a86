"""What the sections of an e-CDS extraction say another way than those that stood before it, for ``ecluse why``.

Names sections, headings, codes of indicators and numbers of lines or of centres; never what a line says, nor whom it is about.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from contracts_schema.ecds import JOURNALS, SECTIONS, sections
from contracts_schema.french import counted
from flows import campaign_places, campaigns
from flows.deliveries import all_heads
from flows.hub import Hub
from warehouse.heads import Head
from warehouse.log import Event

if TYPE_CHECKING:
    import polars as pl

PLACED = ("file", "line")
"""Where a row was read, which another file of the same rows changes."""
SHOWN = 4


def changed(hub: Hub, events: Sequence[Event], finess: str | None) -> str:
    """In words, what these sections let in change: of one centre, or in how many centres; empty when they change no standing.

    ``events``: acceptances of sections of one extraction that follow one another in the log.
    """
    _, sender, year, _, _ = str(events[0].data["scope"]).split("/")
    before, after = (_standing(hub, sender, int(year), until) for until in (events[0].position - 1, events[-1].position))
    if not before or not after or before == after:
        return ""
    told, same = [], []
    for section in SECTIONS:
        old, new = (_rows(hub, heads.get(section), finess) for heads in (before, after))
        words = _of_centre(section, old, new) if finess else _of_all(old, new)
        if words:
            told.append(f"{section} ({words})")
        elif old is not None or new is not None:
            same.append(section)
    whom = "ce centre" if finess else "les centres"
    said = f"pour {whom} : {', '.join(told)}" if told else f"rien d'autre pour {whom}"
    return f"{said} ; inchangé : {', '.join(same)}" if told and same else said


def _standing(hub: Hub, sender: str, year: int, until: int) -> Mapping[str, Head]:
    """The sections of a sender and year that stood at a position; empty when there was none."""
    found = campaigns.identified(all_heads(hub, until)).get((sender, year))
    return found[-1].heads if found else {}


def _rows(hub: Hub, head: Head | None, finess: str | None) -> "pl.DataFrame | None":
    """What a section says, without where it was read; None when it did not come."""
    import polars as pl

    if head is None:
        return None
    rows = pl.scan_parquet(campaign_places.path_of(hub, head))
    mine = rows if finess is None else rows.filter(pl.col("finess_et") == finess)
    return mine.drop(PLACED, strict=False).collect()


def _of_centre(section: str, old: "pl.DataFrame | None", new: "pl.DataFrame | None") -> str:
    """What differs in the lines of one centre: headings, codes, or how many lines."""
    import polars as pl

    if old is None or new is None:
        return "" if old is new else "section qui n'était pas reçue" if old is None else "section qui n'est plus reçue"
    both = [name for name in old.columns if name in new.columns]
    kinds = {name: new.schema[name] for name in both}
    left, right = old.select(both).cast(kinds), new.select(both)  # type: ignore[arg-type]
    apart = [one.join(other, on=both, how="anti", nulls_equal=True) for one, other in ((left, right), (right, left))]
    lines = pl.concat(apart)
    if lines.is_empty():
        return ""
    if section in JOURNALS:
        return _list(sorted(lines["code"].unique()))
    if section == campaign_places.IDENTITY and left.height == right.height == 1:
        headings = {column.name: column.heading for column in sections()[section].columns}
        return _list([headings[name] for name in both if name in headings and not left[name].equals(right[name])])
    return counted(max(part.height for part in apart), "ligne")


def _of_all(old: "pl.DataFrame | None", new: "pl.DataFrame | None") -> str:
    """How many centres have other lines than before."""
    import polars as pl

    if old is None or new is None:
        return "" if old is new else "section qui n'était pas reçue" if old is None else "section qui n'est plus reçue"
    both = [name for name in old.columns if name in new.columns]

    def sums(rows: "pl.DataFrame") -> "pl.DataFrame":
        told = rows.select("finess_et", row=rows.select(both).hash_rows())
        return told.group_by("finess_et").agg(pl.col("row").sort().implode().hash().first())

    pairs = sums(old).join(sums(new), on="finess_et", how="full", coalesce=True, nulls_equal=True)
    number = pairs.filter(~pl.col("row").eq_missing(pl.col("row_right"))).height
    return counted(number, "centre") if number else ""


def _list(names: Sequence[str]) -> str:
    more = f" et {counted(len(names) - SHOWN, 'autre')}" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
