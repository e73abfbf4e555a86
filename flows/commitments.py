"""Contracts of CPTS and FIR commitments: from the exports and forms that stand to what each region's ARS is told.

Every amount is a simulation until that ARS attests the payer's figures. Of a contract in several forms the last one counts, and
of the commitments of one ARS and campaign those of the last export: nothing is counted twice, nothing merged.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import CPTS, FIR
from flows import law
from flows.computed import Moment, key_of
from flows.hub import Hub
from warehouse.heads import Head

if TYPE_CHECKING:
    import polars as pl

    from contracts_schema.parameters import Attestation

INTERNAL = ()
SOURCES = frozenset({CPTS, FIR})
KINDS = frozenset({"attestation"})
LAW = "cpts."
COMMITMENTS, CONTRACTS, MISSIONS, FINANCINGS = "fir_fir", "cpts_contrats", "cpts_missions", "cpts_financements"
ONCE = {COMMITMENTS: ("ars_code", "campaign"), CONTRACTS: ("contract_id",), MISSIONS: ("contract_id", "mission"),
        FINANCINGS: ("region", "beneficiary")}  # fmt: skip
"""What the last head that gives it is believed for."""
CONTRACT_YEARS = 5


def shares(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, str]:
    """The key of the tables of each region that a contract, a financing or a commitment is of."""
    heads = _heads(known)
    places = {place for head in heads for place in head.data.get("places", {}).get("ars", [])}
    segments = [dict(head.tables) for head in heads]
    made_of = {"segments": segments, "on": at.on.isoformat(), "rules": key_of("cds", {})}
    return {
        f"ars-{code}": key_of("cpts", made_of | {"region": code, "law": _attested(hub, code, at)[1]}) for code in sorted(places)
    }


def computed(hub: Hub, known: Mapping[str, Head], place: str, at: Moment) -> "dict[str, pl.DataFrame]":
    """The tables of a region."""
    import polars as pl

    from checks.cpts import product
    from checks.cpts.agreement import CONTRACTS as CONTRACT_ROWS
    from checks.cpts.agreement import MISSIONS as MISSION_ROWS
    from checks.cpts.rules import FINANCINGS as FINANCING_ROWS
    from checks.cpts.rules import Network, examine_network

    code = place.removeprefix("ars-")
    own = _attested(hub, code, at)[0]
    given = {name: _once(hub, known, name) for name in ONCE}
    contracts = _of(given[CONTRACTS], CONTRACT_ROWS, pl.col("region") == code)
    missions = _of(given[MISSIONS], MISSION_ROWS, pl.lit(value=True))
    missions = missions.join(contracts, on="contract_id", how="semi", maintain_order="left")
    commitments = given[COMMITMENTS]
    if commitments is not None:
        commitments = commitments.filter(pl.col("ars_code").str.extract(r"^R?([0-9]{2})$") == code)
    financings = given[FINANCINGS]
    if financings is not None:
        financings = _of(financings, FINANCING_ROWS, pl.col("region") == code)
    years = [_years(contracts, missions, number, at, own) for number in range(1, CONTRACT_YEARS + 1)]
    network = Network(
        contracts if given[CONTRACTS] is not None else None,
        missions if given[MISSIONS] is not None else None,
        commitments, financings, own,
    )  # fmt: skip
    said = pl.concat([examine_network(network), *_readings(hub, known, code)])
    return product.tables(contracts, pl.concat(years), commitments, said, code)


def _years(
    contracts: "pl.DataFrame", missions: "pl.DataFrame", number: int, at: Moment, own: "tuple[Attestation, ...]"
) -> "pl.DataFrame":
    """The amounts of the contracts whose year of this number has begun."""
    import polars as pl

    from checks.cpts.agreement import amounts, year_of

    begun = [day is not None and year_of(day, number).start <= at.on for day in contracts["signed_on"]]
    return amounts(contracts.filter(pl.Series(begun, dtype=pl.Boolean)), missions, number, own)


def _readings(hub: Hub, known: Mapping[str, Head], code: str) -> "list[pl.DataFrame]":
    """What the reading said of the files about a region."""
    import polars as pl

    mine = [head for head in _heads(known) if code in head.data.get("places", {}).get("ars", [])]
    return [pl.read_parquet(hub.blobs.segment_path(head.tables[f"{head.source}_reading"])) for head in mine]


def _once(hub: Hub, known: Mapping[str, Head], table: str) -> "pl.DataFrame | None":
    """The rows of a table over all heads, each key from the last head that gives it; None when none ever came."""
    import polars as pl

    heads = [head for head in _heads(known) if table in head.tables]
    parts = [
        pl.read_parquet(hub.blobs.segment_path(head.tables[table])).with_columns(head=pl.lit(head.position)) for head in heads
    ]
    if not parts:
        return None
    rows = pl.concat(parts, how="diagonal")
    return rows.filter(pl.col("head") == pl.col("head").max().over(ONCE[table])).drop("head")


def _of(rows: "pl.DataFrame | None", schema: "pl.Schema", mine: "pl.Expr") -> "pl.DataFrame":
    import polars as pl

    if rows is None:
        return pl.DataFrame(schema=schema)
    return rows.filter(mine).select(pl.col(name).cast(kind) for name, kind in schema.items())


def _heads(known: Mapping[str, Head]) -> list[Head]:
    return [head for _, head in sorted(known.items()) if head.source in SOURCES]


def _attested(hub: Hub, code: str, at: Moment) -> "tuple[tuple[Attestation, ...], list[int]]":
    """What an ARS attests of this law, and the positions of its decisions."""
    own: Any = tuple(one for one in law.law_of(hub, f"ars-{code}", at.position).parameters if one.parameter.startswith(LAW))
    return own, sorted({one.position for one in own})
