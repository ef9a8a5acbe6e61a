"""Latencies of a run corrected for changes of the machine's speed during the run.

The speed of a shared machine drifts: records that are timed within the same second are slow or fast together, and the
minimum over a few rounds depends on which rounds fell into a fast moment. A round times all records in random order,
so the neighbors of a record show the speed of the machine at that moment
(docs/decisions/0033-drift-correction.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from latency_db.table import Sample, counted_of, round_ms

NEAR = 3  # neighbors on each side that show the speed
ITERATIONS = 2  # of estimating speeds from levels and levels from speeds; a third one changes little

Timed = tuple[str, float]  # key and latency in ms
Value = TypeVar("Value")


def correct_drift(rounds: Sequence[Mapping[str, Sample]], threads: int) -> dict[str, float]:
    """The latency of each record in ms on a CPU, at the speed at which the records reach their minimum.

    The level of a record is the median over the rounds of its latencies, each divided by how much slower its
    neighbors were than their own levels. All levels are then multiplied by one factor, the median ratio of minimum to
    level, so that they describe a quiet machine as the minimum does.

    Args:
        rounds: the samples of each round, by key.
        threads: threads of the runtime.

    Returns:
        {} if too few records were timed to estimate a speed, if their order is unknown, or if one took no time.
    """
    timed = [_in_order(samples, threads) for samples in _counted(rounds)]
    latencies = _by_key(timed)
    if len(latencies) <= 2 * NEAR or any(sample.place < 0 for samples in rounds for sample in samples.values()):
        return {}
    if not all(ms for values in latencies.values() for ms in values):
        return {}
    levels = _levels(latencies)
    for _ in range(ITERATIONS):
        levels = _levels(_by_key([_at_one_speed(round_, levels) for round_ in timed]))
    shift = median(min(latencies[key]) / levels[key] for key in levels)
    return {key: level * shift for key, level in levels.items()}


def _counted(rounds: Sequence[Mapping[str, Sample]]) -> list[dict[str, Sample]]:
    """The rounds without the samples that `summarize` ignores."""
    samples = _by_key(round_.items() for round_ in rounds)
    unreliable = {key for key, values in samples.items() if any(sample.noise_reason for sample in counted_of(values))}
    return [
        {key: sample for key, sample in round_.items() if not sample.noise_reason or key in unreliable}
        for round_ in rounds
    ]


def _in_order(samples: Mapping[str, Sample], threads: int) -> list[Timed]:
    return [(key, round_ms(samples[key], threads)) for key in sorted(samples, key=lambda key: samples[key].place)]


def _at_one_speed(round_: Sequence[Timed], levels: Mapping[str, float]) -> list[Timed]:
    """The latencies of a round divided by the slowdown of their neighbors."""
    slowdowns = [ms / levels[key] for key, ms in round_]
    corrected = []
    for place, (key, ms) in enumerate(round_):
        neighbors = slowdowns[max(0, place - NEAR) : place] + slowdowns[place + 1 : place + 1 + NEAR]
        corrected.append((key, ms / median(neighbors) if neighbors else ms))
    return corrected


def _by_key(rounds: Iterable[Iterable[tuple[str, Value]]]) -> dict[str, list[Value]]:
    values: dict[str, list[Value]] = defaultdict(list)
    for round_ in rounds:
        for key, value in round_:
            values[key].append(value)
    return values


def _levels(latencies: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {key: median(values) for key, values in latencies.items()}
