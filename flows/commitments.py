"""Contracts of CPTS, FIR commitments and FMIS subsidies: from what stands to what each region's ARS is told.

Every amount of a contract is a simulation until that ARS attests the payer's figures. Of what several files give under one key
the last file counts, and what other keys give stays: nothing is counted twice, nothing merged, nothing lost.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import CPTS, ECDS, FIR
from contracts_schema import cpts_facts
from contracts_schema.cpts_facts import FIR_KEY
from contracts_schema.geography import region_of
from flows import cpom_decisions, law
from flows.campaigns import extractions
from flows.computed import Moment, hash_of, key_of
from flows.hub import Hub
from warehouse.heads import ECARS, Head

if TYPE_CHECKING:
    import polars as pl

    from contracts_schema.parameters import Attestation

INTERNAL = ()
SOURCES = frozenset({CPTS, FIR, ECARS, ECDS})
KINDS = frozenset({"attestation", cpom_decisions.POLICY})
LAW = "cpts."
COMMITMENTS, CONTRACTS, MISSIONS, ENTRIES, FINANCED = (
    "fir_fir", "cpts_contrats", "cpts_missions", "cpts_saisie", "cpts_financements",
)  # fmt: skip
SUBSIDIES, PAYMENTS, REQUESTS = "ecars_subsidy", "ecars_payment", "ecars_refund_request"
IDENTITIES, ANSWERS = "ecds_identification", "ecds_rfs"
BESIDE = (SUBSIDIES, PAYMENTS, REQUESTS, IDENTITIES, ANSWERS)
"""All that is read of other sources: subsidies as the CPOM follows them, what centres of the accord are and answered."""
ONCE = {COMMITMENTS: FIR_KEY, CONTRACTS: ("contract_id",), MISSIONS: ("contract_id", "mission"),
        ENTRIES: ("contract_id", "mission", "part", "contract_year", "indicator", "entered_at"),
        FINANCED: ("region", "beneficiary")}  # fmt: skip
"""What the last head that gives it is believed for."""
FINESS = 9
CONTRACT_YEARS = 5


Rows = Callable[[str], "pl.DataFrame | None"]
"""The rows of a table over all heads, each with the position of its head; None when none ever came. Read once."""


@dataclass(frozen=True)
class Given:
    """What the tables of a region are made of: rows about it alone; None where nothing of the kind ever came."""

    contracts: "pl.DataFrame | None"
    missions: "pl.DataFrame | None"
    commitments: "pl.DataFrame | None"
    entries: "pl.DataFrame | None"
    subsidies: "pl.DataFrame | None"
    financings: "pl.DataFrame | None"
    said: "tuple[pl.DataFrame, ...]"
    """What was said of the files, and of lines that others take the place of."""

    def hashes(self) -> list[Any]:
        """What names the whole of it."""
        frames = (getattr(self, one.name) for one in fields(self) if one.name != "said")
        return [[None if rows is None else hash_of(rows) for rows in frames], [hash_of(rows) for rows in self.said]]


def shares(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, str]:
    """The key of the tables of each region that a contract, a financing, a commitment or a FMIS subsidy is of."""
    told = {place for head in _heads(known) for place in head.data.get("places", {}).get("ars", [])}
    rows = _reading(hub, known)
    common = {"on": at.on.isoformat(), "rules": [key_of("cds", {}), key_of("cpom", {})]}
    return {
        f"ars-{code}": key_of("cpts", {**common, "region": code, "law": _attested(hub, code, at)[1],
                                       "given": _given(hub, known, rows, code, at).hashes()})
        for code in sorted(told | _subsidised(rows))
    }  # fmt: skip


def computed(
    hub: Hub, known: Mapping[str, Head], shares: Iterable[str], at: Moment
) -> "Iterator[tuple[str, dict[str, pl.DataFrame]]]":
    """The tables of these regions, one after the other. What rests on the claimed source is a finding (cds.CDS68), which holds
    the publication."""
    rows = _reading(hub, known)
    for place in shares:
        code = place.removeprefix("ars-")
        yield place, _tables_of(code, at, _given(hub, known, rows, code, at), _attested(hub, code, at)[0])


def _tables_of(code: str, at: Moment, given: Given, own: "tuple[Attestation, ...]") -> "dict[str, pl.DataFrame]":
    import polars as pl

    from checks.cpts import doubles, product
    from checks.cpts.agreement import CONTRACTS as CONTRACT_ROWS
    from checks.cpts.agreement import MISSIONS as MISSION_ROWS
    from checks.cpts.rules import Network, examine_network

    contracts = pl.DataFrame(schema=CONTRACT_ROWS) if given.contracts is None else given.contracts
    missions = pl.DataFrame(schema=MISSION_ROWS) if given.missions is None else given.missions
    years = [_years(contracts, missions, number, at, own) for number in range(1, CONTRACT_YEARS + 1)]
    network = Network(given.contracts, given.missions, given.commitments, given.financings, own)
    twice = [] if given.commitments is None else [doubles.told(doubles.doubles(given.commitments))]
    return product.tables(
        product.Region(
            code, at.on, contracts, pl.concat(years), pl.concat([examine_network(network), *twice, *given.said]),
            given.commitments, given.entries, given.subsidies, given.financings, own,
        )
    )  # fmt: skip


def _given(hub: Hub, known: Mapping[str, Head], rows: Rows, code: str, at: Moment) -> Given:
    import polars as pl

    from checks.cpts.agreement import CONTRACTS as CONTRACT_ROWS
    from checks.cpts.agreement import MISSIONS as MISSION_ROWS

    given = {name: _once(rows, name) for name in ONCE}
    contracts = _of(given[CONTRACTS], CONTRACT_ROWS, pl.col("region") == code)

    def mine(name: str) -> "pl.DataFrame | None":
        found = given[name]
        if found is None or name in (COMMITMENTS, FINANCED):
            return None if found is None else found.filter(pl.col("region") == code)
        return found.join(contracts, on="contract_id", how="semi", maintain_order="left")

    commitments, form = mine(COMMITMENTS), mine(FINANCED)
    missions = mine(MISSIONS)
    told = _of(missions, MISSION_ROWS, pl.lit(value=True))
    subsidies = _subsidies(hub, rows, code, at)
    return Given(
        contracts=None if given[CONTRACTS] is None else contracts,
        missions=None if missions is None else told,
        commitments=commitments,
        entries=mine(ENTRIES),
        subsidies=subsidies,
        financings=_financings(hub, known, contracts, told, commitments, form, subsidies),
        said=(_replaced(rows, code), *_readings(hub, known, code, contracts)),
    )


def _subsidised(rows: Rows) -> set[str]:
    """The regions of the FMIS subsidies that are followed."""
    from checks.cpts.subsidies import FUND

    followed = rows(SUBSIDIES)
    numbers = [] if followed is None else followed.filter(fund=FUND)["finess_ej"].drop_nulls().unique().to_list()
    return {region for number in numbers if len(number) == FINESS and (region := region_of(number))}


def _subsidies(hub: Hub, rows: Rows, code: str, at: Moment) -> "pl.DataFrame | None":
    """The FMIS subsidies of a region, followed; None when no table of subsidies came."""
    import polars as pl

    from checks.cpts import subsidies
    from contracts_schema.cpom_frames import schema

    frames = {}
    for frame, table in (("subsidy", SUBSIDIES), ("payment", PAYMENTS), ("refund_request", REQUESTS)):
        told = rows(table)
        frames[frame] = pl.DataFrame(schema=schema(frame)) if told is None else told.drop("head").match_to_schema(schema(frame))
    if rows(SUBSIDIES) is None:
        return None
    numbers = frames["subsidy"]["finess_ej"].drop_nulls().unique()
    mine = [number for number in numbers if len(number) == FINESS and region_of(number) == code]
    law = cpom_decisions.law_of(hub, f"ars-{code}", at.position)
    own = frames["subsidy"].filter(pl.col("finess_ej").is_in(mine))
    return subsidies.follow(own, frames["payment"], frames["refund_request"], law, at.on)


def _financings(
    hub: Hub,
    known: Mapping[str, Head],
    contracts: "pl.DataFrame",
    missions: "pl.DataFrame",
    commitments: "pl.DataFrame | None",
    form: "pl.DataFrame | None",
    subsidies: "pl.DataFrame | None",
) -> "pl.DataFrame | None":
    """All that is financed in a region, by whom; of centres, those alone that something else finances. None: nothing came."""
    import polars as pl

    from checks.cpts import financings

    parts = [
        *([] if form is None else [financings.of_form(form)]),
        *([] if commitments is None else [financings.of_commitments(commitments)]),
        *([] if subsidies is None else [financings.of_subsidies(subsidies)]),
    ]
    if not parts:
        return None
    keys = pl.concat(parts)["keys"].explode().drop_nulls().unique()
    parts.append(financings.of_missions(contracts, missions))
    parts += [_of_accord(hub, heads, keys) for heads in _last_extractions(known)]
    return financings.identified(parts)


def _of_accord(hub: Hub, heads: Mapping[str, Head], keys: "pl.Series") -> "pl.DataFrame":
    """What the accord pays to the centres of an extraction that have one of these numbers."""
    import polars as pl

    from checks.cpts import financings

    wanted = keys.implode()
    centres = pl.scan_parquet(hub.blobs.segment_path(heads["identification"].tables[IDENTITIES]))
    mine = centres.filter(pl.col("finess_et").is_in(wanted) | pl.col("siret").is_in(wanted)).unique("finess_et").collect()
    answers = pl.scan_parquet(hub.blobs.segment_path(heads["rfs"].tables[ANSWERS]))
    return financings.of_centres(mine, answers.filter(pl.col("finess_et").is_in(mine["finess_et"].implode())).collect())


def _last_extractions(known: Mapping[str, Head]) -> Iterator[Mapping[str, Head]]:
    """The sections of the last extraction of each sender and year that says who centres are and what they answered."""
    for group in extractions(known).values():
        whole = [one.heads for one in group if {"identification", "rfs"} <= set(one.heads)]
        yield from whole[-1:]


def _replaced(rows: Rows, code: str) -> "pl.DataFrame":
    """Commitments that lines of another file take the place of, with other amounts (rule cds.CDS60)."""
    import polars as pl

    from checks.cds.ruling import findings
    from contracts_schema.french import euros_of
    from contracts_schema.rules import catalogue

    given = rows(COMMITMENTS)
    none = pl.lit(None, pl.String)
    schema = {"region": pl.String, "head": pl.Int64, "file": pl.String, "notified_cents": pl.Int64} | dict.fromkeys(
        FIR_KEY, pl.String
    )
    mine = pl.DataFrame(schema=schema) if given is None else given.filter(pl.col("region") == code)
    worth = mine.group_by(*FIR_KEY, "head", maintain_order=True).agg(
        pl.col("file").first(), amount=pl.col("notified_cents").sum(), each=pl.col("notified_cents").sort()
    )
    last = worth.filter(pl.col("head") == pl.col("head").max().over(FIR_KEY))
    pairs = last.join(worth, on=list(FIR_KEY), suffix="_before", nulls_equal=True, maintain_order="left_right").filter(
        pl.col("head_before") < pl.col("head"), pl.col("each") != pl.col("each_before")
    )
    told = pairs.select(
        finess_et=none, section=pl.lit("fir"), item="order_number", line=pl.lit(None, pl.Int64), case=pl.lit("other_file"),
        arrete="order_number", mesure="measure_3", fichier="file", montant=euros_of(pl.col("amount")), autre="file_before",
        autre_montant=euros_of(pl.col("amount_before")),
    )  # fmt: skip
    return findings(catalogue()["cds.CDS60"], told)


def _years(
    contracts: "pl.DataFrame", missions: "pl.DataFrame", number: int, at: Moment, own: "tuple[Attestation, ...]"
) -> "pl.DataFrame":
    """The amounts of the contracts whose year of this number has begun."""
    import polars as pl

    from checks.cpts.agreement import amounts, year_of

    begun = [day is not None and year_of(day, number).start <= at.on for day in contracts["signed_on"]]
    return amounts(contracts.filter(pl.Series(begun, dtype=pl.Boolean)), missions, number, own)


def _readings(hub: Hub, known: Mapping[str, Head], code: str, contracts: "pl.DataFrame") -> "list[pl.DataFrame]":
    """What the reading said of the files about a region, or about a contract of it."""
    import polars as pl

    def is_mine(head: Head) -> bool:
        if places := head.data.get("places", {}).get("ars"):
            return code in places
        [segment] = [segment for name, segment in head.tables.items() if not name.endswith("_reading")]
        named = pl.scan_parquet(hub.blobs.segment_path(segment)).select("contract_id")
        return not named.join(contracts.lazy(), on="contract_id", how="semi").collect().is_empty()

    mine = [head for head in _heads(known) if is_mine(head)]
    return [pl.read_parquet(hub.blobs.segment_path(head.tables[f"{head.source}_reading"])) for head in mine]


def _reading(hub: Hub, known: Mapping[str, Head]) -> Rows:
    return cache(lambda table: _all(hub, known, table))


def _once(rows: Rows, table: str) -> "pl.DataFrame | None":
    """The rows of a table over all heads, each key from the last head that gives it; None when none ever came."""
    import polars as pl

    found = rows(table)
    return None if found is None else found.filter(pl.col("head") == pl.col("head").max().over(ONCE[table])).drop("head")


def _all(hub: Hub, known: Mapping[str, Head], table: str) -> "pl.DataFrame | None":
    """The rows of a table over all heads, each with the position of its head."""
    import polars as pl

    parts = [
        pl.read_parquet(hub.blobs.segment_path(head.tables[table])).with_columns(head=pl.lit(head.position, pl.Int64))
        for head in _with(known, table)
    ]
    if not parts:
        return None
    rows = pl.concat(parts, how="diagonal")
    return rows.with_columns(region=cpts_facts.region_of(pl.col("ars_code"))) if table == COMMITMENTS else rows


def _with(known: Mapping[str, Head], table: str) -> list[Head]:
    return [head for _, head in sorted(known.items()) if table in head.tables]


def _of(rows: "pl.DataFrame | None", schema: "pl.Schema", mine: "pl.Expr") -> "pl.DataFrame":
    import polars as pl

    if rows is None:
        return pl.DataFrame(schema=schema)
    return rows.filter(mine).select(pl.col(name).cast(kind) for name, kind in schema.items())


def _heads(known: Mapping[str, Head]) -> list[Head]:
    return [head for _, head in sorted(known.items()) if head.source in (CPTS, FIR)]


def _attested(hub: Hub, code: str, at: Moment) -> "tuple[tuple[Attestation, ...], list[int]]":
    """What an ARS attests of this law, and the positions of its decisions."""
    own: Any = tuple(one for one in law.law_of(hub, f"ars-{code}", at.position).parameters if one.parameter.startswith(LAW))
    return own, sorted({one.position for one in own})
