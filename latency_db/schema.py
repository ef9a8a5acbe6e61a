"""The tables. Runs are appended and never changed; a newer run of a part hides an older one when it is read."""

from datetime import UTC, datetime

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 2
APPLICATION_ID = 0x6E617374  # "nast": tells our files from other programs' SQLite files


def utc_now() -> str:
    """The time as ISO 8601 text, which sorts as it should in every database."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Base(DeclarativeBase):
    """All tables."""


class ContextRow(Base):
    """A stack: one column a field of `Context`."""

    __tablename__ = "contexts"

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
    precision_found: Mapped[str]
    clocks: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)


class ProfileRun(Base):
    """One `nastool profile`: what it was to measure, and when it was done."""

    __tablename__ = "profile_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    context_id: Mapped[str] = mapped_column(ForeignKey("contexts.id"))
    space: Mapped[str]
    space_digest: Mapped[str]
    host: Mapped[str]
    code_version: Mapped[str]
    planned_rounds: Mapped[int]
    started_at: Mapped[str] = mapped_column(default=utc_now)
    finished_at: Mapped[str | None] = mapped_column(default=None)


class PartRow(Base):
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
    disturbed: Mapped[str]
    reference_ms: Mapped[float]
    taken_at: Mapped[str] = mapped_column(default=utc_now)
