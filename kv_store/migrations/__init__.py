"""Alembic migrations of the store's index, run when a store is opened."""
