"""What synthetic data share: a recipe of transmissions, FINESS numbers that lie in departments that do not exist.

For the demo, the benchmarks and the tests. Must never take anything from a real record.
"""

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True)
class Recipe:
    """One cumulative transmission: January to ``months`` of ``year``, ``stays_per_month`` stays each.

    ``changed``, ``vanished`` and ``late`` are shares of the stays: regrouped or given one more DAS in a later month,
    gone in a later month, first seen after their month. At 0.0 each, the file has ``months * stays_per_month`` records.
    """

    finess: str
    year: int
    months: int
    stays_per_month: int
    seed: int
    version: str = "229"
    changed: float = 0.02
    vanished: float = 0.003
    late: float = 0.005


def fictional_finess(department: str = "99", number: int = 1) -> str:
    """A FINESS with a right Luhn key, in a department that does not exist (``2A99`` or ``2B99``: Corsican shape)."""
    body = f"{department}{number:0{8 - len(department)}d}"
    if len(body) != 8:
        raise ValueError(f"number {number} is too long for department {department}: 8 characters before the key")
    digits = [int(digit) for digit in body.replace("A", "1").replace("B", "2")]
    total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return f"{body}{-total % 10}"


def sites(finess: str) -> list[str]:
    """The fictional geographic sites (ET) among which an establishment's units lie."""
    first = 900_000 + crc32(finess.encode()) % 30_000 * 3
    return [fictional_finess("99", first + rank) for rank in range(3)]
