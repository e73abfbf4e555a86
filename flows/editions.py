"""Editions: what each recipient could be given as of a position of the log, masked, judged and written. Publishes nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import COMMON, ECDS
from contracts_schema import parameters
from contracts_schema.families import RESTRICTED
from contracts_schema.fingerprint import fingerprint
from contracts_schema.geography import region_of
from contracts_schema.products import VIEWS, Product, products
from flows import building, computed
from flows.computed import Moment
from flows.deliveries import heads
from flows.hub import Hub, WrongUsage
from flows.published import publications, published_rows
from warehouse import views
from warehouse.heads import BORDEREAU, DATASET, ECARS, FOLDED, PMSI
from warehouse.log import Event, paris

if TYPE_CHECKING:
    import polars as pl

    from checks.table_results import TableGate
    from flows.gate_apart import Judge
    from warehouse.heads import Head
    from warehouse.products import Publication, Receipt
    from warehouse.recipient_tables import Staging
    from warehouse.recipients import Recipient

CHECKS = "controles.json"


@dataclass(frozen=True)
class Edition:
    """All that a publication is made from: what stands at a position of the log, and what was published before."""

    recipient: "Recipient"
    product: Product
    receipt: "Receipt"
    heads: "Mapping[str, Head]"
    keys: Mapping[str, str]
    """Build key of each view."""
    frames: "Mapping[str, pl.DataFrame]"
    """Rows of each view of the product, of every territory, before masking."""
    judged_on: date | None = None
    """The day for which lines were judged; None for a product of views."""


def editions(hub: Hub, recipients: "list[Recipient]", until: int | None, progress: Callable[[str], None]) -> list[Edition]:
    """What each recipient could be given, now or as of a position: its products, with views built.

    WrongUsage above its clearance, and when nothing that a publication is made of was ever accepted.
    """
    from warehouse.products import Receipt
    from warehouse.recipients import AboveClearance, refuse_above_clearance

    last = {key: _last_change(hub, product, until) for key, product in products().items() if _is_made(product)}
    if not any(last.values()):
        raise WrongUsage("rien à publier : aucune transmission acceptée")
    found = []
    for key, event in last.items():
        product = products()[key]
        concerned = [one for one in recipients if one.kind == product.recipient_kind]
        if not concerned or event is None:
            continue
        receipt, at = Receipt(event.position, event.hash, event.recorded_at), None
        if product.made_by == VIEWS:
            _refuse_restricted(product)
        else:
            at = computed.moment(hub, product.made_by, until)
        tables = tables_of(hub, product, at or Moment(receipt.position, paris(receipt.recorded_at).date()), progress=progress)
        if not (tables and all(tables[table.view].paths for table in product.tables)):
            continue  # nothing of what it is made from was ever delivered
        frames = {table.view: _frame(product, tables[table.view]) for table in product.tables}
        keys, standing = {name: table.key for name, table in tables.items()}, heads(hub, receipt.position)
        for one in concerned:
            try:
                refuse_above_clearance(product, one)
            except AboveClearance as refusal:
                raise WrongUsage(str(refusal)) from None
            progress(f"{one.name}/{product.id}")
            found.append(Edition(one, product, receipt, standing, keys, frames, at.on if at else None))
    return found


def tables_of(
    hub: Hub, product: Product, at: Moment, of: "Recipient | None" = None, progress: Callable[[str], None] = lambda name: None
) -> dict[str, views.Table]:
    """The tables of a product as of a moment, by view, built now if they are not yet; ``of``: those a recipient is told of."""
    if product.made_by == VIEWS:
        return building.tables(hub, heads(hub, at.position), {table.view for table in product.tables}, at.position, progress)
    own = {of.name, of.territory} if of else frozenset[str]()
    made = computed.tables(hub, product.made_by, at, progress, own)
    return {table.view: made[table.view] for table in product.tables if table.view in made}


def concerns(hub: Hub, edition: Edition, until: int | None = None) -> bool:
    """Whether a recipient has rows in a product, or had some that were published to it."""
    from warehouse.masking import inside

    product, recipient = edition.product, edition.recipient
    rows = (inside(product, edition.frames[table.view], recipient.territory).height for table in product.tables)
    return any(rows) or bool(publications(hub, recipient.name, product.id, until))


def masked(hub: Hub, edition: Edition, before: list[Event], number: int) -> "Publication":
    """A publication with its number: small counts masked, what was published before included."""
    from warehouse import masking
    from warehouse import products as made

    recipient, product, receipt = edition.recipient, edition.product, edition.receipt
    earlier = [_tables(hub, event) for event in before]
    tables = masking.masked(product, edition.frames, recipient.territory, paris(receipt.recorded_at).date(), earlier)
    numbered = {event.data["number"]: event.data["manifest"] for event in before}
    manifest = made.manifest(recipient, product, number, receipt, edition.keys, fingerprint(), numbered)
    formats = tuple(dict.fromkeys(("parquet", *recipient.formats)))  # the next publications are compared with it
    return made.Publication(recipient.name, product, tables, manifest, formats, _provenance(edition))


def moved(hub: Hub, recipients: "list[Recipient]") -> bool:
    """Whether something that a publication is made of has changed since the last one, or the day it is judged for."""
    for product in filter(_is_made, products().values()):
        last = _last_change(hub, product, None)
        for recipient in recipients if last else ():
            made = publications(hub, recipient.name, product.id) if recipient.kind == product.recipient_kind else None
            if made is not None and last:
                known = (made[-1].data["log"]["position"], made[-1].data.get("judged_on")) if made else None
                day = None if product.made_by == VIEWS else hub.today().isoformat()
                if known != (last.position, day):
                    return True
    return False


def judged(edition: Edition, staging: "Staging", judge: "Judge | None" = None) -> "TableGate":
    """Put the contract of the product to the tables that wait. BrokenCheck when it cannot be answered."""
    from checks import tables
    from warehouse.masking import THRESHOLD

    product, threshold = edition.product, parameters.value(THRESHOLD, paris(edition.receipt.recorded_at).date()).value
    names = {table.name: staging.table(table.name) for table in product.tables}
    return (judge or tables.judge)(
        staging.url, staging.schema, names, product, parameters={"small_cell_threshold": int(threshold)}
    )


def written(edition: Edition, publication: "Publication", gate: "TableGate", folder: Path, content: str) -> dict[str, Any]:
    """Write a publication whole into a folder; gives what the log is to say of it."""
    from warehouse import products as made

    beside = documents(edition, publication, gate, folder)
    hashes = made.write(folder, publication, beside)
    receipt, tables = edition.receipt, publication.tables
    return {
        "recipient": edition.recipient.name,
        "product": edition.product.id,
        "number": publication.manifest["ecluse"]["number"],
        "content": content,
        "manifest": made.manifest_hash(folder),
        "documents": made.document_hashes(folder, beside),
        "log": {"position": receipt.position, "hash": receipt.hash},
        **({"judged_on": edition.judged_on.isoformat()} if edition.judged_on else {}),
        "build_keys": dict(edition.keys),
        "contracts": fingerprint(),
        "tables": {
            name: {"rows": rows.height, "masked_rows": made.masked_rows(rows), "files": hashes[name]}
            for name, rows in tables.items()
        },
    }


def documents(edition: Edition, publication: "Publication", gate: "TableGate", folder: Path) -> dict[str, str]:
    """Write what the table gate found, as data and as a page; gives the title of each file by its name."""
    from checks import table_docs

    number = publication.manifest["ecluse"]["number"]
    page = table_docs.write_docs(gate, folder, recipient=edition.recipient.name, number=number)
    text = json.dumps(gate.as_json(), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (folder / CHECKS).write_text(text, encoding="utf-8")
    return {CHECKS: "Résultats de la barrière des tables", page.name: "Résultats de la barrière des tables, en page"}


def recipients(hub: Hub, name: str | None) -> "list[Recipient]":
    """Those of the settings, or one of them. WrongUsage when there is none, or not this one."""
    configured = {one.name: one for one in hub.settings.recipients}
    if not configured:
        told = "ajoutez par exemple [recipients.ars-76] à ecluse.toml"
        raise WrongUsage(f"aucun destinataire dans les réglages : {told}")
    if name is None:
        return list(configured.values())
    if name not in configured:
        raise WrongUsage(f"destinataire absent des réglages : {name} ; connus : {', '.join(configured)}")
    return [configured[name]]


def _is_made(product: Product) -> bool:
    return product.made_by == VIEWS or product.made_by in computed.MODULES


def _last_change(hub: Hub, product: Product, until: int | None) -> Event | None:
    """The last event that the product depends on, up to a position: publishing itself must not change what is published."""
    return _last_move(hub, until) if product.made_by == VIEWS else computed.last_change(hub, product.made_by, until)


def _last_move(hub: Hub, until: int | None) -> Event | None:
    """The last event that moved a head."""
    last, let_in = None, set[str]()
    for event in hub.log.read(types=FOLDED, until=until):
        if event.type == "DeliveryAccepted":
            let_in.add(event.data["delivery_id"])
        if event.data["delivery_id"] in let_in:
            last = event
    return last


def facts(edition: Edition, content: str, number: int) -> dict[str, Any]:
    """What the recipient's own database says of a publication."""
    receipt = edition.receipt
    return {"number": number, "log_position": receipt.position, "log_hash": receipt.hash, "content": content,
            "known_at": receipt.recorded_at}  # fmt: skip


def _refuse_restricted(product: Product) -> None:
    """A product must not rest on restricted segments, through whatever views."""
    for name in views.closure(table.view for table in product.tables):
        if any(source.startswith(views.SEGMENT + RESTRICTED) for source in views.views()[name].inputs):
            raise PermissionError(f"{product.id}: view {name} reads a restricted segment, which no product may")


def _tables(hub: Hub, event: Event) -> "dict[str, pl.DataFrame]":
    """The tables of an earlier publication, which masks depend on. PublicationLost."""
    return {name: published_rows(hub, event, name) for name in event.data["tables"]}


def _provenance(edition: Edition) -> dict[str, dict[str, str]]:
    """The deliveries that a product is made of, for the page that says where figures come from."""
    told = {
        head.scope: (f"mois {head.period}, " if head.period else "") + f"position {head.position}, empreinte {head.delivery_id}"
        for head in edition.heads.values()
        if _is_from(edition, head)
    }
    judged = {"Jugement": {"Jour": f"{edition.judged_on:%d/%m/%Y}"}} if edition.judged_on else {}
    return ({"Transmissions": told} if told else {}) | judged


def _is_from(edition: Edition, head: "Head") -> bool:
    """Whether a recipient's tables rest on a head and may name it: of its territory; references are of all."""
    from warehouse.masking import is_of

    product, recipient = edition.product, edition.recipient
    beside = getattr(computed.maker(product.made_by), "BESIDE", ()) if product.made_by in computed.MODULES else ()
    if beside and head.source in (ECARS, ECDS) and not set(head.tables) & set(beside):
        return False  # of other sources it reads some tables alone
    if "places" in head.data:
        own = product.made_by in computed.MODULES and head.source in computed.maker(product.made_by).SOURCES
        return own and _is_about(head, recipient)
    if product.made_by == VIEWS:
        return head.source == PMSI and is_of(product, head.data["finess"], recipient.territory)
    if head.source not in computed.maker(product.made_by).SOURCES:
        return False
    if head.source == DATASET and hasattr(computed.maker(product.made_by), "reads"):
        return bool(computed.maker(product.made_by).reads(head.scope, recipient.name))
    if head.source == ECARS and "regions" in head.data:
        return recipient.territory in head.data["regions"]
    if head.source == PMSI:
        return region_of(head.data["finess"]) == recipient.territory
    mine = recipient.kind == "cpam" and head.data.get("caisse") == recipient.territory
    return mine if head.source == BORDEREAU else True


def _is_about(head: "Head", recipient: "Recipient") -> bool:
    """Whether a head that says which places it is about concerns a recipient; a section alone may not name its caisse."""
    if recipient.territory in head.data["places"].get(recipient.kind, []):
        return True
    return recipient.kind == "cpam" and head.data.get("sender") in (COMMON, recipient.name)


def _frame(product: Product, table: views.Table) -> "pl.DataFrame":
    import polars as pl

    return pl.read_parquet(list(table.paths)) if product.made_by == VIEWS else computed.read(product.made_by, table)
