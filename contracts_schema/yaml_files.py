"""Reads the YAML files of this package, with the C parser where there is one: it is five times as fast, and commands wait."""

from importlib.resources.abc import Traversable
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe ones, both


def read_yaml(path: Traversable) -> Any:
    """What a YAML file says, as plain values."""
    return yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506
