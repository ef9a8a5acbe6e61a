"""The tables. Runs are appended and never changed; a newer run of a part hides an older one when it is read.

A change here needs a migration in `latency_db/migrations`; a test holds the two together.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KINDS = ("profile", "verify", "fit", "import", "estimate")  # of runs
SCHEMA_VERSION = 4  # SQLite's user_version; the migration of that number made the schema
APPLICATION_ID = 0x6E617374  # "nast": tells our files from other programs' SQLite files


def utc_now() -> str:
    """The time as ISO 8601 text, which sorts as it should in every database."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Base(DeclarativeBase):
    """All tables."""


class TargetRow(Base):
    """A target: one column a field of `Target`."""

    __tablename__ = "targets"

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


def new_uid() -> str:
    """A name for a run that is the same in every database that it is copied to."""
    return uuid4().hex


class RunRow(Base):
    """What was to be measured at one go, by whom, in what state the machine was, and when it was done."""

    __tablename__ = "profile_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(default=new_uid, index=True, unique=True)
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id"), index=True)
    kind: Mapped[str]  # one of KINDS
    origin: Mapped[str]  # where figures come from that were not measured here: a file with its digest, a fit
    conditions: Mapped[dict[str, Any]] = mapped_column(JSON)  # of the machine at the start (exporters.devices)
    space: Mapped[str]
    space_digest: Mapped[str]
    host: Mapped[str]
    code_version: Mapped[str]
    planned_rounds: Mapped[int]
    started_at: Mapped[str] = mapped_column(default=utc_now)
    finished_at: Mapped[str | None] = mapped_column(default=None)


class RecordRow(Base):
    """A part that a run measures, with the hash of its graph."""

    __tablename__ = "parts"

    run_id: Mapped[int] = mapped_column(ForeignKey("profile_runs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    graph_hash: Mapped[str]


class SampleRow(Base):
    """A part in one round: milliseconds a call."""

    __tablename__ = "samples"
    __table_args__ = (ForeignKeyConstraint(["run_id", "key"], ["parts.run_id", "parts.key"]),)

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
