"""The Prefect flow that watches deadlines: what of the contracts falls due in 30, 7 and 1 days. The work is in ``flows.cpom``.

Must never hold a row of a file: tasks pass FINESS numbers, names of deadlines and days.
"""

from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_table_artifact

from flows import contracts_shown
from flows.steps import hub_of, step

COLUMNS = ("deadline_id", "finess_ej", "subject", "label_fr", "due_on", "days_left", "horizon")


@step
def falling_due(home: str | None, run: str) -> list[dict[str, Any]]:
    """Open obligations that fall due within the horizons, the nearest first."""
    found = contracts_shown.falling_due(hub_of(home, run))
    return [{name: one[name] for name in COLUMNS} | {"due_on": one["due_on"].isoformat()} for one in found]


@flow(name="watch_deadlines", persist_result=False)
def watch_deadlines(home: str | None = None) -> list[dict[str, Any]]:
    """Tell what falls due in 30, 7 and 1 days; gives the obligations with the smallest horizon that holds each.

    Args:
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
    """
    found = falling_due(home, str(runtime.flow_run.id))
    counts = {size: sum(one["horizon"] == size for one in found) for size in sorted(contracts_shown.HORIZONS)}
    told = ", ".join(f"{count} sous {size} j" for size, count in counts.items())
    create_table_artifact(_summary(found), key="deadlines", description=f"Échéances des CPOM : {told}")
    return found


def _summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "échéance": one["due_on"],
            "jours restants": one["days_left"],
            "FINESS EJ": one["finess_ej"] or "campagne",
            "obligation": one["label_fr"],
            "objet": one["subject"] or "",
        }
        for one in found
    ]
