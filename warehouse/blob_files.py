"""How the bytes of one blob reach the disk and come back: hashed as they are written, checked as they are read.

Must never leave a final name on less than the whole content, or end a damaged content as if it were sound.
"""

import hashlib
import io
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import zstandard

from contracts_schema.french import system_error
from warehouse import faults

Kind = Literal["raw", "segments"]
NAMED: dict[Kind, str] = {"raw": "fichier reçu", "segments": "segment"}
# Equal bytes compress to equal bytes as long as neither changes; threads compress while the caller's hashes.
ZSTD_LEVEL = 3
ZSTD_THREADS = 2
CHUNK = 1 << 20
ORPHAN_SECONDS = 7 * 86400
SYNCS, FEW = 8, 4
"""How many files the disk is asked for at once; up to a few, one after the other."""


class BlobError(Exception):
    """Something about the store that its caller can act upon; the message says how."""


class BlobMissing(BlobError):
    """The store has nothing under this name."""


class BlobDamaged(BlobError):
    """The stored bytes are not those of their name."""


class BlobUnwritable(BlobError):
    """The store cannot take the bytes: disk full, no permission, object store away."""


class BlobWriter:
    """Takes the bytes of one blob; ``sha256`` and ``size`` are those of the bytes taken so far."""

    def __init__(self, path: Path, kind: Kind) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        packer = zstandard.ZstdCompressor(ZSTD_LEVEL, threads=ZSTD_THREADS)
        self._frame = packer.compressobj() if kind == "raw" else None
        self.size = 0
        with storing(path):
            self._file = path.open("xb")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Add bytes. BlobUnwritable."""
        # compressing goes on in its own threads while the bytes are hashed
        stored = self._frame.compress(data) if self._frame else data
        self._digest.update(data)
        self.size += len(data)
        with storing(self._path):
            self._file.write(stored)

    def finish(self) -> None:
        """The last bytes reach the file, whose ``sha256`` is then that of the blob. BlobUnwritable."""
        with storing(self._path):
            if self._frame:
                self._file.write(self._frame.flush())
            self._file.close()

    def close(self) -> None:
        """Let go of the file, finished or not."""
        with suppress(OSError):  # closing writes what is buffered, which may be what failed
            self._file.close()


def unfinished(folder: Path, suffix: str) -> Path:
    """A new path in ``folder`` for what is in the making; its name tells which process makes it."""
    return folder / f"{socket.gethostname()}~{os.getpid()}~{secrets.token_hex(8)}{suffix}"


def sweep(folder: Path) -> int:
    """Remove what processes that died left ``unfinished`` in this folder; how many files or folders."""
    removed = 0
    for path in folder.glob("*~*~*"):
        host, pid, _ = path.name.split("~")
        with suppress(FileNotFoundError):  # finished in the meantime
            old = time.time() - path.stat().st_mtime > ORPHAN_SECONDS
            if old if host != socket.gethostname() else not _alive(int(pid)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # there is one, of another user
        return True
    return True


def place(path: Path, final: Path) -> None:
    """Give a finished file its final name, durably; the first of equal files stays."""
    place_all([(path, final)])


def place_all(finished: Sequence[tuple[Path, Path]]) -> None:
    """The same for many files, each as (path, final): a disk that is asked for many at once is several times quicker."""
    if not finished:
        return
    with storing(finished[0][1]):
        faults.reached("blob.temp_written")
        sync_all([path for path, _ in finished])
        faults.reached("blob.synced")
        folders: dict[Path, None] = {}
        for path, final in finished:
            if not final.exists():
                final.parent.mkdir(parents=True, exist_ok=True)
                path.replace(final)
            # even when another process renamed it: the name must outlive a power cut before an event may speak of it
            folders |= {final.parent: None, final.parent.parent: None}
        sync_all(list(folders))
        faults.reached("blob.renamed")


def sync_all(paths: Sequence[Path]) -> None:
    """Have the system put files, or names of folders, on disk."""
    if len(paths) <= FEW:
        for path in paths:
            sync(path)
        return
    with ThreadPoolExecutor(SYNCS) as pool:
        list(pool.map(sync, paths))


def sync(path: Path) -> None:
    """Have the system put a file, or a folder's names, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unpacked(file: BinaryIO, sha: str) -> io.BufferedReader:
    """The bytes of a kept blob as they were received, while they are read. BlobDamaged, at the latest where they end."""
    return io.BufferedReader(_Unpacked(file, sha), CHUNK)


def check(kind: Kind, sha: str, file: Any) -> None:
    """Read a kept blob whole. BlobDamaged when it is not the one of this hash."""
    content = unpacked(file, sha) if kind == "raw" else file
    if hashlib.file_digest(content, "sha256").hexdigest() != sha:
        raise _damaged(kind, sha)


class _Unpacked(io.RawIOBase):
    """Decompresses and, at the end, compares the sha256: a frame cut short would else end like a whole one."""

    def __init__(self, file: BinaryIO, sha: str) -> None:
        self._frame: Any = zstandard.ZstdDecompressor().stream_reader(file, read_size=CHUNK)
        self._digest = hashlib.sha256()
        self._sha = sha

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            size = int(self._frame.readinto(buffer))
        except zstandard.ZstdError:
            raise _damaged("raw", self._sha) from None
        self._digest.update(memoryview(buffer)[:size])
        if not size and self._digest.hexdigest() != self._sha:
            raise _damaged("raw", self._sha)
        return size

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(CHUNK), b""))  # io's own takes 8 kB at a time

    def close(self) -> None:
        self._frame.close()
        super().close()


def _damaged(kind: Kind, sha: str) -> BlobDamaged:
    return BlobDamaged(f"{NAMED[kind]} {sha} abîmé dans le magasin : à restaurer d'une sauvegarde")


def unwritable(path: Path, problem: Exception) -> BlobUnwritable:
    """What to say when the disk refuses a file: where, why, what to do."""
    told = system_error(problem) if isinstance(problem, OSError) and problem.errno else " ".join(str(problem).split())
    return BlobUnwritable(f"écriture impossible dans {path.parent} : {told} ; remédiez-y, puis relancez la même commande")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into BlobUnwritable."""
    try:
        yield
    except OSError as problem:
        raise unwritable(path, problem) from None
