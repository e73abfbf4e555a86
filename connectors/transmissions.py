"""Transmissions as they arrive: archives, folders and loose files, put together by what their names say.

One transmission is all the files of one field of care, establishment, year and period that arrive together. Never opens an
input archive (it holds direct identifiers), never writes an entry of an archive to disk under its own name, and never puts
the content of a line in an error.
"""

import errno
import hashlib
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from contracts_schema.families import CORRECTIONS, M999
from contracts_schema.families import LAMDA as LAMDA
from contracts_schema.families import SEJOURS as SEJOURS
from contracts_schema.french import system_error

READ_BYTES = 4 << 20
"""Bytes of a file read at a time: bounds memory."""

FAMILIES = {
    "rsa": ("rsa",),
    "ano": ("ano",),
    "med": ("med",),
    "dmip": ("dmip", "dmip.txt"),
    "ium": ("ium",),
    "tra": ("tra", "tra.txt"),
}
"""Family of files to the endings of their names (MCO, INDEX.csv and PMSI reference §3)."""

MAIN = "rsa"
OTHER_FIELDS = {"rha": "SMR", "sha": "SMR", "rapss": "HAD", "rpsa": "PSY", "r3a": "PSY", "rsfa": "actes externes"}
"""Endings of the main records of fields of care that are not read yet."""

PERIOD_999 = ("999", "m999")
"""Corrections of the year under a period of their own: a notion of the SMR, read alike whatever the field of care."""

UNREAD = frozenset(
    {"sta", "leg", "ium.correspnumseq", "medatu", "diap", "pie", "porg", "transport", "dif.txt", "ks_crypt", "hvi"}
)
"""Endings of what an OUT archive of MCO holds besides (PMSI reference, section 3): known, and not read."""

_INPUT = re.compile(r"(?:.*\.)?rss(?:\.ini)?(?:\.txt)?|.*\.in\.zip")
"""Names that only an input archive holds, whatever its own says: the RSS, or another one (PMSI reference, section 3)."""

MAX_ENTRIES = 1000
MAX_INFLATED = 16 << 30
MAX_RATIO = 200
"""What an archive may hold: entries, bytes in all, and bytes out for a byte in (above 100 MB)."""

_FINESS = r"(?P<finess>[0-9][0-9ab][0-9]{7})\.(?P<year>20[0-9]{2})\.(?P<period>[0-9]{1,3}|m999)"
_LOOSE = re.compile(_FINESS + r"\.(?P<ending>[a-z0-9._\-]+)")
_ARCHIVE = re.compile(
    _FINESS + r"(?:\.(?P<champ>[a-z]+)\.(?P<flow>[a-z]+)\.(?P<kind>[a-z]+))?\.(?P<stamp>[0-9]{14})\.(?P<way>in|out)\.zip"
)
_ENDINGS = {ending: family for family, endings in FAMILIES.items() for ending in endings}


class Refused(Exception):
    """A file that is refused at the door, before any byte is kept: rule id (None: it cannot be read), what to do in French."""

    def __init__(self, rule: str | None, message_fr: str) -> None:
        super().__init__(message_fr)
        self.rule = rule


@dataclass(frozen=True)
class Stated:
    """What the names of a transmission state. ``period`` is a month (1-12; 12 for period 999, which is the flow ``m999``);
    ``stamp`` is ``YYYYMMDDHHMMSS`` or None.
    """

    field_of_care: str
    finess: str
    year: int
    period: int
    flow: str = SEJOURS
    stamp: str | None = None

    @property
    def scope(self) -> str:
        """What a transmission replaces: field of care, establishment and year."""
        return f"pmsi/{self.field_of_care.lower()}/{self.finess}/{self.year}"


@dataclass(frozen=True)
class Member:
    """One file to read: its family, its name, and where its bytes are: a file, or the entry of that rank in an archive."""

    family: str
    name: str
    path: Path
    entry: int | None = None


@dataclass(frozen=True)
class Transmission:
    """The files of one transmission. ``archive`` holds them, if one does."""

    stated: Stated
    members: tuple[Member, ...]
    archive: Path | None = None
    unread: Mapping[str, int] = field(default_factory=dict)
    """How many files are not read, by known ending; all else is ``other``, since a name can hold that of a person."""

    @property
    def received(self) -> list[Path]:
        """The files as received, whose exact bytes are kept."""
        return [self.archive] if self.archive else [member.path for member in self.members]

    source = "pmsi"

    @property
    def lane(self) -> str:
        """Transmissions of an establishment's year come in one after the other."""
        return self.stated.scope

    def content(self, path: Path) -> None:
        """Its exact bytes are kept."""

    def correction(self, known: Mapping[str, Any]) -> None:
        """Nothing that is told beside its files can be wrong."""

    def identity(self, received: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What makes it another delivery though its bytes are the same."""
        return {"scope": self.stated.scope, "flow": self.stated.flow, "period": self.stated.period}

    def facts(self, received: Sequence[Mapping[str, Any]], received_on: date) -> dict[str, Any]:
        """What its reception records of it, its files aside; ``scope`` and ``source`` are always there."""
        return {"source": self.source, "scope": self.stated.scope, **asdict(self.stated), "unread": dict(self.unread)}

    @property
    def name(self) -> str:
        return self.archive.name if self.archive else ", ".join(member.name for member in self.members)


def gather(paths: Iterable[Path]) -> tuple[list[Transmission], list[tuple[Path, Refused]]]:
    """Put files together into transmissions, month after month; and what is refused at the door, with the reason.

    Loose files of one folder, establishment, year and period are one transmission; an archive is one by itself.
    """
    found: list[Transmission] = []
    refused: list[tuple[Path, Refused]] = []
    loose: dict[tuple[Path, Stated], list[Member]] = {}
    for path in paths:
        try:
            if path.name.lower().endswith(".zip"):
                found.append(open_archive(path))
            else:
                stated, family = parse_name(path.name)
                loose.setdefault((path.parent, stated), []).append(Member(family, path.name, path))
        except Refused as refusal:
            refused.append((path, refusal))
        except OSError as error:
            refused.append((path, unreadable(error)))
    for (_, stated), members in loose.items():
        try:
            found.append(Transmission(stated, _one_of_each(members)))
        except Refused as refusal:
            refused += [(member.path, refusal) for member in members]
    order = sorted(found, key=_place)
    return order, refused


def _place(one: Transmission) -> tuple[str, bool, int, str, str]:
    return one.stated.scope, one.stated.flow in CORRECTIONS, one.stated.period, one.stated.stamp or "", one.name


def is_known(name: str) -> bool:
    """Whether the name is that of a file that is read, or that must be told to be refused."""
    lowered = name.lower()
    if lowered.endswith(".zip"):
        return lowered.endswith(".in.zip") or _ARCHIVE.fullmatch(lowered) is not None
    match = _LOOSE.fullmatch(lowered)
    return match is not None and match["ending"] in _ENDINGS


def is_named(name: str) -> bool:
    """Whether the name has the form of those of PMSI files, be it of one that is not read."""
    return _LOOSE.fullmatch(name.lower()) is not None or _ARCHIVE.fullmatch(name.lower()) is not None


def parse_name(name: str) -> tuple[Stated, str]:
    """Read ``<FINESS>.<année>.<mois>.<famille>``: what it states, and the family. Refused for any other name."""
    match = _LOOSE.fullmatch(name.lower())
    if not match:
        raise Refused("pmsi.file_name", "nom attendu : <FINESS>.<année>.<mois>.<famille>, par exemple 990000010.2025.3.rsa")
    other = OTHER_FIELDS.get(match["ending"].removesuffix(".txt"))
    if other:
        raise Refused("pmsi.field_of_care", f"champ {other} : pas encore pris en charge ; le MCO l'est")
    if match["ending"] not in _ENDINGS:
        raise Refused("pmsi.file_family", f"famille de fichier non prise en charge ; connues : {', '.join(sorted(_ENDINGS))}")
    return _stated(match), _ENDINGS[match["ending"]]


def parse_archive_name(name: str) -> Stated:
    """Read ``<FINESS>.<année>.<mois>[.<champ>.<flux>.<type>].<horodatage>.out.zip``; Refused for any other name."""
    match = _ARCHIVE.fullmatch(name.lower())
    if not match:
        if name.lower().endswith(".in.zip"):
            raise _input_archive()
        raise Refused("pmsi.file_name", "nom d'archive attendu : <FINESS>.<année>.<mois>.<horodatage>.out.zip")
    if match["way"] == "in":
        raise _input_archive()
    if (match["champ"] or "mco") != "mco":
        raise Refused("pmsi.field_of_care", f"champ {match['champ'].upper()} : pas encore pris en charge ; le MCO l'est")
    flow = match["flow"] or SEJOURS
    if flow not in (SEJOURS, LAMDA):
        raise Refused("pmsi.field_of_care", f"flux {flow.upper()} : pas encore pris en charge ; SEJOURS l'est")
    stated = _stated(match)
    flow = LAMDA if flow == LAMDA else stated.flow
    return replace(stated, flow=flow, stamp=normal_stamp(match["stamp"], int(match["year"])))


def normal_stamp(stamp: str, year: int) -> str:
    """A stamp of either form as ``YYYYMMDDHHMMSS``; Refused when it is a date in neither.

    Old tools wrote ``DDMMYYYYHHMMSS``: of the two readings, the one that is a date of the year of the data or the next is
    taken; LAMDA comes later still, so any valid date is taken when neither is (codes/archive_stamp.csv).
    """
    readings = []
    for form in ("%Y%m%d%H%M%S", "%d%m%Y%H%M%S"):
        try:
            readings.append(datetime.strptime(stamp, form))  # noqa: DTZ007
        except ValueError:
            continue
    near = [reading for reading in readings if reading.year in (year, year + 1)] or readings
    if not near:
        raise Refused("pmsi.file_name", "horodatage d'archive illisible : ni AAAAMMJJHHMMSS ni JJMMAAAAHHMMSS")
    return near[0].strftime("%Y%m%d%H%M%S")


def open_archive(path: Path) -> Transmission:
    """The transmission that an archive holds. Refused when it is damaged, locked, oversized, or holds nothing to read, or input
    files."""
    stated = parse_archive_name(path.name)
    with _damage_refused(), zipfile.ZipFile(path) as archive:
        entries = {rank: entry for rank, entry in enumerate(archive.infolist()) if not entry.is_dir()}
    _check_sizes(entries.values())
    members, unread = [], Counter[str]()
    for rank, entry in entries.items():
        name = PurePosixPath(entry.filename.replace("\\", "/")).name
        if _INPUT.fullmatch(name.lower()):
            raise _input_archive("archive qui contient des fichiers d'entrée (RSS), quel que soit son nom")
        if entry.flag_bits & 1:
            raise Refused("pmsi.archive_locked", "archive protégée par un mot de passe : envoyez-la sans")
        try:
            inner, family = parse_name(name)
        except Refused:
            unread[_ending(name)] += 1
            continue
        same = (inner.finess, inner.year, inner.period) == (stated.finess, stated.year, stated.period)
        if same and stated.flow in (inner.flow, LAMDA):
            members.append(Member(family, name, path, rank))
        else:
            unread[_ending(name)] += 1
    if not members:
        raise Refused("pmsi.archive_empty", "aucun fichier à lire dans l'archive pour l'établissement et la période de son nom")
    return Transmission(stated, _one_of_each(members), path, dict(sorted(unread.items())))


def chunks(member: Member, archive: BinaryIO | None = None, size: int = READ_BYTES) -> Iterator[bytes]:
    """The bytes of a member: from its file, or from its archive (or a seekable copy of it). Refused when they are damaged."""
    if member.entry is None:
        with member.path.open("rb") as file:
            yield from iter(lambda: file.read(size), b"")
    else:
        with _damage_refused(), ExitStack() as opened:
            holder = opened.enter_context(zipfile.ZipFile(archive or member.path))
            entry = opened.enter_context(holder.open(holder.infolist()[member.entry]))
            yield from iter(lambda: entry.read(size), b"")


def fingerprint(member: Member) -> tuple[str, int]:
    """sha256 and size of a member's bytes."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks(member):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def unreadable(error: OSError) -> Refused:
    """What to say of a file that the machine cannot read."""
    return Refused(None, f"lecture impossible : {system_error(error)}")


def _stated(match: re.Match[str]) -> Stated:
    finess, year = match["finess"].upper(), int(match["year"])
    if match["period"] in PERIOD_999:
        return Stated("MCO", finess, year, 12, M999)
    period = int(match["period"])
    if not 1 <= period <= 12:
        raise Refused("pmsi.file_period", f"le mois du nom vaut {period} ; attendu de 1 à 12, ou 999 (corrections de l'année)")
    return Stated("MCO", finess, year, period)


def _one_of_each(members: list[Member]) -> tuple[Member, ...]:
    """The members in the order of their families; Refused when a family comes twice."""
    by_family = {member.family: member for member in members}
    if len(by_family) < len(members):
        raise Refused("pmsi.family_twice", "deux fichiers de la même famille pour la même période : lequel est le bon ?")
    return tuple(by_family[family] for family in FAMILIES if family in by_family)


def _ending(name: str) -> str:
    """The ending of a name, when it is one of a known family of files."""
    match = _LOOSE.fullmatch(name.lower())
    return match["ending"] if match and match["ending"] in {*_ENDINGS, *UNREAD} else "other"


def _check_sizes(entries: Collection[zipfile.ZipInfo]) -> None:
    inflated = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries) or 1
    if len(entries) > MAX_ENTRIES or inflated > MAX_INFLATED or (inflated > 100 << 20 and inflated > packed * MAX_RATIO):
        raise Refused("pmsi.archive_size", "archive démesurée une fois ouverte : refusée")


def _input_archive(what: str = "archive d'entrée (.in.zip)") -> Refused:
    return Refused(
        "pmsi.input_archive",
        f"{what} : elle contient des identifiants directs et n'entre pas ; envoyez l'archive .out.zip",
    )


@contextmanager
def _damage_refused() -> Iterator[None]:
    """Refuse an archive whatever the library says of it: for damaged bytes it has a dozen errors, not all of them its own."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the machine; the two others come of a place or a stream that the archive states wrongly
        raise Refused("pmsi.archive_damaged", "archive abîmée ou incomplète : à renvoyer") from None
