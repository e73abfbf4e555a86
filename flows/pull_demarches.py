"""The Prefect flow that pulls démarches: which, when, and trying again. The work is in ``flows.pull``.

Tasks pass numbers and counts, never an answer of a dossier. A pull that stops goes on where it was at its next try.
"""

import logging
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_table_artifact
from pydantic import Field

from connectors.demarches_client import PullStopped
from flows import lineage
from flows import pull as pulls
from flows.demarches_settings import demarches
from flows.hub import open_hub
from flows.ingest import stand
from flows.steps import StepError, hub_of, one_run_per_source, step
from warehouse.heads import DEMARCHE

EACH = 500
"""Dossiers read between two lines of the run's log."""

Number = Annotated[int, Field(ge=1)]


@step
def pull(number: int, absences: bool, files: bool, home: str | None, run: str) -> dict[str, Any]:
    """Pull one démarche: its counts and the report of its delivery."""
    return pulls.pull(hub_of(home, run), number, absences=absences, files=files, progress=_told(number)).as_json()


@flow(name="pull_demarches", persist_result=False)
def pull_demarches(
    demarche: Number | None = None, absences: bool = False, files: bool = True, home: str | None = None
) -> list[dict[str, Any]]:
    """Pull the démarches of the settings, one by one; gives their counts, in order. None named: nothing to do.

    One that fails does not stop the others, and fails the run in the end.

    Args:
        demarche: the number of one démarche; by default all of the settings.
        absences: walk every number too, to find what vanished without a word; its cost grows with all dossiers.
        files: fetch attached files.
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
    """
    hub = open_hub(Path(home) if home else None)
    asked = pulls.numbers(hub, demarche) if demarche or demarches(hub.settings) else []
    run = str(runtime.flow_run.id)
    done, failures = [], []
    with one_run_per_source(DEMARCHE):
        for number in asked:
            try:
                done.append(pull(number, absences, files, home, run))
                _record_lineage(done[-1]["delivery"], home, run)
            except (StepError, PullStopped) as failure:
                failures.append(f"{number}: {failure}")
    create_table_artifact(_summary(done), key="pull-demarches", description=f"Démarches lues : {len(done)} sur {len(asked)}")
    if failures:
        raise StepError(f"{len(failures)} of {len(asked)} démarches could not be pulled: {'; '.join(failures)}")
    return done


def _told(number: int) -> Any:
    """Tells the run's log how far a pull is, now and then."""
    logger: logging.Logger | logging.LoggerAdapter[Any] = get_run_logger()
    last = 0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        if done >= last + EACH:
            last = done
            logger.info("démarche %d : %d dossiers lus", number, done)

    return progress


def _record_lineage(report: dict[str, Any], home: str | None, run: str) -> None:
    """The delivery that was just decided, then the head that it became."""
    scope, delivery_id = report["scope"], report["delivery_id"]
    if report["status"] == "already_known":
        return
    made_from = lineage.delivery(scope, delivery_id)
    lineage.record(made_from, scope, {name: report[name] for name in ("status", "rows_in", "rows_accepted")})
    if stand([(scope, delivery_id)], home, run)[0]:
        lineage.record(lineage.head(scope), scope, {"rows": report["rows_accepted"]}, upstream=[made_from])


def _summary(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts per démarche, in French. No number of a dossier, no name of a file."""
    return [
        {
            "démarche": one["demarche"],
            "issue": one["delivery"]["status"],
            "lecture": one["pull"]["mode"],
            "requêtes": one["pull"]["requests"],
            "lus": one["pull"]["read"],
            "nouveaux": one["pull"]["added"],
            "changés": one["pull"]["changed"],
            "supprimés": one["pull"]["deleted"],
            "disparus": one["pull"]["absent"],
            "en échec": one["pull"]["failed"],
            "dossiers": one["pull"]["dossiers"],
            "règles": ", ".join(f"{rule} : {count}" for rule, count in one["delivery"]["rules"].items()),
            "pièces": ", ".join(f"{status} : {count}" for status, count in one["files"].items()),
        }
        for one in done
    ]
