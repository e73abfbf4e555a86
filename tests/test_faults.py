"""Faults: a process killed, a disk full, a database gone, a race, damage. The log stays sound, the same command converges."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Ecluse, Export, Jobs, Shelf, the
from test_log import database_gone

from flows import deliveries, gate, state
from flows.hub import Hub, init_hub, open_hub
from warehouse import faults, log_database
from warehouse.log import LogUnavailable


def what_stands(home: Path) -> tuple[list[Any], dict[str, bytes]]:
    """Every event as the log holds it, hashes included, and every file of the store, the views and the publications."""
    found = {
        str(path.relative_to(home)): path.read_bytes()
        for folder in ("store", "views", "products")
        for path in (home / folder).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    return [dataclasses.astuple(event) for event in open_hub(home).log.read()], found


def assert_sound(home: Path) -> None:
    answer = state.verify(open_hub(home))
    assert answer["sound"], answer["problems"]


def steps(home: Path, path: Path, names: Sequence[str] = ("ingest", "publish")) -> list[list[object]]:
    arguments = {"ingest": [path], "publish": []}
    return [["--home", home, name, *arguments[name]] for name in names]


# --- killed at a numbered point


def numbered(trace: Path, *, all_of_them: bool) -> list[int]:
    """The numbers of the calls to stop at: all, or the first and the last of each name."""
    places = defaultdict(list)
    for number, name in enumerate(trace.read_text().split(), start=1):
        places[name].append(number)
    return sorted({n for found in places.values() for n in (found if all_of_them else {found[0], found[-1]})})


@pytest.mark.parametrize(
    ("database", "all_of_them"),
    [
        ("sqlite", False),
        pytest.param("sqlite", True, marks=pytest.mark.soak),
        pytest.param("postgresql", True, marks=pytest.mark.soak),
    ],
)
def test_killed_at_any_numbered_point_no_event_lacks_its_bytes_and_the_same_commands_converge(
    jobs: Jobs, export: Export, tmp_path: Path, request: pytest.FixtureRequest, database: str, all_of_them: bool
) -> None:
    """In the suite each command is killed from where the one before it ended well; in the soak both are given each time."""
    path, reached = export(defects={3: "month_13"}), set[str]()
    base = sa.make_url(request.getfixturevalue("postgresql_url")) if database == "postgresql" else None

    def new_hub(name: str) -> Path:
        home = tmp_path / name
        home.mkdir()
        settings = "test = true\n"
        if base:
            schema = f"{base.query['options']}_{name}".partition("=")[2]
            with sa.create_engine(base).begin() as connection:
                connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
            url = base.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
            settings += f'database_url = "{url}"\n'
        (home / "ecluse.toml").write_text(settings)
        init_hub(home, test=True, recipients=["ars-99"])
        return home

    start, recovered = new_hub, []
    for names in [["ingest", "publish"]] if all_of_them else [["ingest"], ["publish"]]:
        said, trace = "_".join(names), tmp_path / f"trace_{names[0]}"
        whole = start(f"undisturbed_{said}")
        assert jobs(steps(whole, path, names), ECLUSE_CRASH_TRACE=str(trace)) == [0]
        undisturbed, reached = what_stands(whole), reached | set(trace.read_text().split())
        for number in numbered(trace, all_of_them=all_of_them):
            home = start(f"killed_{said}_{number}")
            assert jobs(steps(home, path, names), ECLUSE_CRASH_AT=str(number)) == [-signal.SIGKILL]
            assert_sound(home)
            assert jobs(steps(home, path, names)) == [0]
            assert what_stands(home) == undisturbed
            assert not list((home / "products").rglob(".making-*"))
        after = str(len(trace.read_text().split()) + 1)
        assert jobs(steps(start(f"not_killed_{said}"), path, names), ECLUSE_CRASH_AT=after) == [0]
        start = partial(copied, whole)
        recovered.append(home)
    assert reached == set(faults.POINTS), "a kill point that is never reached, or one without a name"
    assert len(undisturbed[0]) == 3
    assert jobs(steps(recovered[0], path)) == [0]
    assert what_stands(recovered[0]) == undisturbed


def copied(home: Path, name: str) -> Path:
    return Path(shutil.copytree(home, home.with_name(name)))


def test_what_a_killed_process_left_unfinished_is_removed_by_the_next_one(jobs: Jobs, export: Export, home: Path) -> None:
    path = export()
    jobs(steps(home, path), ECLUSE_CRASH_AT="1")
    assert len(list((home / "store" / "tmp").iterdir())) == 1
    assert jobs(steps(home, path), ECLUSE_CRASH_AT="") == [0]
    assert list((home / "store" / "tmp").iterdir()) == []


# --- at the same time


def test_eight_processes_that_ingest_one_file_make_one_delivery(
    jobs: Jobs, export: Export, home: Path, log_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", log_url)
    init_hub(home, test=True, recipients=["ars-99"])
    assert jobs(*[[["--home", home, "ingest", export(), "--json"]]] * 8, ECLUSE_DATABASE_URL=log_url) == [0] * 8
    reports = [json.loads((tmp_path / f"said_{number}").read_text())["deliveries"][0] for number in range(8)]
    assert sorted(report["status"] for report in reports) == ["accepted"] + ["already_known"] * 7
    assert {report["decision"] for report in reports} == {"accepted"}
    assert len({report["delivery_id"] for report in reports}) == 1
    assert [event.type for event in open_hub(home).log.read()] == ["DeliveryReceived", "DeliveryAccepted"]
    assert_sound(home)


def test_eight_processes_that_publish_make_one_publication(jobs: Jobs, export: Export, home: Path, hub: Hub) -> None:
    deliveries.ingest(hub, the(export()))
    assert jobs(*[[["--home", home, "publish"]]] * 8) == [0] * 8
    assert [event.data["number"] for event in hub.log.read(types={"ProductPublished"})] == [1]
    assert_sound(home)


def test_a_race_between_two_deciders_reports_one_acceptance_and_one_already_known(
    hub: Hub, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliveries.receive(hub, the(export()))
    assert isinstance(delivery, str)
    judged = gate.gate

    def overtaken(*arguments: Any) -> Any:
        found = judged(*arguments)
        monkeypatch.setattr(gate, "gate", judged)
        assert deliveries.decide(hub, delivery).status == "accepted"
        return found

    monkeypatch.setattr(gate, "gate", overtaken)
    report = deliveries.decide(hub, delivery)
    assert (report.status, report.decision, report.alerts) == ("already_known", "accepted", [])
    assert len(list(hub.log.read())) == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_transmissions_of_a_month_the_last_received_stands_in_whatever_order_they_are_decided(
    hub: Hub, export: Export, order: tuple[int, int]
) -> None:
    first, second = export(stays=50, name="a"), export(stays=49, name="b")
    received = []
    for path in (first, second):
        named = path.rename(path.with_name("990000010.2025.2.rsa"))
        received.append(deliveries.receive(hub, the(named)))
    decided = {place: deliveries.decide(hub, str(received[place])) for place in order}
    assert [head.delivery_id for head in deliveries.heads(hub).values()] == [received[1]]
    assert decided[1].alerts == []
    assert decided[0].alerts == (["pmsi.late_month"] if order == (1, 0) else [])


def test_a_shrunken_transmission_is_held_even_when_decided_after_one_received_before_it(hub: Hub, export: Export) -> None:
    whole = export(stays=50, name="990000010.2025.2.rsa")
    first = deliveries.receive(hub, the(whole))
    second = deliveries.receive(hub, the(export(stays=10, name="990000010.2025.2.rsa")))
    assert deliveries.decide(hub, str(first)).status == "accepted"
    report = deliveries.decide(hub, str(second))
    assert (report.status, report.reasons) == ("held", ["pmsi.shrunken"])


# --- no room, no permission


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk; a limit on the size of files is tested without")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Take all of the disk but some kilobytes."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize - left * 1024))
    return ballast


@pytest.mark.parametrize("every_time", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["each_place", "every_time"])
def test_a_disk_that_fills_up_anywhere_is_told_in_one_line_and_the_same_commands_work_once_there_is_room(
    small_disk: Path, ecluse: Ecluse, export: Export, home: Path, every_time: bool
) -> None:
    """The commands are given again once for each place that had no room; in the soak, every time."""
    path = export(stays=300)
    told = set[str]()
    empty = shutil.copytree(home, small_disk.parent / "empty")
    assert [ecluse(*command, home=home).code for command in (["ingest", path], ["publish"])] == [0, 0]
    undisturbed = what_stands(home)
    for left in (0, 24, 48, 72, 96, 128, 160, 176, 192, 208, 224, 240, 256, 288, 320):
        full = shutil.copytree(empty, small_disk / "hub")
        ballast, before = fill(small_disk, left), len(told)
        for command in (["ingest", path], ["publish"]):
            said = ecluse(*command, home=full)
            if said.code:
                assert said.code == 1, said
                assert said.err.startswith("ecluse : ")
                assert said.err.count("\n") == 1
                assert "relancez la même commande" in said.err
                told.add(said.err.removeprefix("ecluse : ").split(":")[0].replace(str(full), ""))
                break
        ballast.unlink()
        assert_sound(full)
        assert set(what_stands(full)[1].items()) <= set(undisturbed[1].items()), "something unfinished has a final name"
        if every_time or len(told) > before:
            assert [ecluse(*command, home=full).code for command in (["ingest", path], ["publish"])] == [0, 0]
            assert what_stands(full) == undisturbed
        shutil.rmtree(full)
    places = ("/store/tmp", "/views", "/warehouse", "/products", "le journal sqlite")
    assert all(any(place in line for line in told) for place in places), told


def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(jobs: Jobs, export: Export, home: Path, tmp_path: Path) -> None:
    path = export(stays=2000)
    assert jobs([["--home", home, "ingest", path]], file_size=60_000) == [1]
    assert (tmp_path / "said_0").read_text() == (
        f"ecluse : écriture impossible dans {home}/store/tmp : fichier trop grand pour ce disque ; "
        "remédiez-y, puis relancez la même commande\n"
    )
    assert_sound(home)
    assert what_stands(home) == ([], {})
    assert jobs([["--home", home, "ingest", path]]) == [0]


@pytest.mark.parametrize("folder", ["store", "views", "products"])
def test_a_folder_that_cannot_be_written_is_told_and_the_same_commands_work_once_it_can(
    ecluse: Ecluse, export: Export, home: Path, folder: str
) -> None:
    path = export()
    (home / folder).write_text("a file where a folder should be")
    codes = [ecluse("ingest", path).code]
    said = ecluse("publish") if folder != "store" else ecluse("ingest", path)
    assert codes == [1 if folder == "store" else 0]
    assert said.code == 1
    assert said.err.startswith(f"ecluse : écriture impossible dans {home}/{folder}")
    assert said.err.count("\n") == 1
    assert_sound(home)
    (home / folder).unlink()
    assert [ecluse(*command).code for command in (["ingest", path], ["publish"])] == [0, 0]


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_ingested(
    ecluse: Ecluse, export: Export, tmp_path: Path, hub: Hub
) -> None:
    unreadable = tmp_path / "990000028.2025.1.rsa"
    unreadable.symlink_to("/proc/self/mem")  # opens, even for root, and cannot be read at its start
    said = ecluse("ingest", unreadable, export(), "--json")
    assert said.code == 1
    assert [(found["files"][0]["name"], found["status"], found["message"]) for found in said.json["deliveries"]] == [
        ("990000010.2025.2.rsa", "accepted", None),
        ("990000028.2025.1.rsa", "rejected", "lecture impossible : erreur d'entrée-sortie du disque"),
    ]
    assert {event.stream for event in hub.log.read()} == {"pmsi/mco/990000010/2025"}


def test_a_file_that_changes_while_it_is_read_is_refused(
    hub: Hub, export: Export, ecluse: Ecluse, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export()
    land = deliveries.land

    def grown(*arguments: Any) -> None:
        with path.open("ab") as file:
            file.write(b"more\r\n")
        land(*arguments)

    monkeypatch.setattr(deliveries, "land", grown)
    said = ecluse("ingest", path)
    assert said.code == 2
    assert "a changé pendant la lecture" in said.err
    assert list(hub.log.read()) == []


# --- the database


def test_a_database_gone_between_reception_and_decision_is_told_and_a_rerun_decides(
    log_url: str, postgresql: sa.Engine, home: Path, export: Export, ecluse: Ecluse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", log_url)
    init_hub(home, test=True, recipients=["ars-99"])
    monkeypatch.setattr(log_database, "LOCK_SECONDS", 0)
    hub, path = open_hub(home), export()
    delivery = str(deliveries.receive(hub, the(path)))
    with database_gone(log_url, postgresql):
        with pytest.raises(LogUnavailable):
            deliveries.decide(hub, delivery)
        said = ecluse("ingest", path)
    assert said.code == 1
    assert said.err.startswith("ecluse : le journal ")
    assert said.err.endswith("relancez la même commande\n")
    assert said.err.count("\n") == 1
    assert_sound(home)
    assert ecluse("ingest", path, "--json").json["deliveries"][0]["status"] == "accepted"
    assert [event.type for event in hub.log.read()] == ["DeliveryReceived", "DeliveryAccepted"]


def test_a_log_that_is_no_file_any_more_is_told_and_nothing_is_made_in_its_place(
    ecluse: Ecluse, export: Export, home: Path
) -> None:
    path = export()
    assert ecluse("ingest", path).code == 0
    aside = (home / "ecluse.db").rename(home / "aside.db")
    assert "pas de journal à sqlite" in ecluse("status").err
    (home / "ecluse.db").mkdir()
    said = ecluse("ingest", path)
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "pas de journal à sqlite" in said.err
    (home / "ecluse.db").rmdir()
    aside.rename(home / "ecluse.db")
    assert ecluse("ingest", path, "--json").json["deliveries"][0]["status"] == "already_known"


def test_a_file_that_is_no_database_is_told(ecluse: Ecluse, home: Path) -> None:
    (home / "ecluse.db").write_bytes(b"not a database, whatever its name says " * 200)
    said = ecluse("status")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "ce fichier n'est pas une base SQLite" in said.err


# --- damage


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip_one_bit, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "remove", "empty"]
)
@pytest.mark.parametrize("part", ["raw", "segments", "products"])
def test_damage_on_disk_is_named_by_verify(
    ecluse: Ecluse, export: Export, home: Path, shelf: Shelf, part: str, damage: Callable[[Path], None]
) -> None:
    def make(place: Path) -> None:
        shutil.copytree(home, place)
        commands = (["ingest", export(defects={3: "month_13"})], ["publish"])
        assert [ecluse(*command, home=place).code for command in commands] == [0, 0]

    shutil.copytree(shelf("published_with_a_bad_line", make), home, dirs_exist_ok=True)
    folder = home / part if part == "products" else home / "store" / part
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        sound = path.read_bytes()
        damage(path)
        said = ecluse("verify", "--json")
        assert (said.code, said.json["sound"]) == (1, False)
        assert len(said.json["problems"]) == 1
        assert path.name.split(".")[0] in said.json["problems"][0]
        whose = {"raw": "(990000010.2025.2.rsa)", "segments": ", pmsi/mco/990000010/2025)", "products": "ars-99"}
        assert whose[part] in said.json["problems"][0]
        assert said.json["problems"][0] in ecluse("verify").out
        path.write_bytes(sound)
    assert ecluse("verify").code == 0
