"""What the cells of a bordereau say, one test a line of the malformed inputs to expect: dates, numbers, identifiers, texts."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from bordereaux import FIRST_ROW, LINE, RECEIVED, lines, number, one, read_lines, read_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import bordereau_values
from connectors.bordereau import read_bordereau
from connectors.bordereau_header import Finding, Told, identifier
from connectors.bordereau_values import finess_valid, nir_valid, siret_valid
from connectors.synthetic_bordereaux import Cell, Plan, rows_of, write_csv, write_xlsx
from contracts_schema.rules import catalogue

# --- dates


DATES = [
    (date(2022, 8, 3), "xlsx", date(2022, 8, 3), None),
    (date(2022, 8, 3), "ods", date(2022, 8, 3), None),
    (number("44776"), "xlsx", date(2022, 8, 3), None),
    ("03/08/2022", "csv", date(2022, 8, 3), None),
    ("3/8/2022", "csv", date(2022, 8, 3), None),
    ("03.08.2022", "csv", date(2022, 8, 3), None),
    ("03-08-2022", "csv", date(2022, 8, 3), None),
    ("3 août 2022", "csv", date(2022, 8, 3), None),
    ("1er août 2022", "csv", date(2022, 8, 1), None),
    ("mercredi 3 AOUT 2022", "csv", date(2022, 8, 3), None),
    ("3 aou\u0302t 2022", "csv", date(2022, 8, 3), None),
    ("2022-08-03", "csv", date(2022, 8, 3), None),
    ("03/08/2022 14:30", "csv", date(2022, 8, 3), None),
    ("2022-08-03T14:30:00", "csv", date(2022, 8, 3), None),
    (number("44776.604166666664"), "xlsx", date(2022, 8, 3), None),
    (" 03/08/2022\u00a0", "csv", date(2022, 8, 3), None),
    ("03/08/22", "csv", None, "two_digit_year"),
    ("03.08.22", "csv", None, "two_digit_year"),
    ("29/02/2022", "csv", None, "unreadable"),
    ("29/02/2024", "csv", date(2024, 2, 29), None),
    ("31/04/2022", "csv", None, "unreadable"),
    ("00/00/2022", "csv", None, "unreadable"),
    ("hier", "csv", None, "unreadable"),
    ("44776", "csv", None, "unreadable"),
    (Cell("e", "#VALEUR!"), "ods", None, "unreadable"),
    (Cell("f", "=TODAY()"), "xlsx", None, "unreadable"),
    (number("9999999"), "xlsx", None, "out_of_range"),
    (number("60"), "xlsx", None, "out_of_range"),
    ("03/08/1922", "csv", None, "out_of_range"),
]


@pytest.mark.parametrize("fmt", ["xlsx", "ods", "csv"])
def test_a_date_is_read_or_its_problem_is_named(fmt: str) -> None:
    cases = [(written, day, problem) for written, kind, day, problem in DATES if kind == fmt]
    read = read_lines(*({"date": written} for written, _, _ in cases), fmt=fmt).lines
    assert read.select("day", "date_problem").rows() == [(day, problem) for _, day, problem in cases]
    assert read["date_raw"].null_count() == 0, "what was written stays as evidence"


def test_a_serial_counts_from_the_date_system_of_its_workbook() -> None:
    rows = rows_of(lines({"date": number("44776")}))
    days = [
        read_bordereau(write_xlsx([Plan(rows)], date_1904=flag), "envoi.xlsx", RECEIVED).lines["day"].item()
        for flag in (False, True)
    ]
    assert days == [date(2022, 8, 3), date(2026, 8, 4)], "F07"


def test_typed_dates_among_real_ones_make_all_that_could_be_swapped_ambiguous() -> None:
    read = read_lines(
        {"date": date(2022, 12, 8)}, {"date": date(2022, 8, 8)}, {"date": date(2022, 8, 25)}, {"date": "12/08/2022"}
    )
    assert read.lines["date_problem"].to_list() == ["ambiguous", None, None, "ambiguous"]
    fourth = json.loads(read.lines["cells"][3])["date"]["cell"]
    assert read.lines["date_sign"].to_list() == [fourth, None, None, fourth], "the text among the dates"
    assert read.lines["day"].to_list() == [None, date(2022, 8, 8), date(2022, 8, 25), None]


def test_a_date_that_can_only_be_month_first_makes_its_neighbours_ambiguous() -> None:
    read = read_lines({"date": "08/25/2022"}, {"date": "03/08/2022"}, {"date": "25/08/2022"}, fmt="csv")
    assert read.lines["date_problem"].to_list() == ["unreadable", "month_first", None]
    assert read.lines["date_sign"][1] == json.loads(read.lines["cells"][0])["date"]["cell"]


def test_typed_dates_alone_are_day_first() -> None:
    read = read_lines({"date": "12/08/2022"}, {"date": "3 août 2022"}, {"date": "25/08/2022"})
    assert read.lines["day"].to_list() == [date(2022, 8, 12), date(2022, 8, 3), date(2022, 8, 25)]


def test_a_month_column_gives_the_month_and_its_grain() -> None:
    written = ["août 2022", "Aout 2022", "08/2022", "2022-08", date(2022, 8, 1)]
    read = read_lines(*({"date": None, "month": month} for month in written))
    assert read.lines.select("month", "day").rows() == [(date(2022, 8, 1), None)] * len(written)
    assert read.header["grain"] == "month"


def test_both_grains_in_one_file_are_told() -> None:
    read = read_lines({"date": "août 2022"}, {"date": "25/08/2022"}, fmt="csv")
    assert read.header["grain"] == "mixed"
    assert read.lines["month"].to_list() == [date(2022, 8, 1), None]


# --- numbers


AMOUNTS = [
    ("25", 2500), ("25,00", 2500), ("25.00", 2500), ("25,5", 2550), ("25 €", 2500), ("25\u00a0EUR", 2500), ("25 euros", 2500),
    ("1 234,50", 123450), ("1\u00a0234,50", 123450), ("1\u202f234,50", 123450), ("1.234,50", None), ("1,234.50", None),
    ("1.234", None), ("(25)", -2500), ("-25", -2500), ("25-", -2500), ("\u221225,00", -2500), ("2,5E1", 2500), ("'25", 2500),
    ("24.999999999", 2500), ("25,001", None), ("25O", None), ("vingt-cinq", None), ("12 34", None), ("25 %", None),
    (number("25"), 2500), (number("24.999999999999996"), 2500), (number("2.5E1"), 2500), (number("-25"), -2500),
    (number("25.125"), None), (Cell("p", "0.25"), None), (Cell("c", "=1*25", "25"), 2500), (Cell("f", "=H2*I2"), None),
]  # fmt: skip


def test_an_amount_is_read_to_the_cent_or_not_at_all() -> None:
    read = read_lines(*({"amount": written} for written, _ in AMOUNTS)).lines
    assert list(zip(AMOUNTS, read["amount_cents"], strict=True)) == [(case, case[1]) for case in AMOUNTS]
    assert read["amount_raw"].null_count() == 0, "what was written stays as evidence"


def test_a_dot_for_thousands_is_read_only_when_the_profile_declares_it(tmp_path: Any) -> None:
    from contracts_schema.bordereau_profiles import load, profiles

    source = load_text().replace('thousands: [" ",', 'thousands: [".", " ",')
    path = tmp_path / "snp-proposal.yaml"
    path.write_text(source, encoding="utf-8")
    content = write_xlsx([Plan(rows_of(lines({"amount": "1.234,50"}, {"amount": "1,234.50"})))])
    read = [
        read_bordereau(content, "envoi.xlsx", RECEIVED, known).lines["amount_cents"].to_list()
        for known in (profiles(), [load(path)])
    ]
    assert read == [[None, None], [123450, None]], "F09"


def load_text() -> str:
    from importlib.resources import files

    return files("contracts_schema").joinpath("snp", "profiles", "snp-proposal.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("fmt", ["xlsx", "ods", "csv"])
def test_an_error_cell_is_no_amount_and_stays_as_evidence(fmt: str) -> None:
    errors = ["#N/A", "#VALEUR!", "#REF!", "#DIV/0!", "#NOM?", "#NUL!", "#NOMBRE!"]
    read = read_lines(*({"amount": Cell("e", error)} for error in errors), fmt=fmt).lines
    assert read["amount_raw"].to_list() == errors
    assert read["amount_cents"].null_count() == len(errors)
    assert all("bordereau.error_cell" in notes for notes in read["notes"].to_list())


def test_a_formula_without_stored_value_is_shown_and_never_computed() -> None:
    for fmt in ("xlsx", "ods"):
        line = one({"amount": Cell("f", "=B2*25")}, fmt)
        assert (line["amount_cents"], line["amount_raw"]) == (None, "=B2*25"), "F10"
        assert line["notes"] == ["bordereau.formula_without_value"]
        assert json.loads(line["cells"])["amount"] == {"cell": f"H{FIRST_ROW}", "raw": "=B2*25"}


def test_a_count_is_a_whole_number_or_none() -> None:
    cases: list[tuple[Any, int | None]] = [
        ("3", 3),
        ("3,0", 3),
        (3, 3),
        (number("3.0"), 3),
        ("2,5", None),
        ("trois", None),
        (None, 1),
        ("-1", -1),
    ]
    read = read_lines(*({"count": written} for written, _ in cases)).lines
    assert read["count"].to_list() == [count for _, count in cases]


def test_a_cell_with_a_currency_style_whose_text_is_the_value_is_read() -> None:
    assert one({"amount": "25,00 €"}, "ods")["amount_cents"] == 2500


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-(10**9), 10**9), min_size=1))
def test_every_amount_written_the_french_way_is_read_back(amounts: list[int]) -> None:
    written = [
        f"{'-' * (cents < 0)}{abs(cents) // 100:,}".replace(",", "\u202f") + f",{abs(cents) % 100:02d}\u00a0€"
        for cents in amounts
    ]
    frame = pl.DataFrame({"text": written, "kind": ["t"] * len(written)})
    read = bordereau_values.cents(pl.col("text"), pl.col("kind"), ("€",), (" ",))[0]
    assert frame.select(read.alias("cents"))["cents"].to_list() == amounts


# --- identifiers


NUMBERS = [
    ("99900000011", "99900000011", False),
    ("99900000011 ", "99900000011", True),
    ("999 000 000 11", "99900000011", True),
    ("999.000.000.11", "99900000011", True),
    ("'99900000011", "99900000011", True),
    ("899900000011", "99900000011", True),
    (number("99900000011"), "99900000011", True),
    (number("99900000011.0"), "99900000011", True),
    (number("9.9900000011E10"), "99900000011", True),
    (number("1000000008"), "01000000008", True),
    ("9990000001", "9990000001", False),
    ("99900000012", "99900000012", False),
    ("9,99E+10", "9,99E+10", False),
    ("9990000OOI1", "9990000OOI1", False),
    ("991234567", "991234567", False),
    ("99900000011 / 99900000029", "99900000011 / 99900000029", False),
]


def test_a_rpps_loses_only_what_a_spreadsheet_added() -> None:
    read = read_lines(*({"rpps": written} for written, _, _ in NUMBERS)).lines
    told = [(rpps, repaired) for _, rpps, repaired in NUMBERS]
    assert read.select("rpps", "rpps_repaired").rows() == told, "F14"
    assert ["bordereau.rpps_repaired" in notes for notes in read["notes"].to_list()] == [repaired for _, repaired in told]


def test_two_numbers_in_one_cell_are_noted() -> None:
    assert one({"rpps": "99900000011 / 99900000029"})["notes"] == ["bordereau.two_numbers"]


def test_a_number_in_the_delegate_s_column_is_taken_when_there_is_no_other() -> None:
    assert one({"rpps": None, "delegate": "99900000011"})["rpps"] == "99900000011"


@pytest.mark.parametrize(
    ("key", "written", "value", "check"),
    [
        ("siret", "99900001100018", "99900001100018", ""),
        ("siret", number("99900001100018"), "99900001100018", None),
        ("siret", number("9.9900001100018E13"), "99900001100018", None),
        ("siret", "999 000 011 00018", "99900001100018", None),
        ("siret", "99900001100019", "99900001100019", "S06"),
        ("siret", "9,99E+13", "9,99E+13", "S06"),
        ("siret", "9990000110001", "9990000110001", "S06"),
        ("finess", number("990000010"), "990000010", None),
        ("finess", number("9.9E+08"), "990000000", "S06"),
        ("finess", "9.9E+08", "9.9E+08", "S06"),
        ("finess", "9,9E+08", "9,9E+08", "S06"),
        ("finess", number("10000008"), "010000008", None),
        ("finess", number("10000009"), "10000009", "S06"),
        ("finess", "2a0000154", "2A0000154", None),
        ("finess", "99000001O", "99000001O", "S06"),
    ],
)
def test_identifiers_of_the_header_are_restored_or_asked_about(key: str, written: Any, value: str, check: str | None) -> None:
    kind, text = ("n", written.text) if isinstance(written, Cell) else ("t", written)
    findings: list[Finding] = []
    read = identifier([Told(text, kind, "Bordereau!B2")], key.upper(), 14 if key == "siret" else 9, findings)
    assert read == value, "F06"
    assert [finding.check for finding in findings] == ([] if check == "" else [check])
    assert all(finding.message_fr.startswith("Bordereau!B2 : ") for finding in findings)


def test_keys_of_identifiers() -> None:
    assert finess_valid("2A0000154")
    assert finess_valid("990000010")
    assert not finess_valid("990000011")
    assert siret_valid("99900001100018")
    assert siret_valid("35600000000048"), "La Poste, by Luhn"
    assert siret_valid("35600000009075"), "La Poste, by the sum of its digits"
    assert not siret_valid("99900001100019")
    assert nir_valid("185057800608491")
    assert not nir_valid("185057800608492")


# --- texts


LABELS = [
    ("Cystite", "CYSTITE"), ("  CYSTITE  ", "CYSTITE"), ("Odynophagie", "ODYNO"), ("angine", "ODYNO"),
    ("Mal de gorge", "ODYNO"),
    ("Lombalgie aigue\u0308", "LOMBALGIE"), ("Entorse de la cheville", "CHEVILLE"), ("Rhino–conjonctivite", "RHINO"),
    ("\ufeffVaricelle", "VARICELLE"), ("Éruption  cutanée vésiculeuse", "VARICELLE"), ("Suture", None),
    ("Prot. gorge/cyst.", None),
]  # fmt: skip


def test_a_label_is_one_family_of_the_table_or_none() -> None:
    read = read_lines(*({"protocol": label} for label, _ in LABELS)).lines
    assert read["family"].to_list() == [family for _, family in LABELS]


def test_a_label_of_two_families_has_both_as_candidates() -> None:
    line = one({"protocol": "Prot. gorge/cyst."})
    assert (line["family"], sorted(line["family_candidates"]), line["label"]) == (
        None,
        ["CYSTITE", "ODYNO"],
        "Prot. gorge/cyst.",
    )


def test_an_act_is_read_and_defaults_by_protocol() -> None:
    read = read_lines(
        {"act": None}, {"act": None, "protocol": "Lombalgie"}, {"act": "2e consultation"}, {"act": "Revoyure"},
        {"act": "Pansement"},
        {"act": "Consultation 2 en urgence"},
    )  # fmt: skip
    acts = ["INCLUSION", "CONSULT_1", "CONSULT_2", "DELEGANT_REVISIT", None, "CONSULT_2"]
    assert read.lines["act"].to_list() == acts
    assert read.lines["emergency"].to_list() == [False] * 5 + [True]
    assert [notes == ["bordereau.act_default"] for notes in read.lines["notes"].to_list()][:3] == [True, True, False]
    assert read.lines["notes"].to_list()[4] == ["bordereau.act_unknown"]


def test_mojibake_is_noted_and_never_mended() -> None:
    line = one({"protocol": "Ã©ruption cutanÃ©e vÃ©siculeuse"})
    assert (line["family"], line["notes"]) == (None, ["bordereau.mojibake"])


def test_smart_quotes_and_formula_like_texts_stay_text() -> None:
    line = one({"delegate": '=HYPERLINK("x")', "ref": "@A’1"}, "csv")
    assert (line["delegate_raw"], line["ref"]) == ('=HYPERLINK("x")', "@A’1")
    assert json.loads(line["cells"])["delegate"]["raw"] == '=HYPERLINK("x")'


def test_cells_name_their_place_and_their_text_and_are_json() -> None:
    line = one({"delegate": 'a "b"\\c\nd'})
    told = json.loads(line["cells"])
    assert told["delegate"] == {"cell": f"D{FIRST_ROW}", "raw": 'a "b"\\c\nd'}
    assert told["date"]["raw"] == "2022-08-03"
    assert set(told) == {"protocol", "act", "date", "delegate", "rpps", "count", "unit", "amount", "ref"}


def test_negative_lines_and_a_wrong_unit_are_lines_like_others() -> None:
    read = read_lines({"amount": Decimal("-25")}, {"unit": Decimal("20")}, {"amount": None})
    assert read.lines["amount_cents"].to_list() == [-2500, 2500, None]
    assert read.lines["unit_cents"].to_list() == [2500, 2000, 2500]


def test_every_note_of_a_line_is_a_rule_with_a_french_label() -> None:
    read = read_rows(rows_of([LINE | {"amount": Cell("e", "#N/A"), "rpps": " 99900000011", "act": "?"}]))
    assert all(catalogue()[note].label_fr for note in read.lines["notes"].item())


def test_a_csv_read_in_cp1252_says_so() -> None:
    read = read_bordereau(write_csv(rows_of(lines({})), encoding="cp1252"), "envoi.csv", RECEIVED)
    assert [finding.rule for finding in read.findings] == ["bordereau.cp1252"]
    assert read.lines["delegate_raw"].item() == "Délégué 1"
