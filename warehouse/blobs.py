"""The one blob store: exact received bytes and Parquet segments, each under the sha256 of its content, never changed.

``raw/ab/<sha>.zst`` is named by the bytes as received and holds them compressed; ``segments/ab/<sha>.parquet`` is named
by its own bytes. A file gets its final name only once all of it is on disk: a name that exists can be relied upon.
The store is a folder, or an object store that fsspec knows (``s3://…``) with a folder as its cache.

Must never hand out bytes as if they were those of a name that they do not match, and never look into them.
"""

import errno
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from contracts_schema.french import system_error
from warehouse.blob_files import NAMED, BlobWriter, check, place, place_all, storing, sweep, unfinished, unpacked, unwritable
from warehouse.blob_files import BlobDamaged as BlobDamaged
from warehouse.blob_files import BlobError as BlobError
from warehouse.blob_files import BlobMissing as BlobMissing
from warehouse.blob_files import BlobUnwritable as BlobUnwritable
from warehouse.blob_files import Kind as Kind

SUFFIX: dict[Kind, str] = {"raw": ".zst", "segments": ".parquet"}
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class RawBlob:
    """Bytes as received: the sha256 that names them, and their number."""

    sha256: str
    size: int


class Blobs:
    """A store in ``folder``, or in an object store (fsspec's ``files``, under ``root``) whose cache the folder is."""

    def __init__(self, folder: Path, files: Any = None, root: str = "") -> None:
        self._folder = folder
        self._files = files
        self._root = root
        self._together: list[tuple[Kind, str, Path]] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is stored in this block, by one thread, has its name at the end of the block and not before. BlobUnwritable.

        The disk is asked once for all of it: many small blobs take a tenth of the time.
        """
        waiting: list[tuple[Kind, str, Path]] = []
        self._together = waiting
        try:
            yield
            self._together = None
            place_all([(path, self._path(kind, sha)) for kind, sha, path in waiting])
            for kind, sha, _ in waiting:
                self._send(kind, sha)
        finally:
            self._together = None
            for _, _, path in waiting:
                path.unlink(missing_ok=True)

    @contextmanager
    def writer(self, kind: Kind) -> Iterator[BlobWriter]:
        """A blob of unknown name: stored when the block ends well, forgotten when it raises. BlobUnwritable."""
        with self.scratch(SUFFIX[kind]) as path:
            writer = BlobWriter(path, kind)
            try:
                yield writer
                writer.finish()
            finally:
                writer.close()
            self._adopt(kind, writer.sha256, path)

    def put_stream(self, chunks: Iterable[bytes]) -> RawBlob:
        """Store received bytes, one chunk at a time in memory."""
        with self.writer("raw") as writer:
            for chunk in chunks:
                writer.write(chunk)
        return RawBlob(writer.sha256, writer.size)

    @contextmanager
    def scratch(self, suffix: str) -> Iterator[Path]:
        """A path, on the store's own disk, for a file in the making; what is there when the block ends is removed."""
        path = unfinished(self._folder / "tmp", suffix)
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        except OSError as problem:
            if problem.errno in DISK_FULL:  # else it is the caller's own, about what it reads
                raise unwritable(path, problem) from None
            raise
        finally:
            path.unlink(missing_ok=True)

    def adopt_segment(self, path: Path) -> str:
        """Move a finished file out of ``scratch`` into the store; its sha256. BlobUnwritable."""
        with path.open("rb") as file:
            sha = hashlib.file_digest(file, "sha256").hexdigest()
        self._adopt("segments", sha, path)
        return sha

    def open_raw(self, sha: str) -> BinaryIO:
        """The bytes as received. BlobMissing; BlobDamaged, at the latest where the bytes end."""
        return unpacked(self._local("raw", sha).open("rb"), sha)

    def segment_path(self, sha: str) -> Path:
        """The segment as a local file, fetched and checked when the store is remote. BlobMissing, BlobDamaged."""
        return self._local("segments", sha)

    def exists(self, kind: Kind, sha: str) -> bool:
        """Whether a blob is there, whatever its state. BlobError when the store does not answer."""
        if not self._files:
            return self._path(kind, sha).exists()
        with _asking(kind, sha):
            return bool(self._files.exists(self._key(kind, sha)))

    def verify(self, kind: Kind, sha: str) -> str | None:
        """What is wrong with a blob as the store (not the cache) holds it, in words; None when it is sound."""
        try:
            if not self._files:
                with self._local(kind, sha).open("rb") as file:
                    check(kind, sha, file)
            else:
                with _asking(kind, sha), self._files.open(self._key(kind, sha), "rb") as file:
                    check(kind, sha, file)
        except BlobError as problem:
            return str(problem)
        except OSError as problem:
            return f"{NAMED[kind]} {sha} illisible : {system_error(problem)}"
        return None

    def list(self, kind: Kind) -> Iterator[str]:
        """The names of all blobs of a kind, in order."""
        if self._files:
            with _asking(kind, "(tous)"):
                paths = self._files.find(f"{self._root}/{kind}")
        else:
            paths = [path.as_posix() for path in (self._folder / kind).glob("*/*")]
        names = (re.fullmatch(rf".*/([0-9a-f]{{64}}){SUFFIX[kind]}", path) for path in paths)
        return iter(sorted(name[1] for name in names if name))

    def sweep(self) -> int:
        """Remove what processes that died left unfinished; how many files."""
        return sweep(self._folder / "tmp")

    def _path(self, kind: Kind, sha: str) -> Path:
        return self._folder / kind / sha[:2] / f"{sha}{SUFFIX[kind]}"

    def _key(self, kind: Kind, sha: str) -> str:
        return f"{self._root}/{kind}/{sha[:2]}/{sha}{SUFFIX[kind]}"

    def _adopt(self, kind: Kind, sha: str, path: Path) -> None:
        if self._together is not None:
            waiting = unfinished(self._folder / "tmp", SUFFIX[kind])
            path.rename(waiting)
            self._together.append((kind, sha, waiting))
            return
        place(path, self._path(kind, sha))
        self._send(kind, sha)

    def _send(self, kind: Kind, sha: str) -> None:
        """To the object store, where there is one."""
        if self._files and not self.exists(kind, sha):
            # PUT is atomic in an object store, the key holds a whole object or none: no temporary name is needed there
            with _asking(kind, sha, BlobUnwritable):
                self._files.put_file(str(self._path(kind, sha)), self._key(kind, sha))

    def _local(self, kind: Kind, sha: str) -> Path:
        path = self._path(kind, sha)
        if path.exists():
            return path
        if not self._files:
            raise _missing(kind, sha)
        with self.scratch(SUFFIX[kind]) as fetched:
            with _asking(kind, sha):
                self._files.get_file(self._key(kind, sha), str(fetched))
            with fetched.open("rb") as file:
                check(kind, sha, file)
            place(fetched, path)
        return path


def open_blobs(location: str | Path, cache: Path | None = None) -> Blobs:
    """The store at a folder or an fsspec URL; a remote one needs a ``cache`` folder of its own."""
    location = str(location).removeprefix("file://")
    if "://" not in location:
        return Blobs(Path(location))
    if cache is None:
        raise ValueError("a remote store needs a folder as its cache")
    from fsspec.core import url_to_fs  # imported here because a local store has no use for it

    try:
        return Blobs(cache, *url_to_fs(location, use_listings_cache=False))
    except (ImportError, ValueError) as problem:
        lacks = "il demande un paquet Python qui manque" if isinstance(problem, ImportError) else "protocole inconnu"
        raise BlobError(f"ce genre de magasin ne peut servir : {lacks} ({problem})") from None


def _missing(kind: Kind, sha: str) -> BlobMissing:
    return BlobMissing(f"{NAMED[kind]} {sha} absent du magasin : à restaurer d'une sauvegarde, ou à recevoir à nouveau")


@contextmanager
def _asking(kind: Kind, sha: str, error: type[BlobError] = BlobError) -> Iterator[None]:
    """Each object store has errors of its own, whose text may hold a credential: only their type is told."""
    try:
        yield
    except BlobError:
        raise
    except FileNotFoundError:
        if error is BlobUnwritable:
            raise error("le magasin d'objets n'a pas ce dossier : créez-le, ou corrigez store_url") from None
        raise _missing(kind, sha) from None
    except Exception as problem:
        raise error(
            f"le magasin d'objets échoue, {NAMED[kind]} {sha} ({type(problem).__name__}) : relancez la même commande"
        ) from None
