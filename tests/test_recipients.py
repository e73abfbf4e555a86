"""Recipients in the settings, and their tables: staged where nobody reads, then in place in one step, never a mix."""

import signal
import threading
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from conftest import Ecluse, Program

from contracts_schema.products import Column, Product, products
from flows.hub import WrongUsage, init_hub, read_settings
from warehouse.blob_files import BlobUnwritable
from warehouse.postgresql import WarehouseError, WarehouseUnavailable, connected
from warehouse.recipient_files import recipient_file
from warehouse.recipient_tables import Staging, staged, standing
from warehouse.recipients import FORMATS, Recipient, recipient
from warehouse.rights import PUBLISHER
from warehouse.roles import provision

ARS, CPAM = recipient("ars-99"), recipient("cpam-991")
COLUMNS = (
    Column("code", "string", "public", "Code de l'établissement"),
    Column("day", "date", "public", "Jour"),
    Column("amount", "integer", "aggregate", "Montant dû", unit="euro"),
    Column("rate", "number", "aggregate", "Taux (%)", unit="percent"),
    Column("firm", "boolean", "public", "Ferme */ ou 'sous réserve'"),
)
REAL = next(iter(products().values()))
LINES = replace(REAL.tables[0], name="lines", label_fr="Lignes d'essai", keys=("code", "day"), columns=COLUMNS)
TOTALS = replace(LINES, name="totals", label_fr="Totaux", keys=("code",), columns=(COLUMNS[0], COLUMNS[2]))
TRIAL = replace(REAL, id="trial-product", tables=(LINES, TOTALS))
OTHER = replace(TRIAL, id="trial", tables=(TOTALS,))


def rows(number: int, count: int = 3) -> dict[str, pl.DataFrame]:
    """A publication all of whose amounts are its number; texts with what CSV and SQL could trip on, and missing values."""
    codes = [["", 'a"b,c\n', "é;'\\."][n] if n < 3 else f"code {n}" for n in range(count)]
    lines = pl.DataFrame(
        {
            "code": codes,
            "day": [date(2026, 1, 31)] * count,
            "amount": [number] * count,
            "rate": [Decimal("12.30"), None, Decimal("100.00")][:count] + [None] * (count - 3),
            "firm": [True, None, False][:count] + [None] * (count - 3),
        },
        schema={"code": pl.String, "day": pl.Date, "amount": pl.Int64, "rate": pl.Decimal(18, 2), "firm": pl.Boolean},
    )
    return {"lines": lines, "totals": lines.select("code", "amount")}


def facts(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "log_position": 10 * number,
        "log_hash": "ab",
        "content": "cd",
        "known_at": "2026-01-31T00:00:00Z",
    }


def publish(url: str, number: int, to: Recipient = ARS, product: Product = TRIAL) -> None:
    frames = rows(number)
    with staged(url, to, product, frames, facts(number)) as staging:
        staging.swap()


def as_role(url: str, name: str) -> str:
    return sa.make_url(url).set(username=name).render_as_string(hide_password=False)


@pytest.fixture
def schemas(database_url: str) -> str:
    """The publisher's address of a PostgreSQL provisioned for two recipients."""
    provision(database_url, [ARS, CPAM], log=False)
    return as_role(database_url, PUBLISHER)


@pytest.fixture(params=["sqlite", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The setting ``warehouse_url``, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "warehouse")
    url: str = request.getfixturevalue("schemas")
    return url


def reader(url: str, to: Recipient = ARS) -> sa.Engine:
    """What the recipient itself opens."""
    if url.startswith("postgresql"):
        return sa.create_engine(as_role(url, to.schema))
    return sa.create_engine(f"sqlite:///{recipient_file(url, to)}")


def read(url: str, query: str, to: Recipient = ARS) -> list[tuple[Any, ...]]:
    engine = reader(url, to)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.exec_driver_sql(query)]
    engine.dispose()
    return found


def leftovers(url: str) -> list[str]:
    """What is there besides what recipients read."""
    if not url.startswith("postgresql"):
        return sorted(path.name for path in Path(url).iterdir() if path.suffix not in (".sqlite", ".lock"))
    with connected(url) as connection:
        query = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname LIKE '%\\_staging'"
        return sorted(name for (name,) in connection.execute(query))


# --- settings


def test_recipients_are_read_from_the_settings_with_their_clearance_and_formats(tmp_path: Path) -> None:
    (tmp_path / "ecluse.toml").write_text(
        '[recipients.ars-76]\n[recipients.cpam-311]\nclearance = "public"\nformats = ["csv", "xlsx"]\n[recipients.cpam-2B1]\n'
    )
    found = read_settings(tmp_path).recipients
    assert [(one.name, one.schema, one.clearance, one.formats) for one in found] == [
        ("ars-76", "ars_76", "aggregate", FORMATS),
        ("cpam-311", "cpam_311", "public", ("csv", "xlsx")),
        ("cpam-2B1", "cpam_2b1", "individual", FORMATS),
    ]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[recipients.ars-12]", "[recipients.ars-12] : région inconnue"),
        ("[recipients.ars]", "[recipients.ars] : région inconnue"),
        ("[recipients.dreets-76]", "[recipients.dreets-76] : attendu ars-<région> ou cpam-<caisse>"),
        ("[recipients.cpam-31]", "[recipients.cpam-31] : code de caisse attendu en trois caractères"),
        ("[recipients.cpam-2C1]", "[recipients.cpam-2C1] : code de caisse"),
        ('[recipients."cpam-311; DROP"]', "code de caisse"),
        (
            '[recipients.ars-76]\nclearance = "restricted"',
            "[recipients.ars-76] clearance : attendu public, aggregate, individual",
        ),
        ('[recipients.ars-76]\nclearance = ["public"]', "[recipients.ars-76] clearance"),
        ('[recipients.ars-76]\nformats = ["pdf"]', "[recipients.ars-76] formats : attendu au moins un de parquet, csv, xlsx"),
        ("[recipients.ars-76]\nformats = []", "[recipients.ars-76] formats"),
        ('[recipients.ars-76]\nformats = ["csv", "csv"]', "[recipients.ars-76] formats"),
        ('[recipients.ars-76]\nformats = "csv"', "[recipients.ars-76] formats : attendu une liste"),
        ("[recipients.ars-76]\nformats = [[]]", "[recipients.ars-76] formats : attendu une liste"),
        ('[recipients.ars-76]\ncolour = "red"', "[recipients.ars-76] colour : réglage inconnu"),
        ('recipients = ["ars-76"]', "recipients : attendu une table par destinataire"),
        ('recipients.ars-76 = "csv"', "[recipients.ars-76] : attendu une table"),
    ],
)
def test_a_recipient_that_cannot_be_is_refused_and_its_key_named(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "ecluse.toml").write_text(written)
    with pytest.raises(WrongUsage) as refused:
        read_settings(tmp_path)
    assert told in str(refused.value)
    assert str(refused.value).startswith("ecluse.toml, ")


def test_init_adds_recipients_at_the_end_of_a_file_and_leaves_its_lines_alone(ecluse: Ecluse, home: Path) -> None:
    config = home / "ecluse.toml"
    before = config.read_text() + "# à moi"
    config.write_text(before)
    assert ecluse("init", "--test", "--recipient", "ars-76", "--recipient", "cpam-311", "--recipient", "ars-76").code == 0
    assert ecluse("init", "--test", "--recipient", "cpam-311").code == 0
    assert config.read_text() == before + "\n\n[recipients.ars-76]\n\n[recipients.cpam-311]\n"
    told = ecluse("status", "--json").json["settings"]["recipients"]
    names = {"ars-99": "aggregate", "ars-76": "aggregate", "cpam-311": "individual"}  # the first from the fixture
    assert told == [{"name": name, "clearance": usual, "formats": ["parquet", "csv", "xlsx"]} for name, usual in names.items()]
    assert "ars-76, cpam-311" in ecluse("status").out


def test_init_refuses_a_recipient_that_cannot_be_and_writes_nothing(ecluse: Ecluse, home: Path, tmp_path: Path) -> None:
    before = (home / "ecluse.toml").read_text()
    assert ecluse("init", "--test", "--recipient", "ars-12").code == 2
    assert (home / "ecluse.toml").read_text() == before
    assert ecluse("init", "--recipient", "cpam-1", home=tmp_path / "new").code == 2
    assert not (tmp_path / "new").exists()
    (home / "ecluse.toml").write_text("test = true\nrecipients = { ars-76 = {} }\n")
    assert "écrivez vous-même" in ecluse("init", "--test", "--recipient", "ars-93").err


def test_a_new_hub_is_made_with_its_recipients(tmp_path: Path) -> None:
    settings = init_hub(tmp_path / "hub", recipients=["ars-76"])
    assert [one.name for one in settings.recipients] == ["ars-76"]
    assert settings.warehouse_url == str(tmp_path / "hub" / "warehouse")


def test_an_init_that_cannot_reach_its_postgresql_says_what_makes_it_ready(
    ecluse: Ecluse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", f"postgresql+psycopg://ecluse_log@/ecluse?host={tmp_path}")
    said = ecluse("init", home=tmp_path / "new")
    assert (said.code, "ecluse provision" in said.err) == (1, True)
    assert (tmp_path / "new" / "ecluse.toml").is_file()


# --- tables in place


def test_what_was_staged_is_what_the_recipient_reads(warehouse: str) -> None:
    publish(warehouse, 7)
    found = read(warehouse, "SELECT code, day, amount, rate, firm FROM trial_product__lines ORDER BY rate IS NULL, rate")
    day, yes, no = (date(2026, 1, 31), True, False) if warehouse.startswith("postgresql") else ("2026-01-31", 1, 0)
    assert [(code, when, amount, rate and float(rate), firm) for code, when, amount, rate, firm in found] == [
        ("", day, 7, 12.3, yes),
        ("é;'\\.", day, 7, 100.0, no),
        ('a"b,c\n', day, 7, None, None),
    ]
    assert read(warehouse, "SELECT product, number, log_position FROM publication") == [("trial-product", 7, 70)]
    assert standing(warehouse, ARS, "trial-product") == 7
    assert leftovers(warehouse) == []


def test_nothing_stands_before_the_first_publication(warehouse: str) -> None:
    assert standing(warehouse, ARS, "trial-product") is None
    publish(warehouse, 1)
    assert standing(warehouse, ARS, "other") is None
    assert standing(warehouse, CPAM, "trial-product") is None


def test_the_next_publication_replaces_rows_and_leaves_other_products_alone(warehouse: str) -> None:
    publish(warehouse, 1)
    publish(warehouse, 5, product=OTHER)
    with staged(warehouse, ARS, TRIAL, rows(2, count=2), facts(2)) as staging:
        staging.swap()
    assert read(warehouse, "SELECT count(*), min(amount), max(amount) FROM trial_product__lines") == [(2, 2, 2)]
    assert read(warehouse, "SELECT count(*), max(amount) FROM trial__totals") == [(3, 5)]
    assert [standing(warehouse, ARS, product.id) for product in (TRIAL, OTHER)] == [2, 5]


def test_given_up_before_the_swap_a_publication_leaves_nothing(warehouse: str) -> None:
    publish(warehouse, 1)
    with pytest.raises(ZeroDivisionError), staged(warehouse, ARS, TRIAL, rows(2), facts(2)):
        raise ZeroDivisionError
    with staged(warehouse, ARS, TRIAL, rows(3), facts(3)):
        pass
    assert read(warehouse, "SELECT DISTINCT amount FROM trial_product__lines") == [(1,)]
    assert standing(warehouse, ARS, TRIAL.id) == 1
    assert leftovers(warehouse) == []


def test_the_gate_reads_what_is_staged_and_the_recipient_does_not(warehouse: str) -> None:
    publish(warehouse, 1)
    with staged(warehouse, ARS, TRIAL, rows(2), facts(2)) as staging:
        engine = sa.create_engine(staging.url)
        table = sa.Table(staging.table("lines"), sa.MetaData(), schema=staging.schema, autoload_with=engine)
        with engine.connect() as gate:
            assert gate.scalar(sa.select(sa.func.sum(table.c.amount))) == 6
        engine.dispose()
        assert read(warehouse, "SELECT DISTINCT amount FROM trial_product__lines") == [(1,)]
        if staging.schema:
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                read(warehouse, f"SELECT * FROM {staging.schema}.{staging.table('lines')}")
        staging.swap()
    assert read(warehouse, "SELECT DISTINCT amount FROM trial_product__lines") == [(2,)]


def test_what_breaks_the_contract_can_be_staged_for_the_gate_to_tell_but_a_key_given_twice_is_never_in_place(
    warehouse: str,
) -> None:
    publish(warehouse, 1)
    twice = {name: pl.concat([frame, frame]) for name, frame in rows(2).items()}
    with (
        pytest.raises(WarehouseError, match=r"unique|UNIQUE") as refused,
        staged(warehouse, ARS, TRIAL, twice, facts(2)) as staging,
    ):
        staging.swap()
    assert not isinstance(refused.value, WarehouseUnavailable), "trying again would not help"
    assert read(warehouse, "SELECT DISTINCT amount FROM trial_product__lines") == [(1,)]
    assert leftovers(warehouse) == []


def test_a_changed_contract_changes_the_tables(warehouse: str) -> None:
    publish(warehouse, 1)
    lines = replace(LINES, keys=("code",), columns=COLUMNS[:3])
    with staged(warehouse, ARS, replace(TRIAL, tables=(lines,)), rows(2), facts(2)) as staging:
        staging.swap()
    engine = reader(warehouse)
    seen = sa.inspect(engine)
    assert [column["name"] for column in seen.get_columns("trial_product__lines")] == ["code", "day", "amount"]
    assert sorted(seen.get_table_names()) == ["publication", "trial_product__lines"]
    engine.dispose()


def test_labels_and_units_go_with_the_tables(warehouse: str) -> None:
    publish(warehouse, 1)
    if warehouse.startswith("postgresql"):
        engine = reader(warehouse)
        seen = sa.inspect(engine)
        told = {column["name"]: column["comment"] for column in seen.get_columns("trial_product__lines")}
        assert seen.get_table_comment("trial_product__lines")["text"] == "Lignes d'essai"
        assert seen.get_pk_constraint("trial_product__lines")["constrained_columns"] == ["code", "day"]
        kinds = [str(column["type"]) for column in seen.get_columns("trial_product__lines")]
        assert kinds == ["TEXT", "DATE", "BIGINT", "NUMERIC(18, 2)", "BOOLEAN"]
        engine.dispose()
        assert told["firm"] == "Ferme */ ou 'sous réserve'"
    else:
        ((made,),) = read(warehouse, "SELECT sql FROM sqlite_schema WHERE name = 'trial_product__lines'")
        told = dict(line.strip().split(" ", 1) for line in made.splitlines()[1:-1])
        told = {name.strip('"'): text.split("/* ")[1].split(" */")[0] for name, text in told.items()}
    assert told["code"] == "Code de l'établissement"
    assert told["amount"] == "Montant dû (en centimes d'euro)"
    assert told["rate"] == "Taux (%)"


def test_a_publication_says_all_of_its_facts(warehouse: str) -> None:
    with pytest.raises(ValueError, match="log_hash"), staged(warehouse, ARS, TRIAL, rows(1), {"number": 1}):
        pass


# --- readers, deaths, two at a time


MIX = """SELECT (SELECT min(amount) FROM trial_product__lines), (SELECT max(amount) FROM trial_product__totals),
    (SELECT number FROM publication), (SELECT count(*) FROM trial_product__lines)"""


def test_a_reader_sees_the_old_publication_or_the_new_one_never_a_mix(warehouse: str) -> None:
    publish(warehouse, 1)
    seen: list[tuple[Any, ...]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.extend(read(warehouse, MIX))

    watching = threading.Thread(target=look)
    watching.start()
    try:
        for number in range(2, 8):
            with staged(warehouse, ARS, TRIAL, rows(number, count=3000), facts(number)) as staging:
                staging.swap()
    finally:
        done.set()
        watching.join()
    assert {len({lines, totals, number}) for lines, totals, number, _ in seen} == {1}
    assert {count for *_, count in seen} <= {3, 3000}
    assert len({number for _, _, number, _ in seen}) > 1, "the reader saw publications change"


def test_a_reader_in_a_long_transaction_keeps_its_publication_and_holds_nobody_up(schemas: str) -> None:
    publish(schemas, 1)
    engine = reader(schemas)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        assert connection.exec_driver_sql("SELECT number FROM publication").scalar() == 1
        publish(schemas, 2)
        assert standing(schemas, ARS, TRIAL.id) == 2
        assert [tuple(row) for row in connection.exec_driver_sql(MIX)] == [(1, 1, 1, 3)], "tables not yet read included"
    engine.dispose()
    assert read(schemas, MIX) == [(2, 2, 2, 3)]


def test_changed_columns_do_not_wait_for_ever_for_a_reader(schemas: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.recipient_schemas.READERS_SECONDS", 0.3)
    publish(schemas, 1)
    changed = replace(TRIAL, tables=(replace(LINES, columns=COLUMNS[:3]), TOTALS))
    engine = reader(schemas)
    with engine.connect() as connection:
        assert len(list(connection.exec_driver_sql("SELECT * FROM trial_product__lines"))) == 3
        with pytest.raises(WarehouseUnavailable):
            publish(schemas, 2, product=changed)
    engine.dispose()
    assert read(schemas, MIX) == [(1, 1, 1, 3)]
    publish(schemas, 2, product=changed)
    assert read(schemas, MIX) == [(2, 2, 2, 3)]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_recipients import ARS, TRIAL, facts, rows, staged
with staged(sys.argv[1], ARS, TRIAL, rows(2), facts(2)) as staging:
    print("staged", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_publication_left_is_removed_by_the_next(warehouse: str, program: Program) -> None:
    publish(warehouse, 1)
    process = program(KILLED, warehouse, str(Path(__file__).parent))
    assert process.communicate(timeout=600)[0] == "staged\n"
    assert process.returncode == -signal.SIGKILL
    assert read(warehouse, MIX) == [(1, 1, 1, 3)]
    assert leftovers(warehouse) != []
    publish(warehouse, 3)
    assert read(warehouse, MIX) == [(3, 3, 3, 3)]
    assert leftovers(warehouse) == []


def test_a_second_staging_for_the_same_recipient_waits_and_another_recipient_does_not(
    warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("recipient_schemas", "recipient_files"):
        monkeypatch.setattr(f"warehouse.{place}.WAIT_SECONDS", 0.3)
    with staged(warehouse, ARS, TRIAL, rows(1), facts(1)) as staging:
        publish(warehouse, 4, to=CPAM)
        with pytest.raises(WarehouseUnavailable, match="une autre publication est en cours"):
            publish(warehouse, 2)
        staging.swap()
    publish(warehouse, 2)
    assert standing(warehouse, ARS, TRIAL.id) == 2


def test_a_lost_connection_changes_nothing(schemas: str, database_url: str) -> None:
    publish(schemas, 1)

    def cut_off(staging: Staging) -> None:
        with connected(database_url) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ecluse_publisher'")
        staging.swap()

    with pytest.raises(WarehouseUnavailable), staged(schemas, ARS, TRIAL, rows(2), facts(2)) as staging:
        cut_off(staging)
    assert read(schemas, MIX) == [(1, 1, 1, 3)]
    publish(schemas, 3)
    assert leftovers(schemas) == []


def test_a_recipient_without_schema_is_told_to_be_provisioned(schemas: str) -> None:
    with pytest.raises(WarehouseError, match="ecluse provision"):
        publish(schemas, 1, to=recipient("ars-76"))
    assert standing(schemas, recipient("ars-76"), TRIAL.id) is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BlobUnwritable):
        publish(str(tmp_path / "file" / "warehouse"), 1)


def test_a_refused_value_is_not_told(schemas: str) -> None:
    bad = rows(1)
    bad["lines"] = bad["lines"].with_columns(amount=pl.lit("SECRET"))
    with pytest.raises(WarehouseError) as refused, staged(schemas, ARS, TRIAL, bad, facts(1)):
        pass
    assert "SECRET" not in str(refused.value)
    assert refused.value.__suppress_context__
