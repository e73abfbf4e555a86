"""What one rule says of every line at once: which variant applies, and what there is to show; and the register of rules.

A rule is a function from the law to expressions over the columns that ``scene.py`` prepares; it sees no row and no file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import polars as pl

from checks.snp.facts import Facts
from checks.snp.law import Law
from contracts_schema.rules import Rule, catalogue

SILENT, DEFAULT = 0, 1
ELSEWHERE, NOTE, STOP = 253, 254, 255
"""Codes of a rule on a line: silent (passed), its default, 2 and more its variants; NOT_EVALUABLE with a note because another
rule asks for what is missing, NOT_EVALUABLE with a note, or stopping the line."""

Moment = Literal["day", "claim", "bordereau", "review"]
"""When a rule is evaluated: on each day of a monthly line, on each act of a line, once a bordereau, or on two judgements."""

NEVER = pl.lit(False)


@dataclass(frozen=True)
class Ruling:
    """``cases``: in reading order, the id of a variant (or ``default``) and the condition under which it applies.

    ``noted`` makes it NOT_EVALUABLE with a note (another rule asks); ``missing`` NOT_EVALUABLE as its ``if_missing`` says.
    ``noted`` is read first, then the cases, then ``missing``. ``fields`` are the texts of ``{…}`` in the reasons and of the
    evidence, ``cells`` the columns of the bordereau that it is about, ``dossier`` whether the timeline of the dossier read
    belongs to the evidence.
    """

    cases: Mapping[str, pl.Expr]
    fields: Mapping[str, pl.Expr] = field(default_factory=dict)
    cells: tuple[str, ...] = ()
    dossier: bool = False
    noted: pl.Expr = NEVER
    missing: pl.Expr = NEVER

    def code(self, rule: Rule) -> pl.Expr:
        """The code of the rule on each row."""
        chain = pl.when(self.noted).then(byte(ELSEWHERE)).when(NEVER).then(byte(SILENT))
        for name, condition in self.cases.items():
            chain = chain.when(condition).then(byte(code_of(rule, name)))
        unknown = STOP if rule.if_missing == "ASK" else NOTE
        return chain.when(self.missing).then(byte(unknown)).otherwise(byte(SILENT))


@cache
def byte(number: int) -> pl.Expr:
    """A code or a rank as a literal, made once: a reconciliation needs a thousand."""
    return pl.lit(number, pl.UInt8)


@dataclass(frozen=True)
class Check:
    """One rule with its implementation."""

    rule: Rule
    moment: Moment
    judge: Callable[[Law, Facts], Ruling]


CHECKS: dict[str, Check] = {}
"""Every rule that has an implementation here."""


def check(rule: str, moment: Moment) -> Callable[[Callable[[Law, Facts], Ruling]], Callable[[Law, Facts], Ruling]]:
    """Enter an implementation for a rule of the catalogue, once."""

    def enter(judge: Callable[[Law, Facts], Ruling]) -> Callable[[Law, Facts], Ruling]:
        if rule in CHECKS:
            raise ValueError(f"{rule} is implemented twice")
        CHECKS[rule] = Check(catalogue()[rule], moment, judge)
        return judge

    return enter


def checks_of(moment: Moment) -> list[Check]:
    """The rules of a moment, in the order of the catalogue."""
    return [CHECKS[rule] for rule in catalogue() if rule in CHECKS and CHECKS[rule].moment == moment]


def code_of(rule: Rule, name: str) -> int:
    """The code of a case: the default, or a variant by its place in the catalogue."""
    if name == "default":
        return DEFAULT
    return 2 + [variant.id for variant in rule.variants].index(name)


def outcomes(rule: Rule, law: Law) -> dict[int, str]:
    """The outcome of each code of a rule, under the policies of the law."""
    told = {DEFAULT: law.outcome(rule.policy) if rule.policy else rule.outcome}
    for place, variant in enumerate(rule.variants, start=2):
        told[place] = law.outcome(variant.policy) if variant.policy else variant.outcome
    return told


def sentences(rule: Rule) -> dict[int, tuple[str, str]]:
    """Why, and what would change the answer, for each code of a rule."""
    told = {place: (found.reason_fr, found.change_fr) for place, found in enumerate(rule.variants, start=2)}
    return {DEFAULT: (rule.reason_fr, rule.change_fr)} | told


def asked_of(rule: Rule) -> dict[int, str]:
    """Who can answer what each code of a rule asks: structure or caisse."""
    return {DEFAULT: rule.asked_of} | {place: found.asked_of for place, found in enumerate(rule.variants, start=2)}


def french(day: pl.Expr) -> pl.Expr:
    """A day as 03/08/2022."""
    return day.dt.strftime("%d/%m/%Y")
