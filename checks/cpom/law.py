"""The law of the CPOM rules: dated figures of the parameters, and the policies that settle what the guide leaves open.

Knows nothing of where decisions are kept. A figure that has no value on a day is None: the rule says NOT_EVALUABLE.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from contracts_schema import parameters
from contracts_schema.cpom_catalogue import Choice, chosen_policies
from contracts_schema.rules import catalogue

CONTRACT_STARTS = date(2025, 1, 1)
RULES_VERSION = "2026.1"


@dataclass(frozen=True)
class Law:
    """Policies by name, and what an organisation attests of the parameters; ``rules_version`` goes into each finding."""

    policies: tuple[tuple[str, Choice], ...]
    attested: tuple[parameters.Attestation, ...] = ()
    rules_version: str = RULES_VERSION

    def yes(self, policy: str) -> bool:
        """A policy that is a yes or a no."""
        return bool(dict(self.policies)[policy])

    def number(self, policy: str) -> int:
        """A policy that is a figure."""
        found = dict(self.policies)[policy]
        if not isinstance(found, int):
            raise TypeError(f"{policy} is no figure")
        return found

    def day(self, policy: str) -> date | None:
        """A policy that is a day, or not set."""
        found = dict(self.policies)[policy]
        if found is not None and not isinstance(found, date):
            raise TypeError(f"{policy} is no day")
        return found

    def choice(self, policy: str) -> str:
        """A policy that is one of some words."""
        return str(dict(self.policies)[policy])

    def figure(self, name: str, on: date = CONTRACT_STARTS) -> int | None:
        """The value of ``cpom.<name>`` on a day; None where nothing is said of it."""
        try:
            value: int = parameters.value(f"cpom.{name}", on, attested=self.attested).value
        except parameters.NoValue:
            return None
        return value

    def known(self, name: str, on: date = CONTRACT_STARTS) -> int:
        """As ``figure``, where the files always say one."""
        found = self.figure(name, on)
        if found is None:
            raise parameters.NoValue(f"cpom.{name} has no value on {on}")
        return found

    def digest(self) -> str:
        """SHA-256 over the catalogue of the CPOM rules, the policies and what is attested."""
        rules = [rule.__dict__ for rule in catalogue().values() if rule.id.startswith("cpom.")]
        text = json.dumps([rules, self.policies, self.attested, self.rules_version], default=repr, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def default_law(policies: Mapping[str, Choice] | None = None, attested: Sequence[parameters.Attestation] = ()) -> Law:
    """The law with these policies instead of the default ones. ``WrongChoice`` for a name or value that there is not."""
    return Law(tuple(chosen_policies(policies).items()), tuple(attested))
