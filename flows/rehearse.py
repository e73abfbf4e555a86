"""A rehearsal of the nights to come: a real Prefect server and worker on a hub of synthetic data, thrown away after.

    python -m flows.rehearse
    python -m flows.rehearse --database-url postgresql+asyncpg://…    an empty database for Prefect's server

Starts what ``make up`` starts, sees a run with a wrong parameter refused, asks for one that ingests, waits for one that
publishes and that the scheduler starts by itself, looks for both in the event log and in the lineage, and stops all with
Ctrl-C. Exit code 0 when this is so; else 1, after the last lines that each program wrote. Needs the project's folder; takes
half a minute, at most some minutes.

Must never touch a user's hub, server or settings, nor listen beyond 127.0.0.1.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import requests
import typer

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from flows import up
from flows.hub import init_hub, open_hub
from flows.up import HOST, PROJECT, Place, Program, UpError, ask

LAST_LINES = 40
HASTE = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
}
"""For the rehearsal only: the defaults make it wait for a minute."""

ASKED = "ingest/on-demand"
SCHEDULED = "publish/nightly"
OVER = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def rehearse(folder: Path, database_url: str | None) -> None:
    """The whole rehearsal, in this folder. UpError, requests.RequestException."""
    place = Place(folder / "hub", _free_port())
    _prepare(place.home)
    began = time.monotonic()

    def wait(what: str, found: Callable[[], Any]) -> Any:
        answer = up.wait(what, found, program)
        typer.echo(f"{time.monotonic() - began:6.1f} s  {what}")
        return answer

    with _up(place, database_url) as (program, said):
        wait("le serveur, le worker et les déploiements sont là", lambda: "Ctrl-C" in said.read_text(encoding="utf-8"))
        wait("un paramètre absurde est refusé", lambda: _refused(place))
        wait(f"{ASKED} est demandé", lambda: _ask_for_run(place))
        asked = wait("il est fini", lambda: _over(place, ASKED))
        wait(f"{SCHEDULED} est programmé", lambda: _schedule_run(place))
        scheduled = wait("il est fini", lambda: _over(place, SCHEDULED))
        wait("le graphe va de la livraison au produit", lambda: _lineage(place))
        wait("la place de la source est rendue", lambda: _free(place))
        program.send_signal(signal.SIGINT)
        up.wait("tout est arrêté", lambda: program.poll() is not None)
    if program.returncode or ask(place, "GET", "health"):
        raise UpError("Ctrl-C n'a pas tout arrêté")
    _check(place.home, asked, scheduled)


def main(
    database_url: Annotated[str | None, typer.Option(help="Base de données vide pour le serveur Prefect.")] = None,
) -> None:
    """Répéter les nuits à venir sur un serveur et un hub jetables."""
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "ECLUSE_"))]:
        del os.environ[name]  # they name a user's hub, database or server
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a killed rehearsal stops what it started
    with tempfile.TemporaryDirectory(prefix="ecluse-rehearsal-") as name:
        folder = Path(name)
        try:
            rehearse(folder, database_url)
        except (UpError, requests.RequestException) as failure:
            for log in sorted(folder.rglob("*.log")):
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
                typer.echo("\n".join((f"--- {log.name}", *lines)), err=True)
            typer.echo(f"répétition manquée : {failure}", err=True)
            raise typer.Exit(1) from None
    typer.echo("les deux exécutions sont dans le journal d'événements")


@contextmanager
def _up(place: Place, database_url: str | None) -> Iterator[tuple[Program, Path]]:
    """``make up`` for this place, and the file of what it says, until the block ends."""
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url} if database_url else {}
    here = {"ECLUSE_HOME": str(place.home), "PORT": place.port, "PYTHONUNBUFFERED": "1"}
    said = place.home.parent / "up.log"
    with said.open("wb") as log:
        program = subprocess.Popen(
            [sys.executable, "-m", "flows.up"],
            cwd=PROJECT,
            env=os.environ | HASTE | here | database,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield program, said
        finally:
            program.terminate()
            program.wait(60)


def _free_port() -> str:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return str(free.getsockname()[1])


def _prepare(home: Path) -> None:
    """A fresh hub with one file in its landing folder."""
    init_hub(home, test=True, recipients=["ars-99"])
    finess = fictional_finess()
    landing = home / "landing"
    landing.mkdir()
    write_rsa(landing / f"{finess}.2025.1.rsa", Recipe(finess, 2025, months=1, stays_per_month=50, seed=1))


def _refused(place: Place) -> bool:
    """Whether the server itself refuses a run whose parameter is not as declared. UpError when it takes it."""
    deployment = ask(place, "GET", f"deployments/name/{SCHEDULED}")
    body = {"parameters": {"recipient": "nobody"}}
    answer = requests.post(f"{place.api}/deployments/{deployment['id']}/create_flow_run", json=body, timeout=30)
    if answer.status_code != requests.codes.conflict:
        raise UpError(f"le serveur a répondu {answer.status_code} à un paramètre absurde")
    return True


def _ask_for_run(place: Place) -> Any:
    """Have it run now, with its own parameters; asked again when an answer was lost, it is the same run."""
    deployment = ask(place, "GET", f"deployments/name/{ASKED}")
    body = {"state": {"type": "SCHEDULED"}, "idempotency_key": "rehearsal"}
    return deployment and ask(place, "POST", f"deployments/{deployment['id']}/create_flow_run", body)


def _schedule_run(place: Place) -> bool:
    """Have the scheduler start it in some seconds, beside its own schedule."""
    deployment = ask(place, "GET", f"deployments/name/{SCHEDULED}")
    if not deployment:
        return False
    if any(schedule["slug"] == "rehearsal" for schedule in deployment["schedules"]):
        return True  # the answer was lost
    soon = datetime.now(UTC) + timedelta(seconds=5)
    interval = {"interval": timedelta(days=30).total_seconds(), "anchor_date": soon.isoformat()}
    body = [{"schedule": interval, "slug": "rehearsal"}]
    return ask(place, "POST", f"deployments/{deployment['id']}/schedules", body) is not None


def _over(place: Place, deployed: str) -> dict[str, Any] | None:
    """The run of this deployment that is over. UpError when it did not complete."""
    flow, name = deployed.split("/")
    which = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}}
    runs = ask(place, "POST", "flow_runs/filter", which | {"flow_runs": {"state": {"type": {"any_": OVER}}}})
    if not runs:
        return None
    run: dict[str, Any] = runs[0]
    if run["state_type"] != "COMPLETED":
        raise UpError(f"{run['name']} : {run['state_name']}, {run['state']['message']}")
    return run


def _lineage(place: Place) -> bool:
    """Whether the server knows a delivery, a head made from it, and a product made from this head."""
    wanted = {"filter": {"event": {"name": ["prefect.asset.materialization.succeeded"]}}}
    events = (ask(place, "POST", "events/filter", wanted) or {"events": []})["events"]
    edges = {
        (related["prefect.resource.id"].split("/")[2], event["resource"]["prefect.resource.id"].split("/")[2])
        for event in events
        for related in event["related"]
        if related["prefect.resource.role"] == "asset"
    }
    return edges == {("delivery", "head"), ("head", "product")}


def _free(place: Place) -> bool:
    """Whether the run has made the limit of its source, and holds it no longer."""
    limit = ask(place, "GET", "v2/concurrency_limits/ecluse-pmsi")
    return limit is not None and (limit["limit"], limit["active_slots"]) == (1, 0)


def _check(home: Path, asked: dict[str, Any], scheduled: dict[str, Any]) -> None:
    """The run asked for has accepted a delivery, the scheduled one has published it, and nothing else was done."""
    if not scheduled["auto_scheduled"]:
        raise UpError(f"{scheduled['name']} n'a pas été lancé par le calendrier")
    done = [(event.type, event.meta["flow_run"]) for event in open_hub(home).log.read()]
    wanted = [("DeliveryReceived", asked), ("DeliveryAccepted", asked), ("ProductPublished", scheduled)]
    if done != [(kind, run["id"]) for kind, run in wanted]:
        raise UpError(f"le journal d'événements contient {done}")


if __name__ == "__main__":
    typer.run(main)
