"""Draws of synthetic data: pure functions of a key and a name, so that one change never moves another.

A key is that of a stay, a function of (seed, FINESS, year, month, index). Must never loop over rows, or hold a state.
"""

from hashlib import blake2b
from zlib import crc32

import numpy as np
import numpy.typing as npt

from connectors.synthetic import Recipe

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.bytes_]
Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(values: Keys) -> Keys:
    """Keys spread evenly, as the last steps of splitmix64 do: neighbours have nothing in common."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def keys_of(recipe: Recipe, month: int, start: int, stop: int) -> Keys:
    """The keys of stays ``start`` to ``stop`` (excluded) of a month."""
    origin = f"{recipe.seed}/{recipe.finess}/{recipe.year}/{month}".encode()
    base = np.uint64(int.from_bytes(blake2b(origin, digest_size=8).digest(), "big"))
    return mix(np.arange(start, stop, dtype=np.uint64) * GOLDEN + base)


def unit(keys: Keys, name: str) -> npt.NDArray[np.float64]:
    """Uniform in [0, 1)."""
    mixed = mix(keys + np.uint64(crc32(name.encode()) << 17))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(keys: Keys, name: str, limit: Ints | int) -> Ints:
    """Whole numbers from 0 to ``limit`` (excluded)."""
    return (unit(keys, name) * limit).astype(np.int64)


def around(keys: Keys, name: str, mean: npt.NDArray[np.float64], most: int) -> Ints:
    """Whole numbers with a long tail, whose mean is about ``mean``."""
    return np.minimum(-np.log1p(-unit(keys, name)) * mean + 0.5 * (mean > 0), most).astype(np.int64)


def choose(keys: Keys, name: str, weights: npt.NDArray[np.float64]) -> Ints:
    """Places in ``weights``, each as often as its weight says."""
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, unit(keys, name), side="right"), len(weights) - 1).astype(np.int64)


def present(recipe: Recipe, month: int, keys: Keys) -> Mask:
    """Which stays of a month the transmission has: not yet those that come late, no more those that vanished."""
    first = month + np.where(unit(keys, "late") < recipe.late, 1 + below(keys, "late by", 2), 0)
    gone = np.where(unit(keys, "vanish") < recipe.vanished, month + 1 + below(keys, "vanish after", 3), 99)
    return (first <= recipe.months) & (recipe.months < gone)


def has_changed(recipe: Recipe, month: int, keys: Keys) -> Mask:
    """Which stays are coded otherwise by now."""
    return (unit(keys, "change") < recipe.changed) & (recipe.months > month + below(keys, "change after", 3))
