"""What a recipient holds against the hub: the receipt of a publication proved against the log, and the answer it gives.

A receipt is the ``datapackage.json`` of a publication: it names a position of the log and the hash that stood there. Must
never need the content of an event: the proof is a list of hashes, which can be given to anyone.
"""

import csv
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contracts_schema.french import system_error
from flows.hub import Hub, WrongUsage
from flows.published import publications
from warehouse.log import Event, NewEvent

ANSWERS = ("accepted", "refused")


def verify(hub: Hub, manifest: Path, chain: Path | None = None) -> dict[str, Any]:
    """Prove a receipt: the files beside it, the publication in the log, and every event before it unaltered.

    ``chain`` is a CSV file to write: the links (position, content, hash) from the receipt to the end of the log, with which
    whoever holds this receipt and a later one can check that the second goes on from the first. WrongUsage when the file is
    no receipt.
    """
    receipt = _read(manifest)
    said = receipt["ecluse"]
    position, hash_ = int(said["log"]["position"]), str(said["log"]["hash"])
    problems = hub.log.verify((position, hash_)) + _unlike_its_files(manifest.parent, receipt)
    published = _published(hub, said)
    if published is None:
        problems.append(f"le journal ne connaît pas cette publication : {receipt['id']}")
    elif published.data["manifest"] != _sha256(manifest):
        problems.append(f"ce reçu n'est pas celui qui a été publié (position {published.position}) : il a été modifié")
    if chain:
        _write_chain(hub, position, hash_, chain)
    head = hub.log.head()
    return {
        "sound": not problems,
        "problems": problems,
        "publication": {name: said[name] for name in ("recipient", "product", "number")},
        "receipt": {"position": position, "hash": hash_},
        "log": {"position": head[0], "hash": head[1]},
        "chain": str(chain) if chain else None,
    }


def acknowledge(
    hub: Hub,
    product: str,
    number: int,
    answer: str,
    reason: str = "",
    reference: str | None = None,
    manifest: Path | None = None,
) -> dict[str, Any]:
    """Record what a recipient answers to a publication: accepted or refused. The same answer again changes nothing.

    ``product`` is ``<recipient>/<product>``; ``manifest`` is the receipt it sends back, which must be that of the publication.
    WrongUsage when there is no such publication, when the receipt is another, or when a refusal has no reason.
    """
    recipient, _, name = product.partition("/")
    event = next((made for made in publications(hub, recipient, name) if made.data["number"] == number), None)
    if event is None:
        raise WrongUsage(f"aucune publication n° {number} de {product} ; « ecluse status » donne les publications")
    if answer not in ANSWERS:
        raise WrongUsage(f"réponse inconnue : {answer} (attendu : accepted ou refused)")
    if answer == "refused" and not reason.strip():
        raise WrongUsage("un refus a besoin d'un motif")
    if manifest and _sha256(manifest) != event.data["manifest"]:
        raise WrongUsage(f"{manifest.name} n'est pas le reçu de la publication n° {number} de {product}")
    data = {"recipient": recipient, "product": name, "number": number, "manifest": event.data["manifest"],
            "answer": answer, "reason": reason.strip(), "reference": reference}  # fmt: skip
    last = _answers(hub, event).get(number)
    if last and {key: last.data[key] for key in data} == data:
        return _told(last, already=True)
    key = f"acknowledged/{product}/{number}" + (f"/{last.position}" if last else "")
    new = NewEvent(event.stream, "ProductAcknowledged", data, key)
    return _told(hub.log.append(new, hub.meta(caused_by=event.position))[0], already=False)


def _answers(hub: Hub, published: Event) -> dict[int, Event]:
    """The last answer to each publication of a product, by number."""
    found = hub.log.read(stream=published.stream, types={"ProductAcknowledged"})
    return {event.data["number"]: event for event in found}


def _told(event: Event, *, already: bool) -> dict[str, Any]:
    shown = ("recipient", "product", "number", "answer", "reason", "reference")
    return {**{name: event.data[name] for name in shown}, "position": event.position, "already": already}


def _read(manifest: Path) -> dict[str, Any]:
    try:
        receipt = json.loads(manifest.read_text(encoding="utf-8"))
        int(receipt["ecluse"]["log"]["position"])
    except OSError as error:
        raise WrongUsage(f"reçu illisible : {system_error(error)} ({manifest})") from None
    except (ValueError, KeyError, TypeError):
        raise WrongUsage(f"{manifest} n'est pas un reçu : attendu le datapackage.json d'une publication") from None
    return dict(receipt)


def _published(hub: Hub, said: dict[str, Any]) -> Event | None:
    made = publications(hub, str(said["recipient"]), str(said["product"]))
    return next((event for event in made if event.data["number"] == said["number"]), None)


def _unlike_its_files(folder: Path, receipt: dict[str, Any]) -> list[str]:
    """What is wrong with the files that lie beside a receipt; files that are not there are not judged."""
    problems = []
    for resource in receipt["resources"]:
        path = folder / str(resource["path"])
        if path.parent == folder and path.is_file() and f"sha256:{_sha256(path)}" != resource["hash"]:
            problems.append(f"{path.name} n'est pas le fichier publié : il a été modifié")
    return problems


def _write_chain(hub: Hub, position: int, hash_: str, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("position", "content", "hash"))
        rows.writerow((position, "", hash_))
        rows.writerows(asdict(link).values() for link in hub.log.links(after=position))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
