"""The event table, append-only by trigger.

The triggers bind whoever writes past the log's own code; who owns the database can drop them, which ``verify`` shows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SQLITE = """
CREATE TRIGGER event_no_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'the event log is append-only: UPDATE refused'); END;

CREATE TRIGGER event_no_delete BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'the event log is append-only: DELETE refused'); END;

-- INSERT OR REPLACE removes the row it collides with, and fires no DELETE trigger unless the connection asked for it:
-- so whatever could collide is refused beforehand.
CREATE TRIGGER event_next_only BEFORE INSERT ON event
BEGIN
    SELECT RAISE(ABORT, 'the event log is append-only: position is not the next')
    WHERE NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM event);
    SELECT RAISE(ABORT, 'the event log is append-only: version is not the next of its stream')
    WHERE NEW.version IS NOT (SELECT coalesce(max(version), 0) + 1 FROM event WHERE stream = NEW.stream);
    SELECT RAISE(ABORT, 'the event log is append-only: idempotency key exists')
    WHERE EXISTS (SELECT 1 FROM event WHERE idempotency_key = NEW.idempotency_key);
END;
"""

POSTGRESQL = """
CREATE FUNCTION event_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % refused', TG_OP;
END $$;

-- search_path is kept from the migration: restoring and replicating sessions run with an empty one
CREATE FUNCTION event_check_next() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.position IS DISTINCT FROM (SELECT coalesce(max(position), 0) + 1 FROM event) THEN
        RAISE EXCEPTION 'the event log is append-only: position is not the next';
    END IF;
    IF NEW.version IS DISTINCT FROM (SELECT coalesce(max(version), 0) + 1 FROM event WHERE stream = NEW.stream) THEN
        RAISE EXCEPTION 'the event log is append-only: version is not the next of its stream';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER event_no_update BEFORE UPDATE ON event FOR EACH STATEMENT EXECUTE FUNCTION event_refuse();
CREATE TRIGGER event_no_delete BEFORE DELETE ON event FOR EACH STATEMENT EXECUTE FUNCTION event_refuse();
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION event_refuse();
CREATE TRIGGER event_next_only BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION event_check_next();
ALTER TABLE event ENABLE ALWAYS TRIGGER event_no_update;
ALTER TABLE event ENABLE ALWAYS TRIGGER event_no_delete;
ALTER TABLE event ENABLE ALWAYS TRIGGER event_no_truncate;
ALTER TABLE event ENABLE ALWAYS TRIGGER event_next_only;
"""


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),  # INTEGER is the row id in SQLite, BIGINT is not
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.UniqueConstraint("stream", "version"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in SQLITE.split("\n\n"):  # the driver takes one statement at a time
            op.execute(statement)
    else:
        op.execute(POSTGRESQL)
