"""A rehearsal of the nights to come: a real Prefect server and worker on a hub of synthetic data, thrown away after.

    python -m flows.rehearse

Deploys ``prefect.yaml`` as it is, asks for a run that ingests, waits for one that publishes and that the scheduler
starts by itself, and looks for both in the event log. Exit code 0 when they completed; else 1, after the last lines
that each program wrote. Needs the project's folder; takes half a minute, at most three minutes.

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
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import typer

from connectors.synthetic import Recipe, fictional_finess, write_rsa
from flows.hub import init_hub, open_hub
from flows.prefect_settings import prefect_environment

PROJECT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 180
HOST = "127.0.0.1"
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


class RehearsalError(Exception):
    """What did not happen as it should."""


class Rehearsal:
    """A hub, a server and a worker in one folder, and how much time is left."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        self.folder = folder
        self.home = folder / "hub"
        self.port = str(port)
        self.api = f"http://{HOST}:{port}/api"
        self.began = time.monotonic()
        place = {"ECLUSE_HOME": str(self.home), "PREFECT_API_URL": self.api}
        self.environment = os.environ | prefect_environment(self.home) | HASTE | place

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A ``prefect`` program that runs until the block ends, with all that it started."""
        with (self.folder / f"{name}.log").open("wb") as log:
            program = subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield program
            finally:
                _stop(program)

    def wait(self, what: str, found: Callable[[], Any], *needed: "subprocess.Popen[bytes]") -> Any:
        """Ask until there is an answer. RehearsalError when time is up, or a program that it needs has ended."""
        while not (answer := found()):
            if any(program.poll() is not None for program in needed):
                raise RehearsalError(f"{what}: a program that this needs has ended")
            if time.monotonic() - self.began > LIMIT_SECONDS:
                raise RehearsalError(f"{what}: not after {LIMIT_SECONDS} s")
            time.sleep(0.3)
        typer.echo(f"{time.monotonic() - self.began:6.1f} s  {what}")
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The server's answer; None when it does not answer, is busy, or does not know the thing yet."""
        try:
            answer = requests.request(method, f"{self.api}/{path}", json=body, timeout=10)
        except (requests.ConnectionError, requests.Timeout):
            return None
        if answer.status_code in (requests.codes.not_found, requests.codes.service_unavailable):
            return None
        if answer.status_code != requests.codes.conflict:  # a conflict: it was done the first time, the answer was lost
            answer.raise_for_status()
        return answer.json()


def rehearse(folder: Path) -> None:
    """The whole rehearsal, in this folder. RehearsalError, requests.RequestException."""
    at = Rehearsal(folder)
    _prepare(at.home)
    with ExitStack() as stack:
        server = stack.enter_context(at.running("server", "server", "start", "--host", HOST, "--port", at.port))
        at.wait("the server answers", lambda: at.ask("GET", "health"), server)
        start_worker = ("worker", "start", "--pool", "ecluse", "--type", "process", "--install-policy", "never")
        worker = stack.enter_context(at.running("worker", *start_worker))
        at.wait("the worker has made its pool", lambda: at.ask("GET", "work_pools/ecluse"), server, worker)
        with at.running("deploy", "deploy", "--all") as deploy:
            at.wait("prefect.yaml is read", lambda: deploy.poll() is not None, server, worker)
        if deploy.returncode:
            raise RehearsalError("prefect.yaml cannot be deployed")
        at.wait(f"a run of {ASKED} is asked for", lambda: _ask_for_run(at), server)
        asked = at.wait("it is over", lambda: _over(at, ASKED), server, worker)
        at.wait(f"a run of {SCHEDULED} is scheduled", lambda: _schedule_run(at), server)
        scheduled = at.wait("it is over", lambda: _over(at, SCHEDULED), server, worker)
    _check(at.home, asked, scheduled)


def main() -> int:
    """Rehearse in a temporary folder; the exit code."""
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "ECLUSE_"))]:
        del os.environ[name]  # they name a user's hub, database or server
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a killed rehearsal stops what it started
    if not (PROJECT / "prefect.yaml").is_file():
        typer.echo(f"no prefect.yaml in {PROJECT}: run this from the project's sources", err=True)
        return 2
    with tempfile.TemporaryDirectory(prefix="ecluse-rehearsal-") as name:
        folder = Path(name)
        try:
            rehearse(folder)
        except (RehearsalError, requests.RequestException) as failure:
            for log in sorted(folder.glob("*.log")):
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
                typer.echo("\n".join((f"--- {log.name}", *lines)), err=True)
            typer.echo(f"rehearsal failed: {failure}", err=True)
            return 1
    typer.echo("both runs completed and are in the event log")
    return 0


def _prepare(home: Path) -> None:
    """A fresh hub with one file in its landing folder."""
    init_hub(home, test=True)
    finess = fictional_finess()
    landing = home / "landing"
    landing.mkdir()
    write_rsa(landing / f"{finess}.2025.1.rsa", Recipe(finess, 2025, months=1, stays_per_month=50, seed=1))


def _ask_for_run(at: Rehearsal) -> Any:
    """Have it run now, with its own parameters; asked again when an answer was lost, it is the same run."""
    deployment = at.ask("GET", f"deployments/name/{ASKED}")
    body = {"state": {"type": "SCHEDULED"}, "idempotency_key": "rehearsal"}
    return deployment and at.ask("POST", f"deployments/{deployment['id']}/create_flow_run", body)


def _schedule_run(at: Rehearsal) -> Any:
    """Have the scheduler start it in some seconds, beside its own schedule."""
    deployment = at.ask("GET", f"deployments/name/{SCHEDULED}")
    soon = datetime.now(UTC) + timedelta(seconds=5)
    interval = {"interval": timedelta(days=30).total_seconds(), "anchor_date": soon.isoformat()}
    body = [{"schedule": interval, "slug": "rehearsal"}]
    return deployment and at.ask("POST", f"deployments/{deployment['id']}/schedules", body)


def _over(at: Rehearsal, deployed: str) -> dict[str, Any] | None:
    """The run of this deployment that is over. RehearsalError when it did not complete."""
    flow, name = deployed.split("/")
    which = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}}
    runs = at.ask("POST", "flow_runs/filter", which | {"flow_runs": {"state": {"type": {"any_": OVER}}}})
    if not runs:
        return None
    run: dict[str, Any] = runs[0]
    if run["state_type"] != "COMPLETED":
        raise RehearsalError(f"{run['name']} ended as {run['state_name']}: {run['state']['message']}")
    return run


def _check(home: Path, asked: dict[str, Any], scheduled: dict[str, Any]) -> None:
    """The run asked for has accepted a delivery, the scheduled one has published it, and nothing else was done."""
    if not scheduled["auto_scheduled"]:
        raise RehearsalError(f"{scheduled['name']} was not started by the scheduler")
    done = [(event.type, event.meta["flow_run"]) for event in open_hub(home).log.read()]
    wanted = [("DeliveryReceived", asked), ("DeliveryAccepted", asked), ("ProductPublished", scheduled)]
    if done != [(kind, run["id"]) for kind, run in wanted]:
        raise RehearsalError(f"the event log holds {done}")


def _stop(program: "subprocess.Popen[bytes]") -> None:
    """End a program that leads its own group, and what it started: gently, then by force."""
    for means, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        try:
            os.killpg(program.pid, means)
            program.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main())
