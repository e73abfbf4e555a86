"""What one rule answers: the cases in which it is broken, the scopes on which it is not evaluable; and the register of rules.

A case is a row: where it stands, which variant of the rule, and the texts that its sentence needs. A rule sees frames, no file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

import polars as pl

from contracts_schema.rules import Rule, catalogue

if TYPE_CHECKING:
    from checks.cpom.scene import Scene

Stage = Literal["sheet", "row", "cell", "rest"]
"""When a rule is evaluated: what the earlier ones set aside, the later ones do not see."""

PLACE = {
    "sheet_id": pl.String(), "row": pl.Int64(), "finess_ej": pl.String(), "annex": pl.String(), "code": pl.String(),
    "year": pl.Int64(), "cell": pl.String(), "raw": pl.String(), "variant": pl.String(),
}  # fmt: skip
"""Where a case stands; all may be null. ``variant``: id of a variant of the rule, null for the rule itself."""


@dataclass(frozen=True)
class Answer:
    """``cases``: columns of ``PLACE`` (those left out are null) and one a name of the sentences; ``unknown``: finess_ej of the
    scopes on which the rule is not evaluable (null: no scope in particular)."""

    cases: pl.DataFrame
    unknown: pl.DataFrame | None = None


@dataclass(frozen=True)
class Check:
    """One rule with its implementation."""

    rule: Rule
    stage: Stage
    judge: "Callable[[Scene], Answer]"


NOBODY = pl.DataFrame({"finess_ej": [None]}, schema={"finess_ej": pl.String()})
"""No scope in particular."""

CHECKS: dict[str, Check] = {}
"""Every rule that has an implementation here."""


def check(rule: str, stage: Stage = "rest") -> "Callable[[Callable[[Scene], Answer]], Callable[[Scene], Answer]]":
    """Enter an implementation for a rule of the catalogue, once."""

    def enter(judge: "Callable[[Scene], Answer]") -> "Callable[[Scene], Answer]":
        if rule in CHECKS:
            raise ValueError(f"{rule} is implemented twice")
        CHECKS[rule] = Check(catalogue()[rule], stage, judge)
        return judge

    return enter


def nobody() -> pl.DataFrame:
    """No case."""
    return pl.DataFrame(schema=PLACE)


def nothing_known() -> Answer:
    """Not evaluable, for no scope in particular: the whole reference is absent."""
    return Answer(nobody(), NOBODY)


def french(day: pl.Expr) -> pl.Expr:
    """A day as 03/08/2025."""
    return day.dt.strftime("%d/%m/%Y")


def french_day(day: date | None) -> str:
    """A day as 03/08/2025; « non connu » when there is none."""
    return f"{day:%d/%m/%Y}" if day else "non connu"


def shown(number: pl.Expr) -> pl.Expr:
    """A decimal as it is written in French, without useless zeros: 12,5."""
    text = number.cast(pl.String)
    short = pl.when(text.str.contains(".", literal=True)).then(text.str.strip_chars_end("0").str.strip_chars_end("."))
    return short.otherwise(text).str.replace(".", ",", literal=True)


def joined(texts: pl.Expr) -> pl.Expr:
    """A list of texts as one, « aucun » when it is empty."""
    return pl.when(texts.list.len() > 0).then(texts.list.join(", ")).otherwise(pl.lit("aucun"))
