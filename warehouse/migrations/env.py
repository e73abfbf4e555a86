"""Alembic's entry point: runs the versions inside the transaction, and under the lock, that ``create_log`` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
