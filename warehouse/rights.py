"""What PostgreSQL's catalogues say of who may do what in a hub's database, and what of it is too much.

Any role may read them, so that ``ecluse doctor`` needs no administrator. Must never change anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from warehouse.postgresql import Connection
from warehouse.recipients import Recipient

OWNER, LOG_WRITER, PUBLISHER = "ecluse_owner", "ecluse_log", "ecluse_publisher"
PUBLIC = "PUBLIC"
LOCKS = "pg_catalog.pg_*advisory*"
RESTRICTED = """
SELECT p.oid::regprocedure::text, p.proname, p.proname LIKE '%\\_advisory\\_%' AS locks, p.proacl, p.proowner FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace
AND (p.proname LIKE 'pg\\_%\\_advisory\\_%' OR p.proname LIKE 'pg\\_advisory\\_%'
     OR p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'pg_logical_emit_message'))
"""
"""What anyone may call, and must not here: the log's lock can be held by whoever takes it, the others write to disk."""
NOT_SYSTEM = "n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
GRANTED = f"""
SELECT rolname, attribute, 'ce serveur' FROM pg_roles, LATERAL (VALUES ('LOGIN', rolcanlogin), ('SUPERUSER', rolsuper),
    ('CREATEDB', rolcreatedb), ('CREATEROLE', rolcreaterole), ('REPLICATION', rolreplication), ('BYPASSRLS', rolbypassrls)
) AS a (attribute, has) WHERE has
UNION ALL
SELECT roleid::regrole::text, 'MEMBER', member::regrole::text FROM pg_auth_members
UNION ALL
SELECT setrole::regrole::text, 'SET ' || setting, 'la base ' || current_database()
FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setrole <> 0 AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, 'la base ' || datname
FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
WHERE datname = current_database() AND grantee <> datdba
UNION ALL
SELECT nspowner::regrole::text, 'OWNER', 'le schéma ' || nspname FROM pg_namespace n WHERE {NOT_SYSTEM}
UNION ALL
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, 'le schéma ' || nspname
FROM pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) WHERE {NOT_SYSTEM} AND grantee <> nspowner
UNION ALL
SELECT relowner::regrole::text, 'OWNER', 'la table ' || nspname || '.' || relname
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {NOT_SYSTEM} AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
UNION ALL
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type,
    'la table ' || nspname || '.' || relname
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
LEFT JOIN pg_attribute ON attrelid = c.oid AND attacl IS NOT NULL,
LATERAL (SELECT * FROM aclexplode(relacl) UNION SELECT * FROM aclexplode(attacl)) AS granted
WHERE {NOT_SYSTEM} AND grantee <> relowner
UNION ALL
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type,
    CASE WHEN locks THEN '{LOCKS}' ELSE 'pg_catalog.' || proname END
FROM ({RESTRICTED}) p, aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee <> proowner
UNION ALL
SELECT grantee::regrole::text, privilege_type, 'les tables à venir de ' || nspname
FROM pg_default_acl JOIN pg_namespace n ON n.oid = defaclnamespace, aclexplode(defaclacl) WHERE grantee <> defaclrole
"""  # noqa: S608


@dataclass(frozen=True, order=True)
class Right:
    """A fact that the server's catalogues tell: a role, what it may do or is, and on what."""

    role: str
    what: str
    on: str

    def __str__(self) -> str:
        return f"{self.role} : {self.what} sur {self.on}"


def granted(connection: Connection) -> set[Right]:
    """What the catalogues say of PUBLIC, of the hub's own roles and of the recipients' of this database."""
    names = {OWNER, LOG_WRITER, PUBLISHER, PUBLIC, *schemas(connection)}
    found = (Right(*row) for row in connection.execute(GRANTED))
    return {right for right in found if right.role in names or (right.what == "MEMBER" and right.on in names)}


def surplus(connection: Connection) -> list[Right]:
    """What is granted to PUBLIC, to the hub's roles or to recipients beyond what ``provision`` grants."""
    names, base = schemas(connection), f"la base {database(connection)}"
    fair = {Right(role, "CONNECT", base) for role in (LOG_WRITER, PUBLISHER)}
    fair |= {Right(role, "LOGIN", "ce serveur") for role in (LOG_WRITER, PUBLISHER, *names)}
    fair |= {Right(role, "EXECUTE", LOCKS) for role in (OWNER, LOG_WRITER, PUBLISHER)}
    for log in _logs(connection):
        fair |= {Right(OWNER, what, f"le schéma {log}") for what in ("USAGE", "CREATE")}
        fair |= {Right(LOG_WRITER, "USAGE", f"le schéma {log}")}
        fair |= {Right(OWNER, "OWNER", f"la table {log}.{name}") for name in ("event", "alembic_version")}
        fair |= {Right(LOG_WRITER, what, f"la table {log}.event") for what in ("INSERT", "SELECT")}
        fair |= {Right(LOG_WRITER, "SELECT", f"la table {log}.alembic_version")}
    for name in names:
        fair |= {Right(name, "CONNECT", base), Right(name, "USAGE", f"le schéma {name}")}
        fair |= {Right(PUBLISHER, "OWNER", f"le schéma {place}") for place in (name, f"{name}_staging")}
        fair |= {Right(name, "SELECT", f"les tables à venir de {name}")}
    return sorted(right for right in granted(connection) - fair if not _usual(right, names))


def left(connection: Connection, recipients: Sequence[Recipient] | None) -> list[str]:
    """Schemas of recipients that the settings no longer name."""
    return sorted(set(schemas(connection)) - {recipient.schema for recipient in recipients or ()})


def _usual(right: Right, names: Sequence[str]) -> bool:
    """Rights on tables that come and go with publications, and settings, which grant nothing."""
    schema = right.on.removeprefix("la table ").split(".")[0]
    if right.on.startswith("la table "):
        reads = right.role == schema and right.what == "SELECT" and schema in names
        return reads or (right.role == PUBLISHER and right.what == "OWNER" and schema.removesuffix("_staging") in names)
    return right.what.startswith("SET ")


def schemas(connection: Connection) -> list[str]:
    """The recipients' schemas of this database: the publisher's, whose name is that of a role."""
    query = """SELECT nspname FROM pg_namespace JOIN pg_roles r ON r.rolname = nspname
        WHERE pg_get_userbyid(nspowner) = %s ORDER BY nspname"""
    return [name for (name,) in connection.execute(query, [PUBLISHER])]


def database(connection: Connection) -> str:
    return connection.info.dbname


def _logs(connection: Connection) -> list[str]:
    """The schemas that hold a log of the owner's."""
    query = """SELECT relnamespace::regnamespace::text FROM pg_class
        WHERE relname = 'event' AND relkind = 'r' AND pg_get_userbyid(relowner) = %s"""
    return [name for (name,) in connection.execute(query, [OWNER])]
