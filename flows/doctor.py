"""Whether a hub is set up safely: what would let the log be altered, an event be lost, or a recipient see too much.

Looks with the very accounts that the hub runs under. Must never change a setting, nor say what a row holds.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.hub import TEST_CLOCK, Hub, Settings

if TYPE_CHECKING:
    from warehouse.postgresql import Connection

FREE_BYTES = 1 << 30
POWERS = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
SAFE = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "local", "remote_write", "remote_apply")}
"""Server settings without which an event that was acknowledged can be lost, and the values that keep it."""
LOG_RIGHTS = ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES")
PROVISION = "lancez « ecluse provision » avec ECLUSE_ADMIN_URL"


@dataclass(frozen=True)
class Finding:
    """What was looked at (``subject``), what is wrong with it, what to do. Unsafe ones are refused, others only told."""

    subject: str
    problem: str
    remedy: str
    refused: bool = True


def examine(hub: Hub) -> dict[str, Any]:
    """Look at everything: ``sound`` when nothing is refused, ``findings``, and the subjects that were looked at."""
    settings = hub.settings
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "dossier": partial(_home, settings),
        "horloge": partial(_clock, settings),
        "octets": partial(_store, hub),
        "journal": partial(_log, settings),
        "tables": partial(_tables, settings),
        "prefect": _prefect,
    }
    findings = [finding for look in looks.values() for finding in look()]
    return {
        "sound": not any(finding.refused for finding in findings),
        "looked_at": list(looks),
        "findings": [asdict(finding) for finding in findings],
    }


def _home(settings: Settings) -> Iterator[Finding]:
    """Pseudonymised data of patients lies in these folders."""
    for folder in filter(Path.is_dir, _folders(settings)):
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            yield Finding("dossier", f"{folder} est accessible à d'autres comptes", f"chmod 700 {folder}")
    free = shutil.disk_usage(settings.home).free
    if free < FREE_BYTES:
        yield Finding("dossier", f"{free >> 20} Mio libres seulement sous {settings.home}", "libérez de la place")


def _folders(settings: Settings) -> list[Path]:
    """The home, and what the settings place outside of it on this machine."""
    urls = (settings.store_url, settings.warehouse_url, settings.database_url.removeprefix("sqlite:///"))
    named = [Path(url).absolute() for url in urls if "://" not in url]
    outside = [path if path.suffix != ".db" else path.parent for path in named if not path.is_relative_to(settings.home)]
    return [settings.home, *outside]


def _clock(settings: Settings) -> Iterator[Finding]:
    if os.environ.get(TEST_CLOCK):
        yield Finding("horloge", f"{TEST_CLOCK} fixe l'horloge", f"unset {TEST_CLOCK}")
    if settings.test:
        yield Finding("horloge", "hub d'essai : il accepte une horloge fixe", "pas de données réelles ici", refused=False)


def _store(hub: Hub) -> Iterator[Finding]:
    url = hub.settings.store_url
    try:
        if "://" not in url.removeprefix("file://"):
            with hub.blobs.scratch(".doctor") as path:
                path.touch()
        else:
            from fsspec.core import url_to_fs

            files, root = url_to_fs(url)
            files.pipe_file(f"{root}/.doctor", b"")
            files.rm_file(f"{root}/.doctor")
    except Exception as problem:  # each kind of store has its own
        told = f"on ne peut pas y écrire ({type(problem).__name__})"
        yield Finding("octets", told, "vérifiez store_url, les droits et les accès")


def _log(settings: Settings) -> Iterator[Finding]:
    from warehouse.log import LogError, open_log
    from warehouse.log_database import connect, missing_triggers, transaction
    from warehouse.postgresql import is_postgresql

    url = settings.database_url
    try:
        open_log(url, _never)
        engine = connect(url)
        with transaction(engine) as connection:
            missing = missing_triggers(connection)
            if engine.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
                told = "SQLite n'y tient pas son journal d'écriture (WAL) : partage réseau ?"
                yield Finding("journal", told, "mettez le hub sur un disque local")
        engine.dispose()
    except LogError as error:
        yield Finding("journal", str(error), PROVISION if is_postgresql(url) else "lancez « ecluse init »")
        return
    for name in sorted(missing):
        remedy = "cherchez qui l'a retiré, « ecluse verify », puis restaurez une sauvegarde saine"
        yield Finding("journal", f"le déclencheur {name} manque ou est coupé : le journal peut être altéré", remedy)
    if is_postgresql(url):
        yield from _server("journal", url, _log_rights)


def _tables(settings: Settings) -> Iterator[Finding]:
    from warehouse.postgresql import is_postgresql

    if is_postgresql(settings.warehouse_url):
        yield from _server("tables", settings.warehouse_url, partial(_recipients, settings))


def _server(subject: str, url: str, more: "Callable[[Connection], Iterator[Finding]]") -> Iterator[Finding]:
    """What makes a PostgreSQL unsafe for the account that this address names, and for what it holds."""
    from warehouse.postgresql import WarehouseError, connected
    from warehouse.rights import surplus

    try:
        with connected(url) as connection:
            found = [*_powers(subject, connection), *_durability(subject, connection), *more(connection)]
            found += [
                Finding(subject, f"de trop : {right}", PROVISION + ", ou retirez ce droit") for right in surplus(connection)
            ]
    except WarehouseError as error:
        found = [Finding(subject, str(error), "vérifiez l'adresse, le compte et le serveur")]
    yield from found


def _powers(subject: str, connection: "Connection") -> Iterator[Finding]:
    """A superuser reads and alters everything, whatever was granted: no hub runs as one."""
    query = """SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls
        FROM pg_roles WHERE rolname = current_user"""
    row = connection.execute(query).fetchone() or ()
    for power, has in zip(POWERS, row, strict=True):
        if has:
            remedy = f"nommez dans le réglage un compte ordinaire ({PROVISION})"
            yield Finding(subject, f"{connection.info.user} est {power} à l'exécution", remedy)


def _durability(subject: str, connection: "Connection") -> Iterator[Finding]:
    for name, safe in SAFE.items():
        (value,) = connection.execute("SELECT current_setting(%s)", [name]).fetchone() or ("",)
        if value not in safe:
            remedy = f"{name} = on dans postgresql.conf, et ALTER ROLE … RESET {name}"
            yield Finding(subject, f"{name} = {value} : une panne peut perdre ce qui fut confirmé", remedy)


def _log_rights(connection: "Connection") -> Iterator[Finding]:
    """Who writes the log owns nothing of it: an owner drops triggers."""
    user = connection.info.user
    owner = "SELECT pg_has_role(current_user, relowner, 'MEMBER') FROM pg_class WHERE oid = to_regclass('event')"
    if connection.execute(owner).fetchone() == (True,):
        yield Finding("journal", f"{user} possède la table event, ou le peut", f"{PROVISION}, puis nommez ecluse_log")
        return
    for right in LOG_RIGHTS:
        if connection.execute("SELECT has_table_privilege('event', %s)", [right]).fetchone() == (True,):
            yield Finding("journal", f"{user} a le droit {right} sur la table event", PROVISION)


def _recipients(settings: Settings, connection: "Connection") -> Iterator[Finding]:
    from warehouse.rights import left, schemas

    there = schemas(connection)
    for recipient in settings.recipients:
        if recipient.schema not in there:
            yield Finding("tables", f"{recipient.name} n'a pas de schéma {recipient.schema}", PROVISION)
    for schema in left(connection, settings.recipients):
        told = f"le schéma et le rôle {schema} ne sont plus à aucun destinataire inscrit"
        yield Finding("tables", told, "un administrateur peut les supprimer", refused=False)


def _prefect() -> Iterator[Finding]:
    name = "PREFECT_SERVER_ANALYTICS_ENABLED"
    if os.environ.get(name, "false").lower() not in ("false", "0", "no", "off"):
        yield Finding("prefect", f"{name} laisse Prefect envoyer des statistiques au dehors", f"export {name}=false")


def _never() -> Any:
    raise AssertionError("looking writes no event")
