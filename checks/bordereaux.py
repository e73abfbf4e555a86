"""May a bordereau be judged line by line: accepted, held until someone decides, or refused. Works on facts, never on a row.

Source: reference on the bordereau as an input, its rules of replacement; thresholds in
``contracts_schema/snp/reception.yaml``.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from checks.deliveries import Judgement, Tally
from contracts_schema.rules import catalogue
from contracts_schema.yaml_files import read_yaml


@dataclass(frozen=True)
class Standing:
    """What a bordereau meets in the log. ``replaces_unknown``: it says that it replaces one that is not there (yet);
    ``ambiguous``: it could be one of several; ``replaced_already``: a bordereau came before that replaces this one;
    ``replaced_twice``: another one already replaces what this one replaces.
    """

    replaces_unknown: bool = False
    ambiguous: bool = False
    replaced_already: bool = False
    replaced_twice: bool = False
    same_content: bool = False


@cache
def limits() -> dict[str, int]:
    """Thresholds in percent of lines."""
    declared = read_yaml(files("contracts_schema").joinpath("snp", "reception.yaml"))
    return {name: value for name, value in declared.items() if name.endswith("_percent")}


def judge(tally: Tally, refusal: str | None, standing: Standing, *, other_caisse: bool) -> Judgement:
    """``refusal`` is the rule for which the file could not be read; ``other_caisse``: it names another caisse than its own."""
    if refusal:
        return Judgement("rejected", (refusal,), ())
    aside = sum(tally.quarantined.values())
    breaches = {
        "bordereau.quarantine_rate": aside * 100 > tally.rows * limits()["quarantine_percent"],
        "bordereau.other_caisse": other_caisse,
        "bordereau.replaces_unknown": standing.replaces_unknown,
        "bordereau.replaces_ambiguous": standing.ambiguous,
        "bordereau.replaced_already": standing.replaced_already,
        "bordereau.replaced_twice": standing.replaced_twice,
        "bordereau.same_content": standing.same_content,
    }
    broken = [rule for rule, met in breaches.items() if met]
    held = tuple(rule for rule in broken if catalogue()[rule].outcome == "hold")
    alerts = tuple(rule for rule in broken if catalogue()[rule].outcome == "warn")
    return Judgement("held" if held else "accepted", held, alerts)
