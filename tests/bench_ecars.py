"""What 3,000 contracts cost, from files to the tables of the products, as canonical CSV or as workbooks: part of `make bench`.

``python tests/bench_ecars.py csv|xlsx [CONTRACTS]``: prints a step and its seconds a line; the memory of the whole comes last.
With a FOLDER besides, only writes the files in ``files/`` and makes a hub beside them, which ``ecluse`` then takes in; a number
after it is that of the first contract.
The files are made before the clock runs. Workbooks are read by two readers at once, each file in a process of its own.
"""

import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from checks.cpom.compare import DEFINITION, RECOMPUTED, compare
from checks.cpom.facts import facts_of
from checks.cpom.judge import judge
from checks.cpom.law import default_law
from checks.cpom.obligations import watch
from checks.cpom.product import tables
from connectors.ecars import NAMES, Export, gathered, read_ecars
from connectors.sheet_batch import sheet_reader
from connectors.synthetic_ecars import canonical, sample_contract, workbook
from flows.hub import init_hub

CONTRACTS, READERS, BATCH = 3_000, 2, 100
ON = date(2025, 8, 1)


def timed(step: str, work: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    answer = work(*arguments)
    print(f"{step}\t{time.perf_counter() - began:.2f}", flush=True)
    return answer


def written(folder: Path, kind: str, count: int, first: int = 1) -> list[Path]:
    """The files: one canonical CSV, or a workbook a contract."""
    contracts = [sample_contract(number, hpr=number % 5 == 0) for number in range(first, first + count)]
    if kind == "csv":
        (folder / "canonique.csv").write_bytes(canonical(contracts))
        return [folder / "canonique.csv"]
    paths = [folder / f"{contract.finess_ej}.xlsx" for contract in contracts]
    for path, contract in zip(paths, contracts, strict=True):
        path.write_bytes(workbook(contract))
    return paths


def read(paths: list[Path]) -> Export:
    """Every file, by two readers at once."""
    shares = [paths[place::READERS] for place in range(READERS)]
    with ThreadPoolExecutor(READERS) as pool:
        return gathered(export for share in pool.map(_share, shares) for export in share)


def _share(paths: list[Path]) -> list[Export]:
    with sheet_reader() as reader:
        parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        return [gathered(read_ecars(path.read_bytes(), path.name, ON, reader) for path in part) for part in parts]


def judged(export: Export) -> dict[str, pl.DataFrame]:
    """Rules, comparison without any PMSI, obligations and tables."""
    law = default_law()
    facts = facts_of({name: getattr(export, name) for name in NAMES})
    found = timed("rules", judge, facts, law, ON, datetime(2025, 8, 1, tzinfo=UTC))
    comparison = timed("comparison", compare, found, pl.DataFrame(schema=RECOMPUTED), pl.DataFrame(schema=DEFINITION), law)
    owed = timed("obligations", watch, facts, found, law, ON)
    made: dict[str, pl.DataFrame] = timed("tables", tables, facts, found, comparison, owed, law)
    return made


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else CONTRACTS
    if len(sys.argv) > 3:
        folder = Path(sys.argv[3])
        (folder / "files").mkdir(parents=True)
        written(folder / "files", kind, count, int(sys.argv[4]) if len(sys.argv) > 4 else 1)
        init_hub(folder / "hub", recipients=["ars-99"])
        return
    with TemporaryDirectory(prefix="ecluse-ecars-") as name:
        paths = written(Path(name), kind, count)
        began = time.perf_counter()
        made = judged(timed("read", read, paths))
        print(f"all\t{time.perf_counter() - began:.2f}")
        print(f"contracts\t{made['out_ars__cpom_contract'].height}")
        own, children = (resource.getrusage(who).ru_maxrss >> 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(f"MB\t{own}\nMB of a reader\t{children}")


if __name__ == "__main__":
    main()
