"""What pulling a démarche costs, from the first request to the delivery accepted: a process of `make bench`.

``python tests/bench_demarches.py FOLDER DOSSIERS`` fills the simulator, then pulls all, ten changes, nothing, and all numbers
through a hub of its own. Prints a step and its seconds a line, with the requests that it took. Simulator and hub share the
process: the seconds are those of both. Attached files are left out: each dossier that has new ones costs a request.
"""

import os
import sys
import time
from pathlib import Path

from demarches import Bench, platform

from connectors import simulator_forms as forms
from connectors.demarches_client import TOKEN_VARIABLE
from connectors.simulator_demarches import TOKEN, Simulator
from flows import pull
from flows.demarches_settings import URL_VARIABLE
from flows.hub import CONFIG, init_hub, open_hub

CHANGED = 10


def main() -> None:
    folder, dossiers = Path(sys.argv[1]), int(sys.argv[2])
    home = folder / "hub"
    folder.mkdir(parents=True, exist_ok=True)
    init_hub(home)
    with (home / CONFIG).open("a", encoding="utf-8") as file:
        file.write(f"\n[demarches.{forms.NATIONAL}]\nlocal = true\n")
    with Simulator(platform()) as service:
        os.environ |= {TOKEN_VARIABLE: TOKEN, URL_VARIABLE: service.url}
        bench = Bench(service, folder)
        bench.fill(dossiers)
        bench.platform.advance(86_400)
        timed(bench, home, f"{dossiers} dossiers, première lecture")
        bench.platform.advance(86_400)
        for number in range(1, CHANGED + 1):
            bench.platform.settle(number, "accepte")
        timed(bench, home, f"{CHANGED} dossiers changés")
        bench.platform.advance(86_400)
        timed(bench, home, "rien de changé")
        timed(bench, home, "absences : tous les numéros", absences=True)


def timed(bench: Bench, home: Path, title: str, *, absences: bool = False) -> None:
    """One pull through the hub, with what it took."""
    began = time.perf_counter()
    found = pull.pull(open_hub(home), forms.NATIONAL, absences=absences, pace=bench.pace())
    seconds = time.perf_counter() - began
    told = f"{found.pull['requests']} requêtes, {found.pull['seconds_waited']} s d'attente demandées ({found.delivery.status})"
    print(f"{title} : {told}\t{seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
