"""The Prefect flows: the work of the plain functions, nothing twice, and no value of a row in what Prefect keeps."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from checks.rows import Gate
from connectors import synthetic_ecds
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_ecars import canonical, sample_contract
from connectors.synthetic_rsa import write_rsa
from flows import deliveries, prefect_settings, publication, together, up
from flows.hub import TEST_CLOCK, Hub, WrongUsage, init_hub, open_hub
from warehouse.blobs import BlobUnwritable
from warehouse.log import LogUnavailable
from warehouse.postgresql import WarehouseError, WarehouseUnavailable

PROJECT = Path(__file__).parent.parent
PLANTED = b"ZOE MARTIN 2850699123456"
PATIENCE_SECONDS = 180
"""For what takes a moment on a machine that has nothing else to do."""


@pytest.fixture(scope="module")
def prefect_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], bytes]]:
    """A Prefect server for the flows of these tests; gives the bytes of every file that it has written."""
    home = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in prefect_settings.prefect_environment(home).items():
            patch.setenv(name, value)
        patch.setenv("PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS", "0.5")  # asked again after 30 s else
        from prefect.logging.configuration import setup_logging
        from prefect.settings import (
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            PREFECT_HOME,
            PREFECT_SERVER_DATABASE_CONNECTION_URL,
            temporary_settings,
        )
        from prefect.testing.utilities import prefect_test_harness

        setup_logging()  # else the first run does it, and takes pytest's handler away from that test
        no_heartbeat = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})  # whose end each run waits for, a second
        with prefect_test_harness(server_startup_timeout=600), no_heartbeat:
            database = Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).split("///")[1])
            folders = (database.parent, Path(PREFECT_HOME.value()))
            yield lambda: b"".join(
                path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()
            )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub without deliveries whose clock stands still."""
    return make_hub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """A folder of three files: a good one, one with bad lines, one that is held since most of its lines are bad."""
    folder = tmp_path / "landing"
    folder.mkdir()
    for number, defects in enumerate(({}, {3: "month_13", 8: "extra_bytes"}, dict.fromkeys(range(30), "age_a5")), start=1):
        write_file(folder, number, defects)
    (folder / "990000010.2025.1.rsa.txt").write_text("not a name that is known")
    return folder


def make_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    for name in ("ECLUSE_DATABASE_URL", "ECLUSE_STORE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(TEST_CLOCK, "2026-03-31T18:00")
    init_hub(home, test=True, recipients=["ars-99"])
    return open_hub(home)


def write_file(folder: Path, number: int, defects: dict[int, str] | None = None) -> Path:
    finess = fictional_finess(number=number)
    path = folder / f"{finess}.2025.1.rsa"
    write_rsa(path, Recipe(finess, 2025, months=1, stays_per_month=100, seed=number), defects=defects)
    return path


def write_landed(hub: Hub) -> Path:
    """A file in the landing folder of the hub."""
    (hub.settings.home / "landing").mkdir()
    return write_file(hub.settings.home / "landing", 1)


def plant(path: Path) -> None:
    """Put a patient's name and number at the end of one line."""
    lines = path.read_bytes().split(b"\r\n")
    lines[4] += PLANTED
    path.write_bytes(b"\r\n".join(lines))


def facts(hub: Hub) -> list[tuple[Any, ...]]:
    """What the log says, save the flow run."""
    said = []
    for event in hub.log.read():
        meta = {name: value for name, value in event.meta.items() if name != "flow_run"}
        said.append((event.position, event.stream, event.type, event.data, meta, event.recorded_at))
    return said


def run_ingest(hub: Hub, *paths: Path) -> Any:
    """A run of the flow: its final state."""
    from flows.ingest import ingest

    return ingest([str(path) for path in paths], home=str(hub.settings.home), return_state=True)


def wait_until_written(files: Callable[[], bytes], mark: str) -> bytes:
    """What Prefect wrote, once a mark is in it that it writes after the rest: logs arrive a moment later."""
    end = time.monotonic() + PATIENCE_SECONDS
    while mark.encode() not in (written := files()):
        assert time.monotonic() < end, f"{mark} is nowhere in what Prefect wrote"
        time.sleep(0.2)
    return written


@pytest.mark.usefixtures("prefect_files")
def test_the_flow_reports_and_records_what_the_plain_functions_do(
    hub: Hub, landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_hub(tmp_path / "plain", monkeypatch)
    expected = [deliveries.ingest(plain, found).as_json() for found in deliveries.find([landing])[0]]
    state = run_ingest(hub, landing)
    assert state.is_completed()
    assert state.result() == expected
    assert [report["status"] for report in expected] == ["accepted", "accepted", "held"]
    assert facts(hub) == facts(plain)
    assert {event.meta["flow_run"] for event in hub.log.read()} == {str(state.state_details.flow_run_id)}


@pytest.mark.usefixtures("prefect_files")
def test_exports_of_contracts_go_by_groups_and_alone_when_a_group_cannot(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        export = canonical([sample_contract(number, finess_ej=fictional_finess(number=number))])
        (tmp_path / f"{number}.csv").write_bytes(export)
    sizes, ingest = list[int](), together.ingest

    def once(hub: Hub, group: Any, *more: Any) -> Any:
        sizes.append(len(group))
        if len(sizes) > 1:
            raise ValueError("a value of a cell")
        return ingest(hub, group, *more)

    monkeypatch.setattr(together, "ingest", once)
    files = sorted(tmp_path.glob("*.csv"))
    first, second = (run_ingest(hub, *some).result() for some in (files[:2], files[2:]))
    assert [report["status"] for report in first + second] == ["accepted"] * 4
    assert sizes == [2, 2]
    received = [event.data["files"][0]["name"] for event in hub.log.read(types={"DeliveryReceived"})]
    assert received == [path.name for path in files]


@pytest.mark.usefixtures("prefect_files")
def test_a_second_run_finds_every_delivery_known_and_changes_nothing(hub: Hub, landing: Path) -> None:
    first = run_ingest(hub, landing).result()
    before = list(hub.log.read())
    second = run_ingest(hub, landing).result()
    assert {report["status"] for report in second} == {"already_known"}
    assert [report["delivery_id"] for report in second] == [report["delivery_id"] for report in first]
    assert list(hub.log.read()) == before


@pytest.mark.usefixtures("prefect_files")
def test_the_publishing_flow_publishes_once_what_the_plain_functions_publish(hub: Hub, landing: Path) -> None:
    from flows.publish import publish

    run_ingest(hub, landing)
    states = [publish(home=str(hub.settings.home), return_state=True) for _ in range(2)]
    reports = [state.result() for state in states]
    assert [[report["status"] for report in found] for found in reports] == [["published"], ["unchanged"]]
    published = list(hub.log.read(types={"ProductPublished"}))
    assert [event.meta["flow_run"] for event in published] == [str(states[0].state_details.flow_run_id)]
    plain = publication.publish(hub)
    assert [report.as_json() for report in plain] == reports[1]
    assert (hub.settings.home / reports[0][0]["folder"] / "datapackage.json").is_file()


@pytest.mark.usefixtures("prefect_files")
def test_a_night_without_deliveries_completes(hub: Hub) -> None:
    from flows.build import build
    from flows.publish import publish

    home = str(hub.settings.home)
    assert run_ingest(hub, Path("landing")).result() == []  # nobody has made it yet
    (hub.settings.home / "landing").mkdir()
    (hub.settings.home / "landing" / "notes.txt").write_text("not an export")
    assert run_ingest(hub, Path("landing")).result() == []
    assert build(home=home)["heads"] == 0
    assert publish(home=home) == []
    assert not list(hub.log.read())


@pytest.mark.usefixtures("prefect_files")
def test_nothing_to_publish_to_a_recipient_who_is_named_fails_the_run_and_says_so(hub: Hub) -> None:
    from flows.publish import publish

    state = publish(recipient="ars-99", home=str(hub.settings.home), return_state=True)
    assert state.is_failed()
    assert "rien à publier" in str(state.message)


@pytest.mark.usefixtures("prefect_files")
@pytest.mark.parametrize(
    ("flow", "parameters", "told"),
    [
        ("ingest", {"paths": []}, "paths"),
        ("ingest", {"paths": ["landing"], "received_at": "31/03/2026"}, "received_at"),
        ("ingest", {"paths": ["landing"], "received_at": "2026-02-30"}, "date illisible"),
        ("ingest", {"paths": ["landing"], "received_at": "2026-04-01"}, "dans l'avenir"),
        ("publish", {"recipient": "somebody"}, "recipient"),
        ("publish", {"recipient": "cpam-31A"}, "recipient"),
        ("publish", {"recipient": "ars-98"}, "aucune région n'a le code 98"),
    ],
)
def test_a_parameter_that_makes_no_sense_fails_the_run_before_it_does_anything(
    flow: str, parameters: dict[str, Any], told: str, hub: Hub
) -> None:
    from prefect.flows import load_flow_from_entrypoint

    write_landed(hub)
    state = load_flow_from_entrypoint(str(PROJECT / f"flows/{flow}.py:{flow}"))(
        **parameters, home=str(hub.settings.home), return_state=True
    )
    assert state.is_failed()
    assert told in str(state.message)
    assert "pydantic" not in str(state.message)
    assert not list(hub.log.read())
    assert not hub.views_folder.exists()


@pytest.mark.usefixtures("prefect_files")
def test_a_relative_path_starts_from_the_home_of_the_hub(hub: Hub) -> None:
    write_landed(hub)
    assert [report["status"] for report in run_ingest(hub, Path("landing")).result()] == ["accepted"]


@pytest.mark.usefixtures("prefect_files")
def test_a_path_that_does_not_exist_fails_the_run_and_says_so(hub: Hub, tmp_path: Path) -> None:
    state = run_ingest(hub, tmp_path / "nowhere")
    assert state.is_failed()
    assert "fichier introuvable" in str(state.message)


def test_no_value_of_a_bad_line_reaches_prefect(
    hub: Hub, landing: Path, prefect_files: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    from flows.build import build
    from flows.publish import publish

    plant(landing / f"{fictional_finess(number=1)}.2025.1.rsa")
    state = run_ingest(hub, landing)
    assert state.is_completed()
    assert sum(report["rows_quarantined"] for report in state.result()) == 33
    run = str(state.state_details.flow_run_id)
    build(home=str(hub.settings.home))
    publish(home=str(hub.settings.home))
    written = wait_until_written(prefect_files, "lignes masqu")  # in the last artifact
    assert run.encode() in written
    assert b"Livraisons trait" in written
    assert b"2 transmissions en place" in written
    assert PLANTED not in written
    assert b".2025.1.rsa" not in written  # a name can say anything
    assert "Completed" in caplog.text
    assert PLANTED.decode() not in caplog.text


def test_an_error_that_quotes_a_line_fails_the_run_by_type_and_place_after_the_others_had_their_turn(
    hub: Hub,
    landing: Path,
    prefect_files: Callable[[], bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plant(landing / f"{fictional_finess(number=2)}.2025.1.rsa")
    judge = Gate.judge

    def quoting(gate: Gate, text: Any, refused: Any, ignored: int) -> Any:
        lines = [line for line in refused["raw"] if PLANTED.decode() in line]
        if lines:
            raise ValueError(f"cannot parse {lines[0]}")
        return judge(gate, text, refused, ignored)

    monkeypatch.setattr(Gate, "judge", quoting)
    state = run_ingest(hub, landing)
    assert state.is_failed()
    told = "1 of 3 deliveries could not be judged: ValueError, raised at test_prefect.py:"
    assert told in state.message
    written = wait_until_written(prefect_files, told)
    for seen in (written, caplog.text.encode(), repr(state).encode()):
        assert b"test_prefect.py" in seen
        assert PLANTED not in seen
        assert b"cannot parse" not in seen
    decided = [event.stream for event in hub.log.read(types={"DeliveryAccepted", "DeliveryRejected"})]
    assert decided == [f"pmsi/mco/{fictional_finess(number=number)}/2025" for number in (1, 3)]


@pytest.mark.usefixtures("prefect_files")
@pytest.mark.parametrize("failure", [LogUnavailable("gone"), BlobUnwritable("full"), WarehouseUnavailable("restarts")])
def test_a_store_that_comes_back_costs_a_retry_and_no_more(
    failure: Exception, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fail_times(2, failure, monkeypatch)
    state = run_ingest(hub, write_file(tmp_path, 1))
    assert [report["status"] for report in state.result()] == ["accepted"]
    assert len(calls) == 3


@pytest.mark.usefixtures("prefect_files")
def test_a_store_that_stays_away_fails_the_run_and_the_next_run_goes_on(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path, 1)
    with monkeypatch.context() as patch:
        calls = fail_times(99, LogUnavailable("the log refuses"), patch)
        state = run_ingest(hub, path)
    assert state.is_failed()
    assert "the log refuses" in state.message
    assert len(calls) == 4
    assert [report["status"] for report in run_ingest(hub, path).result()] == ["accepted"]


@pytest.mark.usefixtures("prefect_files")
@pytest.mark.parametrize("failure", [WrongUsage("wait for the end of the copy"), WarehouseError("no such account")])
def test_a_mistake_of_the_user_is_not_tried_again(
    failure: Exception, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fail_times(1, failure, monkeypatch)
    state = run_ingest(hub, write_file(tmp_path, 1))
    assert state.is_failed()
    assert str(failure) in state.message
    assert len(calls) == 1


def ask(path: str, body: Any = None) -> Any:
    """What the server of these tests answers."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client._client.post(path, json=body or {}).json()


@pytest.mark.usefixtures("prefect_files")
def test_the_lineage_goes_from_deliveries_to_heads_to_products_and_leaves_out_what_does_not_stand(
    hub: Hub, landing: Path
) -> None:
    from flows.publish import publish

    home = str(hub.settings.home)
    runs = [str(run_ingest(hub, landing).state_details.flow_run_id)]
    for _ in range(2):  # the second has nothing new to tell
        runs.append(str(publish(home=home, return_state=True).state_details.flow_run_id))
    runs.append(str(run_ingest(hub, landing).state_details.flow_run_id))
    made = assets_made(runs, 6)
    ids = {event.stream: event.data["delivery_id"][:12] for event in hub.log.read(types={"DeliveryReceived"})}
    scopes = [f"pmsi/mco/{fictional_finess(number=number)}/2025" for number in (1, 2, 3)]
    heads = {f"ecluse://head/{scope}": {f"ecluse://delivery/{scope}/{ids[scope]}"} for scope in scopes[:2]}
    deliveries_made = {f"ecluse://delivery/{scope}/{ids[scope]}": set() for scope in scopes}
    assert made == deliveries_made | heads | {"ecluse://product/ars-99/pmsi-activity": set(heads)}


@pytest.mark.usefixtures("prefect_files")
def test_a_product_may_be_made_from_the_heads_of_a_whole_region() -> None:
    from prefect import flow

    from flows import lineage

    made_from = {lineage.head(f"pmsi/mco/{fictional_finess(number=number)}/2025") for number in range(1001, 1301)}
    key = lineage.product("ars-99", "whole-region")

    @flow(persist_result=False)
    def region() -> None:
        lineage.record(key, "ars-99", {"number": 1}, sorted(made_from))

    assert assets_made([str(region(return_state=True).state_details.flow_run_id)], 4) == {key: made_from}


def assets_made(runs: list[str], expected: int) -> dict[str, set[str]]:
    """Assets that these flow runs have made, with what each was made from, as the server tells it."""
    wanted = {"related": {"id": [f"prefect.flow-run.{run}" for run in runs]}, "event": {"prefix": ["prefect.asset.mat"]}}
    end = time.monotonic() + PATIENCE_SECONDS
    while len(events := ask("/events/filter", {"filter": wanted, "limit": 50})["events"]) < expected:
        assert time.monotonic() < end, f"{len(events)} events"
        time.sleep(0.2)
    time.sleep(0.5)  # for one too many
    events = ask("/events/filter", {"filter": wanted, "limit": 50})["events"]
    assert {event["event"] for event in events} == {"prefect.asset.materialization.succeeded"}
    assert len(events) == expected
    made: dict[str, set[str]] = {}
    for event in events:
        from_here = {one["prefect.resource.id"] for one in event["related"] if one["prefect.resource.role"] == "asset"}
        before = made.setdefault(event["resource"]["prefect.resource.id"], set())
        assert not before & from_here
        before |= from_here
    return made


@pytest.mark.usefixtures("prefect_files")
def test_deployed_runs_on_one_source_take_turns_unless_the_operator_lets_more_of_them_in(
    hub: Hub, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from flows.steps import one_run_per_source

    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "any")  # as Prefect's documentation says for tests
    with ThreadPoolExecutor() as pool:
        with one_run_per_source("pmsi"):
            waiting = pool.submit(run_ingest, hub, landing)
            time.sleep(2)
            assert not waiting.done()
            assert not list(hub.log.read())
        assert [report["status"] for report in waiting.result(PATIENCE_SECONDS).result()] == ["accepted", "accepted", "held"]
        set_limit(2)
        with one_run_per_source("pmsi"):
            assert {report["status"] for report in pool.submit(run_ingest, hub, landing).result(PATIENCE_SECONDS).result()} == {
                "already_known"
            }
        set_limit(1)


def set_limit(limit: int) -> None:
    """What ``prefect gcl update ecluse-pmsi --limit`` does."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name("ecluse-pmsi", limit)


def fail_times(times: int, failure: Exception, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have the first receptions fail, and retries come at once; gives the list of calls."""
    from flows import ingest

    receive, calls = deliveries.receive, []

    def failing(hub: Hub, path: Path, *more: Any) -> Any:
        calls.append(path)
        if len(calls) <= times:
            raise failure
        return receive(hub, path, *more)

    monkeypatch.setattr(deliveries, "receive", failing)
    monkeypatch.setattr(ingest, "receive", ingest.receive.with_options(retry_delay_seconds=0))
    return calls


def test_the_summary_counts_per_rule_and_names_no_file(tmp_path: Path) -> None:
    from flows.ingest import _summary

    report = deliveries.Report(
        "held",
        [{"name": "zoe.rsa"}],
        "pmsi/mco/990000010/2025",
        rows_in=9,
        rules={"pmsi.line_length": 2},
        reasons=["r.x"],
    )
    refused = deliveries.Report("rejected", [{"name": "martin.rsa"}], reasons=["pmsi.file_name"], message="martin")
    lines = [list(line.values()) for line in _summary([report.as_json(), refused.as_json()])]
    assert lines == [
        ["pmsi/mco/990000010/2025", "held", 9, 0, 0, "pmsi.line_length : 2, r.x : motif de la décision"],
        ["(fichier refusé)", "rejected", 0, 0, 0, "pmsi.file_name : motif de la décision"],
    ]


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables of the environment nor files tell Prefect anything."""
    for name in {*os.environ, *prefect_settings.prefect_environment(tmp_path)}:
        if name.startswith("PREFECT_") or name == "DO_NOT_TRACK":
            monkeypatch.setenv(name, "")  # so that it is put back, even when there was none
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    monkeypatch.chdir(tmp_path)


def settings_read() -> tuple[Any, ...]:
    """Analytics, patience, results kept, where leases are, promotion: as Prefect reads them now."""
    from prefect.settings.models.root import Settings

    read = Settings()
    return (
        read.server.analytics_enabled,
        read.server.ephemeral.startup_timeout_seconds,
        read.results.persist_by_default,
        read.server.concurrency.lease_storage.rpartition(".")[2],
        read.server.ui.show_promotional_content,
    )


@pytest.mark.usefixtures("no_settings")
def test_the_defaults_keep_prefect_quiet_and_at_home(tmp_path: Path) -> None:
    from prefect.settings.models.root import Settings

    assert settings_read() == (True, 20, False, "memory", True)  # else the rest proves nothing
    prefect_settings.set_prefect_defaults(tmp_path)
    assert settings_read() == (False, 120, False, "filesystem", False)
    assert Settings().home == tmp_path / "prefect"
    assert os.environ["DO_NOT_TRACK"] == "1"


@pytest.mark.usefixtures("no_settings")
def test_what_the_user_has_set_goes_before_the_defaults(tmp_path: Path) -> None:
    os.environ["PREFECT_HOME"] = "/elsewhere"
    prefect_settings.set_prefect_defaults(tmp_path)
    assert os.environ["PREFECT_HOME"] == "/elsewhere"


@pytest.mark.usefixtures("no_settings")
def test_prefect_commands_in_the_folder_of_the_project_are_quiet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    assert settings_read() == (False, 120, False, "filesystem", False)


def test_the_services_say_to_prefect_what_the_project_says_and_listen_on_this_machine_only() -> None:
    folder = PROJECT / "docs" / "systemd"
    lines = (folder / "ecluse.env").read_text(encoding="utf-8").splitlines()
    told = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    of_servers_of_flows = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
    said = {name: value for name, value in prefect_settings.QUIET.items() if name != of_servers_of_flows}
    assert told | said == told
    server, worker = ((folder / f"ecluse-{name}.service").read_text(encoding="utf-8") for name in ("server", "worker"))
    assert "server start --host 127.0.0.1 --port 4200\n" in server
    assert "worker start --pool ecluse --type process --install-policy never\n" in worker
    hardened = [unit[unit.index("UMask=") :] for unit in (server, worker)]
    assert hardened[0] == hardened[1]


def test_the_deadlines_of_a_campaign_are_closed_once_and_published_and_no_centre_is_told_to_prefect(
    hub: Hub, tmp_path: Path, prefect_files: Callable[[], bytes]
) -> None:
    from flows import closings
    from flows.close import close_campaign

    folder = tmp_path / "centres"
    folder.mkdir()
    for name, content in synthetic_ecds.demo().items():
        (folder / name).write_bytes(content)
    found, _ = deliveries.find([folder])
    assert {deliveries.ingest(hub, one).status for one in found} == {"accepted"}
    home = str(hub.settings.home)
    told = close_campaign(home=home)
    assert [(one["year"], one["deadline"]) for one in told] == [(2025, "rosp"), (2025, "rfs")]
    assert [event.position for event in closings.closings(hub)] == [one["position"] for one in told]
    published = [event.data["product"] for event in hub.log.read(types={"ProductPublished"})]
    assert published == ["centres-de-sante"], "the second closing changes nothing of what is published"
    assert close_campaign(home=home) == []
    written = wait_until_written(prefect_files, "tats arr")  # in the artifact
    for planted in ("Centre de santé fictif", synthetic_ecds.rpps(201), synthetic_ecds.finess(9)):
        assert planted.encode() not in written


def test_every_deployment_runs_a_flow_with_all_its_parameters_and_no_path_of_a_machine() -> None:
    from prefect.flows import Flow, load_flow_from_entrypoint

    text = (PROJECT / "prefect.yaml").read_text(encoding="utf-8")
    declared = yaml.safe_load(text)["deployments"]
    schedules = {}
    for deployment in declared:
        flow: Flow[..., Any] = load_flow_from_entrypoint(str(PROJECT / deployment["entrypoint"]))
        assert set(deployment["parameters"]) == set(flow.parameters.properties)
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
        named = f"{flow.name}/{deployment['name']}"
        schedules[named] = [(found["cron"], found["timezone"]) for found in deployment["schedules"]]
    assert schedules == {
        "ingest/nightly": [("0 2 * * *", "Europe/Paris")],
        "ingest/on-demand": [],
        "pull_demarches/nightly": [("0 1 * * *", "Europe/Paris")],
        "pull_demarches/absences": [("0 23 * * 0", "Europe/Paris")],
        "build/nightly": [("0 4 * * *", "Europe/Paris")],
        "publish/nightly": [("0 5 * * *", "Europe/Paris")],
        "publish/on-demand": [],
        "close-campaign/nightly": [("30 3 * * *", "Europe/Paris")],
        "watch_deadlines/daily": [("0 7 * * *", "Europe/Paris")],
    }
    assert not [word for word in text.split() if word.strip("'\"[],").startswith("/")]


def test_the_command_line_does_not_load_prefect() -> None:
    program = "import sys, flows.cli; print(sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "flows" in done.stdout
    assert "prefect" not in done.stdout


def installed_postgresql() -> Path | None:
    """The programs of a PostgreSQL of this machine: the one in the wheel lacks pg_trgm, which Prefect's tables need."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found and (found[-1] / "initdb").exists() else None


@pytest.fixture
def prefect_database(tmp_path: Path) -> Iterator[str | None]:
    """The address of an empty database for Prefect's server, as a role that is no superuser; None without a PostgreSQL."""
    programs = installed_postgresql()
    if programs is None:
        yield None
        return
    own: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory() as name:
        if own:
            shutil.chown(name, own["user"])
        subprocess.run([programs / "initdb", "-D", f"{name}/data", "-U", "postgres", "-A", "trust", "--no-sync"],
                       check=True, capture_output=True, **own)  # fmt: skip
        server = subprocess.Popen([programs / "postgres", "-D", f"{name}/data", "-k", name, "-c", "listen_addresses=", "-F"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **own)  # fmt: skip
        try:
            make_database(name)
            yield f"postgresql+asyncpg://prefect@/prefect?host={name}"
        finally:
            server.send_signal(signal.SIGQUIT)  # nothing of it is kept
            server.wait(PATIENCE_SECONDS)


def make_database(folder: str) -> None:
    """A role and its database, once the server answers."""
    url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(sa.text("CREATE ROLE prefect LOGIN"))
                connection.execute(sa.text("CREATE DATABASE prefect OWNER prefect"))
                return
        except sa.exc.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_what_make_up_starts_runs_what_is_deployed_when_asked_and_on_schedule(
    prefect_database: str | None, tmp_path: Path
) -> None:
    """On PostgreSQL where the machine has one; else on SQLite, which ``make up`` uses by default."""
    users_own = {"ECLUSE_DATABASE_URL": f"sqlite:///{tmp_path}/log.db", "PREFECT_HOME": str(tmp_path / "prefect")}
    rehearse(users_own, *(["--database-url", prefect_database] if prefect_database else []))
    assert not list(tmp_path.iterdir())  # a user's own are left alone
    if prefect_database:
        with sa.create_engine(prefect_database.replace("asyncpg", "psycopg")).connect() as connection:
            states = connection.execute(sa.text("SELECT state_type, count(*) FROM flow_run GROUP BY 1")).all()
        assert {str(state): count for state, count in states}["COMPLETED"] == 2


@pytest.mark.soak
def test_a_killed_server_gives_back_the_place_of_a_dead_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_UI_ENABLED", "false")
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = up.Place(tmp_path, str(free.getsockname()[1]))
    place.logs.mkdir(parents=True)
    start = ("server", "server", "start", "--host", up.HOST, "--port", place.port)

    def slots() -> int:
        found: int = up.ask(place, "GET", "v2/concurrency_limits/ecluse-pmsi")["active_slots"]
        return found

    with up.running(place, *start) as server:
        up.wait("server", lambda: up.ask(place, "GET", "health"), server)
        limit = {"name": "ecluse-pmsi", "limit": 1}
        up.wait("a limit", lambda: up.ask(place, "POST", "v2/concurrency_limits/", limit), server)
        taken = {"names": ["ecluse-pmsi"], "slots": 1, "mode": "concurrency", "lease_duration": 60}
        up.wait("its place", lambda: up.ask(place, "POST", "v2/concurrency_limits/increment-with-lease", taken), server)
        assert slots() == 1
        os.killpg(server.pid, signal.SIGKILL)
    with up.running(place, *start) as server:
        up.wait("server", lambda: up.ask(place, "GET", "health"), server)
        assert slots() == 1
        up.wait("the place is free", lambda: slots() == 0, server)


@pytest.mark.soak
def test_what_make_up_starts_runs_on_sqlite_too() -> None:
    rehearse({})


def rehearse(environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.rehearse", *arguments],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "les deux exécutions sont dans le journal" in done.stdout


def test_make_up_refuses_a_port_that_is_taken_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "flows.up"],
            cwd=PROJECT,
            env=os.environ | {"ECLUSE_HOME": str(tmp_path / "hub"), "PORT": port},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    assert done.returncode == 2
    assert f"le port {port} est pris" in done.stderr
    assert open_hub(tmp_path / "hub").settings.test is False  # the hub it makes is a real one
    assert not list((tmp_path / "hub" / "prefect" / "logs").iterdir())


def test_a_second_make_up_for_the_same_hub_leaves_the_first_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLUSE_HOME", str(tmp_path / "hub"))
    (tmp_path / "hub" / "prefect").mkdir(parents=True)
    with up.alone(up.Place(tmp_path / "hub", "1")) as first, up.alone(up.Place(tmp_path / "hub", "2")) as second:
        assert (first, second) == (True, False)
        assert up.main() == 0
