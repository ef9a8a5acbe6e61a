"""What the database holds, as values that never change: runs, and what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latency_db.table import Sample


@dataclass(frozen=True)
class RecordedRun:
    """What was measured at one go, and where it comes from. Times are ISO 8601 in UTC."""

    id: int
    uid: str  # the same in every database that the run was copied to
    target_id: str
    kind: str  # profile, verify, fit, import or estimate
    origin: str
    space: str
    space_digest: str
    host: str
    code_version: str
    conditions: Mapping[str, Any]  # of the machine at the start: load_1min, temperature_c, clock_mhz, power_w
    planned_rounds: int
    started_at: str
    finished_at: str | None


@dataclass(frozen=True)
class Taken:
    """One part in one round, with the time at its end."""

    round: int
    taken_at: str
    sample: Sample


@dataclass(frozen=True)
class Part:
    """A part of a run with all that was measured of it."""

    key: str
    graph_hash: str
    taken: tuple[Taken, ...]
