"""No room left for PostgreSQL's data, its write-ahead log, the store or the publications: told in one line, nothing lost.

What was published stays readable meanwhile, and the same commands work once there is room.
"""

import itertools
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Ecluse, Export, Said, Servers
from fault_table import Promise
from killable import USER, Server, doubled, lost, short_folder

from flows.hub import Hub, init_hub, open_hub
from warehouse.log import LogUnavailable, NewEvent

Disks = Callable[[str, int], Path]
PLACES = ["tablespace", "pg_wal", "store", "products"]


@pytest.fixture
def disks() -> Iterator[Disks]:
    """Mounts small disks: ``disks(name, megabytes)``."""
    with short_folder() as folder:
        mounted: list[Path] = []

        def mount(name: str, megabytes: int) -> Path:
            place = folder / name
            place.mkdir()
            options = f"size={megabytes}m,mode=777"
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
            if done.returncode:
                pytest.skip("only root can mount a small disk; a limit on the size of the server's files is tested without")
            mounted.append(place)
            return place

        yield mount
        for place in mounted:
            subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            return ballast


def stuffed(hub: Hub, *batches: tuple[int, int]) -> dict[str, tuple[int, str]]:
    """Append batches of (so many events, of so many bytes), each until the log takes no more; what it acknowledged."""
    told: dict[str, tuple[int, str]] = {}
    for count, size in batches:
        with suppress(LogUnavailable):
            while len(told) < 3000:
                text = secrets.token_hex(size // 2)
                facts = [NewEvent("stuffing", "DecisionTaken", {"text": text}, secrets.token_hex(8)) for _ in range(count)]
                for event, _ in hub.log.append_all(facts, {}):
                    told[event.idempotency_key] = (event.position, event.hash)
    assert len(told) < 3000, "there is still room"
    return told


def assert_told(said: Said) -> None:
    assert said.code == 1, said
    assert said.err.startswith("ecluse : ")
    assert said.err.count("\n") == 1, said.err
    assert "relancez la même commande" in said.err


def served(home: Path) -> dict[str, bytes]:
    """Every byte that recipients can read."""
    folder = home / "products"
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file() and path.name != "ballast"}
    return {name: path.read_bytes() for name, path in found.items() if not Path(name).name.startswith(".")}


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.parametrize("place", PLACES)
def test_a_disk_that_is_full_is_told_and_the_same_commands_work_once_there_is_room(
    place: str, servers: Servers, disks: Disks, ecluse: Ecluse, export: Export, home: Path, promise: Promise, rounds: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    disk = disks(place, 32)
    server = servers()
    monkeypatch.setenv("ECLUSE_DATABASE_URL", put_on(disk, place, server, home, monkeypatch))
    init_hub(home, test=True)
    hub, told = open_hub(home), dict[str, tuple[int, str]]()
    assert [ecluse(*command).code for command in (["ingest", export(1, months=1)], ["publish"])] == [0, 0]
    numbers, filled = itertools.count(2), place in ("tablespace", "pg_wal")
    for _ in range(rounds):
        before, path, ballast = served(home), export(next(numbers), months=1), fill(disk)
        if filled:
            told |= stuffed(hub, (1, 120_000), (1, 2_000), (1, 20))
        said = ecluse("ingest", path)
        while filled and said.code == 0:  # there was room left on the pages that it needed
            path = export(next(numbers), months=1)
            said = ecluse("ingest", path)
        if place == "products":
            assert said.code == 0
            said = ecluse("publish")
        assert_told(said)
        assert served(home) == before
        ballast.unlink()
        if place == "pg_wal":  # PostgreSQL stops when it cannot write ahead, and asks to be started again
            server.kill()
            assert server.start()
        assert [ecluse(*command).code for command in (["ingest", path], ["publish"])] == [0, 0]
        assert served(home) != before
        answer = ecluse("verify", "--json").json
        assert answer["sound"], answer["problems"]
    events = list(hub.log.read())
    told |= {event.idempotency_key: (event.position, event.hash) for event in events if event.type == "DeliveryAccepted"}
    deliveries = [event for event in events if event.stream != "stuffing"]
    assert promise(f"R10 disk full: {place}", rounds, len(told), lost(hub.log, told), doubled(deliveries))
    assert [event.type for event in deliveries].count("DeliveryAccepted") == next(numbers) - 1


def put_on(disk: Path, place: str, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put one place of the hub on the disk; the address of its log."""
    if place == "tablespace":
        (disk / "base").mkdir(mode=0o700)
        if USER:
            subprocess.run(["chown", USER, disk / "base"], check=True)
        with server.connect() as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk / 'base'}'")  # type: ignore[call-overload]
            connection.execute("CREATE DATABASE hub TABLESPACE small")
        return server.url().replace("/postgres?", "/hub?")
    if place == "pg_wal":
        server.kill()
        subprocess.run(["cp", "-a", server.data / "pg_wal", disk], check=True)
        subprocess.run(["rm", "-r", server.data / "pg_wal"], check=True)
        (server.data / "pg_wal").symlink_to(disk / "pg_wal")
        assert server.start()
    if place == "store":
        monkeypatch.setenv("ECLUSE_STORE_URL", str(disk / "store"))
    if place == "products":
        (home / "products").symlink_to(disk)
    return server.url()


def test_a_server_whose_files_may_grow_no_more_is_told_like_one_whose_disk_is_full(
    servers: Servers, ecluse: Ecluse, export: Export, home: Path, promise: Promise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For machines where no disk can be mounted: the system refuses to let a file of the server pass one megabyte."""
    server = servers()
    monkeypatch.setenv("ECLUSE_DATABASE_URL", server.url())
    init_hub(home, test=True)
    hub = open_hub(home)
    server.kill()
    assert server.start(largest_file=1 << 20)
    told = stuffed(hub, (100, 1_200), (10, 1_200), (1, 1_200), (1, 20))
    assert_told(ecluse("ingest", export(months=1)))
    server.kill()
    assert server.start()
    assert ecluse("ingest", export(months=1), "--json").json["deliveries"][0]["status"] == "accepted"
    assert promise("R10 file size limit", 1, len(told), lost(hub.log, told), 0)
    assert hub.log.verify() == []
