"""Segments: rows written to one Parquet file in bounded memory, always the same bytes for the same rows.

The bytes depend on the rows, their order and the versions of the libraries, never on how the rows came in blocks.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow.parquet as pq

from warehouse.blobs import Blobs

GROUP_ROWS = 122_880
"""Rows of a row group: what DuckDB reads best, and what bounds memory."""

COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1


class SegmentWriter:
    """Writes frames of one schema, in the order given, as row groups of ``GROUP_ROWS`` rows."""

    def __init__(self, path: Path, schema: pl.Schema) -> None:
        self._schema = pl.DataFrame(schema=schema).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        self._writer = pq.ParquetWriter(path, self._schema, compression=COMPRESSION, compression_level=COMPRESSION_LEVEL)
        self._encoder = ThreadPoolExecutor(1)  # a group is encoded while the next is read, and no more than one waits
        self._encoding: Future[None] | None = None
        self._pending: list[pl.DataFrame] = []
        self._height = 0
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows, which reach the file when there are enough for a group."""
        self._pending.append(frame)
        self._height += frame.height
        self.rows += frame.height
        while self._height >= GROUP_ROWS:
            whole = pl.concat(self._pending)
            self._group(whole.head(GROUP_ROWS))
            rest = whole.slice(GROUP_ROWS)
            self._pending, self._height = [rest], rest.height

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._encoder:
            if kind is None and self._height:
                self._group(pl.concat(self._pending))
        try:
            if self._encoding and kind is None:
                self._encoding.result()
        finally:
            self._writer.close()

    def _group(self, frame: pl.DataFrame) -> None:
        if self._encoding:
            self._encoding.result()
        self._encoding = self._encoder.submit(self._encode, frame)

    def _encode(self, frame: pl.DataFrame) -> None:
        self._writer.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self._schema), GROUP_ROWS)


def keep(blobs: Blobs, frame: pl.DataFrame) -> str:
    """Keep a frame as a segment; gives its hash. BlobUnwritable."""
    with blobs.scratch(".parquet") as path:
        with SegmentWriter(path, frame.schema) as writer:
            writer.write(frame)
        return blobs.adopt_segment(path)
