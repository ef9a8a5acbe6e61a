"""Confidence intervals of latencies that were measured in rounds, also for repeated looks at growing data.

They are intervals between order statistics, so they hold for every distribution and for few rounds. Calls within a
round are correlated, rounds hardly are, so a round counts as one value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, comb, exp, inf, isfinite, log, log2
from statistics import median

from latency_db.table import Sample, summarize

LatencyStatistic = Callable[[Sequence[Sample]], float]  # the latency in ms of one file, from its samples


def latency_statistic(threads: int, kind: str = "cpu") -> LatencyStatistic:
    """The statistic of the latency table, applied to all given samples, noisy or not.

    Args:
        threads: of the runtime.
        kind: of the device, cpu or gpu.
    """
    return lambda samples: summarize([replace(s, noise_reason="") for s in samples], threads, kind).latency_ms


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence bounds; a bound is infinite if there are too few rounds."""

    low: float
    middle: float
    high: float

    def map(self, function: Callable[[float], float]) -> "Interval":
        """The interval of an increasing function of the value."""
        return Interval(function(self.low), function(self.middle), function(self.high))


def bounds(interval: Interval) -> list[float | None]:
    """Both bounds for JSON; None if unknown."""
    return [bound if isfinite(bound) else None for bound in (interval.low, interval.high)]


def min_rounds(error: float) -> int:
    """The number of rounds needed for an interval of the median with error probability `error`.

    All of n values lie on one side of the median with probability 2 * 0.5**n.
    """
    return ceil(log2(2 / error))


def error_of_look(number: int, error: float) -> float:
    """The share of `error` that look `number` (1, 2, ...) may use.

    The shares sum to `error`, so the total error probability holds whenever one stops looking.
    """
    return error / (number * (number + 1))


def median_interval(values: Sequence[float], error: float) -> Interval:
    """The median of `values`, one for each round, with an interval that misses it with probability `error`.

    The inverted sign test (Conover, Practical Nonparametric Statistics, 3.4). It contains the percentile bootstrap's
    interval, whose coverage is too low for few values (docs/decisions).
    """
    ordered, rank = sorted(values), _sign_test_rank(len(values), error)
    if rank == 0:
        return Interval(-inf, median(ordered), inf)
    return Interval(ordered[rank - 1], median(ordered), ordered[-rank])


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float], error: float) -> Interval:
    """The median ratio of two latencies measured in the same rounds, from the log ratios of the rounds."""
    return median_interval([log(a / b) for a, b in zip(numerators, denominators, strict=True)], error).map(exp)


def latency_interval(samples: Sequence[Sample], statistic: LatencyStatistic, error: float) -> Interval:
    """The latency in ms of a file over its rounds.

    If `statistic` is the minimum over all rounds, the upper bound is that of the bootstrap: its draws miss the k
    smallest of n values with probability (1 - k/n)**n. A further round can be faster than all so far, which resampling
    cannot show, so the lower bound is as far below (the basic bootstrap: Davison and Hinkley, Bootstrap Methods and
    their Application, 5.2).
    """
    middle = statistic(samples)
    rounds = sorted(statistic([sample]) for sample in samples)
    if len(rounds) < min_rounds(error):
        return Interval(-inf, middle, inf)
    if middle <= rounds[0]:
        high = rounds[ceil(len(rounds) * (1 - (error / 2) ** (1 / len(rounds)))) - 1]
        return Interval(2 * middle - high, middle, high)
    interval = median_interval(rounds, error)
    return Interval(min(interval.low, middle), middle, max(interval.high, middle))


@cache
def _sign_test_rank(count: int, error: float) -> int:
    """The largest rank whose order statistics from both ends contain the median; 0 if there is none."""
    below, rank = 0.0, 0
    while rank < count // 2:
        below += comb(count, rank) / 2**count
        if 2 * below > error:
            break
        rank += 1
    return rank
