"""Measured latencies of one target as frozen values: samples, their summary, and the table of records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median, pstdev, quantiles

from latency_db.errors import MissingLatency
from latency_db.fields import Calls, LongText, Milliseconds, Place, PositiveMilliseconds, Values
from latency_db.target import Target

# The reasons for these values: docs/decisions/0016-reliable-measurements.md
REPRODUCED = 1.10  # CPU: the second least round is within this of the least; quiet rounds vary by 3 % (1 sigma)
STEADY_CV = 0.025  # GPU: trtexec of TensorRT warns above it that the clocks may not be steady


@dataclass(frozen=True)
class Sample:
    """The timing of one record in one round, in ms per call.

    The fields are those of `exporters.timing.Timing`, plus two. `anchor_ms` is the time of the anchor network in the
    same round, or None if it was not timed. `place` is the position in the order of its round, from 0; -1 if unknown.
    """

    __pydantic_config__ = Values

    calls: Calls
    wall_ms_min: Milliseconds
    wall_ms_median: Milliseconds
    busy_ms_min: Milliseconds
    busy_ms_median: Milliseconds
    raw_ms: tuple[Milliseconds, ...] = ()
    noise_reason: LongText = ""
    anchor_ms: PositiveMilliseconds | None = None
    place: Place = -1


@dataclass(frozen=True)
class Summary:
    """A record summarized over its rounds, in ms per batch.

    Attributes:
        latency_ms: the latency of the record.
        median_ms, p90_ms, mad_ms, min_ms: of all samples; mad is the median absolute deviation.
        n: number of samples in all rounds.
        rounds: number of rounds.
        anchor_ms: latency of the anchor network in the same rounds; None if it was not timed.
        unstable: why `latency_ms` is not reliable; empty if it is.
    """

    latency_ms: float
    median_ms: float
    p90_ms: float
    mad_ms: float
    n: int
    min_ms: float = 0.0
    rounds: int = 0
    anchor_ms: float | None = None
    unstable: str = ""

    def at_speed_of(self, anchor_ms: float | None) -> float:
        """`latency_ms` scaled to the speed at which the anchor network took `anchor_ms`; unscaled if unknown."""
        if self.anchor_ms is None or anchor_ms is None:
            return self.latency_ms
        return self.latency_ms * anchor_ms / self.anchor_ms


@dataclass(frozen=True)
class Record:
    """A block variant or a whole network with its latency, and the run that measured it."""

    key: str
    summary: Summary
    graph_hash: str
    run_id: int


@dataclass(frozen=True)
class LatencyTable:
    """The records of one target.

    `elsewhere` maps keys without a record here to the nearest target that has one. It only serves error messages;
    latencies of another target are never used. `profile_runs` are the uids of the runs that the records depend on;
    empty if the table was not read from a database.
    """

    target: Target
    records: Mapping[str, Record]
    elsewhere: Mapping[str, Target] = field(default_factory=dict)
    profile_runs: tuple[str, ...] = ()

    def latency_ms(self, key: str) -> float:
        """Milliseconds per batch of one record.

        Raises:
            MissingLatency: it was not measured on this target; the message names the nearest target that has it.
        """
        if key not in self.records:
            raise MissingLatency(self._missing(key))
        return self.records[key].summary.latency_ms

    def _missing(self, key: str) -> str:
        target, nearest = self.target, self.elsewhere.get(key)
        there = f" Another target has it: {'; '.join(target.main_differences(nearest))}." if nearest else ""
        flags = "--estimate with the same --space, --device and --batch"
        if not target.estimate:
            flags = "with the same --space, --device, --batch and --threads"
        return (
            f"{key} was not measured on {target.device_model} ({target.backend} {target.backend_version}, "
            f"batch {target.batch}, threads {target.threads}).{there} Run nastool profile {flags}"
        )

    def unstable(self) -> dict[str, str]:
        """The keys of records that are not reliable, each with the reason."""
        return {key: record.summary.unstable for key, record in sorted(self.records.items()) if record.summary.unstable}


def round_ms(sample: Sample, threads: int, kind: str = "cpu") -> float:
    """The latency in one round.

    On a GPU: the median of the times between events. On a CPU noise only makes calls slower, so the minimum: with one
    thread of the CPU time, which excludes waiting for a busy machine (docs/decisions/0003-least-cpu-time.md), with
    more threads of the wall time.
    """
    if kind == "gpu":
        return sample.busy_ms_median
    return sample.busy_ms_min if threads == 1 else sample.wall_ms_min


def summarize(samples: Sequence[Sample], threads: int, kind: str = "cpu") -> Summary:
    """Summarize the rounds of a record, without the noisy ones if enough quiet ones remain.

    Args:
        threads: threads of the runtime.
        kind: the kind of device: cpu, gpu or estimate, as `Target.device_kind`.
    """
    counted = counted_of(samples, kind)
    latencies = [round_ms(sample, threads, kind) for sample in counted]
    anchors = [sample.anchor_ms for sample in counted if sample.anchor_ms is not None]
    if kind == "gpu":
        latencies = _at_one_speed(latencies, anchors)
        latency_ms, anchor_ms, problem = median(latencies), median(anchors) if anchors else None, _unsteady(latencies)
    else:
        latency_ms, anchor_ms, problem = min(latencies), min(anchors, default=None), _not_reproduced(latencies)
    if noisy := [sample.noise_reason for sample in counted if sample.noise_reason]:
        problem = f"{Counter(noisy).most_common(1)[0][0]} in {len(noisy)} of {len(samples)} rounds"
    medians = [s.busy_ms_median if threads == 1 or kind == "gpu" else s.wall_ms_median for s in counted]
    pool = [ms for s in counted for ms in s.raw_ms] if all(s.raw_ms for s in counted) else medians
    median_ms = median(pool)
    return Summary(
        latency_ms=latency_ms,
        median_ms=median_ms,
        p90_ms=quantiles(pool, n=10, method="inclusive")[-1] if len(pool) > 1 else median_ms,
        mad_ms=median(abs(value - median_ms) for value in pool),
        n=sum(len(s.raw_ms) or 1 for s in samples),
        min_ms=min(min(pool), *latencies) if kind != "gpu" else min(pool),
        rounds=len(samples),
        anchor_ms=anchor_ms,
        unstable=problem,
    )


def counted_of(samples: Sequence[Sample], kind: str = "cpu") -> Sequence[Sample]:
    """The rounds that count: the quiet ones, or all if too few are quiet."""
    quiet = [sample for sample in samples if not sample.noise_reason]
    return quiet if len(quiet) >= _needed(len(samples), kind) else samples


def _needed(rounds: int, kind: str) -> int:
    """How many quiet rounds are needed: two that agree, or half of them on a GPU, where the median is taken."""
    return min(rounds, max(2, (rounds + 1) // 2 if kind == "gpu" else 2))


def _not_reproduced(latencies: Sequence[float]) -> str:
    """A minimum that only one round reached is not reliable."""
    if len(latencies) < 2:
        return ""
    least, second = sorted(latencies)[:2]
    return "" if second <= least * REPRODUCED else f"no second round within {REPRODUCED - 1:.0%} of the least"


def _unsteady(latencies: Sequence[float]) -> str:
    """An identity that was fitted to whole networks can have a latency of 0, which does not vary."""
    average = mean(latencies)
    variation = pstdev(latencies) / average if average else 0.0
    return "" if variation <= STEADY_CV else f"rounds vary by {variation:.1%}"


def _at_one_speed(latencies: Sequence[float], anchors: Sequence[float]) -> list[float]:
    """The latencies scaled to one device speed by the anchor network; unscaled if any round lacks it."""
    if len(anchors) != len(latencies):
        return list(latencies)
    speed = median(anchors)
    return [latency * speed / anchor for latency, anchor in zip(latencies, anchors, strict=True)]
