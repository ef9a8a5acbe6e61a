"""Rename tables and columns to the terms of the code, store unknown anchor times as NULL, and check values.

contexts -> targets, parts -> records, reference_ms -> anchor_ms, disturbed -> noise_reason,
precision_found -> compute_precision. The id of a target is a hash over its fields, so renaming a field changes it.

Rows with values that the new CHECK constraints refuse stop the migration: nastool never wrote them, and dropping them
would lose measurements without a word.

Revision: 0004
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

from latency_db.migrate import InvalidRows

revision = "0004"
down_revision = "0003"

# The fields of `Target` when this schema was made.
RUNTIME = ["device_model", "device_cores", "backend", "backend_version", "provider", "precision", "batch", "threads"]
SYSTEM = ["affinity", "os", "exporter", "protocol_version", "device_kind", "capability", "driver"]
FIELDS = [*RUNTIME, *SYSTEM, "compute_precision", "clocks"]

CHECKS = {
    "targets": {
        "batch_positive": "batch > 0",
        "threads_positive": "threads > 0",
        "cores_not_negative": "device_cores >= 0",
    },
    "profile_runs": {
        "kind_known": "kind IN ('profile', 'verify', 'fit', 'import', 'estimate')",
        "planned_rounds_not_negative": "planned_rounds >= 0",
    },
    "samples": {
        "round_not_negative": "round >= 0",
        "calls_positive": "calls > 0",
        "wall_ms_min_in_range": "wall_ms_min >= 0 AND wall_ms_min <= 1e9",
        "wall_ms_median_in_range": "wall_ms_median >= 0 AND wall_ms_median <= 1e9",
        "busy_ms_min_in_range": "busy_ms_min >= 0 AND busy_ms_min <= 1e9",
        "busy_ms_median_in_range": "busy_ms_median >= 0 AND busy_ms_median <= 1e9",
        "anchor_ms_in_range": "anchor_ms IS NULL OR (anchor_ms > 0 AND anchor_ms <= 1e9)",
        "place_known_or_minus_1": "place >= -1",
    },
}
ROW_NAMES = {"targets": ["id"], "profile_runs": ["id"], "samples": ["run_id", "key", "round"]}


def upgrade() -> None:
    op.rename_table("contexts", "targets")
    op.execute("ALTER TABLE targets RENAME COLUMN precision_found TO compute_precision")
    op.drop_index("ix_profile_runs_context_id", "profile_runs")
    op.execute("ALTER TABLE profile_runs RENAME COLUMN context_id TO target_id")
    op.create_index("ix_profile_runs_target_id", "profile_runs", ["target_id"])
    op.rename_table("parts", "records")
    op.execute("ALTER TABLE samples RENAME COLUMN disturbed TO noise_reason")
    op.execute("ALTER TABLE samples RENAME COLUMN reference_ms TO anchor_ms")
    with op.batch_alter_table("samples") as samples:
        samples.alter_column("anchor_ms", existing_type=sa.Double(), nullable=True, server_default=None)
    op.execute("UPDATE samples SET anchor_ms = NULL WHERE anchor_ms = 0")
    for table, conditions in CHECKS.items():
        _add_checks(table, conditions)
    _update_target_ids()


def _add_checks(table: str, conditions: dict[str, str]) -> None:
    names = ", ".join(ROW_NAMES[table])
    for condition in conditions.values():
        invalid = sa.text(f"SELECT {names} FROM {table} WHERE NOT ({condition})")
        if row := op.get_bind().execute(invalid).first():
            raise InvalidRows(f"table {table}, row {', '.join(map(str, row))}: {condition} does not hold")
    with op.batch_alter_table(table) as batch:
        for name, condition in conditions.items():
            batch.create_check_constraint(name, sa.text(condition))


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
