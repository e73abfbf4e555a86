"""A campaign examined: every rule over every centre, and the outcome of each prerequisite as of the cut-off.

The same facts and law always give the same result, whatever the order of the rows. Nothing declared is changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from checks.cds import agreement, deadline, identity, indicator, performance
from checks.cds.facts import Campaign
from checks.cds.ruling import CHECKS, FINDINGS, FIRED, MISSING, findings
from checks.cds.scene import SATISFIED, TO_VERIFY, Scene, scene
from contracts_schema.parameters import Attestation

FAMILIES = (identity, agreement, deadline, indicator, performance)
"""The modules of the rules about a campaign; those about amounts and about CPTS read something else."""

OF_EXTRACTION = ("cds.CDS62",)
"""Rules about the extraction as it came, stopped centres included."""

STOPPING = ("cds.CDS01", "cds.CDS03")
"""A FINESS that one of them names is read by no other rule, and makes no amount."""


@dataclass(frozen=True)
class Examination:
    """``scene``: without the stopped centres. ``findings``: ``ruling.FINDINGS``. ``prerequisites``: finess_et, code, outcome
    (SATISFAIT, NON_SATISFAIT, INCOMPLET, HORS_DELAI, A_VERIFIER, NON_RECU, DELAI_NON_VERIFIABLE), line. ``stopped``:
    finess_et. ``apart``: section, line, code_source of the entries kept aside until their code has a mapping."""

    scene: Scene
    findings: pl.DataFrame
    prerequisites: pl.DataFrame
    stopped: pl.DataFrame
    apart: pl.DataFrame


def examine(campaign: Campaign, attested: Iterable[Attestation] = ()) -> Examination:
    """Every rule about a campaign, as the organisation that attests these values sees it."""
    own = tuple(attested)
    whole = scene(campaign, own)
    first = {name: CHECKS[name].judge(whole) for name in STOPPING}
    fired = [found.filter(pl.col("case") != MISSING).select("finess_et") for found in first.values()]
    stopped = pl.concat(fired).unique(maintain_order=True)
    left = scene(_without(campaign, stopped), own) if stopped.height else whole
    told = [findings(CHECKS[name].rule, found) for name, found in first.items()]
    own_modules = {family.__name__ for family in FAMILIES}
    rules = [one for name, one in CHECKS.items() if name not in STOPPING and one.judge.__module__ in own_modules]
    told += [findings(one.rule, one.judge(whole if one.rule.id in OF_EXTRACTION else left)) for one in rules]
    found = pl.concat([pl.DataFrame(schema=FINDINGS), *told]).sort(
        "finess_et", "rule", "line", maintain_order=True, nulls_last=False
    )
    return Examination(left, found, _verified(left, found), stopped, _apart(left))


def _without(campaign: Campaign, stopped: pl.DataFrame) -> Campaign:
    kept: dict[str, Any] = {
        name: None
        if frame is None
        else frame.join(stopped, on="finess_et", how="anti", nulls_equal=True, maintain_order="left")
        for name, frame in campaign.sections().items()
    }
    return replace(campaign, **kept)


def _verified(left: Scene, found: pl.DataFrame) -> pl.DataFrame:
    """The prerequisites, those answered OUI that a blocking rule on their evidence holds being A_VERIFIER."""
    holds = found.filter(status=FIRED, effect="payment_hold").filter(pl.col("item").is_not_null())
    held = holds.select("finess_et", code="item").unique().with_columns(held=pl.lit(value=True))
    told = left.prerequisites.join(held, on=["finess_et", "code"], how="left", maintain_order="left")
    outcome = pl.when((pl.col("outcome") == SATISFIED) & pl.col("held")).then(pl.lit(TO_VERIFY)).otherwise("outcome")
    return told.select("finess_et", "code", outcome=outcome, line="line")


def _apart(left: Scene) -> pl.DataFrame:
    schema = {"section": pl.String, "finess_et": pl.String, "line": pl.Int64, "code_source": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for section in ("rfs", "rosp"):
        if (found := left.journal(section)) is not None:
            parts.append(
                found.unmapped.select(section=pl.lit(section), finess_et="finess_et", line="line", code_source="code_source")
            )
    return pl.concat(parts)
