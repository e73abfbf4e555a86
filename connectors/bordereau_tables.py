"""Finds the table of a bordereau in a workbook: its one template profile, its header row, the cells of its columns.

What matches no profile is refused with what was found. Never guesses which column is which, and drops no row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from connectors.bordereau_values import clean, normalised
from connectors.sheet_archive import Unreadable
from connectors.sheets import Sheet, Workbook, reference
from contracts_schema.bordereau_profiles import Profile, profiles
from contracts_schema.bordereau_profiles import normalised as bare

FL6 = "bordereau.FL6"

FILLED_DOWN = ("protocol", "act", "date", "month", "delegate", "rpps", "profession")
"""Columns in which a merged area stands for each of its rows. An amount merged over several lines stays one amount."""
_SHOWN = 12


@dataclass(frozen=True)
class Table:
    """The table of one sheet: its header rows and which column holds what. ``unread``: headings that no column answers to."""

    sheet: Sheet
    first_row: int
    last_row: int
    columns: Mapping[str, int]
    headings: Mapping[int, str]
    unread: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """The profile of a file and its tables; sheets left unread (no table in them), and whether the profile has ended."""

    profile: Profile
    is_older: bool
    tables: tuple[Table, ...]
    hidden: tuple[str, ...]
    without_table: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """The canonical names of the columns that any of its tables has."""
        return {name for table in self.tables for name in table.columns}


def match(workbook: Workbook, received_on: date, known: Sequence[Profile] | None = None) -> Match:
    """The one profile that reads this workbook; ``Unreadable`` (``bordereau.FL6``) tells what was found otherwise."""
    known = profiles() if known is None else known
    usable = [profile for profile in known if workbook.format in profile.formats]
    usable = [profile for profile in usable if profile.valid_from is None or profile.valid_from <= received_on]
    newest = {profile.id: profile.version for profile in sorted(usable, key=lambda profile: profile.version)}
    matches = [found for found in (_with(workbook, profile, received_on) for profile in usable) if found]
    best = [found for found in matches if found.profile.version == newest[found.profile.id]] or matches
    if len({(found.profile.id, found.profile.version) for found in best}) > 1:
        names = ", ".join(f"{found.profile.id} v{found.profile.version}" for found in best)
        raise Unreadable(FL6, f"plusieurs profils lisent ce fichier ({names}) : rendre leurs intitulés distincts")
    if not best:
        raise Unreadable(FL6, _explanation(workbook, usable, received_on))
    [found] = best
    if found.profile.version < newest[found.profile.id]:
        return Match(found.profile, True, found.tables, found.hidden, found.without_table)
    return found


def _with(workbook: Workbook, profile: Profile, received_on: date) -> Match | None:
    visible = [sheet for sheet in workbook.sheets if profile.read_hidden or not sheet.hidden]
    tables, without = [], []
    for sheet in visible:
        table = _table(sheet, profile)
        if table:
            tables.append(table)
        elif sheet.cells.height:
            without.append(sheet.name or "")
    if not tables or (len(tables) > 1 and profile.facts["sheets"].get("several") == "refuse"):
        return None
    ended = profile.valid_to is not None and received_on >= profile.valid_to
    hidden = tuple(sheet.name or "" for sheet in workbook.sheets if sheet.hidden and not profile.read_hidden)
    return Match(profile, ended, tuple(tables), hidden, tuple(without))


def top_rows(sheet: Sheet, last: int) -> dict[int, dict[int, tuple[str, str]]]:
    """Text and kind of the cells of the first rows: row → column → (text, kind); at most 500 columns."""
    rows: dict[int, dict[int, tuple[str, str]]] = {}
    top = sheet.cells.filter((pl.col("row") <= last) & (pl.col("column") <= 500))
    for row, column, text, kind in top.select("row", "column", "text", "kind").iter_rows():
        rows.setdefault(row, {})[column] = (text, kind)
    return rows


def _table(sheet: Sheet, profile: Profile) -> Table | None:
    """The header row with most known headings, on one row or two; a canonical column that stands twice is refused."""
    first, last = profile.search_rows
    rows = top_rows(sheet, last + 1)
    best: tuple[int, Table, dict[str, list[int]]] | None = None
    for row in sorted(row for row in rows if first <= row <= last):
        for depth in (1, 2) if profile.two_rows else (1,):
            if depth == 2 and row + 1 not in rows:
                continue
            headings = _headings(sheet, rows, row, depth)
            places = _places(headings, profile)
            count = len(places)
            if count >= profile.min_matching and _complete(places, profile) and (best is None or count > best[0]):
                unread = tuple(
                    text for column, text in headings.items() if all(column not in found for found in places.values())
                )
                columns = {name: found[0] for name, found in places.items()}
                best = count, Table(sheet, row, row + depth - 1, columns, headings, unread), places
    if best is None:
        return None
    _, table, places = best
    twice = {name: found for name, found in places.items() if len(found) > 1}
    if twice:
        name, found = next(iter(twice.items()))
        cells = " et ".join(reference(table.last_row, column) for column in found)
        where = f"feuille {sheet.name!r}, " if sheet.name else ""
        message = f"{where}{cells} : deux colonnes pour « {profile.facts['columns'][name]['names'][0]} » ; n'en garder qu'une"
        raise Unreadable(FL6, message)
    return table


def _headings(sheet: Sheet, rows: Mapping[int, dict[int, tuple[str, str]]], row: int, depth: int) -> dict[int, str]:
    """Heading of each column; over two rows, the upper one (spread over its merged area) then the lower one."""
    lower = {column: text for column, (text, kind) in rows[row + depth - 1].items() if kind == "t"}
    if depth == 1:
        return lower
    upper = {column: text for column, (text, kind) in rows[row].items() if kind == "t"}
    for top, left, bottom, right in sheet.merged:
        if top == row and left in upper and right - left < 500:
            spread = range(left, right + 1) if bottom == top else ()
            upper |= dict.fromkeys(spread, upper[left])
    return {column: f"{upper.get(column, '')} {lower.get(column, '')}".strip() for column in sorted({*upper, *lower})}


def _places(headings: Mapping[int, str], profile: Profile) -> dict[str, list[int]]:
    names = {heading: name for name, accepted in profile.columns.items() for heading in accepted}
    places: dict[str, list[int]] = {}
    for column, text in headings.items():
        name = names.get(bare(text))
        if name:
            places.setdefault(name, []).append(column)
    return places


def _complete(places: Mapping[str, object], profile: Profile) -> bool:
    return profile.required <= set(places) and bool({"date", "month"} & set(places))


def _explanation(workbook: Workbook, usable: Sequence[Profile], received_on: date) -> str:
    """What was found, in French: the sheets and the row most like a header, without any cell that holds a digit."""
    if not usable:
        return f"aucun profil de bordereau ne couvre un fichier {workbook.format.upper()} reçu le {received_on:%d/%m/%Y}"
    said = [f"modèle de bordereau non reconnu (profils essayés : {', '.join(profile.id for profile in usable)})"]
    for sheet in workbook.sheets:
        name = f"feuille {sheet.name!r}" if sheet.name is not None else "fichier"
        if sheet.hidden:
            said.append(f"{name} masquée, non lue")
            continue
        row, cells = _like_a_header(sheet, usable[0])
        shown = ", ".join(f"{reference(row, column)} « {text} »" for column, text in cells[:_SHOWN])
        said.append(f"{name} : ligne {row} la plus proche d'un en-tête : {shown}" if cells else f"{name} : aucun en-tête")
        lacking = _lacking([text for _, text in cells], usable[0])
        if cells and lacking:
            said.append(f"il manque {lacking}")
    return " ; ".join([*said, "pour décrire ce modèle, écrire un profil : docs/bordereaux.md"])


def _like_a_header(sheet: Sheet, profile: Profile) -> tuple[int, list[tuple[int, str]]]:
    known = {heading for accepted in profile.columns.values() for heading in accepted}
    best: tuple[tuple[int, int], int, list[tuple[int, str]]] = ((0, 0), 0, [])
    for row, cells in sorted(top_rows(sheet, profile.search_rows[1]).items()):
        texts = [
            (column, " ".join(text.split())[:40])
            for column, (text, kind) in sorted(cells.items())
            if kind == "t" and not any(letter.isdigit() for letter in text) and bare(text)
        ]
        score = (sum(bare(text) in known for _, text in texts), len(texts))
        if score > best[0] and len(texts) > 1:
            best = score, row, texts
    return best[1], best[2]


def _lacking(headings: Iterable[str], profile: Profile) -> str:
    found = {bare(heading) for heading in headings}
    needed = [name for name in ("protocol", "amount") if not found & set(profile.columns[name])]
    if not found & {*profile.columns.get("date", ()), *profile.columns.get("month", ())}:
        needed.append("date")
    return ", ".join(
        f"« {profile.facts['columns'].get(name, profile.facts['columns'].get('month'))['names'][0]} »" for name in needed
    )


def body(table: Table, sheet_number: int) -> pl.DataFrame:
    """Rows below the header, as they stand: ``sheet_number``, ``row``, ``hidden``, ``mapped`` (filled cells of known columns),
    ``filled`` (filled cells in all), ``merged``, and of each column its text, kind and formula.
    """
    cells = table.sheet.cells.filter(pl.col("row") > table.last_row).with_columns(clean(pl.col("text")).alias("shown"))
    cells = cells.filter(pl.col("shown").is_not_null())
    mapped = list(table.columns.values())
    rows = (
        cells.group_by("row")
        .agg(pl.len().alias("filled"), pl.col("column").is_in(mapped).sum().alias("mapped"))
        .sort("row")
        .with_columns(pl.lit(sheet_number).alias("sheet_number"), pl.col("row").is_in(table.sheet.hidden_rows).alias("hidden"))
    )
    for name, column in table.columns.items():
        of_column = cells.filter(pl.col("column") == column).select(
            "row", pl.col("text").alias(name), pl.col("kind").alias(f"{name}.kind"), pl.col("formula").alias(f"{name}.formula")
        )
        rows = rows.join(of_column, on="row", how="left", maintain_order="left")
    return _filled_down(rows, table)


def _filled_down(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Rows of a merged area get the value of its first row, in the columns where that means something."""
    names = {column: name for name, column in table.columns.items() if name in FILLED_DOWN}
    areas = [
        (names[column], top, bottom)
        for top, left, bottom, right in table.sheet.merged[:50_000]
        for column in range(left, min(right, left + 500) + 1)
        if column in names and bottom > top > table.last_row and column == left
    ]
    rows = rows.with_columns(pl.lit([], pl.List(pl.String)).alias("merged"))
    for name in {area[0] for area in areas}:
        spans = pl.DataFrame(
            [
                (row, top)
                for found, top, bottom in areas
                if found == name
                for row in range(top + 1, min(bottom, top + 100_000) + 1)
            ],
            schema={"row": pl.UInt32(), "top": pl.UInt32()},
            orient="row",
        ).unique("row")
        first = rows.select(pl.col("row").alias("top"), pl.col(name).alias("_text"), pl.col(f"{name}.kind").alias("_kind"))
        given = spans.join(first, on="top", how="inner").drop("top")
        rows = rows.join(given, on="row", how="left", maintain_order="left")
        fill = pl.col(name).is_null() & pl.col("_text").is_not_null()
        rows = rows.with_columns(
            pl.when(fill).then(pl.col("_text")).otherwise(pl.col(name)).alias(name),
            pl.when(fill).then(pl.col("_kind")).otherwise(pl.col(f"{name}.kind")).alias(f"{name}.kind"),
            pl.when(fill).then(pl.concat_list("merged", pl.lit(name))).otherwise("merged").alias("merged"),
        ).drop("_text", "_kind")
    return rows


def kinds_of_rows(rows: pl.DataFrame, table: Table, profile: Profile) -> pl.DataFrame:
    """Adds ``what``: line, totals, repeated_header, certification, note, unreadable or below_signature.

    A line has a protocol and a day, a month or an amount. A row with known cells that is nothing else is ``unreadable``.
    """
    below = table.sheet.cells.filter(pl.col("row") > table.last_row)
    texts = below.filter((pl.col("kind") == "t") & (pl.col("text").str.len_chars() < 120)).select("row", "column", "text")
    known_texts = texts.select("text").unique().with_columns(normalised(pl.col("text")).alias("mark"))
    marks = texts.join(known_texts, on="text", how="left")
    totals = "^(?:" + "|".join(sorted(profile.totals, key=len, reverse=True)) + ")(?: |$)"
    is_total = marks.filter(pl.col("mark").str.contains(totals) if profile.totals else pl.lit(value=False))
    words = "^(?:" + "|".join(profile.certification) + ")" if profile.certification else "^$"
    signed = marks.filter(pl.col("mark").str.contains(words))
    known = {column: set(profile.columns[name]) for name, column in table.columns.items()}
    repeated = (
        marks.filter(pl.any_horizontal((pl.col("column") == c) & pl.col("mark").is_in(list(h)) for c, h in known.items()))
        .group_by("row").len().filter(pl.col("len") >= max(2, profile.min_matching - 1))
    )  # fmt: skip
    told = [name for name in ("date", "month", "amount") if name in table.columns]
    is_line = pl.col("protocol").is_not_null() & pl.any_horizontal(pl.col(name).is_not_null() for name in told)
    dated = pl.any_horizontal(pl.col(name).is_not_null() for name in ("date", "month") if name in table.columns)
    numbers = {
        name: found["row"].unique().to_list()
        for name, found in (("total", is_total), ("signed", signed), ("repeated", repeated))
    }
    signature = min(rows.filter(pl.col("row").is_in(numbers["signed"]) & ~(is_line & dated))["row"].to_list(), default=None)
    below_signature = pl.col("row") > signature if signature is not None else pl.lit(value=False)
    return rows.with_columns(
        pl.when(pl.col("row").is_in(numbers["repeated"]))
        .then(pl.lit("repeated_header"))
        .when(pl.col("row").is_in(numbers["total"]) & ~dated)
        .then(pl.lit("totals"))
        .when(pl.lit(signature is not None) & (pl.col("row") == (signature or 0)))
        .then(pl.lit("certification"))
        .when(below_signature & (pl.col("row").is_in(numbers["signed"]) | (pl.col("mapped") < 3)) & ~is_line)
        .then(pl.lit("certification"))
        .when(below_signature)
        .then(pl.lit("below_signature"))
        .when(is_line)
        .then(pl.lit("line"))
        .when((pl.col("mapped") == 0) | ((pl.col("mapped") == 1) & (pl.col("filled") == 1) & pl.col("amount").is_null()))
        .then(pl.lit("note"))
        .otherwise(pl.lit("unreadable"))
        .alias("what")
    )
