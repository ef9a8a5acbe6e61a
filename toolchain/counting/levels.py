"""Uniform constraint sampling (paper Sec. 3.2): a cost level drawn uniformly, then an architecture at that level.

The official code draws architectures until one falls into the level, and accepts any after 500 draws. Counting makes
every draw here fall into its level.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from random import Random
from typing import Any

import numpy as np

from toolchain.costs.core import TableCost
from toolchain.counting.backward_sampling import BackwardSampler
from toolchain.counting.balancing import Balancer
from toolchain.counting.dominance import RandomBelow, Weights
from toolchain.counting.level_sums import Bin, LevelSums, Ticks, cumulative
from toolchain.counting.marginals import Marginals, keyed_by_choice
from toolchain.spaces.core import Architecture, SearchSpace

LEVELS = 7
MAX_STATES = 200_000  # of one half; each training step waits for a draw
MAX_STATES_BALANCED = 50_000  # balancing passes over all states many times


@dataclass(frozen=True, eq=False)
class CostLevels:
    """Draws architectures with a uniformly drawn cost level. Create it with `CostLevels.build`.

    Attributes:
        cost: the cost that the levels divide.
        bins: the levels; each contains an architecture.
        marginals_by_block: see `marginals`.
    """

    cost: TableCost
    bins: tuple[Bin, ...]
    marginals_by_block: Marginals
    _sums: LevelSums
    _ticks: tuple[Ticks, ...]  # by bin
    _samplers: tuple[BackwardSampler, BackwardSampler]  # of the outer and the inner half
    _inner_cumulative: Weights
    _outer_cumulative: tuple[list[Any], ...]  # by bin: weights of all architectures through each outer state
    _balanced: bool

    @classmethod
    def build(
        cls,
        space: SearchSpace,
        cost: TableCost,
        levels: int = LEVELS,
        edges: Sequence[float] | None = None,
        balanced: bool = False,
    ) -> "CostLevels":
        """Levels of `cost` in `space`.

        Args:
            levels: number of bins of equal width from the 1st to the 99th percentile of the cost over the space.
            edges: the edges of the bins instead. A bin without an architecture is left out.
            balanced: draw every choice of a block equally often over all levels, to within 0.002. Without it all
                architectures of a level are equally likely; with it, an architecture's probability in its level is
                proportional to the product of its choices' factors. If the levels do not allow equal shares (say, a
                block's most expensive choice fits none of them), `marginals()` shows the shares that remain.

        Raises:
            ValueError: no architecture falls into any bin.
        """
        sums = LevelSums(space, cost, MAX_STATES_BALANCED if balanced else MAX_STATES)
        edges = edges or sums.percentile_edges(levels)
        bins = sums.nonempty(edges)
        if not bins:
            raise ValueError(f"no architecture of {space.name} has a {cost.name} from {edges[0]} to {edges[-1]}")
        ticks = tuple(sums.possible_ticks(bin_) for bin_ in bins)
        balancer = Balancer(sums, ticks)
        factors = tuple(np.ones(len(block.choices)) for block in space.blocks)
        weights: Sequence[Sequence[Weights]] = [side.weights for side in sums.sides]
        if balanced:
            factors = tuple(balancer.balanced_factors(factors))
            weights = balancer.weights(factors)
        outer, inner = (
            BackwardSampler(side, side_weights, factors if balanced else None)
            for side, side_weights in zip(sums.sides, weights, strict=True)
        )
        inner_cumulative = cumulative(weights[1][-1])
        return cls(
            cost=cost,
            bins=bins,
            marginals_by_block=keyed_by_choice(space, balancer.shares(factors)),
            _sums=sums,
            _ticks=ticks,
            _samplers=(outer, inner),
            _inner_cumulative=inner_cumulative,
            _outer_cumulative=tuple(
                _products(weights[0][-1], sums.completions(0, interval, inner_cumulative)) for interval in ticks
            ),
            _balanced=balanced,
        )

    def draw(self, rng: Random) -> Architecture:
        """An architecture from a bin that is drawn uniformly."""
        level = rng.randrange(len(self.bins))
        random_below = _float_below(rng) if self._balanced else rng.randrange
        while True:
            arch = self._draw_candidate(level, random_below)
            if self.bins[level].contains(self.cost.cost(arch)):  # False only where costs are rounded or floats
                return arch

    def marginals(self) -> Marginals:
        """By block, how often each choice is drawn, by key, 0 to 1; approximate where costs are rounded."""
        return self.marginals_by_block

    def _draw_candidate(self, level: int, random_below: RandomBelow) -> Architecture:
        """An architecture whose sum in ticks lies within a level's possible ticks."""
        outer_cumulative, (low, high) = self._outer_cumulative[level], self._ticks[level]
        outer_sums, inner_sums = self._sums.sums
        outer = _position(outer_cumulative, random_below(outer_cumulative[-1]))
        first, last = np.searchsorted(inner_sums, (low - outer_sums[outer], high + 1 - outer_sums[outer]))
        before, upto = self._inner_cumulative[first], self._inner_cumulative[last]
        drawn = before + random_below(upto - before)
        inner = min(int(np.searchsorted(self._inner_cumulative, drawn, side="right")), len(inner_sums)) - 1
        chosen = [0] * len(self._sums.space.blocks)
        self._samplers[0].draw(outer, random_below, chosen)
        self._samplers[1].draw(inner, random_below, chosen)
        return self._sums.halves.architecture(chosen)


def percentile_edges(space: SearchSpace, cost: TableCost, levels: int, balanced: bool) -> list[float]:
    """The edges of the levels that `CostLevels.build` makes without `edges`."""
    return LevelSums(space, cost, MAX_STATES_BALANCED if balanced else MAX_STATES).percentile_edges(levels)


def _products(weights: Weights, completions: Weights) -> list[Any]:
    """The weight of all architectures through each state, accumulated. Python numbers, since products are large."""
    return list(accumulate(map(mul, weights.tolist(), completions.tolist())))


def _position(accumulated: list[Any], drawn: Any) -> int:
    """The index at which the accumulated weight exceeds `drawn`; the last one where floats are rounded."""
    return min(bisect_right(accumulated, drawn), len(accumulated) - 1)


def _float_below(rng: Random) -> RandomBelow:
    return lambda most: rng.random() * most
