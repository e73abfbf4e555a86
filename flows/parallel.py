"""Many deliveries over the cores of one machine: each establishment's in their order, establishments side by side.

What is decided never depends on who came first: supersession is judged within a scope, and a scope has one worker. Stopped
half-way, the same call goes on where it was, since what is decided is known.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flows import together
from flows.arrivals import Arrival
from flows.deliveries import Report
from flows.hub import Hub, open_hub

FEW_SCOPES = 4
"""Under this many establishments one process is quicker: starting another costs about a second."""


def workers(found: Sequence[Arrival], jobs: int | None) -> int:
    """How many processes to use: as asked, else one per core, never more than there are groups to share."""
    scopes = len(list(together.groups(found)))
    if jobs is None:
        jobs = 1 if scopes < FEW_SCOPES else os.cpu_count() or 1
    return max(1, min(jobs, scopes))


def ingest_all(
    hub: Hub,
    found: Sequence[Arrival],
    count: int,
    received_at: datetime | None = None,
    done: Callable[[Arrival, Report], None] = lambda *_: None,
) -> list[Report]:
    """Ingest transmissions over ``count`` processes; reports in the order given. The first error is raised at the end."""
    reports: dict[str, Report] = {}
    with _single_threaded_polars(), _pool(count) as pool:
        arguments = (hub.settings.home, hub.actor, received_at)
        futures = {pool.submit(_ingest_scope, *arguments, group): group for group in together.groups(found)}
        for future in as_completed(futures):
            for one, report in zip(futures[future], future.result(), strict=True):
                reports[_name(one)] = report
                done(one, report)
    return [reports[_name(one)] for one in found]


def _ingest_scope(home: Path, actor: str, received_at: datetime | None, group: Sequence[Arrival]) -> list[Report]:
    return together.ingest(open_hub(home, actor), group, received_at)


def _name(one: Arrival) -> str:
    return "\0".join(map(str, one.received))


def _pool(count: int) -> ProcessPoolExecutor:
    # a forked child would share the parent's database connections and the threads of polars
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def _single_threaded_polars() -> Iterator[None]:
    """Children inherit one thread for polars: the processes are the parallelism."""
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
