"""FIR commitments that are probably one and the same under two order numbers: told on both lines, and both still counted.

Lines have no documented key, and the order is a part of the proposed one: a line that another file corrects under another
number takes the place of nothing. Who knows the orders decides (``ecluse withdraw``); no amount is ever removed here.
"""

import polars as pl

from checks.cds.ruling import FINDINGS, findings
from checks.cpts.words import plain
from contracts_schema.french import euros_of
from contracts_schema.rules import catalogue

ABOUT = ["region", "campaign", "who", "what", "pep_code"]
"""What two commitments have in common: one beneficiary, one action, one campaign."""


def doubles(commitments: pl.DataFrame) -> pl.DataFrame:
    """The likely doubles among commitments that count (as ``connectors.cpts.read_fir`` reads them, with ``region``).

    One row an order and the other that it may be: region, campaign, beneficiary, order_number, measure_3, file, line,
    notified_cents, other_order, other_file, other_line, and ``case``: ``same_amount`` (the same net amount, and no two days of
    effect that differ), or ``same_day`` (another amount from the same day of effect, in another file).
    """
    net, effect = pl.col("notified_cents"), pl.col("effective_on")
    rows = commitments.filter(pl.col("order_number").is_not_null(), net.is_not_null()).with_columns(
        who=pl.coalesce("beneficiary", "siret"), what=plain(pl.col("measure_3"))
    )
    orders = (
        rows.filter(pl.col("who").is_not_null(), pl.col("what") != "")
        .group_by(*ABOUT, "order_number", maintain_order=True)
        .agg(pl.col("beneficiary", "measure_3", "file", "line").first(), net.sum(), effect.min())
        .filter(net > 0)
    )
    pairs = orders.join(orders, on=ABOUT, nulls_equal=True, suffix="_other", maintain_order="left_right").filter(
        pl.col("order_number") != pl.col("order_number_other")
    )
    other, other_net = pl.col("effective_on_other"), pl.col("notified_cents_other")
    same_day = effect == other
    case = (
        pl.when((net == other_net) & (same_day | effect.is_null() | other.is_null())).then(pl.lit("same_amount"))
        .when(same_day & (net != other_net) & (pl.col("file") != pl.col("file_other"))).then(pl.lit("same_day"))
    )  # fmt: skip
    return pairs.with_columns(case=case).filter(pl.col("case").is_not_null())


def told(found: pl.DataFrame) -> pl.DataFrame:
    """The findings of ``doubles`` (rule cds.CDS60), one a line and the other that it may be."""
    none = pl.lit(None, pl.String)
    rows = found.select(
        finess_et=none, section=pl.lit("fir"), item="order_number", line="line",
        case=pl.format("double_{}", "case"), arrete="order_number", autre="order_number_other", mesure="measure_3",
        fichier="file", autre_fichier="file_other", autre_ligne="line_other", montant=euros_of(pl.col("notified_cents")),
        autre_montant=euros_of(pl.col("notified_cents_other")), campagne="campaign", beneficiaire="beneficiary",
    )  # fmt: skip
    texts = rows.with_columns(pl.col("autre_ligne", "campagne").cast(pl.String))
    return pl.concat([pl.DataFrame(schema=FINDINGS), findings(catalogue()["cds.CDS60"], texts)])


def others(found: pl.DataFrame) -> pl.DataFrame:
    """Of each order that may be another one, these others: the columns of the proposed key, and ``likely_double``."""
    key = ["region", "campaign", "beneficiary", "order_number", "measure_3", "pep_code"]
    return found.group_by(key, maintain_order=True).agg(
        likely_double=pl.col("order_number_other").unique().sort().str.join(", ")
    )
