"""e-CARS exports as read: every trap of the export survives, texts stay verbatim, and what is no such export is refused."""

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import connectors
from checks.cpom.facts import facts_of
from checks.cpom.judge import judge
from checks.cpom.law import default_law
from connectors.ecars import NAMES, Export, gathered, read_ecars
from connectors.ecars_tables import read_table, table_of
from connectors.ecars_values import cents_of, finess_of, read_value
from connectors.sheet_batch import sheet_reader
from connectors.sheets import Unreadable, read_sheets
from connectors.synthetic import fictional_finess
from connectors.synthetic_bordereaux import Cell, Plan, Value, write_xlsx
from connectors.synthetic_ecars import (
    STRAT_TITLE,
    Contract,
    canonical,
    financial_rows,
    hpr_rows,
    recognition_rows,
    sample_contract,
    strategic_rows,
    table,
    workbook,
)
from contracts_schema.cpom_catalogue import indicators, plain_label, tables
from contracts_schema.cpom_frames import FRAMES, schema
from contracts_schema.rules import catalogue

DAY = date(2025, 7, 24)
ONE = sample_contract(1, hpr=True)


@pytest.fixture(scope="module")
def read() -> Any:
    """Reads bytes, each file in a process of its own."""
    with sheet_reader() as reader:
        yield lambda content, file="synthese.xlsx": read_ecars(content, file, DAY, reader)


def rows_of(contract: Contract = ONE) -> list[list[Value]]:
    return strategic_rows(contract)


def book(rows: list[list[Value]], *others: Plan, **more: Any) -> bytes:
    return write_xlsx([Plan(rows, "Synthèse", **more), *others])


def place_of(rows: list[list[Value]], text: str) -> tuple[int, int]:
    """Row and column (from 0) of the first cell that begins with a text."""
    return next(
        (row, column)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
        if isinstance(cell, str) and cell.startswith(text)
    )


def values(export: Export, code: str) -> dict[int, Any]:
    found = export.value.filter(pl.col("code") == code)
    return {row["year"]: row for row in found.iter_rows(named=True)}


def with_series(contract: Contract, code: str, series: list[Value]) -> Contract:
    return replace(contract, chosen={**contract.chosen, code: series})


# --- a sound workbook


def test_all_that_a_workbook_says_is_read_and_its_rows_are_counted(read: Any) -> None:
    export = read(workbook(ONE))
    assert export.sheet["annex"].to_list() == ["STRAT", "HPR"]
    strategic = export.sheet.row(0, named=True)
    assert (strategic["finess_ej"], strategic["legal_name"]) == (ONE.finess_ej, ONE.name)
    assert (strategic["synthesis_raw"], strategic["synthesis_on"]) == ("Du 24 juillet 2025", date(2025, 7, 24))
    assert (strategic["finess_cell"], strategic["synthesis_cell"]) == ("A4", "A2")
    assert strategic["rows_read"] == 30 + strategic["rows_skipped"]
    assert strategic["skipped"] == '{"entete_repete": 1, "pied_de_page": 2, "vide": 1}'
    assert export.row.height == 44
    chosen = export.row.filter("chosen")["code"].to_list()
    assert set(chosen) == set(ONE.chosen) | set(ONE.hpr or {})


def test_frames_have_the_columns_and_types_that_are_said_once(read: Any) -> None:
    export = read(workbook(replace(ONE, lines={"MIG": [("H11 - 3C", Decimal(5))]}, recognitions=[["CH", "x", "", "", "", ""]])))
    for name in ("sheet", "row", "value", "financial_line", "recognition"):
        assert getattr(export, name).schema == schema(name), name
        assert getattr(export, name).height, name
    assert {told["frame"] for told in tables().values()} | {"sheet", "row", "value", "financial_line", "recognition"} == set(
        FRAMES
    )


def test_labels_of_the_template_are_those_of_the_catalogue(read: Any) -> None:
    export = read(workbook(ONE))
    strategic = export.row.filter(pl.col("code").str.contains("_1_1"))
    assert strategic.height == 30
    for row in strategic.iter_rows(named=True):
        assert plain_label(row["label"]) == plain_label(indicators()["STRAT", row["code"]].label)


def test_the_canonical_form_says_what_the_workbook_says(read: Any) -> None:
    told, same = read(workbook(ONE)), read(canonical([ONE]), "canonique.csv")
    columns = ["code", "year", "role", "number", "yes_no", "missing", "percent"]
    assert told.value.select(columns).sort(columns).equals(same.value.select(columns).sort(columns))
    chosen = [set(one.row.filter("chosen")["code"]) for one in (told, same)]
    assert chosen[0] == chosen[1]
    assert same.sheet["finess_ej"].unique().to_list() == [ONE.finess_ej]


# --- traps of the export


def test_t1_years_are_found_by_their_row_wherever_the_columns_are(read: Any) -> None:
    rows = [[None, *row] for row in rows_of()]
    moved = read(book(rows))
    code = next(iter(ONE.chosen))
    there = values(read(book(rows_of())), code)
    assert {year: row["text"] for year, row in values(moved, code).items()} == {
        year: row["text"] for year, row in there.items()
    }


def test_t4_to_t6_codes_are_cut_from_labels_and_texts_stay_verbatim(read: Any) -> None:
    rows = rows_of()
    row, column = place_of(rows, "OS_11_1_1")
    rows[row][column] = "  OS_11_1_1\u00a0Taux  d'admissions\ndirectes *"
    found = read(book(rows)).row.filter(pl.col("code") == "OS_11_1_1").row(0, named=True)
    assert found["label"] == "Taux d'admissions directes *"
    assert found["label_raw"] == "  OS_11_1_1\u00a0Taux  d'admissions\ndirectes *"
    double = read(book(rows_of())).row.filter(pl.col("code") == "CT_01_1_1")["objective_label"].item()
    assert "// Favoriser" in double


def test_t7_a_label_of_merged_cells_holds_for_its_rows_and_a_code_in_the_row_wins(read: Any) -> None:
    export = read(workbook(ONE))
    hpr = export.row.filter(pl.col("sheet_id") == export.sheet["sheet_id"][1])
    assert all(row["objective_code"] == row["code"][0] for row in hpr.iter_rows(named=True))
    rows = rows_of()
    row, _ = place_of(rows, "CT_02 ")
    rows[row][0] = rows[row][1] = None
    found = read(book(rows)).row.filter(pl.col("code") == "CT_02_1_1").row(0, named=True)
    assert (found["line_code"], found["objective_code"]) == (None, None), "the row above is of another objective"


def test_t8_unchosen_indicators_are_there_without_values(read: Any) -> None:
    export = read(workbook(ONE))
    idle = export.row.filter(~pl.col("chosen"))
    assert idle.height == 44 - 8 - 6
    assert export.value.join(idle, on=["sheet_id", "code"], how="inner").is_empty()


@pytest.mark.parametrize(
    ("cell", "number", "percent"),
    [
        ("12,5 %", "12.5", "sign"),
        ("12.5%", "12.5", "sign"),
        (Cell("p", "0.125"), "0.125", "format"),
        (Decimal("12.5"), "12.5", None),
        (Decimal("0.125"), "0.125", None),
        ("12,5\u00a0%", "12.5", "sign"),
    ],
)
def test_t9_a_rate_keeps_how_it_was_marked(read: Any, cell: Value, number: str, percent: str | None) -> None:
    export = read(workbook(with_series(ONE, "OS_11_1_1", [cell] * 6)))
    found = values(export, "OS_11_1_1")[2024]
    assert (found["number"], found["percent"]) == (Decimal(number), percent)
    assert found["text"] == (cell.text if isinstance(cell, Cell) else str(cell))


@pytest.mark.parametrize(
    ("cells", "finess", "padded"),
    [
        (["FINESS EJ : 990 000 012"], "990000012", False),
        (["FINESS EJ :", Decimal("990000012")], "990000012", False),
        (["FINESS EJ", Cell("n", "990000012.0")], "990000012", False),
        (["FINESS EJ", Decimal("10000123")], "010000123", True),
        (["FINESS EJ : 2a0000154"], "2A0000154", False),
        (["FINESS EJ : 10000123"], "10000123", False),
        (["FINESS EJ : 990000012.0"], "990000012", False),
        (["FINESS EJ :", "990000012,0"], "990000012", False),
    ],
)
def test_t10_a_finess_is_text_and_only_a_number_cell_is_padded(
    read: Any, cells: list[Value], finess: str, *, padded: bool
) -> None:
    rows = rows_of()
    rows[3] = cells
    sheet = read(book(rows)).sheet.row(0, named=True)
    assert (sheet["finess_ej"], sheet["finess_padded"]) == (finess, padded)


def test_t11_to_t14_words_missing_values_errors_and_formulas_are_told_apart() -> None:
    yes, no = ["OUI", "Oui", "o", "X", "VRAI", "true"], ["NON", "n", "Faux", "FALSE"]
    assert all(read_value(text, "t").yes_no is True for text in yes)
    assert all(read_value(text, "t").yes_no is False for text in no)
    assert read_value("VRAI", "b").yes_no is True
    assert [read_value(text, "t").missing for text in ("NC", "nd", " NR ", "-", "–")] == ["NC", "ND", "NR", "TIRET", "TIRET"]
    assert read_value("#N/A", "t").error
    assert read_value("#REF!", "e").error
    assert read_value("=A1+B1", "f").missing == "FORMULE"
    assert read_value("en cours", "t") == (None, None, None, None, None, False)
    assert read_value("12 / cardiologie", "t").leading == 12


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", "12"),
        ("1 200", "1200"),
        ("1\u202f200,5", "1200.5"),
        ("-3", "-3"),
        ("1.2E3", "1200"),
        ("0.30000000000000004", "0.3"),
    ],
)
def test_numbers_are_exact_decimals(text: str, number: str) -> None:
    assert read_value(text, "n").number == Decimal(number)


@pytest.mark.parametrize("text", ["12 34", "1,2,3", "douze", "12 ans", "1/2", "9" * 30])
def test_what_is_no_number_is_not_made_one(text: str) -> None:
    assert read_value(text, "t").number is None


def test_t15_a_renamed_csv_or_html_is_refused_by_its_first_bytes(read: Any) -> None:
    for content, told in ((b"a;b\n1;2\n", "CSV sous un nom"), (b"<html><table></table></html>", "HTML")):
        with pytest.raises(Unreadable, match=told) as refusal:
            read(content, "synthese.xlsx")
        assert refusal.value.rule == "ecars.FL2"
        assert str(refusal.value).startswith("synthese.xlsx : ")


def test_t16_hidden_rows_and_sheets_are_read_and_said(read: Any) -> None:
    rows = rows_of()
    row, _ = place_of(rows, "CT_02 ")
    export = read(book(rows, Plan(hpr_rows(ONE), "HPR", hidden=True), hidden_rows=frozenset([row + 1])))
    assert export.row.filter("hidden")["code"].to_list() == ["CT_02_1_1"]
    assert export.sheet["hidden"].to_list() == [False, True]
    assert any("1 ligne masquée ou filtrée, lue" in note for _, note in export.notes)
    assert any("« HPR » masquée : lue" in note for _, note in export.notes)


def test_t18_a_code_that_became_a_date_or_a_number_is_kept_with_its_cell(read: Any) -> None:
    rows = hpr_rows(ONE)
    row, column = place_of(rows, "1_1 ")
    rows[row][column] = date(2025, 1, 1)
    rows[row + 1][column] = Decimal(12)
    export = read(book(rows_of(), Plan(rows, "HPR")))
    bad = export.row.filter(pl.col("code").is_null()).sort("row")
    assert bad["date_in_code"].to_list() == [True]
    assert bad["code_cell"].to_list() == [f"B{row + 1}"]


@pytest.mark.parametrize(
    ("printed", "day"),
    [
        ("Du 24 juillet 2025", date(2025, 7, 24)),
        ("Du 1er août 2025", date(2025, 8, 1)),
        ("24/07/2025", date(2025, 7, 24)),
        (date(2025, 7, 24), date(2025, 7, 24)),
        ("Du xxxx 2025", None),
        ("Du 31 juin 2025", None),
    ],
)
def test_the_date_of_the_synthesis_is_read_in_all_its_forms_or_left_unread(read: Any, printed: Value, day: date | None) -> None:
    sheet = read(workbook(replace(ONE, synthesis=printed))).sheet.row(0, named=True)
    assert sheet["synthesis_on"] == day
    assert sheet["synthesis_raw"]


def test_several_establishments_in_one_workbook_are_several_sheets(read: Any) -> None:
    three = [sample_contract(number) for number in (1, 2, 3)]
    for stacked in (False, True):
        export = read(workbook(*three, stacked=stacked))
        assert export.sheet["finess_ej"].to_list() == [one.finess_ej for one in three], stacked
        assert export.row.height == 90


def test_an_annex_without_finess_has_that_of_the_strategic_sheet_before_it(read: Any) -> None:
    rows = [row for row in hpr_rows(ONE) if not (row and str(row[0]).startswith(("FINESS", "Nom de", "Du ")))]
    sheet = read(book(rows_of(), Plan(rows, "HPR"))).sheet.row(1, named=True)
    assert (sheet["finess_ej"], sheet["synthesis_on"]) == (ONE.finess_ej, date(2025, 7, 24))


def test_financial_lines_totals_and_the_two_daf_are_read_in_cents(read: Any) -> None:
    contract = replace(
        ONE,
        lines={
            "MIG": [("H11-Les 3C", Decimal("1200.5")), ("Z99 : Autre", "1 000,25 €")],
            "AC SSR": [("234 - Mesures", Decimal(3))],
        },
        totals={"AC SSR": Cell("e", "#N/A")},
        daf=(Decimal(7), None),
    )
    lines = read(book(rows_of(), Plan(financial_rows(contract), "Finances"))).financial_line
    told = lines.select("envelope", "code", "amount_cents", "is_total", "error").rows()
    assert told == [
        ("MIG", "H11", 120050, False, False),
        ("MIG", "Z99", 100025, False, False),
        ("MIG", None, 120050, True, False),
        ("AC SSR", "234", 300, False, False),
        ("AC SSR", None, None, True, True),
        ("DAF Autres", None, 700, False, False),
    ]
    assert lines["base_on"][0] == date(2025, 1, 1)


def test_recognitions_are_known_by_their_label_and_modality(read: Any) -> None:
    columns: list[list[Value]] = [
        [
            "CH",
            "Prise en charge des personnes âgées",
            "Equipe mobile de gériatrie (EMG)",
            "sans objet",
            date(2025, 9, 1),
            "Rapport",
        ],
        ["CH", "Surveillance continue - Adulte", "Préciser service ou spécialité", Decimal(8), None, "Rapport"],
        ["CH", "Activité inventée", None, None, None, None],
        [None, "Infections ostéo-articulaires complexes", None, None, None, "Rapport"],
    ]
    rows = recognition_rows(replace(ONE, recognitions=columns))
    export = read(book(rows_of(), Plan(rows, "RC")))
    found = export.recognition
    told = export.sheet.filter(annex="RECOGNITION").select("rows_read", "rows_skipped", "skipped").row(0)
    assert told == (4, 1, '{"non_renseignee": 1}'), "a row of the template that nobody filled is no recognition"
    assert found["recognition_id"].to_list() == ["RC13", "RC03", None]
    assert found.select("capacity", "without_capacity", "effective_on").rows() == [
        (None, True, date(2025, 9, 1)),
        (8, False, None),
        (None, False, None),
    ]


# --- refusals


def refused(read: Any, content: bytes, file: str = "ch.xlsx") -> tuple[str, str]:
    with pytest.raises(Unreadable) as refusal:
        read(content, file)
    return refusal.value.rule, str(refusal.value)


def test_a_workbook_that_is_no_synthesis_is_refused_with_its_sheets(read: Any) -> None:
    rule, told = refused(read, write_xlsx([Plan([["Budget"], ["Ligne", "Montant"]], "Feuil1")]))
    assert rule == "ecars.FL6"
    assert "ch.xlsx" in told
    assert "« Feuil1 »" in told


def test_another_campaign_is_refused_with_its_cell(read: Any) -> None:
    rows = rows_of()
    rows[2] = [STRAT_TITLE.replace("2025 - 2029", "2019 - 2023")]
    rule, told = refused(read, book(rows))
    assert rule == "ecars.FL8"
    assert "feuille « Synthèse », cellule A3" in told


def test_a_missing_strategic_sheet_is_refused(read: Any) -> None:
    rule, told = refused(read, write_xlsx([Plan(hpr_rows(ONE), "HPR")]))
    assert rule == "ecars.FL9"
    assert "« HPR »" in told


def test_an_annex_hpr_whose_strategic_sheet_is_absent_is_refused_and_replaces_nothing(read: Any) -> None:
    other = replace(ONE, finess_ej=fictional_finess(number=9))
    rule, told = refused(read, write_xlsx([Plan(strategic_rows(ONE), "Synthèse"), Plan(hpr_rows(other), "HPR")]))
    assert rule == "ecars.FL9"
    assert "feuille « HPR », cellule A" in told
    lines = CANONICAL.splitlines()
    near = [line for line in lines if ";STRAT;" not in line]
    rule, told = refused(read, "\n".join(near).encode(), "canonique.csv")
    assert (rule, "ligne 2, colonne annexe" in told) == ("ecars.FL9", True), told


def test_a_social_security_number_stops_the_file_and_is_never_shown(read: Any) -> None:
    number = "2 99 01 99 123 456"
    digits = number.replace(" ", "")
    written = f"vu avec {number} {97 - int(digits) % 97:02d} hier"
    code = next(iter(ONE.chosen))
    rule, told = refused(read, workbook(replace(ONE, comments={code: written})))
    assert rule == "ecars.FL7"
    assert digits not in told.replace(" ", "")
    assert "feuille « Synthèse »" in told
    wrong_key = f"vu avec {number} {(97 - int(digits) % 97) % 97 + 1:02d} hier"
    assert read(workbook(replace(ONE, comments={code: wrong_key}))).row.height


def changed(rows: list[list[Value]], row: int, column: int, value: Value) -> list[list[Value]]:
    rows[row][column] = value
    return rows


@pytest.mark.parametrize(
    ("what", "cell", "value", "told"),
    [
        ("year", (7, 8), "Cible finale", "colonne 2029 absente ou renommée"),
        ("twice", (7, 8), Decimal(2028), "l'année 2028 est en tête de deux colonnes"),
        ("indicators", (5, 2), "Items", "C6 : colonne « Indicateurs » absente ou renommée (en-tête lu ici : « Items »)"),
        ("objectives", (5, 1), "Buts", "cellule B6 : colonne « Objectifs opérationnels » absente ou renommée"),
        ("engagements", (5, 0), "Axes", "cellule A6 : colonne « Engagements » absente ou renommée"),
        ("years", (7, 3), None, "aucune ligne ne porte 2024 et 2025"),
        ("title", (2, 0), "Annexe", "titre d'annexe absent ou renommé"),
    ],
)
def test_a_renamed_or_missing_column_is_refused_with_its_place(
    read: Any, what: str, cell: tuple[int, int], value: Value, told: str
) -> None:
    rows = rows_of()
    old = rows[cell[0]][cell[1]]
    rows = changed(rows, *cell, value)
    if what in ("indicators", "objectives", "engagements"):  # repeated headers say the same
        rows = [[value if text == old else text for text in row] for row in rows]
    rule, message = refused(read, book(rows))
    assert rule == "ecars.FL6"
    assert told in message
    assert "feuille « Synthèse »" in message


CANONICAL = canonical([ONE]).decode()


@pytest.mark.parametrize(
    ("change", "rule", "told"),
    [
        (("campagne;finess_ej", "campagne;finess"), "ecars.FL6", "en-tête inconnu à « finess »"),
        (("CPOM-2025-2029", "CPOM-2019-2023"), "ecars.FL8", "ligne 2, campagne"),
        ((";STRAT;Du", ";AUTRE;Du"), "ecars.FL10", "ligne 2, colonne annexe"),
        ((";2024;INITIALE", ";2034;INITIALE"), "ecars.FL10", "colonne annee"),
        ((";INITIALE;", ";PREMIERE;"), "ecars.FL10", "colonne role"),
        ((";non;", ";peut-être;"), "ecars.FL10", "colonne choisi"),
        ((";oui;2024", ";non;2024"), "ecars.FL10", "colonne valeur_texte"),
        ((";oui;2024", ";oui;2024;2024"), "ecars.FL5", "19 champs au lieu de 18"),
        (("CH FICTIF 1;STRAT", '"CH FICTIF 1;STRAT'), "ecars.FL5", "guillemet"),
        ((";", ","), "ecars.FL5", "canonique.csv : ligne 1 : séparateur « , » au lieu de « ; »"),
        ((";", "\t"), "ecars.FL5", "ligne 1 : séparateur « tabulation » au lieu de « ; »"),
    ],
)
def test_a_canonical_file_that_breaks_its_form_is_refused_by_line_and_column(
    read: Any, change: tuple[str, str], rule: str, told: str
) -> None:
    found, message = refused(read, CANONICAL.replace(*change, -1 if change[0] == ";" else 1).encode(), "canonique.csv")
    assert (found, told in message) == (rule, True), message


@pytest.mark.parametrize("name", ["CH FICTIF 1", '"CH FICTIF 1"'])
def test_a_line_cut_by_another_separator_than_its_header_is_told_with_it(read: Any, name: str) -> None:
    first, second, *others = CANONICAL.replace("CH FICTIF 1", name).splitlines()
    text = "\n".join([first, second, *(line.replace(";", ",") for line in others)])
    found, message = refused(read, text.encode(), "canonique.csv")
    assert (found, "ligne 3 : séparateur « , » au lieu de « ; »" in message) == ("ecars.FL5", True), message


def test_quoted_fields_and_line_ends_of_windows_say_the_same(read: Any) -> None:
    plain = read(CANONICAL.encode(), "a.csv")
    quoted = "\n".join(
        ";".join(f'"{field}"' for field in line.split(";")) if number else line
        for number, line in enumerate(CANONICAL.splitlines())
    )
    for other in (quoted, CANONICAL.replace("\n", "\r\n"), CANONICAL + "\n", "\ufeff" + CANONICAL):
        same = read(other.encode(), "a.csv")
        for name in ("row", "value"):
            assert getattr(plain, name).drop("sheet_id").equals(getattr(same, name).drop("sheet_id")), name


def test_a_number_beside_a_text_a_hundred_times_smaller_is_a_percent_format(read: Any) -> None:
    line = next(line for line in CANONICAL.splitlines() if ";OS_11_1_1;" in line and ";2024;" in line)
    fields = line.split(";")
    fields[11:13] = ["0.125", "12.5"]
    export = read(CANONICAL.replace(line, ";".join(fields)).encode(), "canonique.csv")
    found = values(export, "OS_11_1_1")[2024]
    assert (found["number"], found["percent"], found["text"]) == (Decimal("0.125"), "format", "0.125")


def test_every_refusal_stands_in_the_catalogue_and_every_rule_of_it_is_a_refusal_of_the_code() -> None:
    known = {rule for rule in catalogue() if rule.startswith("ecars.FL")}
    sources = [path.read_text(encoding="utf-8") for path in Path(connectors.__file__).parent.glob("ecars*.py")]
    of_sheets = {f"ecars.{name}" for name in ("FL1", "FL2", "FL4", "FL5")}  # those of any spreadsheet, under this name
    assert {rule for text in sources for rule in re.findall(r'"(ecars\.FL\d+)"', text)} | of_sheets == known


def test_t17_an_indicator_on_two_rows_is_read_twice(read: Any) -> None:
    rows = rows_of()
    row, _ = place_of(rows, "CT_02 ")
    export = read(book([*rows[: row + 1], list(rows[row]), *rows[row + 1 :]]))
    assert export.row.filter(pl.col("code") == "CT_02_1_1").height == 2


ODD: list[Value] = [
    None,
    "",
    "\u00a0",
    "OUI",
    "12,5 %",
    "CT_99_1_1 x",
    "2024",
    Decimal(2024),
    Decimal("-1"),
    date(2025, 1, 1),
    Cell("e", "#N/A"),
    Cell("f", "=A1"),
    Cell("p", "0.5"),
    "FINESS EJ :",
    "SYNTHESE DES SAISIES",
    "Indicateurs",
    STRAT_TITLE,
    "TOTAL",
    "DAF Autres",
    "DETAIL DE LA BASE MIG",
    "1_1",
    "x" * 5000,
    "Du xxxx 2025",
    Cell("n", "1E400"),
    Cell("n", "abc"),
    "٣",
    "9" * 40,
]


def test_whatever_the_cells_hold_a_workbook_is_read_with_all_its_rows_or_refused_in_french(read: Any) -> None:
    draw = random.Random(7)
    outcomes: set[str] = set()
    told: list[str] = []
    for _ in range(60):
        sheets = [rows_of(), hpr_rows(ONE), financial_rows(replace(ONE, lines={"MIG": [("H11 - 3C", Decimal(5))]}, daf=(1, 2)))]
        for rows in sheets:
            for _ in range(draw.choice([0, 1, 3, 30])):
                row = rows[draw.randrange(len(rows))]
                if row:
                    row[draw.randrange(len(row))] = draw.choice(ODD)
        try:
            export = read(write_xlsx([Plan(rows, f"F{place}") for place, rows in enumerate(sheets)]))
        except Unreadable as refusal:
            outcomes.add(refusal.rule)
            told.append(str(refusal))
            continue
        outcomes.add("read")
        for sheet in export.sheet.iter_rows(named=True):
            own = [getattr(export, name).filter(pl.col("sheet_id") == sheet["sheet_id"]).height for name in NAMES[1:]]
            assert sheet["rows_read"] == own[0] + own[2] + own[3] + sheet["rows_skipped"]
        judge(facts_of({name: getattr(export, name) for name in NAMES}), default_law(), DAY, datetime(2025, 8, 1, tzinfo=UTC))
    assert {"read", "ecars.FL6"} <= outcomes
    assert all(message.startswith("synthese.xlsx : ") for message in told)


# --- many files, many contracts


def test_files_read_one_after_the_other_are_each_read_alone(read: Any) -> None:
    with sheet_reader(timeout=20) as reader:
        good = workbook(ONE)
        assert reader(good).sheets[0].cells.equals(read_sheets(good).sheets[0].cells)
        with pytest.raises(Unreadable):
            reader(b"PK\x03\x04 broken")
        assert reader(good).sheets[0].cells.equals(read_sheets(good).sheets[0].cells)


def test_a_file_that_takes_too_long_is_refused_and_the_next_is_read() -> None:
    good = workbook(ONE)
    with sheet_reader(timeout=0.0001) as reader, pytest.raises(Unreadable, match="abandonnée"):
        reader(good)


def test_exports_are_gathered_without_loss() -> None:
    parts = [read_ecars(canonical([sample_contract(number)]), f"{number}.csv", DAY) for number in (1, 2)]
    whole = gathered(parts)
    assert whole.sheet["finess_ej"].n_unique() == 2
    assert whole.value.height == sum(part.value.height for part in parts)


# --- reference and follow-up tables

GHT: Mapping[str, Value] = {"finess_ej": "990000012", "ght": "GHT fictif", "date_debut": date(2024, 1, 1), "date_fin": None}


def test_a_table_is_known_by_its_header_and_read_in_its_types() -> None:
    name, frame = read_table(table("ght", [GHT]), "ght.csv")
    assert name == "hospital_group"
    assert frame.rows() == [("990000012", "GHT fictif", date(2024, 1, 1), None)]
    name, frame = read_table(
        table(
            "journal_saisies",
            [
                {
                    "finess_ej": "990000012",
                    "annexe": "STRAT",
                    "indicateur_code": "CT_02_1_1",
                    "choisi": "OUI",
                    "horodatage_saisie": "2025-07-26T00:30:00+02:00",
                }
            ],
        ),
        "journal.csv",
    )
    assert frame["entered_at"].item().isoformat() == "2025-07-25T22:30:00+00:00"
    assert table_of(table("ght", [])) == "ght"
    assert table_of(CANONICAL.encode()) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"finess_ej": "9900012"}, "ligne 2, colonne finess_ej : numéro FINESS"),
        ({"date_debut": "01/01/2024"}, "ligne 2, colonne date_debut : jour attendu"),
        ({"ght": None}, "ligne 2, colonne ght : vide"),
    ],
)
def test_a_field_of_a_table_that_says_nothing_is_refused_by_line_and_column(change: dict[str, Value], told: str) -> None:
    with pytest.raises(Unreadable, match=told) as refusal:
        read_table(table("ght", [{**GHT, **change}]), "ght.csv")
    assert refusal.value.rule == "ecars.FL10"


def test_a_table_of_another_separator_is_known_and_refused_with_it() -> None:
    for content in (table("ght", [GHT]).replace(b";", b","), table("ght", []) + b"990000012,GHT fictif,2024-01-01,\n"):
        assert table_of(content) == "ght"
        with pytest.raises(Unreadable, match=r"ght\.csv : ligne [12] : séparateur « , » au lieu de « ; »") as refusal:
            read_table(content, "ght.csv")
        assert refusal.value.rule == "ecars.FL5"


def test_every_table_can_be_written_and_read_empty() -> None:
    for name, told in tables().items():
        frame_name, frame = read_table(table(name, []), f"{name}.csv")
        assert (frame_name, frame.height) == (told["frame"], 0)
        assert {column for column, *_ in told["columns"].values()} == set(FRAMES[told["frame"]])


def test_amounts_and_numbers_of_finess_keep_what_they_say() -> None:
    assert cents_of("1 234,5 €", "t") == 123450
    assert cents_of("1.005", "n") is None
    assert cents_of("0.5", "p") is None
    assert finess_of("990000012.0", "n") == ("990000012", False)
