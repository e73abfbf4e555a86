"""The flow that pulls démarches, on a real Prefect: counts only, retried, and no secret in what Prefect keeps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from demarches import Bench, platform
from test_prefect import prefect_files as prefect_files
from test_prefect import wait_until_written

from connectors import simulator_forms as forms
from connectors.demarches_client import TOKEN_VARIABLE
from connectors.simulator_demarches import TOKEN, Simulator
from flows.demarches_settings import URL_VARIABLE
from flows.hub import CONFIG, init_hub, open_hub

SECRETS = (TOKEN, "signature=", "NOMFICTIF", "99900000011", "CPTS du Val Sablier")

pytestmark = pytest.mark.soak  # a Prefect server of its own; test_demarches_pull tries what the flow calls


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Simulator(platform()) as service:
        yield Bench(service, tmp_path)


@pytest.fixture
def place(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub with two démarches in its settings."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv(URL_VARIABLE, bench.service.url)
    home = tmp_path / "hub"
    init_hub(home)
    local = 'local = true\nfile_hosts = ["127.0.0.1"]\n'
    with (home / CONFIG).open("a", encoding="utf-8") as file:
        file.write("".join(f"\n[demarches.{number}]\n{local}" for number in (forms.NATIONAL, forms.DEROGATORY)))
    return home


def run(home: Path, **how: Any) -> Any:
    from flows.pull_demarches import pull_demarches

    return pull_demarches(home=str(home), return_state=True, **how)


def test_the_flow_pulls_every_demarche_and_prefect_keeps_counts_only(
    place: Path, bench: Bench, prefect_files: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import pull_demarches, steps

    monkeypatch.setattr(pull_demarches, "EACH", 1)
    monkeypatch.setattr(steps, "RETRY_SECONDS", [])
    bench.fill(3)
    first, second = run(place).result()
    assert [one["delivery"]["status"] for one in (first, second)] == ["accepted", "accepted"]
    assert (first["pull"]["dossiers"], second["pull"]["dossiers"]) == (3, 0)
    bench.service.restart_count()
    bench.service.faults = {1: lambda exchange: exchange.send(401, b'{"errors": [{"message": "' + TOKEN.encode() + b'"}]}')}
    bench.fill(1)
    failed = run(place)
    assert failed.is_failed()
    assert f"1 of 2 démarches could not be pulled: {forms.NATIONAL}: WrongUsage" in failed.message
    assert [one["pull"]["added"] for one in run(place, demarche=forms.NATIONAL, absences=True).result()] == [1]
    written = wait_until_written(prefect_files, "démarche 990001 : 3 dossiers lus")
    for secret in SECRETS:
        assert secret.encode() not in written, secret
    assert b"pull-demarches" in written
    assert b"ecluse://head/demarche/990001" in written
    assert len(list(open_hub(place).log.read(types={"DeliveryAccepted"}))) == 3


def test_a_hub_without_a_demarche_has_nothing_to_pull(tmp_path: Path, prefect_files: Callable[[], bytes]) -> None:
    init_hub(tmp_path / "bare")
    assert run(tmp_path / "bare").result() == []
