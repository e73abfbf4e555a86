"""What the settings say of the démarches to pull: a table ``[demarches.<number>]`` of ``ecluse.toml`` each.

The token is no setting: only the environment gives it, and the name of its variable may be told here.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.hub import CONFIG, Settings, WrongUsage

if TYPE_CHECKING:
    from connectors.demarches_client import Service
    from contracts_schema.demarches_mappings import FormMapping

URL_VARIABLE = "ECLUSE_DEMARCHES_URL"
KNOWN: Mapping[str, type] = {
    "url": str, "mapping": str, "token_variable": str, "file_hosts": list, "ca_bundle": str, "local": bool,
}  # fmt: skip
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True)
class Demarche:
    """One démarche to pull. ``mapping``: its file, None for the one that the project has. ``file_hosts``: hosts that attached
    files may come from, none: files are not fetched. ``local``: the simulator on this machine, over plain HTTP."""

    number: int
    url: str | None = None
    mapping: Path | None = None
    token_variable: str | None = None
    file_hosts: tuple[str, ...] = ()
    ca_bundle: str | None = None
    local: bool = False


def demarches(settings: Settings) -> dict[int, Demarche]:
    """The démarches of the settings, by number, in the order of the file. WrongUsage names the key that is wrong."""
    with (settings.home / CONFIG).open("rb") as file:
        tables = tomllib.load(file).get("demarches") or {}
    if not isinstance(tables, dict):
        raise WrongUsage(f"{CONFIG}, demarches : attendu une table par démarche, par exemple [demarches.990001]")
    return {one.number: one for one in (_demarche(settings.home, name, told) for name, told in tables.items())}


def the_one(settings: Settings, number: int) -> Demarche:
    """The settings of a démarche. WrongUsage when there are none."""
    found = demarches(settings).get(number)
    if found is None:
        raise WrongUsage(f"démarche {number} : ajoutez une table [demarches.{number}] à {CONFIG} (voir docs/demarches.md)")
    return found


def service_of(told: Demarche) -> "Service":
    """Where and how to ask; the token from the environment. WronglySet."""
    from connectors.demarches_client import TOKEN_VARIABLE, URL, Service, token_from_environment

    token = token_from_environment(told.token_variable or TOKEN_VARIABLE)
    url = os.environ.get(URL_VARIABLE) or told.url or URL
    return Service(token, url, local=told.local, ca_bundle=told.ca_bundle)


def mapping_path(told: Demarche) -> Path:
    """The file of the mapping of a démarche. WrongUsage when there is none."""
    from importlib.resources import files

    from contracts_schema.demarches_mappings import mappings

    if told.mapping:
        if not told.mapping.is_file():
            raise WrongUsage(f"démarche {told.number} : pas de correspondance dans {told.mapping}")
        return told.mapping
    known = mappings().get(told.number)
    if known is None:
        raise WrongUsage(
            f"démarche {told.number} : aucune correspondance ne dit comment la lire ; « ecluse mapping {told.number} » en "
            f"propose une, à relire, à compléter, puis à nommer dans {CONFIG} (mapping = …)"
        )
    return Path(str(files("contracts_schema").joinpath("demarches", f"{known.id}.yaml")))


def mapping_of(path: Path, number: int) -> "FormMapping":
    """The mapping that a file holds, if it is about this démarche. WrongUsage."""
    from contracts_schema.demarches_mappings import InvalidMapping, load

    try:
        found = load(path)
    except InvalidMapping as problem:
        raise WrongUsage(str(problem)) from None
    if number not in found.demarches:
        raise WrongUsage(f"correspondance {path.name} : elle n'est pas celle de la démarche {number} (champ demarches)")
    return found


def _demarche(home: Path, name: str, told: Any) -> Demarche:
    where = f"{CONFIG}, [demarches.{name}]"
    if not re.fullmatch(r"[1-9][0-9]{0,9}", name):
        raise WrongUsage(f"{where} : attendu un numéro de démarche")
    if not isinstance(told, dict):
        raise WrongUsage(f"{where} : attendu une table, vide ou avec {', '.join(KNOWN)}")
    for key, value in told.items():
        if key not in KNOWN:
            raise WrongUsage(f"{where} {key} : réglage inconnu ({', '.join(KNOWN)})")
        if not isinstance(value, KNOWN[key]):
            raise WrongUsage(f"{where} {key} : valeur d'un autre genre que celui attendu")
    hosts = told.get("file_hosts", [])
    if not all(isinstance(host, str) for host in hosts):
        raise WrongUsage(f'{where} file_hosts : attendu une liste d\'hôtes, par exemple ["static.demarche.numerique.gouv.fr"]')
    if not VARIABLE.fullmatch(told.get("token_variable", "X")):
        raise WrongUsage(f"{where} token_variable : attendu le nom d'une variable d'environnement, jamais le jeton")
    mapping = home / Path(told["mapping"]).expanduser() if told.get("mapping") else None
    return Demarche(
        int(name),
        told.get("url"),
        mapping,
        told.get("token_variable"),
        tuple(host.lower() for host in hosts),
        told.get("ca_bundle"),
        told.get("local", False),
    )
