"""Building and querying views, as plain functions. What flows and the command line call."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from contracts_schema.families import RESTRICTED
from flows import computed, finess
from flows.deliveries import heads
from flows.hub import Hub, WrongUsage
from warehouse import references, views

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from warehouse.heads import Head


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
        """The same as plain values."""
        return asdict(self) | {"built": self.built}


@dataclass(frozen=True)
class Rows:
    """The answer of a query: names of its columns, and its rows."""

    columns: tuple[str, ...]
    content: list[tuple[Any, ...]]


def build(hub: Hub, until: int | None = None, progress: Callable[[str], None] = lambda name: None) -> BuildReport:
    """Build the views that are missing, for the heads of now or of a past position."""
    position = hub.log.head()[0] if until is None else until
    standing = heads(hub, position)
    if not standing:
        return BuildReport(position, 0)
    made = tables(hub, standing, set(views.views()), position, progress) | _computed(hub, until, computed.MODULES, progress)
    built = {name: {"key": t.key, "files": len(t.paths), "built": t.built} for name, t in made.items()}
    return BuildReport(position, len(standing), built)


def tables(
    hub: Hub,
    standing: "Mapping[str, Head]",
    names: set[str],
    until: int | None,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, views.Table]:
    """These views and all they are made of, as built from the heads that stand at a position; none when nothing does."""
    if not standing:
        return {}
    read = {name for view in views.closure(names) for name in views.views()[view].inputs}
    given = finess.references(hub, standing, until) if read & references.GIVEN.keys() else {}
    return views.build(hub.views_folder, standing, hub.blobs.segment_path, names, progress, given)


def _computed(
    hub: Hub, until: int | None, makers: Iterable[str], progress: Callable[[str], None] = lambda name: None
) -> dict[str, views.Table]:
    found: dict[str, views.Table] = {}
    for made_by in makers:
        at = computed.moment(hub, made_by, until)
        found |= computed.tables(hub, made_by, at, progress) if at else {}
    return found


def query(hub: Hub, sql: str, until: int | None = None) -> "pl.DataFrame":
    """The answer of one SELECT over the views, as they stand now or stood at a past position.

    Tables: every view, every reference, segments that are not restricted. WrongUsage for anything else.
    """
    from polars.exceptions import PolarsError

    try:
        with _asked(hub, sql, until) as relation:
            rows: pl.DataFrame = relation.pl()
            return rows
    except PolarsError as error:
        raise _interrupted(error) from None


def query_rows(hub: Hub, sql: str, until: int | None = None) -> Rows:
    """The same answer as plain values: a small one is there before polars would be imported."""
    with _asked(hub, sql, until) as relation:
        return Rows(tuple(relation.columns), relation.fetchall())


@contextmanager
def _asked(hub: Hub, sql: str, until: int | None) -> "Iterator[duckdb.DuckDBPyRelation]":
    import duckdb

    try:
        names = views.tables_read(sql)
        with reading(hub, names, until) as engine:
            yield engine.sql(sql).project("*")  # which tells columns of one name apart
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException,
            views.NotAQuery) as error:  # fmt: skip
        raise WrongUsage(f"requête refusée : {' '.join(str(error).split())}") from None
    except duckdb.Error as error:
        raise _interrupted(error) from None


def _interrupted(error: Exception) -> WrongUsage:
    """What to say of an error raised on rows: its own words may quote one."""
    told = "une valeur ne s'y prête pas (try_cast la laisse vide), ou un fichier est abîmé (ecluse verify)"
    return WrongUsage(f"requête interrompue, {type(error).__name__} : {told}")


@contextmanager
def reading(hub: Hub, names: set[str], until: int | None = None) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection on these tables as of a position; what is missing of them is built first."""
    standing = heads(hub, until)
    if not standing:
        raise WrongUsage("aucune transmission acceptée à cette date : rien à lire")
    open_tables = {table for head in standing.values() for table in head.tables if not table.startswith(RESTRICTED)}
    segments = {f"{views.SEGMENT}{table}" for table in open_tables}
    known = {*views.views(), *references.NAMES, *segments, *computed.names()}
    if names - known:
        raise WrongUsage(f"table inconnue : {', '.join(sorted(names - known))} ; tables : {', '.join(sorted(known))}")
    made = tables(hub, standing, names & set(views.views()), until)
    made |= _computed(hub, until, [made_by for made_by in computed.MODULES if names & computed.names(made_by)])
    asked = {name: made[name] for name in names & set(made)}
    unmade = {name for name in names & computed.names() if name not in made}
    if empty := sorted(unmade | {name for name, table in asked.items() if not table.paths}):
        raise WrongUsage(f"rien à lire dans {', '.join(empty)} : rien n'a été reçu de ce dont ces tables sont faites")
    others = names - set(asked)
    given = finess.references(hub, standing, until) if others & references.GIVEN.keys() else {}
    with views.reading(hub.views_folder, asked, standing, hub.blobs.segment_path, others, given) as engine:
        yield engine
