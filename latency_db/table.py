"""What was measured of one target, as values that never change, and what makes a figure of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median, pstdev, quantiles

from latency_db.errors import MissingLatency
from latency_db.target import Target

# Why these: docs/decisions/0016-reliable-measurements.md
REPRODUCED = 1.10  # CPU: the second least round is within this of the least; quiet rounds vary by 3 % (1 sigma)
STEADY_CV = 0.025  # GPU: trtexec of TensorRT warns above it that the clocks may not be steady


@dataclass(frozen=True)
class Sample:
    """One part in one round, in ms a call; the fields are those of `exporters.timing.Timing`, and two more.

    `anchor_ms` is the time of the anchor network in the same round, or None if it was not timed. `place` is where it
    came in the order of its round, from 0; -1 where that is not known.
    """

    calls: int
    wall_ms_min: float
    wall_ms_median: float
    busy_ms_min: float
    busy_ms_median: float
    raw_ms: tuple[float, ...] = ()
    noise_reason: str = ""
    anchor_ms: float | None = None
    place: int = -1


@dataclass(frozen=True)
class Summary:
    """A part over its rounds, in ms a batch.

    `latency_ms` is the figure that counts. `median_ms`, `min_ms`, `p90_ms` and `mad_ms` (median absolute deviation) of
    the samples tell how steady it was; `n` is the number of samples in all `rounds`. `anchor_ms` is the reference
    network's figure in the same rounds. `unstable` says why `latency_ms` can't be trusted; empty where it can.
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
class Row:
    """A measured part with where its figures come from."""

    key: str
    summary: Summary
    graph_hash: str
    run_id: int


@dataclass(frozen=True)
class LatencyTable:
    """The measured parts of one target.

    `elsewhere` has parts that this target lacks, each with the nearest target that has it: it is named where the part
    is asked for, and its figures are never taken.
    """

    target: Target
    rows: Mapping[str, Row]
    elsewhere: Mapping[str, Target] = field(default_factory=dict)

    def latency_ms(self, key: str) -> float:
        """Milliseconds a batch of one part.

        Raises:
            MissingLatency: it was not measured on this target; the message names what differs from one that has it.
        """
        if key not in self.rows:
            raise MissingLatency(self._missing(key))
        return self.rows[key].summary.latency_ms

    def _missing(self, key: str) -> str:
        c, other = self.target, self.elsewhere.get(key)
        there = f" It is there of another target: {'; '.join(c.main_differences(other))}." if other else ""
        flags = "--estimate with the same --space, --device and --batch"
        if not c.estimate:
            flags = "with the same --space, --device, --batch and --threads"
        return (
            f"{key} was not measured on {c.device_model} ({c.backend} {c.backend_version}, batch {c.batch}, "
            f"threads {c.threads}).{there} Type nastool profile {flags}"
        )

    def unstable(self) -> dict[str, str]:
        """The parts whose figures can't be trusted, and why."""
        return {key: row.summary.unstable for key, row in sorted(self.rows.items()) if row.summary.unstable}


def round_ms(sample: Sample, threads: int, kind: str = "cpu") -> float:
    """The figure of one round.

    On a GPU the median of its times between events. On a CPU, what disturbs a call only ever makes it slower, so the
    least: with one thread its CPU time, which is its latency without the waiting for a busy machine
    (docs/decisions/0003-least-cpu-time.md). With more threads only the clock tells.
    """
    if kind == "gpu":
        return sample.busy_ms_median
    return sample.busy_ms_min if threads == 1 else sample.wall_ms_min


def summarize(samples: Sequence[Sample], threads: int, kind: str = "cpu") -> Summary:
    """The figures of a part from its rounds, without the noisy ones if enough quiet ones remain.

    Args:
        threads: of the runtime.
        kind: what was measured: cpu, gpu or estimate, as `Target.device_kind`.
    """
    counted = counted_of(samples, kind)
    figures = [round_ms(sample, threads, kind) for sample in counted]
    anchors = [sample.anchor_ms for sample in counted if sample.anchor_ms is not None]
    if kind == "gpu":
        figures = _at_one_speed(figures, anchors)
        latency_ms, anchor_ms, problem = median(figures), median(anchors) if anchors else None, _unsteady(figures)
    else:
        latency_ms, anchor_ms, problem = min(figures), min(anchors, default=None), _not_reproduced(figures)
    if hit := [sample.noise_reason for sample in counted if sample.noise_reason]:
        problem = f"{Counter(hit).most_common(1)[0][0]} in {len(hit)} of {len(samples)} rounds"
    middles = [s.busy_ms_median if threads == 1 or kind == "gpu" else s.wall_ms_median for s in counted]
    pool = [ms for s in counted for ms in s.raw_ms] if all(s.raw_ms for s in counted) else middles
    middle = median(pool)
    return Summary(
        latency_ms=latency_ms,
        median_ms=middle,
        p90_ms=quantiles(pool, n=10, method="inclusive")[-1] if len(pool) > 1 else middle,
        mad_ms=median(abs(value - middle) for value in pool),
        n=sum(len(s.raw_ms) or 1 for s in samples),
        min_ms=min(min(pool), *figures) if kind != "gpu" else min(pool),
        rounds=len(samples),
        anchor_ms=anchor_ms,
        unstable=problem,
    )


def counted_of(samples: Sequence[Sample], kind: str = "cpu") -> Sequence[Sample]:
    """The rounds that count: the quiet ones, or all if too few are quiet."""
    good = [sample for sample in samples if not sample.noise_reason]
    return good if len(good) >= _needed(len(samples), kind) else samples


def _needed(rounds: int, kind: str) -> int:
    """How many quiet rounds are needed: two that agree, or on a GPU, where a median is taken, half of them."""
    return min(rounds, max(2, (rounds + 1) // 2 if kind == "gpu" else 2))


def _not_reproduced(figures: Sequence[float]) -> str:
    """A least time that was reached once may be a stroke of luck, or all others of bad luck."""
    if len(figures) < 2:
        return ""
    least, second = sorted(figures)[:2]
    return "" if second <= least * REPRODUCED else f"no second round within {REPRODUCED - 1:.0%} of the least"


def _unsteady(figures: Sequence[float]) -> str:
    cv = pstdev(figures) / mean(figures)
    return "" if cv <= STEADY_CV else f"rounds vary by {cv:.1%}"


def _at_one_speed(figures: Sequence[float], anchors: Sequence[float]) -> list[float]:
    """The rounds' figures scaled to one device speed, by the anchor network; unscaled if a round lacks it."""
    if len(anchors) != len(figures):
        return list(figures)
    speed = median(anchors)
    return [figure * speed / anchor for figure, anchor in zip(figures, anchors, strict=True)]
