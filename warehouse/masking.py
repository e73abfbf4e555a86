"""Masking: which numbers of a product are left empty, so that no count under the threshold can be read or worked out.

A number is hidden because it is small, because subtracting it from another published number leaves a small one, or because a
neighbour that adds up with it to a known total needs it. What adds up to what, and what contains what, is said by the product's
contract; earlier publications of the same data count as known. A hidden number is null in a row that says ``masked``, whatever
the reason. Must never show a number that one of the rules hides, nor change one that is shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import reduce

import polars as pl

from contracts_schema import parameters
from contracts_schema.geography import region_of
from contracts_schema.products import AddsUp, Column, Part, Product, Table

THRESHOLD = "publication.small_cell_threshold"
TYPES = {"string": pl.String(), "integer": pl.Int64(), "number": pl.Decimal(18, 2), "boolean": pl.Boolean(), "date": pl.Date()}

States = dict[str, pl.DataFrame]
"""By table, the rows of its view with the totals and, per figure (the first column that a mask hides): ``hidden:``; ``known:``,
shown by an earlier publication of the same data; ``preferred:``, hidden in the last publication."""


def masked(
    product: Product,
    frames: Mapping[str, pl.DataFrame],
    territory: str,
    on: date,
    earlier: Sequence[Mapping[str, pl.DataFrame]] = (),
) -> dict[str, pl.DataFrame]:
    """The tables of a product for one territory, by name, in the contract's columns, types and order.

    ``frames`` are the views by name; ``on`` is the reference date of the threshold; ``earlier`` the tables of the earlier
    publications of the product to the same recipient, oldest first. The same arguments give the same tables; a publication
    given again as the last earlier one comes out as it is. A table that masks nothing keeps the order of its rows.
    """
    open_tables = {
        table.name: inside(product, frames[table.view], territory).select(_typed(table.columns))
        for table in product.tables
        if not table.mask
    }
    names = [table.name for table in product.tables]
    product = replace(product, tables=tuple(table for table in product.tables if table.mask))
    hidden = _masked(product, frames, territory, on, earlier) if product.tables else {}
    return {name: (open_tables | hidden)[name] for name in names}


def _masked(
    product: Product,
    frames: Mapping[str, pl.DataFrame],
    territory: str,
    on: date,
    earlier: Sequence[Mapping[str, pl.DataFrame]],
) -> dict[str, pl.DataFrame]:
    """The tables of a product whose tables all mask something."""
    threshold = int(parameters.value(THRESHOLD, on).value)
    rows = {table.name: _inside(product, table, frames[table.view], territory) for table in product.tables}
    states = {
        table.name: _with_earlier(product, table, _first_hidden(table, _with_totals(product, table, rows), threshold), earlier)
        for table in product.tables
    }
    while _spread(product, states, threshold):
        pass
    return {table.name: _published(table, _with_company(table, states[table.name])) for table in product.tables}


def is_of(product: Product, place: str, territory: str) -> bool:
    """Whether a place is in a recipient's territory: an establishment in a region, or the region or caisse itself."""
    return (region_of(place) if product.territory_column == "finess" else place) == territory


def inside(product: Product, view: pl.DataFrame, territory: str) -> pl.DataFrame:
    """The rows of a view that a recipient is concerned with, before masking."""
    places = view[product.territory_column]
    return view.filter(places.is_in([place for place in places.unique() if is_of(product, place, territory)]))


def _inside(product: Product, table: Table, view: pl.DataFrame, territory: str) -> pl.DataFrame:
    types = {column.name: TYPES[column.type] for column in table.columns if column.name in view.columns}
    mine = inside(product, view, territory)
    return mine.with_columns(pl.col(name).cast(kind) for name, kind in types.items()).sort(table.keys)


def _with_totals(product: Product, table: Table, of: States) -> pl.DataFrame:
    """The rows with every total of what they belong to."""
    rows = of[table.name]
    for total in product.totals:
        if set(total.over) <= set(rows.columns):
            summed = pl.sql_expr(total.sum).sum().cast(pl.Int64).alias(total.name)
            rows = rows.join(of[total.table].group_by(total.over).agg(summed), on=total.over, how="left", maintain_order="left")
    return rows


def _first_hidden(table: Table, rows: pl.DataFrame, threshold: int) -> pl.DataFrame:
    """What is hidden for itself: small counts, and small differences with what is published beside."""
    rings, not_of_narrow = list(_rings(table, rows)), table.narrows.not_of_narrow if table.narrows else ()
    for mask in table.mask:
        figure = mask.hides[0]
        gaps = [pl.sql_expr(gap).is_between(1, threshold - 1) for gap in mask.gaps]
        small = pl.any_horizontal(*(pl.sql_expr(count) < threshold for count in mask.counts), *gaps)
        apart = pl.any_horizontal(pl.sql_expr(gap).is_between(1, threshold - 1) for gap in mask.counts + mask.gaps)
        flags = [rows.select(small).to_series()]
        flags += [ring.select(apart).to_series() for ring in rings if figure not in not_of_narrow]
        hidden = reduce(lambda left, right: left | right, (flag.fill_null(value=False) for flag in flags))
        rows = rows.with_columns(hidden.alias(_hidden(figure)))
        if mask.only_with:
            rows = rows.with_columns(pl.col(_hidden(figure)).any().over(_beside(table)))
    return _narrow_together(table, rows)


def _rings(table: Table, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Row by row, what only a wider variant counts; null for a row that has none."""
    counts = [name for name, kind in rows.schema.items() if kind.is_integer() and name not in table.keys]
    for wide in _wider(table, rows):
        beside = wide.join(rows.select(*table.keys, *counts), on=table.keys, how="left", maintain_order="left")
        yield rows.with_columns(beside[name] - pl.col(name) for name in counts)


def _wider(table: Table, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """For each rank of wider variants, the keys that they have, row by row; null for a row that has none."""
    if table.narrows:
        column, wider = table.narrows.column, table.narrows.wider
        for rank in range(max(map(len, wider.values()))):
            ranked = {narrow: found[rank] for narrow, found in wider.items() if rank < len(found)}
            yield rows.select(table.keys).with_columns(pl.col(column).replace_strict(ranked, default=None))


def _narrow_together(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Variants that narrow others are hidden all together, all figures, where one is: the wider figures bound what is left.

    A figure that they do not have is hidden with that of the widest, for what is said of it.
    """
    if table.narrows is None:
        return rows
    of_narrow = [figure for figure in _figures(table) if figure not in table.narrows.not_of_narrow]
    beside = _beside(table)
    narrow = _is_narrow(table)
    some = pl.any_horizontal(pl.col(_hidden(figure)) for figure in of_narrow) & narrow
    together = {figure: some.any().over(beside) for figure in of_narrow}
    together |= {figure: (pl.col(_hidden(figure)) & ~narrow).any().over(beside) for figure in table.narrows.not_of_narrow}
    return rows.with_columns(
        pl.when(narrow).then(hidden).otherwise(pl.col(_hidden(figure))).alias(_hidden(figure))
        for figure, hidden in together.items()
    )


def _with_company(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Hides what may be read beside other figures only, where one of these is hidden in the end."""
    for mask in table.mask:
        if mask.only_with:
            lacks = pl.any_horizontal(pl.col(_hidden(figure)) for figure in mask.only_with) & ~_is_narrow(table)
            figure = _hidden(mask.hides[0])
            rows = rows.with_columns(pl.col(figure) | lacks.any().over(_beside(table)))
    return rows


def _beside(table: Table) -> list[str]:
    """The keys that the variants of one row agree on."""
    return [key for key in table.keys if table.narrows is None or key != table.narrows.column]


def _is_narrow(table: Table) -> pl.Expr:
    return pl.col(table.narrows.column).is_in(list(table.narrows.wider)) if table.narrows else pl.lit(value=False)


def _with_earlier(
    product: Product, table: Table, rows: pl.DataFrame, earlier: Sequence[Mapping[str, pl.DataFrame]]
) -> pl.DataFrame:
    """Adds what earlier publications showed of the same data, and hides again what they hid, or else prefers it.

    What one of them did not have yet stays hidden for its data: nothing was hidden beside it for the sake of these figures.
    """
    same = [*table.keys, product.origin_column]
    told = [_told(table, same, _published_as(product, table, rows, published)) for published in earlier]
    told = told or [_told(table, same, rows.clear())]
    every = pl.concat(told, how="diagonal")  # one that lacks a figure tells it last
    rows = rows.join(every.group_by(same).agg(pl.all().any()), on=same, how="left", maintain_order="left")
    last = told[-1].select(*table.keys, pl.col("^kept:.*$").name.replace("kept:", "preferred:"))
    rows = rows.join(last, on=table.keys, how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("^(known|kept|preferred):.*$").fill_null(value=False))
    again = {figure: pl.col(f"kept:{figure}") & pl.col(figure).is_not_null() for figure in _figures(table)}
    rows = rows.with_columns((pl.col(_hidden(figure)) | kept).alias(_hidden(figure)) for figure, kept in again.items())
    return _passed_on(table, rows)


def _published_as(product: Product, table: Table, rows: pl.DataFrame, earlier: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """A table as an earlier publication had it; without the table, its rows of the data published then, without figures."""
    before, origin = earlier.get(table.name, pl.DataFrame()), product.origin_column
    if {*table.keys, origin} <= set(before.columns):
        return before
    origins = [tables[origin].unique() for tables in earlier.values() if origin in tables.columns]
    then = pl.concat(origins).unique() if origins else pl.Series([], dtype=pl.String)
    return rows.filter(pl.col(origin).is_in(then.implode())).select(*table.keys, origin)


def _told(table: Table, same: Sequence[str], published: pl.DataFrame) -> pl.DataFrame:
    """Row by row, which figures a published table shows (``known:``) and which it hides or lacks (``kept:``)."""
    there = [figure for figure in _figures(table) if {figure, "masked"} <= set(published.columns)]
    lacking = [figure for figure in _figures(table) if figure not in there]
    return published.select(
        *same,
        *(pl.col(figure).is_not_null().alias(_known(figure)) for figure in there),
        *((pl.col("masked") & pl.col(figure).is_null()).alias(f"kept:{figure}") for figure in there),
        *(pl.lit(kind == "kept").alias(f"{kind}:{figure}") for kind in ("known", "kept") for figure in lacking),
    )


def _passed_on(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Where the narrower figure is known already, the wider ones are hidden in its place."""
    for figure in _figures(table):
        late = rows.filter(pl.col(_hidden(figure)) & pl.col(_known(figure)))
        for keys in _wider(table, late):
            rows = _hide(rows, figure, keys.drop_nulls())
    return rows


def _spread(product: Product, states: States, threshold: int) -> bool:
    """Hides what the hidden need around them; says whether anything was."""
    before = _count(product, states)
    for table in product.tables:
        _follow(table, states)
        for mask in table.mask:
            if mask.adds_up:
                rows, group = _by_group(table, mask.adds_up, states, threshold)
                states[table.name] = _paired(table, mask.hides[0], rows, group, threshold).select(states[table.name].columns)
    if _count(product, states) == before:
        _give_up_totals(product, states, threshold)
    return _count(product, states) > before


def _count(product: Product, states: States) -> int:
    return sum(int(states[table.name][_hidden(figure)].sum()) for table in product.tables for figure in _figures(table))


def _follow(table: Table, states: States) -> None:
    follows = table.follows
    if follows:
        led = states[follows.table].filter(_hidden(follows.column)).select(follows.over).unique()
        rows = states[table.name]
        which = rows.filter(pl.sql_expr(follows.rows)) if follows.rows else rows
        which = which.join(led, on=follows.over, how="semi").select(table.keys)
        for figure in _figures(table):
            rows = _hide(rows, figure, which)
        states[table.name] = rows


def _by_group(table: Table, adds_up: AddsUp, states: States, threshold: int) -> tuple[pl.DataFrame, list[str]]:
    """The rows with the columns that say which add up together: a part stands apart where its total is told."""
    rows, group = states[table.name], list(adds_up.over)
    for number, part in enumerate(adds_up.parts):
        told = _telling(part, states, threshold).select(adds_up.over).unique().with_columns(told=pl.lit(value=True))
        rows = rows.join(told, on=adds_up.over, how="left", maintain_order="left")
        rows = rows.with_columns((pl.col("told").fill_null(value=False) & pl.sql_expr(part.where)).alias(f"part:{number}"))
        rows, group = rows.drop("told"), [*group, f"part:{number}"]
    return rows, group


def _telling(part: Part, states: States, threshold: int) -> pl.DataFrame:
    """The rows of the other table that show the part's total. A figure that is less by the threshold leaves it open."""
    rows = states[part.table].filter(pl.sql_expr(part.rows))
    return rows.filter(pl.any_horizontal(_tells(part, column, threshold) for column in part.columns))


def _tells(part: Part, column: str, threshold: int) -> pl.Expr:
    shown = ~pl.col(_hidden(column)) | pl.col(_known(column))
    return shown & (pl.col(column) + threshold > pl.col(part.total)).fill_null(value=False)


def _paired(table: Table, figure: str, rows: pl.DataFrame, group: list[str], threshold: int) -> pl.DataFrame:
    """Hides beside the hidden of a group the least that keeps each of them between 1 and the threshold for all one knows.

    A hidden count under the threshold must be able to grow to the threshold by what its hidden neighbours could lose, and to
    shrink by what they could gain, even for who knows which of them are under the threshold.
    """
    rows = rows.with_columns(_measures(figure, group, threshold))
    lacking = pl.col("lost") > 0
    alone = (pl.col("cells") < 2) | ~(pl.col("large") | (pl.col("gained") >= threshold - 1))
    wanted = pl.col("cells") > 0, lacking | alone, ~pl.col(_hidden(figure)), ~pl.col(_known(figure))
    candidates = rows.filter(*wanted, pl.col(figure) > 0)
    enough = pl.col("room") >= pl.col("lost")
    candidates = candidates.sort(
        ~pl.col(_preferred(figure)), ~enough, pl.when(enough).then(pl.col("room")).otherwise(-pl.col("room")), *table.keys
    )
    before = pl.col("room").cum_sum().over(group) - pl.col("room")
    first = pl.int_range(pl.len()).over(group) == 0
    taken = candidates.filter(first | (before < pl.col("lost")))
    return _hide(rows, figure, taken.select(table.keys))


def _measures(figure: str, group: list[str], threshold: int) -> list[pl.Expr]:
    """Of each row ``room``, what it could lose; of its group's hidden rows, those known apart: ``cells`` their number,
    ``content`` their sum, ``lost`` what they lack to lose enough, ``gained`` what the small could gain, ``large`` if one is."""
    value = pl.col(figure)
    hidden = pl.col(_hidden(figure)) & ~pl.col(_known(figure)) & value.is_not_null()
    small = value < threshold
    room = pl.when(small).then(value - 1).otherwise(value - threshold)
    return [
        room.alias("room"),
        hidden.sum().over(group).alias("cells"),
        value.filter(hidden).sum().over(group).alias("content"),
        (threshold - 1 - room.filter(hidden).sum().over(group)).alias("lost"),
        (threshold - 1 - value).filter(hidden & small).sum().over(group).alias("gained"),
        (hidden & ~small).any().over(group).alias("large"),
    ]


def _give_up_totals(product: Product, states: States, threshold: int) -> None:
    """Where all that adds up together is hidden and still too little, hides what tells its total."""
    for table in product.tables:
        for mask in table.mask:
            if mask.adds_up and mask.adds_up.total:
                figure, over = mask.hides[0], mask.adds_up.over
                rows, group = _by_group(table, mask.adds_up, states, threshold)
                rows = rows.with_columns(_measures(figure, group, threshold))
                least = pl.col("content") - pl.col("cells") + 1 < threshold - 1
                short = rows.filter(pl.col("cells") > 0, (pl.col("cells") < 2) | least).select(over).unique()
                if short.height:
                    before = _count(product, states)
                    for part in reversed(mask.adds_up.parts):
                        _untell(product, part, short, states, threshold)
                        if _count(product, states) > before:
                            return
                    _hide_all(product, mask.adds_up.total, short, states)


def _untell(product: Product, part: Part, short: pl.DataFrame, states: States, threshold: int) -> None:
    """Hides the figures that show the total of a part, and what gives them away."""
    other = next(table for table in product.tables if table.name == part.table)
    rows = states[part.table].join(short, on=short.columns, how="semi").filter(pl.sql_expr(part.rows))
    for column in part.columns:
        telling = rows.filter(_tells(part, column, threshold)).select(other.keys)
        for figure in (column, *part.beside):
            states[part.table] = _hide(states[part.table], figure, telling)


def _hide_all(product: Product, total: str, short: pl.DataFrame, states: States) -> None:
    """Hides every figure that adds up to a total, in every table."""
    for table in product.tables:
        for mask in table.mask:
            if mask.adds_up and mask.adds_up.total == total:
                rows = states[table.name].join(short, on=short.columns, how="semi")
                states[table.name] = _hide(states[table.name], mask.hides[0], rows.select(table.keys))


def _hide(rows: pl.DataFrame, figure: str, keys: pl.DataFrame) -> pl.DataFrame:
    """Hides a figure, where it is one, in the rows of these keys."""
    if not keys.height:
        return rows
    found = rows.join(keys.unique().with_columns(found=pl.lit(value=True)), on=keys.columns, how="left", maintain_order="left")
    hidden = pl.col(_hidden(figure)) | pl.col("found").fill_null(value=False) & pl.col(figure).is_not_null()
    return found.with_columns(hidden.alias(_hidden(figure))).drop("found")


def _published(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as they are published: what is hidden is null, with whatever is made from it."""
    hidden: dict[str, pl.Expr] = {}
    for mask in table.mask:
        for name in mask.hides:
            flag = pl.col(_hidden(mask.hides[0]))
            hidden[name] = hidden[name] | flag if name in hidden else flag
    if table.narrows:
        rows = rows.with_columns(
            pl.when(~_is_narrow(table)).then(pl.col(name)).alias(name) for name in table.narrows.not_of_narrow
        )
    shown = [pl.when(~flag).then(pl.col(name)).alias(name) for name, flag in hidden.items()]
    if table.remark:
        flag = pl.any_horizontal(pl.col(_hidden(figure)) for figure in table.remark.of)
        text = pl.col(table.remark.column)
        kept = ~flag | text.is_in(table.remark.tells_nothing).fill_null(value=False)
        shown.append(pl.when(kept).then(text).otherwise(pl.lit(table.remark.hidden_as)).alias(table.remark.column))
    flagged = rows.with_columns(
        masked=pl.any_horizontal(flag & pl.col(name).is_not_null() for name, flag in hidden.items())
    ).with_columns(shown)
    return flagged.select(_typed(table.columns)).sort(table.keys)


def _typed(columns: Sequence[Column]) -> list[pl.Expr]:
    return [pl.col(column.name).cast(TYPES[column.type]) for column in columns]


def _figures(table: Table) -> list[str]:
    return [mask.hides[0] for mask in table.mask]


def _hidden(figure: str) -> str:
    return f"hidden:{figure}"


def _known(figure: str) -> str:
    return f"known:{figure}"


def _preferred(figure: str) -> str:
    return f"preferred:{figure}"
