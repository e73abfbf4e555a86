"""What contracts are judged from: exports, follow-up tables, references, the PMSI; and what of it concerns which of them.

Contracts go by shares: those of a région whose numbers end alike. Nothing that is said of one contract changes what is said of
another, so that a share is made again only when what concerns it has changed. Judges nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.geography import region_of
from contracts_schema.products import Product, products
from flows import building, cpom_standing, finess
from flows.computed import Moment, hash_of
from flows.hub import Hub
from flows.published import publications, published_rows
from warehouse import views
from warehouse.heads import ECARS, PMSI, Head
from warehouse.references import FINESS_LINKS

if TYPE_CHECKING:
    import polars as pl

    from checks.cpom.facts import Facts
    from checks.cpom.law import Law

RECOMPUTED_VIEW, PMSI_PRODUCT = "out_ars__pmsi_indicator", "pmsi-activity"
EXPORT_FRAMES = ("sheet", "row", "value", "financial_line", "recognition")
EXPECTED = "expected_contract"
OF_ALL = ("legal_entity", "establishment")
"""Frames that hold for every région: who is whose."""
AT_ONCE = 1_000
"""Contracts judged together: enough for the rules to cost little each, few enough to take little memory."""
FINESS = 9


def share_of(number: str) -> str | None:
    """The share of a legal entity: its région, and the last character (the key) of its number; None without a région."""
    region = _region(number)
    return region and f"{region}/{number[-1]}"


def regions(known: Mapping[str, Head]) -> list[str]:
    """The régions that have a contract."""
    return sorted({region for head in exports(known) for region in head.data["regions"]})


def exports(known: Mapping[str, Head]) -> list[Head]:
    """The exports, in the order of their reception."""
    return sorted((head for head in known.values() if head.source == ECARS and "regions" in head.data), key=lambda h: h.rank)


def named(hub: Hub, decided: Sequence[Mapping[str, Any]]) -> list[frozenset[str]]:
    """The legal entities that each export names, from what was told of its decision; of an older log, from its segments."""
    from flows import ecars_segments

    held = [
        [hub.blobs.segment_path(one["tables"][name]) for name in ecars_segments.NAMING if name in one["tables"]]
        if "numbers" not in one
        else []
        for one in decided
    ]
    unsaid = tuple(segment for segments in held for segment in segments)
    read = ecars_segments.numbers(unsaid) if unsaid else {}
    return [
        frozenset(one.get("numbers", ())).union(*(read[segment] for segment in segments))
        for one, segments in zip(decided, held, strict=True)
    ]


def together(hub: Hub, known: Mapping[str, Head], shares: Iterable[str]) -> Iterator[list[str]]:
    """Shares whose contracts are judged at once."""
    counts = {share: len(numbers) for share, numbers in _numbers(hub, exports(known)).items()}
    some, held = list[str](), 0
    for share in shares:
        count = counts.get(share, 0)
        if some and held + count > AT_ONCE:
            yield some
            some, held = [], 0
        some, held = [*some, share], held + count
    if some:
        yield some


def concerning(hub: Hub, known: Mapping[str, Head], at: Moment) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    """By share, all that its tables are made of, decisions and law aside, by names and hashes; then what concerns all."""
    given = exports(known)
    found: dict[str, dict[str, Any]] = {}
    for head, of_head in zip(given, named(hub, [head.data for head in given]), strict=True):
        for share in {share_of(number) for number in of_head} - {None}:
            found.setdefault(str(share), {}).setdefault("exports", []).append([head.scope, head.tables])
    places, of_all = set(regions(known)), list[Any]()
    for table, share, told in _followed(hub, known):
        if share is None:
            of_all.append([table, told])
        elif share.partition("/")[0] in places:
            found.setdefault(share, {}).setdefault("tables", []).append([table, told])
    numbers = _numbers(hub, given)
    frames = _references(hub, known, at, frozenset[str]().union(*numbers.values()))
    of_all.append(sorted(frames))
    for share, own in numbers.items():
        found[share]["references"] = {name: hash_of(rows) for name, rows in _narrowed(frames, own).items()}
    for share, sent in _transmissions(hub, known, at).items():
        if share in found:
            found[share]["pmsi"] = sent
    return found, of_all


def facts_of(hub: Hub, known: Mapping[str, Head], region: str, at: Moment, law: "Law", of: Callable[[str], bool]) -> "Facts":
    """What stands for some contracts of a région, references included; ``of``: whether it is about one of this number."""
    import polars as pl

    from checks.cpom.facts import facts_of as facts
    from contracts_schema.cpom_frames import FRAMES, schema

    def mine(rows: "pl.DataFrame") -> "pl.DataFrame":
        inside = [number for number in rows["finess_ej"].drop_nulls().unique() if of(number)]
        return rows.filter(pl.col("finess_ej").is_in(inside))

    given = exports(known)
    own = [(head, set(filter(of, numbers))) for head, numbers in zip(given, named(hub, [h.data for h in given]), strict=True)]
    exported = _read_exports(hub, [head for head, numbers in own if numbers])
    found = _references(hub, known, at, frozenset[str]().union(*(numbers for _, numbers in own)))
    for name in FRAMES:
        segments = [head.tables[_table(name)] for head in _tables(known) if _table(name) in head.tables]
        if segments and name not in (*EXPORT_FRAMES, *OF_ALL):
            rows = pl.read_parquet([hub.blobs.segment_path(segment) for segment in segments])
            rows = rows.match_to_schema(schema(name), missing_columns="insert")
            if "finess_ej" in rows.columns and rows.height and region not in _places(rows):
                continue  # a list that names other régions only was not delivered for this one
            found[name] = mine(rows) if "finess_ej" in rows.columns and name != EXPECTED else rows
    if EXPECTED in found:  # how many are, is told to the région
        found[EXPECTED] = found[EXPECTED].filter([_region(number) == region for number in found[EXPECTED]["finess_ej"]])
    if "emergency_region" in found:  # a total that names no région is that of the only one that has contracts
        place = pl.col("region") if len(regions(known)) > 1 else pl.col("region").fill_null(region)
        found["emergency_region"] = found["emergency_region"].filter(place == region)
    exported["sheet"] = mine(exported["sheet"])
    found |= cpom_standing.standing(exported)
    proof = cpom_standing.earlier_proof(exported, law, at.on)
    return facts(found | ({"earlier_proof": proof} if proof is not None else {}))


def recomputed(hub: Hub, known: Mapping[str, Head], facts: "Facts", at: Moment) -> "pl.DataFrame":
    """The variants that the PMSI gives, as ``checks.cpom.compare.RECOMPUTED``, with the legal entity that the view gives.

    A number that no link resolves and that signed a contract is its own legal entity: it transmits for itself.
    """
    import polars as pl

    from checks.cpom.compare import RECOMPUTED

    table = building.tables(hub, _standing(known), {RECOMPUTED_VIEW}, at.position).get(RECOMPUTED_VIEW)
    if table is None or not table.paths:
        return pl.DataFrame(schema=RECOMPUTED)
    rows = pl.read_parquet(list(table.paths))
    signed = pl.when(pl.col("finess").is_in(facts.sheet["finess_ej"].drop_nulls().implode())).then("finess")
    named = rows.with_columns(finess_ej=pl.coalesce("finess_ej", signed))
    return named.select(pl.col(name).cast(kind) for name, kind in RECOMPUTED.items())


def disputed(rows: "pl.DataFrame", facts: "Facts") -> "pl.DataFrame":
    """finess_ej, year: the legal entities that links give to a transmission together with another one, on 31 December."""
    import polars as pl

    unsure = rows.filter(pl.col("finess_ej").is_null()).select(finess_et="finess", year="exit_year").unique()
    links = unsure.join(facts.frame("establishment"), on="finess_et")
    last_day = pl.date(pl.col("year"), 12, 31)
    held = (pl.col("valid_from") <= last_day) & (last_day < pl.col("valid_to")).fill_null(value=True)
    return links.filter(held).select("finess_ej", "year").unique()


def hidden(hub: Hub, known: Mapping[str, Head], region: str, at: Moment) -> "pl.DataFrame":
    """The recomputed rows that the ARS is not shown in full of the PMSI: finess, exit_year, definition_id, variant; ``rate``:
    whether what the rate is made of is hidden, ``conflicts``: whether that count is."""
    import polars as pl

    from warehouse.masking import masked

    product, keys = products()["ars", PMSI_PRODUCT], ["finess", "exit_year", "definition_id", "variant"]
    made = building.tables(hub, _standing(known), {table.view for table in product.tables}, at.position)
    if not all(name in made and made[name].paths for name in (table.view for table in product.tables)):
        return pl.DataFrame(
            schema=dict.fromkeys(keys, pl.String) | {"exit_year": pl.Int64, "rate": pl.Boolean, "conflicts": pl.Boolean}
        )
    frames = {table.view: pl.read_parquet(list(made[table.view].paths)) for table in product.tables}
    before = publications(hub, f"ars-{region}", PMSI_PRODUCT, at.position)
    earlier = [{name: published_rows(hub, event, name) for name in event.data["tables"]} for event in before]
    shown = masked(product, frames, region, at.on, earlier)["indicator"]
    return _lacking(shown, frames[RECOMPUTED_VIEW], keys, product)


def _lacking(shown: "pl.DataFrame", whole: "pl.DataFrame", keys: list[str], product: Product) -> "pl.DataFrame":
    """The rows of which a figure is not shown: ``rate``, ``conflicts``. What the widest alone has lacks in no other."""
    import polars as pl

    [narrows] = [table.narrows for table in product.tables if table.narrows]
    narrow = pl.col("variant").is_in(list(narrows.wider))
    beside = shown.join(whole.cast({"exit_year": pl.Int64}), on=keys, how="left", suffix="_whole", maintain_order="left")
    lacks = {
        name: pl.col(name).is_null() & pl.col(f"{name}_whole").is_not_null() & ~(narrow & (name in narrows.not_of_narrow))
        for name in ("numerator", "denominator", "completeness_percent", "conflicts")
    }
    conflicts = lacks.pop("conflicts")
    found = beside.select(*keys, rate=pl.any_horizontal(*lacks.values()), conflicts=conflicts)
    return found.filter(pl.any_horizontal("rate", "conflicts"))


def expects(known: Mapping[str, Head]) -> bool:
    """Whether a list of the contracts expected was delivered."""
    return any(_table(EXPECTED) in head.tables for head in _tables(known))


def _table(frame: str) -> str:
    return f"{ECARS}_{frame}"


def _region(number: str) -> str | None:
    return region_of(number) if len(number) == FINESS else None


def _tables(known: Mapping[str, Head]) -> list[Head]:
    return [head for head in known.values() if head.source == ECARS and "regions" not in head.data]


def _standing(known: Mapping[str, Head]) -> dict[str, Head]:
    return {scope: head for scope, head in known.items() if head.superseded_by is None}


def _numbers(hub: Hub, given: Sequence[Head]) -> dict[str, frozenset[str]]:
    """The legal entities that exports name, by share."""
    found: dict[str, set[str]] = {}
    for number in frozenset[str]().union(*named(hub, [head.data for head in given])):
        if share := share_of(number):
            found.setdefault(share, set()).add(number)
    return {share: frozenset(numbers) for share, numbers in sorted(found.items())}


def _references(hub: Hub, known: Mapping[str, Head], at: Moment, numbers: frozenset[str]) -> "dict[str, pl.DataFrame]":
    """Who is whose, as far as contracts of these numbers are concerned; a frame that nobody gave is not there."""
    given = {
        "establishment": finess.establishments(hub, known, at.position, numbers),
        "legal_entity": finess.legal_entities(hub, known),
    }
    return _narrowed({name: rows for name, rows in given.items() if rows is not None}, numbers)


def _narrowed(frames: "Mapping[str, pl.DataFrame]", numbers: frozenset[str]) -> "dict[str, pl.DataFrame]":
    """What frames say of these numbers; of one that is not always a legal entity, of all in its département: the nearest by
    name is told (R02)."""
    import polars as pl

    found = dict(frames)
    if "establishment" in frames:
        found["establishment"] = frames["establishment"].filter(
            pl.col("finess_et").is_in(numbers) | pl.col("finess_ej").is_in(numbers)
        )
    if "legal_entity" in frames:
        entities = frames["legal_entity"]
        always = entities.filter(pl.col("valid_from") <= finess.UNKNOWN_START, pl.col("valid_to").is_null())
        near = {number[:2] for number in numbers - set(always["finess_ej"])}
        of_near = pl.col("finess_ej").str.slice(0, 2).is_in(near)
        found["legal_entity"] = entities.filter(pl.col("finess_ej").is_in(numbers) | of_near)
    return found


def _read_exports(hub: Hub, heads: Sequence[Head]) -> "dict[str, pl.DataFrame]":
    """All that these exports say; ``sheet`` with the order of reception of its export."""
    import polars as pl

    from flows import ecars_segments

    found = ecars_segments.read(hub, heads)
    order = pl.DataFrame(
        [(head.scope.rpartition("/")[2], place) for place, head in enumerate(heads)],
        schema={"export": pl.String(), "received": pl.Int64()}, orient="row",
    )  # fmt: skip
    sheets = found["sheet"].with_columns(export=pl.col("sheet_id").str.head(16))
    found["sheet"] = sheets.join(order, on="export", how="left", maintain_order="left").drop("export")
    return found


def _transmissions(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, Any]:
    """By share, the transmissions of its legal entities and of establishments ever linked to one of them, with all that is told
    of whose these are; then what the ARS is not shown of them."""
    heads = [head for head in _standing(known).values() if head.source == PMSI]
    given = finess.references(hub, _standing(known), at.position) if heads else {}
    rows: dict[str, list[Any]] = {}
    for name, reference in given.items():
        for row in reference.rows:
            for number in {*row[:2]} - {None}:
                rows.setdefault(number, []).append([name, *row])
    found: dict[str, list[Any]] = {}
    places: dict[str, set[str]] = {}
    for head in heads:
        number = head.data["finess"]
        linked = {row[2] for row in rows.get(number, []) if row[0] == FINESS_LINKS and row[1] == number}
        for share in {share_of(one) for one in {number, *linked} if one} - {None}:
            found.setdefault(str(share), []).append([head.scope, head.delivery_id, head.position, rows.get(number, [])])
            places.setdefault(number, set()).add(str(share))
    code = _views() if heads else ""
    told: dict[str, Any] = {share: {"sent": sent, "views": code, "hidden": []} for share, sent in found.items()}
    for region in sorted({share.partition("/")[0] for share in found} & set(regions(known))):
        for row in hidden(hub, known, region, at).rows():
            for share in (one for one in places.get(row[0], ()) if one.startswith(f"{region}/")):
                told[share]["hidden"].append(row)
    return told


def _followed(hub: Hub, known: Mapping[str, Head]) -> Iterator[tuple[str, str | None, str]]:
    """What follow-up tables say of each share, by hashes; under None what they say of all."""
    for head in _tables(known):
        for table, segment in head.tables.items():
            if table not in map(_table, OF_ALL):  # of these, what concerns a number
                for share, told in _hashes(hub.blobs.segment_path(segment)).items():
                    yield table, share, told


@lru_cache(maxsize=256)
def _hashes(path: Path) -> dict[str | None, str]:
    """A hash of the rows about each share; under None that of a table about all, else of its columns alone."""
    import polars as pl

    rows = pl.read_parquet(path)
    if "finess_ej" not in rows.columns:
        return {None: hash_of(rows)}
    places = {number: share_of(number) for number in rows["finess_ej"].drop_nulls().unique()}
    told = rows.with_columns(place=pl.col("finess_ej").replace_strict(places, default=None, return_dtype=pl.String))
    parts = told.drop_nulls("place").partition_by("place", as_dict=True, include_key=False)
    about = " ".join(_places(rows))  # whether it says anything of a région is known to all of it
    return {None: hash_of(rows.clear()) + about, **{str(share): hash_of(part) for (share,), part in parts.items()}}


def _places(rows: "pl.DataFrame") -> list[str]:
    """The régions that a table names."""
    return sorted(set(filter(None, map(_region, rows["finess_ej"].drop_nulls().unique()))))


def _views() -> str:
    of_pmsi = views.closure(table.view for table in products()["ars", PMSI_PRODUCT].tables)
    texts = (views.views()[name].sql for name in of_pmsi)
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
