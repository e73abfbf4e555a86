"""Publishing products, as plain functions. What flows and the command line call."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.families import RESTRICTED
from contracts_schema.fingerprint import fingerprint
from contracts_schema.products import Product, products
from flows.deliveries import heads
from flows.hub import Hub, WrongUsage
from warehouse.blob_files import storing
from warehouse.heads import FOLDED
from warehouse.log import Event, NewEvent, VersionConflict

if TYPE_CHECKING:
    import polars as pl

    from warehouse.products import Receipt
    from warehouse.views import Table


@dataclass(frozen=True)
class PublishReport:
    """One product of one recipient: ``published`` under a new number, or ``unchanged`` since the last one."""

    status: str
    recipient: str
    product: str
    number: int
    folder: str
    position: int
    hash: str
    rows: dict[str, int]
    masked_rows: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def publish(hub: Hub, recipient: str | None = None, progress: Callable[[str], None] = lambda name: None) -> list[PublishReport]:
    """Publish each product to each recipient that has rows (``ars-<region>``), or to one of them.

    Publishes nothing new when the content is that of the last publication. WrongUsage for a recipient without data.
    """
    from flows import building
    from warehouse import products as publications

    receipt = _receipt(hub)
    standing = heads(hub, receipt.position)
    reports = []
    for product in products().values():
        _refuse_restricted(product)
        tables = building.tables(hub, standing, {table.view for table in product.tables}, progress)
        frames = {table.view: _frame(tables[table.view]) for table in product.tables} if standing else {}
        found = sorted(
            {region for frame in frames.values() for region in publications.regions(frame, product.territory_column)}
        )
        for region in found:
            name = f"{product.recipient_kind}-{region}"
            if recipient in (None, name):
                progress(f"{name}/{product.id}")
                keys = {name: table.key for name, table in tables.items()}
                reports.append(_publish(hub, product, name, region, frames, keys, receipt))
    if recipient and not reports:
        raise WrongUsage(f"rien à publier pour {recipient} : aucune transmission acceptée de ce territoire")
    return reports


def _refuse_restricted(product: Product) -> None:
    """A product must not rest on restricted segments, through whatever views."""
    from warehouse import views

    for name in views.closure(table.view for table in product.tables):
        if any(source.startswith(views.SEGMENT + RESTRICTED) for source in views.views()[name].inputs):
            raise PermissionError(f"{product.id}: view {name} reads a restricted segment, which no product may")


def publications(hub: Hub, recipient: str | None = None, product: str | None = None) -> list[Event]:
    """The publications made, in order, of all products or of one."""
    events = hub.log.read(types={"ProductPublished"})
    wanted = {"recipient": recipient, "product": product}
    return [event for event in events if all(value in (None, event.data[name]) for name, value in wanted.items())]


def folder_of(hub: Hub, event: Event) -> Path:
    """The folder of a publication."""
    return hub.products_folder / str(event.data["recipient"]) / str(event.data["product"]) / f"{event.data['number']:04d}"


def _publish(
    hub: Hub,
    product: Product,
    recipient: str,
    region: str,
    frames: Mapping[str, "pl.DataFrame"],
    keys: Mapping[str, str],
    receipt: "Receipt",
) -> PublishReport:
    from warehouse import products as made

    on = date.fromisoformat(receipt.recorded_at[:10])
    rows = {table.name: made.rows_of(product, frames[table.view], table, region, on) for table in product.tables}
    folder = hub.products_folder / recipient / product.id
    while True:
        with storing(folder), made.exclusive(folder), made.beside(folder) as making:
            version = hub.log.version(f"product/{recipient}/{product.id}")
            before = publications(hub, recipient, product.id)
            number = len(before) + 1
            manifest = made.manifest(recipient, product, number, receipt, keys, fingerprint(), region)
            publication = made.Publication(recipient, product, rows, manifest)
            content = made.content_hash(publication)
            if before and before[-1].data["content"] == content:
                return _reported(hub, "unchanged", before[-1])
            hashes = made.write(making, publication)
            data = {
                "recipient": recipient,
                "product": product.id,
                "number": number,
                "content": content,
                "manifest": made.manifest_hash(making),
                "log": {"position": receipt.position, "hash": receipt.hash},
                "build_keys": dict(keys),
                "contracts": fingerprint(),
                "tables": {
                    name: {"rows": frame.height, "masked_rows": int(frame["masked"].sum()), "files": hashes[name]}
                    for name, frame in rows.items()
                },
            }
            made.place(making, folder / f"{number:04d}")
            event = NewEvent(publication.stream, "ProductPublished", data, f"published/{recipient}/{product.id}/{number}",
                             expected_version=version)  # fmt: skip
            try:
                return _reported(hub, "published", hub.log.append(event, hub.meta())[0])
            except VersionConflict:
                continue  # published from another machine in between: compare with that one


def _reported(hub: Hub, status: str, event: Event) -> PublishReport:
    data = event.data
    return PublishReport(
        status=status,
        recipient=data["recipient"],
        product=data["product"],
        number=data["number"],
        folder=str(folder_of(hub, event)),
        position=data["log"]["position"],
        hash=data["log"]["hash"],
        rows={name: table["rows"] for name, table in data["tables"].items()},
        masked_rows={name: table["masked_rows"] for name, table in data["tables"].items()},
    )


def _receipt(hub: Hub) -> "Receipt":
    """The last event that moved a head: publishing itself must not change what is published."""
    from warehouse.products import Receipt

    last, let_in = None, set[str]()
    for event in hub.log.read(types=FOLDED):
        if event.type == "DeliveryAccepted":
            let_in.add(event.data["delivery_id"])
        if event.data["delivery_id"] in let_in:
            last = event
    if last is None:
        raise WrongUsage("rien à publier : aucune transmission acceptée")
    return Receipt(last.position, last.hash, last.recorded_at)


def _frame(table: "Table") -> "pl.DataFrame":
    import polars as pl

    return pl.read_parquet(list(table.paths)) if table.paths else pl.DataFrame()
