"""The reconciliation: facts and law in; an outcome and cents for every line, and every finding with its evidence, out.

The same facts, law and day always give the same result, whatever the order of the rows.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from checks.snp import amount, declaration, duplicate, evidence, months, outcome, protocol, scene, structure, submission, team
from checks.snp.facts import SCHEMAS, Facts, check_facts
from checks.snp.fold import Teams, teams
from checks.snp.identity import bordereaux as identified
from checks.snp.identity import structure_keys
from checks.snp.law import Law
from checks.snp.ruling import Moment, checks_of

FAMILIES = (declaration, protocol, structure, team, amount, duplicate, submission)
"""The modules whose import enters the rules."""


@dataclass(frozen=True)
class Reconciliation:
    """``lines`` as ``outcome.LINES``, ``findings`` as ``evidence.FINDINGS``, ``bordereaux`` as ``outcome.BORDEREAUX``; the day
    of the decision."""

    lines: pl.DataFrame
    findings: pl.DataFrame
    bordereaux: pl.DataFrame
    decided_on: date
    unmatched: pl.DataFrame
    """The payments of the facts that no line is found for: columns of ``SCHEMAS["payment"]``."""


def reconcile(facts: Facts, law: Law, decided_on: date) -> Reconciliation:
    """Judge every line of every bordereau of the facts, as of its act day with what these facts know.

    Raises FactsRefused when a frame is not as ``facts.SCHEMAS`` says.
    """
    check_facts(facts)
    found, links = identified(facts, law)
    folded = teams(facts, links)
    claims, unmatched = _claims(facts, law, found, folded)
    found = _bordereaux(found, claims, law, facts, decided_on)
    ranks = found.select("b", bordereau_rank=outcome.rank(checks_of("bordereau"), law))
    claims = claims.with_columns(rank=outcome.rank([*checks_of("day"), *checks_of("claim")], law))
    claims = claims.join(ranks, on="b", how="left", maintain_order="left")
    lines = outcome.lines(claims)
    timelines = folded.dossiers.select("d", "deposit", "timeline", "team_fr", "protocols_dated")
    told = evidence.of_lines(claims, [*checks_of("day"), *checks_of("claim")], law, facts, timelines)
    told += evidence.of_bordereaux(found, checks_of("bordereau"), law, facts)
    findings = pl.concat([pl.DataFrame(schema=evidence.FINDINGS), *told])
    return Reconciliation(lines, findings, outcome.sums(found, lines), decided_on, unmatched)


def judged(rows: pl.DataFrame, moment: Moment, law: Law, facts: Facts) -> pl.DataFrame:
    """The rows with one column of codes a rule."""
    return rows.with_columns(**{check.rule.id: check.judge(law, facts).code(check.rule) for check in checks_of(moment)})


def _claims(facts: Facts, law: Law, found: pl.DataFrame, folded: Teams) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every claim with all that the rules read and the code of each rule; and the payments that no line is found for."""
    claims = scene.claims(facts, found)
    days = judged(scene.days(claims.drop(scene.APART), law, facts, folded), "day", law, facts)
    claims = months.collapse(days, [check.rule.id for check in checks_of("day")]).hstack(claims.select(scene.APART))
    claims, unmatched = _with_payments(claims, facts, found)
    claims = claims.with_columns(where=pl.format("{}, ligne {}", pl.col("file").fill_null("bordereau"), "line_number"))
    indicators = structure_keys(facts.frame("indicator"), facts)
    neighbours = (
        team.elsewhere(claims),
        amount.first_consultations(claims),
        amount.excess_seconds(claims),
        amount.revisited(claims),
        amount.volumes(claims, indicators),
        amount.common_law(claims, facts, folded.rosters),
        amount.cancellations(claims),
        duplicate.within(claims),
        duplicate.between(claims, found),
        duplicate.aggregated(claims, found),
        duplicate.included_again(claims),
    )
    for part in neighbours:
        claims = claims.hstack(claims.select("c").join(part, on="c", how="left", maintain_order="left").drop("c"))
    flags = ["u01_same", "u01_unsure", "u02_same", "u02_unsure"]
    claims = claims.with_columns(pl.col(flags).fill_null(value=False))
    return judged(claims, "claim", law, facts), unmatched


def _with_payments(claims: pl.DataFrame, facts: Facts, found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``predecessor`` of each line, ``paid_cents`` for it and those it replaces, ``paid_before_cents`` before it came, and
    ``dropped``: its bordereau is replaced, and no line of the new one takes its place. Then the payments of no line.

    A payment that names a reference and no bordereau is taken only where one live line of the structure has it.
    """
    pairs = duplicate.replaced(claims, found)
    lines = claims.select("i", "line_id", "bordereau_id", "ref", "skey", "received_on", "live").unique("i", keep="first")
    payments = structure_keys(facts.frame("payment"), facts).with_row_index("p")
    paid = payments.select("p", "line_id", "ref", "skey", "paid_cents", "paid_on", bordereau="bordereau_id")
    by_line = paid.drop_nulls("line_id").drop("ref", "skey").join(lines, on="line_id")
    by_ref = paid.filter(pl.col("line_id").is_null()).drop_nulls("ref").drop("line_id").join(lines, on=["ref", "skey"])
    by_ref = by_ref.filter((pl.col("live").sum().over("p") <= 1) | pl.col("bordereau").is_not_null())
    own = pl.concat([part.select("i", "p", "bordereau", "bordereau_id", "paid_on") for part in (by_line, by_ref)])
    own = own.filter(pl.col("bordereau").is_null() | (pl.col("bordereau") == pl.col("bordereau_id")))
    links = own.select("i", "p", inherited=pl.lit(value=False))
    step = pairs
    while step.height:
        taken = step.join(own, left_on="predecessor", right_on="i").select("i", "p", inherited=pl.lit(value=True))
        links = pl.concat([links, taken])
        step = step.join(pairs.rename({"i": "predecessor", "predecessor": "next"}), on="predecessor").select(
            "i", predecessor="next"
        )
    links = links.group_by("i", "p").agg(pl.col("inherited").any())
    told = links.join(payments.select("p", "paid_cents", "paid_on", named=pl.col("bordereau_id").is_not_null()), on="p")
    told = told.join(lines.select("i", "received_on"), on="i")
    before = pl.col("inherited") & (pl.col("named") | (pl.col("paid_on") < pl.col("received_on")))
    sums = told.group_by("i").agg(
        paid_cents=pl.col("paid_cents").sum(), paid_before_cents=pl.col("paid_cents").filter(before).sum()
    )
    claims = claims.join(pairs, on="i", how="left", maintain_order="left").join(sums, on="i", how="left", maintain_order="left")
    claims = claims.with_columns(
        pl.col("paid_cents", "paid_before_cents").fill_null(0),
        dropped=~pl.col("live") & ~pl.col("i").is_in(pairs["predecessor"].implode()),
    )
    return claims, payments.join(own, on="p", how="anti", maintain_order="left").select(SCHEMAS["payment"].names())


def _bordereaux(found: pl.DataFrame, claims: pl.DataFrame, law: Law, facts: Facts, decided_on: date) -> pl.DataFrame:
    """The bordereaux with the code of each rule about them."""
    lines = claims.unique("i", keep="first")
    amounts = lines.group_by("b").agg(sum_cents=pl.col("amount_cents").sum(), unreadable=pl.col("amount_cents").null_count())
    found = found.join(amounts, on="b", how="left", maintain_order="left").with_columns(
        pl.col("sum_cents", "unreadable").fill_null(0),
        decided_on=pl.lit(decided_on),
        period_end=_period_end(law),
    )
    return judged(found, "bordereau", law, facts)


def _period_end(law: Law) -> pl.Expr:
    """The last day of the stated period; that of the summer measure for a CPTS whose period ends in it."""
    summer = next(window for window in law.windows if window.item == "snp.window.W1")
    if summer.valid_to is None:
        return pl.col("period_to")
    inside = pl.col("period_to").is_between(summer.valid_from, summer.valid_to, closed="left")
    last = summer.valid_to - timedelta(days=1)
    return pl.when(inside & (pl.col("kind") == "CPTS")).then(pl.lit(last)).otherwise("period_to")
