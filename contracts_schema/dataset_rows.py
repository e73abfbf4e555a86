"""Row contracts of datasets, as Pandera schemas made from their columns. A check names the column that it is about."""

from functools import cache

import pandera.polars as pa
import polars as pl

from contracts_schema.datasets import Column, Dataset, schema


@cache
def contract(dataset: Dataset) -> pa.DataFrameSchema:
    """The Pandera schema of typed rows: types, blanks, patterns, bounds, and what each kind of row needs."""
    types = schema(dataset)
    kinds = [
        pa.Check(lambda data, column=column: _filled(data, dataset, column), error=column.name)
        for column in dataset.columns
        if column.required_for
    ]
    return pa.DataFrameSchema(
        {
            column.name: pa.Column(types[column.name], _checks(column), nullable=not column.required)
            for column in dataset.columns
        },
        checks=kinds,
    )


def _checks(column: Column) -> list[pa.Check]:
    checks = [pa.Check.str_matches(column.pattern, error=column.name)] if column.pattern else []
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum, error=column.name))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum, error=column.name))
    return checks


def _filled(data: pa.PolarsData, dataset: Dataset, column: Column) -> pl.LazyFrame:
    of_kind = pl.col(dataset.by_kind or "").is_in(column.required_for).fill_null(value=False)
    return data.lazyframe.select(~(of_kind & pl.col(column.name).is_null()))
