"""The Prefect flow that ingests: which files, when, and trying again. The work is in ``flows.deliveries``.

Tasks pass ids, hashes and counts, never rows. What happened is in the event log; Prefect's records may be lost, and a
run executed twice changes nothing.
"""

from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, runtime
from prefect.artifacts import create_table_artifact
from pydantic import AfterValidator, Field

from contracts_schema.geography import CAISSE
from flows import arrivals, deliveries, lineage, together
from flows.hub import WrongUsage, open_hub, parse_instant
from flows.steps import StepError, hub_of, one_run_per_source, step
from warehouse.heads import BORDEREAU

FACTS = ("status", "period", "rows_in", "rows_accepted", "rows_quarantined")
"""What lineage tells of a delivery."""
ISO_INSTANT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$"


def _readable(received_at: str) -> str:
    try:
        parse_instant(received_at)
    except WrongUsage as error:
        raise ValueError(str(error)) from None
    return received_at


Caisse = Annotated[str, Field(pattern=rf"^({CAISSE.pattern})$")]
ReceivedAt = Annotated[str, Field(pattern=ISO_INSTANT), AfterValidator(_readable)]


@step
def receive(paths: list[str], received_at: str | None, caisse: str | None, home: str | None, run: str) -> dict[str, Any] | str:
    """Land the files of one delivery: the id of its delivery, or the report when there is no more to do."""
    stated = parse_instant(received_at) if received_at else None
    hub = hub_of(home, run)
    found, refused = deliveries.find(map(Path, paths), caisse, hub.settings)
    if refused:  # it was readable when the flow looked at it
        return refused[0].as_json()
    received = deliveries.receive(hub, found[0], stated)
    return received if isinstance(received, str) else received.as_json()


@step
def decide(delivery_id: str, home: str | None, run: str) -> dict[str, Any]:
    """Judge a delivery: its report."""
    return deliveries.decide(hub_of(home, run), delivery_id).as_json()


@step
def take_in(
    paths: list[list[str]], received_at: str | None, caisse: str | None, home: str | None, run: str
) -> list[dict[str, Any]]:
    """Land and judge small deliveries side by side (``flows.together``), each with its files: their reports."""
    stated = parse_instant(received_at) if received_at else None
    hub = hub_of(home, run)
    found, refused = deliveries.find([Path(path) for one in paths for path in one], caisse, hub.settings)
    reports = [report for group in together.groups(found) for report in together.ingest(hub, group, stated)]
    return [report.as_json() for report in [*refused, *reports]]


@step
def stand(told: list[tuple[str, str]], home: str | None, run: str) -> list[bool]:
    """Whether each of these deliveries (scope, id) stands for its scope: an earlier month, sent late, does not."""
    scopes = {scope for scope, _ in told}
    bordereaux = f"{BORDEREAU}/"  # a bordereau stands by what the others say, too
    under = next(iter(scopes)) if len(scopes) == 1 else None
    heads = deliveries.all_heads(hub_of(home, run), under=bordereaux if under and under.startswith(bordereaux) else under)
    found = [(heads.get(scope), delivery_id) for scope, delivery_id in told]
    return [head is not None and head.delivery_id == one and head.superseded_by is None for head, one in found]


@flow(name="ingest", persist_result=False)
def ingest(
    paths: Annotated[list[str], Field(min_length=1)],
    home: str | None = None,
    received_at: ReceivedAt | None = None,
    caisse: Caisse | None = None,
) -> list[dict[str, Any]]:
    """Ingest the deliveries among these files and folders, small ones by groups; gives their reports, in order.

    A refused delivery is a report; one that cannot be judged fails the run, after the others had their turn. A folder
    without any known file is a night without deliveries, and so is a landing folder that nobody has made yet.

    Args:
        paths: files and folders; a relative path starts from the hub's home.
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
        received_at: when the files were received, if not now: 2026-03-31 or 2026-03-31T18:00.
        caisse: the caisse that received the bordereaux, if no folder cpam-<code> and no setting tells it: 311.
    """
    hub = open_hub(Path(home) if home else None)
    if received_at and parse_instant(received_at).date() > hub.today():
        raise WrongUsage(f"received_at : {received_at} est dans l'avenir")
    given = [hub.settings.home / Path(path).expanduser() for path in paths]
    with_files = [path for path in given if not _without_files(path, hub.settings.home / "landing")]
    found, refused = deliveries.find(with_files, caisse, hub.settings)
    run = str(runtime.flow_run.id)
    reports, failures = [report.as_json() for report in refused], []
    for source, of_source in groupby(found, key=lambda one: one.source):
        with one_run_per_source(source):
            for group in together.groups(of_source):
                files = [[str(path) for path in one.received] for one in group]
                some: list[dict[str, Any]] = []
                if together.is_group(group):
                    with suppress(StepError):
                        some = take_in(files, received_at, caisse, home, run)
                for alone in [] if some else files:  # when the group could not be, each has its turn
                    try:
                        received = receive(alone, received_at, caisse, home, run)
                        some.append(decide(received, home, run) if isinstance(received, str) else received)
                    except StepError as failure:
                        failures.append(str(failure))
                reports += some
                try:
                    _record_lineage(some, home, run)
                except StepError as failure:
                    failures.append(str(failure))
    create_table_artifact(_summary(reports), key="ingest", description=f"Livraisons traitées : {len(reports)}")
    if failures:
        told = "; ".join(sorted(set(failures)))
        raise StepError(f"{len(failures)} of {len(found)} deliveries could not be judged: {told}")
    return reports


def _without_files(path: Path, landing: Path) -> bool:
    """Whether this is a folder that brings nothing; a file that is missing is a mistake."""
    if not path.is_dir():
        return path == landing and not path.exists()
    return not any(arrivals.is_known(entry) for entry in path.rglob("*") if entry.is_file())


def _record_lineage(reports: list[dict[str, Any]], home: str | None, run: str) -> None:
    """The deliveries that were just decided, then the heads that they became."""
    new = [report for report in reports if report["delivery_id"] is not None and report["status"] != "already_known"]
    standing = stand([(report["scope"], report["delivery_id"]) for report in new], home, run) if new else []
    for report, stands in zip(new, standing, strict=True):
        scope, facts = report["scope"], {name: report[name] for name in FACTS}
        made_from = lineage.delivery(scope, report["delivery_id"])
        month = f", mois {report['period']}" if report["period"] else ""
        lineage.record(made_from, f"{scope}{month}", facts)
        if stands:
            lineage.record(lineage.head(scope), scope, {"period": report["period"]}, upstream=[made_from])


def _summary(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts per delivery and rule, in French. No file name: a name can say anything."""
    lines = []
    for report in reports:
        rules = report["rules"] | dict.fromkeys(report["reasons"], "motif de la décision")
        lines.append(
            {
                "périmètre": report["scope"] or "(fichier refusé)",
                "issue": report["status"],
                "lignes": report["rows_in"],
                "acceptées": report["rows_accepted"],
                "écartées": report["rows_quarantined"],
                "règles": ", ".join(f"{rule} : {count}" for rule, count in rules.items()),
            }
        )
    return lines
