"""The table that ends a run: for each fault what was acknowledged, what of it was lost, what is there twice."""

from collections.abc import Callable, Sized

import pytest

Promise = Callable[..., bool]


@pytest.fixture
def promise(record_property: Callable[[str, object], None]) -> Promise:
    """Adds a row to the table of faults that ends the run, and tells whether the promise was kept:
    ``promise(fault, cycles, acknowledged, lost, doubled, must_lose=False)``."""

    def record(fault: str, cycles: int, acked: int, lost: Sized, doubled: int, must_lose: bool = False) -> bool:
        kept = not doubled and bool(acked) and bool(lost) == must_lose
        record_property("fault", (fault, cycles, acked, len(lost), doubled, "kept" if kept else "BROKEN"))
        return kept

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of faults, whichever process ran them."""
    called = [
        report for reports in terminalreporter.stats.values() for report in reports if getattr(report, "when", "") == "call"
    ]
    rows = sorted(tuple(map(str, row)) for report in called for name, row in report.user_properties if name == "fault")
    if rows:
        rows = [("fault", "cycles", "acknowledged", "lost", "twice", "promise"), *rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        terminalreporter.section("faults")
        for first, *rest in rows:
            figures = (text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
            terminalreporter.write_line("  ".join((first.ljust(widths[0]), *figures)))
