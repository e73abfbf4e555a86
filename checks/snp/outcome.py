"""From findings to the outcome and the cents of a line, and their sums per bordereau: the combination of reconciliation.yaml.

Claimed = payable + rejected + pending + reduction, on each line, to the cent.
"""

from collections.abc import Iterable

import polars as pl

from checks.snp.law import Law
from checks.snp.ruling import STOP, Check, byte, outcomes

PRECEDENCE = ("PAY", "ADJUST", "HOLD", "ASK", "REJECT", "REDIRECT")
"""From the mildest to the strictest; the place is the rank."""
PAY, ADJUST, HOLD, ASK, REJECT, REDIRECT = range(6)

LINES = pl.Schema(
    {
        "line_id": pl.String(),
        "bordereau_id": pl.String(),
        "line_number": pl.Int64(),
        "version": pl.String(),
        "outcome": pl.String(),
        "claimed_cents": pl.Int64(),
        "tariff_cents": pl.Int64(),
        "entitled_cents": pl.Int64(),
        "payable_cents": pl.Int64(),
        "potential_cents": pl.Int64(),
        "rejected_cents": pl.Int64(),
        "pending_cents": pl.Int64(),
        "reduction_cents": pl.Int64(),
        "paid_cents": pl.Int64(),
        "paid_before_cents": pl.Int64(),
        "difference_cents": pl.Int64(),
        "firm": pl.Boolean(),
        "unconfirmed": pl.Boolean(),
        "live": pl.Boolean(),
    }
)
"""``difference_cents``: what is due less what was paid, for the line and those it replaces; 0 while it is pending, and for a
line that another one replaced; less what was paid, for a line that the replacing bordereau no longer claims. ``live``: the
bordereau is superseded by none; only live lines count to pay. ``firm``: the tariff and the window are there, official or
attested; ``unconfirmed``: one of them is there and is neither. What was paid for a replaced line is also counted in the line
that replaces it."""

BORDEREAUX = pl.Schema(
    {
        "bordereau_id": pl.String(),
        "scope": pl.String(),
        "caisse": pl.String(),
        "received_on": pl.Date(),
        "live": pl.Boolean(),
        "lines": pl.Int64(),
        "claimed_cents": pl.Int64(),
        "payable_cents": pl.Int64(),
        "payable_firm_cents": pl.Int64(),
        "payable_reserved_cents": pl.Int64(),
        "rejected_cents": pl.Int64(),
        "pending_cents": pl.Int64(),
        "reduction_cents": pl.Int64(),
        "potential_cents": pl.Int64(),
        "paid_cents": pl.Int64(),
        "difference_cents": pl.Int64(),
        "declared_total_cents": pl.Int64(),
    }
)


def rank(checks: Iterable[Check], law: Law) -> pl.Expr:
    """The rank of the strictest outcome among these rules; NOT_EVALUABLE ranks as ASK or as PAY."""
    ranks = [byte(PAY)]
    for check in checks:
        if check.rule.effect_on_lines == "none":
            continue
        codes: dict[int, list[int]] = {ASK: [STOP]}
        for code, outcome in outcomes(check.rule, law).items():
            codes.setdefault(PRECEDENCE.index(outcome), []).append(code)
        for place, found in codes.items():
            if place != PAY:
                ranks.append(pl.when(pl.col(check.rule.id).is_in(found)).then(byte(place)))
    return pl.max_horizontal(ranks)


def lines(claims: pl.DataFrame) -> pl.DataFrame:
    """One row a line, as ``LINES``, from its claims with ``rank`` (of the claim) and ``bordereau_rank``."""
    tariff = pl.when(pl.col("day_known") | pl.col("is_month")).then("tariff_cents")
    owed = pl.when(pl.col("rank") != REJECT).then(pl.col("number").clip(lower_bound=0) * tariff).fill_null(0)
    firm = (pl.col("tariff_firm") & pl.col("window_firm")).fill_null(value=False)
    unconfirmed = (~pl.col("tariff_firm")).fill_null(value=False) | (~pl.col("window_firm")).fill_null(value=False)
    found = claims.with_columns(owed=owed, firm=firm, unconfirmed=unconfirmed, tariff_cents=tariff)
    if claims["several"].any():
        found = _joined(found)
    claimed = pl.col("amount_cents").fill_null(0)
    found = found.with_columns(
        claimed=claimed, due=pl.min_horizontal(claimed, "owed"), rank=pl.max_horizontal("rank", "bordereau_rank")
    )
    reduced = (pl.col("rank") == PAY) & (pl.col("due") < pl.col("claimed"))
    found = found.with_columns(rank=pl.when(reduced).then(byte(ADJUST)).otherwise("rank"))
    payable, pending = pl.col("rank") <= ADJUST, pl.col("rank").is_in([HOLD, ASK, REDIRECT])
    found = found.with_columns(
        due=pl.when(payable).then("due").otherwise(0),
        payable_cents=pl.when(payable).then((pl.col("due") - pl.col("paid_before_cents")).clip(lower_bound=0)).otherwise(0),
    )
    nothing = pl.lit(0, pl.Int64)
    return found.select(
        "line_id",
        "bordereau_id",
        "line_number",
        "version",
        outcome=pl.col("rank").replace_strict(dict(enumerate(PRECEDENCE)), return_dtype=pl.String),
        claimed_cents="claimed",
        tariff_cents="tariff_cents",
        entitled_cents="owed",
        payable_cents="payable_cents",
        potential_cents=pl.when(pl.col("rank").is_in([HOLD, ASK]))
        .then(pl.min_horizontal("claimed", "owed"))
        .otherwise(nothing),
        rejected_cents=pl.when(pl.col("rank") == REJECT).then("claimed").otherwise(nothing),
        pending_cents=pl.when(pending).then("claimed").otherwise(nothing),
        reduction_cents=pl.when(payable).then(pl.col("claimed") - pl.col("payable_cents")).otherwise(nothing),
        paid_cents="paid_cents",
        paid_before_cents="paid_before_cents",
        difference_cents=pl.when("dropped")
        .then(-pl.col("paid_cents"))
        .when(pending | ~pl.col("live"))
        .then(nothing)
        .otherwise(pl.col("due") - pl.col("paid_cents")),
        firm="firm",
        unconfirmed="unconfirmed",
        live="live",
    ).cast(LINES)


def _joined(claims: pl.DataFrame) -> pl.DataFrame:
    """The acts of each line together: payable in part when some are payable and the others rejected, else the strictest."""
    kept = pl.when(pl.col("rank") != REJECT).then("rank").max()
    mixed = (pl.col("rank") == REJECT).any() & (pl.col("rank") <= ADJUST).any()
    one = pl.col("tariff_cents").n_unique() == 1
    told = [name for name in claims.columns if name not in ("i", "rank", "owed", "firm", "unconfirmed", "tariff_cents")]
    return claims.group_by("i", maintain_order=True).agg(
        *(pl.col(name).first() for name in told),
        rank=pl.when(mixed).then(pl.max_horizontal(kept, byte(ADJUST))).otherwise(pl.col("rank").max()),
        owed=pl.col("owed").sum(),
        firm=pl.col("firm").all(),
        unconfirmed=pl.col("unconfirmed").any(),
        tariff_cents=pl.when(one).then(pl.col("tariff_cents").first()),
    )


def sums(bordereaux: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """One row a bordereau, as ``BORDEREAUX``."""
    cents = [name for name in LINES if name.endswith("_cents") and name in BORDEREAUX]
    totals = found.group_by("bordereau_id").agg(
        *(pl.col(name).sum() for name in cents),
        payable_firm_cents=pl.col("payable_cents").filter("firm").sum(),
        payable_reserved_cents=pl.col("payable_cents").filter(~pl.col("firm")).sum(),
        lines=pl.len(),
    )
    joined = bordereaux.join(totals, on="bordereau_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col([*totals.columns[1:]]).fill_null(0)).select(BORDEREAUX.names()).cast(BORDEREAUX)
