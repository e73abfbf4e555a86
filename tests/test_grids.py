"""Tables on the terminal: nothing that a cell says is cut, at any width."""

import io

import pytest
from rich.console import Console

from flows.grids import Grid, grid


def law() -> Grid:
    table = grid("paramètre", "pour", "du", "valeur >", "statut", "référence")
    table.add_row("snp.tariff", "version = RHINO", "08/03/2020", "25,00 €", "sous réserve", "Arrêté du 6 mars 2020, annexe")
    table.add_row("snp.tariff.second", "version = LOMBALGIE", "08/03/2020", "1 020,00 €", "", "Notice")
    return table


def shown(width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(law())
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_identifier_date_or_amount_is_cut_whatever_the_width(width: int) -> None:
    lines = shown(width)
    assert max(map(len, lines)) <= width
    for text in ("snp.tariff.second", "LOMBALGIE", "08/03/2020", "1 020,00 €", "réserve", "Notice"):
        assert any(text in line for line in lines), text


def test_a_narrow_terminal_shows_one_row_under_the_other_without_its_empty_cells() -> None:
    lines = [line.rstrip() for line in shown(60)]
    assert lines[1:4] == ["paramètre   snp.tariff", "pour        version = RHINO", "du          08/03/2020"]
    assert [line.split()[0] for line in lines[8:]] == ["paramètre", "pour", "du", "valeur", "référence"]
    assert shown(200)[1].split() == ["paramètre", "pour", "du", "valeur", "statut", "référence"]
