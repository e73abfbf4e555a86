"""Who may do what in PostgreSQL: the roles, schemas and grants of a hub, made by one repeatable step.

``ecluse_owner`` owns the log and cannot log in. ``ecluse_log`` inserts and reads events. ``ecluse_publisher`` owns the
recipients' schemas. Each recipient has a login role that reads the schema of its name, and nothing else. Must never set a
password, nor drop a role or a schema: an administrator does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from warehouse.log import create_log
from warehouse.postgresql import Connection, WarehouseError, connected, written
from warehouse.recipients import Recipient
from warehouse.rights import LOG_WRITER, OWNER, PUBLISHER, RESTRICTED, Right, database, granted, left

OLDEST = 150000  # from PostgreSQL 15 on, PUBLIC creates nothing in the schema public
RECIPIENT_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "15min",
    "idle_in_transaction_session_timeout": "15min",
}
"""A recipient may change them for itself: they spare it, the grants bind it."""
CONNECTIONS = 10


@dataclass(frozen=True)
class Provisioned:
    """What a provisioning changed in a database; ``left``: schemas whose recipients are no longer configured."""

    database: str
    added: list[Right]
    removed: list[Right]
    left: list[str]


def provision(url: str, recipients: Sequence[Recipient] | None, *, log: bool) -> Provisioned:
    """Make roles, schemas and grants as an administrator (``url``), the log too when it is to be there; can be repeated.

    ``recipients`` is None when their tables are elsewhere. WarehouseError when the server or the account does not suit.
    """
    with connected(url) as connection:
        _suits(connection)
        before = granted(connection)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ecluse.provision', 0))")
            _close(connection)
            if log:
                _prepare_log(connection)
            if recipients is not None:
                _role(connection, PUBLISHER)
                for recipient in recipients:
                    _admit(connection, recipient)
            _lend_locks(connection)
        if log:
            options = sa.make_url(url).query.get("options", "")
            as_owner = sa.make_url(url).update_query_dict({"options": f"{options} -crole={OWNER}".strip()})
            create_log(as_owner.render_as_string(hide_password=False))
            with connection.transaction():
                _open_log(connection)
        after = granted(connection)
        return Provisioned(database(connection), sorted(after - before), sorted(before - after), left(connection, recipients))


def _suits(connection: Connection) -> None:
    if connection.info.server_version < OLDEST:
        raise WarehouseError("PostgreSQL 15 ou plus récent est nécessaire")
    if connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (True,):
        raise WarehouseError(f"{connection.info.user} n'est pas superutilisateur : ECLUSE_ADMIN_URL demande un administrateur")


def _close(connection: Connection) -> None:
    """What PostgreSQL lets anyone do in a new database, taken back: connect, temporary tables, schema public, and so on."""
    connection.execute(written("REVOKE ALL ON DATABASE {database} FROM PUBLIC", database=database(connection)))
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for signature, *_ in connection.execute(RESTRICTED).fetchall():
        connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.SQL(signature)))


def _lend_locks(connection: Connection) -> None:
    roles = [role for role in (OWNER, LOG_WRITER, PUBLISHER) if _is_role(connection, role)]
    for signature, _, locks, *_ in connection.execute(RESTRICTED).fetchall():
        for role in roles if locks else ():
            grant = sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}")
            connection.execute(grant.format(sql.SQL(signature), sql.Identifier(role)))


def _prepare_log(connection: Connection) -> None:
    """The roles of the log, and its schema: the one where the administrator's address leads, public by default."""
    schema = _log_schema(connection)
    _role(connection, OWNER, login=False)
    _role(connection, LOG_WRITER, {"search_path": schema, "synchronous_commit": "on"})
    connection.execute(written("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {writer}", schema=schema, writer=LOG_WRITER))
    connection.execute(written("GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner}", schema=schema, owner=OWNER))
    connection.execute(written("GRANT USAGE ON SCHEMA {schema} TO {writer}", schema=schema, writer=LOG_WRITER))
    others = """SELECT 'TABLE ' || c.oid::regclass FROM pg_class c WHERE relnamespace = %(schema)s::regnamespace
        AND relname IN ('event', 'alembic_version') AND relowner <> %(owner)s::regrole
        UNION ALL SELECT 'FUNCTION ' || p.oid::regprocedure FROM pg_proc p WHERE pronamespace = %(schema)s::regnamespace
        AND proname IN ('event_refuse', 'event_check_next') AND proowner <> %(owner)s::regrole"""
    quoted = {"schema": sql.Identifier(schema).as_string(connection), "owner": OWNER}
    for (thing,) in connection.execute(others, quoted).fetchall():  # a log that its writer made
        connection.execute(sql.SQL("ALTER {} OWNER TO {}").format(sql.SQL(thing), sql.Identifier(OWNER)))


def _open_log(connection: Connection) -> None:
    schema = _log_schema(connection)
    for table, rights in (("event", "SELECT, INSERT"), ("alembic_version", "SELECT")):
        names = {"schema": schema, "table": table, "writer": LOG_WRITER}
        connection.execute(written("REVOKE ALL ON {schema}.{table} FROM PUBLIC, {writer}", **names))
        parts = {key: sql.Identifier(name) for key, name in names.items()}
        connection.execute(sql.SQL("GRANT {rights} ON {schema}.{table} TO {writer}").format(rights=sql.SQL(rights), **parts))


def _admit(connection: Connection, recipient: Recipient) -> None:
    """A recipient's role, its schema, which it reads, and its staging schema, which it does not."""
    schema = recipient.schema
    _role(connection, schema, RECIPIENT_SETTINGS | {"search_path": schema})
    for place in (schema, recipient.staging_schema):
        names = {"schema": place, "publisher": PUBLISHER, "recipient": schema}
        connection.execute(written("CREATE SCHEMA IF NOT EXISTS {schema}", schema=place))
        connection.execute(written("ALTER SCHEMA {schema} OWNER TO {publisher}", schema=place, publisher=PUBLISHER))
        connection.execute(written("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {recipient}", schema=place, recipient=schema))
    for statement in (
        "GRANT USAGE ON SCHEMA {schema} TO {recipient}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {recipient}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {recipient}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {publisher} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {recipient}",
        "ALTER ROLE {recipient} CONNECTION LIMIT " + str(CONNECTIONS),
    ):
        parts = {key: sql.Identifier(name) for key, name in {**names, "schema": schema}.items()}
        connection.execute(sql.SQL(statement).format(**parts))


def _role(connection: Connection, name: str, settings: dict[str, str] | None = None, *, login: bool = True) -> None:
    """A role that has no power of its own over the server; one that is there keeps its password and loses the rest."""
    if not _is_role(connection, name):
        connection.execute(written("CREATE ROLE {name}", name=name))
    kind = "LOGIN" if login else "NOLOGIN"
    powers = f"ALTER ROLE {{}} {kind} INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    connection.execute(sql.SQL(powers).format(sql.Identifier(name)))
    names = {"name": name, "database": database(connection)}
    if login:
        connection.execute(written("GRANT CONNECT ON DATABASE {database} TO {name}", **names))
    for setting, value in (settings or {}).items():
        connection.execute(written("ALTER ROLE {name} IN DATABASE {database} SET {setting} TO {value_text}",
                                   **names, setting=setting, value_text=value))  # fmt: skip


def _is_role(connection: Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None


def _log_schema(connection: Connection) -> str:
    row = connection.execute("SELECT current_schema()").fetchone()
    if not row or row[0] is None:
        raise WarehouseError("aucun schéma où mettre le journal : search_path n'en désigne pas")
    return str(row[0])
