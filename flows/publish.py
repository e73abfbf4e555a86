"""The Prefect flow that builds the views and publishes: when, and trying again. The work is in ``flows.publication``.

Must never hold a row: tasks pass names, hashes and counts.
"""

from typing import Any

from prefect import flow, runtime

from flows import building, publication
from flows.steps import hub_of, step


@step
def build_views(home: str | None, run: str) -> dict[str, Any]:
    """Build the views that are not up to date: what was built."""
    return building.build(hub_of(home, run)).as_json()


@step
def publish_products(recipient: str | None, home: str | None, run: str) -> list[dict[str, Any]]:
    """Publish from the views as they are: a report per product."""
    return [report.as_json() for report in publication.publish(hub_of(home, run), recipient)]


@flow(name="publish", persist_result=False)
def publish(recipient: str | None = None, home: str | None = None) -> list[dict[str, Any]]:
    """Build what is missing, then publish; gives a report per product.

    Args:
        recipient: whose products, for example ars-99; by default everyone's.
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
    """
    run = str(runtime.flow_run.id)
    build_views(home, run)
    return publish_products(recipient, home, run)
