"""The Prefect flow that builds the views: when, and trying again. The work is in ``flows.building``.

Must never hold a row: tasks pass names, hashes and counts.
"""

from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_table_artifact

from contracts_schema.french import counted
from flows import building
from flows.steps import hub_of, step


@step
def build_views(home: str | None, run: str) -> dict[str, Any]:
    """Build the views that are not up to date: what was built."""
    return building.build(hub_of(home, run)).as_json()


@flow(name="build", persist_result=False)
def build(home: str | None = None) -> dict[str, Any]:
    """Build the views that are missing for the heads of now; gives their names, keys and counts.

    Args:
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
    """
    report = build_views(home, str(runtime.flow_run.id))
    told = f"Vues à la position {report['position']}, d'après {counted(report['heads'], 'transmission')} en place"
    create_table_artifact(_summary(report), key="build", description=told)
    return report


def _summary(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Files of each view, and how many of them are new; in French."""
    return [
        {"vue": name, "fichiers": view["files"], "calculés": view["built"], "clé": view["key"]}
        for name, view in report["views"].items()
    ]
