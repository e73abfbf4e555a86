"""What is set aside of a file, for every source: the columns of a quarantine segment. Imports nothing that judges."""

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
"""Columns of a quarantine segment; ``raw`` is the line in latin-1, ``fields`` the fields that the rule names."""


class RowsLost(Exception):
    """A block left the gate with more or fewer lines than it came with: a defect of the gate, never of the file."""
