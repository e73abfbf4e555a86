"""Which rows of a published table differ between two states of it, and what names a row from one state to the next."""

from typing import TYPE_CHECKING

from contracts_schema.products import Column, Table

if TYPE_CHECKING:
    import polars as pl

AGAIN = "#"
"""The rank of a row among those of the same name."""


def numbered(table: Table, rows: "pl.DataFrame") -> "pl.DataFrame":
    """The rows with ``AGAIN``, their rank among those of the same name, where the keys only number them."""
    import polars as pl

    if not table.named_by or AGAIN in rows.columns:
        return rows
    return rows.sort(table.keys).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over(table.named_by).alias(AGAIN))


def named(table: Table) -> tuple[str, ...]:
    """The columns that tell a row from another, from one state to the next."""
    return (*table.named_by, AGAIN) if table.named_by else table.keys


def compared(table: Table, origin: str = "") -> list[Column]:
    """The columns that may tell a change: not those that name or number a row, nor say that something is masked, nor
    ``origin``, the data that it is made from, which causes say."""
    return [column for column in table.columns if column.name not in {*named(table), *table.keys, "masked", origin}]


def differing(table: Table, origin: str, one: "pl.DataFrame", other: "pl.DataFrame") -> "pl.DataFrame":
    """The names of the rows that are not the same in both, in their order."""
    import polars as pl

    name = list(named(table))
    sides = [numbered(table, rows).with_columns(there=pl.lit(value=True)) for rows in (one, other)]
    both = sides[0].join(sides[1], on=name, how="full", coalesce=True, nulls_equal=True, suffix=":after")
    columns = ["there", *(column.name for column in compared(table, origin))]
    differ = pl.any_horizontal(pl.col(column).ne_missing(pl.col(f"{column}:after")) for column in columns)
    return both.filter(differ).select(name).sort(name, nulls_last=True)


def among(table: Table, rows: "pl.DataFrame", wanted: "pl.DataFrame") -> "pl.DataFrame":
    """The rows of these names, numbered."""
    return numbered(table, rows).join(wanted, on=list(named(table)), how="semi", nulls_equal=True)


def shaped(table: Table, rows: "pl.DataFrame | None") -> "pl.DataFrame":
    """Rows in the columns and types of a contract; a column that they have not is empty."""
    import polars as pl

    from warehouse.masking import TYPES

    if rows is None:
        return pl.DataFrame(schema={column.name: TYPES[column.type] for column in table.columns})
    there = set(rows.columns)
    empty = [pl.lit(None).alias(column.name) for column in table.columns if column.name not in there]
    return rows.with_columns(empty).select(pl.col(column.name).cast(TYPES[column.type]) for column in table.columns)
