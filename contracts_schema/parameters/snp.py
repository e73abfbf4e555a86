"""The SNP law as tables: tariffs, windows and named gaps, as the files say them or as a caisse attests them.

Every date is a day in Paris and every span half-open: ``valid_to`` is the first day on which the row no longer holds.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from contracts_schema.parameters import Attestation, Moved, Value, timeline

if TYPE_CHECKING:
    import polars as pl

TARIFF, WINDOW = "snp.tariff", "snp.window"
OPEN, CLOSED = 1, 0


def tariffs(attested: Iterable[Attestation] = ()) -> "pl.DataFrame":
    """What an act of a version is paid. Rows of one version and act never overlap.

    Columns: version, act, cents, valid_from, valid_to, status, reference, position (of the decision that attests it).
    """
    rows = ({"cents": value.value} | _told(value) for value in timeline(TARIFF, attested) if value.value is not None)
    return _frame(rows, ("version", "act"), "cents")


def windows(attested: Iterable[Attestation] = (), moved: Moved | None = None) -> "pl.DataFrame":
    """When a version is open to a kind of structure. Rows of one kind and version never overlap.

    Columns: structure_kind, version, id (``W4``; ``attestation-57`` where only an attestation opens it), valid_from, valid_to,
    status, reference, position. ``moved``: bounds that a policy moves, by id and ``from`` or ``to``.
    """
    return _spans(attested, moved, OPEN)


def gaps(attested: Iterable[Attestation] = (), moved: Moved | None = None) -> "pl.DataFrame":
    """When a version is known to be closed to a kind of structure, by name (``GAP1``): the columns of ``windows``."""
    return _spans(attested, moved, CLOSED)


def _spans(attested: Iterable[Attestation], moved: Moved | None, wanted: int) -> "pl.DataFrame":
    found = timeline(WINDOW, attested, moved=moved)
    return _frame(
        ({"id": value.name} | _told(value) for value in found if value.value == wanted), ("structure_kind", "version"), "id"
    )


def _told(value: Value) -> dict[str, Any]:
    return dict(value.cell) | {
        "valid_from": value.valid_from,
        "valid_to": value.valid_to,
        "status": value.status,
        "reference": value.reference,
        "position": value.position,
    }


def _frame(rows: Iterator[dict[str, Any]], dimensions: tuple[str, ...], own: str) -> "pl.DataFrame":
    import polars as pl

    kinds = {"cents": pl.Int64, "valid_from": pl.Date, "valid_to": pl.Date, "position": pl.Int64}
    names = (*dimensions, own, "valid_from", "valid_to", "status", "reference", "position")
    return pl.DataFrame(list(rows), schema={name: kinds.get(name, pl.String) for name in names})
