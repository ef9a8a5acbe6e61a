"""Alembic runs this file. The connection comes from `latency_db.migrate`, in a transaction that is ended there."""

from alembic import context

from latency_db.migrate import VERSION_TABLE
from latency_db.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
