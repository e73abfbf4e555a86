"""Facts are data with a source and a status, and code and data say the same: rules, codes, formats, products."""

import ast
import csv
import itertools
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from conftest import the

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from contracts_schema.layouts import index
from contracts_schema.products import VIEWS, Product, Table, products
from contracts_schema.rules import catalogue
from flows import building, deliveries
from flows.hub import init_hub, open_hub
from warehouse.masking import TYPES

PROJECT = Path(__file__).parent.parent
FACTS = PROJECT / "contracts_schema"
STATUSES = {"official", "attested", "secondary", "analogue", "recalled", "missing", "derived", "proposal"}
RULE_ID = re.compile(r"(?:dataset|pmsi|answer|demarche)\.[a-z_]+|bordereau\.(?:FL[0-9]+|[a-z_0-9]+)")
GATE = {name: rule for name, rule in catalogue().items() if rule.family is None and not name.startswith("demarche.")}
"""The rules of the gate; those of reconciliation are held one to one by test_snp_rules.py."""
SOURCES = sorted(path for package in ("connectors", "checks", "contracts_schema") for path in (PROJECT / package).rglob("*.py"))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def read_yaml(*path: str) -> Any:
    return yaml.safe_load(FACTS.joinpath(*path).read_text(encoding="utf-8"))


# --- rules


def rule_ids(node: ast.AST) -> list[str]:
    """The rule ids among the texts of a piece of code."""
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return [text for text in texts if RULE_ID.fullmatch(text)]


def implementations(tree: ast.Module) -> Iterator[str]:
    """The rule ids that code gives to what it finds: a named constant, a column's value, a refusal, a key of the breaches,
    the first of a row of a table of rules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from rule_ids(node.value) if isinstance(node.value, ast.Constant) else []
        elif isinstance(node, ast.Dict):
            yield from (found for key in node.keys if key for found in rule_ids(key))
        elif isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
            yield from rule_ids(node.elts[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("pl.lit", "Refused"):
            yield from (found for argument in node.args for found in rule_ids(argument))


FORMS = {"pmsi.line_length": 2, "pmsi.file_name": 3, "pmsi.field_of_care": 3}
"""Rules met in as many forms, all of one module: lines cut by place or by semicolon; names of files, of archives, stamps."""


def test_each_rule_of_the_catalogue_is_implemented_in_exactly_one_place_or_once_a_form() -> None:
    found = [list(implementations(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES]
    assert Counter(rule for rules in found for rule in rules) == Counter(dict.fromkeys(GATE, 1) | FORMS)
    assert Counter(rule for rules in found for rule in set(rules)) == Counter(dict.fromkeys(GATE, 1)), "one module"


def test_the_rules_of_pulled_declarations_are_the_notes_of_their_reading_and_those_of_their_gate() -> None:
    from connectors.demarches_frames import NOTES_FR
    from flows.demarche_gate import NIR, UNREADABLE

    told = [name for name in catalogue() if name.startswith("demarche.")]
    assert sorted(told) == sorted([*(f"demarche.{kind}" for kind in NOTES_FR), NIR, UNREADABLE])


def test_every_rule_that_the_code_names_stands_in_the_catalogue() -> None:
    everywhere = [*SOURCES, *(PROJECT / "flows").rglob("*.py"), *(PROJECT / "warehouse").rglob("*.py")]
    named = {rule for path in everywhere for rule in rule_ids(ast.parse(path.read_text(encoding="utf-8")))}
    assert named - set(catalogue()) == set()


def test_rules_are_entered_once_with_a_label_a_known_outcome_a_source_and_a_status() -> None:
    entries = [entry for path in sorted((FACTS / "rules").glob("*.yaml")) for entry in read_yaml("rules", path.name)["rules"]]
    assert [entry["id"] for entry in entries] == list(catalogue())
    for rule in GATE.values():
        assert RULE_ID.fullmatch(rule.id)
        assert rule.level in ("line", "delivery")
        assert rule.outcome in (("refuse", "warn") if rule.level == "line" else ("refuse", "hold", "warn")), rule.id
        assert rule.status in STATUSES, rule.id
        assert rule.label_fr.strip(), rule.id
        assert rule.source.strip(), rule.id


# --- fact files


@pytest.mark.parametrize("path", [FACTS / "geography.csv", *sorted(FACTS.glob("pmsi/codes/*.csv"))], ids=lambda path: path.stem)
def test_every_code_has_a_status_and_a_source_unless_it_is_to_be_confirmed(path: Path) -> None:
    for row in read_csv(path):
        told = [value for name, value in row.items() if name == "status" or name.endswith(("_status", "_exists"))]
        assert told, "no status column"
        assert all(value.strip() for value in told), row
        assert row["source"].strip() or any(value.startswith("to confirm") for value in told), row


def test_every_record_format_has_a_status_and_who_confirms_it() -> None:
    assert [name for name, entry in index().items() if not (entry["status"].strip() and entry["confirmed_by"].strip())] == []


def test_thresholds_of_deliveries_have_a_status_and_a_source() -> None:
    entry = read_yaml("pmsi", "transmission.yaml")
    assert entry["status"] in STATUSES
    assert entry["source"].strip()
    assert all(isinstance(value, int) and 0 < value < 100 for name, value in entry.items() if name.endswith("_percent"))


def test_every_definition_of_an_indicator_has_a_status() -> None:
    entries = read_yaml("pmsi", "indicators.yaml")
    known = {"confirmed", "one_source", "candidate", "to_confirm"}
    assert [entry["id"] for entry in entries["indicators"] + entries["partly_checkable"] if entry["status"] not in known] == []


def test_a_record_format_is_added_by_a_csv_file_and_a_line_of_the_index(tmp_path: Path) -> None:
    for package in ("checks", "connectors", "contracts_schema", "flows", "warehouse"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "contracts_schema" / "pmsi" / "layouts"
    shutil.copy(folder / "mco_rsa_229.csv", folder / "mco_rsa_230.csv")
    lines = (folder / "INDEX.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    [newest] = [line for line in lines if line.startswith("mco_rsa_229,")]
    (folder / "INDEX.csv").write_text("".join([*lines, newest.replace("229", "230")]), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", INGEST_230], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("accepted 40 {'230': 40} True\n", "")


INGEST_230 = """
from pathlib import Path
from connectors import transmissions
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from flows import building, deliveries
from flows.hub import init_hub, open_hub
finess = fictional_finess()
path = Path(f"{finess}.2027.1.rsa")
write_rsa(path, Recipe(finess, 2027, 1, 40, seed=1, version="230", late=0.0))
init_hub(Path("hub"))
hub = open_hub(Path("hub"))
report = deliveries.ingest(hub, transmissions.gather([path])[0][0])
accepted = deliveries.decision(hub, report.scope, report.delivery_id)
units = "select count(*) = (select sum(rum_count) from core_pmsi__stay) as whole from core_pmsi__unit_stay"
formats, whole = accepted.data["families"]["rsa"]["formats"], building.query(hub, units)["whole"][0]
print(report.status, report.rows_accepted, formats, whole)
"""


# --- products

PATIENT_LEVEL = {"line_number", "record_number", "age_years", "age_days", "sex", "postal_code"}
PRODUCT_TABLES = [
    pytest.param(product, table, id=f"{product.id}/{table.name}")
    for product in products().values()
    if product.made_by == VIEWS
    for table in product.tables
]


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.Schema]:
    """The columns of every view, as built from a small file."""
    folder = tmp_path_factory.mktemp("built")
    finess = fictional_finess()
    write_rsa(folder / f"{finess}.2026.1.rsa", Recipe(finess, 2026, 1, 40, seed=1))
    init_hub(folder / "hub")
    hub = open_hub(folder / "hub")
    deliveries.ingest(hub, the(folder / f"{finess}.2026.1.rsa"))
    building.build(hub)
    return {path.parent.name: pl.Schema(pl.read_parquet_schema(path)) for path in hub.views_folder.glob("*/*.parquet")}


def names_in(condition: str) -> set[str]:
    return set(pl.sql_expr(condition).meta.root_names())


@pytest.mark.parametrize(("product", "table"), PRODUCT_TABLES)
def test_a_product_publishes_columns_that_its_view_has_in_a_type_that_holds_them(
    product: Product, table: Table, schemas: dict[str, pl.Schema]
) -> None:
    columns = {column.name: column for column in table.columns}
    assert len(columns) == len(table.columns)
    assert set(columns) - {"masked"} <= set(schemas[table.view])
    for name, column in columns.items():
        empty = pl.Series(dtype=schemas[table.view].get(name, pl.Boolean()))
        assert column.type in TYPES
        assert empty.cast(TYPES[column.type]).dtype == TYPES[column.type]
        if empty.dtype.is_numeric():
            assert column.type in ("integer", "number"), name
    assert {product.territory_column, *table.keys} <= set(columns)


@pytest.mark.parametrize(("product", "table"), PRODUCT_TABLES)
def test_a_product_holds_nothing_of_a_patient_and_masks_every_count(
    product: Product, table: Table, schemas: dict[str, pl.Schema]
) -> None:
    columns = {column.name: column for column in table.columns}
    assert {column.classification for column in table.columns} <= {"public", "aggregate"}
    assert set(columns) & PATIENT_LEVEL == set()
    assert [column.name for column in table.columns if not column.label_fr.strip()] == []
    hidden = set(itertools.chain.from_iterable(mask.hides for mask in table.mask))
    totals = {total.name for total in product.totals}
    counted = set().union(*(names_in(count) for mask in table.mask for count in mask.counts + mask.gaps)) - totals
    counted -= {key for key in table.keys if not schemas[table.view][key].is_integer()}
    assert hidden <= set(columns)
    assert all(schemas[table.view][name].is_integer() for name in counted), "masks count in the view, published or not"
    assert {name for name, column in columns.items() if column.classification == "aggregate"} <= hidden
    assert hidden & set(table.keys) == set()


@pytest.mark.parametrize(("product", "table"), PRODUCT_TABLES)
def test_a_measure_is_explained_by_rows_of_the_view_that_the_contract_names(
    product: Product, table: Table, schemas: dict[str, pl.Schema]
) -> None:
    explaining = set(schemas[table.explained_by])
    conditions = [[found] if isinstance(found, str) else list(found.values()) for found in table.measures.values()]
    assert set().union(*(names_in(condition) for condition in itertools.chain(*conditions))) <= explaining
    assert {"finess", "exit_year", "line_number"} <= explaining, "what leads to a delivery and its lines"
    assert set(table.measures) <= set(schemas[table.view]), "a published figure, or one that the view alone tells"
