"""What a published row about a centre de santé rests on: the steps of its computation, the lines of each section, the rules.

From an amount down the graph of its nodes, each with its value, figure of the law, text and status, to the lines on which the
centre entered what counts. Gives lines of the section about professionals, never what they say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from connectors.campaign_files import ECDS
from contracts_schema.ecds import JOURNALS
from contracts_schema.products import CAMPAIGN, Table
from flows import campaigns, computed, law
from flows.campaign_references import OF_CAISSE, OF_REGION, concerns
from flows.closings import ADVANCE
from flows.computed import Moment
from flows.deliveries import all_heads
from flows.hub import Hub
from flows.origins import STEP, Origins, decision, measure, rule
from warehouse.heads import DATASET, Head

if TYPE_CHECKING:
    from checks.cds.facts import Campaign
    from flows.campaigns import Told

NODES = "out_cpam__cds_node"
ENTRY = re.compile(r"entrée de (\w+) pour (\S+)")
STAFF = "professionnel"


def origins(hub: Hub, table: Table, row: Mapping[str, Any], position: int) -> Origins:
    """What a row rests on, as of a position."""
    at = computed.moment(hub, CAMPAIGN, position)
    if at is None:
        return Origins({})
    known = all_heads(hub, at.position)
    kind = "cpam" if table.view.startswith("out_cpam__") else "ars"
    place = f"{kind}-{row['caisse' if kind == 'cpam' else 'region']}"
    told = [one for one in campaigns.campaigns(hub, known, place, at) if one.campaign.year == row["year"]]
    if table.name == "finding":
        where = {row["section"]: {"ligne": {row["line"]}} if row["line"] else {"centre": None}} if row["section"] else {}
        return Origins(_placed(known, told, where, row), (rule(row["rule"], row["reason"], section=row["section"]),))
    mine = [one for one in told if _has(one.campaign, row["finess"])]
    steps = [step for one in mine for step in _steps(hub, one, place, at, table, row)]
    basis = [*steps, *_decisions(hub, place, at, steps)]
    if table.name == "centre":
        basis += _rules(hub, kind, position, row)
    lines = _placed(known, mine, _entries(table, row, steps), row)
    return Origins(lines | _others(hub, known, place, row), tuple(basis))


def _has(campaign: "Campaign", finess: str) -> bool:
    return any(frame is not None and finess in frame["finess_et"] for frame in campaign.sections().values())


def _steps(hub: Hub, told: "Told", place: str, at: Moment, table: Table, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes under a row, from the result down, each once."""
    import polars as pl

    if place.startswith("cpam-"):
        kept = computed.rows(hub, CAMPAIGN, NODES, at.position)
        every = campaigns.judged(hub, told, place, at)[NODES] if kept is None else kept
    else:  # an ARS attests for itself, and no step is published to it
        every = campaigns.judged(hub, told, place, at)[NODES]
    own = every.filter(pl.col("finess") == row["finess"], pl.col("year") == row["year"])
    nodes = {one["node"]: one for one in own.iter_rows(named=True)}
    if table.name == "node":
        names = [row["node"]]
    elif table.name == "centre":
        names = [f"{row['scheme']}.{end}" for end in (*reversed(ADVANCE), "payable")]
    elif table.name == "comparison":
        names = []
    else:
        start = f"{row['scheme']}.{row['indicator']}"
        names = [start] if start in nodes else [f"{start}.amount"]
    waiting, seen = [(name, 0) for name in names], set[str]()
    while waiting:
        name, depth = waiting.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            one = nodes[name]
            yield {"kind": STEP, "depth": depth, **{part: one[part] for part in
                   ("node", "value", "unit", "firm", "status_fr", "text_fr", "inputs", "parameters")},
                   "text": f"{name} = {one['shown']} [{one['status_fr']}] : {one['text_fr']}"}  # fmt: skip
            waiting += [(inner, depth + 1) for inner in reversed(one["inputs"].split(" + ")) if inner]


def _decisions(hub: Hub, place: str, at: Moment, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The attestations that a step uses."""
    used = "\n".join(f"{step['parameters']} {step['text_fr']}" for step in steps)
    own = law.law_of(hub, place, at.position).parameters
    for position in sorted({one.position for one in own if re.search(rf"{re.escape(one.parameter)}\b(?!\.)", used)}):
        yield decision(hub, position)


def _rules(hub: Hub, kind: str, position: int, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What rules say of the centre."""
    import polars as pl

    found = computed.rows(hub, CAMPAIGN, f"out_{kind}__cds_finding", position)
    if found is not None:
        own = found.filter(pl.col("finess") == row["finess"], pl.col("year") == row["year"])
        for one in own.filter(pl.col("state").is_in(["Bloquant", "Alerte"])).iter_rows(named=True):
            yield rule(one["rule"], one["reason"], state=one["state"], section=one["section"], line=one["line"])


def _entries(table: Table, row: Mapping[str, Any], steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By section what of the centre counts: of journals the indicators, by code; of the others all its lines (None)."""
    wanted: dict[str, dict[str, Any]] = {"identification": {"centre": None}}
    whole = table.name == "comparison" or (table.name == "centre" and row["scheme"] == "rfs")
    if whole:
        wanted |= {"horaires": {"centre": None}}
    if whole or any(STAFF in step["text_fr"] for step in steps):
        wanted |= {"professionnels": {"centre": None}}
    codes = {pair for step in steps for pair in ENTRY.findall(step["inputs"])}
    if table.name == "indicator":
        codes.add((row["scheme"], row["indicator"]))
    for section, code in sorted(codes):
        wanted.setdefault(section, {})[code] = code
    return wanted


def _placed(
    known: Mapping[str, Head], told: "list[Told]", wanted: Mapping[str, Mapping[str, Any]], row: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The lines of what is wanted, by the scope of the section that was read."""
    import polars as pl

    found: dict[str, dict[str, Any]] = {}
    for one in told:
        frames = one.campaign.sections()
        scopes = _scopes(known, one)
        for section, parts in wanted.items():
            frame = frames.get(section)
            if frame is None:
                continue
            for name, what in parts.items():
                rows = frame.filter(pl.col("finess_et") == row["finess"]) if row["finess"] else frame
                if isinstance(what, set):
                    rows = rows.filter(pl.col("line").is_in(list(what)))
                elif section in JOURNALS and what:
                    rows = rows.filter(pl.col("code").is_in(_written_as(one.campaign, section, what)))
                for (file,), lines in rows.group_by("file", maintain_order=True):
                    if file in scopes:
                        found.setdefault(scopes[file], {})[name] = measure(lines["line"])
    return found


def _written_as(campaign: "Campaign", section: str, code: str) -> list[str]:
    """The codes under which a section may name an indicator."""
    import polars as pl

    if campaign.mapping is None:
        return [code]
    ours = campaign.mapping.filter(pl.col("section") == section, pl.col("code") == code)
    return [code, *ours["code_source"]]


def _others(hub: Hub, known: Mapping[str, Head], place: str, row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines that datasets of a caisse or of a region hold about the centre."""
    import polars as pl

    told = {}
    for head in known.values():
        name = head.scope.removeprefix("reference/").partition("/")[0]
        if head.source == DATASET and name in (*OF_CAISSE, *OF_REGION) and concerns(head.scope, place):
            rows = pl.read_parquet(hub.blobs.segment_path(head.tables[f"dataset_{name}"])).filter(finess=row["finess"])
            rows = rows.filter(year=row["year"]) if "year" in rows.columns else rows
            if rows.height:
                told[head.scope] = {"centre": measure(rows["line_number"])}
    return told


def _scopes(known: Mapping[str, Head], told: "Told") -> dict[str, str]:
    """The scope of each file of a campaign: of the extraction that counts, else of an earlier one of its journal."""
    mine = [head for head in known.values() if head.source == ECDS]
    mine.sort(key=lambda head: head.position in told.positions)
    return {str(file["name"]): head.scope for head in mine for file in head.data["files"]}
