"""What others say beside an e-CDS campaign, from the datasets that stand: FINESS, patients, hours, antennes, crises, advances…

What was never delivered is left out, and the rules that need it say so; nothing is filled in. A caisse's own files are read for
its own centres only.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from flows import finess
from flows.hub import Hub
from warehouse.heads import DATASET, Head

if TYPE_CHECKING:
    import polars as pl

    from checks.cds.facts import Campaign

OF_CAISSE = ("centre_patients", "centre_advances")
OF_REGION = ("centre_hours", "centre_sites")
OF_ALL = ("crises", "ecds_codes", "software_releases")
STOCK = "finess_et"
OF_YEAR = ("computed_patients", "advances")


def concerns(scope: str, recipient: str) -> bool:
    """Whether a dataset is one that the tables of a recipient (``cpam-311``, ``ars-99``) are made of."""
    name, _, owner = scope.removeprefix("reference/").partition("/")
    kind, _, code = recipient.partition("-")
    if name in OF_CAISSE:
        return kind == "ars" or owner == code
    return name in (*OF_REGION, *OF_ALL, STOCK)


def segments(hub: Hub, known: Mapping[str, Head], place: str, until: int, years: Iterable[int]) -> dict[str, list[str]]:
    """The segments that the campaigns of these years of a caisse or of a region are made of, by dataset; those of FINESS after
    their day."""
    from checks.cds.register import nearest

    found: dict[str, list[str]] = {}
    for scope, head in known.items():
        if head.source == DATASET and concerns(scope, place) and (name := _name(head)) != STOCK:
            found.setdefault(name, []).append(head.tables[f"dataset_{name}"])
    stocks = dict(_stocks(hub, until))
    days = sorted({day for year in years for day in nearest(stocks, date(year, 12, 31))})
    found[STOCK] = [part for day in days for part in (f"{day}", stocks[day])]
    return found


def references(
    hub: Hub, known: Mapping[str, Head], place: str, until: int, campaign: "Campaign", centres: "pl.DataFrame"
) -> dict[str, Any]:
    """The fields of a campaign that datasets give about these centres (finess_et); those that none gives are left out."""
    import polars as pl

    from checks.cds.facts import ADVANCES, CRISES, KNOWN_HOURS, MAPPING, PATIENTS, RELEASES, SITES
    from checks.cds.register import nearest, registered

    here = {name: _rows(hub, parts) for name, parts in segments(hub, known, place, until, ()).items() if name != STOCK}
    on, identified = campaign.last_day, _identified(campaign, centres)
    finess, caisses = {"finess": "finess_et"}, identified.select("finess_et", "caisse")

    def own(rows: "pl.DataFrame") -> "pl.DataFrame":
        """The rows about that year, of centres that are of the caisse that says it."""
        told = rows.filter(pl.col("year") == campaign.year).rename(finess)
        return told.join(caisses, on=["finess_et", "caisse"], how="semi", maintain_order="left")

    def paid(rows: "pl.DataFrame") -> "pl.DataFrame":
        return own(rows).group_by("finess_et", maintain_order=True).agg(advance_cents=pl.col("paid_cents").sum())

    def open_at(rows: "pl.DataFrame") -> "pl.DataFrame":
        return rows.rename(finess).with_columns(opens=_minutes("opens"), closes=_minutes("closes"))

    def attached(rows: "pl.DataFrame") -> "pl.DataFrame":
        return rows.filter(_holds(on)).select(finess_et="finess", main_site="main_finess")

    def crises(rows: "pl.DataFrame") -> "pl.DataFrame":
        return rows.rename({"region": "ars_region", "reference": "text"})

    made = {
        "computed_patients": ("centre_patients", own, PATIENTS),
        "advances": ("centre_advances", paid, ADVANCES),
        "known_hours": ("centre_hours", open_at, KNOWN_HOURS),
        "sites": ("centre_sites", attached, SITES),
        "crises": ("crises", crises, CRISES),
        "releases": ("software_releases", pl.DataFrame.clone, RELEASES),
        "mapping": ("ecds_codes", _mapping, MAPPING),
    }
    found: dict[str, Any] = {field: _as(make(here[name]), shape) for field, (name, make, shape) in made.items() if name in here}
    for field in OF_YEAR:
        if field in found and found[field].is_empty():
            del found[field]  # the caisse said nothing of that year
    stocks = dict(_stocks(hub, until))
    if days := nearest(stocks, on):
        columns = ["finess", "finess_ej", "category"]
        read = [(day, pl.read_parquet(hub.blobs.segment_path(stocks[day]), columns=columns)) for day in days]
        found["register"] = registered(read, identified, on, campaign.extracted_on)
    return found


def _identified(campaign: "Campaign", centres: "pl.DataFrame") -> "pl.DataFrame":
    """The centres (finess_et) with the days and the caisse that they declare."""
    import polars as pl

    sender = pl.lit(campaign.caisse, pl.String)
    if campaign.identification is None:
        days = {"opened_on": pl.lit(None, pl.Date), "closed_on": pl.lit(None, pl.Date)}
        return centres.with_columns(**days, caisse=sender)
    known = campaign.identification.unique("finess_et", keep="last", maintain_order=True)
    known = known.select("finess_et", "opened_on", "closed_on", caisse="cpam")
    rows = centres.join(known, on="finess_et", how="left", maintain_order="left")
    return rows.with_columns(caisse=pl.coalesce("caisse", sender))


def _mapping(rows: "pl.DataFrame") -> "pl.DataFrame":
    """The codes delivered, written as the reader writes them, after ours to themselves; to none of ours is to nothing."""
    import polars as pl

    from checks.cds.facts import MAPPING, identity_mapping
    from contracts_schema.ecds import indicators

    ours = pl.DataFrame([(code, one.scheme) for code, one in indicators().items()], schema=["code", "section"], orient="row")
    told = rows.join(ours, on=["code", "section"], how="semi", maintain_order="left")
    told = told.with_columns(pl.col("code_source").str.to_uppercase().str.replace_all(r"[ .\u00a0]", ""))
    return pl.concat([identity_mapping(), _as(told, MAPPING)])


def _holds(on: date) -> "pl.Expr":
    import polars as pl

    begun = pl.col("valid_from").is_null() | (pl.col("valid_from") <= on)
    return begun & (pl.col("valid_to").is_null() | (pl.col("valid_to") > on))


def _minutes(name: str) -> "pl.Expr":
    import polars as pl

    text = pl.col(name)
    return text.str.slice(0, 2).cast(pl.Int64) * 60 + text.str.slice(3, 2).cast(pl.Int64)


def _as(rows: "pl.DataFrame", schema: "pl.Schema") -> "pl.DataFrame":
    import polars as pl

    return rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _rows(hub: Hub, parts: Sequence[str]) -> "pl.DataFrame":
    import polars as pl

    return pl.concat([pl.read_parquet(hub.blobs.segment_path(segment)) for segment in parts])


def _name(head: Head) -> str:
    [table] = head.tables
    return table.removeprefix("dataset_")


def _stocks(hub: Hub, until: int) -> list[tuple[date, str]]:
    return finess.extractions(hub, STOCK, until)
