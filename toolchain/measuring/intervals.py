"""Intervals round figures that were measured in rounds, and how often one may look at them.

They are intervals between order statistics of the rounds: exact for every distribution, however few rounds there are.
Calls within a round share the machine's mood, rounds hardly do, so a round is one value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, comb, exp, inf, isfinite, log, log2
from statistics import median

from latency_db.table import Sample, summarize

Figure = Callable[[Sequence[Sample]], float]  # the latency in ms of one file, from its samples


def figure_of(threads: int, kind: str = "cpu") -> Figure:
    """The latency table's own statistic, for a runtime of so many threads on a device of that kind (cpu or gpu).

    Which rounds count is for the caller to say: of those that are given, none is left out.
    """
    return lambda samples: summarize([replace(each, noise_reason="") for each in samples], threads, kind).latency_ms


@dataclass(frozen=True)
class Interval:
    """A figure, and the ends between which its true value lies; infinite ends where too little was measured."""

    low: float
    middle: float
    high: float

    def map(self, function: Callable[[float], float]) -> "Interval":
        """The interval of a rising function of the figure."""
        return Interval(function(self.low), function(self.middle), function(self.high))


def ends(interval: Interval) -> list[float | None]:
    """Both ends, None for one that is unknown."""
    return [end if isfinite(end) else None for end in (interval.low, interval.high)]


def least_rounds(error: float) -> int:
    """The fewest rounds after which the true median lies outside of all of them with probability `error` at most.

    n values all lie on one side of the median with probability 2 * 0.5**n.
    """
    return ceil(log2(2 / error))


def error_of_look(number: int, error: float) -> float:
    """The part of `error` that the look `number` (1, 2, ...) may use up.

    Who looks again and again until the answer is clear sees a wrong one in the end; these parts sum to `error`,
    whenever one stops.
    """
    return error / (number * (number + 1))


def median_interval(values: Sequence[float], error: float) -> Interval:
    """The median of `values`, one a round, with an interval that misses the true median with probability `error`.

    The inverted sign test (Conover, Practical Nonparametric Statistics, 3.4). It holds the interval of the percentile
    bootstrap within, which for few values keeps less than it promises (docs/decisions).
    """
    ordered, rank = sorted(values), _sign_test_rank(len(values), error)
    if rank == 0:
        return Interval(-inf, median(ordered), inf)
    return Interval(ordered[rank - 1], median(ordered), ordered[-rank])


def ratio_interval(above: Sequence[float], below: Sequence[float], error: float) -> Interval:
    """The median ratio of two figures that were measured in the same rounds, from the rounds' log ratios."""
    return median_interval([log(a / b) for a, b in zip(above, below, strict=True)], error).map(exp)


def latency_interval(samples: Sequence[Sample], figure: Figure, error: float) -> Interval:
    """The latency in ms of a file over its rounds.

    Where `figure` is the least of all rounds, the upper end is the bootstrap's: its draws miss the k least of n values
    with probability (1 - k/n)**n. Another round can be below all that were seen, and resampling can't; so the lower
    end is as far below (the basic bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 5.2).
    """
    middle = figure(samples)
    rounds = sorted(figure([sample]) for sample in samples)
    if len(rounds) < least_rounds(error):
        return Interval(-inf, middle, inf)
    if middle <= rounds[0]:
        high = rounds[ceil(len(rounds) * (1 - (error / 2) ** (1 / len(rounds)))) - 1]
        return Interval(2 * middle - high, middle, high)
    found = median_interval(rounds, error)
    return Interval(min(found.low, middle), middle, max(found.high, middle))


@cache
def _sign_test_rank(count: int, error: float) -> int:
    """The greatest rank whose order statistics from both ends hold the median but for `error`; 0 if there is none."""
    below, rank = 0.0, 0
    while rank < count // 2:
        below += comb(count, rank) / 2**count
        if 2 * below > error:
            break
        rank += 1
    return rank
