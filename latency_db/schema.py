"""The tables. Runs are appended and never changed; reads take each record from its newest run.

A change here needs a migration in `latency_db/migrations`; a test compares the two.
"""

from datetime import UTC, datetime
from typing import get_args
from uuid import uuid4

from sqlalchemy import JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from latency_db.fields import Kind

KINDS: tuple[str, ...] = get_args(Kind)
SCHEMA_VERSION = 4  # SQLite's user_version; the migration of that number makes the schema
APPLICATION_ID = 0x6E617374  # "nast": marks SQLite files of nastool

# SQL conditions by constraint name; the limits are those of `latency_db.fields`. NaN and infinity are outside of them.
TARGET_CHECKS = {
    "batch_positive": "batch > 0",
    "threads_positive": "threads > 0",
    "cores_not_negative": "device_cores >= 0",
}
RUN_CHECKS = {
    "kind_known": f"kind IN {KINDS}",
    "planned_rounds_not_negative": "planned_rounds >= 0",
}
SAMPLE_CHECKS = {
    "round_not_negative": "round >= 0",
    "calls_positive": "calls > 0",
    "wall_ms_min_in_range": "wall_ms_min >= 0 AND wall_ms_min <= 1e9",
    "wall_ms_median_in_range": "wall_ms_median >= 0 AND wall_ms_median <= 1e9",
    "busy_ms_min_in_range": "busy_ms_min >= 0 AND busy_ms_min <= 1e9",
    "busy_ms_median_in_range": "busy_ms_median >= 0 AND busy_ms_median <= 1e9",
    "anchor_ms_in_range": "anchor_ms IS NULL OR (anchor_ms > 0 AND anchor_ms <= 1e9)",
    "place_known_or_minus_1": "place >= -1",
}


def utc_now() -> str:
    """The time as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_uid() -> str:
    """A name for a run that is the same in every database that it is copied to."""
    return uuid4().hex


def _checks(conditions: dict[str, str]) -> tuple[CheckConstraint, ...]:
    return tuple(CheckConstraint(condition, name=name) for name, condition in conditions.items())


class Base(DeclarativeBase):
    """Base of all tables."""


class TargetRow(Base):
    """A target: one column per field of `Target`."""

    __tablename__ = "targets"
    __table_args__ = _checks(TARGET_CHECKS)

    id: Mapped[str] = mapped_column(primary_key=True)
    device_model: Mapped[str]
    device_cores: Mapped[int]
    backend: Mapped[str]
    backend_version: Mapped[str]
    provider: Mapped[str]
    precision: Mapped[str]
    batch: Mapped[int]
    threads: Mapped[int]
    affinity: Mapped[str]
    os: Mapped[str]
    exporter: Mapped[str]
    protocol_version: Mapped[int]
    device_kind: Mapped[str]
    capability: Mapped[str]
    driver: Mapped[str]
    compute_precision: Mapped[str]
    clocks: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)


class RunRow(Base):
    """A run: one column per field of `ProfileRun`."""

    __tablename__ = "profile_runs"
    __table_args__ = _checks(RUN_CHECKS)

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(default=new_uid, index=True, unique=True)
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id"), index=True)
    kind: Mapped[str]
    origin: Mapped[str]
    conditions: Mapped[dict[str, object]] = mapped_column(JSON)
    space: Mapped[str]
    space_digest: Mapped[str]
    host: Mapped[str]
    code_version: Mapped[str]
    planned_rounds: Mapped[int]
    started_at: Mapped[str] = mapped_column(default=utc_now)
    finished_at: Mapped[str | None] = mapped_column(default=None)


class RecordRow(Base):
    """A block variant or a network that a run measures, with the hash of its graph."""

    __tablename__ = "records"

    run_id: Mapped[int] = mapped_column(ForeignKey("profile_runs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    graph_hash: Mapped[str]


class SampleRow(Base):
    """A record in one round: one column per field of `Sample`, and when it was taken."""

    __tablename__ = "samples"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "key"], ["records.run_id", "records.key"]),
        *_checks(SAMPLE_CHECKS),
    )

    run_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    calls: Mapped[int]
    wall_ms_min: Mapped[float]
    wall_ms_median: Mapped[float]
    busy_ms_min: Mapped[float]
    busy_ms_median: Mapped[float]
    raw_ms: Mapped[list[float]] = mapped_column(JSON)
    noise_reason: Mapped[str]
    anchor_ms: Mapped[float | None]
    place: Mapped[int]
    taken_at: Mapped[str] = mapped_column(default=utc_now)
