"""``ecluse doctor`` finds each unsafe setting, says what to do, and finds nothing in a hub set up as documented."""

from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, cast

import pytest
import sqlalchemy as sa
from conftest import Ecluse
from killable import wait_for

from flows import doctor
from flows.doctor import examine
from flows.hub import TEST_CLOCK, Hub, init_hub, open_hub
from warehouse.log import create_log
from warehouse.log_database import connect
from warehouse.postgresql import connected
from warehouse.recipients import recipient
from warehouse.rights import LOG_WRITER, PUBLISHER
from warehouse.roles import provision


def as_role(url: str, name: str) -> str:
    return sa.make_url(url).set(username=name).render_as_string(hide_password=False)


def found(hub: Hub) -> list[str]:
    """What is refused."""
    answer = examine(hub)
    refused = [finding for finding in answer["findings"] if finding["refused"]]
    assert answer["sound"] == (not refused)
    assert all(finding["remedy"] for finding in answer["findings"])
    return [f"{finding['subject']} : {finding['problem']}" for finding in refused]


def only(hub: Hub) -> str:
    [one] = found(hub)
    return one


def act(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.execute(cast(LiteralString, statement))


@pytest.fixture
def real(tmp_path: Path) -> Hub:
    """A hub on SQLite that is no trial."""
    init_hub(tmp_path / "real")
    return open_hub(tmp_path / "real")


@pytest.fixture
def served(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub on a PostgreSQL provisioned for one recipient."""
    monkeypatch.setenv("ECLUSE_DATABASE_URL", as_role(database_url, LOG_WRITER))
    monkeypatch.setenv("ECLUSE_WAREHOUSE_URL", as_role(database_url, PUBLISHER))
    provision(database_url, [recipient("ars-99")], log=True)
    init_hub(tmp_path / "served", recipients=["ars-99"])
    return open_hub(tmp_path / "served")


# --- on this machine


def test_a_new_hub_is_sound(real: Hub) -> None:
    assert examine(real) == {
        "sound": True,
        "looked_at": ["dossier", "horloge", "octets", "journal", "tables", "prefect"],
        "findings": [],
    }


def test_a_folder_that_others_can_open_is_refused_inside_the_home_and_out_of_it(
    real: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real.settings.home.chmod(0o750)
    assert only(real) == f"dossier : {real.settings.home} est accessible à d'autres comptes"
    real.settings.home.chmod(0o700)
    (tmp_path / "shared").mkdir(mode=0o755)
    monkeypatch.setenv("ECLUSE_STORE_URL", str(tmp_path / "shared"))
    assert only(open_hub(real.settings.home)) == f"dossier : {tmp_path}/shared est accessible à d'autres comptes"


def test_a_nearly_full_disk_is_refused(real: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_BYTES", 1 << 62)
    assert "Mio libres seulement" in only(real)


def test_a_fixed_clock_is_refused_and_a_trial_hub_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(hub) == f"horloge : {TEST_CLOCK} fixe l'horloge"
    monkeypatch.delenv(TEST_CLOCK)
    assert found(hub) == []
    assert [finding["problem"] for finding in examine(hub)["findings"]] == ["hub d'essai : il accepte une horloge fixe"]


def test_a_store_where_nothing_can_be_written_is_refused(real: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    (real.settings.home / "file").write_text("")
    monkeypatch.setenv("ECLUSE_STORE_URL", str(real.settings.home / "file"))
    assert only(open_hub(real.settings.home)).startswith("octets : on ne peut pas y écrire")
    monkeypatch.setenv("ECLUSE_STORE_URL", "nosuchstore://bucket")
    assert only(open_hub(real.settings.home)).startswith("octets : on ne peut pas y écrire")
    monkeypatch.setenv("ECLUSE_STORE_URL", "memory://bucket")
    assert found(open_hub(real.settings.home)) == []


def test_a_missing_trigger_is_refused(real: Hub) -> None:
    with connect(real.settings.database_url).begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER event_no_delete")
    assert only(real).startswith("journal : le déclencheur event_no_delete manque")


def test_a_log_that_is_not_there_is_told(real: Hub) -> None:
    (real.settings.home / "ecluse.db").unlink()
    assert only(real).startswith("journal : pas de journal à ")


def test_analytics_asked_for_are_refused(real: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    assert only(real).startswith("prefect : PREFECT_SERVER_ANALYTICS_ENABLED")


def test_the_command_ends_with_1_and_says_what_to_do(ecluse: Ecluse, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ecluse("doctor")
    assert (said.code, "unset ECLUSE_NOW" in said.out, "À corriger" in said.out) == (1, True, True)
    assert not ecluse("doctor", "--json").json["sound"]
    monkeypatch.delenv(TEST_CLOCK)
    said = ecluse("doctor")
    assert (said.code, "Rien de dangereux." in said.out) == (0, True)


# --- on PostgreSQL


def test_a_provisioned_hub_is_sound(served: Hub) -> None:
    assert examine(served)["findings"] == []


def test_a_superuser_at_run_time_is_refused_for_the_log_and_for_the_tables(
    served: Hub, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", database_url)
    told = found(open_hub(served.settings.home))
    assert {f"journal : postgres est {power} à l'exécution" for power in ("SUPERUSER", "BYPASSRLS", "CREATEROLE")} <= set(told)
    assert "journal : postgres possède la table event, ou le peut" in told
    monkeypatch.setenv("ECLUSE_DATABASE_URL", as_role(database_url, LOG_WRITER))
    monkeypatch.setenv("ECLUSE_WAREHOUSE_URL", database_url)
    assert "tables : postgres est SUPERUSER à l'exécution" in found(open_hub(served.settings.home))


@pytest.mark.parametrize("power", ["BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"])
def test_a_power_over_the_server_is_refused(served: Hub, database_url: str, power: str) -> None:
    act(database_url, f"ALTER ROLE {LOG_WRITER} {power}")
    assert f"journal : {LOG_WRITER} est {power} à l'exécution" in found(served)


@pytest.mark.parametrize("right", doctor.LOG_RIGHTS)
def test_a_right_to_more_than_reading_and_adding_events_is_refused(served: Hub, database_url: str, right: str) -> None:
    act(database_url, f"GRANT {right} ON event TO {LOG_WRITER}")
    told = found(served)
    assert f"journal : {LOG_WRITER} a le droit {right} sur la table event" in told
    assert f"journal : de trop : {LOG_WRITER} : {right} sur la table public.event" in told


def test_the_owner_of_its_log_is_refused(served: Hub, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    act(
        database_url,
        "DO $$ BEGIN CREATE ROLE old_hub LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
        f"GRANT CONNECT ON DATABASE {sa.make_url(database_url).database} TO old_hub",
        "GRANT CREATE, USAGE ON SCHEMA public TO old_hub",
        "GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint) TO old_hub",
        "DROP TABLE event, alembic_version",
        "DROP FUNCTION event_refuse, event_check_next",
    )
    create_log(as_role(database_url, "old_hub"))
    monkeypatch.setenv("ECLUSE_DATABASE_URL", as_role(database_url, "old_hub"))
    assert "journal : old_hub possède la table event, ou le peut" in found(open_hub(served.settings.home))


def test_triggers_switched_off_are_refused(served: Hub, database_url: str) -> None:
    act(database_url, "ALTER TABLE event DISABLE TRIGGER event_next_only")
    assert only(served).startswith("journal : le déclencheur event_next_only manque ou est coupé")


def test_commits_that_do_not_wait_for_the_disk_are_refused(served: Hub, database_url: str) -> None:
    name = sa.make_url(database_url).database
    act(database_url, f"ALTER ROLE {LOG_WRITER} IN DATABASE {name} SET synchronous_commit = off")
    assert only(served).startswith("journal : synchronous_commit = off")
    provision(database_url, [recipient("ars-99")], log=True)
    assert found(served) == [], "the command puts it right"


@pytest.fixture
def careless(database_url: str) -> Iterator[None]:
    """A server that writes as if no cut could come."""
    names = ("fsync", "full_page_writes")

    def shown() -> set[str]:
        with connected(database_url) as connection:
            rows = [connection.execute(cast(LiteralString, f"SHOW {name}")).fetchone() for name in names]
        return {str(row[0]) for row in rows if row}

    act(database_url, *(f"ALTER SYSTEM SET {name} = off" for name in names), "SELECT pg_reload_conf()")
    wait_for(lambda: shown() == {"off"})
    yield
    act(database_url, *(f"ALTER SYSTEM RESET {name}" for name in names), "SELECT pg_reload_conf()")
    wait_for(lambda: shown() == {"on"})


@pytest.mark.usefixtures("careless")
def test_a_server_that_does_not_write_to_disk_is_refused(served: Hub) -> None:
    told = {text.split(" :")[0] + text.split(" :")[1] for text in found(served)}
    assert told == {
        f"{subject} {name} = off" for subject in ("journal", "tables") for name in ("fsync", "full_page_writes")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("GRANT USAGE ON SCHEMA ars_99 TO PUBLIC", "PUBLIC : USAGE sur le schéma ars_99"),
        ("GRANT USAGE ON SCHEMA ars_99_staging TO ars_99", "ars_99 : USAGE sur le schéma ars_99_staging"),
        ("CREATE TABLE ars_99.t AS SELECT 1; GRANT UPDATE ON ars_99.t TO ars_99", "ars_99 : UPDATE sur la table ars_99.t"),
        ("GRANT CREATE ON SCHEMA ars_99 TO ars_99", "ars_99 : CREATE sur le schéma ars_99"),
        ("GRANT SELECT ON event TO ars_99", "ars_99 : SELECT sur la table public.event"),
        ("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC", "PUBLIC : EXECUTE sur pg_catalog.pg_*advisory*"),
    ],
)
def test_whoever_sees_or_does_too_much_is_refused(served: Hub, database_url: str, statement: str, told: str) -> None:
    act(database_url, *statement.split("; "))
    assert only(served) == f"journal : de trop : {told}"


def test_recipients_without_schema_are_refused_and_schemas_without_recipient_told(served: Hub, tmp_path: Path) -> None:
    config = served.settings.home / "ecluse.toml"
    config.write_text(config.read_text().replace("ars-99", "ars-76"))
    answer = examine(open_hub(served.settings.home))
    assert [(finding["problem"], finding["refused"]) for finding in answer["findings"]] == [
        ("ars-76 n'a pas de schéma ars_76", True),
        ("le schéma et le rôle ars_99 ne sont plus à aucun destinataire inscrit", False),
    ]


def test_a_server_that_does_not_answer_is_told(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", f"postgresql+psycopg://x:secret@/x?host={tmp_path}")
    monkeypatch.setenv("ECLUSE_WAREHOUSE_URL", f"postgresql+psycopg://x:secret@/x?host={tmp_path}")
    told = found(open_hub(served.settings.home))
    assert [text.split(" : ")[0] for text in told] == ["journal", "tables"]
    assert "secret" not in "".join(told)
