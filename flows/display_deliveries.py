"""Deliveries on the terminal, in French: what came of each, what was set aside, what is missing, what to tell the sender."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from contracts_schema.french import counted, number
from contracts_schema.rules import label
from flows import display_status
from flows.deliveries import names_of
from flows.display import console, plain
from flows.grids import grid

if TYPE_CHECKING:
    from flows.deliveries import Report
    from flows.explanation import Quarantined

STATUS = {
    "accepted": ("acceptée", "green"),
    "already_known": ("déjà connue", "cyan"),
    "held": ("retenue", "yellow"),
    "rejected": ("refusée", "red"),
    "withdrawn": ("retirée", "red"),
}


def ingested(reports: "Sequence[Report]") -> None:
    """A line a delivery, those that went well together where they are many; then the reasons of each."""
    out = console()
    table = grid("fichier", "état", "lignes >", "acceptées >", "à l'écart >")
    alone, many = display_status.reports(reports)
    for status, some in many.items():
        word, colour = STATUS[status]
        sums = (
            sum(counts)
            for counts in zip(*((one.rows_in, one.rows_accepted, one.rows_quarantined) for one in some), strict=True)
        )
        table.add_row(counted(len(some), "fichier"), Text(word, colour), *map(number, sums))
    for report in alone:
        word, colour = STATUS[report.status]
        table.add_row(plain(names_of(report.files)), Text(word, colour), number(report.rows_in),
                      number(report.rows_accepted), number(report.rows_quarantined))  # fmt: skip
    out.print(table)
    for report in reports:
        reasons = list(_reasons(report))
        if reasons:
            out.print(Text(plain(names_of(report.files)), STATUS[report.decision or report.status][1]))
            for reason in reasons:
                out.print(f"  {reason}", soft_wrap=True)


def passed_over(names: Sequence[str]) -> None:
    """Files of a folder that were not read, their names being none of a transmission."""
    if names:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        count = counted(len(names), "fichier")
        console().print(Text(f"nom non reconnu, non lu ({count}) : {plain(shown)}", "yellow"), soft_wrap=True)


def quarantine(found: "Sequence[Quarantined]", limit: int) -> None:
    """The lines set aside of each delivery, ``limit`` of them: family, line number, rule, fields."""
    out = console()
    if not found:
        out.print("Aucune ligne à l'écart.")
    for entry in found:
        word, colour = STATUS[entry.status]
        out.print(Text.assemble(plain(entry.file), "  ", (word, colour), f"  {counted(entry.lines.height, 'ligne')} à l'écart"))
        table = grid("famille", "ligne >", "règle", "ce qui ne va pas", "champs")
        for line in entry.lines.head(limit).iter_rows(named=True):
            table.add_row(
                line["family"], str(line["line_number"]), line["rule"], label(line["rule"]), ", ".join(line["fields"])
            )
        out.print(table)
        if entry.lines.height > limit:
            out.print(f"… et {counted(entry.lines.height - limit, 'autre')} (--limit, --json)\n")


MONTHS = {
    "accepted": ("✓", "green", "reçu"),
    "held": ("R", "yellow", "retenu"),
    "rejected": ("X", "red", "refusé"),
    "withdrawn": ("←", "red", "retiré"),
    "missing": ("—", "red", "manque"),
    "not_expected": ("·", "dim", "pas attendu"),
}
EXPECTED_BY = {"list": "liste", "settings": "réglages", "received": "reçus"}


def missing(answer: Mapping[str, Any]) -> None:
    """What ``flows.expected.missing`` answers: a line an establishment, a column a month."""
    out = console()
    titles = " ".join(f"{month:02d}" for month in range(1, answer["month"] + 1))
    table = grid("établissement", f"{titles} >", "à jour", "selon", "sans")
    for row in answer["establishments"]:
        covered = Text("oui", "green") if row["covered"] else Text("non", "red")
        signs = (Text(f"{MONTHS[state][0]:>2}", MONTHS[state][1]) for state in row["months"].values())
        by = EXPECTED_BY[row["expected_by"]]
        table.add_row(row["finess"], Text(" ", no_wrap=True).join(signs), covered, by, ", ".join(row["lacking"]))
    out.print(f"Transmissions {answer['year']} attendues jusqu'au mois {answer['month']}")
    out.print(table)
    seen = {state for row in answer["establishments"] for state in row["months"].values()}
    out.print("   ".join(f"{sign} {word}" for state, (sign, _, word) in MONTHS.items() if state in seen))
    out.print("selon : la liste d'une ARS, les réglages, ou ce qui a été reçu cette année ou la précédente")
    if any(row["lacking"] for row in answer["establishments"]):
        out.print("sans : familles de fichiers absentes, ou vides, de la transmission en place")
    out.print(f"{counted(answer['missing'], 'établissement')} en retard sur {number(len(answer['establishments']))}.")


def reject_report(lines: Sequence[Mapping[str, Any]], output: Path | None, most: int = 20) -> None:
    """The first ``most`` lines for the sender, and where all were written."""
    out = console()
    if not lines:
        out.print(
            "Rien à dire à l'émetteur : aucune ligne à l'écart, rien ne retient ni ne refuse la livraison.", soft_wrap=True
        )
    for line in lines[:most]:
        where = f"{plain(line['fichier'])}" + (f", ligne {line['ligne']}" if line["ligne"] else "")
        out.print(f"{where} : {line['libelle']}" + (f" ({line['champs']})" if line["champs"] else ""), soft_wrap=True)
    if len(lines) > most:
        out.print(f"… et {counted(len(lines) - most, 'autre')}")
    if output:
        out.print(f"{counted(len(lines), 'ligne écrite', 'lignes écrites')} dans {plain(output)}")


def _reasons(report: "Report") -> Iterator[str]:
    if report.message:
        yield plain(report.message)
    else:
        yield from map(label, report.reasons)
    yield from (f"alerte : {label(alert)}" for alert in report.alerts)
    yield from map(plain, report.notes)
    for rule, count in report.rules.items():
        yield f"{label(rule)} ({number(count)})"
