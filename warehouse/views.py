"""Views: tables computed by the SQL files of ``warehouse/sql`` from heads and references, each named by all that it is made of.

A view's key is a hash of its SQL, its inputs' keys and the engine's version: the same key is the same table and is not built
again, so one folder is cache, version and rollback at once. A view with ``-- grain: head`` is built head by head: a new
transmission costs its own rows only. Everything here can be deleted and built again, to the same bytes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from warehouse import faults, references
from warehouse.blob_files import storing, sweep, unfinished, unwritable
from warehouse.heads import PMSI, Head
from warehouse.log import canonical
from warehouse.references import NOTHING, Reference

if TYPE_CHECKING:
    import polars as pl

PER_HEAD = "-- grain: head"
SEGMENT = "segment_"
UNFINISHED = "tmp"
"""Folder, within that of the views, of what is in the making."""

MEMORY_LIMIT = "1GB"
"""What DuckDB may hold before it spills to the views' folder."""


class NotAQuery(Exception):
    """The text is not one SELECT statement."""


@dataclass(frozen=True)
class View:
    """One SQL file: its name, its text, the tables it reads, and whether it is built head by head."""

    name: str
    sql: str
    inputs: tuple[str, ...]
    per_head: bool


@dataclass(frozen=True)
class Table:
    """A view as built from some heads: the key of all it is made of, and its files in the order of the scopes.

    It has no file when nothing of what it reads was ever delivered.
    """

    name: str
    key: str
    paths: tuple[Path, ...]
    built: int
    """How many of these files had to be computed now."""


@cache
def views() -> dict[str, View]:
    """Every view by name, each after those it reads."""
    found = {}
    for path in files("warehouse").joinpath("sql").iterdir():
        if path.name.endswith(".sql"):
            name, sql = path.name.removesuffix(".sql"), path.read_text(encoding="utf-8")
            inputs = tuple(sorted(tables_read(sql)))
            found[name] = View(name, sql, inputs, PER_HEAD in sql)
    graph = {name: [entry for entry in found[name].inputs if entry in found] for name in sorted(found)}
    return {name: found[name] for name in TopologicalSorter(graph).static_order()}


def closure(names: Iterable[str]) -> list[str]:
    """These views and all they are made of, in the order of building; names of other tables are passed over."""
    wanted = set(names)
    for name, view in reversed(views().items()):
        if name in wanted:
            wanted.update(view.inputs)
    return [name for name in views() if name in wanted]


def build(
    folder: Path,
    heads: Mapping[str, Head],
    segment_path: Callable[[str], Path],
    names: Iterable[str] | None = None,
    progress: Callable[[str], None] = lambda name: None,
    given: Mapping[str, Reference] = NOTHING,
) -> dict[str, Table]:
    """Build what is missing of these views (all by default) from these heads.

    Gives the tables by name, with those they are made of. ``segment_path`` finds the local file of a segment by its hash;
    ``given``: references that others make (links of FINESS, labelled sites), in the columns of ``references.GIVEN``.
    """
    tables: dict[str, Table] = {}
    partitions: dict[str, dict[str, Path]] = {}
    transmissions = [scope for scope, head in heads.items() if head.source == PMSI]
    sweep(folder / UNFINISHED)
    with _engine(folder) as engine:
        for name in closure(views() if names is None else names):
            view = views()[name]
            progress(name)
            parts = [(scope,) for scope in transmissions] if view.per_head else [tuple(heads)]
            keys, paths, built = [], [], 0
            if _lacks_input(view, heads, tables):
                parts = []
            for scopes in parts:
                within = {scope: heads[scope] for scope in scopes}
                key = _key(view, within, partitions, tables, given)
                path = folder / name / f"{key}.parquet"
                if not path.exists():
                    _read_inputs(engine, view, within, partitions, tables, segment_path, given)
                    _write(engine, view.sql, path, folder / UNFINISHED)
                    built += 1
                keys.append(key)
                paths.append(path)
            if view.per_head:
                partitions[name] = dict(zip(transmissions, paths, strict=True))
            tables[name] = Table(name, _digest(keys), tuple(paths), built)
    return tables


@dataclass(frozen=True)
class Part:
    """One file of a table that is computed elsewhere and kept here."""

    key: str
    path: Path
    built: bool = False


def part(folder: Path, name: str, key: str, *, built: bool = False) -> Part:
    """Where the part of this key of a table is kept, or would be."""
    return Part(key, folder / name / f"{key}.parquet", built)


def keep(folder: Path, name: str, key: str, rows: "pl.DataFrame") -> None:
    """Keep a part of a table that was computed elsewhere, in one step. BlobUnwritable."""
    _put(part(folder, name, key).path, folder / UNFINISHED, lambda beside: rows.write_parquet(beside, compression="zstd"))


def table_of(name: str, parts: Sequence[Part]) -> Table:
    """A table of such parts."""
    keys, paths = [one.key for one in parts], tuple(one.path for one in parts)
    return Table(name, _digest(keys), paths, sum(one.built for one in parts))


@contextmanager
def reading(
    folder: Path,
    tables: Mapping[str, Table],
    heads: Mapping[str, Head],
    segment_path: Callable[[str], Path],
    others: Iterable[str] = (),
    given: Mapping[str, Reference] = NOTHING,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads these tables, and ``others`` (references, segment tables), and nothing else on the machine."""
    with _engine(folder) as engine:
        allowed: list[str] = []
        sources = {table.name: table.paths for table in tables.values()}
        for name in others:
            if name in references.NAMES:
                references.create(engine, name, heads, given)
            else:
                sources[name] = _segment_paths(name, heads, segment_path)
        for name, paths in sources.items():
            _create_view(engine, name, paths)
            allowed += map(str, paths)
        engine.execute("set allowed_paths = $paths", {"paths": allowed})
        engine.execute("set enable_external_access = false")
        engine.execute("set lock_configuration = true")
        yield engine


def tables_read(sql: str) -> set[str]:
    """The tables that a query reads, in lower case. NotAQuery when it is not one SELECT statement."""
    with _parser().cursor() as engine:
        parsed = json.loads(engine.execute("select json_serialize_sql($sql)", {"sql": sql}).fetchall()[0][0])
    if parsed["error"] or len(parsed["statements"]) != 1:
        unreadable = parsed.get("error_type") == "parser"
        raise NotAQuery(parsed["error_message"] if unreadable else "une seule instruction SELECT est attendue")
    names: set[str] = set()
    local: set[str] = set()
    pending = [parsed["statements"]]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE":
                names.add(node["table_name"].lower())
            local.update(entry["key"].lower() for entry in (node.get("cte_map") or {}).get("map", []))
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return names - local


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """What tells the tables that a query reads; one for all queries, since a connection costs more than the answer."""
    return duckdb.connect(":memory:", config={"threads": 1})


def _lacks_input(view: View, heads: Mapping[str, Head], tables: Mapping[str, Table]) -> bool:
    delivered = {SEGMENT + table for head in heads.values() for table in head.tables}
    empty = {table.name for table in tables.values() if not table.paths}
    return any(name in empty or (name.startswith(SEGMENT) and name not in delivered) for name in view.inputs)


def _key(
    view: View,
    heads: Mapping[str, Head],
    partitions: Mapping[str, Mapping[str, Path]],
    tables: Mapping[str, Table],
    given: Mapping[str, Reference],
) -> str:
    def input_key(name: str) -> object:
        if name.startswith(SEGMENT):
            table = name.removeprefix(SEGMENT)
            return [head.tables[table] for head in heads.values() if table in head.tables]
        if name in references.NAMES:
            return references.reference(name, heads, given).rows
        if view.per_head:
            return [partitions[name][scope].stem for scope in heads if scope in partitions[name]]
        return tables[name].key

    made_of = {"sql": view.sql, "engine": duckdb.__version__, "inputs": {name: input_key(name) for name in view.inputs}}
    return _digest(made_of)


def _read_inputs(
    engine: duckdb.DuckDBPyConnection,
    view: View,
    heads: Mapping[str, Head],
    partitions: Mapping[str, Mapping[str, Path]],
    tables: Mapping[str, Table],
    segment_path: Callable[[str], Path],
    given: Mapping[str, Reference],
) -> None:
    for name in view.inputs:
        if name in references.NAMES:
            references.create(engine, name, heads, given)
        elif name.startswith(SEGMENT):
            _create_view(engine, name, _segment_paths(name, heads, segment_path))
        elif name in tables:
            standing = partitions.get(name)
            paths = tables[name].paths if standing is None else [standing[scope] for scope in heads if scope in standing]
            _create_view(engine, name, paths)


def _segment_paths(name: str, heads: Mapping[str, Head], segment_path: Callable[[str], Path]) -> tuple[Path, ...]:
    table = name.removeprefix(SEGMENT)
    return tuple(segment_path(head.tables[table]) for head in heads.values() if table in head.tables)


def _create_view(engine: duckdb.DuckDBPyConnection, name: str, paths: Iterable[Path]) -> None:
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    engine.execute(f"create or replace temp view {name} as select * from read_parquet([{listed}])")  # noqa: S608


@contextmanager
def _engine(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    spill = unfinished(folder / UNFINISHED, ".spill")
    with storing(spill):
        spill.parent.mkdir(parents=True, exist_ok=True)
    engine = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    try:
        engine.execute("set enable_progress_bar = false")  # it would be drawn into the answer of a command
        yield engine
    finally:
        engine.close()
        shutil.rmtree(spill, ignore_errors=True)


def _write(engine: duckdb.DuckDBPyConnection, sql: str, path: Path, aside: Path) -> None:
    """Compute a table beside its place, then put it there in one step. BlobUnwritable."""

    def computed(beside: Path) -> None:
        target = str(beside).replace("'", "''")
        engine.execute(f"copy ({sql}\n) to '{target}' (format parquet, compression zstd)")

    _put(path, aside, computed)


def _put(path: Path, aside: Path, write: Callable[[Path], object]) -> None:
    beside = unfinished(aside, ".parquet")
    try:
        for folder in (aside, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        write(beside)
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        faults.reached("view.written")
        beside.replace(path)
    except (OSError, duckdb.IOException) as problem:
        raise unwritable(path, problem) from None
    finally:
        beside.unlink(missing_ok=True)


def _digest(value: object) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()
