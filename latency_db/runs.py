"""Runs and their raw samples as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from latency_db.fields import Conditions, Count, Key, Kind, LongText, Name, Text, Timestamp, Values
from latency_db.table import Sample

CLOCK_TOLERANCE = timedelta(minutes=5)  # clocks of machines that share a server differ by seconds


@dataclass(frozen=True)
class ProfileRun:
    """One run of a command that measures, with its origin. Times are ISO 8601 in UTC."""

    __pydantic_config__ = Values

    id: int
    uid: Name  # the same in every database that the run was copied to
    target_id: Name
    kind: Kind
    origin: LongText  # source of latencies that were not measured here: a file with its digest, a fit
    space: LongText
    space_digest: Text
    host: Text
    code_version: Text
    conditions: Conditions  # of the machine at the start: load_1min, temperature_c, clock_mhz, power_w
    planned_rounds: Count
    started_at: Timestamp
    finished_at: Timestamp | None

    @property
    def precedence(self) -> tuple[bool, int]:
        """Orders runs from the oldest to the newest measurement, by insertion and not by clock time.

        A clock can be wrong. An imported run never replaces one that was measured in this database.
        """
        return self.kind != "import", self.id

    def starts_after(self, now: datetime) -> bool:
        """Whether the run's start lies in the future: the clock of its machine was wrong, or the clock here is."""
        return datetime.fromisoformat(self.started_at) > now + CLOCK_TOLERANCE


@dataclass(frozen=True)
class NewRun:
    """What a run will measure, before it begins.

    Args:
        rounds: how often each record is measured.
        origin: the source of latencies that are not measured here.
        conditions: of the machine at the start, as in `ProfileRun`.
    """

    space: str
    space_digest: str
    code_version: str
    rounds: int
    kind: str = "profile"  # one of `schema.KINDS`
    origin: str = ""
    conditions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class TimedSample:
    """A sample with its round and the time at its end."""

    __pydantic_config__ = Values

    round: Count
    taken_at: Timestamp
    sample: Sample


@dataclass(frozen=True)
class RunRecord:
    """A record of one run with its raw samples, by round."""

    __pydantic_config__ = Values

    key: Key
    graph_hash: Text
    samples: tuple[TimedSample, ...]


@dataclass(frozen=True)
class RunSamples:
    """The records of one run that a query selects, and the timings of all its records.

    `timings` has one mapping (key -> sample) per round. It is empty where no drift correction applies.
    """

    run_id: int
    graph_hashes: Mapping[str, str]
    samples: Mapping[str, tuple[Sample, ...]]
    timings: tuple[Mapping[str, Sample], ...] = field(default=())
