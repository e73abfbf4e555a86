"""What others say beside an e-CDS campaign, from the datasets that stand: FINESS, patients, hours, antennes, crises, codes, advances.

What was never delivered is None, and the rules that need it say so; nothing is filled in. A caisse's own files are read for its
own centres only.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from flows.hub import Hub
from warehouse.heads import DATASET, Head

if TYPE_CHECKING:
    import polars as pl

OF_CAISSE = ("centre_patients", "centre_advances")
OF_REGION = ("centre_hours", "centre_sites")
OF_ALL = ("crises", "ecds_codes", "software_releases")
STOCK = "finess_et"


def concerns(scope: str, recipient: str) -> bool:
    """Whether a dataset is one that the tables of a recipient (``cpam-311``, ``ars-99``) are made of, and may be named to it."""
    name, _, owner = scope.removeprefix("reference/").partition("/")
    kind, _, code = recipient.partition("-")
    if name in OF_CAISSE:
        return kind == "ars" or owner == code
    return name in (*OF_REGION, *OF_ALL, STOCK)


def segments(hub: Hub, known: Mapping[str, Head], place: str, until: int) -> dict[str, list[str]]:
    """The segments that the tables of a caisse or of a region are made of, by dataset; those of FINESS after their day."""
    found: dict[str, list[str]] = {}
    for scope, head in known.items():
        if head.source == DATASET and concerns(scope, place) and (name := _name(head)) != STOCK:
            found.setdefault(name, []).append(head.tables[f"dataset_{name}"])
    found[STOCK] = [part for day, segment in _stocks(hub, until) for part in (f"{day}", segment)]
    return found


def references(
    hub: Hub, known: Mapping[str, Head], place: str, until: int, year: int, centres: "pl.DataFrame"
) -> dict[str, Any]:
    """Fields of ``checks.cds.facts.Campaign`` about these centres (finess_et, opened_on, closed_on, caisse); None: not given."""
    import polars as pl

    from checks.cds.facts import ADVANCES, CRISES, KNOWN_HOURS, PATIENTS, RELEASES, SITES
    from checks.cds.register import registered

    here = {name: _rows(hub, parts) for name, parts in segments(hub, known, place, until).items() if name != STOCK}
    on = date(year, 12, 31)
    caisses = centres.select("finess_et", "caisse")

    def of_year(name: str) -> "pl.DataFrame | None":
        """The rows about that year, of centres that are of the caisse that says it."""
        if name not in here:
            return None
        rows = here[name].filter(pl.col("year") == year).rename({"finess": "finess_et"})
        return rows.join(caisses, on=["finess_et", "caisse"], how="semi", maintain_order="left") if rows.height else None

    patients, advances = of_year("centre_patients"), of_year("centre_advances")
    hours, sites = here.get("centre_hours"), here.get("centre_sites")
    stocks = [(day, pl.read_parquet(hub.blobs.segment_path(segment))) for day, segment in _stocks(hub, until)]
    found: dict[str, Any] = {
        "register": registered(stocks, centres, on) if stocks else None,
        "computed_patients": None if patients is None else _as(patients, PATIENTS),
        "advances": None
        if advances is None
        else _as(advances.group_by("finess_et", maintain_order=True).agg(advance_cents=pl.col("paid_cents").sum()), ADVANCES),
        "known_hours": None
        if hours is None
        else _as(
            hours.rename({"finess": "finess_et"}).with_columns(opens=_minutes("opens"), closes=_minutes("closes")), KNOWN_HOURS
        ),
        "sites": None
        if sites is None
        else _as(sites.filter(_holds(on)).select(finess_et="finess", main_site="main_finess"), SITES),
        "crises": None
        if "crises" not in here
        else _as(here["crises"].rename({"region": "ars_region", "reference": "text"}), CRISES),
        "releases": None if "software_releases" not in here else _as(here["software_releases"], RELEASES),
        "mapping": None if "ecds_codes" not in here else _mapping(here["ecds_codes"]),
    }
    return {name: told for name, told in found.items() if told is not None}


def _mapping(rows: "pl.DataFrame") -> "pl.DataFrame":
    """The codes delivered, written as the reader writes them, after ours to themselves; one that is none of ours maps nothing."""
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
    return rows.select(schema.names()).cast(dict(schema))  # type: ignore[arg-type]


def _rows(hub: Hub, parts: Sequence[str]) -> "pl.DataFrame":
    import polars as pl

    return pl.concat([pl.read_parquet(hub.blobs.segment_path(segment)) for segment in parts])


def _name(head: Head) -> str:
    [table] = head.tables
    return table.removeprefix("dataset_")


def _stocks(hub: Hub, until: int) -> list[tuple[date, str]]:
    from flows.cpom import extractions

    return extractions(hub, STOCK, until)
