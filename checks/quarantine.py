"""What is set aside of a file, for every source: the columns of its segments. Imports nothing that judges."""

import polars as pl

QUARANTINE = pl.Schema(
    {
        "line_number": pl.Int64(),
        "byte_offset": pl.Int64(),
        "raw": pl.String(),
        "rule": pl.String(),
        "fields": pl.List(pl.String),
    }
)
"""What a row gate sets aside; ``raw`` is the line in latin-1, ``fields`` the fields that the rule names."""

ASIDE = pl.Schema({"family": pl.String(), **QUARANTINE})
"""Columns of a quarantine segment: the same, of every family of a delivery."""

REFUSAL = pl.Schema({"rule": pl.String(), "message_fr": pl.String()})
"""Columns of the segment that tells why a file could not be read: the message names places, which the log must not hold."""


class RowsLost(Exception):
    """A block left the gate with more or fewer lines than it came with: a defect of the gate, never of the file."""
