"""What the table gate answers, as data that is kept with a publication. Counts only: nothing here can hold a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from contracts_schema.products import Product


@dataclass(frozen=True)
class Result:
    """The answer to one rule. ``success`` is None for a rule that could not be asked, for want of a column of the contract.

    ``evaluated`` and ``unexpected`` count rows: those the rule is about (of a column, those filled in) and those that break
    it; both None where the rule is about the table's shape. ``rendered`` is the row of Data Docs that Great Expectations makes
    of it (rule, observation), without a value; None for a rule that was not asked.
    """

    id: str
    table: str
    column: str | None
    label_fr: str
    severity: str
    success: bool | None
    evaluated: int | None = None
    unexpected: int | None = None
    rendered: tuple[str, str] | None = field(default=None, repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "table": self.table,
            "column": self.column,
            "label_fr": self.label_fr,
            "severity": self.severity,
            "success": self.success,
            "evaluated_rows": self.evaluated,
            "unexpected_rows": self.unexpected,
            "unexpected_percent": self.unexpected_percent,
        }

    @property
    def unexpected_percent(self) -> str | None:
        """Out of 100 rows evaluated, with four decimals, as text: the log takes no float."""
        if self.unexpected is None or not self.evaluated:
            return None
        return f"{Decimal(100 * self.unexpected) / self.evaluated:.4f}"


@dataclass(frozen=True)
class TableGate:
    """What the gate found in the tables of a product: one result a rule, in the order of the contract."""

    product: Product
    results: tuple[Result, ...]

    @property
    def sound(self) -> bool:
        """Every critical rule was asked and kept."""
        return all(result.success for result in self.results if result.severity == "critical")

    @property
    def breaches(self) -> tuple[Result, ...]:
        """The rules that were broken or could not be asked, warnings included."""
        return tuple(result for result in self.results if not result.success)

    def as_json(self) -> dict[str, Any]:
        """What is kept with the publication: counts only, no float, the same for the same tables."""
        return {
            "product": self.product.id,
            "sound": self.sound,
            "results": [result.as_json() for result in self.results],
        }


def rows_fr(unexpected: int, evaluated: int) -> str:
    """How many rows break a rule, in French words: ``3 lignes sur 1 200 (0,25 %)``."""
    among = f"sur {_number(evaluated)}"
    if not unexpected:
        return f"aucune ligne {among}"
    percent = Decimal(100 * unexpected) / evaluated
    share = f"{percent:.2f} %".replace(".", ",") if percent >= Decimal("0.01") else "moins de 0,01 %"
    return f"{_number(unexpected)} ligne{'s' if unexpected > 1 else ''} {among} ({share})"


def columns_fr(expected: Sequence[str], found: Sequence[str]) -> str:
    """How a table's columns differ from the contract's, in French words; a column that no contract names is only counted."""
    missing = [name for name in expected if name not in found]
    more = len(set(found) - set(expected))
    said = ([f"il manque {', '.join(missing)}"] if missing else []) + ([f"{more} de trop"] if more else [])
    return ", ".join(said) or "dans un autre ordre"


def _number(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
