"""Many spreadsheets read one after the other, each in a process of its own, without starting an interpreter for each.

Same answers and same refusals as ``connectors.sheets.read_sheets``. Must never read two files in one process.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from connectors.sheet_archive import FL1, Unreadable
from connectors.sheets import DIALECT, TIMEOUT_SECONDS, Workbook, workbook_of


@contextmanager
def sheet_reader(
    dialect: dict[str, Any] | None = None, timeout: float = TIMEOUT_SECONDS
) -> Iterator[Callable[[bytes], Workbook]]:
    """A function that reads the bytes of a file as ``read_sheets`` does, for as long as the context lasts.

    Not for several threads: one reader each. A file that takes longer than ``timeout`` seconds is refused and its process
    stopped; the next file has a new one.
    """
    running: list[subprocess.Popen[bytes]] = []

    def read(content: bytes) -> Workbook:
        if not running:
            running.append(_start(dialect))
        try:
            return workbook_of(_ask(running[0], content, timeout))
        except _Silent:
            _stop(running.pop())
            raise Unreadable(FL1, f"lecture abandonnée après {timeout:.0f} s : fichier piégé ?") from None

    try:
        yield read
    finally:
        while running:
            _stop(running.pop())


class _Silent(Exception):
    """No answer in time, or no longer any process."""


def _start(dialect: dict[str, Any] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-S", "-P", "-m", "connectors.sheet_server", json.dumps(dialect or DIALECT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "PATH": os.defpath,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
        },
        start_new_session=True,
        bufsize=0,
    )


def _ask(server: subprocess.Popen[bytes], content: bytes, timeout: float) -> bytes:
    assert server.stdin is not None  # noqa: S101
    assert server.stdout is not None  # noqa: S101
    try:
        view = memoryview(len(content).to_bytes(8, "big") + content)
        while view:
            view = view[server.stdin.write(view) or 0 :]
    except OSError:
        raise _Silent from None
    until = monotonic() + timeout
    length = int.from_bytes(_exactly(server.stdout, 8, until), "big")
    return _exactly(server.stdout, length, until)


def _exactly(pipe: Any, count: int, until: float) -> bytes:
    parts: list[bytes] = []
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        while count:
            if not waiting.select(max(until - monotonic(), 0)):
                raise _Silent
            part = os.read(pipe.fileno(), min(count, 1 << 20))
            if not part:
                raise _Silent
            parts.append(part)
            count -= len(part)
    return b"".join(parts)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ends the process and the one that it forked: they are a session of their own."""
    if server.stdin:
        server.stdin.close()
    try:
        server.wait(0.2)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, 9)
        server.wait()
    if server.stdout:
        server.stdout.close()
