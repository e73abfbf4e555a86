"""The Prefect flow that closes campaigns: when a deadline has passed, its state is told once, then published.

The work is in ``flows.closings`` and ``flows.publication``; tasks pass years, positions and counts, never a row.
"""

from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_table_artifact

from flows import closings
from flows.publish import publish_products
from flows.steps import StepError, hub_of, step


@step
def deadlines_due(home: str | None, run: str) -> list[list[Any]]:
    """The deadlines that have passed and that nobody told yet, as year and name."""
    return [list(one) for one in closings.due(hub_of(home, run))]


@step
def close(year: int, deadline: str, home: str | None, run: str) -> dict[str, Any]:
    """Tell the state of a campaign at a deadline: year, deadline, position."""
    return closings.close(hub_of(home, run), year, deadline)


@flow(name="close-campaign", persist_result=False)
def close_campaign(home: str | None = None) -> list[dict[str, Any]]:
    """Tell the state of every campaign whose deadline has passed, and publish it; nothing when there is none.

    A product that the table gate refuses fails the run.

    Args:
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
    """
    run = str(runtime.flow_run.id)
    told: list[dict[str, Any]] = []
    for year, deadline in deadlines_due(home, run):
        told.append(close(year, deadline, home, run))
        reports = publish_products(None, home, run)
        refused = [f"{report['recipient']}/{report['product']}" for report in reports if report["status"] == "refused"]
        if refused:
            raise StepError(f"refused by the table gate, see the folder refused-… of each: {', '.join(refused)}")
    rows = [{"campagne": one["year"], "date butoir": one["deadline"], "position": one["position"]} for one in told]
    create_table_artifact(rows, key="close-campaign", description=f"États arrêtés : {len(told)}")
    return told
