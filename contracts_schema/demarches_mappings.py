"""Mappings of the forms of démarches-simplifiées: which champ of a démarche says which fact. Configuration, read and validated.

A champ is designated by its descriptor id and by nothing else; its label is kept to be compared with the form's own. A mapping
that leaves a question open cannot be used: the error names the field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from contracts_schema.bordereau_profiles import normalised
from contracts_schema.yaml_files import read_yaml

FORMS = ("snp", "acces_direct", "local", "other")
ROLES = ("delegate", "delegating")
KINDS = ("MSP", "CDS", "CPTS")
_KEYS = {
    "mapping", "version", "status", "title_fr", "source", "form", "demarches", "structure", "protocols", "teams",
    "document_unique", "earlier", "named",
}  # fmt: skip
_REQUIRED = ("mapping", "version", "status", "form", "demarches", "structure", "teams")
_TEAM = {"table", "rpps", "profession", "profession_is", "role", "role_is", "pieces"}


class InvalidMapping(Exception):
    """A mapping that cannot be used: which file, which field, and what is expected (French)."""


@dataclass(frozen=True)
class Champ:
    """A champ of a form: its descriptor id, and the label that it had when the mapping was written."""

    id: str
    label: str


@dataclass(frozen=True)
class TeamMapping:
    """Where the members of a team stand: in a table (None: beside the other champs), in which champs, with which role."""

    table: Champ | None
    rpps: Champ
    profession: Champ | None
    profession_is: str | None
    role: Champ | None
    role_is: str | None
    pieces: tuple[Champ, ...]


@dataclass(frozen=True)
class FormMapping:
    """One form, for one or several démarches. ``choices``: a list of protocols; ``boxes``: family → its box."""

    id: str
    version: int
    title_fr: str
    form: str
    demarches: tuple[int, ...]
    siret: Champ | None
    applicant_siret: bool
    finess: Champ | None
    name: Champ | None
    kind: Champ | None
    kind_is: str | None
    choices: Champ | None
    boxes: Mapping[str, Champ]
    teams: tuple[TeamMapping, ...]
    document_unique: Champ | None
    earlier: Champ | None
    named: tuple[Champ, ...]

    def champs(self) -> Iterator[tuple[str, Champ]]:
        """Every champ that the mapping names, with the field that it fills."""
        single = {
            "structure.siret": self.siret, "structure.finess": self.finess, "structure.name": self.name,
            "structure.kind": self.kind, "protocols.choices": self.choices, "document_unique": self.document_unique,
            "earlier": self.earlier,
        }  # fmt: skip
        yield from ((field, champ) for field, champ in single.items() if champ)
        yield from ((f"protocols.boxes.{family}", champ) for family, champ in self.boxes.items())
        for place, team in enumerate(self.teams, 1):
            found = {"table": team.table, "rpps": team.rpps, "profession": team.profession, "role": team.role}
            yield from ((f"teams.{place}.{name}", champ) for name, champ in found.items() if champ)
            yield from ((f"teams.{place}.pieces", champ) for champ in team.pieces)
        yield from (("named", champ) for champ in self.named)

    def kept(self) -> frozenset[str]:
        """The descriptors of the champs whose values are kept: no other answer of a dossier is."""
        return frozenset(champ.id for _, champ in self.champs())


@cache
def mappings() -> Mapping[int, FormMapping]:
    """The mappings of the project, by number of démarche."""
    folder = files("contracts_schema").joinpath("demarches")
    found: dict[int, FormMapping] = {}
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".yaml"):
            mapping = load(path)
            for number in mapping.demarches:
                if found.setdefault(number, mapping) is not mapping:
                    raise InvalidMapping(f"{path.name} : la démarche {number} a déjà la correspondance {found[number].id}")
    return found


def load(path: Traversable) -> FormMapping:
    """One mapping of a YAML file; ``InvalidMapping`` says what to correct."""
    facts, where = read_yaml(path), f"correspondance {path.name}"
    if not isinstance(facts, dict):
        raise InvalidMapping(f"{where} : le fichier doit contenir des champs « nom: valeur »")
    for missing in sorted(set(_REQUIRED) - set(facts)):
        raise InvalidMapping(f"{where} : il manque le champ « {missing} »")
    for unknown in sorted(set(facts) - _KEYS):
        raise InvalidMapping(f"{where} : champ inconnu « {unknown} » ; permis : {', '.join(sorted(_KEYS))}")
    structure, protocols = facts["structure"] or {}, facts.get("protocols") or {}
    applicant = structure.get("siret") == "applicant"
    mapping = FormMapping(
        id=facts["mapping"],
        version=facts["version"],
        title_fr=facts.get("title_fr", ""),
        form=_among(facts["form"], FORMS, f"{where}, form"),
        demarches=tuple(facts["demarches"]),
        siret=None if applicant else _champ(structure, "siret", where),
        applicant_siret=applicant,
        finess=_champ(structure, "finess", where),
        name=_champ(structure, "name", where),
        kind=_champ(structure, "kind", where),
        kind_is=_among(structure["kind_is"], KINDS, f"{where}, kind_is") if "kind_is" in structure else None,
        choices=_champ(protocols, "choices", where),
        boxes={family: _named(told, f"{where}, boxes.{family}") for family, told in (protocols.get("boxes") or {}).items()},
        teams=tuple(_team(told, f"{where}, équipe {place}") for place, told in enumerate(facts["teams"], 1)),
        document_unique=_champ(facts, "document_unique", where),
        earlier=_champ(facts, "earlier", where),
        named=tuple(_named(told, f"{where}, named") for told in facts.get("named") or ()),
    )
    _whole(mapping, where)
    return mapping


def _whole(mapping: FormMapping, where: str) -> None:
    if not mapping.siret and not mapping.applicant_siret and not mapping.finess and not mapping.name:
        raise InvalidMapping(f"{where} : structure doit dire où lire le SIRET, le FINESS ou le nom")
    if mapping.form == "snp" and not mapping.choices and not mapping.boxes:
        raise InvalidMapping(f"{where} : protocols doit dire où lire les protocoles (choices ou boxes)")
    used: dict[str, str] = {}
    for field, champ in mapping.champs():
        if used.setdefault(champ.id, field) != field:
            raise InvalidMapping(f"{where} : le champ {champ.id} sert à la fois à {used[champ.id]} et à {field}")


def _team(told: Mapping[str, Any], where: str) -> TeamMapping:
    for unknown in sorted(set(told) - _TEAM):
        raise InvalidMapping(f"{where} : champ inconnu « {unknown} » ; permis : {', '.join(sorted(_TEAM))}")
    if "rpps" not in told:
        raise InvalidMapping(f"{where} : il manque le champ « rpps »")
    if ("role" in told) == ("role_is" in told):
        raise InvalidMapping(f"{where} : dites où lire le rôle (role), ou lequel c'est pour tous (role_is)")
    return TeamMapping(
        table=_champ(told, "table", where),
        rpps=_named(told["rpps"], f"{where}, rpps"),
        profession=_champ(told, "profession", where),
        profession_is=told.get("profession_is"),
        role=_champ(told, "role", where),
        role_is=_among(told["role_is"], ROLES, f"{where}, role_is") if "role_is" in told else None,
        pieces=tuple(_named(one, f"{where}, pieces") for one in told.get("pieces") or ()),
    )


def _champ(group: Mapping[str, Any], name: str, where: str) -> Champ | None:
    return _named(group[name], f"{where}, {name}") if name in group else None


def _named(told: Any, where: str) -> Champ:
    if (
        not isinstance(told, dict)
        or set(told) != {"champ", "label"}
        or not all(isinstance(v, str) and v for v in told.values())
    ):
        raise InvalidMapping(f"{where} : à compléter sous la forme {{champ: <identifiant du descripteur>, label: <libellé>}}")
    return Champ(told["champ"], told["label"])


def _among(value: Any, known: tuple[str, ...], where: str) -> str:
    if value not in known:
        raise InvalidMapping(f"{where} : vaut l'un de {', '.join(known)}")
    return str(value)


@cache
def form_words() -> Mapping[str, Any]:
    """Words that recognise champs, and answers that mean a role: ``roles`` is normalised text → code."""
    facts = read_yaml(files("contracts_schema").joinpath("snp", "form_words.yaml"))
    roles = {normalised(text): role for role, texts in facts["roles"].items() for text in texts}
    return {**facts, "roles": roles}


@cache
def protocol_titles() -> Mapping[str, str]:
    """Titles of the SNP protocols, normalised → family."""
    facts = read_yaml(files("contracts_schema").joinpath("snp", "labels.yaml"))
    return {normalised(title): family for family, titles in facts["titles"].items() for title in titles}
