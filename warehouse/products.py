"""Products: what one recipient gets, written once as an immutable numbered publication and never touched again.

Writes Parquet, canonical CSV, workbooks, the contract as ODCS, and last a ``datapackage.json`` (Data Package v1) that holds
counts, hashes, build keys and the log's position and hash (the recipient's receipt). Same views, same bytes. Must never hold a
row of a patient, nor a count under the threshold; must never change a file, nor show a folder that is not whole.

Canonical CSV is exact: UTF-8, comma, LF, a point for decimals, ISO dates, true and false, cents as integers, quotes only where
needed, nothing for null and ``""`` for an empty text. Cells that look like formulas stay as they are: people are given XLSX.
"""

import fcntl
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from contracts_schema import parameters
from contracts_schema.odcs import FILE as CONTRACT
from contracts_schema.odcs import odcs_yaml
from contracts_schema.products import Product, Table
from contracts_schema.table_schema import table_schema, workbook_schema
from warehouse import faults, workbook
from warehouse.blob_files import sync
from warehouse.log import Event, canonical, paris
from warehouse.masking import THRESHOLD
from warehouse.recipients import Recipient
from warehouse.sums import sums
from warehouse.workbook_front import reading
from warehouse.workbook_notes import sections

MANIFEST = "datapackage.json"
MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
CSV_ROWS = 100_000  # encoded at a time


@dataclass(frozen=True)
class Receipt:
    """Where the log stood when a publication was made: position, hash and recording instant of its last event."""

    position: int
    hash: str
    recorded_at: str


@dataclass(frozen=True)
class Publication:
    """A publication in the making: its tables masked, its manifest without the files, the recipient's formats.

    ``provenance``: what the workbooks say beside what the manifest does, as section → label → text (transmissions, inputs).
    """

    recipient: str
    product: Product
    tables: dict[str, pl.DataFrame]
    manifest: dict[str, Any]
    formats: tuple[str, ...] = tuple(MEDIA_TYPES)
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        return f"product/{self.recipient}/{self.product.id}"


def write(folder: Path, publication: Publication, documents: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Write the files of a publication and its manifest, last, into its folder, all on disk when it returns.

    ``documents`` are the files that are there already and belong to it, each with its title. Gives the sha256 of each table's
    file by table and format. Unshowable when a workbook cannot hold a value.
    """
    hashes: dict[str, dict[str, str]] = {}
    resources = []
    for table in publication.product.tables:
        rows = publication.tables[table.name]
        hashes[table.name] = {}
        for kind in publication.formats:
            path = folder / f"{table.name}.{kind}"
            _write_table(path, kind, table, rows, publication)
            sync(path)
            faults.reached("product.file_written")
            hashes[table.name][kind] = _sha256(path)
            resources += _resources(table, rows, path, kind, hashes[table.name][kind])
    contract = folder / CONTRACT
    contract.write_text(odcs_yaml(publication.product), encoding="utf-8")
    sync(contract)
    resources.append(_document(contract, "Contrat du produit (Open Data Contract Standard)"))
    for name, title in documents.items():
        sync(folder / name)
        resources.append(_document(folder / name, title))
    text = json.dumps(publication.manifest | {"resources": resources}, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    sync(folder / MANIFEST)
    sync(folder)
    return hashes


def _write_table(path: Path, kind: str, table: Table, rows: pl.DataFrame, publication: Publication) -> None:
    if kind == "xlsx":
        manifest = publication.manifest
        provenance = sections(manifest, table) | dict(publication.provenance)
        created = datetime.fromisoformat(manifest["created"]).astimezone(UTC).replace(tzinfo=None, microsecond=0)
        about = workbook.About(manifest["title"], created, provenance, reading(manifest, table, rows))
        workbook.write(path, table, rows, about)
        return
    with path.open("wb") as file:  # by Python, which tells a full disk in one way
        if kind == "parquet":
            content = io.BytesIO()
            rows.write_parquet(content, compression="zstd", statistics=True)
            file.write(content.getbuffer())
        else:
            file.writelines(_csv(rows))


def manifest(
    recipient: Recipient,
    product: Product,
    number: int,
    receipt: Receipt,
    keys: Mapping[str, str],
    basis: str,
    earlier: Mapping[int, str],
) -> dict[str, Any]:
    """The descriptor of a publication, in the terms of the Data Package standard, with what makes it a receipt.

    ``earlier`` gives the manifest hash of each earlier publication by its number: its masks depend on what they showed.
    """
    threshold = parameters.value(THRESHOLD, paris(receipt.recorded_at).date())
    return {
        "profile": "data-package",
        "name": f"{recipient.name}-{product.id}".lower(),
        "id": f"{recipient.name}/{product.id}/{number:04d}",
        "title": f"{product.label_fr} — {recipient.label_fr}",
        "description": product.description_fr,
        "version": str(number),
        "created": receipt.recorded_at,
        "ecluse": {
            "recipient": recipient.name,
            "product": product.id,
            "number": number,
            "log": {"position": receipt.position, "hash": receipt.hash, "recorded_at": receipt.recorded_at},
            "build_keys": dict(sorted(keys.items())),
            "earlier_publications": [{"number": made, "manifest": sha256} for made, sha256 in sorted(earlier.items())],
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
    aside = final.parent / f".making-{uuid.uuid4().hex}"
    if final.exists():
        final.rename(aside)  # in one step too: a reader sees it whole or not at all
    faults.reached("product.before_rename")
    made.rename(final)
    sync(final.parent)
    faults.reached("product.renamed")
    shutil.rmtree(aside, ignore_errors=True)


def check(folder: Path, event: Event) -> list[str]:
    """What is wrong with a publication's folder: it must hold the files of the log and no other, with their bytes and rows."""
    told = {MANIFEST: event.data["manifest"], **event.data["documents"]}
    for name, table in event.data["tables"].items():
        told |= {f"{name}.{kind}": sha for kind, sha in table["files"].items()}
    found = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    hashes = {name: _sha256(path) for name, path in found.items() if path.is_file() and not path.is_symlink()}
    resources: list[dict[str, Any]] = []
    if hashes.get(MANIFEST) == told[MANIFEST]:
        resources = json.loads(found[MANIFEST].read_text(encoding="utf-8"))["resources"]
    listed = {resource["path"]: resource["hash"].removeprefix("sha256:") for resource in resources}
    problems = []
    for name, sha in (listed | told).items():
        if name not in hashes:
            problems.append(f"{name} manque")
        elif hashes[name] != sha:
            problems.append(f"{name} a été modifié")
        elif resources and name != MANIFEST and listed.get(name) != sha:
            problems.append(f"{name} n'est pas ce que dit {MANIFEST}")
    strangers = set(found) - set(told | listed)
    problems += [f"{name} n'a rien à faire là" for name in sorted(strangers)]
    if not problems:
        problems = _miscounted(folder, resources, event)
    return [f"{event.stream} {event.data['number']:04d}: {problem}" for problem in problems]


def _miscounted(folder: Path, resources: list[dict[str, Any]], event: Event) -> list[str]:
    """Files that do not hold as many rows as the manifest and the log say, read back one by one."""
    problems = []
    for name, table in event.data["tables"].items():
        for kind in table["files"]:
            path = folder / f"{name}.{kind}"
            said = sum(resource["ecluse"]["rows"] for resource in resources if resource["path"] == path.name)
            if not rows_in(path) == said == table["rows"]:
                problems.append(f"{path.name} n'a pas le nombre de lignes que disent {MANIFEST} et le journal")
    return problems


def rows_in(path: Path) -> int:
    """The rows that a published file holds, read back from it."""
    if path.suffix == ".xlsx":
        return workbook.rows_in(path)
    scan = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path, infer_schema=False)
    return int(scan.select(pl.len()).collect().item())


def _resources(table: Table, rows: pl.DataFrame, path: Path, kind: str, sha256: str) -> list[dict[str, Any]]:
    """What the manifest says of a file: one resource, or one a data sheet when a workbook has several."""
    schema = workbook_schema(table) if kind == "xlsx" else table_schema(table)
    pieces = workbook.sheets(rows.height, table) if kind == "xlsx" else [("", 0, rows.height)]
    return [
        {
            "name": f"{table.name}-{kind}" + (f"-{rank}" if rank > 1 else ""),
            "title": table.label_fr,
            "path": path.name,
            "format": kind,
            "mediatype": MEDIA_TYPES[kind],
            "bytes": path.stat().st_size,
            "hash": f"sha256:{sha256}",
            "ecluse": _counts(table, rows.slice(start, height)),
            "schema": schema,
        }
        | _read_as(kind, sheet)
        for rank, (sheet, start, height) in enumerate(pieces, start=1)
    ]


def _read_as(kind: str, sheet: str) -> dict[str, Any]:
    """How tools are to read a file: a Tabular Data Resource is CSV only, and frictionless takes a null of Parquet for NaN."""
    dialect = {"delimiter": ",", "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True}
    if kind == "csv":
        return {"profile": "tabular-data-resource", "encoding": "utf-8", "dialect": dialect}
    if kind == "parquet":
        return {"profile": "data-resource", "type": "file"}
    # the standard asks for a CSV dialect even to name a sheet
    return {"profile": "data-resource", "type": "table", "dialect": dialect | {"excel": {"sheet": sheet}}}


def masked_rows(rows: pl.DataFrame) -> int:
    """How many rows of a published table have a masked cell."""
    return int(rows["masked"].sum()) if "masked" in rows.columns else 0


def _counts(table: Table, rows: pl.DataFrame) -> dict[str, Any]:
    """Rows, and the sums in cents of the columns that the contract sums; none of a column without a value."""
    totals = {name: cents for name, cents in sums(table, rows).items() if cents is not None}
    return {"rows": rows.height, "masked_rows": masked_rows(rows)} | ({"sums": totals} if totals else {})


def _document(path: Path, title: str) -> dict[str, Any]:
    """What the manifest says of a file that is no table."""
    kind = path.suffix.removeprefix(".")
    return {
        "name": path.name.partition(".")[0],
        "title": title,
        "path": path.name,
        "profile": "data-resource",
        "format": kind,
        "mediatype": {"yaml": "application/yaml", "json": "application/json", "html": "text/html"}[kind],
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{_sha256(path)}",
    }


def content_hash(publication: Publication) -> str:
    """One hash of what a recipient is told: rows as canonical CSV, contract, formats. The same content is not published twice.

    Neither the publication's number nor the log's position are in it, nor what a compression library makes of the rows.
    """
    tables = {}
    for name, rows in publication.tables.items():
        digest = hashlib.sha256()
        for block in _csv(rows):
            digest.update(block)
        tables[name] = digest.hexdigest()
    contract = hashlib.sha256(odcs_yaml(publication.product).encode()).hexdigest()
    content = {"tables": tables, "contract": contract, "formats": sorted(publication.formats)}
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _csv(rows: pl.DataFrame) -> Iterator[bytes]:
    """Canonical CSV, a block at a time."""
    yield rows.clear().write_csv(line_terminator="\n").encode()
    for block in rows.iter_slices(CSV_ROWS):
        yield block.write_csv(line_terminator="\n", include_header=False).encode()


def manifest_hash(folder: Path) -> str:
    """The sha256 of a publication's manifest, which names every other file with its own."""
    return _sha256(folder / MANIFEST)


def document_hashes(folder: Path, documents: Iterable[str]) -> dict[str, str]:
    """The sha256 of what a publication holds beside its tables and its manifest: these documents, and its contract."""
    return {name: _sha256(folder / name) for name in (CONTRACT, *documents)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
