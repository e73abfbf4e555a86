"""Building, publishing, querying and explaining, as plain functions. What flows and the command line call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.families import RESTRICTED
from contracts_schema.fingerprint import fingerprint
from contracts_schema.products import Product, products
from flows.deliveries import heads
from flows.hub import Hub, WrongUsage
from warehouse import views
from warehouse.blob_files import storing
from warehouse.heads import FOLDED
from warehouse.log import Event, NewEvent, VersionConflict

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from warehouse.heads import Head
    from warehouse.products import Receipt

REPORTED_TABLES = ("ref_pmsi__head", "ref_pmsi__zone_field")


@dataclass(frozen=True)
class BuildReport:
    """What a build did: views by name with their key, files in all and files computed now."""

    position: int
    heads: int
    views: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def built(self) -> int:
        return sum(int(view["built"]) for view in self.views.values())

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"built": self.built}


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


def build(hub: Hub, until: int | None = None, progress: Callable[[str], None] = lambda name: None) -> BuildReport:
    """Build the views that are missing, for the heads of now or of a past position."""
    position = hub.log.head()[0] if until is None else until
    standing = heads(hub, position)
    if not standing:
        return BuildReport(position, 0)
    tables = views.build(hub.views_folder, standing, hub.blobs.segment_path, progress=progress)
    built = {name: {"key": t.key, "files": len(t.paths), "built": t.built} for name, t in tables.items()}
    return BuildReport(position, len(standing), built)


def publish(hub: Hub, recipient: str | None = None, progress: Callable[[str], None] = lambda name: None) -> list[PublishReport]:
    """Publish each product to each recipient that has rows (``ars-<region>``), or to one of them.

    Publishes nothing new when the content is that of the last publication. WrongUsage for a recipient without data.
    """
    from warehouse import products as publications

    receipt = _receipt(hub)
    standing = heads(hub, receipt.position)
    reports = []
    for product in products().values():
        _refuse_restricted(product)
        tables = _built(hub, standing, {table.view for table in product.tables}, progress)
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
    for name in views.closure(table.view for table in product.tables):
        if any(source.startswith(views.SEGMENT + RESTRICTED) for source in views.views()[name].inputs):
            raise PermissionError(f"{product.id}: view {name} reads a restricted segment, which no product may")


def query(hub: Hub, sql: str, until: int | None = None) -> "pl.DataFrame":
    """The answer of one SELECT over the views, as they stand now or stood at a past position.

    Tables: every view, ``segment_pmsi_rsa``, ``ref_pmsi__head``, ``ref_pmsi__zone_field``. WrongUsage for anything else.
    """
    import duckdb
    from polars.exceptions import PolarsError

    try:
        names = views.tables_read(sql)
        with reading(hub, names, until) as engine:
            rows: pl.DataFrame = engine.sql(sql).pl()
            return rows
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException,
            views.NotAQuery) as error:  # fmt: skip
        raise WrongUsage(f"requête refusée : {' '.join(str(error).split())}") from None
    except (duckdb.Error, PolarsError) as error:  # raised on rows: its words may quote one
        told = "une valeur ne s'y prête pas (try_cast la laisse vide), ou un fichier est abîmé (ecluse verify)"
        raise WrongUsage(f"requête interrompue, {type(error).__name__} : {told}") from None


@contextmanager
def reading(hub: Hub, names: set[str], until: int | None = None) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection on these tables as of a position; what is missing of them is built first."""
    standing = heads(hub, until)
    if not standing:
        raise WrongUsage("aucune transmission acceptée à cette date : rien à lire")
    open_tables = {table for head in standing.values() for table in head.tables if not table.startswith(RESTRICTED)}
    segments = {f"{views.SEGMENT}{table}" for table in open_tables}
    known = {*views.views(), *REPORTED_TABLES, *segments}
    if names - known:
        raise WrongUsage(f"table inconnue : {', '.join(sorted(names - known))} ; tables : {', '.join(sorted(known))}")
    tables = _built(hub, standing, names & set(views.views()))
    asked = {name: tables[name] for name in names & set(tables)}
    with views.reading(hub.views_folder, asked, standing, hub.blobs.segment_path, names & segments) as engine:
        yield engine


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
            hashes = made.write(making, publication)
            content = made.content_hash(hashes)
            if before and before[-1].data["content"] == content:
                return _reported(hub, "unchanged", before[-1])
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


def _built(
    hub: Hub, standing: "Mapping[str, Head]", names: set[str], progress: Callable[[str], None] = lambda name: None
) -> dict[str, views.Table]:
    if not standing:
        return {}
    return views.build(hub.views_folder, standing, hub.blobs.segment_path, names, progress)


def _frame(table: views.Table) -> "pl.DataFrame":
    import polars as pl

    return pl.read_parquet(list(table.paths))
