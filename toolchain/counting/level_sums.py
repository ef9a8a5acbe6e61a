"""Bins of a cost (levels), and the weights of the architectures in each, from the partial sums of both halves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from toolchain.costs.core import Limit, TableCost
from toolchain.counting.dominance import Ints, Weights
from toolchain.counting.half_space import HalfSpaces, split_space
from toolchain.spaces.core import SearchSpace

PERCENTILES = (0.01, 0.99)

Ticks = tuple[int, int]  # least and greatest sum in ticks, both included


@dataclass(frozen=True)
class Bin:
    """Costs from `low` (included) to `high` (excluded, but included in the last bin)."""

    low: float
    high: float
    last: bool

    def contains(self, value: float) -> bool:
        return self.low <= value and (value <= self.high if self.last else value < self.high)


class LevelSums:
    """Both halves of a space under one cost.

    Attributes:
        halves: the two halves; their sums have one column.
        sides: the outer and the inner half.
        sums: the sums of the last level of each side in ticks, ascending.
    """

    def __init__(self, space: SearchSpace, cost: TableCost, most_states: int) -> None:
        """`most_states`: limit for the states of one half over all its levels."""
        self.space = space
        self.halves: HalfSpaces = split_space(space, (Limit(cost, float("inf")),), most_states)
        self.sides = (self.halves.outer, self.halves.inner)
        self.sums: tuple[Ints, Ints] = (self.sides[0].sums[:, 0], self.sides[1].sums[:, 0])
        self._column = self.halves.grid.columns[0]

    def completions(self, side: int, ticks: Ticks, cumulative: Weights) -> Weights:
        """For each state of a side, the weight of the other side's states that bring its sum into `ticks`.

        Args:
            side: 0 for the outer half, 1 for the inner one.
            ticks: least and greatest sum.
            cumulative: weights of the other side's states, accumulated from 0 (see `cumulative`).
        """
        sums, others = self.sums[side], self.sums[1 - side]
        first = np.searchsorted(others, ticks[0] - sums, side="left")
        last = np.searchsorted(others, ticks[1] - sums, side="right")
        return cumulative[np.maximum(last, first)] - cumulative[first]

    def nonempty(self, edges: Sequence[float]) -> tuple[Bin, ...]:
        """The bins between `edges` that contain an architecture for certain."""
        counts = cumulative(self.sides[1].weights[-1])
        bins = (Bin(low, high, last=high == edges[-1]) for low, high in pairwise(edges))
        return tuple(bin_ for bin_ in bins if np.any(self.completions(0, self.certain_ticks(bin_), counts)))

    def possible_ticks(self, bin_: Bin) -> Ticks:
        """The sums that an architecture in the bin can have."""
        column = self._column
        low = math.ceil(column.ticks(bin_.low) - column.float_error - column.rounding)
        high = column.ticks(bin_.high) + column.float_error
        return max(0, low), min(column.span, math.floor(high) if bin_.last else math.ceil(high) - 1)

    def certain_ticks(self, bin_: Bin) -> Ticks:
        """The sums with which every architecture is in the bin."""
        column = self._column
        low = math.ceil(column.ticks(bin_.low) + column.float_error)
        high = column.ticks(bin_.high) - column.float_error - column.rounding
        return max(0, low), min(column.span, math.floor(high) if bin_.last else math.ceil(high) - 1)

    def percentile_edges(self, bins: int) -> list[float]:
        """Edges of bins of equal width from the 1st to the 99th percentile of the cost over the space."""
        column = self._column
        low, high = (self._percentile(share) for share in PERCENTILES)
        margin = 2 * (column.float_error + column.rounding)  # so that rounding excludes no architecture at the ends
        least = float(column.base + (low - margin) * column.tick)
        greatest = float(column.base + (high + margin) * column.tick)
        if low == high:
            return [least, greatest]
        width = (greatest - least) / bins
        return [*(least + width * i for i in range(bins)), greatest]

    def _percentile(self, share: float) -> int:
        """The least sum in ticks that at least `share` of the space do not exceed, by bisection."""
        outer, inner = (side.weights[-1].astype(float) for side in self.sides)
        accumulated = cumulative(inner)
        target = share * float(self.space.size)
        low, high = -1, self._column.span
        while high - low > 1:
            middle = (low + high) // 2
            enough = float(np.dot(outer, self.completions(0, (0, middle), accumulated))) >= target
            low, high = (low, middle) if enough else (middle, high)
        return high


def cumulative(weights: Weights) -> Weights:
    """The sums of the first 0, 1, 2, ... weights."""
    return np.concatenate((np.zeros(1, dtype=weights.dtype), np.cumsum(weights)))
