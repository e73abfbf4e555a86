"""Roles in a real PostgreSQL: each one logs in and tries everything; only what was granted passes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest
import sqlalchemy as sa
from conftest import Ecluse, Export, TickingClock, the

from contracts_schema.products import product_of
from flows import deliveries, publication, state
from flows.doctor import examine
from flows.hub import init_hub, open_hub
from warehouse.log import NewEvent, create_log, open_log
from warehouse.postgresql import WarehouseError, connected
from warehouse.recipient_tables import physical
from warehouse.recipients import recipient
from warehouse.rights import LOG_WRITER, OWNER, PUBLISHER, Right, granted, left, surplus
from warehouse.roles import provision

ARS, CPAM = recipient("ars-99"), recipient("cpam-2A1")
TABLES = ("ars_99.t", "ars_99.publication", "ars_99_staging.t", "cpam_2a1.t", "cpam_2a1_staging.t", "public.event",
          "public.alembic_version")  # fmt: skip
SCHEMAS = ("ars_99", "ars_99_staging", "cpam_2a1", "cpam_2a1_staging", "public")
ON_TABLE = {
    "SELECT": "SELECT * FROM {0}",
    "COPY TO STDOUT": "COPY {0} TO STDOUT",
    "SELECT FOR UPDATE": "SELECT * FROM {0} FOR UPDATE",
    "INSERT": "INSERT INTO {0} SELECT * FROM {0} WHERE false",
    "UPDATE": "UPDATE {0} SET {1} = {1} WHERE false",
    "DELETE": "DELETE FROM {0} WHERE false",
    "TRUNCATE": "TRUNCATE {0}",
    "MERGE": "MERGE INTO {0} USING (SELECT 1) AS one ON false WHEN NOT MATCHED THEN DO NOTHING WHEN MATCHED THEN DELETE",
    "LOCK": "LOCK TABLE {0} IN ACCESS EXCLUSIVE MODE",
    "DROP": "DROP TABLE {0}",
    "ALTER": "ALTER TABLE {0} ADD COLUMN more text",
    "RENAME": "ALTER TABLE {0} RENAME TO other",
    "MOVE": "ALTER TABLE {0} SET SCHEMA public",
    "DISABLE TRIGGER": "ALTER TABLE {0} DISABLE TRIGGER USER",
    "CREATE TRIGGER": "CREATE TRIGGER more BEFORE INSERT ON {0} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE": "CREATE RULE more AS ON INSERT TO {0} DO INSTEAD NOTHING",
    "CREATE INDEX": "CREATE INDEX ON {0} ({1})",
    "GRANT": "GRANT SELECT ON {0} TO nobody_at_all",
    "COMMENT": "COMMENT ON TABLE {0} IS 'mine'",
    "OWNER": "ALTER TABLE {0} OWNER TO CURRENT_USER",
}
ON_SCHEMA = {
    "CREATE TABLE": "CREATE TABLE {0}.mine (a int)",
    "CREATE VIEW": "CREATE VIEW {0}.mine AS SELECT 1 AS a",
    "CREATE FUNCTION": "CREATE FUNCTION {0}.mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE SEQUENCE": "CREATE SEQUENCE {0}.mine",
    "CREATE TYPE": "CREATE TYPE {0}.mine AS ENUM ('a')",
    "RENAME": "ALTER SCHEMA {0} RENAME TO mine",
    "DROP": "DROP SCHEMA {0} CASCADE",
    "GRANT": "GRANT USAGE ON SCHEMA {0} TO nobody_at_all",
}
ANYWHERE = {
    "temporary table": "CREATE TEMPORARY TABLE mine (a int)",
    "SELECT INTO TEMP": "SELECT 1 AS a INTO TEMPORARY mine",
    "CREATE SCHEMA": "CREATE SCHEMA mine",
    "CREATE ROLE": "CREATE ROLE mine",
    "superuser": f"ALTER ROLE {LOG_WRITER} SUPERUSER",
    "password of another": f"ALTER ROLE {OWNER} PASSWORD 'x'",
    "settings of another": f"ALTER ROLE {OWNER} SET search_path = mine",
    "GRANT pg_read_all_data": "GRANT pg_read_all_data TO nobody_at_all",
    "SET ROLE owner": f"SET ROLE {OWNER}",
    "SET ROLE postgres": "SET ROLE postgres",
    "SET ROLE pg_read_all_data": "SET ROLE pg_read_all_data",
    "SET SESSION AUTHORIZATION": f"SET SESSION AUTHORIZATION {OWNER}",
    "session_replication_role": "SET session_replication_role = replica",
    "pg_authid": "SELECT * FROM pg_authid",
    "pg_largeobject": "SELECT * FROM pg_largeobject",
    "pg_statistic": "SELECT * FROM pg_statistic",
    "pg_hba": "SELECT * FROM pg_hba_file_rules",
    "pg_read_file": "SELECT pg_read_file('PG_VERSION')",
    "pg_ls_dir": "SELECT pg_ls_dir('.')",
    "COPY FROM file": "DO $$ BEGIN CREATE TEMPORARY TABLE f (a text); COPY f FROM 'PG_VERSION'; END $$",
    "COPY TO PROGRAM": "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "lo_import": "SELECT lo_import('PG_VERSION')",
    "lo_create": "SELECT lo_create(0)",
    "lo_from_bytea": "SELECT lo_from_bytea(0, 'x')",
    "the log's lock": "SELECT pg_advisory_xact_lock(6044178293)",
    "any lock": "SELECT pg_try_advisory_lock_shared(1, 2)",
    "WAL message": "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "replication slot": "SELECT pg_create_physical_replication_slot('mine')",
    "pg_reload_conf": "SELECT pg_reload_conf()",
    "pg_switch_wal": "SELECT pg_switch_wal()",
    "publication": "CREATE PUBLICATION mine FOR ALL TABLES",
    "pg_terminate_backend": "SELECT pg_terminate_backend({victim})",
    "privileges of the owner": f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT SELECT ON TABLES TO PUBLIC",
}
ALONE = {
    "CREATE DATABASE": "CREATE DATABASE mine",
    "ALTER SYSTEM": "ALTER SYSTEM SET fsync = off",
    "ALTER DATABASE": "ALTER DATABASE template1 SET fsync = off",
}
"""What cannot be tried in a transaction that is rolled back."""
REFUSED, NOT_GRANTED = "42501", "01007"
LOCKS = {"the log's lock", "any lock"}


def statements(victim: int) -> dict[str, str]:
    """Every attempt by its name."""
    columns = {"public.event": "stream", "public.alembic_version": "version_num"}
    tried = {
        f"{action} {table}": statement.format(table, columns.get(table, "product" if "publication" in table else "a"))
        for table in TABLES
        for action, statement in ON_TABLE.items()
    }
    tried |= {
        f"{action} in {schema}": statement.format(schema) for schema in SCHEMAS for action, statement in ON_SCHEMA.items()
    }
    return tried | {name: statement.format(victim=victim) for name, statement in ANYWHERE.items()}


def as_role(url: str, name: str) -> str:
    return sa.make_url(url).set(username=name).render_as_string(hide_password=False)


def run(connection: "psycopg.Connection[Any]", statement: str) -> str | None:
    """Try, then undo: None when it passed, else the code of the refusal, or of the warning that nothing was granted."""
    query, warned = cast(LiteralString, statement), list[str]()
    connection.add_notice_handler(lambda notice: warned.append(notice.sqlstate or ""))
    try:
        with connection.transaction(force_rollback=True):
            if statement.startswith("COPY") and "STDOUT" in statement:
                with connection.cursor().copy(query) as copy:
                    list(copy)
            else:
                connection.execute(query)
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return next((code for code in warned if code == NOT_GRANTED), None)


@contextmanager
def trying(url: str, role: str) -> "Iterator[tuple[psycopg.Connection[Any], int]]":
    """A connection of the role, that has thrown off its own settings, and the process of a superuser's."""
    with connected(as_role(url, role)) as connection, connected(url) as victim:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET search_path = public")
        yield connection, victim.info.backend_pid


@pytest.fixture
def prepared(database_url: str) -> str:
    """A database with the log, two recipients, a table and what stages it for each; one event."""
    provision(database_url, [ARS, CPAM], log=True)
    with connected(database_url) as admin:
        admin.execute("DO $$ BEGIN CREATE ROLE nobody_at_all; EXCEPTION WHEN duplicate_object THEN END $$")
    with connected(as_role(database_url, PUBLISHER)) as publisher:
        for schema in ("ars_99", "cpam_2a1"):
            publisher.execute(cast(LiteralString, f"CREATE TABLE {schema}.t (a text PRIMARY KEY)"))
            publisher.execute(cast(LiteralString, f"CREATE TABLE {schema}_staging.t (a text)"))
            publisher.execute(cast(LiteralString, f"CREATE TABLE {schema}.publication (product text PRIMARY KEY)"))
    return database_url


# --- what each role may do


def test_every_attempt_is_a_good_statement_for_a_superuser(prepared: str) -> None:
    with connected(prepared) as connection, connected(prepared) as victim:
        tried = statements(victim.info.backend_pid)
        failed = {name: code for name, statement in tried.items() if (code := run(connection, statement))}
        assert failed == {f"{action} public.event": "P0001" for action in ("UPDATE", "DELETE", "TRUNCATE", "MERGE")}, "triggers"
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


RECIPIENT = {"SELECT ars_99.t", "COPY TO STDOUT ars_99.t", "SELECT ars_99.publication", "COPY TO STDOUT ars_99.publication"}
WRITER = {
    "SELECT public.event", "COPY TO STDOUT public.event", "INSERT public.event",
    "SELECT public.alembic_version", "COPY TO STDOUT public.alembic_version",
}  # fmt: skip


@pytest.mark.parametrize(("role", "allowed"), [("ars_99", RECIPIENT), (LOG_WRITER, WRITER | LOCKS)])
def test_a_role_that_logs_in_and_tries_everything_does_only_what_was_granted(
    prepared: str, role: str, allowed: set[str]
) -> None:
    with trying(prepared, role) as (connection, victim):
        codes = {name: run(connection, statement) for name, statement in statements(victim).items()}
        for name, statement in ALONE.items():
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(cast(LiteralString, statement))
            codes[name] = REFUSED
    assert {name for name, code in codes.items() if code is None} == allowed
    assert {name: code for name, code in codes.items() if code not in (None, REFUSED, NOT_GRANTED)} == {}, (
        "refused for another reason"
    )


def test_the_publisher_does_as_it_likes_in_recipients_schemas_and_nothing_elsewhere(prepared: str) -> None:
    with trying(prepared, PUBLISHER) as (connection, victim):
        codes = {name: run(connection, statement) for name, statement in statements(victim).items()}
    passed = {name for name, code in codes.items() if code is None}
    assert {name for name in passed if not re.search(r" (in )?(ars_99|cpam_2a1)", name)} == LOCKS
    assert {f"{action} ars_99.t" for action in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "DROP")} <= passed


def test_a_recipient_sees_none_of_the_rows_of_others_in_the_statistics(prepared: str) -> None:
    with connected(prepared) as admin:
        admin.execute("INSERT INTO cpam_2a1.t SELECT 'secret' || n FROM generate_series(1, 1000) AS n")
        admin.execute("ANALYZE cpam_2a1.t")
    with connected(as_role(prepared, "ars_99")) as connection:
        query = "SELECT count(*) FROM pg_stats WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema'"
        assert connection.execute(query).fetchone() == (0,)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)


def test_the_owner_of_the_log_cannot_log_in(prepared: str) -> None:
    with pytest.raises(WarehouseError, match="pas de connexion"), connected(as_role(prepared, OWNER)):
        pass


def test_tables_published_later_are_readable_without_provisioning_again(prepared: str) -> None:
    with connected(as_role(prepared, PUBLISHER)) as publisher:
        publisher.execute("CREATE TABLE ars_99.later AS SELECT 7 AS a")
    with connected(as_role(prepared, "ars_99")) as reader:
        assert reader.execute("SELECT a FROM later").fetchone() == (7,)
    with pytest.raises(WarehouseError, match="permission denied"), connected(as_role(prepared, "cpam_2a1")) as other:
        other.execute("SELECT a FROM ars_99.later")


# --- the command


def test_provisioning_twice_changes_nothing(database_url: str) -> None:
    first = provision(database_url, [ARS], log=True)
    with connected(database_url) as admin:
        before = granted(admin)
        again = provision(database_url, [ARS], log=True)
        assert (again.added, again.removed, again.left) == ([], [], [])
        assert granted(admin) == before
        assert surplus(admin) == []
    assert Right("ars_99", "USAGE", "le schéma ars_99") in first.added
    assert Right("PUBLIC", "TEMPORARY", f"la base {first.database}") in first.removed


def test_provisioning_again_takes_back_what_was_granted_by_hand(prepared: str) -> None:
    by_hand = (
        "GRANT INSERT, UPDATE ON ars_99.t TO ars_99",
        "GRANT USAGE ON SCHEMA ars_99_staging TO ars_99",
        f"GRANT DELETE ON event TO {LOG_WRITER}",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
        "ALTER ROLE ars_99 CREATEDB",
    )
    with connected(prepared) as admin:
        for statement in by_hand:
            admin.execute(cast(LiteralString, statement))
        assert len(surplus(admin)) == 6
        made = provision(prepared, [ARS, CPAM], log=True)
        assert surplus(admin) == []
    assert len(made.removed) == 6


def test_a_membership_and_a_grant_on_one_column_are_seen_as_too_much(prepared: str) -> None:
    with connected(prepared) as admin:
        admin.execute("GRANT pg_read_all_data TO ars_99")
        admin.execute("GRANT SELECT (hash) ON event TO cpam_2a1")
        found = surplus(admin)
        admin.execute("REVOKE pg_read_all_data FROM ars_99")
    assert found == [
        Right("cpam_2a1", "SELECT", "la table public.event"),
        Right("pg_read_all_data", "MEMBER", "ars_99"),
    ]


def test_a_recipient_no_longer_configured_is_told_and_keeps_everything(prepared: str) -> None:
    made = provision(prepared, [ARS], log=True)
    assert (made.left, made.added, made.removed) == (["cpam_2a1"], [], [])
    with connected(as_role(prepared, "cpam_2a1")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert left(connection, [ARS, CPAM]) == []


def test_a_log_made_by_its_writer_changes_owner_and_keeps_its_events(database_url: str) -> None:
    with connected(database_url) as admin:
        admin.execute("DO $$ BEGIN CREATE ROLE old_owner LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
        admin.execute("GRANT CREATE ON SCHEMA public TO old_owner")
        create_log(as_role(database_url, "old_owner"))
        made = provision(database_url, None, log=True)
        assert Right(OWNER, "OWNER", "la table public.event") in made.added
        owners = admin.execute("""SELECT DISTINCT proowner::regrole::text FROM pg_proc
            WHERE proname IN ('event_refuse', 'event_check_next')""").fetchall()
        assert owners == [(OWNER,)]
    with pytest.raises(WarehouseError, match="pas de connexion"), connected(as_role(database_url, "old_owner")):
        pass


def test_the_log_lies_where_the_administrators_address_leads(database_url: str) -> None:
    with connected(database_url) as admin:
        admin.execute("CREATE SCHEMA hub")
        there = sa.make_url(database_url).update_query_dict({"options": "-csearch_path=hub"})
        for _ in range(2):
            made = provision(there.render_as_string(hide_password=False), None, log=True)
        assert (made.added, made.removed, surplus(admin)) == ([], [], [])
    log = open_log(as_role(database_url, LOG_WRITER), TickingClock())
    log.append(NewEvent("s", "DecisionTaken", {}, "key"), {})
    with connected(database_url) as admin:
        assert admin.execute("SELECT position FROM hub.event").fetchall() == [(1,)]


def test_tables_restored_by_an_administrator_go_back_to_the_publisher(prepared: str) -> None:
    with connected(prepared) as admin:
        admin.execute("CREATE TABLE ars_99.restored AS SELECT 7 AS a")
        assert provision(prepared, [ARS, CPAM], log=True).added == [
            Right("ars_99", "SELECT", "la table ars_99.restored"),
            Right(PUBLISHER, "OWNER", "la table ars_99.restored"),
        ]
    with connected(as_role(prepared, PUBLISHER)) as publisher:
        publisher.execute("DELETE FROM ars_99.restored")


def test_an_ordinary_account_cannot_provision(prepared: str) -> None:
    with pytest.raises(WarehouseError, match="n'est pas superutilisateur"):
        provision(as_role(prepared, PUBLISHER), [ARS], log=True)


def test_the_command_needs_an_administrator_and_tells_what_it_did(
    ecluse: Ecluse, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ecluse("provision").code, "ECLUSE_ADMIN_URL" in ecluse("provision").err) == (2, True)
    monkeypatch.setenv("ECLUSE_ADMIN_URL", database_url)
    said = ecluse("provision")
    assert (said.code, "rien à y préparer" in said.err) == (2, True)
    monkeypatch.setenv("ECLUSE_DATABASE_URL", as_role(database_url, LOG_WRITER))
    monkeypatch.setenv("ECLUSE_WAREHOUSE_URL", as_role(database_url, PUBLISHER))
    monkeypatch.setenv("ECLUSE_ADMIN_URL", as_role(database_url, "nobody_there"))
    assert ecluse("provision").code == 1
    monkeypatch.setenv("ECLUSE_ADMIN_URL", database_url)
    said = ecluse("provision")
    assert said.code == 0
    assert "+ ars_99 : USAGE sur le schéma ars_99\n" in said.out
    assert said.out.endswith("prête pour le journal, ars-99\n")
    again = ecluse("provision", "--json").json
    assert (again["added"], again["removed"], again["recipients"], again["log"]) == ([], [], ["ars-99"], True)
    assert "nobody_there" not in (home / "ecluse.toml").read_text()


# --- a hub under these roles


def test_a_hub_whose_accounts_are_the_provisioned_ones_ingests_publishes_verifies_and_is_sound(
    database_url: str, tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", as_role(database_url, LOG_WRITER))
    monkeypatch.setenv("ECLUSE_WAREHOUSE_URL", as_role(database_url, PUBLISHER))
    provision(database_url, [ARS], log=True)
    init_hub(tmp_path / "hub", recipients=["ars-99"])
    hub = open_hub(tmp_path / "hub")
    first, again = (deliveries.ingest(hub, the(export())) for _ in range(2))
    assert (first.status, again.status) == ("accepted", "already_known")
    [report] = publication.publish(hub)
    assert (report.recipient, report.status) == ("ars-99", "published")
    with connected(as_role(database_url, "ars_99")) as reader:
        for name, count in report.rows.items():
            query = cast(LiteralString, f"SELECT count(*) FROM {physical(product_of(report.recipient, report.product), name)}")
            assert reader.execute(query).fetchone() == (count,)
        assert reader.execute("SELECT product, number FROM publication").fetchall() == [(report.product, report.number)]
    assert state.verify(hub)["problems"] == []
    assert examine(hub)["findings"] == []
