"""The figures of `make bench`: ingestion set against a floor measured on the same file in the same run, and what else costs.

The floor is what no reader can avoid: slicing the fixed fields of every line to zstd Parquet, hashing and compressing the
bytes. Whole processes are timed, alternately, and medians printed; nothing here is a test.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bench_campaigns
from bench_cds import CENTRES, STAFF
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa

FLOOR = """
import hashlib, sys
import polars as pl, zstandard
from contracts_schema.layouts import layouts
source, folder = sys.argv[1:]
fields = layouts("MCO", "RSA")["229"].fields
lines = pl.scan_csv(source, separator="\\x01", quote_char=None, has_header=False, new_columns=["line"], infer_schema=False)
cut = [pl.col("line").str.slice(field.offset, field.length).alias(field.name) for field in fields]
lines.select(cut).sink_parquet(folder + "/floor.parquet", compression="zstd")
digest, frame = hashlib.sha256(), zstandard.ZstdCompressor(level=3)
with open(source, "rb") as read, open(folder + "/floor.zst", "wb") as out, frame.stream_writer(out) as packed:
    while chunk := read.read(1 << 22):
        digest.update(chunk)
        packed.write(chunk)
"""

STAGES = """
import sys, time
from pathlib import Path
started = time.perf_counter()
from checks.rows import Gate
from connectors import pmsi
from contracts_schema.families import FAMILIES, schema
from warehouse.blobs import open_blobs
from warehouse.segments import SegmentWriter
spent = {"imports": time.perf_counter() - started}

def timed(stage, work, *arguments):
    began = time.perf_counter()
    answer = work(*arguments)
    spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - began
    return answer

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
family, blobs = FAMILIES["rsa"], open_blobs(folder)
read = lambda file: iter(lambda: file.read(16 << 20), b"")
with source.open("rb") as file:
    sha = timed("hash, compress, store", lambda: blobs.put_stream(read(file))).sha256
gate, end = Gate(family, 2025, 12), object()
with blobs.open_raw(sha) as raw, SegmentWriter(folder / "rows.parquet", schema(family)) as writer:
    blocks = pmsi.read(read(raw), family, source.name[:9])
    while (block := timed("decompress, cut", next, blocks, end)) is not end:
        rows, _ = timed("gate", gate.judge, block.cut, block.refused, block.ignored)
        timed("segment (what is not hidden beside the reading)", writer.write, rows)
for stage, seconds in spent.items():
    print(f"{stage}\\t{seconds:.2f}")
"""


@dataclass(frozen=True)
class Run:
    """One whole process: wall and CPU seconds, peak memory in MB."""

    wall: float
    cpu: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="alternated runs of each command")
    parser.add_argument("--large", action="store_true", help="also 3,000,000 lines, for memory")
    parser.add_argument("--part", type=float, default=1, help="of the volumes: 0.01 to see that all of it runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ecluse-bench-") as name:
        bench(Path(name), options.runs, options.part, large=options.large)


def bench(folder: Path, runs: int, part: float, *, large: bool) -> None:
    out = Console(width=132)

    def volume(whole: int) -> int:
        return max(12, round(whole * part))

    source = _file(folder, volume(600_000))
    size = f"{source.stat().st_size / 1e6:.0f} Mo"
    out.print(f"{_told(volume(600_000))} RSA de format 229, {size}, {os.cpu_count()} cœurs, {runs} tours alternés")
    home = folder / "home"

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        _ecluse(home, "init", "--recipient", "ars-99")

    floors, ingests, again = [], [], []
    for _ in range(runs):
        floors.append(_run([sys.executable, "-c", FLOOR, str(source), str(folder)]))
        fresh()
        ingests.append(_ecluse(home, "ingest", "--json", str(source)))
        again.append(_ecluse(home, "ingest", "--json", str(source)))
    built = _ecluse(home, "build")
    unchanged = _ecluse(home, "build")
    resent = _file(folder, volume(600_000), changed=0.02)
    diff = ("diff", "--json", "--scope", f"pmsi/mco/{fictional_finess()}/2025")
    table = Table("commande", "temps (s)", "processeur (s)", "mémoire (Mo)", "× plancher", box=SIMPLE_HEAD)
    floor = statistics.median(run.wall for run in floors)
    for title, measured in (
        ("plancher : champs fixes, empreinte, compression", floors),
        ("ecluse ingest", ingests),
        ("ecluse ingest, les mêmes octets", again),
        ("ecluse build", [built]),
        ("ecluse build, rien n'a changé", [unchanged]),
        ("ecluse query (petite vue)", [_ecluse(home, "query", "select * from out_ars__pmsi_indicator")]),
        ("ecluse publish", [_ecluse(home, "publish")]),
        ("ecluse ingest, 2 % des lignes changées", [_ecluse(home, "ingest", str(resent))]),
        ("ecluse diff des deux, vues à construire", [_ecluse(home, *diff)]),
        ("ecluse diff des deux, vues construites", [_ecluse(home, *diff) for _ in range(runs)]),
        ("ecluse status", [_ecluse(home, "status") for _ in range(runs)]),
        ("ecluse --help", [_ecluse(home, "--help") for _ in range(runs)]),
    ):
        _row(table, title, measured, floor)
    product = _stages(["tests/bench_publication.py", str(home), str(folder / "product"), str(volume(500))])
    fresh()
    _row(table, "ecluse ingest, la même transmission en archive", [_ecluse(home, "ingest", str(_archive(source)))], floor)
    many = _hundred(folder, volume(6_000))
    fresh()
    _row(
        table,
        f"ecluse ingest, 100 établissements de {_told(volume(6_000))} lignes",
        [_ecluse(home, "ingest", str(many))],
        floor,
    )
    if large:
        big = _file(folder, volume(3_000_000))
        fresh()
        _row(
            table,
            f"ecluse ingest, {_told(volume(3_000_000))} lignes, {big.stat().st_size / 1e6:.0f} Mo",
            [_ecluse(home, "ingest", str(big))],
            floor,
        )
    for lines, form in ((50_000, "xlsx"), (5_000, "csv"), (50_000, "csv"), (500_000, "csv")):
        title = f"{_told(volume(lines))} lignes de bordereau, {form.upper()}"
        received, published = _bordereau(folder / f"{form}{lines}", volume(lines), form)
        _row(table, f"{title} : ecluse ingest", [received], floor)
        _row(table, f"{title} : ecluse publish", [published], floor)
    for form, limit in (("csv", 15), ("xlsx", 90)):
        title = f"{_told(volume(3_000))} contrats e-CARS, {form.upper()} (au plus {limit} s en tout)"
        for step, run in _contracts(folder / f"ecars-{form}", form, volume(3_000)).items():
            _row(table, f"{title} : {step}", [run], floor)
    for step, run in _campaign(folder / "centres", volume(CENTRES)).items():
        _row(table, f"une campagne de {_told(volume(CENTRES))} centres de santé : {step}", [run], floor)
    out.print(table)
    _shown(
        out,
        f"{_told(volume(50_000))} lignes de bordereau, XLSX, étape par étape",
        _stages(["tests/bench_bordereaux.py", str(folder / "bordereaux"), str(volume(50_000)), "xlsx"]),
    )
    _shown(
        out,
        f"une campagne de {_told(volume(CENTRES))} centres de santé",
        _stages(["tests/bench_campaigns.py", str(folder / "campaign"), str(volume(CENTRES))]),
    )
    _shown(
        out,
        f"{_told(volume(10_000))} dossiers d'une démarche",
        _stages(["tests/bench_demarches.py", str(folder / "demarches"), str(volume(10_000))]),
    )
    _shown(out, "où va le temps de l'ingestion", _stages(["-c", STAGES, str(source), str(folder / "stages")]))
    _shown(out, f"un produit de {_told(volume(500) * 2_000)} lignes, étape par étape", product)


def _told(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def _bordereau(folder: Path, lines: int, form: str) -> tuple[Run, Run]:
    """A bordereau received, then published, by a hub that has its references."""
    _run([sys.executable, "tests/bench_bordereaux.py", str(folder), str(lines), form, "--prepare"])
    path, home = folder / "files" / f"bordereau.{form}", folder / "hub"
    received = _ecluse(home, "ingest", "--caisse", "311", "--received-at", "2022-10-03", str(path))
    return received, _ecluse(home, "publish")


def _contracts(folder: Path, form: str, count: int) -> dict[str, Run]:
    """The contracts of a whole country received, then published to the one ARS of the bench; then one more, and its state."""
    _run([sys.executable, "tests/bench_ecars.py", form, str(count), str(folder)])
    _run([sys.executable, "tests/bench_ecars.py", "xlsx", "1", str(folder / "more"), str(count + 1)])
    home, day = folder / "hub", ("--received-at", "2025-07-24")
    return {
        "ecluse ingest": _ecluse(home, "ingest", *day, str(folder / "files")),
        "ecluse publish": _ecluse(home, "publish"),
        "ecluse ingest, un classeur de plus": _ecluse(home, "ingest", *day, str(folder / "more" / "files")),
        "ecluse publish, un classeur de plus": _ecluse(home, "publish"),
        "ecluse status": _ecluse(home, "status"),
    }


def _campaign(folder: Path, centres: int) -> dict[str, Run]:
    """The five sections of a campaign received, then published to three caisses and their ARS."""
    (folder / "files").mkdir(parents=True)
    bench_campaigns.write(folder / "files", centres, STAFF)
    home = folder / "hub"
    _ecluse(home, "init", *(word for name in bench_campaigns.RECIPIENTS for word in ("--recipient", name)))
    return {"ecluse ingest": _ecluse(home, "ingest", str(folder / "files")), "ecluse publish": _ecluse(home, "publish")}


def _stages(arguments: list[str]) -> list[list[str]]:
    """What a process of its own says of its steps."""
    spoken = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [line.split("\t") for line in spoken.stdout.splitlines()]


def _shown(out: Console, title: str, steps: list[list[str]]) -> None:
    table = Table(title, "secondes", box=SIMPLE_HEAD)
    for step in steps:
        table.add_row(*step)
    out.print(table)


def _file(folder: Path, lines: int, changed: float = 0) -> Path:
    finess = fictional_finess()
    folder = folder / f"{lines}-{changed}"
    folder.mkdir()
    path = folder / f"{finess}.2025.12.rsa"
    per_month = lines // 12
    write_rsa(
        path,
        Recipe(finess=finess, year=2025, months=12, stays_per_month=per_month, seed=1, changed=changed, vanished=0, late=0),
    )
    return path


def _archive(source: Path) -> Path:
    path = source.with_name(f"{source.name.removesuffix('.rsa')}.20260115101500.out.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source, source.name)
    return path


def _hundred(folder: Path, lines: int) -> Path:
    """A folder of a hundred establishments, one transmission each."""
    many = folder / "hundred"
    many.mkdir()
    for number in range(1, 101):
        finess = fictional_finess(number=number)
        write_rsa(
            many / f"{finess}.2025.12.rsa",
            Recipe(finess=finess, year=2025, months=12, stays_per_month=lines // 12, seed=number),
        )
    return many


def _ecluse(home: Path, *arguments: str) -> Run:
    return _run([str(Path(sys.executable).with_name("ecluse")), "--home", str(home), *arguments])


def _run(command: list[str]) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:3])} … a échoué ({process.returncode})")
    return Run(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _row(table: Table, title: str, runs: list[Run], floor: float) -> None:
    def median(of: Callable[[Run], float]) -> float:
        return statistics.median(map(of, runs))

    wall = median(lambda run: run.wall)
    table.add_row(
        title,
        f"{wall:.2f}",
        f"{median(lambda run: run.cpu):.2f}",
        f"{median(lambda run: run.memory):.0f}",
        f"{wall / floor:.2f}",
    )


if __name__ == "__main__":
    main()
