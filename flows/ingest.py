"""The Prefect flow that ingests: which files, when, and trying again. The work is in ``flows.deliveries``.

Tasks pass ids, hashes and counts, never rows. What happened is in the event log; Prefect's records may be lost, and a
run executed twice changes nothing.
"""

from pathlib import Path
from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact

from flows import deliveries
from flows.hub import open_hub, parse_instant
from flows.steps import StepError, hub_of, step


@step
def receive(paths: list[str], received_at: str | None, home: str | None, run: str) -> dict[str, Any] | str:
    """Land the files of one transmission: the id of its delivery, or the report when there is no more to do."""
    stated = parse_instant(received_at) if received_at else None
    found, refused = deliveries.find(map(Path, paths))
    if refused:  # it was readable when the flow looked at it
        return refused[0].as_json()
    received = deliveries.receive(hub_of(home, run), found[0], stated)
    return received if isinstance(received, str) else received.as_json()


@step
def decide(delivery_id: str, home: str | None, run: str) -> dict[str, Any]:
    """Judge a delivery: its report."""
    return deliveries.decide(hub_of(home, run), delivery_id).as_json()


@flow(name="ingest", persist_result=False)
def ingest(paths: list[str], home: str | None = None, received_at: str | None = None) -> list[dict[str, Any]]:
    """Ingest the transmissions among these files and folders, one by one; gives their reports, in order.

    A refused delivery is a report; one that cannot be judged fails the run, after the others had their turn.

    Args:
        paths: files and folders; a relative path starts from the hub's home.
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
        received_at: when the files were received, if not now: 2026-03-31 or 2026-03-31T18:00.
    """
    hub_home = open_hub(Path(home) if home else None).settings.home
    found, refused = deliveries.find(hub_home / Path(path).expanduser() for path in paths)
    run = str(runtime.flow_run.id)
    reports, failures = [report.as_json() for report in refused], []
    for transmission in found:
        try:
            received = receive([str(path) for path in transmission.received], received_at, home, run)
            reports.append(decide(received, home, run) if isinstance(received, str) else received)
        except StepError as failure:
            failures.append(str(failure))
    create_markdown_artifact(_summary(reports), key="ingest", description="Ce que sont devenues les livraisons")
    if failures:
        told = "; ".join(sorted(set(failures)))
        raise StepError(f"{len(failures)} of {len(found)} deliveries could not be judged: {told}")
    return reports


def _summary(reports: list[dict[str, Any]]) -> str:
    """Counts per delivery and rule, in French. No file name: a name can say anything."""
    lines = ["| périmètre | issue | lignes | acceptées | écartées | règles |", "|---|---|--:|--:|--:|---|"]
    for report in reports:
        rules = report["rules"] | dict.fromkeys(report["reasons"], "motif de la décision")
        told = "<br>".join(f"{rule} : {count}" for rule, count in rules.items())
        counts = " | ".join(str(report[name]) for name in ("rows_in", "rows_accepted", "rows_quarantined"))
        lines.append(f"| {report['scope'] or '(fichier refusé)'} | {report['status']} | {counts} | {told} |")
    return "\n".join(lines)
