"""The rule catalogue: what each rule says in French, what it leads to, and where it comes from."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from contracts_schema.yaml_files import read_yaml


@dataclass(frozen=True)
class Variant:
    """A narrower reading of a rule, with its own outcome; ``decided_by`` agent: no fact establishes it, a person does.

    ``asked_of``: who can answer the question of an ASK, structure or caisse."""

    id: str
    when: str
    outcome: str
    reason_fr: str
    change_fr: str = ""
    policy: str | None = None
    policy_of: str | None = None
    decided_by: str | None = None
    severity: str | None = None
    asked_of: str = "structure"
    effect_on_lines: str | None = None


@dataclass(frozen=True)
class Rule:
    """One rule: what it is about (``level``), what it leads to (``outcome``), source and status of what it says.

    Rules of the PMSI gate stop there: level line or delivery; outcome refuse, hold or warn. Rules of reconciliation say the
    rest, as ``contracts_schema/rules/snp.yaml`` and ``cds.yaml`` explain it; ``reason_fr`` and ``change_fr`` hold ``{…}`` to be
    filled. ``severity`` and ``needs`` (optional columns or tables; without them NOT_EVALUABLE) are those of ``cds.yaml``.
    """

    id: str
    level: str
    outcome: str
    label_fr: str
    source: str
    status: str
    family: str | None = None
    when: str = ""
    reason_fr: str = ""
    change_fr: str = ""
    variants: tuple[Variant, ...] = ()
    policy: str | None = None
    if_missing: str | None = None
    missing_fr: str = ""
    effect_on_lines: str | None = None
    basis_fr: str = ""
    evidence: str = ""
    note: str = ""
    severity: str = ""
    needs: tuple[str, ...] = ()
    asked_of: str = "structure"


@cache
def catalogue() -> dict[str, Rule]:
    """Every rule by id."""
    rules: dict[str, Rule] = {}
    for path in sorted(files("contracts_schema").joinpath("rules").iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".yaml"):
            for entry in read_yaml(path)["rules"]:
                variants = tuple(Variant(**variant) for variant in entry.pop("variants", ()))
                rules[entry["id"]] = Rule(**entry | {"needs": tuple(entry.get("needs", ()))}, variants=variants)
    return rules


def label(rule: str) -> str:
    """What a rule says, in French; the id itself when no catalogue has it (any more)."""
    return catalogue()[rule].label_fr if rule in catalogue() else rule


def case_of(rule: Rule, case: str) -> tuple[str, str, str, str]:
    """Severity, effect, reason and change of a case: ``default``, or the id of a variant. KeyError for no such case."""
    if case == "default":
        return rule.severity, rule.outcome, rule.reason_fr, rule.change_fr
    found = {variant.id: variant for variant in rule.variants}[case]
    return found.severity or rule.severity, found.outcome, found.reason_fr, found.change_fr or rule.change_fr
