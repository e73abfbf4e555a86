"""Whatever the network and the service do, a pull ends in the bytes of the run without fault, or stops and goes on later.

The faults are scripted on a real server by the number of the request; a pull is killed at each point between two writes.
"""

import gzip
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from demarches import Bench, platform
from fault_table import Promise

from connectors import simulator_forms as forms
from connectors.demarches import PullStopped
from connectors.demarches_journal import JOURNAL
from connectors.demarches_merge import read_snapshot
from connectors.simulator_demarches import Exchange, Simulator

Fault = Callable[[Exchange], None]
PAGE = 4
PEACE = {"read_seconds": 60, "answer_seconds": 90, "answer_bytes": 8 << 20}
BOMB = gzip.compress(b" " * (9 << 20), 9)
HASTE = {"connect_seconds": 0.5, "read_seconds": 0.4, "answer_seconds": 0.6}
"""Patience of the client, in seconds, where a fault is a slowness."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A head of 14 dossiers, and 11 changes since: what the pull under test is to find."""
    with Simulator(platform()) as service:
        found = Bench(service, tmp_path, settings=PEACE)
        found.fill(14)
        found.platform.hide(14)
        found.deliver()
        found.platform.advance(86_400)
        for number in range(1, 8):
            found.platform.settle(number, "accepte")
        found.fill(3)
        found.platform.hide(9)
        found.platform.expire(10)
        found.platform.restore(14)
        service.restart_count()
        yield found


def undisturbed(bench: Bench) -> str:
    """The sha256 of the snapshot of a pull without fault; the service then counts from 1 again."""
    sha256 = bench.pull("undisturbed", numbers=True, page=PAGE).sha256
    bench.service.restart_count()
    return sha256


def errors(code: str, data: Any = None) -> bytes:
    return json.dumps({"errors": [{"message": "Erreur", "extensions": {"code": code}}], "data": data}).encode()


def changed(exchange: Exchange, **page: Any) -> None:
    """The right answer but for its page information, or its nodes."""
    shown = exchange.answer["data"]["demarche"]["page"]
    shown |= {"nodes": page.pop("nodes", shown["nodes"])}
    shown["pageInfo"] |= page
    exchange.send()


def halted(exchange: Exchange) -> None:
    """No answer, for longer than the client waits."""
    time.sleep(1.2)
    exchange.handler.close_connection = True


def partial(exchange: Exchange) -> None:
    page = exchange.answer["data"]["demarche"]["page"]
    page["nodes"] = [*page["nodes"][:1], None]
    exchange.send(body=errors("internal_server_error", exchange.answer["data"]))


def half_page(exchange: Exchange) -> None:
    """Fewer dossiers than asked for, their cursor, and more to come: the service may do so."""
    exchange.asked["variables"]["first"] = 2
    _, answer = exchange.handler.service._truth(f"Bearer {exchange.handler.service.token}", exchange.asked)
    exchange.send(body=json.dumps(answer).encode())


def earlier_page(exchange: Exchange) -> None:
    """The first page again, as a cache in between would."""
    exchange.asked["variables"]["after"] = None
    _, answer = exchange.handler.service._truth(f"Bearer {exchange.handler.service.token}", exchange.asked)
    exchange.send(body=json.dumps(answer).encode())


def twice(exchange: Exchange) -> None:
    nodes = exchange.answer["data"]["demarche"]["page"]["nodes"]
    changed(exchange, nodes=[*nodes, nodes[0]])


def other_demarche(exchange: Exchange) -> None:
    exchange.answer["data"]["demarche"]["number"] = 7
    exchange.send()


def without(name: str) -> Fault:
    def fault(exchange: Exchange) -> None:
        del exchange.answer["data"]["demarche"]["page"]["nodes"][0][name]
        exchange.send()

    return fault


ANSWERS: dict[str, Fault] = {
    "connection reset": lambda x: x.cut(),
    "connection closed without an answer": lambda x: setattr(x.handler, "close_connection", True),
    "429, reset in 20 s": lambda x: x.send(
        429, b"Retry later\n", "text/plain", RateLimit_Reset=str(int(x.handler.service.platform.now.timestamp()) + 20)
    ),
    "429, reset in the past": lambda x: x.send(429, b"Retry later\n", "text/plain", RateLimit_Reset="1000"),
    "429, no reset": lambda x: x.send(429, b"Retry later\n", "text/plain"),
    "500 HTML": lambda x: x.send(500, b"<html>Oops</html>", "text/html"),
    "502 HTML": lambda x: x.send(502, b"<html>Bad gateway</html>", "text/html"),
    "503 HTML": lambda x: x.send(503, b"<html>Maintenance</html>", "text/html"),
    "504 HTML": lambda x: x.send(504, b"<html>Gateway time-out</html>", "text/html"),
    "200, errors with partial data": partial,
    "200, code timeout": lambda x: x.send(body=errors("timeout")),
    "200, code internal_server_error": lambda x: x.send(body=errors("internal_server_error")),
    "200, code invalid_null": lambda x: x.send(body=errors("invalid_null")),
    "200, an unknown code": lambda x: x.send(body=errors("brand_new_code")),
    "200, data null": lambda x: x.send(body=b'{"data": null}'),
    "200, demarche null": lambda x: x.send(body=b'{"data": {"demarche": null}}'),
    "200, nothing at all": lambda x: x.send(body=b""),
    "200, a list": lambda x: x.send(body=b"[]"),
    "200, HTML of a portal": lambda x: x.send(body=b"<html>Connectez-vous</html>", content="text/html"),
    "truncated JSON": lambda x: x.send(body=x.body[: len(x.body) // 2]),
    "JSON nested without end": lambda x: x.send(body=b'{"data":' * 100_000),
    "not UTF-8": lambda x: x.send(body=b'{"data": "\xff\xfe"}'),
    "gzip bomb": lambda x: x.send(body=BOMB, Content_Encoding="gzip"),
    "gzip damaged": lambda x: x.send(body=gzip.compress(x.body)[:-30] + b"x" * 30, Content_Encoding="gzip"),
    "no page information": lambda x: x.send(body=b'{"data": {"demarche": {"number": 990001, "page": {"nodes": []}}}}'),
    "answer about another demarche": other_demarche,
    "301 to another host": lambda x: x.send(301, b"", Location="https://example.org/api/v2/graphql"),
    "401": lambda x: x.send(401, errors("unauthorized")),
    "403 HTML": lambda x: x.send(403, b"<html>203.0.113.9</html>", "text/html"),
    "408": lambda x: x.send(408, b""),
}
"""Faults that can strike any request."""

PAGES: dict[str, Fault] = {
    "duplicate page": earlier_page,
    "short page with more to come": half_page,
    "empty page with more to come": lambda x: changed(x, nodes=[], hasNextPage=True, endCursor=None),
    "cursor that leads back to itself": lambda x: changed(x, endCursor=x.asked["variables"]["after"], hasNextPage=True),
    "null cursor with more to come": lambda x: changed(x, endCursor=None, hasNextPage=True),
    "a node is null": lambda x: changed(x, nodes=[None]),
    "a node twice in a page": twice,
    "a dossier without its date": without("dateDerniereModification"),
    "a dossier without its champs": without("champs"),
}
"""Faults that make sense on a page of dossiers."""


def slow_headers(exchange: Exchange) -> None:
    """A status line, then a header that goes on, a byte at a time, for as long as anyone listens."""
    exchange.handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(60):
        exchange.handler.wfile.write(b"x")
        exchange.handler.wfile.flush()
        time.sleep(0.1)
    exchange.handler.close_connection = True


SLOW: dict[str, Fault] = {
    "headers one byte at a time": slow_headers,
    "no answer in time": halted,
    "body that stops half way": lambda x: x.handler.trickle(x.body[:20], len(x.body), 0.03),
    "one byte at a time": lambda x: x.handler.trickle(x.body[:60], len(x.body), 0.025),
    "announces more than it gives": lambda x: x.handler.trickle(x.body, len(x.body) + 10, 0),
}


@dataclass
class Ended:
    """How a pull under fault ended: sha256, times that it stopped, requests, dossiers read and lost, dossiers doubled."""

    sha256: str
    stops: int
    requests: int
    numbers: list[int]


def pulled(bench: Bench, work: str = "work", **order: Any) -> Ended:
    """Pull until it ends, as a scheduler would: each stop is followed by the same call."""
    stops = 0
    while True:
        try:
            found = bench.pull(work, **{"numbers": True, "page": PAGE} | order)
            break
        except PullStopped:
            stops += 1
            assert stops < 10
    lines = [json.loads(line) for line in found.path.read_bytes().splitlines()[1:]]
    return Ended(found.sha256, stops, len(bench.service.seen.api), [line["number"] for line in lines])


def survives(bench: Bench, promise: Promise, name: str, faults: dict[int, Fault], right: str) -> Ended:
    bench.service.restart_count()
    bench.service.faults = dict(faults)
    ended = pulled(bench, f"work-{len(name)}-{name[:3]}")
    assert not bench.service.faults, "the fault struck"
    lost = set(range(1, 18)) - set(ended.numbers)
    kept = promise(f"démarches: {name}", len(faults), len(ended.numbers), lost, len(ended.numbers) - len(set(ended.numbers)))
    assert kept
    assert ended.sha256 == right
    return ended


@pytest.mark.parametrize("name", ANSWERS)
def test_a_fault_at_any_request_ends_in_the_same_snapshot(bench: Bench, promise: Promise, name: str) -> None:
    right = undisturbed(bench)
    ended = survives(bench, promise, name, dict.fromkeys((1, 3, 6, 8, 9), ANSWERS[name]), right)
    assert ended.requests <= 12 + 5 + 16, "what a fault costs is bounded"


@pytest.mark.parametrize("name", PAGES)
def test_a_wrong_page_is_asked_for_again_and_nothing_of_it_is_kept(bench: Bench, promise: Promise, name: str) -> None:
    right = undisturbed(bench)
    survives(bench, promise, name, {3: PAGES[name], 4: PAGES[name]} if "short" not in name else {2: PAGES[name]}, right)


@pytest.mark.parametrize("name", SLOW)
def test_slowness_costs_a_bounded_time_and_ends_in_the_same_snapshot(bench: Bench, promise: Promise, name: str) -> None:
    right = undisturbed(bench)
    bench.settings = HASTE
    began = time.monotonic()
    survives(bench, promise, name, {2: SLOW[name], 4: SLOW[name]}, right)
    assert time.monotonic() - began < 60


def test_a_cursor_that_goes_from_a_to_b_to_a_is_seen_through(bench: Bench, promise: Promise) -> None:
    right, cursors = undisturbed(bench), list[str]()

    def remember(exchange: Exchange) -> None:
        cursors.append(exchange.answer["data"]["demarche"]["page"]["pageInfo"]["endCursor"])
        exchange.send()

    survives(
        bench,
        promise,
        "cursors A, B, A",
        {2: remember, 3: remember, 4: lambda x: changed(x, endCursor=cursors[0], hasNextPage=True)},
        right,
    )


def test_a_service_that_goes_round_for_ever_is_left(bench: Bench) -> None:
    bench.service.faults = dict.fromkeys(range(3, 300), PAGES["cursor that leads back to itself"])
    with pytest.raises(PullStopped):
        bench.pull(numbers=True, page=PAGE)
    assert len(bench.service.seen.api) < 20


def test_a_first_page_taken_for_a_later_one_makes_the_walk_begin_again(bench: Bench, promise: Promise) -> None:
    """A page of another size that comes out of a cache ends at a cursor never seen: only later does the walk meet itself."""
    right = undisturbed(bench)

    def smaller(exchange: Exchange) -> None:
        exchange.asked["variables"]["first"] = 2
        earlier_page(exchange)

    survives(bench, promise, "first page of another size, again", {3: smaller, 7: smaller}, right)


def test_connections_refused_for_a_while_cost_a_wait(bench: Bench, promise: Promise) -> None:
    right = undisturbed(bench)

    def shut(exchange: Exchange) -> None:
        exchange.cut()
        bench.service._server.socket.close()  # type: ignore[union-attr]

    def open_again() -> None:
        if len(bench.slept) % 3 == 0 and bench.service._server and bench.service._server.socket.fileno() < 0:
            bench.service.listen()

    bench.slept.clear()
    bench.on_sleep = open_again
    survives(bench, promise, "connections refused", {3: shut}, right)


@pytest.mark.parametrize(
    ("name", "happens"),
    [
        ("a dossier moves between two pages", lambda p: p.settle(11, "en_instruction")),
        ("a dossier is deposited between two pages", lambda p: p.deposit(forms.NATIONAL, {})),
        ("a dossier is hidden between two pages", lambda p: p.hide(11)),
        ("a dossier is purged between two pages", lambda p: (p.hide(11), p.purge(11))),
        ("a hidden dossier is purged between two pages", lambda p: p.purge(9)),
        ("a decision is taken back between two pages", lambda p: p.reopen(2, "en_instruction")),
        ("a message is written between two pages", lambda p: p.write_message(1)),
        ("a dossier expires between two pages", lambda p: p.expire(12)),
    ],
)
def test_what_happens_during_a_pull_ends_in_what_is_true_after_it(
    bench: Bench, promise: Promise, name: str, happens: Callable[[Any], Any]
) -> None:
    bench.service.before[3] = lambda: happens(bench.platform)
    ended = pulled(bench)
    bench.service.restart_count()
    assert ended.sha256 == undisturbed(bench)
    assert promise(f"démarches: {name}", 1, len(ended.numbers), set(range(1, 18)) - set(ended.numbers), 0)


def test_a_new_revision_published_during_a_pull_is_followed_by_the_next(bench: Bench) -> None:
    bench.service.before[3] = lambda: bench.platform.publish(forms.NATIONAL, "Déclaration", forms.national(2))
    bench.deliver(page=PAGE)
    bench.deliver(page=PAGE)
    head = bench.snapshot()
    assert {
        number for number, record in head.dossiers.items() if record["state"] == "en_construction" and not record["deletion"]
    } == {8, 10, 11, 12, 13, 14, 15, 16, 17}
    stale = {
        n
        for n, one in head.dossiers.items()
        if one["state"] == "en_construction" and one["revision"] != head.header["revision"]
    }
    assert stale == {9, 10}, "those that the service does not show"


# --- killed


POINTS = ("pull.asked", "pull.answered", "pull.written", "pull.synced", "pull.snapshot_written", "pull.snapshot_renamed")


def test_a_pull_killed_at_each_point_goes_on_without_loss_or_double_work(bench: Bench, promise: Promise) -> None:
    reached: list[str] = []
    right = bench.pull("undisturbed", reached=reached.append, numbers=True, page=2 * PAGE).sha256
    requests = len(bench.service.seen.api)
    assert set(reached) == set(POINTS), "no point is dead"
    lost: set[int] = set()
    for place in range(1, len(reached) + 1):
        bench.service.restart_count()
        work = f"killed-{place}"
        assert killed_at(bench, work, place) == -signal.SIGKILL
        ended = pulled(bench, work, page=2 * PAGE)
        assert ended.sha256 == right, place
        assert ended.requests <= requests + 1, "at most the request in flight is asked again"
        lost |= set(range(1, 18)) - set(ended.numbers)
    assert promise("démarches: killed at each point", len(reached), 17, lost, 0)


def killed_at(bench: Bench, work: str, place: int) -> int:
    """Pull in a process of its own that dies by SIGKILL when it reaches its n-th point; its exit code."""
    child = os.fork()
    if not child:
        calls = iter(range(1, 1 << 30))

        def reached(_: str) -> None:
            if next(calls) == place:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            bench.pull(work, reached=reached, numbers=True, page=2 * PAGE)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_journal_torn_anywhere_is_mended(bench: Bench, promise: Promise) -> None:
    right = undisturbed(bench)
    pulled(bench, "whole")
    whole = (bench.folder / "whole" / JOURNAL).read_bytes()
    cuts = [*range(0, len(whole), len(whole) // 24), len(whole) - 1]
    for place in cuts:
        work = bench.folder / f"torn-{place}"
        work.mkdir()
        (work / JOURNAL).write_bytes(whole[:place])
        assert pulled(bench, work.name).sha256 == right, place
    assert promise("démarches: journal torn", len(cuts), 17, (), 0)


def test_a_pull_whose_snapshot_was_not_taken_over_gives_it_again_without_a_request(bench: Bench) -> None:
    first = bench.pull(numbers=True)
    bench.service.restart_count()
    again = bench.pull(numbers=True)
    assert (again.sha256, again.report.requests, again.report.resumed) == (first.sha256, 0, True)
    assert bench.service.seen.api == []


def test_a_journal_of_another_head_or_another_order_is_not_gone_on_with(bench: Bench) -> None:
    bench.settings = {"budget_requests": 3}
    with pytest.raises(PullStopped):
        bench.pull(page=PAGE)
    bench.settings = PEACE
    found = bench.pull(mode="full", page=PAGE)
    assert not found.report.resumed
    assert found.report.read == 15
    assert read_snapshot(found.path).header["completed_on"] == "2022-07-21"


def test_a_pull_that_began_long_ago_is_not_gone_on_with(bench: Bench) -> None:
    bench.settings = PEACE | {"budget_requests": 3}
    with pytest.raises(PullStopped):
        bench.pull(page=PAGE)
    bench.platform.advance(4 * 86_400)
    bench.settings = PEACE
    assert not bench.pull(page=PAGE).report.resumed


def test_the_watermark_never_passes_what_was_not_read(bench: Bench) -> None:
    """Stopped after each page in turn, then delivered by nobody: the next pull starts from the head, not from the pages."""
    before = bench.snapshot().header["walked_to"]
    for budget in range(1, 8):
        bench.settings = {"budget_requests": budget}
        with pytest.raises(PullStopped):
            bench.pull(f"stopped-{budget}", numbers=True, page=2)
        assert bench.snapshot().header["walked_to"] == before
        assert not list((bench.folder / f"stopped-{budget}").glob("snapshot*"))
