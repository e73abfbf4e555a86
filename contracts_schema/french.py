"""Numbers, counts and marks as French readers write them. Knows words only: never what they are about."""

import re


def number(value: int) -> str:
    """An integer with narrow spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """A count and what is counted: ``0 ligne``, ``1 ligne``, ``2 lignes``; ``plural`` where no s makes it."""
    return f"{number(count)} {singular if count < 2 else plural or f'{singular}s'}"


def euros(cents: int) -> str:
    """An amount in cents as French readers write it: ``25,00 €``."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{number(whole)},{rest:02d} €"


def bound(text: str) -> str:
    """A text whose marks (« » : ; ? !) and signs (%, €, n°) no end of line parts from their words."""
    return re.sub(r"(?<=«|°) | (?=[»:;?!%€])", "\u00a0", text)
