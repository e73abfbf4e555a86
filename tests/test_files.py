"""The files of a publication: each opens in the tools of its readers, says the same, and never disagrees with its manifest."""

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import frictionless
import jsonschema
import openpyxl
import polars as pl
import pytest
import yaml
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts_schema.french import euros, euros_of
from contracts_schema.odcs import odcs, odcs_yaml
from contracts_schema.products import Column, Mask, Product, RowCheck, Table, products
from warehouse import products as made
from warehouse import workbook
from warehouse.log import Event
from warehouse.masking import TYPES
from warehouse.recipients import Recipient
from warehouse.workbook_notes import Unshowable, constraints_fr

FORMULAS = ['=HYPERLINK("http://x.example";"cliquer")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "＝1+1", "'=1"]
ODD = [
    "007",
    "2A0000014",
    "1E5",
    "",
    " bords ",
    "a & b < c > d",
    "ligne 1\nligne 2",
    "\x01\x0b",
    "_x0041_",
    "é€𝄞",
    "TRUE",
    "#N/A",
]

LINE = Table(
    name="line",
    view="out_test__line",
    label_fr="Lignes à payer",
    keys=("code",),
    columns=(
        Column("code", "string", "public", "Code", {"required": True}),
        Column("year", "integer", "public", "Année", {"required": True, "minimum": 2015, "maximum": 2100}),
        Column("paid_on", "date", "public", "Payé le", {"minimum": date(2015, 1, 1)}),
        Column("stays", "integer", "aggregate", "Séjours", {"minimum": 0}),
        Column(
            "due", "integer", "aggregate", "Montant à payer", {"minimum": -100000000000000, "maximum": 900000000000000}, "euro"
        ),
        Column("rate", "number", "aggregate", "Taux (%)", {"minimum": 0, "maximum": 100}, "percent"),
        Column("firm", "boolean", "public", "Ferme", {"required": True}),
        Column("masked", "boolean", "public", "Masqué", {"required": True}),
    ),
    mask=(Mask(hides=("stays", "rate"), counts=("stays",)),),
    checks=(RowCheck("due_needs_stays", "Pas de montant sans séjour", "due is null or stays is null or stays > 0"),),
    explained_by="",
    measures={},
)
PRODUCT = Product("test-lines", "cpam", "Lignes d'essai", "Lignes fictives, pour essai.", "code", (LINE,), "code")
CPAM = Recipient("cpam", "311")
RECEIPT = made.Receipt(41, "ab" * 32, "2026-03-31T22:30:00.000000Z")
CENTS = [0, 1, -1, 10, 123_456_789, -99_999_999_999_999, 899_999_999_999_999, None]


def lines(codes: list[str], **columns: list[Any]) -> pl.DataFrame:
    size = len(codes)
    given = {
        "code": codes,
        "year": [2026] * size,
        "paid_on": [date(2026, 2, 28)] * size,
        "stays": [1234] * size,
        "due": [100] * size,
        "rate": [Decimal("12.50")] * size,
        "firm": [True] * size,
        "masked": [False] * size,
    } | columns
    return pl.DataFrame(given, schema={column.name: TYPES[column.type] for column in LINE.columns})


def publication(rows: pl.DataFrame, number: int = 1, **changes: Any) -> made.Publication:
    manifest = made.manifest(CPAM, PRODUCT, number, RECEIPT, {"out_test__line": "cd" * 32}, "ef" * 32, {})
    return replace(made.Publication(CPAM.name, PRODUCT, {"line": rows}, manifest), **changes)


def written(folder: Path, rows: pl.DataFrame, **changes: Any) -> Event:
    """A publication in a folder, and the event that tells of it."""
    folder.mkdir()
    told = publication(rows, **changes)
    hashes = made.write(folder, told, {})
    tables = {"line": {"rows": rows.height, "masked_rows": 0, "files": hashes["line"]}}
    data = {
        "number": 1,
        "tables": tables,
        "manifest": made.manifest_hash(folder),
        "documents": made.document_hashes(folder, ()),
        "content": made.content_hash(told),
    }
    return Event(42, told.stream, 1, "ProductPublished", data, {}, "2026-04-01T00:00:00.000000Z", "key", "hash")


def sheet_of(path: Path, name: str = "Données") -> Any:
    return openpyxl.load_workbook(path)[name]


def body(path: Path, name: str = "Données") -> list[list[Any]]:
    return [[cell.value for cell in row] for row in sheet_of(path, name).iter_rows(min_row=2)]


# --- the workbook


def test_the_workbook_has_french_headers_kept_in_sight_filters_and_four_sheets(tmp_path: Path) -> None:
    written(tmp_path / "1", lines(["a", "b", "c"]))
    book = openpyxl.load_workbook(tmp_path / "1" / "line.xlsx")
    assert book.sheetnames == ["À lire", "Données", "Dictionnaire", "Provenance"]
    sheet = book["Données"]
    assert [cell.value for cell in sheet[1]] == [column.label_fr for column in LINE.columns]
    assert (sheet.freeze_panes, sheet.auto_filter.ref, sheet.dimensions) == ("E2", "A1:H4", "A1:H4")
    assert book["Dictionnaire"].freeze_panes == "B2"
    assert (book.properties.title, book.properties.created) == (
        "Lignes d'essai — CPAM 311",
        datetime(2026, 3, 31, 22, 30),  # noqa: DTZ001
    )


SUMMED = replace(LINE, use_fr="Trier par code : le premier d'abord.", by="firm", sums=("due",))


def test_the_first_sheet_says_what_the_file_is_and_its_sums_apart_from_the_data(tmp_path: Path) -> None:
    rows = lines(["a", "b", "c", "d"], due=[-5, 1_234_510, None, None], firm=[True, True, True, False])
    product = replace(PRODUCT, tables=(SUMMED,))
    written(tmp_path / "1", rows, product=product)
    path = tmp_path / "1" / "line.xlsx"
    sheet = sheet_of(path, "À lire")
    told = {row[0].value: row[1].value for row in sheet.iter_rows(max_col=2) if row[0].value}
    assert list(told)[:6] == ["Lignes à payer", "Ce fichier", "Pour", "Données connues au", "Contenu", "Que faire"]
    assert told["Pour"] == "CPAM 311, publication n°\u00a01"
    assert told["Données connues au"] == "01/04/2026 à 00:30:00 (heure de Paris)"
    assert told["Contenu"] == "4 lignes, feuille Données"
    assert told["Que faire"] == "Trier par code\u00a0: le premier d'abord."
    figures = [[cell.value for cell in row[:3]] for row in sheet.iter_rows(min_row=9)]
    assert figures[:4] == [
        ["Ferme", "Lignes", "Montant à payer"],
        ["Oui", 3, 12345.05],
        ["Non", 1, None],
        ["Total", 4, 12345.05],
    ]
    assert "Montant à payer (2 lignes)" in figures[5][0], "no value is not a zero"
    assert len(body(path)) == 4, "no sum stands under the data"
    resources = json.loads((tmp_path / "1" / "datapackage.json").read_text())["resources"]
    assert [one["ecluse"]["sums"] for one in resources if "ecluse" in one] == [{"due": 1_234_505}] * 3


def test_an_empty_table_says_so_on_its_first_sheet(tmp_path: Path) -> None:
    written(tmp_path / "1", lines([]), product=replace(PRODUCT, tables=(SUMMED,)))
    told = {row[0]: row[1] for row in sheet_of(tmp_path / "1" / "line.xlsx", "À lire").iter_rows(max_col=2, values_only=True)}
    assert (told["Contenu"], told["Total"]) == ("aucune ligne\u00a0: rien de ce que le hub a reçu n'y entre", 0)


def test_every_table_says_what_to_do_with_it_and_sums_no_column_that_is_masked() -> None:
    for product in products().values():
        for table in product.tables:
            names = {column.name: column for column in table.columns}
            assert table.use_fr.endswith((".", "!"))
            assert table.by in {"", *names}
            assert {names[name].unit for name in table.sums} <= {"euro"}
            assert not set(table.sums) & {name for mask in table.mask for name in mask.hides}
            assert all(set(words) == set(names[name].constraints["enum"]) for name, words in table.words.items())


def test_codes_are_text_numbers_are_numbers_dates_are_dates_and_booleans_are_words(tmp_path: Path) -> None:
    written(tmp_path / "1", lines(["007"], firm=[False]))
    row = sheet_of(tmp_path / "1" / "line.xlsx")[2]
    assert [cell.value for cell in row] == ["007", 2026, datetime(2026, 2, 28), 1234, 1, 12.5, "Non", "Non"]  # noqa: DTZ001
    assert [cell.data_type for cell in row] == ["s", "n", "d", "n", "n", "n", "s", "s"]
    assert [cell.number_format for cell in row[:6]] == ["@", "0", "dd/mm/yyyy", "#,##0", "#,##0.00\\ [$€-40C]", "#,##0.00"]


def test_no_text_ever_becomes_a_formula_and_all_come_back_as_they_are(tmp_path: Path) -> None:
    texts = [*FORMULAS, *ODD]
    written(tmp_path / "1", lines(texts))
    path = tmp_path / "1" / "line.xlsx"
    sheet = sheet_of(path)
    assert {cell.data_type for row in sheet.iter_rows(min_row=2, max_col=1) for cell in row if cell.value} == {"s"}
    with zipfile.ZipFile(path) as book:
        assert not any(b"<f>" in book.read(name) for name in book.namelist())
    assert [unescaped(row[0] or "") for row in body(path)] == texts


def unescaped(text: str) -> str:
    """What Excel shows of a stored text: it reads _xHHHH_, and openpyxl leaves it."""
    from openpyxl.utils.escape import unescape

    return str(unescape(text))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
def test_any_text_comes_back_from_the_workbook(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "line.xlsx"
    workbook.write(path, LINE, lines(texts), ABOUT)
    assert [unescaped(row[0] or "") for row in body(path)] == texts


ABOUT = workbook.About("Essai", datetime(2026, 1, 1), {"Publication": {"Produit": "Essai"}})  # noqa: DTZ001


def test_cents_are_shown_in_euros_to_the_cent(tmp_path: Path) -> None:
    written(tmp_path / "1", lines([str(cents) for cents in CENTS], due=CENTS))
    shown = [row[4] for row in body(tmp_path / "1" / "line.xlsx")]
    assert [None if euros is None else round(Decimal(str(euros)) * 100) for euros in shown] == CENTS
    with zipfile.ZipFile(tmp_path / "1" / "line.xlsx") as book:
        xml = book.read("xl/worksheets/sheet2.xml")
    assert b"<v>-999999999999.99</v>" in xml
    assert b"<v>0.01</v>" in xml
    assert b"<v>-0.01</v>" in xml


def test_amounts_are_told_alike_one_by_one_and_by_the_column() -> None:
    cents = pl.DataFrame({"cents": [*CENTS, 99_999, -100_000, 99_999_999, 123_456_789_012]})
    told = cents.select(told=euros_of(pl.col("cents")))["told"].to_list()
    assert told == [None if one is None else euros(one) for one in cents["cents"]]


def test_a_column_is_wide_enough_for_its_longest_number(tmp_path: Path) -> None:
    for cents, rate in ((899_999_999_999_999, Decimal("100.00")), (-(10**14), None)):
        path = tmp_path / f"{cents}.xlsx"
        workbook.write(path, LINE, lines(["a"], due=[cents], rate=[rate]), ABOUT)
        shown = f"-{abs(cents) / 100:,.2f} €"
        assert sheet_of(path).column_dimensions["E"].width > len(shown)


def test_a_masked_cell_is_empty_and_grey_and_another_empty_cell_is_not(tmp_path: Path) -> None:
    rows = lines(["a", "b"], stays=[None, None], rate=[None, None], due=[None, None], masked=[True, False])
    written(tmp_path / "1", rows)
    hidden, empty = list(sheet_of(tmp_path / "1" / "line.xlsx").iter_rows(min_row=2))
    assert [cell.value for cell in hidden[3:6] + empty[3:6]] == [None] * 6
    assert [cell.fill.fgColor.rgb for cell in hidden[3:6]] == ["FFD9D9D9", "00000000", "FFD9D9D9"]
    assert {cell.fill.fgColor.rgb for cell in empty} == {"00000000"}


def test_the_dictionary_says_what_the_contract_does(tmp_path: Path) -> None:
    written(tmp_path / "1", lines(["a"]))
    rows = body(tmp_path / "1" / "line.xlsx", "Dictionnaire")
    assert [row[1] for row in rows[: len(LINE.columns)]] == [column.name for column in LINE.columns]
    told = {row[1]: row for row in rows}
    assert told["code"][2:5] == ["texte", "", "1"]
    assert told["paid_on"][5] == "peut être vide ; au moins 01/01/2015"
    assert told["due"][3] == "euro (centimes entiers dans les fichiers CSV et Parquet)"
    thin = "\u202f"
    assert (
        told["due"][5].replace(thin, " ")
        == "peut être vide ; au moins -1 000 000 000 000,00 € ; au plus 9 000 000 000 000,00 €"
    )
    assert [told[name][7] for name in ("stays", "rate", "due")] == ["Oui", "Oui", "Non"]
    assert rows[-1][0] == "Contrôle de chaque ligne : Pas de montant sans séjour."


def test_every_column_of_every_product_can_be_said_in_french_under_a_label_of_its_own() -> None:
    for product in products().values():
        for table in product.tables:
            labels = [column.label_fr for column in table.columns]
            assert len(set(labels)) == len(labels)
            for column in table.columns:
                assert {"required", "minimum", "maximum", "minLength", "maxLength", "enum", "pattern"} >= set(
                    column.constraints
                )
                assert "^" not in constraints_fr(column)


def test_the_provenance_says_which_publication_of_what_log_in_paris_time(tmp_path: Path) -> None:
    written(tmp_path / "1", lines(["a"]), provenance={"Transmissions": {"990000010 · 2025 · M2": "12" * 32}})
    told = dict(row[:2] for row in body(tmp_path / "1" / "line.xlsx", "Provenance"))
    assert told["Destinataire"] == "cpam-311"
    assert told["Numéro"] == "1"
    assert (told["Position"], told["Empreinte"]) == ("41", "ab" * 32)
    assert told["Données connues au"] == "01/04/2026 à 00:30:00 (heure de Paris)"
    assert told["publication.small_cell_threshold"] == "11 — statut : proposition"
    assert told["990000010 · 2025 · M2"] == "12" * 32
    assert told["Expliquer une ligne"] == "ecluse explain cpam-311/test-lines line code=… --publication 1"


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_files import CENTS, lines, written
written(Path(sys.argv[1]), lines([str(cents) for cents in CENTS], due=CENTS))
"""


def test_the_same_content_gives_the_same_bytes_in_another_process_and_time_zone(tmp_path: Path, program: Program) -> None:
    written(tmp_path / "here", lines([str(cents) for cents in CENTS], due=CENTS))
    assert program(WRITE, str(tmp_path / "there"), PYTHONHASHSEED="7", TZ="Pacific/Noumea").wait(timeout=600) == 0
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there"))
    assert here == there
    assert sorted(here) == ["contract.odcs.yaml", "datapackage.json", "line.csv", "line.parquet", "line.xlsx"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("code", "x" * 32_768),
        ("code", "𝄞" * 16_384),
        ("stays", 10**15),
        ("due", -(10**15)),
        ("paid_on", date(1900, 2, 28)),
    ],
)
def test_what_a_cell_would_cut_or_round_is_refused_without_being_quoted(tmp_path: Path, column: str, value: Any) -> None:
    with pytest.raises(Unshowable, match=rf"line\.{column} holds .*leave xlsx out") as refused:
        workbook.write(tmp_path / "line.xlsx", LINE, lines(["a"], **{column: [value]}), ABOUT)
    assert str(value)[:10] not in str(refused.value).replace("1900-03-01", "")
    assert not (tmp_path / "line.xlsx").exists()


def test_what_just_fits_a_cell_is_written_whole(tmp_path: Path) -> None:
    texts = ["x" * 32_767, "𝄞" * 16_383]
    workbook.write(tmp_path / "line.xlsx", LINE, lines(texts, stays=[10**15 - 1] * 2, paid_on=[date(1900, 3, 1)] * 2), ABOUT)
    rows = body(tmp_path / "line.xlsx")
    assert [row[0] for row in rows] == texts
    assert rows[0][2:4] == [datetime(1900, 3, 1), 10**15 - 1]  # noqa: DTZ001


def test_rows_beyond_a_sheet_go_on_in_the_next_and_each_sheet_is_a_resource(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "MAX_ROWS", 10)
    monkeypatch.setattr(workbook, "BLOCK", 3)
    codes = [f"{place:03}" for place in range(21)]
    event = written(tmp_path / "1", lines(codes))
    book = openpyxl.load_workbook(tmp_path / "1" / "line.xlsx")
    names = ["Données", "Données 2", "Données 3"]
    assert book.sheetnames == ["À lire", *names, "Dictionnaire", "Provenance"]
    assert [row[0] for name in names for row in body(tmp_path / "1" / "line.xlsx", name)] == codes
    assert [book[name].auto_filter.ref for name in names] == ["A1:H11", "A1:H11", "A1:H2"]
    manifest = json.loads((tmp_path / "1" / "datapackage.json").read_text())
    sheets = [resource for resource in manifest["resources"] if resource["format"] == "xlsx"]
    assert [resource["ecluse"]["rows"] for resource in sheets] == [10, 10, 1]
    assert made.check(tmp_path / "1", event) == []
    assert validated(tmp_path / "1") == []


def test_an_empty_table_and_a_full_sheet_have_one_sheet() -> None:
    assert [name for name, _, _ in workbook.sheets(0)] == ["Données"]
    assert workbook.sheets(1_048_575) == [("Données", 0, 1_048_575)]
    assert workbook.sheets(1_048_576)[1:] == [("Données 2", 1_048_575, 1)]


def test_an_empty_table_is_published_in_every_format(tmp_path: Path) -> None:
    event = written(tmp_path / "1", lines([]))
    assert made.check(tmp_path / "1", event) == []
    assert body(tmp_path / "1" / "line.xlsx") == []
    assert (tmp_path / "1" / "line.csv").read_text() == "code,year,paid_on,stays,due,rate,firm,masked\n"


# --- canonical CSV


def test_the_csv_is_exact(tmp_path: Path) -> None:
    codes = ["007", "=1+1", 'a,"b"', "", "é"]
    written(tmp_path / "1", lines(codes, due=[-5, None, 0, 1, 10**14], masked=[True, False, False, False, False]))
    assert (tmp_path / "1" / "line.csv").read_bytes().decode() == (
        "code,year,paid_on,stays,due,rate,firm,masked\n"
        "007,2026,2026-02-28,1234,-5,12.50,true,true\n"
        "=1+1,2026,2026-02-28,1234,,12.50,true,false\n"
        '"a,""b""",2026,2026-02-28,1234,0,12.50,true,false\n'
        '"",2026,2026-02-28,1234,1,12.50,true,false\n'
        "é,2026,2026-02-28,1234,100000000000000,12.50,true,false\n"
    )


# --- the manifest, for the tools of others


def validated(folder: Path) -> list[str]:
    """What the frictionless tools find wrong with a package: descriptor, hashes, sizes, and every cell of CSV and XLSX."""
    report = frictionless.Package(str(folder / "datapackage.json")).validate()
    return [error.message for error in report.errors] + [error.message for task in report.tasks for error in task.errors]


def test_the_frictionless_tools_find_the_package_valid_to_its_last_cell(tmp_path: Path) -> None:
    codes = [*FORMULAS, *(text for text in ODD if text.strip() and text.isprintable() and "_x" not in text), "bord"]
    size = len(codes) - 1
    rows = lines(
        codes,
        stays=[place or None for place in range(size)] + [None],
        due=[*(CENTS * 3)[:size], 7],
        rate=[Decimal("99.99")] * size + [None],
        masked=[False] * size + [True],
    )
    written(tmp_path / "1", rows)
    assert validated(tmp_path / "1") == []
    report = frictionless.Package(str(tmp_path / "1" / "datapackage.json")).validate()
    assert {task.name: task.stats.get("rows") for task in report.tasks} == {
        "line-parquet": None,
        "line-csv": size + 1,
        "line-xlsx": size + 1,
        "contract": None,
    }


@pytest.mark.parametrize("name", ["line.parquet", "line.csv", "line.xlsx", "contract.odcs.yaml"])
def test_the_frictionless_tools_find_an_altered_file(tmp_path: Path, name: str) -> None:
    written(tmp_path / "1", lines(["a", "b"]))
    path = tmp_path / "1" / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert validated(tmp_path / "1") != []


def test_the_manifest_lists_every_file_of_the_recipients_formats_with_its_bytes(tmp_path: Path) -> None:
    for formats in (("parquet",), ("csv", "xlsx"), ("parquet", "csv", "xlsx")):
        folder = tmp_path / "-".join(formats)
        written(folder, lines(["a"]), formats=formats)
        manifest = json.loads((folder / "datapackage.json").read_text())
        listed = {resource["path"]: resource for resource in manifest["resources"]}
        assert set(listed) == {*(f"line.{kind}" for kind in formats), "contract.odcs.yaml"}
        assert {path.name for path in folder.iterdir()} == {*listed, "datapackage.json"}
        for name, resource in listed.items():
            content = (folder / name).read_bytes()
            assert (resource["bytes"], resource["hash"]) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


# --- the contract, for the tools of others


@pytest.fixture(scope="module")
def standard() -> Any:
    schema = json.loads((Path(__file__).parent / "data" / "odcs" / "odcs-json-schema-v3.1.0.json").read_text(encoding="utf-8"))
    return jsonschema.Draft201909Validator(schema)


@pytest.mark.parametrize("product", [*products().values(), PRODUCT], ids=lambda product: product.id)
def test_the_odcs_contract_is_valid_against_the_standards_schema(standard: Any, product: Product) -> None:
    document = yaml.safe_load(odcs_yaml(product))
    assert [error.message for error in standard.iter_errors(document)] == []
    assert document == odcs(product)
    for wrong in ({"kind": "Contract"}, {"owner": "nobody"}, {"schema": [{"properties": []}]}):
        assert list(standard.iter_errors(document | wrong)), "the schema refuses nothing, so the test says nothing"


def test_the_odcs_contract_says_what_the_product_contract_does() -> None:
    [told] = odcs(PRODUCT)["schema"]
    assert [column["name"] for column in told["properties"]] == [column.name for column in LINE.columns]
    columns = {column["name"]: column for column in told["properties"]}
    assert (columns["code"]["primaryKey"], columns["code"]["required"], columns["stays"]["required"]) == (True, True, False)
    assert columns["year"]["logicalTypeOptions"] == {"minimum": 2015, "maximum": 2100}
    assert [rule["id"] for rule in columns["year"]["quality"]] == ["required", "minimum", "maximum"]
    assert columns["due"]["customProperties"] == [{"property": "unit", "value": "EUR cent"}]
    assert {name for name, column in columns.items() if column["classification"] == "aggregate"} == {"stays", "due", "rate"}
    assert [rule["id"] for rule in told["quality"]] == ["unique_key", "due_needs_stays"]


def test_the_contracts_rules_find_the_rows_that_break_them() -> None:
    import duckdb

    [told] = odcs(PRODUCT)["schema"]
    rows = lines(["a", "b", "c"], year=[2014, 2101, 2026], stays=[0, -1, None], due=[5, None, 7])
    rows = rows.with_columns(paid_on=pl.Series([date(2014, 12, 31), date(2015, 1, 1), None]))
    rules = [("", rule) for rule in told["quality"]]
    rules += [(column["name"], rule) for column in told["properties"] for rule in column.get("quality", [])]
    queries = {
        (name, rule["id"]): rule["query"].format(object="rows", property=name) for name, rule in rules if "query" in rule
    }
    with duckdb.connect() as engine:
        engine.register("rows", rows)
        found = {place: engine.execute(query).fetchall()[0][0] for place, query in queries.items()}
    assert found == {
        ("", "due_needs_stays"): 1,
        ("year", "minimum"): 1,
        ("year", "maximum"): 1,
        ("stays", "minimum"): 1,
        ("paid_on", "minimum"): 1,
        ("due", "minimum"): 0,
        ("due", "maximum"): 0,
        ("rate", "minimum"): 0,
        ("rate", "maximum"): 0,
    }


def test_the_contracts_version_moves_with_its_content_only() -> None:
    changed = replace(PRODUCT, tables=(replace(LINE, label_fr="Autre nom"),))
    assert odcs_yaml(PRODUCT) == odcs_yaml(replace(PRODUCT))
    assert odcs(PRODUCT)["version"] != odcs(changed)["version"]


# --- the manifest and the files never disagree


def test_the_content_is_what_the_recipient_is_told_and_nothing_else() -> None:
    first = made.content_hash(publication(lines(["a", "b"])))
    assert made.content_hash(publication(lines(["a", "b"]), number=2)) == first
    assert made.content_hash(publication(lines(["a", "b"]), provenance={"Transmissions": {"x": "y"}})) == first
    others = [
        publication(lines(["a", "c"])),
        publication(lines(["a", "b"]), formats=("csv",)),
        publication(lines(["a", "b"]), product=replace(PRODUCT, label_fr="Autre nom")),
        publication(lines(["a", "b"], stays=[1234, None])),
    ]
    assert len({first, *(made.content_hash(other) for other in others)}) == 5


def test_a_folder_holds_the_files_of_its_manifest_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    event = written(folder, lines(["a", "b"]))
    assert made.check(folder, event) == []
    told = "product/cpam-311/test-lines 0001: "
    for name in ("line.parquet", "line.csv", "line.xlsx", "contract.odcs.yaml", "datapackage.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1])
        assert made.check(folder, event) == [f"{told}{name} a été modifié"]
        (folder / name).unlink()
        assert made.check(folder, event) == [f"{told}{name} manque"]
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("x")
    (folder / "more").mkdir()
    assert made.check(folder, event) == [f"{told}more n'a rien à faire là", f"{told}notes.txt n'a rien à faire là"]
    assert len(made.check(tmp_path / "nowhere", event)) == 5


def test_a_manifest_and_a_log_that_count_otherwise_than_the_files_are_told(tmp_path: Path) -> None:
    event = written(tmp_path / "1", lines(["a", "b"]))
    tables = {"line": event.data["tables"]["line"] | {"rows": 3}}
    other = replace(event, data=event.data | {"tables": tables})
    assert len(made.check(tmp_path / "1", other)) == 3
    files = event.data["tables"]["line"]["files"] | {"csv": "0" * 64}
    other = replace(event, data=event.data | {"tables": {"line": event.data["tables"]["line"] | {"files": files}}})
    assert made.check(tmp_path / "1", other) == ["product/cpam-311/test-lines 0001: line.csv a été modifié"]


def publishing(folder: Path, times: int) -> Iterator[None]:
    """What the publisher does, again and again; every third number was left unannounced by a run that died."""
    for number in range(1, times + 1):
        for _ in range(2 if number % 3 == 0 else 1):
            with made.exclusive(folder), made.beside(folder) as making:
                made.write(making, publication(lines([f"{number}-{place}" for place in range(200)]), number=number), {})
                made.place(making, folder / f"{number:04d}")
        yield


def test_a_reader_never_sees_a_manifest_without_its_files_while_publishing_goes_on(tmp_path: Path) -> None:
    done, seen, problems = threading.Event(), [0, 0], []

    def read() -> None:
        while not done.is_set() or not seen[0]:
            for folder in sorted(path for path in tmp_path.iterdir() if path.name.isdigit()):
                try:
                    manifest = json.loads((folder / "datapackage.json").read_text())
                    held = {name: (folder / name).read_bytes() for name in (one["path"] for one in manifest["resources"])}
                except FileNotFoundError:
                    seen[1] += 1  # replaced in between: the reader asks again, and is never given half
                    continue
                seen[0] += 1
                for resource in manifest["resources"]:
                    if f"sha256:{hashlib.sha256(held[resource['path']]).hexdigest()}" != resource["hash"]:
                        problems.append((folder.name, resource["path"]))
                if manifest["ecluse"]["number"] != int(folder.name):
                    problems.append((folder.name, "number"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in publishing(tmp_path, times=12):
            pass
    finally:
        done.set()
        reader.join()
    assert problems == []
    assert seen[0] >= 12
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", *(f"{number:04d}" for number in range(1, 13))]


def test_nothing_but_numbered_folders_and_the_lock_stands_beside_a_publication(tmp_path: Path) -> None:
    list(publishing(tmp_path, times=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "0001", "0002", "0003"]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.soak
def test_more_rows_than_a_sheet_holds_are_all_there(tmp_path: Path) -> None:
    size = workbook.MAX_ROWS + 1
    event = written(tmp_path / "1", lines([f"{place:07}" for place in range(size)]))
    assert workbook.rows_in(tmp_path / "1" / "line.xlsx") == size
    assert made.check(tmp_path / "1", event) == []
    book = openpyxl.load_workbook(tmp_path / "1" / "line.xlsx", read_only=True)
    assert [row[0] for row in book["Données 2"].iter_rows(min_row=2, values_only=True)] == [f"{size - 1:07}"]
