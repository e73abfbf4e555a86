"""What 50,000 lines of bordereaux cost, from the workbook to the published files, step by step: a process of `make bench`.

``python tests/bench_bordereaux.py FOLDER LINES FORMAT`` writes a bordereau and its references in FOLDER, then takes them
through a hub of its own. Prints a step and its seconds a line. ``--prepare`` stops before the bordereau comes.
"""

import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from connectors import synthetic_references as references
from connectors.bordereau import read_bordereau
from connectors.synthetic_bordereaux import DEFECTS, Plan, rows_of, sample_lines, spoil, write_csv, write_xlsx
from contracts_schema.products import RECONCILIATION
from flows import computed, deliveries, demo_bordereaux, law, publication, reconciling
from flows.hub import PARIS, Hub, init_hub, open_hub

SIRET = "99900001100018"
HEADER = {"structure_name": "CPTS du Val Sablier", "siret": SIRET, "structure_kind": "CPTS", "caisse": "311",
          "period": "du 12/07/2022 au 30/09/2022", "certification": "le responsable, le 03/10/2022"}  # fmt: skip
RECEIVED = datetime(2022, 10, 3, 12, tzinfo=PARIS)
USUAL = [name for name in DEFECTS if name not in ("impossible_day", "two_digit_year")]
"""Defects of one line only: a text date casts doubt on all the others of its file."""


def write(folder: Path, lines: int, form: str) -> Path:
    """A bordereau with 2 % of defects, and the references that its lines are judged by."""
    folder.mkdir(parents=True)
    found = spoil(sample_lines(lines), {number: USUAL[number % len(USUAL)] for number in range(7, lines, 50)})
    rows = rows_of(found, HEADER)
    path = folder / f"bordereau.{form}"
    path.write_bytes(write_xlsx([Plan(rows)]) if form == "xlsx" else write_csv(rows))
    team = references.dossier("900001", "2022-07-14T09:00:00+02:00", SIRET, ["PH1", "PH2", "IDE1", "IDE2", "MED1"])
    others = {
        "structures.csv": references.structures(),
        "adhesions.csv": references.adhesions(),
        "rattachements.csv": references.table([("SIRET", "Caisse", "Début", "Fin exclue"), (SIRET, "311", "", "")]),
        "professionnels.csv": b"".join(references.professionals(100_000)),
        "declarations.csv": references.declarations(team, synchronised=date(2022, 10, 3)),
    }
    for name, content in others.items():
        (folder / name).write_bytes(content)
    return path


def timed(step: str, work: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    answer = work(*arguments)
    print(f"{step}\t{time.perf_counter() - began:.2f}", flush=True)
    return answer


def prepared(folder: Path, lines: int, form: str) -> tuple[Path, Path]:
    """A hub that has all but the bordereau, and the bordereau."""
    path = write(folder / "files", lines, form)
    home = folder / "hub"
    init_hub(home, recipients=["cpam-311", "ars-99"])
    hub = open_hub(home)
    demo_bordereaux.attest(hub)
    found, _ = deliveries.find([one for one in sorted((folder / "files").iterdir()) if one != path], caisse="311")
    for one in found:
        deliveries.ingest(hub, one, RECEIVED)
    return home, path


def main() -> None:
    folder, lines, form = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    home, path = prepared(folder, lines, form)
    if sys.argv[4:] == ["--prepare"]:
        return
    hub = open_hub(home)
    timed("lecture seule, dans un processus à part", read_bordereau, path.read_bytes(), path.name, RECEIVED.date())
    [one], _ = deliveries.find([path], caisse="311")
    timed("réception : lecture, octets gardés, segments, journal", deliveries.ingest, hub, one, RECEIVED)
    _judged(hub)
    _published(hub)


def _judged(hub: Hub) -> None:
    """What a publication computes first, apart."""
    from checks.snp import product
    from checks.snp.reconcile import reconcile

    at = computed.moment(hub, RECONCILIATION)
    assert at
    attested = law.law_of(hub, "cpam-311", at.position)
    facts = timed("faits", reconciling.facts_of, hub, deliveries.all_heads(hub, at.position), "311", attested.alias())
    timed("les 55 contrôles", reconcile, facts, attested.law(), at.on)
    judged = reconciling.judged(hub, "311", at)
    timed("tables du produit", product.tables, judged.reconciliation, judged.facts, judged.lines, judged.law)


def _published(hub: Hub) -> None:
    """The whole publication, of which the table gate and the files are told apart."""
    times: dict[str, float] = {}
    _watch("judged", times)
    _watch("written", times)
    began = time.perf_counter()
    reports = publication.publish(hub)
    whole = time.perf_counter() - began
    assert {report.status for report in reports} == {"published"}, reports
    for name, label in (("judged", "barrière des tables"), ("written", "fichiers")):
        print(f"publication : {label}\t{times[name]:.2f}")
    print(f"publication entière\t{whole:.2f}")


def _watch(name: str, times: dict[str, float]) -> None:
    """Count the time of a function that the publication calls."""
    work = getattr(publication, name)

    def counted(*arguments: Any) -> Any:
        began = time.perf_counter()
        answer = work(*arguments)
        times[name] = times.get(name, 0) + time.perf_counter() - began
        return answer

    setattr(publication, name, counted)


if __name__ == "__main__":
    main()
