"""The workbook that agents fill: what can be written in it, what comes back as decisions, and what is told of the rest."""

import io
import re
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from answered import (
    CPAM,
    DAY,
    LAW,
    LINE,
    PRODUCT,
    RECEIPT,
    decisions_on,
    fill,
    made_of,
    of_caisse,
    published,
    random_tables,
    write,
)
from snp_random import random_facts

from checks.snp.reconcile import reconcile
from connectors.answered_workbook import ANSWERS, Answered, NotOurs, Origin, read_answers
from connectors.sheets import Unreadable
from contracts_schema.rules import catalogue
from warehouse import workbook

D, A, M = "Décision", "Montant", "Motif"
ORIGIN = Origin(CPAM.name, PRODUCT.id, LINE.name, 1, RECEIPT.hash)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return published(random_tables(60, defects=0.5))["line"]


@pytest.fixture
def book(rows: pl.DataFrame, tmp_path: Path) -> Path:
    return write(tmp_path / "line.xlsx", rows)


def answered(content: bytes, rows: pl.DataFrame) -> Answered:
    return read_answers(content, lambda origin: rows if origin == ORIGIN else None)


def told(found: Answered) -> list[tuple[str, str]]:
    return [(problem.cell, problem.rule) for problem in found.problems]


# --- the workbook


def test_only_the_three_columns_to_fill_can_be_written_and_only_for_bordereaux_in_force(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    live = rows.with_columns(live=pl.int_range(pl.len()) != 3)
    data = openpyxl.load_workbook(write(tmp_path / "line.xlsx", live))
    sheet = data["Données"]
    headings = [cell.value for cell in sheet[1]]
    assert headings == [column.label_fr for column in LINE.workbook_columns]
    dictionary = {row[0].value: row[5].value for row in data["Dictionnaire"].iter_rows(min_row=2, max_row=len(headings) + 1)}
    assert list(dictionary) == headings
    assert all(dictionary[heading].startswith("À remplir. ") for heading in (D, A, M))
    assert all(one.protection.sheet for one in data.worksheets)
    assert not any(one.protection.password for one in data.worksheets)
    for row in range(2, rows.height + 2):
        open_to_all = [heading for heading, cell in zip(headings, sheet[row], strict=True) if not cell.protection.locked]
        assert open_to_all == ([] if row == 5 else [D, A, M])
        assert [sheet.cell(row, headings.index(heading) + 1).value for heading in (D, A, M)] == [None] * 3
    assert not sheet.protection.autoFilter, "what is false is allowed"
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("D2", f"A1:AX{rows.height + 1}")


def test_decisions_come_from_a_list_and_amounts_are_numbers(book: Path, rows: pl.DataFrame) -> None:
    sheet = openpyxl.load_workbook(book)["Données"]
    lists = {str(one.sqref): (one.type, one.formula1) for one in sheet.data_validations.dataValidation}
    last = rows.height + 1
    assert lists == {
        f"L2:L{last}": ("list", '"Payer,Ajuster,Rejeter,Demander,Attendre"'),
        f"M2:M{last}": ("decimal", "0"),
        f"N2:N{last}": ("textLength", "1000"),
    }


def test_results_have_their_colours_and_no_cell_holds_a_formula(book: Path) -> None:
    sheet = openpyxl.load_workbook(book)["Données"]
    rules = [rule for area in sheet.conditional_formatting for rule in area.rules if str(area.sqref).startswith("F2:")]
    assert {rule.formula[0].strip('"') for rule in rules} == set(LINE.colours["result"])
    assert not any(cell.data_type == "f" for row in sheet.iter_rows() for cell in row)


def test_a_long_reason_stands_on_as_many_lines_as_it_needs(rows: pl.DataFrame, tmp_path: Path) -> None:
    texts = ["court", "x" * 300, "x" * 30_000]
    long = rows.head(3).with_columns(
        reason=pl.Series(texts), change=pl.lit(None, pl.String), decision_reason=pl.lit(None, pl.String)
    )
    sheet = openpyxl.load_workbook(write(tmp_path / "line.xlsx", long))["Données"]
    assert [sheet.row_dimensions[row].height for row in (2, 3, 4)] == [15, 75, 15 * workbook.MOST_LINES]
    assert [sheet.cell(row, 10).value for row in (2, 3, 4)] == texts
    assert sheet["J2"].alignment.wrap_text
    assert workbook.rows_in(tmp_path / "line.xlsx") == 3


def test_a_long_table_goes_on_in_a_second_sheet_that_can_be_answered_too(
    rows: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "MAX_ANSWERED", 40)
    path = write(tmp_path / "line.xlsx", rows)
    assert workbook.rows_in(path) == 60
    found = answered(fill(path, {(3, D): "Payer", (3, M): "x"}, "Données 2"), rows)
    assert found.answers.select("line_id", "cell").rows() == [(rows["line_id"][41], "Données 2!L3")]


def test_equal_rows_give_equal_bytes(rows: pl.DataFrame, tmp_path: Path) -> None:
    assert write(tmp_path / "1.xlsx", rows).read_bytes() == write(tmp_path / "2.xlsx", rows).read_bytes()


# --- what comes back


def test_what_was_written_comes_back_with_its_cell_and_what_its_author_saw(book: Path, rows: pl.DataFrame) -> None:
    content = fill(
        book,
        {
            (2, D): "Payer", (2, M): "Pièce reçue",
            (4, D): "Ajuster", (4, A): 12.5, (4, M): "Une consultation sur deux",
            (5, D): "rejeter ", (5, M): "  Acte non   délégué ",
            (7, D): "Demander", (7, M): "Quel jour ?",
            (9, D): "Attendre", (9, M): "Fin de période",
            (10, D): "Payer", (10, A): "1 025,30 €", (10, M): "Accord",
        },
    )  # fmt: skip
    reasons = ["Pièce reçue", "Une consultation sur deux", "Acte non délégué", "Quel jour ?", "Fin de période", "Accord"]
    found = answered(content, rows)
    assert (found.origin, found.problems) == (ORIGIN, ())
    seen = rows.with_row_index("at", offset=2).filter(pl.col("at").is_in([2, 4, 5, 7, 9, 10]))
    expected = seen.select(
        "line_id",
        decision=pl.Series(["pay", "adjust", "reject", "ask", "hold", "pay"]),
        amount_cents=pl.Series([None, 1250, None, None, None, 102530], dtype=pl.Int64),
        reason=pl.Series(reasons),
        cell=pl.format("Données!L{}", "at"),
        seen_outcome="proposed_outcome",
        seen_due_cents="proposed_due_cents",
        seen_position="decision_position",
    )
    assert found.answers.equals(expected)
    assert found.answers.schema == ANSWERS


def test_a_workbook_that_nobody_filled_decides_nothing(book: Path, rows: pl.DataFrame) -> None:
    for content in (book.read_bytes(), fill(book, {(2, D): " ", (3, M): ""})):
        found = answered(content, rows)
        assert (found.answers.height, found.problems) == (0, ())


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a word that is not of the list": ({D: "Accepter", M: "x"}, "answer.decision", "L"),
    "a number": ({D: 1, M: "x"}, "answer.decision", "L"),
    "an error of the spreadsheet": ({D: "#N/A", M: "x"}, "answer.decision", "L"),
    "an amount in words": ({D: "Payer", A: "douze", M: "x"}, "answer.amount", "M"),
    "a negative amount": ({D: "Ajuster", A: -5, M: "x"}, "answer.amount", "M"),
    "an amount that can be read in two ways": ({D: "Ajuster", A: "1,250", M: "x"}, "answer.amount", "M"),
    "an amount that a rejection does not take": ({D: "Rejeter", A: 5, M: "x"}, "answer.amount_unwanted", "M"),
    "an adjustment without amount": ({D: "Ajuster", M: "x"}, "answer.amount_missing", "M"),
    "no reason": ({D: "Payer"}, "answer.reason", "N"),
    "a blank reason": ({D: "Payer", M: "   "}, "answer.reason", "N"),
    "a reason alone": ({M: "à voir"}, "answer.no_decision", "L"),
    "an amount alone": ({A: 5}, "answer.no_decision", "L"),
    "a claim that was changed": ({D: "Payer", M: "x", "Demandé": 99}, "answer.identity", "G"),
    "a bordereau that was changed": ({D: "Payer", M: "x", "Bordereau": "b9"}, "answer.identity", "AV"),
    "a line that was never published": ({D: "Payer", M: "x", "Identifiant de la ligne": "0"}, "answer.unknown_line", "AX"),
    "a line without its identifier": ({D: "Payer", M: "x", "Identifiant de la ligne": None}, "answer.unknown_line", "AX"),
}


def test_a_row_in_error_decides_nothing_and_says_where_and_why_without_its_value(book: Path, rows: pl.DataFrame) -> None:
    cells: dict[tuple[int, str], Any] = {(2, D): "Payer", (2, M): "Pièce reçue"}
    for row, (wrong, _, _) in enumerate(WRONG.values(), start=3):
        cells |= {(row, heading): value for heading, value in wrong.items()}
    found = answered(fill(book, cells), rows)
    expected = [(f"Données!{column}{row}", rule) for row, (_, rule, column) in enumerate(WRONG.values(), start=3)]
    assert told(found) == expected
    assert found.answers["cell"].to_list() == ["Données!L2"], "the other rows are read"
    for problem, (wrong, rule, _) in zip(found.problems, WRONG.values(), strict=True):
        assert problem.message_fr.startswith(f"{catalogue()[rule].label_fr} : ")
        values = [str(value) for value in wrong.values() if value not in ("Payer", "Ajuster", "Rejeter")]
        assert not any(f" {value} " in f" {problem.message_fr} " for value in values if value.strip())


def test_a_line_answered_twice_is_taken_in_neither_row(book: Path, rows: pl.DataFrame) -> None:
    labels = {column.name: column.label_fr for column in LINE.columns}
    assert LINE.answer
    copied = {
        (5, labels[name]): rows[name][1] / 100 if name.endswith("_cents") else rows[name][1] for name in LINE.answer.identity
    }
    twice = {(3, D): "Payer", (3, M): "x", (5, D): "Rejeter", (5, M): "y"}
    found = answered(fill(book, copied | twice), rows)
    assert told(found) == [("Données!AX3", "answer.twice"), ("Données!AX5", "answer.twice")]
    assert found.answers.is_empty()


def test_every_rule_of_answers_is_one_that_a_row_can_break() -> None:
    broken = {rule for _, rule, _ in WRONG.values()} | {"answer.twice"}
    assert broken == {rule for rule in catalogue() if rule.startswith("answer.")}


def test_an_answer_to_another_publication_or_to_none_is_refused(book: Path, rows: pl.DataFrame, tmp_path: Path) -> None:
    second = write(tmp_path / "2.xlsx", rows, number=2)
    with pytest.raises(NotOurs, match="pas de publication 2 de cpam-990/bordereaux"):
        answered(second.read_bytes(), rows)
    totals = write(tmp_path / "3.xlsx", published(random_tables(60))["bordereau"], PRODUCT.tables[2])
    with pytest.raises(NotOurs, match="la table bordereau de bordereaux n'attend pas de décisions"):
        answered(totals.read_bytes(), rows)


def other(change: str, book: Path) -> bytes:
    """The workbook after someone did this to it."""
    opened = openpyxl.load_workbook(book)
    if change == "no provenance":
        del opened["Provenance"]
    elif change == "no data":
        opened["Données"].title = "Feuil1"
    elif change == "no number":
        sheet = opened["Provenance"]
        next(row for row in sheet.iter_rows(max_col=2) if row[0].value == "Numéro")[1].value = "un"
    elif change == "no column":
        sheet = opened["Données"]
        next(cell for cell in sheet[1] if cell.value == M).value = "Raison"
    content = io.BytesIO()
    opened.save(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no provenance", "pas de feuille « Provenance »"),
        ("no data", "pas de feuille « Données »"),
        ("no number", "ne dit pas de quelle publication"),
        ("no column", "la colonne « Motif » manque ou est en double"),
    ],
)
def test_a_workbook_that_is_not_whole_is_refused_with_what_to_do(
    change: str, message: str, book: Path, rows: pl.DataFrame
) -> None:
    with pytest.raises(NotOurs, match=re.escape(message)):
        answered(other(change, book), rows)


def test_what_is_no_workbook_of_the_hub_is_refused(rows: pl.DataFrame) -> None:
    with pytest.raises(NotOurs, match="n'est pas un classeur publié par ce hub"):
        answered(b"Decision;Motif\nPayer;x\n", rows)
    with pytest.raises(Unreadable):
        answered(b"%PDF-1.7", rows)


def test_the_position_of_a_decision_that_stands_comes_back_with_a_new_one(tmp_path: Path) -> None:
    facts = of_caisse(random_facts(40, defects=0.5))
    taken = decisions_on(reconcile(facts, LAW, DAY).lines, 0)
    rows = published(made_of(facts, decisions=taken)[0])["line"]
    decided = rows.with_row_index("at", offset=2).filter(pl.col("decision_position") > 0).row(0, named=True)
    content = fill(write(tmp_path / "line.xlsx", rows), {(decided["at"], D): "Rejeter", (decided["at"], M): "Revu"})
    found = answered(content, rows)
    assert found.problems == ()
    assert found.answers["seen_position"].to_list() == [decided["decision_position"]]
