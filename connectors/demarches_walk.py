"""How far a pull has come: a journal folded, and what one page of a list adds to it. The records stay on disk.

Must never take a page for right that leads back, or nowhere though there is more.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors import demarches_records as records
from connectors.demarches_records import Malformed, Record


@dataclass
class Walk:
    """How far a walk has come: its last cursor, those before, whether it is over."""

    cursor: str | None = None
    cursors: set[str] = field(default_factory=set)
    done: bool = False


@dataclass
class State:
    """A journal, folded: enough to go on; the records stay on disk."""

    form: Record | None = None
    walks: dict[str, Walk] = field(default_factory=dict)
    modified: dict[int, str] = field(default_factory=dict)
    listing: dict[int, str] = field(default_factory=dict)
    listed: dict[str, set[int]] = field(default_factory=lambda: {"pending": set(), "deleted": set()})
    aside: set[int] = field(default_factory=set)
    alone: dict[int, str] = field(default_factory=dict)

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take one line of the journal in."""
        if "form" in line:
            self.form = line["form"]
        for record in [*line.get("dossiers", ()), *([line["dossier"]] if line.get("dossier") else [])]:
            known = self.modified.get(record["number"])
            if known is None or records.later(known, record["modified_at"]):
                self.modified[record["number"]] = record["modified_at"]
        if "alone" in line:
            self.alone[line["alone"]] = line["outcome"]
        if "walk" in line:
            walk = self.walks.setdefault(line["walk"], Walk())
            if line.get("again"):
                walk.cursor = None
                walk.cursors.clear()
            if line["end"] is not None:
                walk.cursor = line["end"]
                walk.cursors.add(line["end"])
            walk.done = not line["more"]
            self.aside |= set(line.get("aside", ()))
            self.listing |= dict(line.get("numbers", ()))
            for told in line.get("deletions", ()):
                self.listed[line["walk"]].add(told["number"])


class Looping(Malformed):
    """A page ends where the walk has been already, or nowhere."""


def page_of(demarche: Mapping[str, Any], walk: Walk, read: Callable[[Iterable[Any]], Record]) -> Record:
    """The line of a page: its end, whether there is more, what it holds.

    Malformed when its cursor leads back, or nowhere though there is more.
    """
    page = demarche.get("page")
    nodes = page.get("nodes") if isinstance(page, dict) else None
    information = page.get("pageInfo") if isinstance(page, dict) else None
    if not isinstance(nodes, list) or not isinstance(information, dict):
        raise Malformed("page")
    more, end = information.get("hasNextPage"), information.get("endCursor")
    if not isinstance(more, bool) or not isinstance(end, str | None) or not all(isinstance(node, dict) for node in nodes):
        raise Malformed("page")
    if more and not nodes:
        raise Malformed("empty page with more to come")
    if nodes and (end is None or end in walk.cursors):
        raise Looping("cursor")
    return {"end": end if nodes else None, "more": more, **read(nodes)}  # the cursor of an empty page is null


def numbers_of(nodes: Iterable[Any]) -> Record:
    return {"numbers": [records.sight(node) for node in nodes]}


def deletions_of(nodes: Iterable[Any]) -> Record:
    return {"deletions": [records.deletion(node) for node in nodes]}


def demarche_of(data: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    found = data.get("demarche")
    if not isinstance(found, dict) or found.get("number") != number:
        raise Malformed("demarche")
    return found
