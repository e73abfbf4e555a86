"""The contracts that stand, judged, compared and watched: facts from heads, the law of each ARS, and the tables of a région.

Which export stands for what is told by ``flows.cpom_standing``. Tables are kept with the views, under the same promise. Decides
nothing; the day is an argument.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.geography import region_of
from contracts_schema.products import CPOM, products
from flows import building, cpom_decisions, cpom_standing, finess
from flows import computed as tables_computed
from flows.computed import Moment, key_of
from flows.hub import PARIS, Hub, WrongUsage
from flows.published import publications, published_rows
from warehouse import views
from warehouse.heads import DATASET, ECARS, PMSI, Head
from warehouse.log import Event

if TYPE_CHECKING:
    import polars as pl

    from checks.cpom.compare import Comparison
    from checks.cpom.facts import Facts
    from checks.cpom.judge import Judgement
    from checks.cpom.law import Law
    from checks.cpom.obligations import Watch

COMPARED, CONTEXT, REACHED = "int_cpom__compared", "int_cpom__context", "int_cpom__reached"
OBLIGATION, TRAJECTORY = "int_cpom__obligation", "int_cpom__trajectory"
INTERNAL = (COMPARED, CONTEXT, REACHED, OBLIGATION, TRAJECTORY)
SOURCES = frozenset({ECARS, DATASET, PMSI})
KINDS = frozenset({"attestation"}) | cpom_decisions.KINDS
INDICATOR = "out_ars__cpom_indicator"
HIDDEN = {INDICATOR: (("numerator", "denominator", "recomputed", "gap", "completeness"), "result"),
          "out_ars__cpom_trajectory": (("numerator", "denominator", "recomputed", "gap"), "reached")}  # fmt: skip
"""Published tables that hold recomputed figures: these, and the word that would tell of them."""
RECOMPUTED_VIEW, PMSI_PRODUCT = "out_ars__pmsi_indicator", "pmsi-activity"
EXPORT_FRAMES = ("sheet", "row", "value", "financial_line", "recognition")
OF_ALL = ("legal_entity", "establishment")
"""Frames that hold for every région: who is whose."""


@dataclass(frozen=True)
class Contracts:
    """The contracts of a région, with all that is said of them at a moment."""

    facts: "Facts"
    law: "Law"
    judgement: "Judgement"
    comparison: "Comparison"
    watch: "Watch"


def shares(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, str]:
    """The key of the tables of each région: of what concerns it, so that nothing else makes them again."""
    sent, followed = _transmissions(hub, known, at), _followed(hub, known)
    return {
        region: _key(hub, known, region, at, sent.get(region, []), followed[None] + followed.get(region, []))
        for region in regions(known)
    }


def touched(hub: Hub, event: Event) -> Mapping[str, frozenset[str]] | None:
    """The contracts that an event may change: an export changes those that it names; all else may change any (None)."""
    if event.type != "DeliveryAccepted" or event.data["source"] != ECARS or "regions" not in event.data:
        return None
    import polars as pl

    from flows.ecars_segments import WHOLE

    held = [segment for table, segment in event.data["tables"].items() if table in (_table("sheet"), WHOLE)]
    rows = [pl.read_parquet(hub.blobs.segment_path(segment), columns=["finess_ej"]) for segment in held]
    return {"finess_ej": frozenset(pl.concat(rows)["finess_ej"].drop_nulls())} if rows else None


def regions(known: Mapping[str, Head]) -> list[str]:
    """The régions that have a contract."""
    return sorted({region for head in _exports(known) for region in head.data["regions"]})


def computed(hub: Hub, known: Mapping[str, Head], region: str, at: Moment) -> "dict[str, pl.DataFrame]":
    """The tables of a région: those of products, and what is behind them."""
    import polars as pl

    from checks.cpom.product import tables

    found = judged(hub, known, region, at)
    inside = {COMPARED: found.comparison.compared, CONTEXT: found.comparison.context, REACHED: found.comparison.reached,
              OBLIGATION: found.watch.obligations, TRAJECTORY: found.comparison.trajectory}  # fmt: skip
    made = tables(found.facts, found.judgement, found.comparison, found.watch, found.law)
    away = _hidden(hub, known, region, at)
    behind = {INDICATOR: found.comparison.compared}
    made |= {name: _as_hidden(name, made[name], behind.get(name, found.comparison.trajectory), away) for name in HIDDEN}
    return made | {name: rows.with_columns(region=pl.lit(region)) for name, rows in inside.items()}


def judged(hub: Hub, known: Mapping[str, Head], region: str, at: Moment, only: str | None = None) -> Contracts:
    """The contracts of a région at a moment; ``only``: the one of this FINESS EJ."""
    from checks.cpom.compare import compare
    from checks.cpom.judge import judge
    from checks.cpom.obligations import watch

    ars = f"ars-{region}"
    law = cpom_decisions.law_of(hub, ars, at.position)
    instant = datetime.combine(at.on, time(), PARIS).astimezone(UTC)
    facts = facts_of(hub, known, region, at, law, only)
    closed = only is None and cpom_decisions.is_closed(hub, ars, at.position)  # one contract alone is not the campaign
    judgement = judge(facts, law, at.on, instant, closed=closed)
    given = recomputed(hub, known, facts, at)
    comparison = compare(judgement, given, cpom_decisions.definitions(hub, ars, at.position), law, disputed(given, facts))
    return Contracts(facts, law, judgement, comparison, watch(facts, judgement, law, at.on))


def facts_of(hub: Hub, known: Mapping[str, Head], region: str, at: Moment, law: "Law", only: str | None = None) -> "Facts":
    """What stands for the contracts of a région, references included."""
    import polars as pl

    from checks.cpom.facts import facts_of as facts
    from contracts_schema.cpom_frames import FRAMES, schema

    exported = _read_exports(hub, known, region)
    frames = {
        name: _rows(hub, [head.tables[_table(name)] for head in _tables(known) if _table(name) in head.tables])
        for name in FRAMES
        if name not in (*EXPORT_FRAMES, *OF_ALL)
    }
    found = {
        name: rows.match_to_schema(schema(name), missing_columns="insert") for name, rows in frames.items() if rows is not None
    }
    for name, rows in (("establishment", finess.establishments(hub, known, at.position)),
                       ("legal_entity", finess.legal_entities(hub, known))):  # fmt: skip
        if rows is not None:
            found[name] = rows

    def here(rows: "pl.DataFrame") -> "pl.DataFrame":
        if "finess_ej" not in rows.columns:
            return rows
        inside = [one for one in rows["finess_ej"].drop_nulls().unique() if _region(one) == region]
        return rows.filter(pl.col("finess_ej").is_in(inside))

    def mine(rows: "pl.DataFrame") -> "pl.DataFrame":
        return rows.filter(pl.col("finess_ej") == only) if only and "finess_ej" in rows.columns else rows

    if "emergency_region" in found:  # a total that names no région is that of the only one that has contracts
        of = pl.col("region") if len(regions(known)) > 1 else pl.col("region").fill_null(region)
        found["emergency_region"] = found["emergency_region"].filter(of == region)
    exported["sheet"] = mine(here(exported["sheet"]))
    of_region = {name: rows if name in OF_ALL else here(rows) for name, rows in found.items()}
    # a list that names other régions only was not delivered for this one
    given = {name: rows for name, rows in of_region.items() if rows.height or not found[name].height}
    told = {name: rows if name in OF_ALL else mine(rows) for name, rows in given.items()} | cpom_standing.standing(exported)
    proof = cpom_standing.earlier_proof(exported, law, at.on)
    return facts(told | ({"earlier_proof": proof} if proof is not None else {}))


def recomputed(hub: Hub, known: Mapping[str, Head], facts: "Facts", at: Moment) -> "pl.DataFrame":
    """The variants that the PMSI gives, as ``checks.cpom.compare.RECOMPUTED``, with the legal entity that the view gives.

    A number that no link resolves and that signed a contract is its own legal entity: it transmits for itself.
    """
    import polars as pl

    from checks.cpom.compare import RECOMPUTED

    table = building.tables(hub, _standing(known), {RECOMPUTED_VIEW}, at.position).get(RECOMPUTED_VIEW)
    if table is None or not table.paths:
        return pl.DataFrame(schema=RECOMPUTED)
    rows = pl.read_parquet(list(table.paths))
    signed = pl.when(pl.col("finess").is_in(facts.sheet["finess_ej"].drop_nulls().implode())).then("finess")
    named = rows.with_columns(finess_ej=pl.coalesce("finess_ej", signed))
    return named.select(pl.col(name).cast(kind) for name, kind in RECOMPUTED.items())


def disputed(rows: "pl.DataFrame", facts: "Facts") -> "pl.DataFrame":
    """finess_ej, year: the legal entities that links give to a transmission together with another one, on 31 December."""
    import polars as pl

    unsure = rows.filter(pl.col("finess_ej").is_null()).select(finess_et="finess", year="exit_year").unique()
    links = unsure.join(facts.frame("establishment"), on="finess_et")
    last_day = pl.date(pl.col("year"), 12, 31)
    held = (pl.col("valid_from") <= last_day) & (last_day < pl.col("valid_to")).fill_null(value=True)
    return links.filter(held).select("finess_ej", "year").unique()


def rows(hub: Hub, name: str, until: int | None = None) -> "pl.DataFrame":
    """A table made here, now or as of a position. WrongUsage when there is no contract."""
    found = tables_computed.rows(hub, CPOM, name, until)
    if found is None:
        raise WrongUsage("aucun contrat e-CARS accepté à cette date : « ecluse ingest SYNTHESE.xlsx » en reçoit un")
    return found


def _hidden(hub: Hub, known: Mapping[str, Head], region: str, at: Moment) -> "pl.DataFrame":
    """The recomputed rows that the ARS is not shown in full of the PMSI: finess, exit_year, definition_id, variant."""
    import polars as pl

    from warehouse.masking import masked

    product, keys = products()["ars", PMSI_PRODUCT], ["finess", "exit_year", "definition_id", "variant"]
    made = building.tables(hub, _standing(known), {table.view for table in product.tables}, at.position)
    if not all(name in made and made[name].paths for name in (table.view for table in product.tables)):
        return pl.DataFrame(
            schema={"finess": pl.String, "exit_year": pl.Int64, "definition_id": pl.String, "variant": pl.String}
        )
    frames = {table.view: pl.read_parquet(list(made[table.view].paths)) for table in product.tables}
    before = publications(hub, f"ars-{region}", PMSI_PRODUCT, at.position)
    earlier = [{name: published_rows(hub, event, name) for name in event.data["tables"]} for event in before]
    return masked(product, frames, region, at.on, earlier)["indicator"].filter("masked").select(keys)


def _as_hidden(name: str, rows: "pl.DataFrame", compared: "pl.DataFrame", hidden: "pl.DataFrame") -> "pl.DataFrame":
    """Without the figures that the product of the PMSI hides from the same ARS, nor the word that would tell of them."""
    import polars as pl

    from checks.cpom.product import ROLES

    keys = {"finess_ej": "finess_ej", "indicator_id": "id", "year": "year"}
    keys |= {"role": "role"} if "role" in rows.columns else {}
    made_of = compared.drop_nulls("finess").with_columns(pl.col("finess").str.split(" ")).explode("finess")
    kept_back = made_of.join(
        hidden, left_on=["finess", "year", "definition_id", "variant"], right_on=hidden.columns, how="semi"
    )
    away = kept_back.select(**{name: pl.col(column) for name, column in keys.items()}).unique()
    if "role" in keys:
        away = away.with_columns(role=pl.col("role").replace_strict(ROLES))
    told = rows.join(away.with_columns(away=pl.lit(value=True)), on=list(keys), how="left", maintain_order="left")
    shown = pl.col("away").is_null()
    figures, word = HIDDEN[name]
    told = told.with_columns(*(pl.when(shown).then(pl.col(figure)).alias(figure) for figure in figures),
                             pl.when(shown).then(pl.col(word)).otherwise(pl.lit("Masqué")).alias(word))  # fmt: skip
    return told.drop("away")


def region_of_contract(finess_ej: str) -> str:
    """The région of a legal entity. WrongUsage when the number is of none."""
    region = _region(finess_ej)
    if region is None:
        raise WrongUsage(f"{finess_ej} n'est pas le FINESS d'une région connue")
    return region


def _table(frame: str) -> str:
    return f"{ECARS}_{frame}"


def _region(number: str) -> str | None:
    return region_of(number) if len(number) == 9 else None


def _exports(known: Mapping[str, Head]) -> list[Head]:
    """The exports, in the order of their reception."""
    return sorted((head for head in known.values() if head.source == ECARS and "regions" in head.data), key=lambda h: h.rank)


def _tables(known: Mapping[str, Head]) -> list[Head]:
    return [head for head in known.values() if head.source == ECARS and "regions" not in head.data]


def _standing(known: Mapping[str, Head]) -> dict[str, Head]:
    return {scope: head for scope, head in known.items() if head.superseded_by is None}


def _rows(hub: Hub, segments: list[str]) -> "pl.DataFrame | None":
    import polars as pl

    return pl.read_parquet([hub.blobs.segment_path(segment) for segment in segments]) if segments else None


def _read_exports(hub: Hub, known: Mapping[str, Head], region: str) -> "dict[str, pl.DataFrame]":
    """All that exports with a contract of a région say; ``sheet`` with the order of reception of its export."""
    import polars as pl

    from flows import ecars_segments

    heads = [head for head in _exports(known) if region in head.data["regions"]]
    found = ecars_segments.read(hub, heads)
    order = pl.DataFrame(
        [(head.scope.rpartition("/")[2], place) for place, head in enumerate(heads)],
        schema={"export": pl.String(), "received": pl.Int64()}, orient="row",
    )  # fmt: skip
    sheets = found["sheet"].with_columns(export=pl.col("sheet_id").str.head(16))
    found["sheet"] = sheets.join(order, on="export", how="left", maintain_order="left").drop("export")
    return found


def _transmissions(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str | None, list[Any]]:
    """By région, the transmissions of its establishments, and of those that were ever linked to a legal entity of it."""
    heads = [head for head in _standing(known).values() if head.source == PMSI]
    places = {head.data["finess"]: {_region(head.data["finess"])} for head in heads}
    links = finess.establishments(hub, known, at.position, set(places)) if places else None
    for number, legal in () if links is None else links.select("finess_et", "finess_ej").drop_nulls().iter_rows():
        places.get(number, set()).add(_region(legal))
    found: dict[str | None, list[Any]] = {}
    for head in heads:
        for region in places[head.data["finess"]]:
            found.setdefault(region, []).append([head.scope, head.delivery_id, head.position])
    return found


def _followed(hub: Hub, known: Mapping[str, Head]) -> dict[str | None, list[Any]]:
    """What follow-up tables say of each région, by hashes; under None what they say of all."""
    found: dict[str | None, list[Any]] = {None: []}
    for head in _tables(known):
        for table, segment in head.tables.items():
            of_all = table in map(_table, OF_ALL)
            for region, told in _hashes(hub.blobs.segment_path(segment), of_all=of_all).items():
                found.setdefault(region, []).append([table, told])
    return found


@lru_cache(maxsize=256)
def _hashes(path: Path, *, of_all: bool) -> dict[str | None, str]:
    """A hash of the rows about each région; under None that of a table about all, else of its columns alone."""
    import polars as pl

    rows = pl.read_parquet(path)
    if of_all or "finess_ej" not in rows.columns:
        return {None: _hash(rows)}
    places = {number: _region(number) for number in rows["finess_ej"].drop_nulls().unique()}
    told = rows.with_columns(place=pl.col("finess_ej").replace_strict(places, default=None, return_dtype=pl.String))
    parts = told.drop_nulls("place").partition_by("place", as_dict=True, include_key=False)
    whole = "" if rows.height else "vide"  # a list emptied says that nothing holds; one about others says nothing here
    return {None: _hash(rows.clear()) + whole, **{str(region): _hash(part) for (region,), part in parts.items()}}


def _hash(rows: "pl.DataFrame") -> str:
    return hashlib.sha256(rows.write_csv().encode()).hexdigest()


def _key(hub: Hub, known: Mapping[str, Head], region: str, at: Moment, sent: list[Any], followed: list[Any]) -> str:
    """A hash of all that the tables of a région are made of."""
    ars = f"ars-{region}"
    exports = [head for head in _exports(known) if region in head.data["regions"]]
    made_of: dict[str, Any] = {
        "region": region,
        "alone": len(regions(known)) == 1,
        "on": at.on.isoformat(),
        "exports": [[head.scope, head.tables] for head in exports],
        "tables": followed,
        "finess": [[f"{day}", segment] for day, segment in finess.extractions(hub, "finess_et", at.position)],
        "legal": [head.tables["dataset_finess_ej"] for head in known.values() if "dataset_finess_ej" in head.tables],
        "pmsi": sent,
        "views": _views(),
        "shown": [event.position for event in publications(hub, ars, PMSI_PRODUCT, at.position)],
        "law": cpom_decisions.law_of(hub, ars, at.position).digest(),
        "decisions": sorted(event.position for event in cpom_decisions.standing(hub, ars, at.position).values()),
    }
    return key_of("cpom", made_of)


def _views() -> str:
    of_pmsi = views.closure(table.view for table in products()["ars", PMSI_PRODUCT].tables)
    texts = (views.views()[name].sql for name in of_pmsi)
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
