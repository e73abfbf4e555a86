"""What lies at the door: which deliveries the files and folders that one names make, whatever their source.

By their names, as PMSI transmissions have them, else by what they are. Keeps nothing, and reads no more than it must.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from connectors import bordereau_files, transmissions
from connectors.bordereau_files import NAMED_ENDINGS, BordereauFile, caisse_of_folder
from connectors.transmissions import Member, Refused
from contracts_schema.geography import CAISSE
from flows.hub import Settings, WrongUsage

TEXTS = frozenset({".txt"})
"""Endings of text files, of which only those that a dataset recognises are read."""


class Arrival(Protocol):
    """One delivery at the door, of any source."""

    @property
    def source(self) -> str:
        """Which gate judges it."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def lane(self) -> str:
        """Deliveries of one lane are taken in one after the other, in the order found; lanes may go side by side."""

    @property
    def received(self) -> list[Path]:
        """The files as received, whose exact bytes are kept."""

    @property
    def archive(self) -> Path | None:
        """The file that holds the members, if one does."""

    @property
    def members(self) -> Sequence[Member]:
        """The files to read."""

    def content(self, path: Path) -> Iterator[bytes] | None:
        """What may be kept of a file, when not all of it may; None: its exact bytes."""

    def correction(self, known: Mapping[str, Any]) -> str | None:
        """What to do, ``{id}`` being its id, about the known delivery of these bytes, when what is told beside differs."""

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """``scope``, and what else makes it another delivery though its bytes are the same. Refused."""

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        """What its reception records of it, its files aside; ``scope`` and ``source`` are always there. Refused."""


def gather(
    paths: Iterable[Path], caisse: str | None = None, settings: Settings | None = None
) -> tuple[list[Arrival], list[tuple[Path, Refused]]]:
    """The deliveries among these files and folders, and the files refused at the door, with the reason.

    ``caisse`` is the one that received the bordereaux; by default a folder ``cpam-<code>`` above each tells it, else the only
    CPAM of the settings, else the file. WrongUsage when a path does not exist, a folder holds nothing to read, or the caisse
    is no code of one.
    """
    if caisse is not None and not CAISSE.fullmatch(caisse):
        raise WrongUsage(f"--caisse {caisse} : code de caisse attendu en trois caractères, par exemple 311")
    files = dict.fromkeys(_files(paths))
    tables: list[Arrival] = []
    named: list[Path] = []
    unsound: list[tuple[Path, Refused]] = []
    for path in files:
        try:
            table = _table(path, caisse, settings)
        except Refused as refusal:
            unsound.append((path, refusal))
        except OSError as error:
            unsound.append((path, transmissions.unreadable(error)))
        else:
            if table is None:
                named.append(path)
            else:
                tables.append(table)
    found, refused = transmissions.gather(named)
    return [*found, *sorted(tables, key=lambda one: (one.source, one.lane, one.name))], [*refused, *unsound]


def is_known(path: Path) -> bool:
    """Whether a file of a folder is read, or must be told to be refused."""
    if transmissions.is_known(path.name):
        return True
    if path.name.startswith((".", "~$")) or transmissions.is_named(path.name):
        return False
    # what a spreadsheet writes is told when it is no table; any other text may be anything
    return path.suffix.lower() in bordereau_files.ENDINGS or (path.suffix.lower() in TEXTS and _is_dataset(path))


def _table(path: Path, caisse: str | None, settings: Settings | None) -> Arrival | None:
    """The delivery that a table is: a dataset by its header, else a bordereau; None for a file of another kind. Refused."""
    ending = path.suffix.lower()
    if transmissions.is_named(path.name) or ending not in NAMED_ENDINGS | TEXTS:
        return None
    from connectors import campaign_files, dataset_files, ecars_files

    if ecars := None if ending in TEXTS else ecars_files.open_file(path):
        return ecars
    if campaign := campaign_files.open_file(path, caisse or caisse_of_folder(path)):
        return campaign
    dataset = dataset_files.open_file(path)
    return dataset or (None if ending in TEXTS else _bordereau(path, caisse, settings))


def _is_dataset(path: Path) -> bool:
    from connectors import campaign_files, dataset_files

    try:
        return bool(campaign_files.open_file(path) or dataset_files.open_file(path))
    except (Refused, OSError):
        return True


def passed_over(paths: Iterable[Path]) -> list[Path]:
    """The files under these folders that are not read: hidden ones aside, someone may have meant them to be."""
    folders = [path for path in paths if path.is_dir()]
    files = (entry for folder in folders for entry in _inside(folder))
    return [path for path in files if not (is_known(path) or path.name.startswith("~$"))]


def _inside(folder: Path) -> list[Path]:
    """The files under a folder, hidden ones and those of hidden folders aside."""
    entries = sorted(folder.rglob("*"))
    return [one for one in entries if one.is_file() and not any(part[0] == "." for part in one.relative_to(folder).parts)]


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            inside = [entry for entry in _inside(path) if is_known(entry)]
            if not inside:
                example = "par exemple 990000010.2025.3.rsa, 990000010.2025.3.20250420101500.out.zip ou un bordereau .xlsx"
                raise WrongUsage(f"rien à ingérer dans {path} : aucun fichier au nom reconnu ({example})")
            yield from inside
        elif path.exists():
            yield path
        else:
            raise WrongUsage(f"fichier introuvable : {path}")


def _bordereau(path: Path, caisse: str | None, settings: Settings | None) -> BordereauFile:
    told = {"option": caisse, "folder": caisse_of_folder(path), "settings": _sole_caisse(settings)}
    by = next((origin for origin, code in told.items() if code), None)
    return BordereauFile(path, told[by] if by else None, by)


def _sole_caisse(settings: Settings | None) -> str | None:
    """The caisse of the hub, when its settings name one CPAM alone."""
    caisses = [one.territory for one in settings.recipients if one.kind == "cpam"] if settings else []
    return caisses[0] if len(caisses) == 1 else None
