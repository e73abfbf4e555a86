"""The blob store, one suite over a local folder and an object store (fsspec's in memory)."""

import errno
import hashlib
import io
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conftest import Program

from warehouse import faults
from warehouse.blobs import (
    BlobDamaged,
    BlobError,
    BlobMissing,
    Blobs,
    BlobUnwritable,
    RawBlob,
    open_blobs,
)

RECEIVED = b"013229990000001" * 50_000 + os.urandom(100_000)
NOWHERE = "0" * 64


@pytest.fixture(params=["folder", "object store"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs(tmp_path)
    return open_blobs(f"memory://{uuid.uuid4()}/store", cache=tmp_path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put_segment(blobs: Blobs, data: bytes) -> str:
    with blobs.scratch(".parquet") as path:
        path.write_bytes(data)
        return blobs.adopt_segment(path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- names and contents


def test_received_bytes_come_back_exactly_under_their_own_hash(blobs: Blobs) -> None:
    blob = blobs.put_stream([RECEIVED[:10], b"", RECEIVED[10:]])
    assert blob == RawBlob(sha256(RECEIVED), len(RECEIVED))
    with blobs.open_raw(blob.sha256) as file:
        assert file.read(15) == RECEIVED[:15]
        assert file.read() == RECEIVED[15:]
    assert blobs.exists("raw", blob.sha256)
    assert blobs.verify("raw", blob.sha256) is None
    assert list(blobs.list("raw")) == [blob.sha256]
    assert list(blobs.list("segments")) == []


def test_no_bytes_at_all_are_a_blob_too(blobs: Blobs) -> None:
    blob = blobs.put_stream([])
    assert blob == RawBlob(sha256(b""), 0)
    assert blobs.open_raw(blob.sha256).read() == b""


def test_a_segment_is_kept_as_it_is_under_its_own_hash(blobs: Blobs) -> None:
    sha = put_segment(blobs, b"PAR1 rows PAR1")
    assert sha == sha256(b"PAR1 rows PAR1")
    path = blobs.segment_path(sha)
    assert path.read_bytes() == b"PAR1 rows PAR1"
    assert path.parts[-3:] == ("segments", sha[:2], f"{sha}.parquet")
    assert blobs.verify("segments", sha) is None
    with blobs.writer("segments") as writer:
        writer.write(b"PAR1 rows PAR1")
    assert writer.sha256 == sha
    assert list(blobs.list("segments")) == [sha]


def test_received_bytes_lie_compressed_the_same_way_however_they_came(tmp_path: Path) -> None:
    one, two = open_blobs(tmp_path / "one"), open_blobs(tmp_path / "two")
    one.put_stream([RECEIVED])
    two.put_stream(RECEIVED[start : start + 7_777] for start in range(0, len(RECEIVED), 7_777))
    sha = sha256(RECEIVED)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert list(files(tmp_path / "one")) == [f"raw/{sha[:2]}/{sha}.zst"]
    assert len(files(tmp_path / "one")[f"raw/{sha[:2]}/{sha}.zst"]) < len(RECEIVED) / 5


def test_the_first_of_equal_blobs_stays(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    blobs.put_stream([RECEIVED])
    put_segment(blobs, b"segment")
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    blobs.put_stream([RECEIVED])
    put_segment(blobs, b"segment")
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    assert not blobs.exists("raw", NOWHERE)
    for ask in (lambda: blobs.open_raw(NOWHERE), lambda: blobs.segment_path(NOWHERE)):
        with pytest.raises(BlobMissing, match=f"{NOWHERE} absent du magasin"):
            ask()
    assert "absent du magasin" in (blobs.verify("segments", NOWHERE) or "")
    assert [*blobs.list("raw"), *blobs.list("segments")] == []


def test_files_that_are_no_blobs_are_not_listed(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    sha = put_segment(blobs, b"segment")
    (tmp_path / "segments" / sha[:2] / "notes.txt").write_text("")
    (tmp_path / "segments" / sha[:2] / f"{sha}.parquet~").write_text("")
    assert list(blobs.list("segments")) == [sha]


def test_an_address_may_be_a_file_url(tmp_path: Path) -> None:
    sha = put_segment(open_blobs(f"file://{tmp_path}"), b"segment")
    assert open_blobs(str(tmp_path)).exists("segments", sha)


# --- what is left when it goes wrong


def test_an_error_while_bytes_arrive_is_the_callers_own_and_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    def arriving() -> Iterator[bytes]:
        yield RECEIVED
        raise PermissionError("of the sender's folder")

    with pytest.raises(PermissionError, match="sender"):
        blobs.put_stream(arriving())
    with pytest.raises(FileNotFoundError, match="export"), blobs.scratch(".parquet") as path:
        _ = path.write_bytes(b"half a segm"), Path("/nowhere/export.txt").read_bytes()
    assert files(tmp_path) == {}
    assert list(blobs.list("raw")) == []


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    blobs = open_blobs(tmp_path / "store")
    with pytest.raises(BlobUnwritable, match=r"écriture impossible dans .*store"):
        blobs.put_stream([RECEIVED])
    (tmp_path / "store").unlink()
    assert blobs.put_stream([RECEIVED]).size == len(RECEIVED)


FULL = """
import resource, sys
from pathlib import Path
from warehouse.blobs import BlobUnwritable, open_blobs

blobs = open_blobs(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))

def received():
    blobs.put_stream(bytes([n % 251]) * 10 + Path("/dev/urandom").open("rb").read(50_000) for n in range(20))

def written():
    with blobs.writer("segments") as writer:
        writer.write(b"x" * 300_000)

def made_elsewhere():
    with blobs.scratch(".parquet") as path:
        path.write_bytes(b"x" * 300_000)

def read_elsewhere():
    with blobs.scratch(".parquet"):
        Path("/nowhere/export.txt").read_bytes()

for attempt in (received, written, made_elsewhere, read_elsewhere):
    try:
        attempt()
    except (BlobUnwritable, FileNotFoundError) as problem:
        print(type(problem).__name__, problem)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(blobs.put_stream([b"afterwards"]).size)
"""


def test_a_disk_that_takes_no_more_is_told_and_the_same_command_works_afterwards(tmp_path: Path, program: Program) -> None:
    said = program(FULL, str(tmp_path)).communicate(timeout=600)[0].splitlines()
    told = (
        "BlobUnwritable écriture impossible dans {}/tmp : fichier trop grand pour ce disque ; "
        "remédiez-y, puis relancez la même commande"
    )
    assert said[:3] == [told.format(tmp_path)] * 3
    assert said[3].startswith("FileNotFoundError")
    assert said[4] == "10"
    assert len(files(tmp_path)) == 1


class BrokenDisk(io.BytesIO):
    def write(self, _: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def close(self) -> None:
        self.write(b"what was buffered")


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    def store() -> None:
        with open_blobs(tmp_path).writer("segments") as writer:
            writer._file = BrokenDisk()  # type: ignore[assignment]
            writer.write(b"segment")

    with pytest.raises(BlobUnwritable, match="entrée-sortie du disque"):
        store()
    assert files(tmp_path) == {}


STORE = """
import sys
from warehouse.blobs import open_blobs

blobs = open_blobs(sys.argv[1])
print(blobs.put_stream([b"received " * 50_000] * 3).sha256)
with blobs.scratch(".parquet") as path:
    path.write_bytes(b"segment " * 50_000)
    print(blobs.adopt_segment(path))
"""


def test_a_process_killed_anywhere_leaves_only_whole_blobs_and_a_rerun_converges(tmp_path: Path, program: Program) -> None:
    trace = tmp_path / "trace"
    whole = program(STORE, str(tmp_path / "whole"), ECLUSE_CRASH_TRACE=str(trace))
    names = whole.communicate(timeout=600)[0].split()
    points = trace.read_text().split()
    assert points == [point for point in faults.POINTS if point.startswith("blob.")] * 2
    for number, point in enumerate(points, start=1):
        folder = tmp_path / f"{number}"
        blobs = open_blobs(folder)
        assert program(STORE, str(folder), ECLUSE_CRASH_AT=str(number)).wait(600) == -signal.SIGKILL
        assert [blobs.verify("raw", sha) for sha in blobs.list("raw")] == [None] * (number >= 3)
        assert [blobs.verify("segments", sha) for sha in blobs.list("segments")] == [None] * (number >= 6)
        assert blobs.sweep() == (point != "blob.renamed")
        assert program(STORE, str(folder)).communicate(timeout=600)[0].split() == names
        assert files(folder) == files(tmp_path / "whole")


def test_eight_processes_that_store_the_same_bytes_leave_one_blob(tmp_path: Path, program: Program) -> None:
    processes = [program(STORE, str(tmp_path)) for _ in range(8)]
    said = {process.communicate(timeout=600)[0] for process in processes}
    assert len(said) == 1
    assert len(files(tmp_path)) == 2
    blobs = open_blobs(tmp_path)
    assert [blobs.verify("raw", sha) for sha in blobs.list("raw")] == [None]


def test_sweeping_spares_what_may_still_be_in_the_making(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    assert blobs.sweep() == 0
    with blobs.scratch(".parquet") as mine:
        mine.write_bytes(b"")
        host = mine.name.split("~")[0]
        dead, young, old = (mine.with_name(name) for name in (f"{host}~{2**22}~a", "elsewhere~1~a", "elsewhere~1~b"))
        for path in (dead, young, old):
            path.write_bytes(b"")
        long_ago = time.time() - 8 * 86_400
        for path in (mine, old):
            os.utime(path, (long_ago, long_ago))
        assert blobs.sweep() == 2
        assert (mine.exists(), dead.exists(), young.exists(), old.exists()) == (True, False, True, False)


# --- damage


def test_damaged_received_bytes_are_never_handed_out_as_whole(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    sha = blobs.put_stream([RECEIVED]).sha256
    (path,) = (tmp_path / "raw").rglob("*.zst")
    sound = path.read_bytes()
    step = len(sound) // 40
    flips = [sound[:at] + bytes([sound[at] ^ 0x10]) + sound[at + 1 :] for at in range(0, len(sound), step)]
    cuts = [sound[:at] for at in range(0, len(sound), step)]
    open_blobs(tmp_path / "other").put_stream([b"other bytes"])
    (other,) = (tmp_path / "other").rglob("*.zst")
    harmless = 0
    for damaged in (*flips, *cuts, sound[:-1], sound[:-4], sound + sound, other.read_bytes()):
        path.write_bytes(damaged)
        problem = blobs.verify("raw", sha)
        try:
            assert blobs.open_raw(sha).read() == RECEIVED
            assert problem is None
            harmless += 1  # a bit of the frame's header that changes no byte of the content
        except BlobDamaged:
            assert problem == f"fichier reçu {sha} abîmé dans le magasin : à restaurer d'une sauvegarde"
    assert harmless <= 1


def test_a_damaged_segment_is_found(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    sha = put_segment(blobs, b"segment")
    blobs.segment_path(sha).write_bytes(b"Segment")
    assert blobs.verify("segments", sha) == f"segment {sha} abîmé dans le magasin : à restaurer d'une sauvegarde"


# --- object store


@pytest.fixture
def address() -> str:
    return f"memory://{uuid.uuid4()}/store"


def test_another_machine_fetches_what_it_lacks_and_checks_it(address: str, tmp_path: Path) -> None:
    here, there = open_blobs(address, tmp_path / "here"), open_blobs(address, tmp_path / "there")
    raw, segment = here.put_stream([RECEIVED]).sha256, put_segment(here, b"segment")
    assert there.open_raw(raw).read() == RECEIVED
    assert there.segment_path(segment).read_bytes() == b"segment"
    assert files(tmp_path / "here") == files(tmp_path / "there")


def test_a_blob_damaged_in_the_object_store_is_not_taken(address: str, tmp_path: Path) -> None:
    here, there = open_blobs(address, tmp_path / "here"), open_blobs(address, tmp_path / "there")
    raw, segment = here.put_stream([RECEIVED]).sha256, put_segment(here, b"segment")
    store = fsspec.filesystem("memory")
    for path in store.find(address.removeprefix("memory://")):
        store.pipe_file(path, store.cat_file(path)[:-1])
    with pytest.raises(BlobDamaged):
        there.segment_path(segment)
    with pytest.raises(BlobDamaged):
        there.open_raw(raw)
    assert files(tmp_path / "there") == {}
    assert here.open_raw(raw).read() == RECEIVED, "the cache is sound"
    assert (here.verify("raw", raw), here.verify("segments", segment)) != (None, None), "the store is not"


def test_a_blob_is_uploaded_once(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    uploads: list[str] = []
    put_file = type(store).put_file

    def counted(self: Any, local: str, remote: str, **options: Any) -> None:
        uploads.append(remote)
        put_file(self, local, remote, **options)

    monkeypatch.setattr(type(store), "put_file", counted)
    blobs = open_blobs(address, tmp_path / "here")
    for _ in range(2):
        blobs.put_stream([RECEIVED])
        put_segment(blobs, b"segment")
        put_segment(open_blobs(address, tmp_path / "there"), b"segment")
    assert len(uploads) == 2


def test_an_upload_that_failed_is_told_without_secrets_and_made_good_by_a_rerun(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("AccessDenied for key hunter2")

    blobs = open_blobs(address, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(type(fsspec.filesystem("memory")), "put_file", refuse)
        with pytest.raises(BlobUnwritable, match=r"\(RuntimeError\)") as caught:
            blobs.put_stream([RECEIVED])
    assert "hunter2" not in str(caught.value)
    assert not blobs.exists("raw", sha256(RECEIVED)), "what lies in the cache only is not stored"
    blobs.put_stream([RECEIVED])
    assert blobs.exists("raw", sha256(RECEIVED))


def test_a_bucket_that_does_not_exist_is_told_as_such_not_as_a_missing_blob(tmp_path: Path) -> None:
    blobs = open_blobs(f"local://{tmp_path / 'nowhere'}", tmp_path / "cache")
    with pytest.raises(BlobUnwritable, match="n'a pas ce dossier"):
        blobs.put_stream([RECEIVED])


def test_a_store_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlobError, match="ce genre de magasin ne peut servir : protocole inconnu"):
        open_blobs("carrier-pigeon://roof", tmp_path)
    with pytest.raises(ValueError, match="cache"):
        open_blobs("memory://store")


# --- memory

STREAM = """
import resource, sys
from warehouse.blobs import open_blobs

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

blobs = open_blobs(sys.argv[1])
blobs.put_stream([b"warm up"])
before = peak()
block = bytes(range(256)) * 4096
blob = blobs.put_stream(block for _ in range(int(sys.argv[2])))
with blobs.open_raw(blob.sha256) as file:
    assert sum(len(chunk) for chunk in iter(lambda: file.read(1 << 20), b"")) == blob.size
print(blob.size, peak() - before)
"""


def test_300_megabytes_pass_through_a_fraction_of_their_size_in_memory(tmp_path: Path, program: Program) -> None:
    size, grown = map(int, program(STREAM, str(tmp_path), "300").communicate(timeout=600)[0].split())
    assert size == 300 << 20
    assert grown < 64
