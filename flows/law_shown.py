"""The law as it is shown: values with status and reference, what is missing, policies, links. Must never decide anything."""

from collections.abc import Iterable, Mapping
from datetime import date
from math import prod
from typing import Any

from contracts_schema import parameters
from contracts_schema.parameters import policies
from contracts_schema.parameters.record import Cell, Parameter, said
from flows.hub import Hub, WrongUsage
from flows.law import Attested, attestations, law_of


def show(
    hub: Hub,
    parameter: str | None = None,
    on: date | None = None,
    known_on: date | None = None,
    organisation: str | None = None,
    until: int | None = None,
) -> dict[str, Any]:
    """Values with their status and reference (all of them, or those of a day), what is missing, policies and links.

    ``parameter``: one by its id, or all those under a beginning that ends with a dot (``cds.``, ``cds.rfs.``).
    """
    own = law_of(hub, organisation, until)
    chosen = list(parameters.parameters()) if parameter is None else _chosen(parameter)
    values, missing = [], []
    for name in chosen:
        found = [one for one in parameters.timeline(name, own.parameters, known_on) if on is None or _holds(one, on)]
        values += [shown(one) for one in found if one.value is not None]
        missing += [_lacks(name, one.cell, "texte non trouvé", one) for one in found if one.value is None]
        told = {one.cell for one in found}
        cells = parameters.parameter(name).cells
        missing += [_lacks(name, cell, "aucune valeur") for cell in cells if cell not in told]
    return {
        "organisation": organisation,
        "on": on,
        "known_on": known_on,
        "values": values,
        "missing": missing,
        "policies": [] if parameter else [_policy_shown(own, one) for one in policies.catalogue().values()],
        "aliases": [] if parameter else [vars(one) for one in own.aliases],
        "decisions": attestations(hub, organisation, until) if organisation else [],
        "to_review": parameters.to_review(hub.judged_on or hub.today()),
    }


def _chosen(name: str) -> list[str]:
    if not name.endswith("."):
        return [_parameter(name).id]
    found = [one for one in parameters.parameters() if one.startswith(name)]
    if not found:
        raise WrongUsage(f"aucun paramètre ne commence par {name} ; il y a {', '.join(parameters.parameters())}")
    return found


def _parameter(name: str) -> Parameter:
    try:
        return parameters.parameter(name)
    except parameters.UnknownParameter as error:
        raise WrongUsage(f"{error} ; il y a {', '.join(parameters.parameters())}") from None


def _holds(one: parameters.Value, on: date) -> bool:
    return one.valid_from <= on and (one.valid_to is None or on < one.valid_to)


def shown(one: parameters.Value) -> dict[str, Any]:
    """A value as JSON and readers take it."""
    found = parameters.parameter(one.parameter)
    return {
        "parameter": one.parameter,
        "dimensions": said(one.cell),
        "cell": dict(one.cell),
        "name": one.name,
        "value": one.value,
        "kind": found.kind,
        "unit": found.unit,
        "valid_from": one.valid_from,
        "valid_to": one.valid_to,
        "status": one.status,
        "firm": parameters.is_firm(one.status),
        "reference": one.reference,
        "journal_officiel": one.journal_officiel,
        "position": one.position,
    }


def _lacks(name: str, cell: Cell, why: str, one: parameters.Value | None = None) -> dict[str, Any]:
    """A value that is missing: on all days, or on those of an entry that says so."""
    return {
        "parameter": name,
        "dimensions": said(cell),
        "cell": dict(cell),
        "why": why,
        "unit": parameters.parameter(name).unit,
        "valid_from": one and one.valid_from,
        "valid_to": one and one.valid_to,
        "reference": one.reference if one else "",
    }


def _policy_shown(own: Attested, policy: policies.Policy) -> dict[str, Any]:
    decided = own.decided.get(policy.id)
    return {
        "policy": policy.id,
        "label_fr": policy.label_fr,
        "value": policies.written_choice(decided.value if decided else policy.default),
        "default": policies.written_choice(policy.default),
        "takes": policy.takes,
        "position": decided.position if decided else None,
    }


def gathered(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that say the same of several cells, as one, for a reader: ``dimensions`` then lists the values of each dimension."""
    groups: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(value for name, value in row.items() if name not in ("cell", "dimensions")), []).append(row)
    found: list[dict[str, Any]] = []
    for group in groups.values():
        values = {name: list(dict.fromkeys(row["cell"][name] for row in group)) for name in group[0]["cell"]}
        if prod(map(len, values.values())) == len(group):
            told = " ; ".join(f"{name} = {', '.join(chosen)}" for name, chosen in values.items())
            found.append(dict(group[0]) | {"dimensions": told})
        else:
            found += map(dict, group)
    return found
