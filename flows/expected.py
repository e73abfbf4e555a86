"""Who has not sent what: months expected of each establishment against those received; and what to tell a sender.

Establishments expected are those that stand in the year asked or the one before, and those that ``ecluse.toml`` lists.
"""

from datetime import date
from pathlib import Path
from typing import Any

from contracts_schema.rules import label
from flows.decisions import last_decision, last_decisions
from flows.deliveries import names_of, set_aside, verdict_of
from flows.hub import Hub, WrongUsage
from warehouse.log import Event

SEVERITY = ("accepted", "held", "rejected", "withdrawn")
"""Of several transmissions of one month, the first of these states is told."""


def missing(hub: Hub, year: int | None = None, month: int | None = None, until: int | None = None) -> dict[str, Any]:
    """Per establishment and month up to ``month`` (the one before this by default): received, held, rejected, or missing.

    A month is covered when it or a later one was accepted: transmissions hold the year since January.
    """
    year, month = _asked(hub.today(), year, month)
    decided = [event for event in last_decisions(hub, until).values() if event.data["source"] == "pmsi"]
    known = {event.data["finess"] for event in decided if event.data["year"] in (year, year - 1)}
    expected = sorted(known | set(hub.settings.expected))
    rows = [
        _row(finess, [e for e in decided if e.data["finess"] == finess and e.data["year"] == year], month)
        for finess in expected
    ]
    return {"year": year, "month": month, "establishments": rows, "missing": sum(not row["covered"] for row in rows)}


def reject_report(hub: Hub, delivery: str) -> list[dict[str, Any]]:
    """What to send back to who sent a delivery: files, line numbers, rules and fields; never a value."""
    event = last_decision(hub, delivery)
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


def _row(finess: str, events: list[Event], month: int) -> dict[str, Any]:
    states: dict[int, str] = {}
    for event in events:
        verdict, period = verdict_of(event), event.data["period"]
        if period not in states or SEVERITY.index(verdict) < SEVERITY.index(states[period]):
            states[period] = verdict
    last = max((period for period, state in states.items() if state == "accepted"), default=0)
    months = {str(period): states.get(period, "missing") for period in range(1, month + 1)}
    return {"finess": finess, "last_accepted": last, "covered": last >= month, "months": months}


def _asked(today: date, year: int | None, month: int | None) -> tuple[int, int]:
    """The year and month asked; by default the last month that has ended."""
    before = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
    year = year or before[0]
    month = month or (before[1] if year == before[0] else 12)
    if not 1 <= month <= 12:
        raise WrongUsage(f"mois {month} : attendu de 1 à 12")
    return year, month
