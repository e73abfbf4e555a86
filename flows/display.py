"""What every answer on the terminal is made with: plain text, JSON, the console, progress.

Data is shown as text: no markup or control character of it is obeyed. What each family of commands shows is in ``display_*``.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

if TYPE_CHECKING:
    from flows.arrivals import Arrival
    from flows.deliveries import Report

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Characters that a terminal obeys, that turn the direction of text, that show as nothing, or that no encoding can write."""


def plain(text: object) -> str:
    """Text of a file's name or of data on one line, its hidden characters spelt out (``\\x1b``)."""
    return HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text)).replace("\n", "\\n")


def as_json(answer: object) -> str:
    """JSON for programs and terminals alike: hidden characters are escaped, which changes no value."""
    text = json.dumps(answer, ensure_ascii=False, indent=2, default=_exact)
    return HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _exact(value: object) -> object:
    """What JSON has no type for: a whole decimal (DuckDB's sums are) is a number, all else text."""
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else str(value)


def console() -> Console:
    """The terminal, where no text of ours or of a file is read as markup."""
    return Console(highlight=False, markup=False, emoji=False)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str], Callable[[str, int, int], None]]]:
    """Gives per file a function to tell how far its steps are; shown on a terminal only."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip

    def of(name: str) -> Callable[[str, int, int], None]:
        task = shown.add_task(plain(name), total=None)

        def step(what: str, done: int, total: int) -> None:
            shown.update(task, description=f"{plain(name)} · {what}", completed=done, total=max(total, 1))

        return step

    with shown:
        yield of


@contextmanager
def counter(total: int, *, quiet: bool = False) -> "Iterator[Callable[[Arrival, Report], None]]":
    """Gives a function to tell that a delivery is done; a bar of all of them is shown on a terminal only."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip
    with shown:
        task = shown.add_task("livraisons", total=total)
        yield lambda one, report: shown.update(task, description=plain(one.name), advance=1)


@contextmanager
def spinner(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Gives a function to tell which step is under way; shown on a terminal only."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), MofNCompleteColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip
    with shown:
        task = shown.add_task(title, total=None)
        yield lambda step: shown.update(task, description=f"{title} · {plain(step)}", advance=1)
