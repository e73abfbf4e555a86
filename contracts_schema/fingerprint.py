"""What a decision was made under: one hash over every contract, layout, code list and rule shipped here."""

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def fingerprint() -> str:
    """sha256 over the names and bytes of the files of this package: it changes when a rule, a layout or a contract does."""
    digest = hashlib.sha256()
    for name, path in sorted(_files(files("contracts_schema"), "")):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            found += [] if entry.name == "__pycache__" else _files(entry, name + "/")
        else:
            found.append((name, entry))
    return found
