"""Declarations pulled, as the typed rows of the dataset ``declarations``: the same table as an export that someone sends.

So that one table, one scope and one set of rules serve both ways in. Must lose nothing that the frames say.
"""

import polars as pl

from connectors.demarches_frames import Declared
from contracts_schema.datasets import datasets, schema

DATASET = "declarations"


def rows(found: Declared) -> pl.DataFrame:
    """Rows in the order and types of ``contracts_schema.datasets.schema``, numbered from 1; the same for the same frames."""
    frames = found.frames
    of_dossier = frames["dossier"].select("number", "demarche", "deposited_on")
    protocol = frames["dossier_protocol"].join(of_dossier, on="number", how="left", maintain_order="left")
    at_deposit = pl.col("effective_on") == pl.col("deposited_on")
    first = protocol.filter(at_deposit).group_by("number", maintain_order=True).agg(protocols=pl.col("family"))
    later = protocol.filter(~at_deposit | pl.col("until_on").is_not_null())
    event = frames["dossier_event"].rename({"kind": "event", "at": "event_at"})
    parts = {
        "synchronisation": frames["synchronisation"],
        "dossier": frames["dossier"].join(first, on="number", how="left", maintain_order="left"),
        "protocol": later,
        "member": frames["member"].join(of_dossier, on="number", how="left", maintain_order="left"),
        "event": event.join(of_dossier, on="number", how="left", maintain_order="left"),
    }
    whole = pl.concat([part.with_columns(kind=pl.lit(kind)) for kind, part in parts.items()], how="diagonal")
    columns = schema(datasets()[DATASET])
    missing = [pl.lit(None, kind).alias(name) for name, kind in columns.items() if name not in whole.columns]
    ordered = whole.with_columns(missing).with_columns(line_number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    return ordered.select(pl.col(name).cast(kind) for name, kind in columns.items())
