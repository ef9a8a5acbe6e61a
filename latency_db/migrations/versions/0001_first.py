"""The first schema: stacks, runs, parts and samples with CPU times.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "contexts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("device_model", sa.String(), nullable=False),
        sa.Column("device_cores", sa.Integer(), nullable=False),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("backend_version", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("precision", sa.String(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("affinity", sa.String(), nullable=False),
        sa.Column("os", sa.String(), nullable=False),
        sa.Column("exporter", sa.String(), nullable=False),
        sa.Column("protocol_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
    )
    op.create_table(
        "profile_runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("context_id", sa.String(), sa.ForeignKey("contexts.id"), nullable=False),
        sa.Column("space", sa.String(), nullable=False),
        sa.Column("space_digest", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("planned_rounds", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("finished_at", sa.String(), nullable=True),
    )
    op.create_table(
        "parts",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("profile_runs.id"), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("graph_hash", sa.String(), nullable=False),
    )
    op.create_table(
        "samples",
        sa.Column("run_id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("round", sa.Integer(), primary_key=True),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("wall_ms_min", sa.Double(), nullable=False),
        sa.Column("wall_ms_median", sa.Double(), nullable=False),
        sa.Column("cpu_ms_min", sa.Double(), nullable=False),
        sa.Column("cpu_ms_median", sa.Double(), nullable=False),
        sa.Column("taken_at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id", "key"], ["parts.run_id", "parts.key"]),
    )
