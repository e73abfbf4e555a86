"""What a campaign of 3,000 centres de santé costs, from the files to the published products: a process of `make bench`.

``python tests/bench_campaigns.py FOLDER [CENTRES] [STAFF]`` writes an extraction in FOLDER, then takes it through a hub of its
own to a caisse, two others and their region. Prints a step and its seconds a line; memory comes last.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench_bordereaux import timed
from bench_cds import CENTRES, MAKE, STAFF

from contracts_schema.products import CAMPAIGN
from flows import computed, deliveries, publication
from flows.hub import Hub, init_hub, open_hub

RECIPIENTS = ("cpam-311", "cpam-312", "cpam-313", "ars-99")


def write(folder: Path, centres: int, staff: int) -> None:
    """The five sections, by a process of its own, whose memory does not count."""
    subprocess.run([sys.executable, "-c", MAKE, str(folder), str(centres), str(staff)], check=True)


def main(folder: Path, centres: int, staff: int) -> None:
    files = folder / "files"
    files.mkdir(parents=True)
    write(files, centres, staff)
    init_hub(folder / "hub", recipients=RECIPIENTS)
    hub = open_hub(folder / "hub")
    began = time.perf_counter()
    found, _ = deliveries.find([files])
    reports = timed(
        "réception : lecture, octets gardés, segments, journal", lambda: [deliveries.ingest(hub, one) for one in found]
    )
    assert {report.status for report in reports} == {"accepted"}, reports
    timed("tables de chaque caisse et de la région", _computed, hub)
    spent = _published(hub)
    whole = time.perf_counter() - began
    print(f"publication : barrière des tables\t{spent['judged']:.2f}")
    print(f"publication : fichiers\t{spent['written']:.2f}")
    lines = sum(report.rows_in for report in reports)
    print(f"{lines} lignes, des fichiers aux produits, barrière à part\t{whole - spent['judged']:.2f}")
    print(f"mémoire (Mo)\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}")


def _computed(hub: Hub) -> None:
    at = computed.moment(hub, CAMPAIGN)
    assert at
    computed.tables(hub, CAMPAIGN, at)


def _published(hub: Hub) -> dict[str, float]:
    """The whole publication; gives the seconds of the table gate and of the files."""
    spent = {"judged": 0.0, "written": 0.0}

    def counted(name: str) -> None:
        work = getattr(publication, name)

        def timing(*arguments: Any) -> Any:
            began = time.perf_counter()
            answer = work(*arguments)
            spent[name] += time.perf_counter() - began
            return answer

        setattr(publication, name, timing)

    for name in spent:
        counted(name)
    reports = timed("publication entière", publication.publish, hub)
    assert {report.status for report in reports} == {"published"}, reports
    return spent


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[2:]]
    main(Path(sys.argv[1]), *(*given, *(CENTRES, STAFF)[len(given) :]))
