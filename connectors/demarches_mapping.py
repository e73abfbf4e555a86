"""Between a démarche's form and a mapping: does the one still fit the other, and what mapping could a new form have?

A proposal must never guess: a field that two champs could fill is left open, with both named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from connectors.demarches_records import Record, descriptors
from contracts_schema.bordereau_profiles import labels, normalised
from contracts_schema.demarches_mappings import FormMapping, form_words


@dataclass(frozen=True)
class Misfit:
    """A champ of a mapping that the form no longer shows as it was. ``kind``: absent, retired, renamed.

    Only ``absent`` prevents reading: a champ is found by its id, whatever its label has become.
    """

    field: str
    champ: str
    kind: str
    sentence: str


def misfits(mapping: FormMapping, form: Record) -> list[Misfit]:
    """What differs between a mapping and the descriptors of a démarche, all revisions together."""
    ever = {one["id"]: one for one in reversed(descriptors(form))}
    active = next((one for one in form["revisions"] if one["id"] == form["revision"]), None)
    now = {one["id"]: one for one in descriptors({"revisions": [active] if active else []})}
    found = []
    for field_name, champ in mapping.champs():
        if champ.id not in ever:
            said = (
                "aucune révision du formulaire n'a ce champ : la correspondance est celle d'une autre démarche, ou à corriger"
            )
            found.append(Misfit(field_name, champ.id, "absent", said))
        elif champ.id not in now:
            said = "la révision active du formulaire n'a plus ce champ : les dossiers à venir ne le rempliront pas"
            found.append(Misfit(field_name, champ.id, "retired", said))
        elif normalised(now[champ.id]["label"]) != normalised(champ.label):
            label = now[champ.id]["label"]
            said = f"le champ « {champ.label} » s'appelle maintenant « {label} » : vérifiez qu'il dit la même chose"
            found.append(Misfit(field_name, champ.id, "renamed", said))
    return found


@dataclass
class Proposal:
    """A mapping to be read over. ``open``: fields that someone must fill, with the champs that could; ``text``: the YAML."""

    facts: dict[str, Any]
    open: dict[str, list[Record]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The file to complete: open fields are commented out with their candidates."""
        lines = [
            "# Proposé d'après le formulaire : à relire par quelqu'un qui le connaît. Rien n'a été deviné ;",
            "# ce qui reste à compléter est en commentaire, avec les champs possibles.",
            yaml.safe_dump(self.facts, allow_unicode=True, sort_keys=False, width=120).rstrip(),
        ]
        for name, candidates in self.open.items():
            lines.append(f"# À COMPLÉTER : {name}")
            lines += [f"#   {{champ: {one['id']}, label: {_quoted(one['label'])}}}" for one in candidates]
            lines += [] if candidates else ["#   aucun champ ne convient"]
        return "\n".join(lines) + "\n"


def propose(form: Record) -> Proposal:
    """A mapping for the active revision of a démarche, from its descriptors alone."""
    words = form_words()
    active = next(one for one in form["revisions"] if one["id"] == form["revision"])["champs"]
    proposal = Proposal(
        {
            "mapping": f"demarche-{form['number']}",
            "version": 1,
            "status": "assumption",
            "title_fr": form["title"],
            "demarches": [form["number"]],
        },
        {"form : snp, acces_direct, local ou other": []},
    )
    for name, told in words["fields"].items():
        candidates = [one for one in active if _fits(one, told)]
        if len(candidates) == 1:
            _set(proposal.facts, name, _champ(candidates[0]))
        elif name != "protocols.choices":
            if candidates or name in ("structure.siret", "structure.name", "structure.kind"):
                proposal.open[name] = candidates
        else:
            _protocols(proposal, active, candidates)
    _teams(proposal, active, words)
    return proposal


def _protocols(proposal: Proposal, active: Sequence[Record], choices: list[Record]) -> None:
    """A box for each protocol, when no list asks for them; a family that two boxes name stays open."""
    families = labels()["families"]
    boxes = [one for one in active if one["type"] in ("CheckboxChamp", "YesNoChamp") and normalised(one["label"]) in families]
    named: dict[str, list[Record]] = {}
    for box in boxes:
        named.setdefault(families[normalised(box["label"])], []).append(box)
    if choices or not boxes:
        proposal.open["protocols.choices"] = choices
        return
    for family, found in named.items():
        if len(found) == 1:
            _set(proposal.facts, f"protocols.boxes.{family}", _champ(found[0]))
        else:
            proposal.open[f"protocols.boxes.{family}"] = found


def _teams(proposal: Proposal, active: Sequence[Record], words: Mapping[str, Any]) -> None:
    """Each table that asks for one RPPS; a table that asks for two is left open."""
    teams: list[dict[str, Any]] = []
    for table in (one for one in active if one["type"] == "RepetitionChamp"):
        found = {name: [one for one in table["champs"] if _fits(one, told)] for name, told in words["team"].items()}
        if not found["rpps"]:
            continue
        place = f"teams.{len(teams) + 1}"
        team: dict[str, Any] = {"table": _champ(table)}
        for name, candidates in found.items():
            if len(candidates) == 1:
                team[name] = _champ(candidates[0])
            elif candidates:
                proposal.open[f"{place}.{name}"] = candidates
        if not found["role"]:
            role = _role_of(table["label"], words["role_of_table"])
            if role:
                team["role_is"] = role
            else:
                proposal.open[f"{place}.role_is : delegate ou delegating"] = []
        pieces = [_champ(one) for one in table["champs"] if one["type"] in words["pieces"]["types"] and one["required"]]
        teams.append(team | ({"pieces": pieces} if pieces else {}))
    proposal.facts["teams"] = teams
    if not teams:
        proposal.open["teams"] = [one for one in active if one["type"] == "RepetitionChamp"]


def _role_of(label: str, roles: Mapping[str, Sequence[str]]) -> str | None:
    """The role that a table's label names, when it names one only."""
    spoken = set(normalised(label).split())
    found = [role for role, texts in roles.items() if spoken & {normalised(text) for text in texts}]
    return found[0] if len(found) == 1 else None


def _fits(one: Record, told: Mapping[str, Any]) -> bool:
    label = f" {normalised(one['label'])}"
    return one["type"] in told["types"] and _holds(label, told["words"]) and not _holds(label, told.get("never", ()))


def _holds(label: str, words: Iterable[str]) -> bool:
    return any(f" {normalised(word)}" in label for word in words)


def _champ(one: Record) -> dict[str, str]:
    return {"champ": one["id"], "label": one["label"]}


def _set(facts: dict[str, Any], name: str, value: Any) -> None:
    *groups, last = name.split(".")
    for group in groups:
        facts = facts.setdefault(group, {})
    facts[last] = value


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, default_style='"', width=1000).strip()
