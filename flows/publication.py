"""Publishing products, as plain functions. What flows and the command line call.

A publication is masked, judged on its recipient's staging tables, written as files, told to the log, then put in place for the
recipient in one step. Stopped anywhere, the same command again ends in the same single publication.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.editions import (
    Edition,
    concerns,
    documents,
    editions,
    facts,
    judged,
    masked,
    recipients,
    written,
)
from flows.hub import Hub, WrongUsage
from flows.published import folder_of, publications
from warehouse.blob_files import storing
from warehouse.log import Event, NewEvent, VersionConflict

if TYPE_CHECKING:
    from checks.table_results import TableGate
    from flows.gate_apart import Judge
    from warehouse.products import Publication


@dataclass(frozen=True)
class PublishReport:
    """One product of one recipient.

    ``published`` under a new number, ``unchanged`` since the last one, ``refused`` by the table gate, or ``recreated`` as it
    was at a past position. ``breaches`` are the rules of the table gate that were broken, with counts of rows.
    """

    status: str
    recipient: str
    product: str
    number: int
    folder: str
    position: int
    hash: str
    rows: dict[str, int]
    masked_rows: dict[str, int]
    breaches: list[dict[str, Any]]
    known_as: int | None = None
    """Of what was recreated: the number under which these very bytes were published, if they were."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def publish(
    hub: Hub,
    recipient: str | None = None,
    progress: Callable[[str], None] = lambda name: None,
    judge: "Judge | None" = None,
) -> list[PublishReport]:
    """Publish its products to each recipient of the settings, or to one of them.

    Publishes nothing new when the content is that of the last publication. ``judge``: the table gate, if another than that of
    this process (``flows.gate_apart``). WrongUsage when nothing can be published, or when a product holds more than its
    recipient is cleared for. BrokenCheck when the table gate could not answer.
    """
    found = editions(hub, recipients(hub, recipient), None, progress)
    reports = [_publish(hub, edition, judge) for edition in found if concerns(hub, edition)]
    if recipient and not reports:
        raise WrongUsage(f"rien à publier pour {recipient} : aucune donnée acceptée de ce territoire")
    return reports


def recreate(
    hub: Hub, until: int, output: Path, recipient: str | None = None, progress: Callable[[str], None] = lambda name: None
) -> list[PublishReport]:
    """Make publications again as they were known at a past position, into ``output``; records nothing, replaces nothing.

    Under the same code and contracts the files are those of then, byte for byte. WrongUsage as ``publish``, and for a folder
    that holds something.
    """
    if output.exists() and any(output.iterdir()):
        raise WrongUsage(f"{output} n'est pas vide : donnez un dossier neuf")
    found = editions(hub, recipients(hub, recipient), until, progress)
    reports = [_recreate(hub, edition, until, output) for edition in found if concerns(hub, edition, until)]
    if not reports:
        raise WrongUsage("rien n'était publiable à cette date pour ces destinataires")
    return reports


def _publish(hub: Hub, edition: Edition, judge: "Judge | None") -> PublishReport:
    from warehouse import faults, recipient_tables
    from warehouse import products as made

    recipient, product = edition.recipient, edition.product
    folder, url = hub.products_folder / recipient.name / product.id, hub.settings.warehouse_url
    while True:
        with storing(folder), made.exclusive(folder), made.beside(folder) as making:
            before = publications(hub, recipient.name, product.id)
            publication = masked(hub, edition, before, len(before) + 1)
            version, content = hub.log.version(publication.stream), made.content_hash(publication)
            known = before[-1] if before and before[-1].data["content"] == content else None
            number = known.data["number"] if known else len(before) + 1
            if known and recipient_tables.standing(url, recipient, product.id) == number:
                return _reported("unchanged", known, folder_of(hub, known))
            with recipient_tables.staged(
                url, recipient, product, publication.tables, facts(edition, content, number)
            ) as staging:
                gate = judged(edition, staging, judge)
                if not gate.sound:
                    return _refused(edition, publication, gate, making)
                status = "unchanged" if known else "published"
                if known is None:
                    data = written(edition, publication, gate, making, content)
                    made.place(making, folder / f"{number:04d}")
                    key = f"published/{recipient.name}/{product.id}/{number}"
                    event = NewEvent(publication.stream, "ProductPublished", data, key, expected_version=version)
                    try:
                        known = hub.log.append(event, hub.meta())[0]
                    except VersionConflict:
                        continue  # published from another machine in between: compare with that one
                faults.reached("product.before_swap")
                staging.swap()
            return _reported(status, known, folder_of(hub, known))


def _recreate(hub: Hub, edition: Edition, until: int, output: Path) -> PublishReport:
    """The edition of a past position, in a folder of its own, judged on tables of its own."""
    from tempfile import TemporaryDirectory

    from warehouse import products as made
    from warehouse import recipient_tables

    recipient, product = edition.recipient, edition.product
    before = publications(hub, recipient.name, product.id, until)
    if before and before[-1].data["log"]["position"] == edition.receipt.position:
        before = before[:-1]  # the last one is what is made again
    number = len(before) + 1
    publication = masked(hub, edition, before, number)
    content = made.content_hash(publication)
    folder = output / recipient.name / product.id / f"{number:04d}"
    with storing(folder), TemporaryDirectory() as apart:
        folder.mkdir(parents=True)
        told = facts(edition, content, number)
        with recipient_tables.staged(apart, recipient, product, publication.tables, told) as staging:
            gate = judged(edition, staging)
        data = written(edition, publication, gate, folder, content)
    same = [event for event in publications(hub, recipient.name, product.id) if event.data["manifest"] == data["manifest"]]
    return _report("recreated", data, folder, known_as=same[0].data["number"] if same else None)


def _refused(edition: Edition, publication: "Publication", gate: "TableGate", making: Path) -> PublishReport:
    """Keep what the table gate found, beside the publications; nothing else of a refused one is kept."""
    from warehouse import products as made

    documents(edition, publication, gate, making)
    final = making.parent / f"refused-{edition.receipt.position:06d}"
    made.place(making, final)
    data = {
        "recipient": edition.recipient.name,
        "product": edition.product.id,
        "number": publication.manifest["ecluse"]["number"],
        "log": {"position": edition.receipt.position, "hash": edition.receipt.hash},
        "tables": {
            name: {"rows": rows.height, "masked_rows": made.masked_rows(rows)} for name, rows in publication.tables.items()
        },
    }
    return _report("refused", data, final, breaches=[result.as_json() for result in gate.breaches])


def _reported(status: str, event: Event, folder: Path) -> PublishReport:
    return _report(status, event.data, folder)


def _report(
    status: str,
    data: Mapping[str, Any],
    folder: Path,
    breaches: list[dict[str, Any]] | None = None,
    known_as: int | None = None,
) -> PublishReport:
    return PublishReport(
        status=status,
        recipient=data["recipient"],
        product=data["product"],
        number=data["number"],
        folder=str(folder),
        position=data["log"]["position"],
        hash=data["log"]["hash"],
        rows={name: table["rows"] for name, table in data["tables"].items()},
        masked_rows={name: table["masked_rows"] for name, table in data["tables"].items()},
        breaches=breaches or [],
        known_as=known_as,
    )
