"""Reads many spreadsheets, each in a process of its own: one process imports what reading needs, then forks for each file.

Started by ``connectors.sheet_batch``. A file never shares a process with another: limits of memory and time, and a crash, are
its own. Frames on both pipes: eight bytes of length, then the bytes.
"""

import json
import os
import sys
from typing import BinaryIO

from connectors import sheet_cells
from connectors.sheet_archive import FL1, FL2, Unreadable
from connectors.sheet_child import limit
from connectors.sheet_reading import read


def serve(dialect: dict[str, object], source: BinaryIO, out: BinaryIO) -> None:
    """Answers each frame of ``source`` with one of ``out``, until it ends."""
    while head := source.read(8):
        content = source.read(int.from_bytes(head, "big"))
        answer = _forked(content, dialect)
        out.write(len(answer).to_bytes(8, "big"))
        out.write(answer)
        out.flush()


def _forked(content: bytes, dialect: dict[str, object]) -> bytes:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            _read_one(content, dialect, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not answer:
        return _refusal(FL1, "la lecture a dépassé ses limites de mémoire ou de temps : fichier piégé ?")
    return answer


def _read_one(content: bytes, dialect: dict[str, object], pipe: BinaryIO) -> None:
    """In the child of one file: its limits, then its cells or its refusal; it never lets a traceback out."""
    try:
        limit()
        parts = b"".join(sheet_cells.encode(read(content, dialect)))
    except Unreadable as refusal:
        parts = _refusal(refusal.rule, str(refusal))
    except MemoryError:
        parts = _refusal(FL1, "la lecture dépasse la mémoire permise : fichier piégé ?")
    except Exception:
        parts = _refusal(FL2, "contenu illisible : à enregistrer de nouveau en XLSX, ODS ou CSV")
    pipe.write(parts)
    pipe.flush()


def _refusal(rule: str, message_fr: str) -> bytes:
    return json.dumps({"refused": [rule, message_fr]}).encode() + b"\n"


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
