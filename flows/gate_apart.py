"""The table gate in a process of its own, which imports Great Expectations while the tables are computed here.

Same answers and errors as ``checks.tables.judge``. For a program that publishes once and ends, the command line: its main
module is imported again. Not worth it where Great Expectations is imported already, on one core, or when nothing has moved.
"""

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from checks import tables
from checks.table_results import TableGate
from flows.editions import moved, recipients
from flows.hub import Hub

Judge = Callable[..., TableGate]


@contextmanager
def table_gate(hub: Hub, recipient: str | None) -> Iterator[Judge]:
    """What judges tables for the publications to come, for as long as the context lasts. WrongUsage as ``recipients``."""
    alone = (os.cpu_count() or 1) < 2 or "great_expectations" in sys.modules
    if alone or not moved(hub, recipients(hub, recipient)):
        yield tables.judge
        return
    spawn = multiprocessing.get_context("spawn")  # a forked child would share database connections and polars' threads
    here, there = spawn.Pipe()
    child = spawn.Process(target=_serve, args=(there, gc.get_threshold()), daemon=True)
    child.start()
    there.close()
    try:
        yield lambda *given, **named: _ask(here, given, named)
    finally:
        here.close()
        child.terminate()
        child.join()


def _ask(child: Connection, given: tuple[Any, ...], named: dict[str, Any]) -> TableGate:
    try:
        child.send((given, named))
        answer = child.recv()
    except (EOFError, OSError):
        raise tables.BrokenCheck("la barrière des tables s'est arrêtée sans répondre ; relancez la même commande") from None
    if isinstance(answer, tables.BrokenCheck):
        raise answer
    found: TableGate = answer
    return found


def _serve(parent: Connection, collecting: tuple[int, int, int]) -> None:
    """Answers until the parent goes. ``collecting``: how seldom the parent searches for unreachable objects."""
    gc.set_threshold(*collecting)
    multiprocessing.set_start_method("fork", force=True)  # a lock that a library makes then leaves no name
    tables.load()
    while True:
        try:
            given, named = parent.recv()
        except EOFError:
            return
        try:
            answer: TableGate | tables.BrokenCheck = tables.judge(*given, **named)
        except tables.BrokenCheck as broken:
            answer = broken
        parent.send(answer)
