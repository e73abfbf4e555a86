"""Roles, schemas and grants of a hub on PostgreSQL, made as an administrator named for this one command."""

import os
from dataclasses import asdict
from typing import Any

from flows.hub import Settings, WrongUsage

ADMIN_URL = "ECLUSE_ADMIN_URL"


def provision(settings: Settings) -> dict[str, Any]:
    """Make what the settings name in the administrator's database: the log, the recipients' schemas, or both.

    The address comes from the environment and is written nowhere. WrongUsage when the settings name nothing there.
    """
    import sqlalchemy as sa

    from warehouse.postgresql import is_postgresql
    from warehouse.roles import provision as make

    admin = os.environ.get(ADMIN_URL)
    if not admin:
        raise WrongUsage(f"donnez l'adresse d'un administrateur dans {ADMIN_URL} : postgresql+psycopg://postgres@…/ecluse")
    try:
        database = sa.make_url(admin).database
        log, tables = (
            is_postgresql(url) and sa.make_url(url).database == database
            for url in (settings.database_url, settings.warehouse_url)
        )
    except sa.exc.ArgumentError:
        raise WrongUsage("adresse de base illisible : attendu postgresql+psycopg://…") from None
    if not (log or tables):
        raise WrongUsage(f"ni database_url ni warehouse_url ne désignent la base {database} : rien à y préparer")
    made = make(admin, settings.recipients if tables else None, log=log)
    return {
        "database": made.database,
        "log": log,
        "recipients": [recipient.name for recipient in settings.recipients] if tables else [],
        "added": [asdict(right) for right in made.added],
        "removed": [asdict(right) for right in made.removed],
        "left": made.left if tables else [],
    }
