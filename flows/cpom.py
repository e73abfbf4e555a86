"""The contracts that stand, judged, compared and watched: the law of each ARS, and the tables of its contracts by shares.

Which export stands for what is told by ``flows.cpom_standing``. Tables are kept with the views, under the same promise. Decides
nothing; the day is an argument.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from contracts_schema.products import CPOM
from flows import computed as tables_computed
from flows import cpom_decisions, cpom_inputs
from flows.computed import Moment, key_of
from flows.cpom_inputs import share_of
from flows.hub import PARIS, Hub, WrongUsage
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
CONTRACT, INDICATOR = "out_ars__cpom_contract", "out_ars__cpom_indicator"
HIDDEN = {INDICATOR: (("numerator", "denominator", "recomputed", "gap", "completeness"), "result"),
          "out_ars__cpom_trajectory": (("numerator", "denominator", "recomputed", "gap"), "reached")}  # fmt: skip
"""Published tables that hold recomputed figures: these, and the word that would tell of them."""
ORDER = {
    CONTRACT: ("finess_ej",),
    INDICATOR: ("finess_ej", "indicator_id", "year", "role"),
    "out_ars__cpom_target": ("finess_ej", "indicator_id", "year", "role"),
    "out_ars__cpom_trajectory": ("finess_ej", "indicator_id", "year"),
    "out_ars__cpom_not_evaluable": ("rule", "not_evaluable_id"),
    "out_ars__cpom_finding": ("region", "finess_ej", "number"),
    "out_ars__cpom_obligation": ("due_on", "deadline_id", "finess_ej", "subject", "region"),
    "out_ars__cpom_notice": ("finess_ej", "procedure_id"),
    "out_ars__cpom_financial_line": ("finess_ej", "number"),
    "out_ars__cpom_subsidy": ("finess_ej", "subsidy_id"),
    "out_ars__cpom_ceiling": ("finess_ej", "year"),
}
"""The order in which people read each published table."""


@dataclass(frozen=True)
class Contracts:
    """Contracts of a région, with all that is said of them at a moment."""

    facts: "Facts"
    law: "Law"
    judgement: "Judgement"
    comparison: "Comparison"
    watch: "Watch"


def shares(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, str]:
    """The key of the tables of each share of the contracts of a région, then of what the région is told of none of them."""
    given, of_all = cpom_inputs.concerning(hub, known, at)
    keys: dict[str, str] = {}
    for region in cpom_inputs.regions(known):
        law = cpom_decisions.law_of(hub, f"ars-{region}", at.position).digest()
        closed = cpom_decisions.is_closed(hub, f"ars-{region}", at.position)
        common = {"on": at.on.isoformat(), "tables": of_all, "law": law, "closed": closed and cpom_inputs.expects(known)}
        decided = cpom_decisions.standing(hub, f"ars-{region}", at.position)
        own = {share: told for share, told in sorted(given.items()) if share.startswith(f"{region}/")}
        for share, told in own.items():
            definitions = [event.position for event in decided.values() if _bears_on(event, share)]
            keys[share] = key_of("cpom", {**common, "share": share, "given": told, "decisions": sorted(definitions)})
        counted, alone = [keys[share] for share in own] if closed else None, len(cpom_inputs.regions(known)) == 1
        keys[region] = key_of("cpom", {**common, "share": region, "counted": counted, "alone": alone})
    return keys


def _bears_on(event: Event, share: str) -> bool:
    """Whether a decision is about a contract of a share: policies are in the law, the closing is of no contract."""
    if event.data["kind"] != cpom_decisions.DEFINITION:
        return False
    ej = event.data["value"]["finess_ej"]
    return ej is None or share_of(ej) == share


def touched(hub: Hub, event: Event) -> Mapping[str, frozenset[str]] | None:
    """The contracts that an event may change: an export changes those that it names; all else may change any (None)."""
    if event.type != "DeliveryAccepted" or event.data["source"] != ECARS or "regions" not in event.data:
        return None
    [numbers] = cpom_inputs.named(hub, [event.data])
    return {"finess_ej": numbers} if numbers else None


def computed(
    hub: Hub, known: Mapping[str, Head], shares: Iterable[str], at: Moment
) -> "Iterator[tuple[str, dict[str, pl.DataFrame]]]":
    """The tables of these shares, those of contracts first: those of products, and what is behind them."""
    import polars as pl

    wanted = set(shares)
    for region in cpom_inputs.regions(known):
        closed = cpom_decisions.is_closed(hub, f"ars-{region}", at.position)
        own = sorted(share for share in wanted if share.startswith(f"{region}/"))
        for some in cpom_inputs.together(hub, known, own):
            found = judged(hub, known, region, at, _among(some), closed=closed)
            made = _tables(hub, known, found, region, at)
            for share in some:
                mine = pl.col("finess_ej").str.tail(1) == share[-1]
                yield share, {name: rows.filter(mine).rechunk() for name, rows in made.items()}
        if region in wanted:
            counted = _counted(hub, known, region, at) if closed else None
            found = judged(hub, known, region, at, lambda _: False, closed=closed, received=counted)
            made = _tables(hub, known, found, region, at)
            yield region, {name: rows.filter(pl.col("finess_ej").is_null()) for name, rows in made.items()}


def _among(shares: list[str]) -> Callable[[str], bool]:
    return lambda number: share_of(number) in shares


def _counted(hub: Hub, known: Mapping[str, Head], region: str, at: Moment) -> int:
    """The contracts of a région that were received and are not in quarantine, from the tables of its shares."""
    import polars as pl

    keys = (key for share, key in shares(hub, known, at).items() if share.startswith(f"{region}/"))
    parts = [pl.read_parquet(views.part(hub.views_folder, CONTRACT, key).path, columns=["chosen_ct"]) for key in keys]
    return sum(rows["chosen_ct"].count() for rows in parts)


def _tables(hub: Hub, known: Mapping[str, Head], found: Contracts, region: str, at: Moment) -> "dict[str, pl.DataFrame]":
    import polars as pl

    from checks.cpom.product import tables

    inside = {COMPARED: found.comparison.compared, CONTEXT: found.comparison.context, REACHED: found.comparison.reached,
              OBLIGATION: found.watch.obligations, TRAJECTORY: found.comparison.trajectory}  # fmt: skip
    made = tables(found.facts, found.judgement, found.comparison, found.watch, found.law, [region])
    if any(rows["finess"].count() for rows in (found.comparison.compared, found.comparison.trajectory)):
        away = cpom_inputs.hidden(hub, known, region, at)
        behind = {INDICATOR: found.comparison.compared}
        made |= {name: _as_hidden(name, made[name], behind.get(name, found.comparison.trajectory), away) for name in HIDDEN}
    return made | {name: rows.with_columns(region=pl.lit(region)) for name, rows in inside.items()}


def judged(
    hub: Hub,
    known: Mapping[str, Head],
    region: str,
    at: Moment,
    of: Callable[[str], bool],
    *,
    closed: bool = False,
    received: int | None = None,
) -> Contracts:
    """Contracts of a région at a moment: those ``of`` whose number this is true. ``closed`` and ``received`` as ``judge``."""
    from checks.cpom.compare import compare
    from checks.cpom.judge import judge
    from checks.cpom.obligations import watch

    ars = f"ars-{region}"
    law = cpom_decisions.law_of(hub, ars, at.position)
    instant = datetime.combine(at.on, time(), PARIS).astimezone(UTC)
    facts = cpom_inputs.facts_of(hub, known, region, at, law, of)
    judgement = judge(facts, law, at.on, instant, closed=closed, received=received)
    given = cpom_inputs.recomputed(hub, known, facts, at)
    torn = cpom_inputs.disputed(given, facts)
    comparison = compare(judgement, given, cpom_decisions.definitions(hub, ars, at.position), law, torn)
    return Contracts(facts, law, judgement, comparison, watch(facts, judgement, law, at.on))


def rows(hub: Hub, name: str, until: int | None = None) -> "pl.DataFrame":
    """A table made here, now or as of a position. WrongUsage when there is no contract."""
    found = tables_computed.rows(hub, CPOM, name, until)
    if found is None:
        raise WrongUsage("aucun contrat e-CARS accepté à cette date : « ecluse ingest SYNTHESE.xlsx » en reçoit un")
    return found


def _as_hidden(name: str, rows: "pl.DataFrame", compared: "pl.DataFrame", hidden: "pl.DataFrame") -> "pl.DataFrame":
    """Without the figures that the product of the PMSI hides from the same ARS, nor the word that would tell of them.

    Conflicts, which that product gives for the widest variant, are left to the mask of the contract: ``conflicts_hidden``.
    """
    import polars as pl

    from checks.cpom.product import ROLES

    keys = {"finess_ej": "finess_ej", "indicator_id": "id", "year": "year"}
    keys |= {"role": "role"} if "role" in rows.columns else {}
    made_of = compared.drop_nulls("finess").with_columns(pl.col("finess").str.split(" ")).explode("finess")

    def about(column: str, *of: str) -> pl.DataFrame:
        on = ["finess", "year", "definition_id", *of]
        kept_back = made_of.join(hidden.filter(column).rename({"exit_year": "year"}), on=on, how="semi")
        found = kept_back.select(**{key: pl.col(source) for key, source in keys.items()}).unique()
        if "role" in keys:
            found = found.with_columns(role=pl.col("role").replace_strict(ROLES))
        return found.with_columns(pl.lit(value=True).alias(f"{column}_hidden"))

    told = rows.join(about("rate", "variant"), on=list(keys), how="left", maintain_order="left")
    shown = pl.col("rate_hidden").is_null()
    figures, word = HIDDEN[name]
    told = told.with_columns(*(pl.when(shown).then(pl.col(figure)).alias(figure) for figure in figures),
                             pl.when(shown).then(pl.col(word)).otherwise(pl.lit("Masqué")).alias(word))  # fmt: skip
    if name == INDICATOR:
        told = told.drop("conflicts_hidden").join(about("conflicts"), on=list(keys), how="left", maintain_order="left")
        told = told.with_columns(conflicts_hidden=pl.col("conflicts_hidden").fill_null(value=False) | ~shown)
    return told.drop("rate_hidden")
