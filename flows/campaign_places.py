"""Which caisse and region each centre of an e-CDS campaign is of, and whose extraction is believed about it.

A centre is of the caisse that its identification says; where it says none, or could not be read, of the caisse that sent the
extraction, who is then told why. Nothing here is guessed from anything else.
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.campaign_files import COMMON
from flows.hub import Hub
from warehouse.heads import Head

if TYPE_CHECKING:
    import polars as pl

    from flows.campaigns import Extraction

IDENTITY = "identification"
"""The section that tells who centres are, and of which caisse."""


def caisse_of(sender: str) -> str | None:
    """The code of the caisse that sends an extraction; None for a common one."""
    return sender.removeprefix("cpam-") if sender.startswith("cpam-") else None


def claimed(hub: Hub, latest: "Iterable[Extraction]") -> "pl.DataFrame":
    """The centres that several caisses each say to be theirs, in extractions of one year: finess_et, caisses."""
    import polars as pl

    parts = [pl.DataFrame(schema={"finess_et": pl.String, "cpam": pl.String})]
    for one in latest:
        if (head := one.heads.get(IDENTITY)) and (code := caisse_of(one.sender)):
            said = pl.scan_parquet(path_of(hub, head)).select("finess_et", "cpam").filter(pl.col("cpam") == code)
            parts.append(said.collect())
    by = pl.concat(parts).group_by("finess_et").agg(pl.col("cpam").unique().sort())
    several = by.filter(pl.col("cpam").list.len() > 1).sort("finess_et")
    return several.select("finess_et", caisses=pl.col("cpam").list.join(", "))


def path_of(hub: Hub, head: Head) -> Path:
    """The segment of a section's rows."""
    [segment] = [segment for name, segment in head.tables.items() if not name.endswith("_reading")]
    return hub.blobs.segment_path(segment)


def placed(hub: Hub, latest: "Iterable[Extraction]") -> "pl.DataFrame":
    """Of each centre of these extractions, of one year: which sender is believed (finess_et, sender, caisse, region)."""
    return _places(
        tuple((one.sender, tuple((section, path_of(hub, head)) for section, head in one.heads.items())) for one in latest)
    )


@lru_cache(maxsize=8)
def _places(latest: "tuple[tuple[str, tuple[tuple[str, Path], ...]], ...]") -> "pl.DataFrame":
    """The same from the segments of the sections of each sender, which never change.

    The extraction of its own caisse is believed before a common one, any other last.
    """
    import polars as pl

    from contracts_schema.geography import region_of

    schema = {"finess_et": pl.String, "sender": pl.String, "caisse": pl.String, "ars_region": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for sender, sections in latest:
        keys = [pl.scan_parquet(path).select("finess_et").unique() for _, path in sections]
        centres = pl.concat(keys).unique().collect().drop_nulls().with_columns(sender=pl.lit(sender))
        if identity := dict(sections).get(IDENTITY):
            known = pl.scan_parquet(identity).select("finess_et", "ars_region", caisse="cpam").collect()
            known = known.unique("finess_et", keep="last", maintain_order=True)
            centres = centres.join(known, on="finess_et", how="left")
        parts.append(centres)
    rows = pl.concat(parts, how="diagonal")
    own = pl.col("sender") == pl.format("cpam-{}", "caisse")
    order = pl.when(own).then(0).when(pl.col("sender") == COMMON).then(1).otherwise(2)
    best = rows.sort("finess_et", order, "sender").unique("finess_et", keep="first", maintain_order=True)
    regions = {number: region_of(number) for number in best["finess_et"]}
    told = pl.col("finess_et").replace_strict(regions, default=None, return_dtype=pl.String)
    caisse = pl.coalesce("caisse", pl.col("sender").str.extract(r"^cpam-(.+)$"))
    return best.select("finess_et", "sender", caisse, region=pl.coalesce(told, "ars_region"))


def mine(placed: "pl.DataFrame", place: str) -> "pl.DataFrame":
    """Those of a caisse (``cpam-311``) or of a region (``ars-99``)."""
    import polars as pl

    kind, _, code = place.partition("-")
    return placed.filter(pl.col("caisse" if kind == "cpam" else "region") == code)
