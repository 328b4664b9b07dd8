"""Runs the migrations on the connection that the store hands over, within its transaction."""

from alembic import context

from kv_store.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
