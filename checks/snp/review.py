"""Rules R: what a new judgement changes of an earlier one, and what was paid and is due no more. Proposals only.

Compares two reconciliations; changes neither, and recovers nothing.
"""

import polars as pl

from checks.snp import evidence
from checks.snp.facts import Facts, frame
from checks.snp.law import Law
from checks.snp.product_findings import results
from checks.snp.reconcile import Reconciliation, judged
from checks.snp.ruling import Ruling, check, checks_of
from contracts_schema.french import euros_of

DUE = pl.col("difference_cents") + pl.col("paid_cents")


def _called(outcome: str) -> pl.Expr:
    """An outcome as people read it."""
    return pl.col(outcome).replace(results())


@check("snp.R01", "review")
def r01(law: Law, facts: Facts) -> Ruling:
    return Ruling(
        {"default": (pl.col("paid_cents") > 0) & (pl.col("difference_cents") < 0)},
        {
            "paye": euros_of(pl.col("paid_cents")),
            "du": euros_of(DUE),
            "indu": euros_of(-pl.col("difference_cents")),
            "resultat": _called("outcome"),
            "resultat_avant": _called("outcome_before"),
        },
    )


@check("snp.R02", "review")
def r02(law: Law, facts: Facts) -> Ruling:
    changed = (pl.col("outcome") != pl.col("outcome_before")) | (pl.col("payable_cents") != pl.col("payable_before"))
    changed = changed & pl.col("live")
    return Ruling(
        {"default": changed},
        {
            "avant": _called("outcome_before"),
            "apres": _called("outcome"),
            "payable_avant": euros_of(pl.col("payable_before")),
            "payable_apres": euros_of(pl.col("payable_cents")),
            "ecart": euros_of(pl.col("payable_cents") - pl.col("payable_before")),
            "decision_avant": pl.col("decided_before").dt.strftime("%d/%m/%Y"),
            "decision_apres": pl.col("decided_on").dt.strftime("%d/%m/%Y"),
        },
    )


def review(earlier: Reconciliation, present: Reconciliation, law: Law) -> pl.DataFrame:
    """The findings R01 and R02 (``evidence.FINDINGS``) about the live lines of the present reconciliation, and R01 about lines
    that were paid and that the replacing bordereau no longer claims.

    A line is the same in both by its ``line_id``. R01 needs no earlier judgement of the line: it is paid and due no more.
    """
    before = earlier.lines.filter("live").unique("line_id", keep="last", maintain_order=True)
    told = before.select(
        "line_id",
        outcome_before="outcome",
        payable_before="payable_cents",
        decided_before=pl.lit(earlier.decided_on),
    )
    rows = present.lines.filter(pl.col("live") | (pl.col("difference_cents") < 0)).with_columns(
        decided_on=pl.lit(present.decided_on)
    )
    rows = rows.join(told, on="line_id", how="left", maintain_order="left")
    nothing = Facts(frame("bordereau", []), frame("line", []))
    rows = judged(rows, "review", law, nothing)
    return pl.concat([pl.DataFrame(schema=evidence.FINDINGS), *evidence.of_reviews(rows, checks_of("review"), law, nothing)])
