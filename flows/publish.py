"""The Prefect flow that builds the views and publishes: when, and trying again. The work is in ``flows.publication``.

Must never hold a row: tasks pass names, hashes and counts.
"""

from typing import Annotated, Any

from prefect import flow, runtime
from prefect.artifacts import create_table_artifact
from pydantic import AfterValidator, Field

from contracts_schema.geography import region_label, region_of
from contracts_schema.products import product_of
from flows import deliveries, lineage, publication
from flows.build import build_views
from flows.steps import StepError, hub_of, step
from warehouse import views
from warehouse.recipients import CAISSE


def _known(recipient: str) -> str:
    kind, _, territory = recipient.partition("-")
    if kind == "ars" and region_label(territory) == territory:
        raise ValueError(f"aucune région n'a le code {territory}")
    return recipient


Recipient = Annotated[str, Field(pattern=rf"^(ars-[0-9]{{2}}|cpam-({CAISSE.pattern}))$"), AfterValidator(_known)]


@step
def publish_products(recipient: str | None, home: str | None, run: str) -> list[dict[str, Any]]:
    """Publish from the views as they are: a report per product."""
    return [report.as_json() for report in publication.publish(hub_of(home, run), recipient)]


@step
def heads_of(product: str, recipient: str, position: int, home: str | None, run: str) -> list[str]:
    """Scopes of the heads that a publication was made from: those with a table it reads, in the recipient's region."""
    tables = {table.view for table in product_of(recipient, product).tables}
    inputs = {source for name in views.closure(tables) for source in views.views()[name].inputs}
    kind, _, territory = recipient.partition("-")
    return [
        scope
        for scope, head in deliveries.heads(hub_of(home, run), position).items()
        if any(views.SEGMENT + table in inputs for table in head.tables)
        and (kind != "ars" or region_of(head.data.get("finess", "")) == territory)
    ]


ISSUES = {"published": "publié", "unchanged": "inchangé", "refused": "refusé"}


@flow(name="publish", persist_result=False)
def publish(recipient: Recipient | None = None, home: str | None = None) -> list[dict[str, Any]]:
    """Build what is missing, then publish; gives a report per product: none as long as nothing was accepted.

    A product that the table gate refuses fails the run, after the others had their turn.

    Args:
        recipient: whose products, for example ars-99; by default everyone's.
        home: the hub's home; by default ECLUSE_HOME, else ~/.ecluse.
    """
    run = str(runtime.flow_run.id)
    nothing_yet = build_views(home, run)["heads"] == 0 and recipient is None
    reports = [] if nothing_yet else publish_products(recipient, home, run)
    for report in reports:
        if report["status"] == "published":
            _record_lineage(report, home, run)
    create_table_artifact(_summary(reports), key="publish", description=f"Produits : {len(reports)}")
    refused = [f"{report['recipient']}/{report['product']}" for report in reports if report["status"] == "refused"]
    if refused:
        raise StepError(f"refused by the table gate, see the folder refused-… of each: {', '.join(refused)}")
    return reports


def _record_lineage(report: dict[str, Any], home: str | None, run: str) -> None:
    """The product that was just published, from the heads of its recipient."""
    recipient, product = report["recipient"], report["product"]
    made_from = heads_of(product, recipient, report["position"], home, run)
    facts = {name: report[name] for name in ("number", "position", "rows", "masked_rows")}
    lineage.record(lineage.product(recipient, product), f"{recipient}, {product}", facts, map(lineage.head, made_from))


def _summary(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of each table of each product, in French."""
    return [
        {
            "destinataire": report["recipient"],
            "produit": report["product"],
            "numéro": report["number"],
            "issue": ISSUES[report["status"]],
            "position": report["position"],
            "table": table,
            "lignes": rows,
            "lignes masquées": report["masked_rows"][table],
        }
        for report in reports
        for table, rows in report["rows"].items()
    ]
