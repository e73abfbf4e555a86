"""What 3,000 centres de santé, their staff and journal cost, from files to the tables of the products: part of `make bench`.

``python tests/bench_cds.py [CENTRES] [STAFF]``: prints a step and its seconds a line; the memory of the whole comes last. The
files are made by another process before the clock runs.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from checks.cds.bill import Bill, verify
from checks.cds.examine import examine
from checks.cds.facts import Campaign
from checks.cds.figures import Figures
from checks.cds.product import tables
from checks.cds.remuneration import remunerate
from connectors.ecds import read_extraction

CENTRES, STAFF = 3_000, 142
MAKE = """
import sys; from pathlib import Path; from connectors import synthetic_ecds as made
defects = tuple(made.DEFECTS) * (int(sys.argv[2]) // 60)
for name, body in made.files(made.centres(int(sys.argv[2]), staff=int(sys.argv[3]), defects=defects)).items():
    Path(sys.argv[1], name).write_bytes(body)
"""


def timed(step: str, work: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    answer = work(*arguments)
    print(f"{step}\t{time.perf_counter() - began:.2f}", flush=True)
    return answer


def main(centres: int, staff: int) -> None:
    with TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-c", MAKE, name, str(centres), str(staff)], check=True)
        folder, began = Path(name), time.perf_counter()
        found = timed("read", lambda: read_extraction({path.name: path.read_bytes() for path in sorted(folder.iterdir())}))
        print(f"rows\t{sum(section.received for section in found.sections.values())}")
        campaign = Campaign(found.year, found.extracted_on, **found.frames())
        examination = timed("rules", examine, campaign)
        made = timed("remuneration", remunerate, examination)
        proof = Bill(examination, made, Figures(campaign.last_day), "bench", (1,))
        timed("proof", verify, proof)
        shown = timed("tables", tables, campaign, examination, made)
        print(f"published rows\t{sum(frame.height for frame in shown.values())}")
        print(f"whole\t{time.perf_counter() - began:.2f}")
    print(f"MB\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}")


if __name__ == "__main__":
    main(*(int(given) for given in (*sys.argv[1:], *(str(known) for known in (CENTRES, STAFF)[len(sys.argv) - 1 :]))))
