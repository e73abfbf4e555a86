"""The rule catalogue: what each rule says in French, what it leads to, and where it comes from."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from contracts_schema.yaml_files import read_yaml


@dataclass(frozen=True)
class Rule:
    """One rule: ``level`` line or delivery; ``outcome`` refuse, hold or warn; source and status of what it says."""

    id: str
    level: str
    outcome: str
    label_fr: str
    source: str
    status: str


@cache
def catalogue() -> dict[str, Rule]:
    """Every rule by id."""
    rules: dict[str, Rule] = {}
    for path in sorted(files("contracts_schema").joinpath("rules").iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".yaml"):
            for entry in read_yaml(path)["rules"]:
                rules[entry["id"]] = Rule(**entry)
    return rules


def label(rule: str) -> str:
    """What a rule says, in French; the id itself when no catalogue has it (any more)."""
    return catalogue()[rule].label_fr if rule in catalogue() else rule
