"""The reading of a spreadsheet's bytes: what is refused whole, by which rule, and with which place (FL1, FL2, FL4, FL5)."""

import io
import zipfile
from copy import copy
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from bordereaux import RECEIVED, lines, read_rows, refusal
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from connectors import sheets
from connectors.bordereau import read_bordereau
from connectors.sheets import Unreadable, read_sheets
from connectors.synthetic_bordereaux import Cell, Plan, bordereau, rows_of, sample_lines, write_csv, write_ods, write_xlsx

SOUND = write_xlsx([Plan(rows_of(lines({})))])


def repacked(content: bytes, **changes: bytes | None) -> bytes:
    """An archive with parts replaced, added, or (None) taken away."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, part in changes.items():
            if part is not None:
                new.writestr(name, part)
    return out.getvalue()


def part(name: str, content: bytes = SOUND) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(name)


SHEET = "xl/worksheets/sheet1.xml"

# --- FL1: sizes, archives, limits


def test_a_part_that_inflates_beyond_the_bound_is_refused_before_it_fills_memory() -> None:
    rule, message = refusal(repacked(SOUND, **{SHEET: b"<worksheet>" + b" " * (101 << 20)}))
    assert rule == "bordereau.FL1"
    assert message.startswith("envoi.xlsx : ")
    assert "Mio" in message


def test_an_archive_that_inflates_two_hundred_times_is_refused() -> None:
    rule, message = refusal(repacked(SOUND, **{"xl/media/a.bin": b"\0" * (20 << 20)}))
    assert (rule, "200 fois" in message) == ("bordereau.FL1", True)


def test_a_stated_size_that_lies_is_found_while_reading() -> None:
    content = bytearray(SOUND)
    with zipfile.ZipFile(io.BytesIO(SOUND)) as archive:
        size = archive.getinfo(SHEET).file_size
    for place in range(len(content)):
        if content[place : place + 4] == size.to_bytes(4, "little"):
            content[place : place + 4] = (size // 2).to_bytes(4, "little")
    rule, message = refusal(bytes(content))
    assert rule == "bordereau.FL1"
    assert "abîmée ou sa taille est fausse" in message


def test_two_entries_of_one_name_are_refused() -> None:
    out = io.BytesIO(SOUND)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(out, "a") as archive:
        archive.writestr(SHEET, part(SHEET))
    assert refusal(out.getvalue()) == (
        "bordereau.FL1",
        "envoi.xlsx : l'archive contient deux entrées du même nom : on ne sait laquelle lire",
    )


def test_a_nested_archive_is_refused() -> None:
    rule, message = refusal(repacked(SOUND, **{"xl/embeddings/annexe.xlsx": SOUND}))
    assert (rule, "autre archive" in message) == ("bordereau.FL1", True)


def test_more_than_a_thousand_entries_are_refused() -> None:
    rule, message = refusal(repacked(SOUND, **{f"xl/media/{number}.bin": b"x" for number in range(1001)}))
    assert (rule, "plus de 1000" in message) == ("bordereau.FL1", True)


def test_a_doctype_in_a_part_is_refused_by_name() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;">]>' + part(SHEET).replace(b"Cystite", b"&d;")
    rule, message = refusal(repacked(SOUND, **{SHEET: bomb}))
    assert (rule, "DOCTYPE" in message) == ("bordereau.FL1", True)


def test_entries_that_share_their_bytes_are_refused() -> None:
    """As in a bomb without nesting: every entry of the table of contents is the same kernel."""
    out = io.BytesIO(SOUND)
    with zipfile.ZipFile(out, "a") as archive:
        kernel = archive.getinfo(SHEET)
        for number in range(400):
            twin = copy(kernel)
            twin.filename = twin.orig_filename = f"xl/worksheets/sheet{number + 2}.xml"
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True  # type: ignore[attr-defined]
    rule, message = refusal(out.getvalue())
    assert (rule, "se recouvrent" in message) == ("bordereau.FL1", True)


def test_the_name_of_an_entry_is_never_a_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    names = ["../../piege.txt", f"{tmp_path}/piege.txt", "..\\..\\piege.txt", "C:\\piege.txt", "\\\\h\\p\\piege.txt"]
    out = io.BytesIO(repacked(SOUND, **dict.fromkeys(names, b"piege")))
    with zipfile.ZipFile(out, "a") as archive:
        link = zipfile.ZipInfo("xl/lien")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert read_bordereau(out.getvalue(), "envoi.xlsx", RECEIVED).lines.height == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


def test_a_sheet_whose_place_is_outside_of_the_workbook_is_not_looked_for_there() -> None:
    relations = part("xl/_rels/workbook.xml.rels").replace(b"worksheets/sheet1.xml", b"../../../../../../etc/passwd")
    rule, message = refusal(repacked(SOUND, **{"xl/_rels/workbook.xml.rels": relations}))
    assert (rule, "il manque la partie" in message) == ("bordereau.FL2", True)


def test_a_truncated_archive_is_refused() -> None:
    rule, message = refusal(SOUND[: len(SOUND) // 2])
    assert (rule, "tronquée" in message) == ("bordereau.FL1", True)


def test_a_reading_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(Unreadable, match="abandonnée") as caught:
        read_sheets(SOUND, timeout=0.001)
    assert caught.value.rule == "bordereau.FL1"


def test_a_child_that_dies_is_a_refusal_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets.sys, "executable", "/bin/false")
    with pytest.raises(Unreadable, match="limites de mémoire ou de temps"):
        read_sheets(SOUND)


# --- FL2: what the file really is


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html><table><tr><td>Protocole</td></tr></table></html>", "page HTML"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><html></html>", "page HTML"),
        (b"<?xml version='1.0'?><Workbook/>", "XML"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "ancien format binaire"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "mot de passe"),
        (b"%PDF-1.7 ", "PDF"),
        (b"\x1f\x8b\x08", "archive compressée"),
        (b"", "vide"),
        (b"  \r\n", "vide"),
        (repacked(SOUND, **{"xl/vbaProject.bin": b"x"}), "macros"),
        (repacked(SOUND, **{"[Content_Types].xml": b"<Types>vnd.ms-excel.sheet.macroEnabled.main+xml</Types>"}), "macros"),
        (repacked(SOUND, **{"xl/workbook.xml": None}), "pas un classeur"),
    ],
    ids=["html", "html_doctype", "xml", "xls", "password", "pdf", "gzip", "empty", "blank", "macros", "xlsm", "zip"],
)  # fmt: skip
def test_a_file_is_taken_for_what_it_is_and_not_for_its_name(content: bytes, said: str) -> None:
    rule, message = refusal(content, "envoi.xlsx")
    assert rule == "bordereau.FL2"
    assert message.startswith("envoi.xlsx : ")
    assert said in message


def test_a_workbook_under_the_name_of_a_csv_is_read() -> None:
    assert read_bordereau(SOUND, "envoi.csv", RECEIVED).lines.height == 1


# --- FL4: encodings


def test_a_byte_that_no_declared_encoding_reads_is_told_by_its_place() -> None:
    content = write_csv(rows_of(lines({}))).replace("Délégué".encode(), b"D\x81l")
    rule, message = refusal(content, "envoi.csv")
    assert rule == "bordereau.FL4"
    assert f"octet {content.index(0x81)} " in message


def test_a_byte_order_mark_binds_the_file_to_utf_8() -> None:
    content = b"\xef\xbb\xbf" + write_csv(rows_of(lines({}))).replace("é".encode(), b"\xe9")
    rule, message = refusal(content, "envoi.csv")
    assert (rule, "illisible en utf-8" in message) == ("bordereau.FL4", True)
    assert f"octet {content.index(0xE9)} " in message


def test_utf_16_is_read_with_its_mark_and_refused_without() -> None:
    text = write_csv(rows_of(lines({})), delimiter="\t").decode()
    assert read_bordereau(text.encode("utf-16"), "envoi.csv", RECEIVED).lines.height == 1
    rule, message = refusal(text.encode("utf-16-le"), "envoi.csv")
    assert (rule, "octet 1 : caractère NUL" in message) == ("bordereau.FL4", True)


def test_a_nul_is_refused_with_its_place() -> None:
    content = write_csv(rows_of(lines({}))).replace(b"Cystite", b"Cys\0ite")
    rule, message = refusal(content, "envoi.csv")
    assert (rule, f"octet {content.index(0)} " in message) == ("bordereau.FL4", True)


# --- FL5: the dialect of a CSV

CSV_ROWS = rows_of(lines({}, {}, {}))


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_each_declared_delimiter_is_found_even_beside_decimal_commas(delimiter: str) -> None:
    read = read_sheets(write_csv(CSV_ROWS, delimiter=delimiter))
    assert read.delimiter == delimiter
    assert (
        read_bordereau(write_csv(CSV_ROWS, delimiter=delimiter), "envoi.csv", RECEIVED).lines["amount_cents"].to_list()
        == [2500] * 3
    )


def test_a_delimiter_that_is_not_declared_is_refused() -> None:
    rule, message = refusal(write_csv(CSV_ROWS, delimiter="|").replace(b",", b"."), "envoi.csv")
    assert (rule, "aucun des séparateurs" in message) == ("bordereau.FL5", True)


def test_a_row_with_another_number_of_fields_is_told() -> None:
    rows = write_csv(CSV_ROWS).split(b"\r\n")
    rows[9] += b";de trop"
    rule, message = refusal(b"\r\n".join(rows), "envoi.csv")
    assert (rule, message.split(" (")[0]) == ("bordereau.FL5", "envoi.csv : ligne 10 : 11 champs au lieu de 10")


@pytest.mark.parametrize("cut", [3, 12, 25])
def test_a_file_cut_inside_a_row_is_refused(cut: int) -> None:
    rule, message = refusal(write_csv(CSV_ROWS)[: -cut - 2].rstrip(b"\r\n"), "envoi.csv")
    assert (rule, "ligne 11" in message) == ("bordereau.FL5", True)


def test_a_quote_that_never_closes_is_refused() -> None:
    rule, message = refusal(write_csv(CSV_ROWS).replace(b"Cystite", b'"Cystite', 1), "envoi.csv")
    assert (rule, "guillemet" in message) == ("bordereau.FL5", True)


def test_a_lone_carriage_return_is_refused() -> None:
    rule, message = refusal(write_csv(CSV_ROWS, newline="\r"), "envoi.csv")
    assert rule == "bordereau.FL5"
    assert "CR" in message


@pytest.mark.parametrize("sign", ["\u2028", "\u0085", "\u000b", "\u000c", "\u001c"])
def test_signs_that_unicode_takes_for_line_ends_do_not_end_a_line(sign: str) -> None:
    read = read_rows(rows_of(lines({"delegate": f"Délégué{sign}1"}, {})), "csv")
    assert read.lines.height == 2


def test_a_quoted_line_break_stays_inside_its_cell_and_rows_are_physical_lines() -> None:
    read = read_rows(rows_of(lines({"delegate": "Délégué\n1"}, {})), "csv")
    assert read.lines["row"].to_list() == [9, 11]
    assert read.lines["delegate_raw"].to_list() == ["Délégué 1", "Délégué 1"]


def test_a_field_longer_than_python_s_limit_is_read() -> None:
    read = read_rows(rows_of(lines({"comment": "x" * 200_000}, {})), "csv")
    assert read.lines.height == 2


def test_mixed_line_ends_and_a_last_line_without_end_are_read() -> None:
    content = write_csv(CSV_ROWS).replace(b"\r\n", b"\n", 5).removesuffix(b"\r\n")
    assert read_bordereau(content, "envoi.csv", RECEIVED).lines.height == 3


# --- cells as evidence


def test_percentages_errors_and_formulas_without_value_keep_their_kind() -> None:
    cells = [Cell("p", "0.25"), Cell("e", "#N/A"), Cell("f", "=B2*25"), Cell("c", "=1+1", "2"), Cell("n", "9.9E+08"), "texte"]
    for fmt, content in (("xlsx", write_xlsx([Plan([cells])])), ("ods", write_ods([Plan([cells])]))):
        found = read_sheets(content).sheets[0].cells
        assert found["kind"].to_list() == ["p", "e", "f", "n", "n", "t"], fmt
        assert found["formula"].to_list()[2:4] == [True, True], fmt
        assert found["text"].to_list() == ["0.25", "#N/A", "=B2*25", "2", "9.9E+08", "texte"], fmt


def test_workbooks_of_other_writers_are_read_alike() -> None:
    rows = rows_of(lines({"act": None}, {"act": None}))
    plain = [[str(value) if value is not None else None for value in row] for row in rows]
    book = openpyxl.Workbook()
    for row in plain:
        book.active.append(row)
    book.active.title = "Bordereau"
    of_openpyxl, of_xlsxwriter, of_odfpy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    book.save(of_openpyxl)
    with xlsxwriter.Workbook(of_xlsxwriter) as other:
        sheet = other.add_worksheet("Bordereau")
        for number, row in enumerate(plain):
            for column, value in enumerate(row):
                if value is not None:
                    sheet.write_string(number, column, value)
    document = OpenDocumentSpreadsheet()
    table = Table(name="Bordereau")
    for row in plain:
        line = TableRow()
        for value in row:
            cell = TableCell(valuetype="string")
            cell.addElement(P(text=value or ""))
            line.addElement(cell)
        table.addElement(line)
    document.spreadsheet.addElement(table)
    document.write(of_odfpy)
    read = [read_bordereau(out.getvalue(), "envoi", RECEIVED) for out in (of_openpyxl, of_xlsxwriter, of_odfpy)]
    assert [found.lines["amount_cents"].to_list() for found in read] == [[2500, 2500]] * 3
    assert read[0].lines.equals(read[1].lines)
    assert read[0].lines.equals(read[2].lines)


def test_a_dimension_that_lies_changes_nothing() -> None:
    lying = part(SHEET).replace(b"<sheetData>", b'<dimension ref="A1:A1"/><sheetData>')
    assert read_bordereau(repacked(SOUND, **{SHEET: lying}), "envoi.xlsx", RECEIVED).lines.height == 1


def test_a_million_repeated_empty_rows_cost_nothing_and_repeated_filled_ones_are_bounded() -> None:
    content = write_ods([Plan(rows_of(lines({})))], empty_rows=1_048_000)
    assert read_bordereau(content, "envoi.ods", RECEIVED).lines.height == 1
    filled = part("content.xml", content).replace(
        b'<table:table-row><table:table-cell office:value-type="string"><text:p>Cystite',
        b'<table:table-row table:number-rows-repeated="1048576"><table:table-cell office:value-type="string"><text:p>Cystite',
    )
    rule, _ = refusal(repacked(content, **{"content.xml": filled}), "envoi.ods")
    assert rule == "bordereau.FL1"


def test_fifty_thousand_lines_are_all_read() -> None:
    read = read_bordereau(bordereau(sample_lines(50_000), "csv"), "envoi.csv", RECEIVED)
    assert (read.lines.height, read.header["sum_of_totals_rows_cents"]) == (50_000, 125_000_000)
