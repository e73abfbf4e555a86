"""The table gate: contracts put to real tables, bad data told from broken checks, and no value let out anywhere."""

import gc
import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from conftest import Export, Program, the

from checks import tables
from checks.table_docs import write_docs
from checks.table_results import TableGate, rows_fr
from checks.table_rules import FORMS_FR, CannotBeAsked, rules_of
from checks.tables import BrokenCheck
from contracts_schema.products import Column, Mask, Product, RowCheck, Table, product_of, products
from flows import deliveries, gate_apart, publication
from flows.hub import Hub
from warehouse.log import canonical

PARAMETERS = {"small_cell_threshold": 11}
CANARY = "CANARI1949"
TYPES: dict[str, Any] = {"string": sa.Text, "integer": sa.BigInteger, "number": sa.Numeric(18, 2), "boolean": sa.Boolean}

COUNTS = Table(
    name="counts",
    view="out_ars__counts",
    label_fr="Nombres par lieu",
    keys=("place", "month"),
    columns=(
        Column("place", "string", "public", "Lieu", {"required": True, "pattern": "^[A-Z]{3}$"}),
        Column("month", "integer", "public", "Mois", {"required": True, "minimum": 1, "maximum": 12}),
        Column("kind", "string", "public", "Sorte", {"enum": ["A", "B"], "maxLength": 1}),
        Column("stays", "integer", "aggregate", "Séjours", {"minimum": 0}),
        Column("rate", "number", "aggregate", "Taux", {"minimum": 0, "maximum": 100}),
        Column("masked", "boolean", "public", "Masqué", {"required": True}),
    ),
    mask=(Mask(hides=("stays", "rate"), counts=("stays",)),),
    checks=(
        RowCheck("rate_has_stays", "Pas de taux sans séjours", "rate is null or stays is not null"),
        RowCheck("busy", "Au moins le seuil", "stays is null or stays >= :small_cell_threshold", "warning"),
    ),
    explained_by="int_counts",
    measures={},
)
PRODUCT = Product("counts-of-test", "ars", "Nombres d'essai", "Pour les essais", "place", (COUNTS,), "place")
SOUND = [
    {"place": "AAA", "month": month, "kind": "A", "stays": 20 + month, "rate": 12.5, "masked": False} for month in range(1, 11)
] + [{"place": "BBB", "month": 1, "kind": None, "stays": None, "rate": None, "masked": True}]

Load = Callable[..., str]


def put(
    engine: sa.Engine, rows: list[dict[str, Any]], types: dict[str, Any] | None = None, table: str = "staging_counts"
) -> str:
    """Make a staging table with these rows, in the columns of ``COUNTS`` or others; gives the database's address."""
    kinds = types or {column.name: TYPES[column.type] for column in COUNTS.columns}
    made = sa.Table(table, sa.MetaData(), *(sa.Column(name, kind) for name, kind in kinds.items()))
    with engine.begin() as connection:
        made.drop(connection, checkfirst=True)
        made.create(connection)
        if rows:
            connection.execute(made.insert(), [{name: row[name] for name in kinds} for row in rows])
    engine.dispose()
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Load:
    """``put`` in each kind of database in turn."""
    url = f"sqlite:///{tmp_path / 'staging.db'}" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    return partial(put, sa.create_engine(url))


def judge(url: str, product: Product = PRODUCT) -> TableGate:
    return tables.judge(
        url, None, {table.name: f"staging_{table.name}" for table in product.tables}, product, parameters=PARAMETERS
    )


def with_check(sql: str) -> Product:
    return replace(PRODUCT, tables=(replace(COUNTS, checks=(*COUNTS.checks, RowCheck("planted", "Planté", sql))),))


def broken(gate: TableGate) -> dict[str, int | None]:
    return {result.id.removeprefix("counts."): result.unexpected for result in gate.breaches}


def test_a_gate_in_a_process_of_its_own_answers_the_same_and_says_when_it_is_gone(tmp_path: Path) -> None:
    url = put(sa.create_engine(f"sqlite:///{tmp_path / 'staging.db'}"), SOUND)
    here, there = Pipe()
    child = Thread(target=gate_apart._serve, args=(there, gc.get_threshold()))
    child.start()
    names = {table.name: f"staging_{table.name}" for table in PRODUCT.tables}
    assert gate_apart._ask(here, (url, None, names, PRODUCT), {"parameters": PARAMETERS}).as_json() == judge(url).as_json()
    with pytest.raises(BrokenCheck, match="n'a pas pu répondre"):
        gate_apart._ask(here, (url, None, {"counts": "no_such_table"}, PRODUCT), {"parameters": PARAMETERS})
    here.close()
    child.join()
    gone, other = Pipe()
    other.close()
    with pytest.raises(BrokenCheck, match="s'est arrêtée"):
        gate_apart._ask(gone, (url, None, names, PRODUCT), {"parameters": PARAMETERS})


# --- what it finds


def test_rows_that_keep_their_contract_are_sound_and_every_rule_is_answered(load: Load) -> None:
    gate = judge(load(SOUND))
    assert gate.sound
    assert gate.breaches == ()
    assert len({result.id for result in gate.results}) == len(gate.results)
    assert {result.success for result in gate.results} == {True}
    counts = {result.id.removeprefix("counts."): result.evaluated for result in gate.results}
    assert (counts["place.required"], counts["kind.enum"], counts["stays.range"], counts["rate_has_stays"]) == (11, 10, 10, 11)


def test_the_tables_of_a_schema_are_judged_and_not_their_namesakes(postgresql_url: str) -> None:
    engine = sa.create_engine(postgresql_url)
    put(engine, [SOUND[0] | {"kind": "Z"}])
    with engine.begin() as connection:
        own = connection.execute(sa.text("select current_schema()")).scalar()
        connection.execute(sa.text(f"create schema {own}_recipient"))
        connection.execute(sa.text(f"create table {own}_recipient.staging_counts as select * from staging_counts"))
        connection.execute(sa.text(f"update {own}_recipient.staging_counts set kind = 'A'"))
    engine.dispose()
    names = {"counts": "staging_counts"}
    assert tables.judge(postgresql_url, f"{own}_recipient", names, PRODUCT, parameters=PARAMETERS).sound
    assert not tables.judge(postgresql_url, own, names, PRODUCT, parameters=PARAMETERS).sound


def test_each_breach_is_counted_under_the_rule_it_breaks(load: Load) -> None:
    rows = [
        {"place": "AAA", "month": 1},  # the same key twice
        {"place": "abc", "month": 2},
        {"place": "AAA\n", "month": 3},
        {"place": None, "month": 4},
        {"place": "CCC", "month": 13},
        {"place": "CCC", "month": 0},
        {"place": "CCC", "month": 1, "kind": "Z"},
        {"place": "CCC", "month": 9, "kind": "AB"},
        {"place": "CCC", "month": 2, "stays": -30},
        {"place": "CCC", "month": 3, "stays": 10},
        {"place": "CCC", "month": 4, "rate": 100.5},
        {"place": "CCC", "month": 5, "masked": True},
        {"place": "CCC", "month": 6, "stays": None},
        {"place": "CCC", "month": 7, "masked": None},
        {"place": "CCC", "month": 8, "stays": 0},
    ]
    gate = judge(load(SOUND + [SOUND[0] | row for row in rows]))
    assert not gate.sound
    assert broken(gate) == {
        "key": 2,
        "place.pattern": 2,
        "place.required": 1,
        "month.range": 2,
        "kind.enum": 2,
        "kind.length": 1,
        "stays.range": 1,
        "threshold_1": 2,
        "rate.range": 1,
        "masked_is_empty": 2,
        "rate_has_stays": 1,
        "masked.required": 1,
        "busy": 3,
    }
    assert {result.id: result.unexpected_percent for result in gate.breaches}["counts.key"] == "7.6923"


def test_a_warning_is_said_and_stops_nothing(load: Load) -> None:
    gate = judge(load([*SOUND, SOUND[0] | {"place": "CCC", "stays": 0}]))
    assert gate.sound
    assert broken(gate) == {"busy": 1}


def test_an_empty_table_is_refused_unless_its_contract_allows_it(load: Load) -> None:
    assert broken(judge(load([]))) == {"not_empty": None}
    assert judge(load([]), replace(PRODUCT, tables=(replace(COUNTS, may_be_empty=True),))).breaches == ()


def test_a_missing_column_is_bad_data_and_what_needs_it_is_not_asked(load: Load) -> None:
    kinds = {column.name: TYPES[column.type] for column in COUNTS.columns if column.name != "rate"}
    gate = judge(load(SOUND, kinds))
    assert not gate.sound
    unasked = {result.id for result in gate.results if result.success is None} - {"counts.rate.stored"}  # in SQLite only
    assert unasked == {"counts.rate.type", "counts.rate.range", "counts.rate_has_stays", "counts.masked_is_empty"}
    assert {result.id for result in gate.results if result.success is False} == {"counts.columns"}


def test_columns_in_another_order_or_beside_the_contract_are_bad_data(load: Load) -> None:
    kinds = {column.name: TYPES[column.type] for column in COUNTS.columns}
    assert broken(judge(load(SOUND, dict(reversed(kinds.items()))))) == {"columns": None}
    rows = [row | {"patient": CANARY} for row in SOUND]
    assert broken(judge(load(rows, kinds | {"patient": sa.Text}))) == {"columns": None}


def test_values_of_another_type_are_bad_data(load: Load) -> None:
    kinds = {column.name: TYPES[column.type] for column in COUNTS.columns} | {"stays": sa.Text}
    gate = judge(load([row | {"stays": CANARY} for row in SOUND], kinds))
    assert not gate.sound
    assert "counts.stays.type" in {result.id for result in gate.results if result.success is False}


def test_a_real_publication_keeps_its_contract(hub: Hub, export: Export, load: Load) -> None:
    for number in (1, 2):
        deliveries.ingest(hub, the(export(number=number, months=3, stays=400)))
    [made] = publication.publish(hub)
    [event] = publication.publications(hub)
    product = product_of(event.data["recipient"], event.data["product"])
    url = ""
    for table in product.tables:
        rows = pl.read_parquet(publication.folder_of(hub, event) / f"{table.name}.parquet").to_dicts()
        url = load(rows, {column.name: TYPES[column.type] for column in table.columns}, f"staging_{table.name}")
    gate = judge(url, product)
    assert made.status == "published"
    assert gate.breaches == ()
    assert len(gate.results) > 150


# --- a check that is broken is no bad data


@pytest.mark.parametrize("sql", ["no_such_column > 0", "stays >", "sum(stays) > 0"])
def test_a_check_that_raises_is_named_alone_and_is_no_bad_data(load: Load, sql: str) -> None:
    with pytest.raises(tables.BrokenCheck, match=r"counts\.planted \((sqlite3|psycopg)[\w.]+\)$"):
        judge(load(SOUND), with_check(sql))


def test_a_parameter_that_nobody_gives_is_a_broken_check(load: Load) -> None:
    with pytest.raises(tables.BrokenCheck, match="planted : le paramètre year n'est pas donné"):
        judge(load(SOUND), with_check("month < :year"))


def test_a_table_that_is_not_there_is_a_broken_check(load: Load) -> None:
    load(SOUND, table="another")
    with pytest.raises(tables.BrokenCheck, match="n'a pas pu répondre"):
        judge(load(SOUND, table="yet_another"))


def test_a_database_that_goes_away_is_a_broken_check(postgresql_url: str) -> None:
    url = put(sa.create_engine(postgresql_url), SOUND)
    with pytest.raises(tables.BrokenCheck, match=r"counts\.planted \(psycopg\.errors\.AdminShutdown\)"):
        judge(url, with_check("pg_terminate_backend(pg_backend_pid()) and stays > 0"))


def test_a_constraint_the_gate_does_not_know_is_never_passed_over() -> None:
    column = replace(COUNTS.columns[0], constraints={"jsonSchema": {}})
    with pytest.raises(CannotBeAsked, match=r"counts\.place.*jsonSchema"):
        rules_of(replace(COUNTS, columns=(column,), keys=("place",)), PARAMETERS, "sqlite")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_every_rule_of_every_contract_can_be_asked_and_has_its_own_name(dialect: str) -> None:
    for product in products().values():
        rules = [rule for table in product.tables for rule in rules_of(table, PARAMETERS, dialect)]
        assert len({rule.id for rule in rules}) == len(rules) > len(product.tables)
        assert all(rule.label_fr and rule.arguments for rule in rules)


def test_the_variants_a_contract_allows_are_those_its_measures_explain() -> None:
    for product in products().values():
        for table in product.tables:
            explained = {variant for measure in table.measures.values() if isinstance(measure, dict) for variant in measure}
            allowed = {value for column in table.columns if column.name == "variant" for value in column.constraints["enum"]}
            assert explained == allowed


# --- no value gets out


def test_no_value_is_asked_for_or_let_out(load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []
    caplog.set_level(logging.DEBUG, logger="great_expectations")
    url = load([*SOUND, *[SOUND[0] | {"place": CANARY, "kind": CANARY}] * 3])

    def listen(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        gate = judge(url)
        with pytest.raises(tables.BrokenCheck) as found:
            judge(url, with_check("cast(place as integer) > 0 or json(place) is null"))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert {"place.pattern", "kind.enum", "key"} <= set(broken(gate))
    of_rows = [statement for statement in asked if "FROM staging_counts" in statement]
    assert of_rows
    assert all(re.match(r"SELECT (1 |count\(|sum\()", text) for text in of_rows)
    page = write_docs(gate, tmp_path, recipient="ars-76", number=1).read_text()
    error = f"{found.value} {found.value.__cause__} {found.value.__context__}"
    for text in (json.dumps(gate.as_json()), repr(gate), page, error, caplog.text):
        assert CANARY not in text


def test_results_are_data_that_the_log_can_keep(load: Load) -> None:
    gate = judge(load([*SOUND, SOUND[0]]))
    kept = json.loads(canonical(gate.as_json()))
    assert (kept["product"], kept["sound"], len(kept["results"])) == ("counts-of-test", False, len(gate.results))
    assert next(result for result in kept["results"] if result["id"] == "counts.key") == {
        "id": "counts.key",
        "table": "counts",
        "column": None,
        "label_fr": "Une seule ligne par place, month",
        "severity": "critical",
        "success": False,
        "evaluated_rows": 12,
        "unexpected_rows": 2,
        "unexpected_percent": "16.6667",
    }


def test_data_docs_say_each_rule_in_french_and_need_nothing_from_elsewhere(load: Load, tmp_path: Path) -> None:
    gate = judge(load([*SOUND, SOUND[0] | {"place": "CCC", "kind": "Z"}]))
    path = write_docs(gate, tmp_path, recipient="ars-76", number=12)
    page = path.read_text()
    for said in (
        "Nombres d&#39;essai",
        "ars-76",
        "n° <strong>12</strong>",
        "L&#39;une des valeurs A, B",
        "1 ligne sur 11 (9,09 %)",
    ):
        assert said in page
    assert page.count('class="rule"') == len(gate.results) + len(gate.breaches)
    assert not re.search(r"https?:|//|<script|<link|<img|@import|url\(|\bon\w+=", page)
    assert not re.search(r"[Ee]xpectation (?!par)|unexpected|[Oo]bserved", page)
    again = write_docs(gate, tmp_path, recipient="ars-76", number=12)
    assert again.read_text() == page


def test_data_docs_say_which_columns_are_missing_and_never_name_others(load: Load, tmp_path: Path) -> None:
    kinds = {column.name: TYPES[column.type] for column in COUNTS.columns if column.name != "rate"} | {CANARY: sa.Text}
    gate = judge(load([row | {CANARY: "x"} for row in SOUND], kinds))
    page = write_docs(gate, tmp_path, recipient="ars-76", number=1).read_text()
    assert "il manque rate, 1 de trop" in page
    assert page.count("colonne absente ou d’un autre type") == sum(result.success is None for result in gate.results) > 0
    assert CANARY not in page + json.dumps(gate.as_json())


def test_every_pattern_of_a_contract_is_said_in_words() -> None:
    patterns = {
        column.constraints["pattern"]
        for product in products().values()
        for table in product.tables
        for column in table.columns
        if "pattern" in column.constraints
    }
    assert patterns == set(FORMS_FR)


def test_counts_of_rows_read_as_french() -> None:
    assert rows_fr(0, 1) == "aucune ligne sur 1"
    assert rows_fr(2, 1200) == "2 lignes sur 1\N{NARROW NO-BREAK SPACE}200 (0,17 %)"
    assert rows_fr(1, 1_000_000) == "1 ligne sur 1\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}000 (moins de 0,01 %)"


# --- what it costs others


ALONE = """
import socket, sys, os
real = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX:
        os.write(1, f"connects to {address}\\n".encode())
        raise OSError("no network")
    return real(self, address)
socket.socket.connect = connect
socket.getaddrinfo = lambda *names, **more: os.write(1, f"looks up {names}\\n".encode()) and None
from checks import tables, table_docs
print("lazy", "great_expectations" not in sys.modules, "sqlalchemy" not in sys.modules, "jinja2" not in sys.modules)
from contracts_schema.products import products
product = next(iter(products().values()))
try:
    tables.judge(sys.argv[1], None, {table.name: "staging_counts" for table in product.tables}, product,
                 parameters={"small_cell_threshold": 11})
    print("judged", "great_expectations" in sys.modules)
except tables.BrokenCheck as found:
    print(found)
"""


def test_it_is_loaded_when_it_judges_and_neither_calls_home_nor_writes(program: Program, tmp_path: Path) -> None:
    url, home = put(sa.create_engine(f"sqlite:///{tmp_path / 'staging.db'}"), SOUND), tmp_path / "home"
    home.mkdir()
    process = program(f"import os; os.chdir({str(home)!r})\n" + ALONE, url, HOME=str(home), TMPDIR=str(home))
    out, _ = process.communicate(timeout=600)
    assert out.splitlines() == ["lazy True True True", "judged True"]
    assert list(home.rglob("*")) == []


def test_a_password_with_dollars_reaches_the_database_as_it_is(postgresql_url: str) -> None:
    password = "pa$word${HOME}"
    asked: list[str] = []

    def listen(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        asked.append(options["password"])

    engine = sa.create_engine(postgresql_url)
    put(engine, SOUND)
    sa.event.listen(sa.Engine, "do_connect", listen)
    try:
        assert judge(sa.make_url(postgresql_url).set(password=password).render_as_string(hide_password=False)).sound
    finally:
        sa.event.remove(sa.Engine, "do_connect", listen)
    assert set(asked) == {password}
