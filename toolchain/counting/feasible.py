"""Which architectures fit: how many, from where to where, and draws among them that are exactly uniform.

Costs are additive, so feasibility is a question about sums of a table. The blocks are cut into two sides; each
side's distinct sums are counted, and a pair of sums that fits stands for the product of their counts
(toolchain/counting/partial_sums.py and halves.py). With one limit, or with the paper's own space, all is exact. Several
limits on a large space can have more sums than memory holds; then they are counted on a coarser grid, and the
set says so: `note` has the bounds. Draws are exactly uniform and within the limits there as well.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from operator import mul
from random import Random
from typing import Protocol

import numpy as np

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.counting.dominance import Ints, Points
from toolchain.counting.half_space import NothingFits, cut
from toolchain.counting.marginals import Marginals, by_key, shares
from toolchain.counting.partial_sums import Drawing
from toolchain.errors import BudgetInfeasible
from toolchain.spaces.core import Architecture, SearchSpace

ESTIMATED_BY = 1000  # draws
MOST_TRIES = 20_000  # draws from a coarse grid before we say that too few of them fit
NOTHING = -(2**62)


class Sampler(Protocol):
    """Draws architectures: a space (uniformly), a FeasibleSet, or CostLevels."""

    def draw(self, rng: Random) -> Architecture:
        """One architecture, by the numbers of `rng` alone."""


@dataclass(frozen=True)
class Reach:
    """From where to where a cost goes in a set, and an architecture at each end."""

    least: float
    greatest: float
    cheapest: Architecture
    dearest: Architecture


class FeasibleSet:
    """The architectures of `space` that fit `budget`.

    Raises:
        BudgetInfeasible: nothing fits; the message names the least reachable value.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self._limits = budget.limits or (_no_limit(space),)
        for limit in self._limits:
            if limit.cost.least > limit.most:
                raise BudgetInfeasible(_beyond_reach(space, limit))
        try:
            self._halves = cut(space, self._limits)
        except NothingFits:
            raise BudgetInfeasible(_not_together(space, budget)) from None
        grid = self._halves.grid
        self.most_count = self._cumulative[-1]
        self.count = self.most_count if np.array_equal(grid.sure, grid.room) else self._count(grid.sure)
        if not self.most_count:
            raise BudgetInfeasible(_not_together(space, budget))
        self._drawings = tuple(Drawing(side, side.weights) for side in (self._halves.outer, self._halves.inner))
        if not self.count:
            self.draw(Random(0))

    @property
    def exact(self) -> bool:
        """`count` is the number of architectures that fit, and not only a lower bound."""
        return self.count == self.most_count

    @property
    def share(self) -> float:
        """`count` as a part of the space, 0 to 1."""
        return self.count / self.space.size

    @cached_property
    def note(self) -> str:
        """In words, how far the figures are from exact; empty where they are exact."""
        if self.exact:
            return ""
        size = self.space.size
        if not self._halves.coarse:
            return (
                f"between {self.count:,} and {self.most_count:,} architectures fit: the last few lie on a limit to "
                f"within the rounding of floats. Draws fit for certain and are exactly uniform"
            )
        rng = Random(0)
        fit = sum(self.budget.allows(self._draw_near(rng)) for _ in range(ESTIMATED_BY)) / ESTIMATED_BY
        ticks = ", ".join(f"{_amount(c.cost, float(c.tick))} of {c.cost.name}" for c in self._halves.grid.columns)
        return (
            f"counted on a grid of {ticks}: at least {self.share:.4%} and at most {self.most_count / size:.4%} of the "
            f"space fit, about {fit * self.most_count / size:.2%} by {ESTIMATED_BY:,} draws. Draws fit for certain and "
            f"are exactly uniform"
        )

    def draw(self, rng: Random) -> Architecture:
        """One architecture of the set; each is as likely as any other.

        Raises:
            BudgetInfeasible: on a coarse grid, so few fit that none was found.
        """
        for _ in range(MOST_TRIES):
            arch = self._draw_near(rng)
            if self.exact or self.budget.allows(arch):
                return arch
        raise BudgetInfeasible(
            f"of {self.most_count:,} architectures of {self.space.name} that come near {self.budget}, none of "
            f"{MOST_TRIES:,} drawn fits. Loosen a limit"
        )

    def range(self, cost: TableCost) -> Reach:
        """The least and the greatest value of a cost that has a limit in this set's budget, by known architectures.

        On a coarse grid the true ends may lie a little beyond.
        """
        cheapest, dearest = self._end(cost, -1), self._end(cost, 1)
        return Reach(cost.cost(cheapest), cost.cost(dearest), cheapest, dearest)

    def histogram(self, cost: TableCost, bins: int = 20) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Edges of equal-width bins over the range of a limited cost, and how many architectures lie in each.

        A bin has its upper edge, and the first its lower one. On a coarse grid, counts are those of `most_count`.
        """
        reach = self.range(cost)
        width = (reach.greatest - reach.least) / bins
        edges = (*(reach.least + width * i for i in range(bins)), reach.greatest)
        column = self._column(cost)
        below = [0]
        for edge in edges[1:-1]:
            room = self._halves.grid.room.copy()
            room[column] = min(int(room[column]), self._halves.grid.columns[column].room(edge))
            below.append(self._count(room))
        below.append(self.most_count)
        return edges, tuple(more - less for less, more in pairwise(below))

    def marginals(self) -> Marginals:
        """For each block, how often each choice occurs in the set, by key, 0 to 1; on a coarse grid, about so."""
        halves = self._halves
        outer, inner = (side.weights[-1].astype(float) for side in (halves.outer, halves.inner))
        for_outer = Points(halves.inner.sums, inner).sums(halves.grid.room - halves.outer.sums)
        for_inner = Points(halves.outer.sums, outer).sums(halves.grid.room - halves.inner.sums)
        found = shares(halves.outer, halves.outer.weights, for_outer)
        return by_key(self.space, found | shares(halves.inner, halves.inner.weights, for_inner))

    def _draw_near(self, rng: Random) -> Architecture:
        """One of the `most_count` architectures, each as likely as any other."""
        outer = bisect_right(self._cumulative, rng.randrange(self.most_count))
        inner = self._inner.draw(self._halves.grid.room - self._halves.outer.sums[outer], rng.randrange)
        return self._halves.architecture((self._drawings[0], outer), (self._drawings[1], inner), rng.randrange)

    @cached_property
    def _cumulative(self) -> list[int]:
        """The outer side's states, each with all it can be completed to, added up."""
        return list(accumulate(self._ways_through(self._halves.grid.room)))

    def _count(self, room: Ints) -> int:
        return sum(self._ways_through(room))

    def _ways_through(self, room: Ints) -> Iterator[int]:
        """For each outer state, its own ways times those to complete it; Python's integers, as products are large."""
        outer = self._halves.outer
        return map(mul, outer.weights[-1].tolist(), self._inner.sums(room - outer.sums).tolist())

    @cached_property
    def _inner(self) -> Points:
        return Points(self._halves.inner.sums, self._halves.inner.weights[-1])

    def _end(self, cost: TableCost, sign: int) -> Architecture:
        """The architecture with the least cost (`sign` -1) or the greatest (1)."""
        grid, column = self._halves.grid, self._column(cost)
        rooms = [grid.room, grid.sure] if 0 < self.count < self.most_count else [grid.room]
        known = [self._greatest(column, sign, room) for room in rooms]
        known.append(cheapest_of(self.space, cost) if sign < 0 else dearest_of(self.space, cost))
        fitting = [arch for arch in known if self.budget.allows(arch)]
        return max(fitting, key=lambda arch: sign * cost.cost(arch)) if fitting else self.draw(Random(0))

    def _greatest(self, column: int, sign: int, room: Ints) -> Architecture:
        outer, inner = self._halves.outer.sums, self._halves.inner.sums
        values = sign * inner[:, column]
        best = Points(inner, values, np.maximum, NOTHING).sums(room - outer)
        first = int(np.argmax(np.where(best == NOTHING, NOTHING, best + sign * outer[:, column])))
        last = int(np.argmax(np.where(np.all(inner <= room - outer[first], axis=1), values, NOTHING)))
        return self._halves.architecture((self._drawings[0], first), (self._drawings[1], last), _first)

    def _column(self, cost: TableCost) -> int:
        return [limit.cost for limit in self._limits].index(cost)


def whole_space(space: SearchSpace, cost: TableCost) -> FeasibleSet:
    """All of a space, to ask for the range and the histogram of a cost."""
    return FeasibleSet(space, Budget((Limit(cost, float("inf")),)))


def cheapest_of(space: SearchSpace, cost: TableCost) -> Architecture:
    """The architecture with the least cost of the whole space; the first choice where several cost the same."""
    return Architecture(space.name, tuple(min(row, key=row.__getitem__) for row in cost.rows))


def dearest_of(space: SearchSpace, cost: TableCost) -> Architecture:
    """The architecture with the greatest cost of the whole space."""
    return Architecture(space.name, tuple(max(row, key=row.__getitem__) for row in cost.rows))


def _first(_: int) -> int:
    return 0


def _no_limit(space: SearchSpace) -> Limit:
    """A limit that everything keeps, for a budget without limits."""
    rows = tuple({choice.key: 0.0 for choice in block.choices} for block in space.blocks)
    return Limit(TableCost("anything", "", 0.0, rows), 0.0)


def _beyond_reach(space: SearchSpace, limit: Limit) -> str:
    remark = f" ({limit.cost.remark})" if limit.cost.remark else ""
    return (
        f"no architecture of {space.name} has {limit}: the least reachable is "
        f"{limit.cost.least_limit()}{remark}. Give {limit.cost.name} a limit of at least that"
    )


def _not_together(space: SearchSpace, budget: Budget) -> str:
    alone = "; ".join(f"{x.cost.name} alone reaches {x.cost.exact(x.cost.least)}" for x in budget.limits)
    return f"no architecture of {space.name} meets {budget} together ({alone}). Loosen one of them"


def _amount(cost: TableCost, value: float) -> str:
    return f"{value * 1000:.3g} us" if cost.unit == "ms" else f"{value:,.0f}"
