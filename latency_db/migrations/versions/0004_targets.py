"""Rename contexts to targets and the anchor network to the anchor network; unknown anchor times become NULL.

A target's id is a hash over its fields, so renaming a field changes every id.

Revision: 0004
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# The fields of `Target` when this schema was made.
RUNTIME = ["device_model", "device_cores", "backend", "backend_version", "provider", "precision", "batch", "threads"]
SYSTEM = ["affinity", "os", "exporter", "protocol_version", "device_kind", "capability", "driver"]
FIELDS = [*RUNTIME, *SYSTEM, "compute_precision", "clocks"]


def upgrade() -> None:
    op.rename_table("contexts", "targets")
    op.execute("ALTER TABLE targets RENAME COLUMN precision_found TO compute_precision")
    op.drop_index("ix_profile_runs_context_id", "profile_runs")
    op.execute("ALTER TABLE profile_runs RENAME COLUMN context_id TO target_id")
    op.create_index("ix_profile_runs_target_id", "profile_runs", ["target_id"])
    op.execute("ALTER TABLE samples RENAME COLUMN reference_ms TO anchor_ms")
    op.execute("ALTER TABLE samples RENAME COLUMN disturbed TO noise_reason")
    with op.batch_alter_table("samples") as samples:
        samples.alter_column("anchor_ms", existing_type=sa.Double(), nullable=True, server_default=None)
    op.execute("UPDATE samples SET anchor_ms = NULL WHERE anchor_ms = 0")
    _update_target_ids()


def _update_target_ids() -> None:
    connection = op.get_bind()
    columns = ", ".join([*FIELDS, "created_at"])
    for row in connection.execute(sa.text(f"SELECT id, {columns} FROM targets")).mappings().all():
        text = json.dumps({name: row[name] for name in FIELDS}, sort_keys=True)
        ids = {"old": row["id"], "new": hashlib.sha256(text.encode()).hexdigest()[:16]}
        for statement in (
            f"INSERT INTO targets (id, {columns}) SELECT :new, {columns} FROM targets WHERE id = :old",
            "UPDATE profile_runs SET target_id = :new WHERE target_id = :old",
            "DELETE FROM targets WHERE id = :old",
        ):
            connection.execute(sa.text(statement), ids)
