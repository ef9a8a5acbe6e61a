"""Uniform constraint sampling (paper Sec. 3.2, its default for training a supernet): a cost level drawn uniformly,
then an architecture uniformly among those at that level.

The official code draws until a network falls into the level, and after 500 draws takes any. Here each draw is at
its level, by counting. Some choices are rarer at some levels, so levels drawn uniformly favour choices: in the
paper's space choice_x gets a third of the steps of the stride-2 blocks. `balanced` mends that.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import mul
from random import Random
from typing import Any

import numpy as np

from toolchain.costs.core import Limit, TableCost
from toolchain.counting.dominance import Pick, Weights
from toolchain.counting.half_space import cut
from toolchain.counting.marginals import Factors, Floats, Marginals, Ways, by_key, shares, weights_of
from toolchain.counting.partial_sums import Drawing
from toolchain.spaces.core import Architecture, SearchSpace

PERCENTILES = (0.01, 0.99)
MOST_STATES = 200_000  # a side; a step of training waits for each draw
MOST_STATES_BALANCED = 50_000  # balancing goes through all of them many times
BALANCED_WITHIN = 0.002  # shares of choices, when balancing stops
MOST_ROUNDS = 200
LEAST_FACTOR = 1e-9  # of a choice's weight, where it fits almost no bin or where others do


@dataclass(frozen=True)
class Bin:
    """Costs from `low` to below `high`, or to `high` itself in the last bin."""

    low: float
    high: float
    last: bool

    def holds(self, value: float) -> bool:
        return self.low <= value and (value <= self.high if self.last else value < self.high)


class CostLevels:
    """Draws architectures of `space` with a cost level that is uniform over `levels` bins of equal width.

    The bins reach from the 1st to the 99th percentile of the cost over the space, or lie between the given
    `edges`. A bin that no architecture falls into is left out. Within a bin each architecture is as likely as any
    other.

    `balanced`: within a bin an architecture is as likely as the product of weights of its choices. The weights
    are fitted (iterative proportional fitting) so that over all bins each choice of a block occurs equally often,
    within BALANCED_WITHIN. Where the bins don't allow that (a block whose dearest choice fits none of them, say),
    `marginals()` shows what remains.

    Raises:
        ValueError: nothing falls into any bin.
    """

    def __init__(
        self,
        space: SearchSpace,
        cost: TableCost,
        levels: int = 7,
        edges: Sequence[float] | None = None,
        balanced: bool = False,
    ) -> None:
        self.space, self.cost = space, cost
        self._halves = cut(space, (Limit(cost, float("inf")),), MOST_STATES_BALANCED if balanced else MOST_STATES)
        self._sides = (self._halves.outer, self._halves.inner)
        self._outer_sums, self._inner_sums = (side.sums[:, 0] for side in self._sides)  # sorted, as keys are
        self._column = self._halves.grid.columns[0]
        edges = edges or self._percentile_edges(levels)
        wanted = [Bin(low, high, last=high == edges[-1]) for low, high in pairwise(edges)]
        counts = _so_far(self._sides[1].weights[-1])
        self.bins = tuple(bin_ for bin_ in wanted if np.any(self._completions(0, self._sure_ticks(bin_), counts)))
        if not self.bins:
            raise ValueError(f"no architecture of {space.name} has a {cost.name} from {edges[0]} to {edges[-1]}")

        ones = tuple(np.ones(len(block.choices)) for block in space.blocks)
        self._ticks = [self._possible_ticks(bin_) for bin_ in self.bins]
        self._ways = tuple(map(Ways, self._sides))
        factors = self._balance(ones) if balanced else ones
        self._marginals = by_key(space, self._shares(factors))
        weights: Sequence[Sequence[Weights]] = self._weigh(factors) if balanced else [s.weights for s in self._sides]
        self._pick_with = _pick_float if balanced else _pick_int
        self._drawings = [
            Drawing(side, levels_of_side, factors) if balanced else Drawing(side, levels_of_side)
            for side, levels_of_side in zip(self._sides, weights, strict=True)
        ]
        self._inner_so_far = _so_far(weights[1][-1])
        self._outer_so_far = [
            list(
                accumulate(map(mul, weights[0][-1].tolist(), self._completions(0, ticks, self._inner_so_far).tolist()))
            )
            for ticks in self._ticks
        ]

    def draw(self, rng: Random) -> Architecture:
        """An architecture from a bin drawn uniformly."""
        chosen = rng.randrange(len(self.bins))
        bin_, (low, high), outer_so_far = self.bins[chosen], self._ticks[chosen], self._outer_so_far[chosen]
        pick = self._pick_with(rng)
        while True:
            outer = min(bisect_right(outer_so_far, pick(outer_so_far[-1])), len(outer_so_far) - 1)
            before, upto = self._inner_between(low - self._outer_sums[outer], high - self._outer_sums[outer])
            drawn = before + pick(upto - before)
            inner = min(int(np.searchsorted(self._inner_so_far, drawn, side="right")), len(self._inner_sums)) - 1
            arch = self._halves.architecture((self._drawings[0], outer), (self._drawings[1], inner), pick)
            if bin_.holds(self.cost.cost(arch)):  # always, but where costs are rounded or weights are floats
                return arch

    def marginals(self) -> Marginals:
        """For each block, how often each choice is drawn, by key, 0 to 1; about so where a grid rounds."""
        return self._marginals

    def _inner_between(self, low: int, high: int) -> tuple[Any, Any]:
        """The inner states' weights up to `low` ticks, and to `high`."""
        first, last = np.searchsorted(self._inner_sums, (low, high + 1))
        return self._inner_so_far[first], self._inner_so_far[last]

    def _possible_ticks(self, bin_: Bin) -> tuple[int, int]:
        """From and to which sums in ticks a bin has architectures."""
        column = self._column
        low = math.ceil(column.ticks(bin_.low) - column.noise - column.loss)
        high = column.ticks(bin_.high) + column.noise
        return max(0, low), min(column.span, math.floor(high) if bin_.last else math.ceil(high) - 1)

    def _sure_ticks(self, bin_: Bin) -> tuple[int, int]:
        """From and to which sums in ticks all architectures are in a bin."""
        column = self._column
        low = math.ceil(column.ticks(bin_.low) + column.noise)
        high = column.ticks(bin_.high) - column.noise - column.loss
        return max(0, low), min(column.span, math.floor(high) if bin_.last else math.ceil(high) - 1)

    def _percentile_edges(self, levels: int) -> list[float]:
        column = self._column
        ticks = [self._percentile(share) for share in PERCENTILES]
        margin = 2 * (column.noise + column.loss)  # so that rounding takes no architecture off an end
        least = float(column.base + (ticks[0] - margin) * column.tick)
        greatest = float(column.base + (ticks[1] + margin) * column.tick)
        if ticks[0] == ticks[1]:
            return [least, greatest]
        width = (greatest - least) / levels
        return [*(least + width * i for i in range(levels)), greatest]

    def _percentile(self, share: float) -> int:
        """The least sum in ticks that at least `share` of the space do not exceed."""
        outer, so_far = self._sides[0].weights[-1].astype(float), _so_far(self._sides[1].weights[-1].astype(float))
        wanted = share * float(self.space.size)
        low, high = -1, self._column.span
        while high - low > 1:
            middle = (low + high) // 2
            enough = float(np.dot(outer, self._completions(0, (0, middle), so_far))) >= wanted
            low, high = (low, middle) if enough else (middle, high)
        return high

    def _completions(self, side: int, ticks: tuple[int, int], other_so_far: Weights) -> Weights:
        """For each last state of a side, the weights of the other side's states that bring it to between `ticks`."""
        sums, others = (self._sides[i].sums[:, 0] for i in (side, 1 - side))
        first = np.searchsorted(others, ticks[0] - sums, side="left")
        last = np.searchsorted(others, ticks[1] - sums, side="right")
        return other_so_far[np.maximum(last, first)] - other_so_far[first]

    def _weigh(self, factors: Factors) -> list[list[Floats]]:
        return [
            weights_of(ways, [len(weights) for weights in side.weights], factors)
            for ways, side in zip(self._ways, self._sides, strict=True)
        ]

    def _shares(self, factors: Factors) -> list[Floats]:
        """How often each choice of each block is drawn, where choices have weights."""
        weights = self._weigh(factors)
        so_far = [_so_far(levels[-1]) for levels in weights]
        completions: list[Floats] = [np.zeros(len(levels[-1])) for levels in weights]
        for ticks in self._ticks:
            outer, inner = (self._completions(side, ticks, so_far[1 - side]) for side in (0, 1))
            total = float(np.dot(weights[0][-1], outer))
            completions[0] += outer / total
            completions[1] += inner / total
        found: dict[int, Floats] = {}
        for ways, levels, completed in zip(self._ways, weights, completions, strict=True):
            found |= shares(ways, levels, completed, factors)
        return [found[i] for i in range(len(self.space.blocks))]

    def _balance(self, factors: Factors) -> Factors:
        """Weights of choices with which each choice of a block is drawn equally often."""
        for _ in range(MOST_ROUNDS):
            found = self._shares(factors)
            if max(float(np.abs(share - 1 / len(share)).max()) for share in found) < BALANCED_WITHIN:
                break
            raised = [f / np.where(share > 0, share, 1) for f, share in zip(factors, found, strict=True)]
            factors = tuple(np.maximum(f / f.max(), LEAST_FACTOR) for f in raised)
        return factors


def _so_far(weights: Weights) -> Weights:
    """0, the first weight, the first two added up, ..."""
    return np.concatenate((np.zeros(1, dtype=weights.dtype), np.cumsum(weights)))


def _pick_int(rng: Random) -> Pick:
    return rng.randrange


def _pick_float(rng: Random) -> Pick:
    return lambda most: rng.random() * most
