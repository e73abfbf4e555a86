"""Synthetic RSA files (PMSI MCO): true to format, about nobody.

The same recipe gives the same bytes on every machine, and the file of a later month sends the stays of earlier months again,
save the few that changed, vanished or came late. Positions come from the layouts only. Must never loop over rows.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from connectors.synthetic import Recipe
from connectors.synthetic_damage import damage
from connectors.synthetic_draws import Codes, Ints, Keys, keys_of, present
from connectors.synthetic_stays import Columns, children, layout_of, stay_of, zones_of
from contracts_schema.layouts import Field

Raw = npt.NDArray[np.void]
BLOCK = 65_536  # stays made at a time: bounds memory whatever the size of the file


def records(recipe: Recipe, line_end: bytes = b"\r\n") -> Iterator[bytes]:
    """The file in blocks of whole lines, at most ``BLOCK`` stays each; record numbers run from 1."""
    number = 1
    for month in range(1, recipe.months + 1):
        for start in range(0, recipe.stays_per_month, BLOCK):
            keys = keys_of(recipe, month, start, min(start + BLOCK, recipe.stays_per_month))
            keys = keys[present(recipe, month, keys)]
            yield _block(recipe, month, keys, number, line_end)
            number += keys.size


def write_rsa(path: Path, recipe: Recipe, line_end: bytes = b"\r\n", defects: Mapping[int, str] | None = None) -> int:
    """Write the file, with the named defects at the given record indexes (from 0); returns the records made."""
    written = 0
    with path.open("wb") as out:
        for block in records(recipe, line_end):
            count = block.count(line_end)
            here = {index - written: name for index, name in (defects or {}).items() if 0 <= index - written < count}
            if here:
                damaged = damage(block.split(line_end)[:-1], here)
                block = b"".join(line + line_end for line in damaged)
            out.write(block)
            written += count
    return written


def _digits(values: Ints, width: int) -> Codes:
    """Zero-filled decimal text; negative is blank."""
    text = np.empty((values.size, width), dtype=np.uint8)
    rest = values.astype(np.int64)
    for place in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + 48
    text[values < 0] = 32
    return text.view(f"S{width}").ravel()


def _table(fields: tuple[Field, ...], width: int, columns: Columns, rows: int) -> Raw:
    """Rows of ``width`` bytes; a field that no column names is blank, or zeros for a number of supplements."""
    shape = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [f"S{field.length}" for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": width,
        }
    )
    table = np.zeros(rows, dtype=shape)
    for field in fields:
        supplement = field.type == "int" and field.name.startswith("suppl_")
        value = columns.get(field.name, b"0" * field.length if supplement else b"")
        is_number = isinstance(value, np.ndarray) and value.dtype.kind == "i"
        table[field.name] = _digits(value, field.length) if is_number else value  # type: ignore[arg-type]
    raw = table.view(np.uint8)
    raw[raw == 0] = 32
    return table.view(f"V{width}")


def _scatter(out: npt.NDArray[np.uint8], positions: Ints, rows: Raw) -> None:
    """Copy each row to its byte position: one view of ``out`` as overlapping records, one indexed assignment."""
    if rows.size:
        width = rows.dtype.itemsize
        view = np.ndarray((out.size - width + 1,), dtype=rows.dtype, buffer=out, strides=(1,))
        view[positions] = rows


def _block(recipe: Recipe, month: int, keys: Keys, first_number: int, line_end: bytes) -> bytes:
    layout = layout_of(recipe.version)
    columns, counts = stay_of(recipe, month, keys)
    zones = zones_of(recipe, keys, columns, counts)
    columns |= {"record_number": np.arange(first_number, first_number + keys.size), **counts}
    lengths = np.full(keys.size, layout.fixed_length + len(line_end))
    for zone in layout.zones:
        lengths += counts[zone.count_field] * zone.width
    position = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), dtype=np.uint8)
    _scatter(out, position, _table(layout.fields, layout.fixed_length, columns, keys.size))
    position = position + layout.fixed_length
    for zone in layout.zones:
        parent, rank = children(counts[zone.count_field])
        rows = _table(zone.fields, zone.width, zones[zone.name], rank.size)
        _scatter(out, position[parent] + rank * zone.width, rows)
        position = position + counts[zone.count_field] * zone.width
    _scatter(out, position, np.full(keys.size, np.void(line_end)))
    return out.tobytes()
