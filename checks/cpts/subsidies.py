"""FMIS subsidies followed to their lapse: documents sent, refunds asked of the Caisse des Dépôts, payments, what is left.

The lapse is computed, never typed (``checks.cpom.days``); the rules about it are cpom.R44 and cpom.R45. Decides nothing.
"""

from datetime import date

import polars as pl

from checks.cpom.days import with_lapse
from checks.cpom.law import Law

FUND = "FMIS"
PAYER = r"(?i)caisse des d[ée]p[ôo]ts|^cdc$"
SETTLED, LAPSED, CLOSE, SENT, OPEN = "Soldée", "Déchue", "Déchéance proche", "Pièces envoyées", "En cours"
STATES = (SETTLED, LAPSED, CLOSE, SENT, OPEN)


def follow(subsidies: pl.DataFrame, payments: pl.DataFrame, requests: pl.DataFrame, law: Law, on: date) -> pl.DataFrame:
    """Every FMIS subsidy as of a day.

    Arguments as the frames ``subsidy``, ``payment`` and ``refund_request`` of ``contracts_schema.cpom_frames``. Adds last_day,
    lapses_on, requested_cents, requests, last_request_on, paid_cents, left_to_request_cents, left_to_pay_cents, state (one of
    ``STATES``) and reason (what is to be looked at, null when nothing is).
    """
    asked = requests.group_by("subsidy_id").agg(
        requested_cents=pl.col("requested_cents").sum(),
        requests=pl.len().cast(pl.Int64),
        last_request_on=pl.col("asked_on").max(),
    )
    paid = payments.group_by("subsidy_id").agg(
        paid_cents=pl.col("paid_cents").sum(),
        elsewhere=pl.col("payer").filter(~pl.col("payer").str.contains(PAYER)).unique().sort().str.join(", "),
    )
    rows = with_lapse(subsidies.filter(pl.col("fund") == FUND), law)
    rows = rows.join(asked, on="subsidy_id", how="left", maintain_order="left")
    rows = rows.join(paid, on="subsidy_id", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("requested_cents", "requests", "paid_cents").fill_null(0))
    amount, requested, cashed = (pl.col(f"{name}_cents") for name in ("amount", "requested", "paid"))
    today, sent = pl.lit(on), (pl.col("documents_sent_on") <= pl.col("last_day")).fill_null(value=False)
    near = pl.col("lapses_on").dt.offset_by(f"-{law.number('lapse_alert_months')}mo") <= today
    state = (
        pl.when(cashed >= amount).then(pl.lit(SETTLED))
        .when(~sent & (pl.col("lapses_on") <= today)).then(pl.lit(LAPSED))
        .when(~sent & near).then(pl.lit(CLOSE))
        .when(sent).then(pl.lit(SENT))
        .otherwise(pl.lit(OPEN))
    )  # fmt: skip
    return rows.with_columns(
        left_to_request_cents=pl.max_horizontal(amount - requested, 0),
        left_to_pay_cents=pl.max_horizontal(pl.min_horizontal(requested, amount) - cashed, 0),
        state=state,
        reason=_reason(),
    ).sort("finess_ej", "subsidy_id")


def _reason() -> pl.Expr:
    """What does not hang together, in the words that people read."""
    amount, requested, cashed = (pl.col(f"{name}_cents") for name in ("amount", "requested", "paid"))
    told = {
        "aucun avenant : aucun versement ne devait avoir lieu (cpom.R45)": pl.col("amendment_id").is_null() & (cashed != 0),
        "aucun avenant connu": pl.col("amendment_id").is_null() & (cashed == 0),
        "remboursement demandé après le dernier jour utile": pl.col("last_request_on") > pl.col("last_day"),
        "pièces envoyées après le dernier jour utile": pl.col("documents_sent_on") > pl.col("last_day"),
        "demandé plus que la subvention": requested > amount,
        "versé plus que la subvention": cashed > amount,
        "versé sans demande de remboursement connue": (cashed > 0) & (pl.col("requests") == 0),
    }
    parts = [pl.when(condition).then(pl.lit(text)) for text, condition in told.items()]
    parts.append(
        pl.when(pl.col("elsewhere").fill_null("") != "").then(
            pl.format("versé par {}, et non par la Caisse des Dépôts", "elsewhere")
        )
    )
    text = pl.concat_str(parts, separator=" ; ", ignore_nulls=True)
    return pl.when(text != "").then(text)
