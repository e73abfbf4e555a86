"""Who has not sent what: months expected of each establishment against those received; and what to tell a sender.

Expected are the establishments of the lists that ARS deliver (dataset ``expected_transmissions``), for the months that these
say; those that ``ecluse.toml`` names; and those that sent something in the year asked or the one before.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from contracts_schema.rules import label
from flows.decisions import last_decision, last_decisions
from flows.deliveries import heads, lacking, names_of, set_aside, verdict_of
from flows.hub import Hub, WrongUsage
from warehouse.heads import PMSI, Head
from warehouse.log import Event

LISTED = "dataset_expected_transmissions"
SEVERITY = ("accepted", "held", "rejected", "withdrawn")
"""Of several transmissions of one month, the first of these states is told."""


def missing(
    hub: Hub, year: int | None = None, month: int | None = None, until: int | None = None, on: date | None = None
) -> dict[str, Any]:
    """Per establishment and month up to ``month`` (the one before ``on``, today by default): received, held, rejected, missing.

    A month is covered when it or a later one was accepted: transmissions hold the year since January. ``expected_by`` tells who
    expects an establishment: ``list`` (an ARS, whose months outside of its periods are ``not_expected``), ``settings`` or
    ``received``. ``lacking``: the families of files that what stands has not, or empty.
    """
    year, month = _asked(on or hub.today(), year, month)
    standing = heads(hub, until)
    listed = _listed(hub, standing)
    decided = [event for event in last_decisions(hub, until).values() if event.data["source"] == PMSI]
    known = {event.data["finess"] for event in decided if event.data["year"] in (year, year - 1)}
    rows = []
    for finess in sorted(known | set(hub.settings.expected) | set(listed)):
        events = [event for event in decided if event.data["finess"] == finess and event.data["year"] == year]
        asked = [one for one in range(1, month + 1) if finess not in listed or _covers(listed[finess], year, one)]
        if events or asked:
            by = "list" if finess in listed else "settings" if finess in hub.settings.expected else "received"
            head = standing.get(f"{PMSI}/mco/{finess}/{year}")
            rows.append(_row(finess, events, month, asked) | {"expected_by": by, "lacking": lacking(head.data) if head else []})
    return {"year": year, "month": month, "establishments": rows, "missing": sum(not row["covered"] for row in rows)}


def reject_report(hub: Hub, delivery: str, until: int | None = None) -> list[dict[str, Any]]:
    """What to send back to who sent a delivery, as decided then: files, line numbers, rules and fields; never a value."""
    event = last_decision(hub, delivery, until)
    data = event.data
    whole = [_line(names_of(data["received"]), None, rule, []) for rule in data.get("reasons", [])]
    names = {file["family"]: file["name"] for file in data["files"]}
    lines = set_aside(hub, data).iter_rows(named=True)
    return whole + [_line(names[row["family"]], row["line_number"], row["rule"], row["fields"]) for row in lines]


def write_reject_report(rows: list[dict[str, Any]], path: Path) -> None:
    """The report as a file that a spreadsheet opens: semicolons, UTF-8 with its mark."""
    import csv

    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["fichier", "ligne", "regle", "libelle", "champs"], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def _line(name: str, number: int | None, rule: str, fields: list[str]) -> dict[str, Any]:
    return {"fichier": name, "ligne": number, "regle": rule, "libelle": label(rule), "champs": ", ".join(fields)}


def _row(finess: str, events: list[Event], month: int, asked: Sequence[int]) -> dict[str, Any]:
    states: dict[int, str] = {}
    for event in events:
        verdict, period = verdict_of(event), event.data["period"]
        if period not in states or SEVERITY.index(verdict) < SEVERITY.index(states[period]):
            states[period] = verdict
    last = max((period for period, state in states.items() if state == "accepted"), default=0)
    nothing = {one: "missing" if one in asked else "not_expected" for one in range(1, month + 1)}
    months = {str(period): states.get(period, state) for period, state in nothing.items()}
    return {"finess": finess, "last_accepted": last, "covered": last >= max(asked, default=0), "months": months}


def _listed(hub: Hub, standing: Mapping[str, Head]) -> dict[str, list[tuple[date | None, date | None]]]:
    """The establishments that the lists of the ARS expect for the MCO, each with its periods (ends excluded)."""
    segments = [head.tables[LISTED] for head in standing.values() if LISTED in head.tables]
    if not segments:
        return {}
    import polars as pl

    found: dict[str, list[tuple[date | None, date | None]]] = {}
    for segment in segments:
        rows = pl.read_parquet(hub.blobs.segment_path(segment)).filter(field_of_care="MCO")
        for finess, *period in rows.select("finess", "valid_from", "valid_to").iter_rows():
            found.setdefault(finess, []).append((period[0], period[1]))
    return found


def _covers(periods: Iterable[tuple[date | None, date | None]], year: int, month: int) -> bool:
    """Whether a month lies in one of these periods, be it for a day."""
    first, after = date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
    return any((not start or start < after) and (not end or end > first) for start, end in periods)


def _asked(today: date, year: int | None, month: int | None) -> tuple[int, int]:
    """The year and month asked; by default the last month that has ended."""
    before = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
    year = year or before[0]
    month = month or (before[1] if year == before[0] else 12)
    if not 1 <= month <= 12:
        raise WrongUsage(f"mois {month} : attendu de 1 à 12")
    return year, month
