"""Who is whose: the legal entity of each establishment, and the labelled HPR sites, from what was received up to a position.

One answer for the views and for the contracts: a table of the CPOM where one was delivered, else every FINESS extraction
received, each holding from its day. Must never guess: an establishment that nothing links has no legal entity.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from flows.hub import Hub
from warehouse.heads import ECARS, FOLDED, PMSI, Head
from warehouse.log import paris
from warehouse.references import FINESS_LINKS, HPR_SITES, Reference, given_rows

if TYPE_CHECKING:
    import polars as pl

HPR_ACTIVITY = "HPR"
"""What the table of authorisations calls a labelled site (hôpital de proximité): the list that the ARS gives."""
UNKNOWN_START = date(1900, 1, 1)
"""Since when a link holds whose start is not known: the stock of FINESS tells what is open, not since when."""
LINKS, ENTITIES, SITES = f"{ECARS}_establishment", f"{ECARS}_legal_entity", f"{ECARS}_authorisation"


def establishments(
    hub: Hub, known: Mapping[str, Head], until: int | None, numbers: Collection[str] | None = None
) -> "pl.DataFrame | None":
    """Links of establishments, as the frame ``establishment`` of ``contracts_schema.cpom_frames``; None when nobody gave any.

    ``numbers``: those of these numbers alone, establishments and legal entities.
    """
    import polars as pl

    from checks.dataset_facts import establishment_links
    from contracts_schema.cpom_frames import schema

    given = _of_table(hub, known, LINKS)
    if given is not None:
        found = given.match_to_schema(schema("establishment"))
        return (
            found if numbers is None else found.filter(pl.col("finess_et").is_in(numbers) | pl.col("finess_ej").is_in(numbers))
        )
    stocks = []
    for day, segment in extractions(hub, "finess_et", until):
        rows = pl.scan_parquet(hub.blobs.segment_path(segment)).select("finess", "finess_ej")
        if numbers is not None:
            rows = rows.filter(pl.col("finess").is_in(numbers) | pl.col("finess_ej").is_in(numbers))
        stocks.append((day, rows.collect()))
    if not stocks:
        return None
    links = establishment_links(stocks).rename({"finess": "finess_et"})
    return links.with_columns(pl.col("valid_from").fill_null(UNKNOWN_START)).match_to_schema(schema("establishment"))


def legal_entities(hub: Hub, known: Mapping[str, Head], numbers: Collection[str] | None = None) -> "pl.DataFrame | None":
    """Legal entities, as the frame ``legal_entity``; None when nobody gave any. ``numbers``: these alone."""
    import polars as pl

    from contracts_schema.cpom_frames import schema

    found = _of_table(hub, known, ENTITIES)
    if found is None:
        stock = _of_table(hub, known, "dataset_finess_ej")
        if stock is None:
            return None
        found = stock.select("finess_ej", legal_name="name", valid_from=pl.lit(UNKNOWN_START), valid_to=pl.lit(None, pl.Date))
    found = found.match_to_schema(schema("legal_entity"))
    return found if numbers is None else found.filter(pl.col("finess_ej").is_in(numbers))


def references(hub: Hub, known: Mapping[str, Head], until: int | None = None) -> dict[str, Reference]:
    """The two references that views read of this: links and labelled sites of the numbers that transmissions bear.

    ``known``: the heads that stand at ``until``. The same heads and position give the same rows.
    """
    numbers = {head.data["finess"] for head in known.values() if head.source == PMSI}
    tables = {table for head in known.values() for table in head.tables}
    if not numbers or not tables & {LINKS, ENTITIES, SITES, "dataset_finess_et", "dataset_finess_ej"}:
        return {}
    sites = _of_table(hub, known, SITES)
    if sites is not None:
        sites = sites.filter(sites["activity"].str.to_uppercase() == HPR_ACTIVITY)
    asked = numbers if sites is None else numbers | set(sites["finess_et"])
    links = establishments(hub, known, until, asked)
    entities = legal_entities(hub, known, numbers)
    rows: set[tuple[str | None, ...]] = set()
    if links is not None:
        rows |= {(et, ej, f"{start}", _text(end)) for et, ej, start, end in links.iter_rows()}
    if entities is not None:
        rows |= {(number, number, f"{start}", _text(end)) for number, _, start, end in entities.iter_rows()}
    made = {FINESS_LINKS: sorted(rows, key=str)}
    if sites is not None:
        made[HPR_SITES] = sorted({*_places(sites, links)}, key=str)
    return {name: given_rows(name, told) for name, told in made.items()}


def extractions(hub: Hub, dataset: str, until: int | None) -> list[tuple[date, str]]:
    """Every accepted extraction of a stock, oldest first: its day, else that of its decision, and its segment."""
    found: dict[str, tuple[date, str]] = {}
    for event in hub.log.read(stream=f"reference/{dataset}", types=FOLDED, until=until):
        data = event.data
        found.pop(data["delivery_id"], None)
        if event.type == "DeliveryAccepted":
            stamp = data.get("stamp")
            recorded = paris(event.recorded_at).date()
            day = datetime.strptime(stamp[:8], "%Y%m%d").replace(tzinfo=UTC).date() if stamp else recorded
            found[data["delivery_id"]] = day, data["tables"][f"dataset_{dataset}"]
    return sorted(found.values())


def _of_table(hub: Hub, known: Mapping[str, Head], table: str) -> "pl.DataFrame | None":
    import polars as pl

    segments = [head.tables[table] for head in known.values() if table in head.tables]
    return pl.read_parquet([hub.blobs.segment_path(segment) for segment in segments]) if segments else None


def _places(sites: "pl.DataFrame", links: "pl.DataFrame | None") -> list[tuple[str | None, ...]]:
    """Labelled sites under the number that transmits for them: their own, and that of their legal entity while linked to it."""
    found: list[tuple[str | None, ...]] = []
    held = [] if links is None else list(links.iter_rows())
    for site, start, end in sites.select("finess_et", "valid_from", "valid_to").iter_rows():
        found.append((site, site, f"{start}", _text(end), "attested", "autorisations"))
        for et, ej, since, until in held:
            ends = [day for day in (end, until) if day]
            if et == site and (not ends or max(start, since) < min(ends)):
                last = _text(min(ends)) if ends else None
                found.append((ej, site, f"{max(start, since)}", last, "attested", "autorisations"))
    return found


def _text(day: date | None) -> str | None:
    return day.isoformat() if day else None
