"""The architectures that fit a budget: their exact number, the range of a cost, and exactly uniform draws.

With one limit, or with the paper's space, everything is exact. With several limits a large space can have more sums
than fit into memory; then they are counted on a coarser grid, and `FeasibleSet.note` states the resulting bounds. Draws
stay within the limits and exactly uniform in either case. `toolchain.counting` explains the algorithm.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from operator import mul
from random import Random

import numpy as np

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.counting.backward_sampling import BackwardSampler
from toolchain.counting.dominance import DominanceSums, Ints, RandomBelow, dominance_sums
from toolchain.counting.half_space import NothingFits, split_space
from toolchain.counting.marginals import Marginals, choice_shares, keyed_by_choice
from toolchain.errors import BudgetInfeasible
from toolchain.spaces.core import Architecture, SearchSpace

ESTIMATION_DRAWS = 1000
MAX_TRIES = 20_000  # draws on a coarse grid before the set is reported as too small to draw from
NO_SUM = -(2**62)


@dataclass(frozen=True)
class CostRange:
    """The least and greatest value of a cost in a set, and an architecture that has each."""

    least: float
    greatest: float
    cheapest: Architecture
    most_expensive: Architecture


class FeasibleSet:
    """The architectures of `space` that fit `budget`.

    Attributes:
        count: the number of architectures that fit for certain.
        most_count: an upper bound of that number; equal to `count` where counting is exact.

    Raises:
        BudgetInfeasible: nothing fits; the message names the least reachable value.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self._limits = budget.limits or (_no_limit(space),)
        for limit in self._limits:
            if limit.cost.least > limit.most:
                raise BudgetInfeasible(_unreachable(space, limit))
        try:
            self._halves = split_space(space, self._limits)
        except NothingFits:
            raise BudgetInfeasible(_not_together(space, budget)) from None
        grid = self._halves.grid
        self.most_count = self._cumulative[-1]
        self.count = self.most_count if np.array_equal(grid.safe, grid.upper) else self._count(grid.safe)
        if not self.most_count:
            raise BudgetInfeasible(_not_together(space, budget))
        self._outer_sampler, self._inner_sampler = (
            BackwardSampler(half, half.weights) for half in (self._halves.outer, self._halves.inner)
        )
        if not self.count:
            self.draw(Random(0))  # raises if too few fit to draw from

    @property
    def exact(self) -> bool:
        """Whether `count` is exactly the number of architectures that fit."""
        return self.count == self.most_count

    @property
    def share(self) -> float:
        """`count` as a share of the space, 0 to 1."""
        return self.count / self.space.size

    @cached_property
    def note(self) -> str:
        """How far the counts are from exact, as a sentence; empty if they are exact."""
        if self.exact:
            return ""
        if not self._halves.coarse:
            return (
                f"between {self.count:,} and {self.most_count:,} architectures fit: some equal a limit to within the "
                f"rounding of floats. All draws fit and are exactly uniform"
            )
        rng = Random(0)
        fitting = sum(self.budget.allows(self._draw_candidate(rng)) for _ in range(ESTIMATION_DRAWS))
        most_share = self.most_count / self.space.size
        ticks = ", ".join(f"{_amount(c.cost, float(c.tick))} of {c.cost.name}" for c in self._halves.grid.columns)
        return (
            f"counted on a grid of {ticks}: at least {self.share:.4%} and at most {most_share:.4%} of the space fit, "
            f"about {fitting / ESTIMATION_DRAWS * most_share:.2%} by {ESTIMATION_DRAWS:,} draws. All draws fit and are "
            f"exactly uniform"
        )

    def draw(self, rng: Random) -> Architecture:
        """One architecture of the set, drawn uniformly.

        Raises:
            BudgetInfeasible: on a coarse grid, none of many candidates fits.
        """
        for _ in range(MAX_TRIES):
            arch = self._draw_candidate(rng)
            if self.exact or self.budget.allows(arch):
                return arch
        raise BudgetInfeasible(
            f"none of {MAX_TRIES:,} architectures drawn from {self.most_count:,} candidates of {self.space.name} fits "
            f"{self.budget}. Relax a limit"
        )

    def range(self, cost: TableCost) -> CostRange:
        """The range of a cost that has a limit in the budget, with an architecture at each end.

        On a coarse grid the true ends may lie slightly beyond.
        """
        cheapest, most_expensive = self._extreme(cost, -1), self._extreme(cost, 1)
        return CostRange(cost.cost(cheapest), cost.cost(most_expensive), cheapest, most_expensive)

    def histogram(self, cost: TableCost, bins: int = 20) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Edges of equal-width bins over the range of a limited cost, and the number of architectures in each bin.

        A bin includes its upper edge, and the first bin its lower edge as well. On a coarse grid the counts are those
        of `most_count`.
        """
        ends = self.range(cost)
        width = (ends.greatest - ends.least) / bins
        edges = (*(ends.least + width * i for i in range(bins)), ends.greatest)
        column = self._column(cost)
        below = [0]
        for edge in edges[1:-1]:
            upper = self._halves.grid.upper.copy()
            upper[column] = min(int(upper[column]), self._halves.grid.columns[column].upper(edge))
            below.append(self._count(upper))
        below.append(self.most_count)
        return edges, tuple(more - less for less, more in pairwise(below))

    def marginals(self) -> Marginals:
        """By block, the share of each choice in the set, 0 to 1; approximate on a coarse grid."""
        outer, inner, upper = self._halves.outer, self._halves.inner, self._halves.grid.upper
        outer_weights, inner_weights = outer.weights[-1].astype(float), inner.weights[-1].astype(float)
        completions_outer = dominance_sums(inner.sums, inner_weights).sums(upper - outer.sums)
        completions_inner = dominance_sums(outer.sums, outer_weights).sums(upper - inner.sums)
        shares = choice_shares(outer, outer.weights, completions_outer)
        return keyed_by_choice(self.space, shares | choice_shares(inner, inner.weights, completions_inner))

    def _draw_candidate(self, rng: Random) -> Architecture:
        """One of the `most_count` architectures, drawn uniformly."""
        outer = bisect_right(self._cumulative, rng.randrange(self.most_count))
        inner = self._matching_inner.draw(self._halves.grid.upper - self._halves.outer.sums[outer], rng.randrange)
        return self._architecture(outer, inner, rng.randrange)

    def _architecture(self, outer: int, inner: int, random_below: RandomBelow) -> Architecture:
        """An architecture through a state of each half."""
        chosen = [0] * len(self.space.blocks)
        self._outer_sampler.draw(outer, random_below, chosen)
        self._inner_sampler.draw(inner, random_below, chosen)
        return self._halves.architecture(chosen)

    @cached_property
    def _cumulative(self) -> list[int]:
        """The numbers of architectures through each outer state, accumulated."""
        return list(accumulate(self._counts_through(self._halves.grid.upper)))

    def _count(self, upper: Ints) -> int:
        return sum(self._counts_through(upper))

    def _counts_through(self, upper: Ints) -> Iterator[int]:
        """For each outer state, the number of architectures through it. Python integers, since products are large."""
        outer = self._halves.outer
        return map(mul, outer.weights[-1].tolist(), self._matching_inner.sums(upper - outer.sums).tolist())

    @cached_property
    def _matching_inner(self) -> DominanceSums:
        return dominance_sums(self._halves.inner.sums, self._halves.inner.weights[-1])

    def _extreme(self, cost: TableCost, sign: int) -> Architecture:
        """The architecture with the least cost (`sign` -1) or the greatest (1)."""
        grid, column = self._halves.grid, self._column(cost)
        uppers = [grid.upper, grid.safe] if 0 < self.count < self.most_count else [grid.upper]
        candidates = [self._extreme_pair(column, sign, upper) for upper in uppers]
        candidates.append(cheapest_of(self.space, cost) if sign < 0 else most_expensive_of(self.space, cost))
        fitting = [arch for arch in candidates if self.budget.allows(arch)]
        return max(fitting, key=lambda arch: sign * cost.cost(arch)) if fitting else self.draw(Random(0))

    def _extreme_pair(self, column: int, sign: int, upper: Ints) -> Architecture:
        """An architecture with the largest `sign` * sum in `column` among all pairs of sums within `upper`."""
        outer, inner = self._halves.outer.sums, self._halves.inner.sums
        values = sign * inner[:, column]
        best = dominance_sums(inner, values, np.maximum, NO_SUM).sums(upper - outer)
        best_outer = int(np.argmax(np.where(best == NO_SUM, NO_SUM, best + sign * outer[:, column])))
        matching = np.all(inner <= upper - outer[best_outer], axis=1)
        best_inner = int(np.argmax(np.where(matching, values, NO_SUM)))
        return self._architecture(best_outer, best_inner, _always_first)

    def _column(self, cost: TableCost) -> int:
        return [limit.cost for limit in self._limits].index(cost)


def whole_space(space: SearchSpace, cost: TableCost) -> FeasibleSet:
    """The set of all architectures, for the range and the histogram of a cost."""
    return FeasibleSet(space, Budget((Limit(cost, float("inf")),)))


def cheapest_of(space: SearchSpace, cost: TableCost) -> Architecture:
    """The architecture with the least cost in the whole space; of several such choices, the first."""
    return Architecture(space.name, tuple(min(row, key=row.__getitem__) for row in cost.rows))


def most_expensive_of(space: SearchSpace, cost: TableCost) -> Architecture:
    """The architecture with the greatest cost in the whole space; of several such choices, the first."""
    return Architecture(space.name, tuple(max(row, key=row.__getitem__) for row in cost.rows))


def _always_first(_: int) -> int:
    return 0


def _no_limit(space: SearchSpace) -> Limit:
    """A limit that every architecture meets, for a budget without limits."""
    rows = tuple({choice.key: 0.0 for choice in block.choices} for block in space.blocks)
    return Limit(TableCost("anything", "", 0.0, rows), 0.0)


def _unreachable(space: SearchSpace, limit: Limit) -> str:
    remark = f" ({limit.cost.remark})" if limit.cost.remark else ""
    return (
        f"no architecture of {space.name} has {limit}: the least reachable is "
        f"{limit.cost.least_limit()}{remark}. Give {limit.cost.name} a limit of at least that"
    )


def _not_together(space: SearchSpace, budget: Budget) -> str:
    alone = "; ".join(f"{x.cost.name} alone reaches {x.cost.exact(x.cost.least)}" for x in budget.limits)
    return f"no architecture of {space.name} meets {budget} together ({alone}). Relax one of these limits"


def _amount(cost: TableCost, value: float) -> str:
    return f"{value * 1000:.3g} us" if cost.unit == "ms" else f"{value:,.0f}"
