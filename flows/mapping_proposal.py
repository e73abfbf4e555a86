"""How a démarche is to be read: a proposal from its form, or what the mapping in place no longer fits.

Reads the form, never a dossier. Must never guess, nor write over what someone has completed.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.demarches_settings import mapping_of, mapping_path, the_one
from flows.hub import Hub, WrongUsage

FOLDER = "mappings"


def propose_or_compare(hub: Hub, number: int, output: Path | None = None) -> dict[str, Any]:
    """Write a proposal when the démarche has no mapping yet; else compare the mapping with the form as it is now.

    Gives ``demarche``, ``title``, ``path`` and ``written``; ``open``: fields to fill, each with the champs that could;
    ``misfits`` of a mapping that is there. WrongUsage when the file is there already.
    """
    from connectors.demarches_mapping import misfits, propose
    from flows.pull import read_form

    told = the_one(hub.settings, number)
    known = None if output else _known(hub, number)
    path = known or output or hub.settings.home / FOLDER / f"demarche-{number}.yaml"
    if known is None and path.exists():
        raise WrongUsage(f"{path} existe déjà : complétez-le, nommez-le dans ecluse.toml (mapping), ou donnez --output")
    form = read_form(hub, number)
    answer: dict[str, Any] = {"demarche": number, "title": form["title"], "path": str(path), "written": known is None}
    if known:
        found = [asdict(one) for one in misfits(mapping_of(known, number), form)]
        return answer | {"setting": told.mapping is not None, "open": {}, "misfits": found}
    proposal = propose(form)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(proposal.text)
    candidates = {name: [{k: one[k] for k in ("id", "label")} for one in found] for name, found in proposal.open.items()}
    return answer | {"setting": told.mapping is not None, "open": candidates, "misfits": []}


def _known(hub: Hub, number: int) -> Path | None:
    """The mapping in place; None when the démarche has none."""
    from contracts_schema.demarches_mappings import mappings

    told = the_one(hub.settings, number)
    there = told.mapping.is_file() if told.mapping else number in mappings()
    return mapping_path(told) if there else None
