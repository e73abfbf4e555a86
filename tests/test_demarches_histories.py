"""Random histories of a platform, pulled day after day under faults: the head always ends as a fresh reading would."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from demarches import TEAM, Bench, platform
from test_demarches_faults import ANSWERS, PAGES

from connectors import simulator_forms as forms
from connectors.demarches import PullStopped
from connectors.demarches_frames import declared
from connectors.demarches_merge import OWN
from connectors.simulator_demarches import Simulator
from connectors.simulator_platform import Platform
from contracts_schema.demarches_mappings import mappings

Step = Callable[[Platform, random.Random], None]
STATES = ("en_instruction", "accepte", "refuse", "sans_suite")


def some(world: Platform, chance: random.Random) -> int:
    return chance.choice(sorted(world.dossiers))


def edited(world: Platform, chance: random.Random) -> None:
    number = some(world, chance)
    families = chance.sample(sorted(forms.PROTOCOLS), chance.randint(1, 4))
    world.edit(number, {106: [forms.PROTOCOLS[family] for family in families]})
    if chance.random() < 0.7:
        world.redeposit(number)


STEPS: dict[str, Step] = {
    "deposit": lambda world, _: world.deposit(forms.NATIONAL, forms.answers(forms.NATIONAL, TEAM)) and None,
    "settle": lambda world, chance: world.settle(some(world, chance), chance.choice(STATES)),
    "reopen": lambda world, chance: world.reopen(some(world, chance), chance.choice(["en_construction", "en_instruction"])),
    "ask": lambda world, chance: world.ask_correction(some(world, chance)),
    "edit": edited,
    "message": lambda world, chance: world.write_message(some(world, chance)),
    "hide": lambda world, chance: world.hide(some(world, chance), chance.choice(["user", "administration"])),
    "restore": lambda world, chance: world.restore(some(world, chance)),
    "purge": lambda world, chance: world.purge(some(world, chance), chance.choice(["user_request", "expired"])),
    "expire": lambda world, chance: world.expire(some(world, chance)),
    "publish": lambda world, chance: (
        world.publish(forms.NATIONAL, "Déclaration", forms.national(chance.randint(1, 2))) and None
    ),
    "scanned": lambda world, chance: world.replace_piece(some(world, chance), 120, scan="safe"),
    "unscanned": lambda world, _: world.deposit(forms.NATIONAL, forms.answers(forms.NATIONAL, HELD)) and None,
}
HELD = replace(TEAM, document=(replace(forms.DOCUMENT, scan="pending"),))
OFTEN = ("deposit", "deposit", "settle", "message", "edit")
FAULTS = [fault for name, fault in [*ANSWERS.items(), *PAGES.items()] if "half" not in fault.__name__]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Simulator(platform()) as service:
        yield Bench(service, tmp_path, settings={"answer_bytes": 8 << 20})


def lived(bench: Bench, seed: int) -> None:
    """Five days of a platform, with a pull each night: some with faults, some stopped again and again, one full."""
    chance = random.Random(seed)
    bench.fill(chance.randint(3, 12))
    for night in range(5):
        for _ in range(chance.randint(0, 10)):
            name = chance.choice([*STEPS, *OFTEN])
            if bench.platform.dossiers:
                STEPS[name](bench.platform, chance)
            bench.platform.advance(chance.choice([1, 30, 3600]))
        bench.service.restart_count()
        requests = chance.sample(range(1, 12), 3) if chance.random() < 0.6 else []
        bench.service.faults = {number: chance.choice(FAULTS) for number in requests}
        order = {"page": chance.choice([2, 3, 50]), "numbers": True, "mode": "full" if night == 3 else "auto"}
        while True:
            bench.settings["budget_requests"] = chance.choice([4, 7, 20_000])
            try:
                bench.deliver(**order)
                break
            except PullStopped:
                bench.platform.advance(60)
        bench.platform.advance(86_400)
    bench.service.restart_count()
    bench.settings["budget_requests"] = 20_000
    bench.deliver(numbers=True)


def is_as_a_fresh_reading_would_be(bench: Bench) -> None:
    fresh = Bench(bench.service, bench.folder / "fresh")
    fresh.deliver()
    head, truth = bench.snapshot(), fresh.snapshot()
    assert head.header["completed_on"] == truth.header["completed_on"]
    for number, record in truth.dossiers.items():
        known = head.dossiers[number]
        if record["deletion"]:
            assert (known["deletion"], known["state"]) == (record["deletion"], record["state"]), number
        else:
            assert {name: known[name] for name in record if name not in OWN} == {n: record[n] for n in record if n not in OWN}
            assert (known["deletion"], known["absent_on"]) == (None, None), number
    for number in set(head.dossiers) - set(truth.dossiers):
        assert head.dossiers[number]["absent_on"], f"{number} is in no list"
    assert bench.head
    assert fresh.head
    protocols = [declared([one], mappings()).frames["dossier_protocol"] for one in (bench.head, fresh.head)]
    now, right = ({(n, f) for n, f, _, until in frame.rows() if until is None} for frame in protocols)
    assert {(n, f) for n, f in now if int(n) in truth.dossiers and "modified_at" in truth.dossiers[int(n)]} >= right


@pytest.mark.parametrize("seed", range(12))
def test_any_history_ends_in_what_a_fresh_reading_sees(bench: Bench, seed: int) -> None:
    lived(bench, seed)
    is_as_a_fresh_reading_would_be(bench)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 400))
def test_any_history_ends_in_what_a_fresh_reading_sees_at_length(bench: Bench, seed: int) -> None:
    lived(bench, seed)
    is_as_a_fresh_reading_would_be(bench)


@pytest.mark.soak
def test_ten_thousand_dossiers_cost_the_requests_that_paging_demands(bench: Bench) -> None:
    bench.fill(10_000, seconds=1)
    full = bench.deliver(page=100)
    assert full.report.requests == 1 + 100 + 2
    bench.platform.now += timedelta(days=1)
    for number in range(1, 11):
        bench.platform.write_message(number)
    assert bench.deliver().report.requests == 4 + 0 * full.report.requests
    assert bench.head
    found = declared([bench.head], mappings())
    assert found.frames["member"].height == 20_000
    assert len(json.loads(bench.head.read_bytes().partition(b"\n")[0])["failed"]) == 0
