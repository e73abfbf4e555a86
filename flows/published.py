"""What was published: events of the log and where their files are. Imports nothing heavy: status and explain begin here."""

from pathlib import Path
from typing import TYPE_CHECKING

from contracts_schema.products import Product, product_of
from flows.hub import Hub, WrongUsage
from warehouse.log import Event

if TYPE_CHECKING:
    import polars as pl


class PublicationLost(Exception):
    """The files of a publication are not there or cannot be read; the message says which and what to do."""


def publications(hub: Hub, recipient: str | None = None, product: str | None = None, until: int | None = None) -> list[Event]:
    """The publications made, in order, of all products or of one, up to a position."""
    events = hub.log.read(types={"ProductPublished"}, until=until)
    wanted = {"recipient": recipient, "product": product}
    return [event for event in events if all(value in (None, event.data[name]) for name, value in wanted.items())]


def contract_of(event: Event) -> Product:
    """The present contract of what was published. WrongUsage when an earlier version published what this one does not."""
    recipient, product = event.data["recipient"], event.data["product"]
    try:
        return product_of(recipient, product)
    except KeyError:
        told = f"{recipient}/{product} n° {event.data['number']} vient d'une version antérieure, cette version n'en publie plus"
        raise WrongUsage(f"{told} : ses fichiers restent, leur contrat est dans contract.odcs.yaml") from None


def folder_of(hub: Hub, event: Event) -> Path:
    """The folder of a publication."""
    return hub.products_folder / str(event.data["recipient"]) / str(event.data["product"]) / f"{event.data['number']:04d}"


def published_rows(hub: Hub, event: Event, table: str) -> "pl.DataFrame":
    """A table of a publication, as its recipient has it. PublicationLost."""
    import polars as pl

    path = folder_of(hub, event) / f"{table}.parquet"
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        told = f"publication illisible : {path} ; restaurez ce dossier (ecluse verify dit ce qui manque)"
        raise PublicationLost(told) from None
