"""Policies: choices of whoever applies the law where it leaves one. Each has a default, and a name that a decision gives.

Knows what a policy may be set to; must never know who set it or what it leads to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

from contracts_schema.yaml_files import read_yaml

Choice = str | int | bool | date | None
BOOLEANS = {"oui": True, "non": False}
OFF = "aucun"
"""How a person writes that a figure is switched off."""


class WrongPolicy(ValueError):
    """There is no such policy, or it cannot be set to that; the message says in French what it takes."""


@dataclass(frozen=True)
class Policy:
    """A choice by name: one of ``values`` when there are some, else yes or no, a day or a figure as its default is."""

    id: str
    label_fr: str
    default: Choice
    values: tuple[str, ...]
    status: str
    note: str

    @property
    def takes(self) -> str:
        """What it may be set to, in French."""
        if self.values:
            return ", ".join(self.values)
        if isinstance(self.default, bool):
            return ", ".join(BOOLEANS)
        return "un jour (AAAA-MM-JJ)" if isinstance(self.default, date) else f"un nombre entier positif, ou {OFF}"


@cache
def catalogue() -> dict[str, Policy]:
    """Every policy by name, in the order of the file."""
    written = read_yaml(files("contracts_schema").joinpath("snp", "reconciliation.yaml"))["policies"]
    return {
        name: Policy(
            name, entry["label_fr"], entry["default"], tuple(entry.get("values", ())), entry["status"], entry.get("note", "")
        )
        for name, entry in written.items()
    }


def policies(decided: Mapping[str, Choice] | None = None) -> dict[str, Choice]:
    """What every policy is set to: what was decided, else its default. WrongPolicy for a name that there is not."""
    chosen = {name: policy.default for name, policy in catalogue().items()}
    for name in decided or {}:
        policy_of(name)
    return chosen | dict(decided or {})


def policy_of(name: str) -> Policy:
    """The policy of this name. WrongPolicy."""
    if name not in catalogue():
        raise WrongPolicy(f"politique inconnue : {name} ; il y a {', '.join(catalogue())}")
    return catalogue()[name]


def parse_choice(name: str, text: str) -> Choice:
    """What a policy is set to by this text, as ``str``, ``int``, ``bool``, ``date`` or null. WrongPolicy."""
    policy, text = policy_of(name), text.strip()
    if policy.values:
        if text in policy.values:
            return text
    elif isinstance(policy.default, bool):
        if text in BOOLEANS:
            return BOOLEANS[text]
    elif isinstance(policy.default, date):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    elif text == OFF:
        return None
    elif text.isascii() and text.isdecimal():
        return int(text)
    raise WrongPolicy(f"{name} ne prend pas « {text} » : attendu {policy.takes}")


def written_choice(value: Choice) -> str:
    """The text that ``parse_choice`` reads as this value."""
    if isinstance(value, bool):
        return next(text for text, known in BOOLEANS.items() if known is value)
    return OFF if value is None else str(value)
