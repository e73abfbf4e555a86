"""The reconciliation of what stands: facts from heads, the law of each caisse, and its tables, named by all they are made of.

Each caisse is judged by its own law on the bordereaux that it received. Tables are kept with the views, under the same promise:
the same key is the same table. Nothing here decides; the day of the judgement is an argument, so that it can be made again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from contracts_schema.families import RESTRICTED
from contracts_schema.products import RECONCILIATION
from flows import computed as tables_computed
from flows import law, line_decisions
from flows.computed import Moment, key_of
from flows.deliveries import all_heads
from flows.hub import Hub, WrongUsage
from flows.line_decisions import Proposed
from flows.origins import Origins, measure
from flows.published import publications
from warehouse.heads import BORDEREAU, DATASET, DEMARCHE, Head

if TYPE_CHECKING:
    import polars as pl

    from checks.snp.facts import Facts
    from checks.snp.law import Law
    from checks.snp.reconcile import Reconciliation
    from contracts_schema.products import Table

LINE = "int_snp__line"
"""What is proposed and decided for each line of all bordereaux, replaced ones included: ``checks.snp.decided.DECIDED``."""

OF_BORDEREAUX = ("bordereau", "line", "patient")
"""Frames of ``checks.snp.facts`` that are segments of bordereaux as they are."""

INTERNAL = (LINE,)
SOURCES = frozenset({BORDEREAU, DATASET, DEMARCHE})
KINDS = frozenset({"attestation", "policy", "alias", line_decisions.KIND})
"""Kinds of decisions that change what is proposed or paid."""


@dataclass(frozen=True)
class Judged:
    """The bordereaux of a caisse, judged and decided."""

    facts: "Facts"
    law: "Law"
    reconciliation: "Reconciliation"
    lines: "pl.DataFrame"
    """``checks.snp.decided.DECIDED``"""


def shares(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, str]:
    """The key of the tables of each caisse."""
    return {caisse: _key(hub, known, caisse, at) for caisse in caisses(known)}


def computed(
    hub: Hub, known: Mapping[str, Head], shares: Iterable[str], at: Moment
) -> "Iterator[tuple[str, dict[str, pl.DataFrame]]]":
    """The tables of these shares, one after the other."""
    for caisse in shares:
        yield caisse, _tables_of(hub, known, caisse, at)


def _tables_of(hub: Hub, known: Mapping[str, Head], caisse: str, at: Moment) -> "dict[str, pl.DataFrame]":
    """The tables of a caisse: those of products, and what is proposed and decided for each line."""
    import polars as pl

    from checks.snp import product

    found = judged(hub, caisse, at, known)
    made = product.tables(found.reconciliation, found.facts, found.lines, found.law)
    return made | {LINE: found.lines.with_columns(caisse=pl.lit(caisse))}


def proposed(hub: Hub) -> dict[str, Proposed]:
    """Every line as it stands now, by its id; of a line in several bordereaux, the live one."""
    import polars as pl

    from checks.snp.decided import proposed_due

    found = tables_computed.rows(hub, RECONCILIATION, LINE)
    if found is None:
        return {}
    lines = found.sort("live", maintain_order=True)
    now = lines.with_columns(outcome="proposed_outcome").select(
        "line_id", "caisse", "claimed_cents", "outcome", due_cents=proposed_due(),
        potential_cents=pl.min_horizontal("claimed_cents", "entitled_cents"),
        position=pl.col("decision_position").fill_null(0), live="live",
    )  # fmt: skip
    return {row["line_id"]: Proposed(**row) for row in now.iter_rows(named=True)}


def judged(hub: Hub, caisse: str, at: Moment, known: Mapping[str, Head] | None = None) -> Judged:
    """The bordereaux of a caisse as judged and decided at a moment."""
    from dataclasses import replace

    import polars as pl

    from checks.snp.decided import apply
    from checks.snp.reconcile import reconcile
    from checks.snp.review import review

    known = all_heads(hub, at.position) if known is None else known
    attested = law.law_of(hub, f"cpam-{caisse}", at.position)
    facts, by = facts_of(hub, known, caisse, attested.alias()), attested.law()
    found = reconcile(facts, by, at.on)
    if earlier := before(hub, caisse, at):
        then = all_heads(hub, earlier.position)
        was = law.law_of(hub, f"cpam-{caisse}", earlier.position)
        first = reconcile(facts_of(hub, then, caisse, was.alias()), was.law(), earlier.on)
        found = replace(found, findings=pl.concat([found.findings, review(first, found, by)]))
    return Judged(facts, by, found, apply(found.lines, line_decisions.decisions(hub, at.position)))


def before(hub: Hub, caisse: str, at: Moment) -> Moment | None:
    """The moment of the last publication to a caisse that an event has come after: what changed since is a finding."""
    made = publications(hub, f"cpam-{caisse}", "bordereaux", at.position)
    if not made:
        return None
    return Moment(made[-1].data["log"]["position"], date.fromisoformat(made[-1].data["judged_on"]))


def caisses(known: Mapping[str, Head]) -> list[str]:
    """The caisses that received bordereaux."""
    return sorted({head.data["caisse"] for head in known.values() if head.source == BORDEREAU})


def facts_of(hub: Hub, known: Mapping[str, Head], caisse: str, alias: "pl.DataFrame") -> "Facts":
    """The facts about the bordereaux of a caisse, from all heads that are known, those that others replace included."""
    import polars as pl

    from checks import dataset_facts
    from checks.snp.facts import SCHEMAS, Facts

    found: dict[str, pl.DataFrame] = {}
    for kind in OF_BORDEREAUX:
        parts = [pl.read_parquet(hub.blobs.segment_path(segment)) for segment in _segments(known, caisse, kind)]
        if parts:
            told = [part.select(name for name in SCHEMAS[kind] if name in part.columns) for part in parts]
            found[kind] = pl.concat(told, how="diagonal")
    for dataset, segments in _datasets(known, caisse).items():
        rows = pl.concat([pl.read_parquet(hub.blobs.segment_path(segment)) for segment in segments])
        found |= dataset_facts.facts_of(dataset, _once(rows, known) if dataset == "declarations" else rows)
    bordereau = found.get("bordereau", pl.DataFrame(schema={"bordereau_id": pl.String, "scope": pl.String}))
    chain = {head.scope: (_id(head.replaces), _id(head.superseded_by)) for head in known.values() if head.source == BORDEREAU}
    replaced = [chain[scope] for scope in bordereau["scope"]]
    found["bordereau"] = bordereau.with_columns(
        replaces=pl.Series([one for one, _ in replaced], dtype=pl.String),
        superseded_by=pl.Series([other for _, other in replaced], dtype=pl.String),
    )
    found["alias"] = alias
    return Facts(**{kind: _shaped(rows, SCHEMAS[kind]) for kind, rows in found.items()})


def _segments(known: Mapping[str, Head], caisse: str, kind: str) -> list[str]:
    """The segments of a kind of fact of the bordereaux of a caisse, whether they stand or were replaced."""
    mine = [head for head in known.values() if head.source == BORDEREAU and head.data["caisse"] == caisse]
    names = (f"snp_{kind}", f"{RESTRICTED}snp_{kind}")
    return [head.tables[name] for head in mine for name in names if name in head.tables]


def _once(rows: "pl.DataFrame", known: Mapping[str, Head]) -> "pl.DataFrame":
    """Declarations without what an export says of dossiers that were pulled, under whatever number of démarche it has them."""
    import polars as pl

    pulled = pl.col("demarche").is_in([scope.rpartition("/")[2] for scope, head in known.items() if head.source == DEMARCHE])
    mine = rows.filter(pulled)["number"].drop_nulls().unique()
    return rows.filter(pulled | ~pl.col("number").is_in(mine.implode()).fill_null(value=False))


def _datasets(known: Mapping[str, Head], caisse: str) -> dict[str, list[str]]:
    """The segments of each dataset that facts are made of; of payments, those of the caisse; of a démarche that is pulled, its
    exports are left aside."""
    from checks.dataset_facts import MAKERS

    pulled = {f"declarations/{scope.rpartition('/')[2]}" for scope, head in known.items() if head.source == DEMARCHE}
    aside = pulled | {scope for scope in known if scope.startswith("payments/") and scope != f"payments/{caisse}"}
    found: dict[str, list[str]] = {}
    for scope, head in known.items():
        for table, segment in head.tables.items() if head.source in (DATASET, DEMARCHE) and scope not in aside else ():
            found.setdefault(table.removeprefix(RESTRICTED).removeprefix("dataset_"), []).append(segment)
    return {dataset: found[dataset] for dataset in sorted(found) if dataset in MAKERS}


def _shaped(rows: "pl.DataFrame", schema: "pl.Schema") -> "pl.DataFrame":
    import polars as pl

    lacking = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in rows.columns]
    return rows.with_columns(lacking).select(pl.col(name).cast(kind) for name, kind in schema.items())


def _key(hub: Hub, known: Mapping[str, Head], caisse: str, at: Moment) -> str:
    """A hash of all that the tables of a caisse are made of."""
    earlier = before(hub, caisse, at)
    attested = law.law_of(hub, f"cpam-{caisse}", at.position)
    lines = line_decisions.standing(hub, at.position).values()
    made_of = {
        "caisse": caisse,
        "on": at.on.isoformat(),
        "bordereaux": {kind: _segments(known, caisse, kind) for kind in OF_BORDEREAUX},
        "datasets": _datasets(known, caisse),
        "replaced": {scope: head.superseded_by for scope, head in known.items() if head.superseded_by},
        "law": sorted({one.position for one in attested.parameters}) + sorted(one.position for one in attested.aliases),
        "policies": {name: one.position for name, one in attested.decided.items()},
        "decisions": sorted(event.position for event in lines if event.data["organisation"] == f"cpam-{caisse}"),
        "before": [earlier.position, earlier.on.isoformat()] if earlier else None,
    }
    return key_of("snp", made_of)


def _id(scope: str | None) -> str | None:
    return scope and scope.rpartition("/")[2]


def rows(hub: Hub, name: str, until: int | None = None) -> "pl.DataFrame":
    """A table made here, now or as of a position. WrongUsage when there is no bordereau."""
    found = tables_computed.rows(hub, RECONCILIATION, name, until)
    if found is None:
        raise WrongUsage("aucun bordereau accepté à cette date : « ecluse ingest FICHIER --caisse 311 » en reçoit un")
    return found


def origins(hub: Hub, table: "Table", row: Mapping[str, Any], position: int) -> Origins:
    """By scope, the rows of the sheet (or lines of the CSV) that a published row rests on, as ranges."""
    import polars as pl

    from flows import declared_origins

    lines = rows(hub, "out_cpam__bordereau_line", position)
    if row.get("line_number") == 0:  # about the whole bordereau
        row = {name: value for name, value in row.items() if name != "line_number"}
    named = [name for name in ("bordereau_id", "line_number", "structure_key", "caisse", "protocol", "month")
             if name in {*table.keys, "protocol"} and row.get(name) is not None]  # fmt: skip
    found = lines.filter(*(pl.col(name) == row[name] for name in named)).drop_nulls("row")
    if table.view == "out_ars__snp_protocol":
        found = found.filter("live", ~pl.col("outcome").is_in(["REJECT", "REDIRECT"]))
    rows_of = found.group_by("bordereau_id").agg("row").sort("bordereau_id")
    told = {f"{BORDEREAU}/{bordereau}": {"lignes": measure(places)} for bordereau, places in rows_of.iter_rows()}
    cited = declared_origins.origins(hub, all_heads(hub, position), row["dossier"]) if row.get("dossier") else {}
    return Origins(told | cited)


def the_one(found: "pl.DataFrame", column: str, start: str, what: str) -> "pl.DataFrame":
    """The rows whose id starts so; WrongUsage unless they are all of one."""
    import polars as pl

    same = found.filter(pl.col(column).str.starts_with(start.lower())) if start else found.clear()
    count = same[column].n_unique()
    if count != 1:
        several = {"bordereau": "bordereaux", "ligne": "lignes"}[what]
        told = f"{count} {several} ont un identifiant qui commence" if count else f"pas de {what} dont l'identifiant commence"
        raise WrongUsage(f"{told} par « {start} » (voir ecluse {'status' if what == 'bordereau' else 'bordereau'})")
    return same
