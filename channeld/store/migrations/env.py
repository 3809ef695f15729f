"""Alembic's environment: runs the steps on the connection it is given, inside of that connection's transaction."""

from alembic import context

from channeld.store.schema import metadata

connection = context.config.attributes["connection"]
# SQLite can roll back DDL once BEGIN is sent by ourselves (see database): a step killed half-way never was.
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
