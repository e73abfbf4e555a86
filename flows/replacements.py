"""*Annule et remplace*: which bordereau another one replaces, found among those of the same structure and caisse.

By its own words: the start of a fingerprint, the name of a file; else by the mention alone, when a single bordereau stands for
the same period. Two that could be meant: none is. Whoever comes first, the same one stands at the end, since a bordereau that
comes after the one that replaces it finds it. Nothing here looks at a line.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from checks.bordereaux import Standing
from contracts_schema.bordereau_profiles import normalised
from flows.hub import Hub
from warehouse.heads import BORDEREAU, FOLDED, Folding
from warehouse.log import Event

UNDER = f"{BORDEREAU}/"
NONE_TOLD = frozenset({"", "non", "neant", "aucun", "aucune", "sans objet", "so", "0", "n a", "na"})
"""What people write in a field that does not apply."""
LONGEST = 120
"""Characters of the mention that are kept."""


@dataclass(frozen=True)
class Placed:
    """Where a bordereau stands among the others.

    ``replaces``: the scope that it replaces; ``replaced_by``: scopes, known before it came, that replace it; ``lineage`` and
    ``structure``: scope and structure key of the first received of its chain, from which its line ids are made;
    ``same_content``: an earlier delivery of the same lines; ``standing``: what its judgement looks at; ``seen``: the position
    of the log up to which this was found.
    """

    replaces: str | None
    replaced_by: tuple[str, ...]
    lineage: str
    structure: str
    same_content: str | None
    standing: Standing
    seen: int


def mention(text: str | None) -> str:
    """What a header says that it replaces, bare; empty when it says nothing. Numbers as long as a person's are left out."""
    bare = " ".join(re.sub(r"\d{13,}", "", normalised(text or "")).split())[:LONGEST]
    return "" if bare in NONE_TOLD else bare


def place(hub: Hub, received: Event, told: Mapping[str, Any]) -> Placed:
    """The place of a received bordereau, whose facts are ``told`` (``bordereau`` of its decision), as of now."""
    seen = hub.log.last_under(UNDER)
    events = list(hub.log.read(under=UNDER, types=FOLDED))
    mine = [event for event in events if event.data["delivery_id"] == received.data["delivery_id"]]
    own = [event for event in mine if event.type == "DeliveryAccepted"]
    caisse = received.data["caisse"]
    related = {event.stream for event in events if event.data["caisse"] == caisse and _same(told, event.data.get(BORDEREAU))}
    others = [event for event in events if event.stream in related - {received.stream}]
    folding = Folding(others)
    heads = folding.heads()
    last = {event.stream: event for event in others if event.type != "DeliveryRejected"}
    digest = told["content_digest"]
    equal = [head for head in heads.values() if head.data[BORDEREAU]["content_digest"] == digest]
    same = max(equal, key=lambda head: head.position).delivery_id if equal else None
    if (
        own
        and own[-1].data[BORDEREAU]["mention"] == told["mention"]
        and own[-1].data[BORDEREAU]["structure"] == told["structure"]
    ):
        return _as_before(own[-1], same, seen)
    me = {"received": received.data["received"], "scope": received.stream}
    claims = sorted(
        (scope for scope in heads if _claims(last[scope], me, told)), key=lambda scope: last[scope].data["reception"]
    )
    target, ambiguous = _target(told, last, {s for s, head in heads.items() if head.superseded_by is None} - {*claims}, claims)
    first = last[target or claims[0]] if target or claims else None
    after = heads[target].superseded_by if target in heads else None
    return Placed(
        replaces=target,
        replaced_by=tuple(claims),
        lineage=first.data["lineage"] if first else received.stream,
        structure=first.data["lineage_structure"] if first else told["structure"] or received.stream,
        same_content=same,
        standing=Standing(
            replaces_unknown=bool(told["mention"]) and target is None and not ambiguous,
            ambiguous=ambiguous,
            replaced_already=bool(claims),
            replaced_twice=after is not None and after not in claims,
            same_content=same is not None,
        ),
        seen=seen,
    )


def _as_before(own: Event, same: str | None, seen: int) -> Placed:
    """Judged again, a bordereau keeps its place, and so its lines keep their ids."""
    data = own.data
    alerts = data["alerts"]
    standing = Standing(
        replaces_unknown="bordereau.replaces_unknown" in alerts,
        ambiguous="bordereau.replaces_ambiguous" in alerts,
        replaced_already="bordereau.replaced_already" in alerts,
        replaced_twice="bordereau.replaced_twice" in alerts,
        same_content=same is not None,
    )
    return Placed(
        data["replaces"], tuple(data["replaced_by"]), data["lineage"], data["lineage_structure"], same, standing, seen
    )


def _same(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Whether two bordereaux are of one structure, by a number that both give; by name when neither has a number."""
    if other is None:
        return False
    if any(one[key] and one[key] == other[key] for key in ("siret", "finess")):
        return True
    numbered = any(side[key] for side in (one, other) for key in ("siret", "finess"))
    return not numbered and one["structure"] is not None and one["structure"] == other["structure"]


def _target(
    told: Mapping[str, Any], last: Mapping[str, Event], standing: set[str], claims: Iterable[str]
) -> tuple[str | None, bool]:
    """The scope that a bordereau replaces, if one is found; and whether several could be meant."""
    if not told["mention"]:
        return None, False
    named = [scope for scope, event in last.items() if scope not in {*claims} and _names(told["mention"], event.data)]
    if not named and _points(told["mention"]):
        return None, False  # it names one that has not come yet: no other may be taken for it
    found = named or [scope for scope in sorted(standing) if _same_period(told, last[scope].data[BORDEREAU])]
    return (found[0], False) if len(found) == 1 else (None, bool(found))


def _claims(earlier: Event, me: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether a bordereau that came earlier says that it replaces this one, which it could not find then."""
    data = earlier.data
    said = data[BORDEREAU]["mention"]
    if not said:
        return False
    if _names(said, me):
        return True
    lost = not _points(said) and data["replaces"] is None and "bordereau.replaces_ambiguous" not in data["alerts"]
    return lost and not told["mention"] and _same_period(told, data[BORDEREAU])


def _same_period(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[end] is not None and one[end] == other[end] for end in ("period_from", "period_to"))


def _points(said: str) -> bool:
    """Whether words are the name of a file or a fingerprint, which mean one bordereau and no other."""
    return bool(
        re.search(r" (?:xlsx|ods|csv)(?: |$)|(?<![0-9a-z])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,64}(?![0-9a-z])", said)
    )


def _names(said: str, data: Mapping[str, Any]) -> bool:
    """Whether words name a bordereau: by the start of its fingerprint, or by the name of its file, which must be told whole."""
    digests = re.findall(r"(?<![0-9a-z])[0-9a-f]{8,64}(?![0-9a-z])", said)
    if any(file["sha256"].startswith(digest) for digest in digests for file in data["received"]):
        return True
    names = {normalised(file["name"]) for file in data["received"]}
    names |= {normalised(file["name"].rpartition(".")[0]) for file in data["received"]}
    return any(name and (name == said or (re.search(r"\d", name) and f" {name} " in f" {said} ")) for name in names)
