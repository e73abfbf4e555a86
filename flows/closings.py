"""Closings of a campaign: at each deadline, its state is told to the log once, then published; it can be made again later.

A closing decides no amount: it says as of which position of the log a campaign was read when its deadline had passed. Then what
one caisse or one centre is told is shown as of any position.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import ECDS
from contracts_schema.ecds import SECTIONS
from contracts_schema.products import CAMPAIGN
from flows import computed, law
from flows.campaigns import CLOSING, contested, extractions, identified, unplaced
from flows.deliveries import all_heads
from flows.hub import Hub, WrongUsage
from warehouse.log import Event, NewEvent, VersionConflict

if TYPE_CHECKING:
    import polars as pl

    from checks.cds.journal import Deadlines

DEADLINES = {"rosp": "ROSP déclarative", "rfs": "rémunération forfaitaire"}
ADVANCE = ("settlement", "advance")
"""Nodes beside what may be paid: what is left of an advance, and the advance that the next year would open."""
AMOUNTS = ("computed_cents", "payable_cents", "under_reserve_cents", "blocked_cents")


def campaigns(hub: Hub, until: int | None = None) -> dict[str, Any]:
    """Every campaign received: its last extraction by sender, its deadlines, its closings, what it is worth in all; and the
    centres that no caisse or no region can be told for, or that several caisses each say to be theirs."""
    known = all_heads(hub, until)
    found, standing, closed = extractions(known), identified(known), closings(hub, until)
    told: dict[int, dict[str, Any]] = {}
    for (sender, year), group in found.items():
        days = _deadlines(hub, year, until)
        one = told.setdefault(year, {"year": year, "extractions": [], "deadlines": [_day(days, name) for name in DEADLINES]})
        one["extractions"].append(
            {
                "sender": sender,
                "day": group[-1].day,
                "stands": standing[sender, year][-1].day,
                "kept": len(group),
                "sections": {section: head.rows for section, head in group[-1].heads.items()},
                "missing": [section for section in SECTIONS if section not in group[-1].heads],
            }
        )
        one["closings"] = [_closing(event) for event in closed if event.data["value"]["year"] == year]
    amounts = computed.rows(hub, CAMPAIGN, "out_cpam__cds_centre", until) if told else None
    for year, one in told.items():
        one["caisses"] = _sums(amounts, year)
        for closed in one["closings"]:
            closed["moved"] = _moved(hub, amounts, closed)
    return {"campaigns": list(told.values()), "unplaced": unplaced(hub, known).to_dicts(),
            "contested": contested(hub, known).to_dicts()}  # fmt: skip


def close(hub: Hub, year: int, deadline: str) -> dict[str, Any]:
    """Tell the log the state of a campaign at a deadline that has passed; one that is told already stays as it is.

    WrongUsage before the deadline, when no text gives it, and when nothing of the campaign was received.
    """
    if deadline not in DEADLINES:
        raise WrongUsage(f"date butoir inconnue : {deadline} (attendu : {', '.join(DEADLINES)})")
    stream = f"campaign/{year}"
    version = hub.log.version(stream)
    for event in closings(hub):
        if event.stream == stream and event.data["value"]["deadline"] == deadline:
            return _closing(event) | {"already": True}
    days = _deadlines(hub, year)
    cutoff, last = days.cutoff(deadline), days.last_day(deadline)
    if cutoff is None or last is None:
        raise WrongUsage(
            f"campagne {year} : aucun texte ne donne sa date butoir ({DEADLINES[deadline]}) ; attestez-la : "
            f"ecluse attest cds.campaign.day --dimension deadline={deadline} --from {year}-01-01 --to {year + 1}-01-01 …"
        )
    if hub.clock() < cutoff:
        raise WrongUsage(f"campagne {year}, {DEADLINES[deadline]} : ouverte jusqu'au {last:%d/%m/%Y} inclus")
    latest = {sender: group[-1].day for (sender, own), group in identified(all_heads(hub)).items() if own == year}
    if not latest:
        raise WrongUsage(f"campagne {year} : aucune extraction acceptée")
    value = {
        "year": year,
        "deadline": deadline,
        "last_day": last.isoformat(),
        "cutoff": cutoff.isoformat(),
        "extractions": {sender: day.isoformat() for sender, day in latest.items()},
        "before_the_end": sorted(sender for sender, day in latest.items() if day <= last),
    }
    data = {"kind": CLOSING, "subject": f"{year}/{deadline}", "value": value, "reason": None, "withdraws": None}
    new = NewEvent(stream, "DecisionTaken", data, f"{stream}/{deadline}", expected_version=version)
    try:
        event, ours = hub.log.append(new, hub.meta())
    except VersionConflict:  # closed from elsewhere in between
        return close(hub, year, deadline)
    return _closing(event) | {"already": not ours}


def due(hub: Hub) -> list[tuple[int, str]]:
    """The deadlines that have passed of the campaigns received, and that nobody has told yet."""
    told = {(event.data["value"]["year"], event.data["value"]["deadline"]) for event in closings(hub)}
    years = sorted({year for _, year in extractions(all_heads(hub, under=f"{ECDS}/"))})
    passed = ((year, name) for year in years for name in DEADLINES if _has_passed(hub, year, name))
    return [one for one in passed if one not in told]


def closings(hub: Hub, until: int | None = None) -> list[Event]:
    """Every closing, in the order of the log."""
    events: Iterator[Event] = hub.log.read(until=until, types={"DecisionTaken"}, under="campaign/")
    return [event for event in events if event.data.get("kind") == CLOSING]


def centre(hub: Hub, finess: str, year: int | None = None, until: int | None = None) -> dict[str, Any]:
    """What a centre is worth and why, by scheme, each with the tree of its nodes; by the law of its caisse.

    WrongUsage for a centre that no caisse can be told for.
    """
    import polars as pl

    rows = computed.rows(hub, CAMPAIGN, "out_cpam__cds_centre", until)
    rows = None if rows is None else rows.filter(finess=finess)
    if rows is None or rows.is_empty():
        raise WrongUsage(f"centre {finess} : dans aucune campagne reçue, ou sans caisse (voir ecluse campaigns)")
    chosen = year or max(rows["year"])
    if chosen not in rows["year"]:
        raise WrongUsage(f"centre {finess} : pas de campagne {chosen} (reçues : {', '.join(map(str, rows['year'].unique()))})")

    def of(view: str) -> "pl.DataFrame":
        found = computed.rows(hub, CAMPAIGN, view, until)
        found = pl.DataFrame(schema={"finess": pl.String, "year": pl.Int64}) if found is None else found
        return found.filter(pl.col("finess") == finess, pl.col("year") == chosen)

    nodes = {row["node"]: row for row in of("out_cpam__cds_node").iter_rows(named=True)}
    schemes = [
        row
        | {
            "tree": _tree(f"{row['scheme']}.payable", nodes),
            "advance": [_tree(f"{row['scheme']}.{name}", nodes) for name in ADVANCE if f"{row['scheme']}.{name}" in nodes],
        }
        for row in rows.filter(year=chosen).iter_rows(named=True)
    ]
    findings = of("out_cpam__cds_finding").to_dicts()
    return {"finess": finess, "year": chosen, "schemes": schemes, "findings": findings,
            "indicators": of("out_cpam__cds_indicator").to_dicts()}  # fmt: skip


def _tree(name: str, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A node with what it is made of; an input that is no node is an entry of the campaign."""
    if name not in nodes:
        return {"node": name, "inputs": []}
    told = dict(nodes[name])
    return told | {"inputs": [_tree(one, nodes) for one in told["inputs"].split(" + ") if one]}


def _closing(event: Event) -> dict[str, Any]:
    return dict(event.data["value"]) | {"position": event.position, "recorded_at": event.recorded_at}


def _deadlines(hub: Hub, year: int, until: int | None = None) -> "Deadlines":
    """The days of a campaign as the files have them; one that they lack is the last that an organisation attests."""
    from checks.cds.journal import Deadlines, deadlines

    written = vars(deadlines(year))
    attested = [vars(deadlines(year, law.law_of(hub, name, until).parameters)) for name in law.organisations(hub, until)]
    told = {name: [one[name] for one in attested if one[name]] for name in written}
    return Deadlines(**{
        name: value or max(told[name], key=lambda one: one.value, default=None) for name, value in written.items()
    })  # fmt: skip


def _has_passed(hub: Hub, year: int, deadline: str) -> bool:
    cutoff = _deadlines(hub, year).cutoff(deadline)
    return cutoff is not None and hub.clock() >= cutoff


def _day(days: "Deadlines", name: str) -> dict[str, Any]:
    last: date | None = days.last_day(name)
    return {"deadline": name, "last_day": last}


def _moved(hub: Hub, amounts: "pl.DataFrame | None", closed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The centres whose computed amount is no longer that of the state that was closed: finess, before, after (cents)."""
    import polars as pl

    then = computed.rows(hub, CAMPAIGN, "out_cpam__cds_centre", closed["position"])
    if amounts is None or then is None:
        return []
    mine = pl.col("year") == closed["year"], pl.col("scheme") == closed["deadline"]
    before, after = (rows.filter(*mine).select("finess", "computed_cents") for rows in (then, amounts))
    both = before.join(after, on="finess", how="full", coalesce=True, suffix="_now")
    moved = both.filter(pl.col("computed_cents").ne_missing(pl.col("computed_cents_now"))).sort("finess")
    return moved.select("finess", before="computed_cents", after="computed_cents_now").to_dicts()


def _sums(amounts: "pl.DataFrame | None", year: int) -> list[dict[str, Any]]:
    """Centres and cents by caisse, None where nothing could be worked out."""
    import polars as pl

    if amounts is None:
        return []
    mine = amounts.filter(pl.col("year") == year).group_by("caisse")
    sums = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in AMOUNTS]
    return mine.agg(pl.col("finess").n_unique().alias("centres"), *sums).sort("caisse").to_dicts()
