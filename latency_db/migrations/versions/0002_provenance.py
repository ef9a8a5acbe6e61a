"""Busy time for every kind of device, raw samples, what disturbed them, a fuller stack, and where a run comes from.

A stack's id is a hash over its fields, so with new fields it gets a new one; its rows go with it.

Revision: 0002
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# As `Context` had them when this schema was made; a later Context has a later migration.
STACK = ["device_model", "device_cores", "backend", "backend_version", "provider", "precision", "batch", "threads"]
SYSTEM = ["affinity", "os", "exporter", "protocol_version"]
ADDED = ["device_kind", "capability", "driver", "precision_found", "clocks"]
FIELDS = [*STACK, *SYSTEM, *ADDED]


def upgrade() -> None:
    for name, text in (("device_kind", "cpu"), ("capability", ""), ("driver", ""), ("clocks", "")):
        op.add_column("contexts", sa.Column(name, sa.String(), nullable=False, server_default=text))
    op.add_column("contexts", sa.Column("precision_found", sa.String(), nullable=False, server_default="fp32"))
    op.add_column("profile_runs", sa.Column("uid", sa.String(), nullable=False, server_default=""))
    op.add_column("profile_runs", sa.Column("kind", sa.String(), nullable=False, server_default="profile"))
    op.add_column("profile_runs", sa.Column("origin", sa.String(), nullable=False, server_default=""))
    op.add_column("profile_runs", sa.Column("conditions", sa.JSON(), nullable=False, server_default="{}"))
    op.execute("ALTER TABLE samples RENAME COLUMN cpu_ms_min TO busy_ms_min")
    op.execute("ALTER TABLE samples RENAME COLUMN cpu_ms_median TO busy_ms_median")
    op.add_column("samples", sa.Column("raw_ms", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("samples", sa.Column("disturbed", sa.String(), nullable=False, server_default=""))
    op.add_column("samples", sa.Column("reference_ms", sa.Double(), nullable=False, server_default="0"))
    _rename_stacks()
    _name_runs()
    op.create_index("ix_profile_runs_uid", "profile_runs", ["uid"], unique=True)
    op.create_index("ix_profile_runs_context_id", "profile_runs", ["context_id"])


def _rename_stacks() -> None:
    connection = op.get_bind()
    columns = ", ".join([*FIELDS, "created_at"])
    for row in connection.execute(sa.text(f"SELECT id, {columns} FROM contexts")).mappings().all():
        text = json.dumps({name: row[name] for name in FIELDS}, sort_keys=True)
        ids = {"old": row["id"], "new": hashlib.sha256(text.encode()).hexdigest()[:16]}
        for statement in (
            f"INSERT INTO contexts (id, {columns}) SELECT :new, {columns} FROM contexts WHERE id = :old",
            "UPDATE profile_runs SET context_id = :new WHERE context_id = :old",
            "DELETE FROM contexts WHERE id = :old",
        ):
            connection.execute(sa.text(statement), ids)


def _name_runs() -> None:
    """A name that comes from what the run is, so that two copies of a file agree on it."""
    connection = op.get_bind()
    runs = "SELECT id, context_id, space_digest, host, started_at FROM profile_runs"
    for row in connection.execute(sa.text(runs)).all():
        uid = hashlib.sha256(json.dumps(list(row)).encode()).hexdigest()[:32]
        connection.execute(sa.text("UPDATE profile_runs SET uid = :uid WHERE id = :id"), {"uid": uid, "id": row.id})
