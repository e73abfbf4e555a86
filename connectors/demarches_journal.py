"""The journal of one pull: each answer that counts, on disk and synced before the next is asked. What resuming reads.

One file, only appended to. Its last line may be torn by a crash: it is cut off, and asked again. Must never hold the token, the
address of a file, or anything else that a record would not.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from connectors.demarches_client import PullStopped
from connectors.demarches_records import canonical

JOURNAL = "pull.jsonl"
Reached = Callable[[str], None]
"""Called at each point between two writes, by its name: where a test may stop the process."""


class AlreadyPulling(PullStopped):
    """Another process pulls the same démarche."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the work folder of a démarche, for this process only. AlreadyPulling."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyPulling("une autre lecture de cette démarche est en cours : attendez qu'elle finisse") from None
        yield


class Journal:
    """The lines written so far, then those to come. The first is the plan of the pull: another plan starts again, and so does
    one that began before ``since``."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], since: str, reached: Reached) -> None:
        self.path = folder / JOURNAL
        self._reached = reached
        found = self._mend()
        young = found is not None and str(found.get("started_at")) >= since
        if (
            found is not None
            and young
            and all(found.get(name) == value for name, value in plan.items() if name != "started_at")
        ):
            self.plan: Mapping[str, Any] = found
            self.resumed = True
        else:
            self.path.unlink(missing_ok=True)
            self.plan = plan
            self.resumed = False
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        if not self.resumed:
            self.append(plan)
            synced(folder)

    def append(self, line: Mapping[str, Any]) -> None:
        """Write a line for good."""
        self._reached("pull.answered")
        data = canonical(line).encode() + b"\n"
        while data:
            data = data[self._file.write(data) :]
        self._reached("pull.written")
        os.fsync(self._file.fileno())
        self._reached("pull.synced")

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line after the plan, in order."""
        with self.path.open("rb") as file:
            next(file, None)
            for line in file:
                yield json.loads(line, parse_float=str)

    def close(self) -> None:
        self._file.close()

    def _mend(self) -> dict[str, Any] | None:
        """Cut a torn last line off; the plan, if there is one."""
        if not self.path.exists():
            return None
        with self.path.open("r+b") as file:
            whole = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
            file.truncate(whole)
            os.fsync(file.fileno())
            file.seek(0)
            with suppress(ValueError):
                plan = json.loads(file.readline())
                return plan if isinstance(plan, dict) else None
        return None


def synced(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
