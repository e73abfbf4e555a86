"""What the flows share: their hub, when a step is tried again, what a failure may tell Prefect, who must wait for whom.

Prefect keeps what an exception says, in its database, its log and its pages, and an error of a library may quote a row.
So no error leaves a step but ours, whose words are known.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, runtime
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

from checks.quarantine import RowsLost
from checks.tables import BrokenCheck
from connectors.demarches_client import PullStopped
from flows.hub import Hub, WrongUsage, open_hub
from flows.published import PublicationLost
from warehouse.blobs import BlobError, BlobUnwritable
from warehouse.log import LogError, LogUnavailable
from warehouse.postgresql import WarehouseError, WarehouseUnavailable
from warehouse.workbook_notes import Unshowable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

MAY_PASS = (LogUnavailable, WarehouseUnavailable, BlobUnwritable, PullStopped)
"""A database that restarts, a disk that someone empties: worth trying again. A user's mistake is not."""

WORDED = (WrongUsage, LogError, BlobError, RowsLost, BrokenCheck, WarehouseError, Unshowable, PublicationLost, PullStopped)
"""Errors of ours, whose messages hold no value of a row."""

RETRY_SECONDS = [5.0, 30.0, 120.0]
JITTER = 0.3
"""Each delay varies by as much, so that runs which failed together do not come back together."""


LEASE_SECONDS = 60.0
"""How long a place is kept for a run that no longer says it is alive: the least that Prefect allows."""


class StepError(Exception):
    """A step failed, and the same step at once would fail again; says which error and where, never a value."""


def step(function: Callable[Parameters, Result]) -> Task[Parameters, Result]:
    """A task that passes on ids and counts, is never cached or kept, and lets only known words out."""

    @wraps(function)
    def worded(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except WORDED as error:
            if isinstance(error, MAY_PASS):
                raise
            told = f"{type(error).__name__}: {error}"
        except Exception as error:
            told = f"{type(error).__name__}, raised at {_place(error)}"
        raise StepError(told)  # outside of the handler: not even the context of this error quotes a row

    return Task(
        worded,
        name=function.__name__,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_SECONDS),
        retry_delay_seconds=RETRY_SECONDS,
        retry_jitter_factor=JITTER,
        retry_condition_fn=_may_pass,
    )


def hub_of(home: str | None, run: str) -> Hub:
    """The hub that a step works on, in the name of a flow run."""
    return open_hub(Path(home) if home else None).in_flow(run)


@contextmanager
def one_run_per_source(source: str) -> Iterator[None]:
    """Wait until no run of another deployment works on this source; spares the machine, the log needs no such care.

    The limit ``ecluse-<source>`` is made when there is none, since Prefect passes by a limit that is missing with a warning;
    one that exists is left as its operator has set it. A run that dies gives its place back when its lease ends. A run without
    a deployment, alone on a server that it started for itself, has nobody to wait for.
    """
    if runtime.deployment.id is None:
        yield
        return
    name = f"ecluse-{source}"
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    with concurrency(name, strict=True, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False):
        yield


def _may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, MAY_PASS)


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
