"""What a file is, by its first bytes and, in an archive, by the names in it: never by its name or by what its sender says.

Must never unpack, run or render anything.
"""

import re
import zipfile
from typing import IO

STORED_KINDS = frozenset({"pdf", "png", "jpeg", "gif", "tiff", "webp", "heic", "docx", "xlsx", "odf", "text"})
"""Kinds that may be stored; with macros, old Office files, archives, pages and programs may not."""
HEAD = 4096
_MAGIC = (
    (b"%PDF-", "pdf"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"MZ", "program"),
    (b"\x7fELF", "program"),
    (b"#!", "program"),
)


def sniff(file: IO[bytes]) -> str:
    """pdf, png, jpeg, gif, tiff, webp, heic, docx, xlsx, odf, text; or macro, ole, zip, markup, program, unknown."""
    file.seek(0)
    head = file.read(HEAD)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"heim"):
        return "heic"
    if head.startswith(b"PK\x03\x04"):
        return _archive(file)
    return _text(head)


def _archive(file: IO[bytes]) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            if any(re.search(r"vbaProject|macrosheets|^Basic/|^Scripts/|activeX", name) for name in names):
                return "macro"
            if {"[Content_Types].xml"} <= names:
                return "docx" if "word/document.xml" in names else "xlsx" if "xl/workbook.xml" in names else "zip"
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                return "odf" if archive.read("mimetype").startswith(b"application/vnd.oasis.opendocument.") else "zip"
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return "unknown"
    return "zip"


def _text(head: bytes) -> str:
    """Text without a sign that no text has; a page or a drawing that a browser would run is markup."""
    if b"\x00" in head or not head.strip():
        return "unknown"
    if re.search(rb"<\s*(?:!doctype|html|svg|script|\?xml|body|iframe)", head, re.IGNORECASE):
        return "markup"
    for encoding in ("utf-8", "cp1252"):
        try:
            text = head[: HEAD - 4].decode(encoding)
        except UnicodeDecodeError:
            continue
        return "text" if not re.search(r"[\x00-\x08\x0e-\x1f]", text) else "unknown"
    return "unknown"
