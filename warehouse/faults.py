"""Numbered kill points: the places between two writes where a test may stop this process as a power cut would.

A point is named here before it is used, so that a test can tell that every point is reached. Must never change what the
program does when no test asks for it.
"""

import itertools
import os
import signal
from pathlib import Path

POINTS: tuple[str, ...] = (
    "blob.temp_written",
    "blob.synced",
    "blob.renamed",
    "gate.done",
    "log.before_commit",
    "log.after_commit",
    "view.written",
    "product.file_written",
    "product.before_rename",
    "product.renamed",
    "product.before_swap",
)

_calls = itertools.count(1)


def reached(name: str) -> None:
    """Count this call; kill the process when it is the one that ``ECLUSE_CRASH_AT`` numbers (from 1).

    ``ECLUSE_CRASH_TRACE`` names a file that gets one line per call. KeyError when ``name`` is no known point.
    """
    if name not in POINTS:
        raise KeyError(name)
    number = next(_calls)
    if trace := os.environ.get("ECLUSE_CRASH_TRACE"):
        with Path(trace).open("a", encoding="utf-8") as lines:
            lines.write(f"{name}\n")
    if os.environ.get("ECLUSE_CRASH_AT") == str(number):
        os.kill(os.getpid(), signal.SIGKILL)
