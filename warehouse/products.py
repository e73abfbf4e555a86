"""Products: what one recipient gets, written once as an immutable numbered publication and never touched again.

Writes Parquet, canonical CSV and a ``datapackage.json`` that holds counts, hashes, build keys and the log's position and hash
(the recipient's receipt). Same views, same bytes. Must never hold a row of a patient, nor a count under the threshold.
"""

import fcntl
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from contracts_schema import parameters
from contracts_schema.geography import region_label, region_of
from contracts_schema.products import Product, Table
from warehouse import faults
from warehouse.blob_files import sync
from warehouse.log import Event, canonical
from warehouse.masking import THRESHOLD

MANIFEST = "datapackage.json"
FORMATS = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}


@dataclass(frozen=True)
class Receipt:
    """Where the log stood when a publication was made: position, hash and recording instant of its last event."""

    position: int
    hash: str
    recorded_at: str


@dataclass(frozen=True)
class Publication:
    """A publication in the making: its tables masked, its files' hashes, its manifest."""

    recipient: str
    product: Product
    tables: dict[str, pl.DataFrame]
    manifest: dict[str, Any]

    @property
    def stream(self) -> str:
        return f"product/{self.recipient}/{self.product.id}"


def regions(view: pl.DataFrame, column: str) -> list[str]:
    """The regions that have at least one row."""
    return sorted({region for finess in view[column].unique() if (region := region_of(finess))})


def write(folder: Path, publication: Publication) -> dict[str, dict[str, str]]:
    """Write the files of a publication and its manifest into an empty folder, all on disk when it returns.

    Gives the sha256 of each file by table and format.
    """
    hashes: dict[str, dict[str, str]] = {}
    resources = []
    for table in publication.product.tables:
        rows = publication.tables[table.name]
        hashes[table.name] = {}
        for kind, media_type in FORMATS.items():
            path, content = folder / f"{table.name}.{kind}", io.BytesIO()
            if kind == "parquet":
                rows.write_parquet(content, compression="zstd", statistics=True)
            else:
                rows.write_csv(content, line_terminator="\n")
            path.write_bytes(content.getvalue())  # by Python, which tells a full disk in one way
            sync(path)
            faults.reached("product.file_written")
            hashes[table.name][kind] = _sha256(path)
            resources.append(_resource(table, rows, path, kind, media_type, hashes[table.name][kind]))
    manifest = publication.manifest | {"resources": resources}
    text = json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    sync(folder / MANIFEST)
    sync(folder)
    return hashes


def manifest(
    recipient: str, product: Product, number: int, receipt: Receipt, keys: Mapping[str, str], basis: str, region: str
) -> dict[str, Any]:
    """The descriptor of a publication, in the terms of the Data Package standard, with what makes it a receipt."""
    threshold = parameters.value(THRESHOLD, date.fromisoformat(receipt.recorded_at[:10]))
    return {
        "name": f"{recipient}-{product.id}",
        "id": f"{recipient}/{product.id}/{number:04d}",
        "profile": "tabular-data-package",
        "title": f"{product.label_fr} — {region_label(region)}",
        "description": product.description_fr,
        "version": str(number),
        "created": receipt.recorded_at,
        "ecluse": {
            "recipient": recipient,
            "product": product.id,
            "number": number,
            "log": {"position": receipt.position, "hash": receipt.hash, "recorded_at": receipt.recorded_at},
            "build_keys": dict(sorted(keys.items())),
            "contracts": basis,
            "parameters": {THRESHOLD: {"value": threshold.value, "status": threshold.status}},
        },
    }


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One publisher of a product at a time on this machine; freed by the system if it dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty folder beside the publications, removed afterwards if it is still there; so are those of runs that died."""
    for left in folder.glob(".making-*"):
        shutil.rmtree(left)
    path = folder / f".making-{uuid.uuid4().hex}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def place(made: Path, final: Path) -> None:
    """Give a finished publication its name in one step. One that stands there unannounced was left by a run that died."""
    if final.exists():
        shutil.rmtree(final)
    faults.reached("product.before_rename")
    made.rename(final)
    sync(final.parent)
    faults.reached("product.renamed")


def check(folder: Path, event: Event) -> list[str]:
    """What is wrong with a publication's files, in words: each must be there and hold the bytes that the log says."""
    problems = []
    expected = {MANIFEST: event.data["manifest"]}
    for name, table in event.data["tables"].items():
        expected |= {f"{name}.{kind}": sha for kind, sha in table["files"].items()}
    for name, sha in expected.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{event.stream} {event.data['number']:04d}: {name} is missing")
        elif _sha256(path) != sha:
            problems.append(f"{event.stream} {event.data['number']:04d}: {name} was altered")
    return problems


def _resource(table: Table, rows: pl.DataFrame, path: Path, kind: str, media_type: str, sha256: str) -> dict[str, Any]:
    return {
        "name": f"{table.name}-{kind}",
        "title": table.label_fr,
        "path": path.name,
        "format": kind,
        "mediatype": media_type,
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{sha256}",
        "profile": "tabular-data-resource" if kind == "csv" else "data-resource",
        "ecluse": {"rows": rows.height, "masked_rows": int(rows["masked"].sum())},
        "schema": {
            "fields": [
                {"name": column.name, "type": column.type, "title": column.label_fr, "classification": column.classification}
                for column in table.columns
            ],
            "primaryKey": list(table.keys),
            "missingValues": [""],
        },
    }


def content_hash(hashes: Mapping[str, Mapping[str, str]]) -> str:
    """One hash of all data files of a publication, the manifest aside: the same content is not published twice."""
    return hashlib.sha256(canonical({name: dict(kinds) for name, kinds in hashes.items()}).encode()).hexdigest()


def manifest_hash(folder: Path) -> str:
    return _sha256(folder / MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
