"""From the accepted rows of a dataset to the frames that the reconciliation reads, as ``checks.snp.facts.SCHEMAS`` says.

Must never make up a fact: what nobody said is null. Several deliveries of one dataset (a démarche each, a caisse each) are put
together by whoever calls; this takes the rows that stand.
"""

from collections.abc import Callable
from datetime import date

import polars as pl

from checks.snp.facts import SCHEMAS

PARIS = "Europe/Paris"


def facts_of(dataset: str, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Frames by kind of fact from typed rows (``contracts_schema.datasets.schema``); none for FINESS, which no rule reads."""
    made = MAKERS[dataset](rows) if dataset in MAKERS else {}
    return {
        kind: found.select(pl.col(name).cast(dtype) for name, dtype in SCHEMAS[kind].items()) for kind, found in made.items()
    }


def _structures(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {"structure": rows.with_columns(siren=pl.coalesce("siren", pl.col("siret").str.head(9)))}


def _professionals(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """One row a number: of a person with several activities, the first of the file."""
    first = rows.unique("rpps", keep="first", maintain_order=True)
    return {"professional": first.with_columns(status_known=pl.col("status_known").fill_null(value=False))}


def _declarations(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Days are those of Paris. A protocol counts from the day of the deposit, or from the day that its own row gives."""

    def of_kind(kind: str) -> pl.DataFrame:
        return rows.filter(pl.col("kind") == kind)

    none = pl.lit([], pl.List(pl.String))
    dossiers = of_kind("dossier").with_columns(
        deposited_on=_paris("deposited_at"), named_families=pl.coalesce("named_families", none)
    )
    declared = dossiers.select("number", pl.col("protocols").alias("family"), effective_on="deposited_on").drop_nulls("family")
    declared = declared.explode("family").with_columns(until_on=pl.lit(None, pl.Date))
    added = of_kind("protocol").select("number", "family", "effective_on", "until_on")
    events = of_kind("event").select("number", "reason", "subject", kind="event", at="event_at", on=_paris("event_at"))
    return {
        "dossier": dossiers,
        "dossier_protocol": pl.concat([_ended(declared, added), added]).unique(maintain_order=True),
        "dossier_event": events,
        "member": of_kind("member"),
        "synchronisation": of_kind("synchronisation"),
    }


def _ended(declared: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """Declared protocols that have no row of their own for the same day, which would say more."""
    return declared.join(added, on=["number", "family", "effective_on"], how="anti")


def _paris(instant: str) -> pl.Expr:
    return pl.col(instant).dt.convert_time_zone(PARIS).dt.date()


MAKERS: dict[str, Callable[[pl.DataFrame], dict[str, pl.DataFrame]]] = {
    "structures": _structures,
    "adhesions": lambda rows: {"adhesion": rows},
    "attachments": lambda rows: {"attachment": rows},
    "professionals": _professionals,
    "payments": lambda rows: {"payment": rows},
    "common_law": lambda rows: {"common_law": rows},
    "indicators": lambda rows: {"indicator": rows},
    "declarations": _declarations,
}


def establishment_links(extractions: list[tuple[date, pl.DataFrame]]) -> pl.DataFrame:
    """Which legal entity an establishment had on a day, from the extractions received, oldest first (day, rows of finess_et).

    Columns ``finess``, ``finess_ej``, ``valid_from``, ``valid_to`` (excluded). A link of the first extraction has no known
    start; one that a later extraction no longer gives ends on its day: the stock holds open establishments only.
    """
    links = [rows.select("finess", "finess_ej", step=pl.lit(step, pl.Int64)) for step, (_, rows) in enumerate(extractions)]
    seen = pl.concat(links)
    days = pl.Series("day", [day for day, _ in extractions], dtype=pl.Date)
    ordered = seen.sort("finess", "finess_ej", "step")
    broken = (pl.col("step") != pl.col("step").shift(1).over("finess", "finess_ej") + 1).fill_null(value=False)
    runs = ordered.with_columns(run=broken.cum_sum().over("finess", "finess_ej"))
    spans = runs.group_by("finess", "finess_ej", "run", maintain_order=True).agg(
        first=pl.col("step").min(), last=pl.col("step").max()
    )
    return spans.select(
        "finess",
        "finess_ej",
        valid_from=pl.when(pl.col("first") > 0).then(pl.lit(days).gather(pl.col("first"))),
        valid_to=pl.lit(days).gather(pl.col("last") + 1, null_on_oob=True),
    ).sort("finess", "valid_from", "finess_ej", nulls_last=False)
