"""One module per step of the index's schema, oldest first."""
