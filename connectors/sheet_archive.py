"""What a spreadsheet file really is, and the parts of its archive, read within bounds.

Runs in the child process that reads spreadsheets: standard library only. Never believes a name, an extension or a size that
the file states about itself, never extracts anything to disk, and never puts a value of the file in an error.
"""

import io
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from xml.parsers import expat

FL1 = "bordereau.FL1"
FL2 = "bordereau.FL2"

MAX_BYTES = 128 << 20
"""A file as received."""
MAX_ENTRIES = 1_000
MAX_INFLATED = 200 << 20
MAX_PART = 100 << 20
MAX_RATIO = 200
"""An archive: entries, bytes in all, bytes of one part, and bytes out for a byte in (above 1 MiB)."""
MAX_CELLS = 20_000_000
"""Cells that hold something, in one file."""

_CHUNK = 1 << 20
_OLD_BINARY = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ")
_ARCHIVE_NAMES = (".zip", ".gz", ".7z", ".rar", ".bz2", ".xz", ".xlsx", ".xlsm", ".ods", ".docx", ".jar")
_OTHERS = {
    b"%PDF": "un document PDF",
    b"{\\rtf": "un document RTF",
    b"\x89PNG": "une image",
    b"\xff\xd8\xff": "une image",
    b"\x1f\x8b": "une archive compressée",
    b"7z\xbc\xaf": "une archive compressée",
    b"Rar!": "une archive compressée",
}


class Unreadable(Exception):
    """A file that cannot be read: rule id, and what to do in French (place in the file, never a value)."""

    def __init__(self, rule: str, message_fr: str) -> None:
        super().__init__(message_fr)
        self.rule = rule


@dataclass
class Archive:
    """The parts of an OOXML or OpenDocument archive by name; counts what it inflates."""

    archive: zipfile.ZipFile
    inflated: int = 0

    def has(self, name: str) -> bool:
        """Whether the archive holds this part."""
        return name in self.archive.NameToInfo

    def part(self, name: str) -> bytes:
        """The bytes of a part, counted while they are inflated; ``Unreadable`` past a bound or when damaged."""
        parts: list[bytes] = []
        size = 0
        try:
            with self.archive.open(name) as stream:
                while chunk := stream.read(_CHUNK):
                    size += len(chunk)
                    self.inflated += len(chunk)
                    if size > MAX_PART or self.inflated > MAX_INFLATED:
                        raise Unreadable(FL1, f"l'archive se décompresse au-delà de {MAX_INFLATED >> 20} Mio : fichier piégé ?")
                    parts.append(chunk)
        except KeyError:
            raise Unreadable(FL2, f"il manque la partie {name!r} : le classeur est abîmé, à enregistrer de nouveau") from None
        except Unreadable:
            raise
        except Exception:  # zipfile raises half a dozen kinds on damaged streams
            message = f"la partie {name!r} est abîmée ou sa taille est fausse : classeur à enregistrer de nouveau"
            raise Unreadable(FL1, message) from None
        return b"".join(parts)


def true_format(content: bytes) -> str:
    """``xlsx``, ``ods`` or ``csv`` by content; ``Unreadable`` for anything else, with what it is and what to do."""
    if len(content) > MAX_BYTES:
        raise Unreadable(FL1, f"fichier de plus de {MAX_BYTES >> 20} Mio : un bordereau n'atteint jamais cette taille")
    if not content.strip():
        raise Unreadable(FL2, "fichier vide")
    if content.startswith(_OLD_BINARY):
        raise Unreadable(FL2, _old_binary(content))
    if content.startswith(b"PK"):
        return _archive_format(open_archive(content))
    for magic, what in _OTHERS.items():
        if content.startswith(magic):
            raise Unreadable(FL2, f"le fichier est {what}, pas un tableur : à envoyer en XLSX, ODS ou CSV")
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n\x00\xff\xfe").replace(b"\x00", b"").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<table", b"<head", b"<meta", b"<body", b"<!--")):
        raise Unreadable(FL2, "le fichier est une page HTML sous un nom de tableur : à enregistrer en XLSX, ODS ou CSV")
    if start.startswith(b"<?xml"):
        raise Unreadable(FL2, "le fichier est du XML, pas un classeur : à enregistrer en XLSX, ODS ou CSV")
    return "csv"


def _old_binary(content: bytes) -> str:
    if "EncryptedPackage".encode("utf-16-le") in content:
        return "classeur protégé par un mot de passe : à renvoyer sans mot de passe"
    return "classeur de l'ancien format binaire (.xls), quel que soit son nom : à enregistrer en XLSX, ODS ou CSV"


def open_archive(content: bytes) -> Archive:
    """The archive, once its table of contents is found within bounds; nothing is inflated yet."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception:
        raise Unreadable(FL1, "archive du classeur abîmée ou tronquée : à envoyer de nouveau") from None
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Unreadable(FL1, f"l'archive compte {len(entries)} entrées, plus de {MAX_ENTRIES} : fichier piégé ?")
    names = Counter(entry.filename.lower() for entry in entries)
    if any(count > 1 for count in names.values()):
        raise Unreadable(FL1, "l'archive contient deux entrées du même nom : on ne sait laquelle lire")
    places = sorted((entry.header_offset, entry.header_offset + entry.compress_size) for entry in entries)
    if any(start < end for (_, end), (start, _) in pairwise(places)):
        raise Unreadable(FL1, "l'archive a des entrées qui se recouvrent, ce qu'aucun tableur n'écrit : fichier piégé ?")
    inflated = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if inflated > MAX_INFLATED or any(entry.file_size > MAX_PART for entry in entries):
        raise Unreadable(FL1, f"l'archive annonce {inflated >> 20} Mio décompressés, plus que le permis : fichier piégé ?")
    if inflated > 1 << 20 and inflated > MAX_RATIO * max(packed, 1):
        raise Unreadable(FL1, f"l'archive se décompresse plus de {MAX_RATIO} fois : fichier piégé ?")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable(FL2, "archive protégée par un mot de passe : à renvoyer sans mot de passe")
    for entry in entries:
        if entry.filename.lower().endswith(_ARCHIVE_NAMES) or _starts_like_an_archive(content, entry):
            raise Unreadable(FL1, "l'archive contient une autre archive ou un classeur incorporé : à retirer du classeur")
    return Archive(archive)


def _starts_like_an_archive(content: bytes, entry: zipfile.ZipInfo) -> bool:
    """Stored entries only: what is deflated and is no XML is never opened."""
    if entry.compress_type != zipfile.ZIP_STORED or not entry.file_size:
        return False
    start = entry.header_offset + 30 + len(entry.orig_filename.encode("utf-8", "replace")) + len(entry.extra)
    return content[start : start + 6].startswith(_ARCHIVES)


def _archive_format(archive: Archive) -> str:
    names = set(archive.archive.namelist())
    if any(name.lower().endswith("vbaproject.bin") for name in names) or any(name.startswith("Basic/") for name in names):
        raise Unreadable(FL2, "classeur à macros : à enregistrer en XLSX sans macro, en ODS ou en CSV")
    if "[Content_Types].xml" in names:
        types = archive.part("[Content_Types].xml")
        if b"macroEnabled" in types:
            raise Unreadable(FL2, "classeur à macros : à enregistrer en XLSX sans macro, en ODS ou en CSV")
        if b"sheet.binary" in types:
            raise Unreadable(FL2, "classeur binaire (.xlsb) : à enregistrer en XLSX, ODS ou CSV")
        if "xl/workbook.xml" in names:
            return "xlsx"
    if "content.xml" in names:
        if "META-INF/manifest.xml" in names and b"encryption-data" in archive.part("META-INF/manifest.xml"):
            raise Unreadable(FL2, "classeur ODS protégé par un mot de passe : à renvoyer sans mot de passe")
        if "mimetype" in names and b"spreadsheet" not in archive.part("mimetype"):
            raise Unreadable(FL2, "document OpenDocument qui n'est pas un tableur : à envoyer en XLSX, ODS ou CSV")
        return "ods"
    raise Unreadable(FL2, "archive ZIP qui n'est pas un classeur : envoyer le tableur lui-même, sans le compresser")


def parse_xml(
    content: bytes,
    part: str,
    start: Callable[[str, dict[str, str]], Any] | None = None,
    end: Callable[[str], Any] | None = None,
    text: Callable[[str], Any] | None = None,
) -> None:
    """Runs the handlers over a part; names are ``namespace local``. A DOCTYPE or broken XML is ``Unreadable``."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.buffer_size = 1 << 16

    def doctype(*_: object) -> None:
        raise Unreadable(FL1, f"la partie {part!r} déclare un DOCTYPE : fichier piégé, jamais produit par un tableur")

    parser.StartDoctypeDeclHandler = doctype
    if start:
        parser.StartElementHandler = start
    if end:
        parser.EndElementHandler = end
    if text:
        parser.CharacterDataHandler = text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        message = f"la partie {part!r} est un XML abîmé (ligne {error.lineno}) : classeur à enregistrer de nouveau"
        raise Unreadable(FL2, message) from None
