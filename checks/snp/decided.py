"""What a person decided about a line, over what the reconciliation proposes: the decision holds, and says so when facts move.

Must never change what a person decided, nor what is claimed; a line without a decision keeps what is proposed.
"""

import polars as pl

from checks.snp.outcome import LINES

DECISIONS = pl.Schema(
    {
        "line_id": pl.String(),
        "decision": pl.String(),
        "amount_cents": pl.Int64(),
        "reason": pl.String(),
        "role": pl.String(),
        "decided_on": pl.Date(),
        "position": pl.Int64(),
        "seen_outcome": pl.String(),
        "seen_due_cents": pl.Int64(),
    }
)
"""One row a line, its last decision that was not revoked. ``decision``: pay, adjust, reject, ask or hold; ``amount_cents``:
what is due for the line, paid or not, for pay and adjust; ``seen_…``: what was proposed when the person decided."""

DECIDED = pl.Schema(
    {
        **LINES,
        "proposed_outcome": pl.String(),
        "proposed_payable_cents": pl.Int64(),
        "decision": pl.String(),
        "decision_amount_cents": pl.Int64(),
        "decision_reason": pl.String(),
        "decision_role": pl.String(),
        "decided_on": pl.Date(),
        "decision_position": pl.Int64(),
        "contradicted": pl.Boolean(),
    }
)
"""The lines with what holds after the decision in the columns of ``LINES``, what was proposed, and the decision.
``contradicted``: what is proposed is no more what the person saw, nor what the person decided."""

PAYS = ("PAY", "ADJUST")
TOLD = {
    "amount_cents": "decision_amount_cents",
    "reason": "decision_reason",
    "role": "decision_role",
    "position": "decision_position",
}


def proposed_due() -> pl.Expr:
    """What the reconciliation proposes as due for a line of ``LINES``, paid already or not."""
    due = pl.min_horizontal("claimed_cents", "entitled_cents")
    return pl.when(pl.col("outcome").is_in(PAYS)).then(due).otherwise(0)


def apply(lines: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """The lines (``LINES``) as ``DECIDED``, after these decisions (``DECISIONS``). Lines of superseded bordereaux show the
    decision on their line and keep what was proposed. Claimed = payable + rejected + pending + reduction, on each line.

    A decision that pays stands for the tariff or the window that the line lacks: what it pays is then firm. It confirms
    neither: where one is there that is neither official nor attested, what is paid stays under reserve.
    """
    found = lines.with_columns(
        proposed_outcome=pl.col("outcome"), proposed_payable_cents=pl.col("payable_cents"), proposed_due=proposed_due()
    ).join(decisions.rename(TOLD), on="line_id", how="left", maintain_order="left")
    decision, claimed = pl.col("decision"), pl.col("claimed_cents")
    holds = decision.is_not_null() & pl.col("live")
    pays, waits = decision.is_in(["pay", "adjust"]), decision.is_in(["ask", "hold"])
    due = pl.when(pays).then(pl.min_horizontal("decision_amount_cents", claimed)).otherwise(0)
    found = found.with_columns(due=pl.when(holds).then(due), holds=holds)
    payable = pl.when(pays).then((pl.col("due") - pl.col("paid_before_cents")).clip(lower_bound=0)).otherwise(0)
    after = {
        "outcome": pl.when(pays & (pl.col("due") < claimed)).then(pl.lit("ADJUST")).otherwise(_outcome(decision)),
        "payable_cents": payable,
        "rejected_cents": pl.when(decision == "reject").then(claimed).otherwise(0),
        "pending_cents": pl.when(waits).then(claimed).otherwise(0),
        "reduction_cents": pl.when(pays).then(claimed - payable).otherwise(0),
        "potential_cents": pl.when(waits).then(pl.min_horizontal("claimed_cents", "entitled_cents")).otherwise(0),
        "firm": pl.when(pays).then(~pl.col("unconfirmed")).otherwise("firm"),
        "difference_cents": pl.when(waits).then(0).otherwise(pl.col("due") - pl.col("paid_cents")),
    }
    found = found.with_columns(
        pl.when("holds").then(value).otherwise(pl.col(name)).alias(name) for name, value in after.items()
    )
    moved = (pl.col("proposed_outcome") != pl.col("seen_outcome")) | (pl.col("proposed_due") != pl.col("seen_due_cents"))
    apart = (pl.col("proposed_outcome") != pl.col("outcome")) | (pl.col("proposed_due") != pl.col("due"))
    return found.with_columns(contradicted=(pl.col("holds") & moved & apart).fill_null(value=False)).select(DECIDED.names())


def _outcome(decision: pl.Expr) -> pl.Expr:
    return decision.replace_strict({"adjust": "ADJUST"}, default=decision.str.to_uppercase(), return_dtype=pl.String)
