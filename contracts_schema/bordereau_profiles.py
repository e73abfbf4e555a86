"""Template profiles of bordereaux and the tables of labels they use: configuration, read and validated here.

A profile says which columns a template has and how its dates and amounts are written. None is official: no public template
was found. A mistake in a profile is an error that names the file and the field, never a default in silence.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from contracts_schema.yaml_files import read_yaml

COLUMNS = (
    "protocol", "act", "date", "month", "delegate", "rpps", "profession", "count", "unit", "amount", "ref", "comment",
    "patient_key", "age", "sex",
)  # fmt: skip
"""Canonical columns that a profile may map."""
FIELDS = (
    "structure_name", "siret", "finess", "structure_kind", "caisse", "period", "total", "replaces", "sender", "iban_state",
)  # fmt: skip
"""Facts that a profile may look for above the table."""
RESTRICTED = ("patient_key", "age", "sex")
_KEYS = frozenset(
    [
        "profile",
        "version",
        "status",
        "title_fr",
        "source",
        "valid_for_reception",
        "formats",
        "csv",
        "sheets",
        "header_row",
        "header_fields",
        "columns",
        "dates",
        "numbers",
        "totals_rows",
        "labels",
        "grain",
        "certification",
    ]
)
_REQUIRED = _KEYS - {"title_fr", "source", "labels", "certification", "totals_rows"}
_CHOICES = {
    ("sheets", "hidden"): ("refuse", "read"),
    ("sheets", "several"): ("read_all_matching", "refuse"),
    ("dates", "two_digit_years"): ("ask", "2000"),
}


class InvalidProfile(Exception):
    """A profile that cannot be used: which file, which field, and what is allowed (French)."""


@dataclass(frozen=True)
class Profile:
    """One template. ``columns`` and ``fields``: canonical name → accepted headings, normalised; ``facts``: the YAML as read."""

    id: str
    version: int
    title_fr: str
    columns: Mapping[str, tuple[str, ...]]
    fields: Mapping[str, tuple[str, ...]]
    required: frozenset[str]
    formats: tuple[str, ...]
    include: tuple[str, ...]
    read_hidden: bool
    search_rows: tuple[int, int]
    min_matching: int
    two_rows: bool
    valid_from: date | None
    valid_to: date | None
    two_digit_years: bool
    thousands: tuple[str, ...]
    currency: tuple[str, ...]
    excel_serial: bool
    totals: tuple[str, ...]
    certification: tuple[str, ...]
    certification_required: bool
    facts: Mapping[str, Any]


def normalised(text: str) -> str:
    """Text without accents, case, punctuation and repeated spaces: how headings, labels and names are compared."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare.lower().replace("œ", "oe").replace("æ", "ae")).split())


@cache
def profiles() -> tuple[Profile, ...]:
    """The profiles of the project, in the order of their names."""
    folder = files("contracts_schema").joinpath("snp", "profiles")
    return tuple(load(path) for path in sorted(folder.iterdir(), key=lambda entry: entry.name) if path.name.endswith(".yaml"))


def load(path: Traversable) -> Profile:
    """One profile of a YAML file; ``InvalidProfile`` says what to correct."""
    facts = read_yaml(path)
    where = f"profil {path.name}"
    if not isinstance(facts, dict):
        raise InvalidProfile(f"{where} : le fichier doit contenir des champs « nom: valeur »")
    _check(facts, where)
    columns = {name: _headings(told["names"], f"{where}, colonne {name}") for name, told in facts["columns"].items()}
    _distinct(columns, where)
    numbers, dates, header = facts["numbers"], facts["dates"], facts["header_row"]
    certification = facts.get("certification") or {}
    return Profile(
        id=facts["profile"],
        version=facts["version"],
        title_fr=facts.get("title_fr", ""),
        columns=columns,
        fields={name: _headings(told, f"{where}, champ {name}") for name, told in facts["header_fields"].items()},
        required=frozenset(name for name, told in facts["columns"].items() if told.get("required") is True),
        formats=tuple(facts["formats"]),
        include=tuple(normalised(name) for name in facts["sheets"]["include"]),
        read_hidden=facts["sheets"].get("hidden") == "read",
        search_rows=(header["search_in_rows"][0], header["search_in_rows"][1]),
        min_matching=header["min_matching_columns"],
        two_rows=bool(header.get("allow_two_rows")),
        valid_from=facts["valid_for_reception"].get("from"),
        valid_to=facts["valid_for_reception"].get("to"),
        two_digit_years=str(dates.get("two_digit_years", "ask")) == "2000",
        thousands=tuple(numbers["thousands"]),
        currency=tuple(numbers["currency"]),
        excel_serial=bool(dates.get("excel_serial")),
        totals=tuple(normalised(label) for label in (facts.get("totals_rows") or {}).get("labels", ())),
        certification=tuple(normalised(word) for word in certification.get("search", ())),
        certification_required=bool(certification.get("required")),
        facts=facts,
    )


def _check(facts: dict[str, Any], where: str) -> None:
    for missing in sorted(_REQUIRED - set(facts)):
        raise InvalidProfile(f"{where} : il manque le champ « {missing} »")
    for unknown in sorted(set(facts) - _KEYS):
        raise InvalidProfile(f"{where} : champ inconnu « {unknown} » ; permis : {', '.join(sorted(_KEYS))}")
    for group, known in (("columns", COLUMNS), ("header_fields", FIELDS)):
        for unknown in sorted(set(facts[group]) - set(known)):
            raise InvalidProfile(f"{where} : « {unknown} » inconnu dans {group} ; permis : {', '.join(known)}")
    if not isinstance(facts["version"], int) or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(facts["profile"])):
        raise InvalidProfile(f"{where} : « profile » est un nom en minuscules, « version » un nombre entier")
    for (group, name), choices in _CHOICES.items():
        if str(facts[group].get(name, choices[0])) not in choices:
            raise InvalidProfile(f"{where} : {group}.{name} vaut l'un de {', '.join(choices)}")
    if not {"date", "month"} & set(facts["columns"]) or not {"protocol", "amount"} <= set(facts["columns"]):
        raise InvalidProfile(f"{where} : columns doit nommer protocol, amount, et date ou month")
    if facts["dates"].get("orders") != ["DMY"]:
        raise InvalidProfile(f"{where} : dates.orders ne peut valoir que [DMY], l'ordre français")
    for name in set(RESTRICTED) & set(facts["columns"]):
        if not facts["columns"][name].get("restricted"):
            raise InvalidProfile(f"{where} : la colonne {name} doit porter « restricted: true »")


def _headings(names: Any, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and normalised(name) for name in names):
        raise InvalidProfile(f"{where} : une liste d'intitulés est attendue")
    return tuple(normalised(name) for name in names)


def _distinct(columns: Mapping[str, tuple[str, ...]], where: str) -> None:
    seen: dict[str, str] = {}
    for name, headings in columns.items():
        for heading in headings:
            if seen.setdefault(heading, name) != name:
                raise InvalidProfile(f"{where} : l'intitulé « {heading} » désigne à la fois {seen[heading]} et {name}")


@cache
def labels() -> Mapping[str, Any]:
    """The table of labels: ``families``, ``acts``, ``professions``… normalised text → code; ``words``, ``default_acts``."""
    facts = read_yaml(files("contracts_schema").joinpath("snp", "labels.yaml"))
    groups = ("families", "acts", "professions", "structure_kinds", "sexes", "senders", "iban_states")
    codes: dict[str, Any] = {}
    for group in groups:
        codes[group] = {normalised(text): code for code, texts in facts[group].items() for text in [code, *texts]}
    codes["families"] |= {normalised(title): family for family, titles in facts["titles"].items() for title in titles}
    return codes | {name: facts[name] for name in ("words", "default_acts", "version", "table")}


@cache
def patient_marks() -> Mapping[str, Any]:
    """Signs of a patient's identity: ``headings`` and ``first_names`` normalised, ``address``, ``professionals``."""
    facts = read_yaml(files("contracts_schema").joinpath("snp", "patient_marks.yaml"))
    names = ("headings", "first_names", "address", "professionals")
    return {name: frozenset(normalised(text) for text in facts[name]) for name in names}
