"""What was published: events of the log and where their files are. Imports nothing heavy: status and explain begin here."""

from pathlib import Path

from flows.hub import Hub
from warehouse.log import Event


def publications(hub: Hub, recipient: str | None = None, product: str | None = None, until: int | None = None) -> list[Event]:
    """The publications made, in order, of all products or of one, up to a position."""
    events = hub.log.read(types={"ProductPublished"}, until=until)
    wanted = {"recipient": recipient, "product": product}
    return [event for event in events if all(value in (None, event.data[name]) for name, value in wanted.items())]


def folder_of(hub: Hub, event: Event) -> Path:
    """The folder of a publication."""
    return hub.products_folder / str(event.data["recipient"]) / str(event.data["product"]) / f"{event.data['number']:04d}"
