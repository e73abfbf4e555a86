"""`make bench` runs to its end: on a hundredth of its volumes, so that a figure can always be had."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench.py"


@pytest.mark.soak
def test_the_bench_runs_to_its_end_on_a_hundredth_of_its_volumes() -> None:
    ran = subprocess.run(
        [sys.executable, BENCH, "--runs", "1", "--part", "0.01"], cwd=BENCH.parents[1], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "ecluse publish" in ran.stdout
