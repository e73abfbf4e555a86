"""Campaigns of the centres de santé: from the sections that stand to what each caisse and each region is told of its centres.

Each organisation reads its centres by what it attests itself. A later extraction takes the place of the earlier ones of its
sender; sections of different days are never mixed. Nothing here decides or changes a declaration.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import COMMON, ECDS
from contracts_schema.ecds import JOURNALS
from contracts_schema.fingerprint import fingerprint
from flows import campaign_places, campaign_references, law
from flows.computed import Moment, key_of
from flows.hub import Hub
from warehouse.heads import DATASET, Head

if TYPE_CHECKING:
    import polars as pl

    from checks.cds.facts import Campaign
    from contracts_schema.parameters import Attestation

CLOSING = "closing"
INTERNAL = ()
SOURCES = frozenset({ECDS, DATASET})
KINDS = frozenset({"attestation", CLOSING})
"""Kinds of decisions that change what is computed, or at which position it is published."""
FINDINGS = ("out_cpam__cds_finding", "out_ars__cds_finding")
LAW = "cds."


@dataclass(frozen=True)
class Extraction:
    """The sections of one sender, year and day that stand."""

    sender: str
    year: int
    day: date
    heads: Mapping[str, Head]

    def segments(self) -> dict[str, dict[str, str]]:
        """The segments of each section."""
        return {section: dict(head.tables) for section, head in self.heads.items()}


Found = Mapping[tuple[str, int], list[Extraction]]
"""Every extraction that stands by sender and year, the latest last."""


@dataclass(frozen=True)
class Told:
    """A campaign as one organisation is concerned with it, and what the reading of its files said."""

    campaign: "Campaign"
    readings: "pl.DataFrame"
    positions: tuple[int, ...]


def extractions(known: Mapping[str, Head]) -> Found:
    """Every extraction that stands."""
    sections: dict[tuple[str, int, date], dict[str, Head]] = {}
    for head in known.values():
        if head.source == ECDS:
            _, sender, year, day, section = head.scope.split("/")
            sections.setdefault((sender, int(year), date.fromisoformat(day)), {})[section] = head
    found: dict[tuple[str, int], list[Extraction]] = {}
    for (sender, number, on), heads in sorted(sections.items(), key=lambda one: one[0]):
        found.setdefault((sender, number), []).append(Extraction(sender, number, on, heads))
    return found


def identified(known: Mapping[str, Head]) -> Found:
    """The same up to the last that tells who its centres are: one whose identification is still to come stands for nobody."""
    found = {}
    for who, group in extractions(known).items():
        last = max((place for place, one in enumerate(group) if campaign_places.IDENTITY in one.heads), default=len(group) - 1)
        found[who] = group[: last + 1]
    return found


def shares(hub: Hub, known: Mapping[str, Head], at: Moment) -> dict[str, str]:
    """The key of the tables of each caisse and each region that centres are of: of their extractions, and of no other."""
    found = identified(known)
    heads = [head for group in found.values() for one in group for head in one.heads.values()]
    places = {f"{kind}-{code}" for head in heads for kind, codes in head.data.get("places", {}).items() for code in codes}
    places |= {sender for sender, _ in found if campaign_places.caisse_of(sender)}
    keys = {place: _key(hub, known, found, place, at) for place in sorted(places)}
    return {place: key for place, key in keys.items() if key}


def _key(hub: Hub, known: Mapping[str, Head], found: Found, place: str, at: Moment) -> str | None:
    """A hash of all that the tables of a caisse or of a region are made of; None when it has no centre."""
    own, positions = _attested(hub, place, at)
    used: list[tuple[str, int, str, list[Any]]] = []
    days = {}
    for one, centres in _believed(hub, found, place):
        group = found[one.sender, one.year]
        before = _last_year(found, one)
        told = [(str(other.day), other.segments()) for other in [*([before] if before else []), *group]]
        numbers = hashlib.sha256("\0".join(centres["finess_et"]).encode()).hexdigest()
        used.append((one.sender, one.year, numbers, told))
        if day := _alert(one.year, at.on, own):
            days[str(one.year)] = str(day)
    if not used:
        return None
    others = campaign_references.segments(hub, known, place, at.position, sorted({one[1] for one in used}))
    return key_of("cds", {"extractions": used, "alert": days, "place": place, "law": positions, "others": others})


def reads(scope: str, recipient: str) -> bool:
    """Whether the tables of a recipient are made of a dataset, which their provenance then names."""
    return campaign_references.concerns(scope, recipient)


def computed(
    hub: Hub, known: Mapping[str, Head], shares: Iterable[str], at: Moment
) -> "Iterator[tuple[str, dict[str, pl.DataFrame]]]":
    """The tables of these shares, one after the other."""
    for place in shares:
        yield place, _tables_of(hub, known, place, at)


def _tables_of(hub: Hub, known: Mapping[str, Head], place: str, at: Moment) -> "dict[str, pl.DataFrame]":
    """The tables of the centres of a caisse or of a region, every year; those of the other kind without rows."""
    import polars as pl

    kind, _, code = place.partition("-")
    made: dict[str, list[pl.DataFrame]] = {}
    for told in campaigns(hub, known, place, at):
        for name, rows in judged(hub, told, place, at).items():
            mine = rows.filter(pl.col("caisse" if kind == "cpam" else "region") == code) if _is_of(name, kind) else rows.clear()
            made.setdefault(name, []).append(mine)
    tables = {name: pl.concat(parts) for name, parts in made.items()}
    return {name: _numbered(rows) if name in FINDINGS else rows for name, rows in tables.items()}


def judged(hub: Hub, told: Told, place: str, at: Moment) -> "dict[str, pl.DataFrame]":
    """The tables of one campaign by the law of an organisation. An amount that does not pass its own proof is a finding, which
    holds the publication at the table gate: people still read why."""
    import polars as pl

    from checks.cds import bill, product
    from checks.cds.examine import examine
    from checks.cds.figures import Figures
    from checks.cds.remuneration import remunerate

    own, positions = _attested(hub, place, at)
    examination = examine(told.campaign, own)
    found = remunerate(examination, own, advances=told.campaign.advances)
    figures = Figures(told.campaign.last_day, own)
    proof = bill.verify(bill.Bill(examination, found, figures, fingerprint(), (*told.positions, *positions)))
    said = pl.concat([examination.findings, proof, told.readings])
    return product.tables(told.campaign, replace(examination, findings=said), found)


def campaigns(hub: Hub, known: Mapping[str, Head], place: str, at: Moment) -> list[Told]:
    """The campaigns of the centres of a caisse or of a region, one a year and sender: the last extraction of each."""
    found = identified(known)
    return [_told(hub, known, one, centres, found, place, at) for one, centres in _believed(hub, found, place)]


def _believed(hub: Hub, found: Found, place: str) -> "Iterator[tuple[Extraction, pl.DataFrame]]":
    """The last extraction of each year and sender that is believed for centres of a place, with these centres (finess_et)."""
    for year in sorted({year for _, year in found}):
        latest = [group[-1] for (_, own), group in found.items() if own == year]
        centres = campaign_places.mine(campaign_places.placed(hub, latest), place)
        for one in latest:
            own = centres.filter(sender=one.sender).select("finess_et")
            if own.height:
                yield one, own


def _last_year(found: Found, one: Extraction) -> Extraction | None:
    group = found.get((one.sender, one.year - 1)) or found.get((COMMON, one.year - 1))
    return group[-1] if group else None


def unplaced(hub: Hub, known: Mapping[str, Head]) -> "pl.DataFrame":
    """The centres of the last extractions that no caisse or no region can be told for: year, finess_et, caisse, region."""
    import polars as pl

    found = identified(known)
    schema = {"year": pl.Int64, "finess_et": pl.String, "caisse": pl.String, "region": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for year in sorted({year for _, year in found}):
        rows = campaign_places.placed(hub, [group[-1] for (_, own), group in found.items() if own == year])
        lost = rows.filter(pl.col("caisse").is_null() | pl.col("region").is_null())
        parts.append(lost.with_columns(year=pl.lit(year, pl.Int64)).select(list(schema)))
    return pl.concat(parts)


def contested(hub: Hub, known: Mapping[str, Head]) -> "pl.DataFrame":
    """The centres that several caisses each say to be theirs: year, finess_et, caisses, counted (the one that is believed)."""
    import polars as pl

    found = identified(known)
    schema = {"year": pl.Int64, "finess_et": pl.String, "caisses": pl.String, "counted": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for year in sorted({year for _, year in found}):
        latest = [group[-1] for (_, own), group in found.items() if own == year]
        believed = campaign_places.placed(hub, latest).select("finess_et", counted="caisse")
        rows = campaign_places.claimed(hub, latest).join(believed, on="finess_et", how="left", maintain_order="left")
        parts.append(rows.with_columns(year=pl.lit(year, pl.Int64)).select(list(schema)))
    return pl.concat(parts)


def _told(
    hub: Hub,
    known: Mapping[str, Head],
    one: Extraction,
    centres: "pl.DataFrame",
    found: Found,
    place: str,
    at: Moment,
) -> Told:
    import polars as pl

    from checks.cds.facts import counts
    from checks.cds.journal import midnight
    from checks.cds.ruling import FINDINGS as SCHEMA

    group = found[one.sender, one.year]
    earlier = group[-2] if len(group) > 1 else None
    counted = (
        counts(_campaign(hub, earlier, campaign_places.mine(campaign_places.placed(hub, [earlier]), place).select("finess_et")))
        if earlier
        else None
    )
    last_year = _last_year(found, one)
    own = _attested(hub, place, at)[0]
    alert = _alert(one.year, at.on, own)
    campaign = replace(_campaign(hub, one, centres, group, own), caisse=campaign_places.caisse_of(one.sender))
    others = campaign_references.references(hub, known, place, at.position, campaign, centres)
    before = _campaign(hub, last_year, centres) if last_year else None
    campaign = replace(
        campaign,
        **others,
        before=replace(before, mapping=others.get("mapping")) if before else None,
        counts_before=counted,
        as_of=midnight(alert + timedelta(days=1)) if alert else None,
    )
    said = [pl.read_parquet(hub.blobs.segment_path(head.tables["ecds_reading"])) for head in one.heads.values()]
    return Told(campaign, pl.concat([pl.DataFrame(schema=SCHEMA), *said]), tuple(head.position for head in one.heads.values()))


def _campaign(
    hub: Hub, one: Extraction, centres: "pl.DataFrame", group: "Sequence[Extraction]" = (), own: "Sequence[Attestation]" = ()
) -> "Campaign":
    """The sections of an extraction about these centres; None for a section that did not come.

    A journal with entries without an instant, or typed after the cut-off, is read with those of the earlier extractions of the
    group: the day of one tells what was typed by then, and one may hold the value that was typed over too late.
    """
    from checks.cds.facts import Campaign
    from checks.cds.journal import combined, deadlines

    wanted = _among(centres["finess_et"].implode())
    frames: dict[str, Any] = {section: _rows(hub, head).filter(wanted).collect() for section, head in one.heads.items()}
    days = deadlines(one.year, own)
    for section in JOURNALS if len(group) > 1 else ():
        instants, cutoff = frames[section]["entered_at"] if section in frames else None, days.cutoff(section)
        if instants is not None and (instants.null_count() or (cutoff and instants.len() and instants.max() >= cutoff)):
            heads = [(other.day, other.heads[section]) for other in group if section in other.heads]
            frames[section] = combined((day, _rows(hub, head).filter(wanted).collect()) for day, head in heads)
    return Campaign(one.year, one.day, **frames)


def _among(wanted: "pl.Series") -> "pl.Expr":
    import polars as pl

    return pl.col("finess_et").is_in(wanted)


def _rows(hub: Hub, head: Head) -> "pl.LazyFrame":
    import polars as pl

    return pl.scan_parquet(campaign_places.path_of(hub, head))


def _is_of(view: str, kind: str) -> bool:
    return view.startswith(f"out_{kind}__")


def _numbered(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Findings of several campaigns numbered one after the other."""
    import polars as pl

    return rows.sort("year", "number", maintain_order=True).with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


def _attested(hub: Hub, place: str, at: Moment) -> "tuple[tuple[Attestation, ...], list[int]]":
    """What an organisation attests of this law, and the positions of its decisions."""
    own = tuple(one for one in law.law_of(hub, place, at.position).parameters if one.parameter.startswith(LAW))
    return own, sorted({one.position for one in own})


def _alert(year: int, on: date, attested: "Iterable[Attestation]") -> date | None:
    """The day, if it is one on which an unanswered prerequisite is told before the last day of a campaign."""
    from checks.cds.deadline import ALERT_DAYS
    from checks.cds.journal import deadlines

    last = deadlines(year, attested).last_day("rfs")
    return on if last and (last - on).days in ALERT_DAYS else None
