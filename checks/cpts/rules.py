"""Rules about contracts of CPTS and about FIR (CDS66 to CDS71): tiers, payments, claimed figures, delays, overlaps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from checks.cds.figures import value_of
from checks.cds.ruling import CHECKS, FINDINGS, absent, check, findings, french, hits
from checks.cpts.agreement import BOUNDS, COMPUTED, amounts, tier_of, tiers
from checks.cpts.financings import overlaps
from contracts_schema import parameters
from contracts_schema.french import euros_of
from contracts_schema.parameters import Attestation, NoValue

CLAIMED = "003_f23b308d1cf6b0ce"
"""The name of the claimed source: what rests on it is no parameter."""
KNOWN_ON = date(2026, 1, 1)
"""The delays have one value since each mission exists; they are read on that day."""


@dataclass(frozen=True)
class Network:
    """What the rules read: ``agreement.CONTRACTS`` and ``MISSIONS``, the rows of ``connectors.cpts.read_fir``,
    ``financings.FINANCINGS`` (None: not delivered), and what an organisation attests."""

    contracts: pl.DataFrame | None = None
    missions: pl.DataFrame | None = None
    commitments: pl.DataFrame | None = None
    financings: pl.DataFrame | None = None
    attested: tuple[Attestation, ...] = ()


def examine_network(network: Network) -> pl.DataFrame:
    """The findings of these rules."""
    told = [findings(one.rule, one.judge(network)) for one in CHECKS.values() if one.judge.__module__ == __name__]
    return pl.concat([pl.DataFrame(schema=FINDINGS), *told])


def _computed(network: Network) -> pl.DataFrame | None:
    return None if network.contracts is None else network.contracts.filter(pl.col("kind") == COMPUTED)


@check("cds.CDS66")
def cds66(network: Network) -> pl.DataFrame:
    rows, population = _computed(network), pl.col("population")
    if rows is None:
        return absent()
    told = [
        part.with_columns(expected=tier_of(population, *_law(day, network)))
        for (day,), part in rows.partition_by("signed_on", as_dict=True).items()
    ]
    rows = pl.concat(told) if told else rows.with_columns(expected=pl.lit(None, pl.String))
    cases = {
        "missing": population.is_null() | pl.col("signed_on").is_null(),
        "bound": population.is_in(BOUNDS),
        "default": pl.col("tier") != pl.col("expected"),
    }
    shown = {"palier": pl.col("tier"), "population": population, "attendu": pl.col("expected")}
    return hits(rows, cases, "cpts", pl.col("contract_id"), **shown)


def _law(day: object, network: Network) -> tuple[tuple[tuple[int, str], ...], bool]:
    if not isinstance(day, date):
        return (), True
    starts, policy = tiers(day, network.attested)
    return starts, policy.value == 1


@check("cds.CDS67")
def cds67(network: Network) -> pl.DataFrame:
    """In the year of the contract in which the mission starts."""
    if network.contracts is None or network.missions is None:
        return absent("cpts")
    parts = []
    known = network.missions.join(network.contracts.select("contract_id", "signed_on"), on="contract_id", maintain_order="left")
    turned = (pl.col("started_on").dt.month() * 100 + pl.col("started_on").dt.day()) < (
        pl.col("signed_on").dt.month() * 100 + pl.col("signed_on").dt.day()
    )
    number = (pl.col("started_on").dt.year() - pl.col("signed_on").dt.year() + 1 - turned.cast(pl.Int32)).cast(pl.Int64)
    known = known.with_columns(contract_year=number)
    for year in known["contract_year"].drop_nulls().unique().sort():
        worth = amounts(network.contracts, network.missions, year, network.attested).filter(pl.col("part") == "FIXE")
        expected = worth.select("contract_id", "mission", "contract_year", expected="first_payment_cents")
        own = known.filter(pl.col("contract_year") == year)
        parts.append(own.join(expected, on=["contract_id", "mission", "contract_year"], how="left", maintain_order="left"))
    empty = known.filter(pl.col("contract_year").is_null()).with_columns(expected=pl.lit(None, pl.Int64))
    rows = pl.concat([*parts, empty])
    paid, due = pl.col("paid_first_cents"), pl.col("expected")
    cases = {"missing": paid.is_null() | due.is_null(), "default": paid != due}
    shown = {"mission": pl.col("mission"), "verse": euros_of(paid), "attendu": euros_of(due)}
    return hits(rows, cases, "cpts", pl.col("contract_id"), **shown)


@check("cds.CDS68")
def cds68(network: Network) -> pl.DataFrame:
    """The operating grants of the files and those attested, by the words of their reference."""
    rows = [
        (one.reference, str(one.value), dict(cell)["tier"])
        for cell in parameters.parameter("cpts.operating_grant").cells
        for one in parameters.timeline("cpts.operating_grant", network.attested)
        if one.cell == cell
    ]
    frame = pl.DataFrame(rows, schema={"source": pl.String, "value": pl.String, "tier": pl.String}, orient="row")
    shown = {"source": pl.col("source"), "montant": euros_of(pl.col("value").cast(pl.Int64)), "palier": pl.col("tier")}
    return hits(frame, {"default": pl.col("source").str.contains(CLAIMED, literal=True)}, "cpts", pl.col("tier"), **shown)


@check("cds.CDS69")
def cds69(network: Network) -> pl.DataFrame:
    if network.contracts is None or network.missions is None:
        return absent("cpts")
    rows = network.missions.join(network.contracts.select("contract_id", "signed_on"), on="contract_id", maintain_order="left")
    rows = rows.join(_delays(network.attested), on="mission", how="left", maintain_order="left")
    limits = {step: pl.col("signed_on").dt.offset_by(pl.format("{}mo", pl.col(step))) for step in ("start", "deployed")}
    started, deployed = pl.col("started_on"), pl.col("deployed_on")
    late, slow = started > pl.col("limit_start"), deployed > pl.col("limit_deployed")
    rows = rows.with_columns(limit_start=limits["start"], limit_deployed=limits["deployed"])
    lacking = started.is_null() | pl.col("signed_on").is_null() | pl.col("start").is_null()
    limit = pl.when(late).then(pl.col("limit_start")).otherwise(pl.col("limit_deployed"))
    shown = {
        "mission": pl.col("mission"),
        "demarrage": french(started),
        "deploiement": french(deployed),
        "limite": french(limit),
    }
    cases = {"default": late, "deployment": slow, "missing": lacking}
    return hits(rows, cases, "cpts", pl.col("contract_id"), **shown)


def _delays(attested: Iterable[Attestation]) -> pl.DataFrame:
    """Months after the signature by mission: ``start``, ``deployed`` (null: no text gives them)."""
    own = tuple(attested)
    rows: dict[str, dict[str, int | None]] = {}
    for cell in parameters.parameter("cpts.mission_delay").cells:
        dimensions = dict(cell)
        try:
            found = value_of("cpts.mission_delay", KNOWN_ON, own, dimensions).value
        except NoValue:
            found = None
        rows.setdefault(dimensions["mission"], {})[dimensions["step"]] = found
    told = [(mission, steps["start"], steps["deployed"]) for mission, steps in rows.items()]
    return pl.DataFrame(told, schema={"mission": pl.String, "start": pl.Int64, "deployed": pl.Int64}, orient="row")


@check("cds.CDS70")
def cds70(network: Network) -> pl.DataFrame:
    if network.commitments is None:
        return absent("fir")
    kind = pl.col("beneficiary_kind")
    cases = {"siret": kind == "siret", "default": kind.is_null()}
    return hits(network.commitments, cases, "fir", pl.col("order_number"), beneficiaire=pl.col("beneficiary"))


@check("cds.CDS71")
def cds71(network: Network) -> pl.DataFrame:
    """Between fundings of two kinds, of one beneficiary, over common days; words of no common theme are no finding."""
    if network.financings is None:
        return absent("fir")
    item = pl.col("beneficiary")
    shown = {"action": pl.col("action"), "financement": pl.col("funding"), "autre_financement": pl.col("other_funding")}
    shown |= {"autre_action": pl.col("other_action"), "theme": pl.col("theme")}
    cases = {"default": "same", "theme": "theme", "missing": "unknown"}
    conditions = {case: pl.col("verdict") == verdict for case, verdict in cases.items()}
    told = hits(overlaps(network.financings), conditions, "fir", item, **shown)
    lacking = network.financings.filter(pl.col("starts_on").is_null() | pl.col("beneficiary").is_null())
    none = {name: pl.lit(None, pl.String) for name in shown}
    return pl.concat([told, hits(lacking, {"missing": pl.lit(value=True)}, "fir", item, **none)])
