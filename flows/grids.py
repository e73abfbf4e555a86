"""Tables on the terminal: in columns where they can be read so, else row by row. Must never drop a cell that says something."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

GAP = 3
"""Spaces between two columns."""
READABLE, UNCUT = 14, 28
"""Characters that a column of texts needs to be read on several lines; and of a word that stands on one line."""


class Grid(Table):
    """Shows each row under the other, a cell a line, where the terminal is too narrow for its columns."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width + 1 - GAP * len(self.columns)
        needed = [_needs(column) for column in self.columns]
        if sum(needed) <= room:
            widths = _shared(needed, [_wants(column) for column in self.columns], room)
            for column, width in zip(self.columns, widths, strict=True):
                column.width = width
            yield from super().__rich_console__(console, options)
        else:
            yield from self._row_by_row()

    def _row_by_row(self) -> Iterator[Table | Text]:
        titles = [str(column.header) for column in self.columns]
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            yield Text("")
            block = Table.grid(padding=(0, GAP))
            block.add_column(min_width=max(map(cell_len, titles)), no_wrap=True)
            block.add_column(overflow="fold")
            for title, cell in zip(titles, cells, strict=True):
                if str(cell).strip():
                    block.add_row(title, cell)
            yield block


def _needs(column: Column) -> int:
    """Characters under which a column cannot be read; headings fold between their words, numbers never."""
    cells = [line for cell in column.cells for line in str(cell).splitlines()]
    words = max((cell_len(word) for text in [str(column.header), *cells] for word in text.split()), default=0)
    lines = max(map(cell_len, cells), default=0)
    return max(lines, words) if column.justify == "right" else max(min(lines, READABLE), min(words, UNCUT))


def _wants(column: Column) -> int:
    """Characters that let every line of a column stand whole."""
    return max(cell_len(line) for text in [column.header, *column.cells] for line in [*str(text).splitlines(), ""])


def _shared(needed: list[int], wanted: list[int], room: int) -> list[int]:
    """The width of each column: what it needs, and an equal share of what is left, the modest first."""
    widths, left = list(needed), room - sum(needed)
    modest = sorted(range(len(needed)), key=lambda place: wanted[place] - needed[place])
    for rank, place in enumerate(modest):
        given = max(0, min(wanted[place] - needed[place], left // (len(modest) - rank)))
        widths[place] += given
        left -= given
    return widths


def grid(*columns: str) -> Grid:
    """A table with these headings; one that ends with `` >`` has numbers, which are never cut."""
    table = Grid(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.endswith(" >")
        heading = Text(column.removesuffix(" >"))
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    return table
