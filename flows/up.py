"""A Prefect server and worker for one hub on this machine, in the foreground: ``make up``.

    python -m flows.up

Makes the hub of ``ECLUSE_HOME`` (else ``~/.ecluse``) when there is none, starts the server on 127.0.0.1, waits until it
answers, starts the worker, deploys ``prefect.yaml``, tells what runs when, and stops all of it at Ctrl-C. Needs the project's
folder. Variables: ``PORT`` (4200 by default), and those of Prefect, for example its database. Exit code 0 when it was stopped
or was running already, 1 when a program ended by itself, 2 when it cannot start.

Must never listen beyond 127.0.0.1, nor make a work pool by command, which would have the server ask a public site.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import typer

from flows.hub import CONFIG, WrongUsage, default_home, init_hub, read_settings
from flows.prefect_settings import prefect_environment

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PORT = "4200"
PATIENCE_SECONDS = 180
"""A first start makes the database: a minute on a busy machine."""

Program = subprocess.Popen[bytes]


class UpError(Exception):
    """What did not happen as it should."""


@dataclass(frozen=True)
class Place:
    """A hub's home and the port of its server."""

    home: Path
    port: str

    @property
    def page(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.page}/api"

    @property
    def logs(self) -> Path:
        return self.home / "prefect" / "logs"

    @property
    def environment(self) -> dict[str, str]:
        """What its programs are told: what the user has set goes before our defaults, save for where the server is."""
        here = {"ECLUSE_HOME": str(self.home), "PREFECT_API_URL": self.api}
        return prefect_environment(self.home) | os.environ | here


def serve(place: Place) -> None:
    """Run until a program ends or a signal comes. UpError when a program ends by itself, or does not start."""
    typer.echo("Démarrage du serveur Prefect, du worker, des déploiements : une minute la première fois …")
    with ExitStack() as stack:
        port = ("--host", HOST, "--port", place.port)
        server = stack.enter_context(running(place, "server", "server", "start", *port))
        wait("le serveur", lambda: ask(place, "GET", "health"), server)
        pool = ("--pool", "ecluse", "--type", "process", "--install-policy", "never")
        worker = stack.enter_context(running(place, "worker", "worker", "start", *pool))
        wait("le worker", lambda: ask(place, "GET", "work_pools/ecluse"), server, worker)
        with running(place, "deploy", "deploy", "--all") as deploy:
            wait("les déploiements", lambda: deploy.poll() is not None, server, worker)
        if deploy.returncode:
            raise UpError("prefect.yaml ne peut pas être déployé")
        typer.echo(told(place))
        while server.poll() is None and worker.poll() is None:
            time.sleep(0.5)
    raise UpError("le serveur ou le worker s'est arrêté de lui-même")


@contextmanager
def running(place: Place, name: str, *arguments: str) -> Iterator[Program]:
    """A ``prefect`` program that runs until the block ends, with all that it started."""
    with (place.logs / f"{name}.log").open("ab") as log:
        program = subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=PROJECT,
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C comes to us alone, who end them in order
        )
        try:
            yield program
        finally:
            stop(program)


def stop(program: Program) -> None:
    """End a program that leads its own group, and what it started: gently, then by force."""
    for means, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        try:
            os.killpg(program.pid, means)
            program.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def wait(what: str, found: Callable[[], Any], *needed: Program) -> Any:
    """Ask until there is an answer. UpError when time is up, or a program that it needs has ended."""
    began = time.monotonic()
    while not (answer := found()):
        if any(program.poll() is not None for program in needed):
            raise UpError(f"{what} : un programme nécessaire s'est arrêté")
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise UpError(f"{what} : toujours rien après {PATIENCE_SECONDS} s")
        time.sleep(0.3)
    return answer


def ask(place: Place, method: str, path: str, body: Any = None) -> Any:
    """The server's answer; None when it does not answer, is busy, or does not know the thing yet."""
    try:
        answer = requests.request(method, f"{place.api}/{path}", json=body, timeout=10)
    except (requests.ConnectionError, requests.Timeout):
        return None
    if answer.status_code in (requests.codes.not_found, requests.codes.service_unavailable):
        return None
    answer.raise_for_status()
    return answer.json()


def told(place: Place) -> str:
    """What runs when, where to look, how to stop; in French."""
    flows = {flow["id"]: flow["name"] for flow in ask(place, "POST", "flows/filter", {})}
    lines = [f"Prefect   {place.page}", f"hub       {place.home}", f"journaux  {place.logs}", ""]
    for deployment in sorted(ask(place, "POST", "deployments/filter", {}), key=lambda found: found["name"]):
        name = f"{flows[deployment['flow_id']]}/{deployment['name']}"
        when = [
            f"{one['schedule']['cron']} ({one['schedule']['timezone']})" for one in deployment["schedules"] if one["active"]
        ]
        lines.append(f"{name:<18}{', '.join(when) or 'à la demande'}")
    lines += ["", f"Les fichiers posés dans {place.home / 'landing'} sont pris chaque nuit."]
    if not read_settings(place.home).recipients:
        lines.append(f"Aucun destinataire : rien ne sera publié avant « ecluse --home {place.home} init --recipient ars-76 ».")
    return "\n".join([*lines, "Ctrl-C arrête tout."])


@contextmanager
def alone(place: Place) -> Iterator[bool]:
    """Whether no other process runs this for the hub; holds the place until the block ends."""
    with (place.home / "prefect" / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def main() -> int:
    """Serve until stopped; the exit code."""
    place = Place(default_home(), os.environ.get("PORT", PORT))
    try:
        if not (PROJECT / "prefect.yaml").is_file():
            raise WrongUsage(f"pas de prefect.yaml dans {PROJECT} : à lancer depuis les sources du projet")
        if not (place.home / CONFIG).is_file():
            init_hub(place.home)
            typer.echo(f"Hub prêt dans {place.home}")
        for folder in (place.home / "landing", place.logs):
            folder.mkdir(parents=True, exist_ok=True)
        with alone(place) as first:
            if not first:
                typer.echo(f"Prefect tourne déjà pour {place.home}")
                return 0
            if _taken(place.port):
                raise WrongUsage(f"le port {place.port} est pris : PORT=4300 make up")
            for means in (signal.SIGINT, signal.SIGTERM):
                signal.signal(means, _interrupt)
            serve(place)
    except KeyboardInterrupt:
        typer.echo("Arrêté.")
        return 0
    except WrongUsage as error:
        typer.echo(str(error), err=True)
        return 2
    except (UpError, requests.RequestException) as failure:
        typer.echo(f"{failure} ; journaux : {place.logs}", err=True)
        return 1
    return 0


def _interrupt(*_: Any) -> None:
    """The first signal ends all; a second one must not cut that short and leave programs behind."""
    for means in (signal.SIGINT, signal.SIGTERM):
        signal.signal(means, signal.SIG_IGN)
    raise KeyboardInterrupt


def _taken(port: str) -> bool:
    with suppress(OSError), socket.create_connection((HOST, int(port)), timeout=1):
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
