"""The reading of e-CDS extractions: canonical frames, the entry journal, every trap of the contract, no line lost."""

import io
import random
from collections.abc import Callable
from datetime import UTC, date, datetime

import openpyxl
import polars as pl
import pytest

from connectors import ecds, synthetic_ecds
from connectors.bordereau_values import finess_valid, luhn_valid
from connectors.ecds_table import EcdsRefused
from contracts_schema import ecds as facts

DAY = "_2025_2026_03_02.csv"
RFS, ROSP, STAFF, IDENTITY = f"ECDS_rfs{DAY}", f"ECDS_rosp{DAY}", f"ECDS_professionnels{DAY}", f"ECDS_identification{DAY}"


def text(section: str = "rosp", centres: int = 3) -> str:
    rows = [row for one in synthetic_ecds.centres(centres) for row in one[section]]
    return synthetic_ecds.section_bytes(section, rows).decode()


def rosp(
    *lines: str, head: str = "finess_et;annee_exercice;code_indicateur;numerateur;denominateur;horodatage_saisie"
) -> ecds.Section:
    return ecds.read_section("\n".join([head, *lines, ""]).encode(), ROSP)


def entry(
    number: str = "990000010", told: str = "10;20", at: str = "2026-01-20T10:00:00+01:00", code: str = "AD-CHR-RCV"
) -> str:
    return f"{number};2025;{code};{told};{at}"


def said(section: ecds.Section) -> set[tuple[str, str]]:
    return {(one.rule, one.case) for one in section.findings}


def whole(section: ecds.Section) -> None:
    assert section.received == section.rows.height + section.apart.height + section.repeated


# --- what is read


def test_synthetic_identifiers_are_of_department_99_and_have_a_right_key() -> None:
    assert all(finess_valid(synthetic_ecds.finess(number)) for number in range(1, 3000, 37))
    assert all(luhn_valid(synthetic_ecds.rpps(number)) and len(synthetic_ecds.rpps(number)) == 11 for number in range(99))
    assert synthetic_ecds.finess(1).startswith("99")


def test_an_extraction_of_five_sections_gives_canonical_frames_and_all_its_lines() -> None:
    found = ecds.read_extraction(synthetic_ecds.demo())
    assert (found.year, found.extracted_on, found.missing) == (2025, date(2026, 3, 2), ())
    for section in found.sections.values():
        whole(section)
        assert section.apart.is_empty(), section.name
        names = [column.name for column in facts.sections()[section.name].columns]
        assert set(names) <= set(section.rows.columns)
    identity = found.sections["identification"].rows.row(0, named=True)
    assert (identity["opened_on"], identity["closed_on"], identity["siren"]) == (date(2016, 4, 1), None, identity["siret"][:9])
    assert found.sections["horaires"].rows["opens"][0] == 8 * 60
    assert found.sections["professionnels"].rows["fte_centi"].is_between(20, 100).all()


def test_a_section_that_did_not_come_is_missing_and_not_empty() -> None:
    found = ecds.read_extraction({name: body for name, body in synthetic_ecds.demo().items() if "rosp" not in name})
    assert found.missing == ("rosp",)
    assert found.frames()["rosp"] is None


def test_every_entry_of_the_journal_is_kept_with_its_instant_in_utc() -> None:
    found = rosp(entry(at="2026-01-31T23:30:00Z"), entry(at="2026-02-01T00:30:00+01:00", told="11;20"),
                 entry(at="2026-01-31 23:30", told="12;20"), entry(at="", told="13;20"))  # fmt: skip
    assert found.apart.height == 2, "the first two are the same instant"
    assert found.rows["entered_at"].to_list() == [datetime(2026, 1, 31, 22, 30, tzinfo=UTC), None]
    assert found.rows["zone_assumed"].to_list() == [True, False]
    assert ("cds.CDS58", "form") in said(found)


def test_an_xlsx_says_the_same_as_the_csv() -> None:
    csv = text()
    book = openpyxl.Workbook()
    for line in csv.split("\r\n")[:-1]:
        cells = line.split(";")
        book.active.append([int(cell) if cell.isdigit() and place in (1, 3, 4) else cell for place, cell in enumerate(cells)])
    told = io.BytesIO()
    book.save(told)
    other = ecds.read_section(told.getvalue(), ROSP.replace(".csv", ".xlsx"))
    assert other.rows.drop("file").equals(ecds.read_section(csv.encode(), ROSP).rows.drop("file"))


@pytest.mark.parametrize(
    "change", [lambda t: "\ufeff" + t, lambda t: t.replace("\r\n", "\n"), lambda t: t.replace("\r\n", "\r\n\r\n")]
)
def test_a_byte_order_mark_the_ends_of_lines_and_blank_lines_change_nothing(change: Callable[[str], str]) -> None:
    plain, other = ecds.read_section(text().encode(), ROSP), ecds.read_section(change(text()).encode(), ROSP)
    assert other.rows.drop("line").equals(plain.rows.drop("line"))


def test_a_field_in_quotes_may_hold_a_separator_a_quote_and_a_line_break() -> None:
    body = text("identification", 2).replace("Centre de santé fictif 1", '"Centre ; ""Le Pré""\r\nbâtiment B"')
    found = ecds.read_section(body.encode(), IDENTITY)
    assert found.rows["legal_name"][0] == 'Centre ; "Le Pré"\r\nbâtiment B'
    assert found.rows["line"].to_list() == [2, 4]


def test_the_two_ways_of_cutting_lines_read_the_same() -> None:
    body = text("professionnels")
    quoted = body.replace(";salarie;", ';"salarie";')
    assert ecds.read_section(quoted.encode(), STAFF).rows.equals(ecds.read_section(body.encode(), STAFF).rows)


# --- headings


def test_headings_with_accents_capitals_and_aliases_are_known_and_told() -> None:
    found = rosp(entry(), head=" Finess ET;Année exercice;Code_Indicateur;Numérateur;dénominateur;horodatage_saisie")
    assert found.rows.height == 1
    assert sum(one.rule == "cds.CDS58" and one.case == "default" for one in found.findings) == 5
    assert (
        rosp(entry(), head="Finess;annee_exercice;code_indicateur;numerateur;denominateur;horodatage_saisie").rows.height == 1
    )


def test_an_unknown_column_is_kept_and_reported() -> None:
    found = rosp(
        entry() + ";x", head="finess_et;annee_exercice;code_indicateur;numerateur;denominateur;horodatage_saisie;Remarque"
    )
    assert found.rows["others"].to_list() == ['{"remarque":"x"}']
    assert [one.reason_fr for one in found.findings] == [f"{ROSP} : colonne inconnue « Remarque », gardée à part."]


# --- lines set aside


def test_a_decimal_comma_sets_its_line_aside_and_the_others_are_read() -> None:
    lines = text("professionnels", 1).split("\r\n")
    lines[3] = lines[3].replace("0.", "0,").replace("1.00", "1,00")
    found = ecds.read_section("\r\n".join(lines).encode(), STAFF)
    whole(found)
    assert found.apart.select("line", "rule", "column").rows() == [(4, "cds.CDS57", "etp")]
    (told,) = [one for one in found.findings if one.rule == "cds.CDS57"]
    assert (told.case, told.effect) == ("decimal_comma", "quarantine_row")
    assert told.reason_fr == f"{STAFF} : virgule décimale, ligne(s) 4, colonne etp ; ces lignes sont mises à l'écart."


def test_a_line_with_too_many_or_too_few_fields_is_set_aside_with_its_number() -> None:
    for body in (text(), text().replace("990000010;2025", '"990000010";2025')):
        lines = body.split("\r\n")
        lines[2], lines[5] = lines[2] + ";", lines[5].rsplit(";", 1)[0]
        found = ecds.read_section("\r\n".join(lines).encode(), ROSP)
        whole(found)
        assert found.apart["line"].to_list() == [3, 6]


@pytest.mark.parametrize(
    ("told", "at", "column"),
    [("dix;20", "2026-01-20T10:00:00Z", "numerateur"), ("10;20", "20/01/2026 10:00", "horodatage_saisie"),
     ("10;20", "2026-13-20T10:00:00Z", "horodatage_saisie"), ("10;20", "2026-01-20", "horodatage_saisie"),
     ("10;20", "2026-03-29T02:30:00", "horodatage_saisie")],
)  # fmt: skip
def test_a_value_that_its_column_cannot_take_sets_its_line_aside(told: str, at: str, column: str) -> None:
    found = rosp(entry(), entry(told=told, at=at))
    assert found.apart.select("line", "column").rows() == [(3, column)]
    assert ("cds.CDS57", "unreadable_value") in said(found)


def test_a_count_that_is_not_whole_is_kept_for_the_rule_that_tells_it() -> None:
    found = rosp(entry(told="10.5;20"), entry(told="-1;20.0", code="AD-CHR-PIEDS"))
    assert found.rows.select("numerator", "numerator_raw", "denominator").rows() == [(None, "10.5", 20), (-1, "-1", 20)]


def test_days_as_in_france_are_read_and_told_and_no_day_is_read_month_first() -> None:
    body = text("identification", 2).replace("2016-04-01", "01/04/2016", 1)
    found = ecds.read_section(body.encode(), IDENTITY)
    assert found.rows["opened_on"].to_list() == [date(2016, 4, 1)] * 2
    assert ("cds.CDS58", "form") in said(found)
    assert ecds.read_section(body.replace("01/04/2016", "04/13/2016").encode(), IDENTITY).apart["line"].to_list() == [2]


@pytest.mark.parametrize(
    ("raw", "centi"),
    [("0.30000000000000004", 30), ("0.285", 28), ("0.275", 28), ("0.2851", 29),
     ("0.5", 50), ("1", 100), ("-0.015", -2), ("0.995", 100)],
)  # fmt: skip
def test_more_decimals_than_the_contract_are_rounded_half_to_even_and_the_text_is_kept(raw: str, centi: int) -> None:
    lines = text("professionnels", 1).split("\r\n")
    cells = lines[1].split(";")
    cells[5] = raw
    found = ecds.read_section("\r\n".join([lines[0], ";".join(cells), ""]).encode(), STAFF)
    noisy = len(raw.partition(".")[2]) > 2
    assert found.rows.select("fte_centi", "fte_centi_raw").row(0) == (centi, raw if noisy else None)
    assert (("cds.CDS59", "default") in said(found)) == noisy


def test_rates_keep_four_decimals_rounded_half_to_even() -> None:
    told = {"0.30000000000000004": 3000, "0.12345": 1234, "0.12355": 1236, "0.5": 5000}
    for raw, rate in told.items():
        lines = text("identification", 1).split("\r\n")
        cells = lines[1].split(";")
        cells[lines[0].split(";").index("taux_precarite")] = raw
        found = ecds.read_section("\r\n".join([lines[0], ";".join(cells), ""]).encode(), IDENTITY)
        assert found.rows["precarity_e4"].to_list() == [rate]


def test_identical_lines_are_one_and_lines_of_one_key_with_other_values_are_all_aside() -> None:
    found = rosp(entry(), entry(), entry(told="1;5", code="EN-PREV-IMC"), entry(told="2;5", code="EN-PREV-IMC"))
    whole(found)
    assert (found.rows["line"].to_list(), found.repeated) == ([2], 1)
    assert found.apart.select("line", "rule").rows() == [(4, "cds.CDS60"), (5, "cds.CDS60")]
    assert {("cds.CDS60", "identical"), ("cds.CDS60", "default")} <= said(found)


def test_numbers_keep_their_zeros_and_their_letters() -> None:
    found = rosp(entry("01 000 001 5"), entry("2a9900015"), entry("10000015"))
    assert found.rows["finess_et"].to_list() == ["010000015", "2A9900015", "10000015"]


# --- files refused


REFUSED = {
    "another separator": (lambda t: t.replace(";", ","), "cds.CDS57", "séparateur « ; » attendu"),
    "another encoding": (lambda t: t.replace("AD-CHR-RCV", "é", 1).encode("cp1252"), "cds.CDS57", r"octet \d+ \(ligne 3\)"),
    "a heading twice": (lambda t: t.replace("numerateur", "Finess", 1), "cds.CDS57", "colonne « finess_et » deux fois"),
    "an unknown template": (lambda t: t.replace("horodatage_saisie", "le"), "cds.CDS57", "absentes : horodatage_saisie"),
    "an open quote": (lambda t: t.replace("AD-CHR-PIEDS", '"AD-CHR-PIEDS', 1), "cds.CDS57", "guillemets"),
    "another year": (lambda t: t.replace(";2025;", ";2024;", 1), "cds.CDS20", r"2024 \(ligne 2, colonne annee_exercice\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_of_which_no_line_can_be_trusted_is_refused_with_its_name_the_place_and_the_rule(name: str) -> None:
    change, rule, told = REFUSED[name]
    body = change(text())
    with pytest.raises(EcdsRefused, match=told) as refused:
        ecds.read_section(body if isinstance(body, bytes) else body.encode(), ROSP)
    assert refused.value.rule == rule
    assert str(refused.value).startswith(ROSP)


@pytest.mark.parametrize(
    "name",
    [
        "ECDS_autre_2025_2026_03_02.csv",
        "ECDS_rosp_2025.csv",
        "rosp.csv",
        "ECDS_rosp_2025_2026_02_30.csv",
        "ECDS_rosp_2025_2026_03_02.txt",
    ],
)
def test_a_name_that_is_not_of_the_contract_is_refused(name: str) -> None:
    with pytest.raises(EcdsRefused, match=r"nom attendu|n'existe pas"):
        ecds.read_section(text().encode(), name)


def test_a_set_is_of_one_year_and_one_extraction() -> None:
    good = synthetic_ecds.demo()
    year = {RFS.replace("_2025_", "_2024_"): good[RFS]} | {ROSP: good[ROSP]}
    with pytest.raises(EcdsRefused, match="2025") as refused:
        ecds.read_extraction(year)
    assert refused.value.rule == "cds.CDS20"
    with pytest.raises(EcdsRefused, match="jours différents"):
        ecds.read_extraction({RFS: good[RFS], ROSP.replace("03_02", "03_03"): good[ROSP]})
    with pytest.raises(EcdsRefused, match="en double"):
        ecds.read_extraction({ROSP: good[ROSP], ROSP.lower(): good[ROSP]})


def test_garbage_is_refused_or_accounted_for_and_never_crashes() -> None:
    draw = random.Random(7)
    body = bytearray(text().encode())
    for _ in range(60):
        spoiled = bytearray(body)
        for _ in range(draw.randrange(1, 8)):
            spoiled[draw.randrange(len(spoiled))] = draw.choice(b';"\r\n,0A\xe9')
        try:
            whole(ecds.read_section(bytes(spoiled), ROSP))
        except EcdsRefused:
            continue


def test_frames_without_lines_have_the_types_of_the_contract() -> None:
    empty, full = rosp(), rosp(entry())
    assert empty.rows.schema == full.rows.schema
    assert full.rows.schema["entered_at"] == pl.Datetime("us", "UTC")
