"""What was measured of one stack, as values that never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from latency_db.context import Context
from latency_db.errors import MissingLatency


@dataclass(frozen=True)
class Sample:
    """One part in one round, in ms a call; the fields are those of `exporters.timing.Timing`."""

    calls: int
    wall_ms_min: float
    wall_ms_median: float
    busy_ms_min: float
    busy_ms_median: float
    raw_ms: tuple[float, ...] = ()
    disturbed: str = ""


@dataclass(frozen=True)
class Summary:
    """A part over its rounds. `latency_ms` is the figure that counts; the others tell how steady it was."""

    latency_ms: float
    median_ms: float
    p90_ms: float
    mad_ms: float
    n: int


@dataclass(frozen=True)
class Row:
    """A measured part with where its figures come from."""

    key: str
    summary: Summary
    graph_hash: str
    run_id: int


@dataclass(frozen=True)
class LatencyTable:
    """The measured parts of one stack."""

    context: Context
    rows: Mapping[str, Row]

    def latency_ms(self, key: str) -> float:
        """Milliseconds a batch of one part.

        Raises:
            MissingLatency: it was not measured on this stack.
        """
        if key not in self.rows:
            c = self.context
            raise MissingLatency(
                f"{key} was not measured on {c.device_model} ({c.backend} {c.backend_version}, batch {c.batch}, "
                f"threads {c.threads}). Type nastool profile with the same --space, --device, --batch and --threads"
            )
        return self.rows[key].summary.latency_ms


def summarise(samples: Sequence[Sample], threads: int) -> Summary:
    """The figures of a part from its rounds.

    With one thread, its CPU time is its latency without the waiting for a busy machine, and the least of all
    calls is the figure that repeats best there (docs/decisions). With more threads only the clock tells.
    """
    if threads == 1:
        least, middles = min(s.busy_ms_min for s in samples), [s.busy_ms_median for s in samples]
    else:
        least, middles = min(s.wall_ms_min for s in samples), [s.wall_ms_median for s in samples]
    middle = median(middles)
    return Summary(
        latency_ms=least,
        median_ms=middle,
        p90_ms=quantiles(middles, n=10, method="inclusive")[-1] if len(middles) > 1 else middle,
        mad_ms=median(abs(value - middle) for value in middles),
        n=len(samples),
    )
