"""How one schema becomes the next: Alembic's scripts, run by `latency_db.migrate` in one transaction."""
