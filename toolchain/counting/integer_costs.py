"""Costs as whole numbers, so that sums can be counted.

A grid takes from each block's row its least value and divides the rest by a tick, rounded down. Counts (MACs,
parameters) have a tick that divides them all, and then nothing is rounded. A latency in floats has a tick of
2^-52 of its range, finer than the sums of floats themselves. Where that gives too many different sums, a coarser
grid is made, and `room` and `sure` tell how far rounding reaches: what fits the limit has a sum of at most
`room`, and what has a sum of at most `sure` fits the limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toolchain.costs.core import Limit, TableCost
from toolchain.counting.dominance import Ints
from toolchain.spaces.core import SearchSpace

FINEST_CELLS = 2**52  # ticks in a cost's range at most, so that sums of a few of them fit int64
FLOAT_BITS = 53


@dataclass(frozen=True)
class Column:
    """One cost in ticks. Its value is about `base + ticks * tick`, in the cost's unit."""

    cost: TableCost
    base: Fraction  # the least the space reaches
    tick: Fraction
    rows: tuple[tuple[int, ...], ...]  # ticks above the least, by block and choice
    loss: Fraction  # ticks that rounding down takes from a sum at most
    noise: Fraction  # ticks that a sum of floats is off at most

    @property
    def span(self) -> int:
        """The greatest sum."""
        return sum(map(max, self.rows))

    @property
    def whole(self) -> bool:
        """Nothing is rounded: a sum in ticks is the cost."""
        return not self.loss and not self.noise

    def room(self, most: float) -> int:
        """No architecture with a cost of at most `most` has a greater sum."""
        return min(self.span, math.floor(self.ticks(most) + self.noise))

    def sure(self, most: float) -> int:
        """Every architecture with a sum of at most this has a cost of at most `most`."""
        ticks = self.ticks(most) - self.noise - self.loss
        return min(self.span, math.floor(ticks))

    def ticks(self, value: float) -> Fraction:
        """A cost in ticks; what is far beyond the greatest is cut off, so that infinity is a limit too."""
        return (Fraction(min(value, 2 * self.cost.greatest)) - self.base) / self.tick


@dataclass(frozen=True)
class Grid:
    """Several costs in ticks. `rows[block]` is (choices, costs)."""

    columns: tuple[Column, ...]
    rows: tuple[Ints, ...]
    room: Ints
    sure: Ints


def make_grid(space: SearchSpace, limits: Sequence[Limit], cells: int | None = None) -> Grid:
    """The limits' costs on the finest grid, or with at most about `cells` ticks between the least and the limit."""
    columns = tuple(make_column(space, limit.cost, limit.most, cells) for limit in limits)
    rows = tuple(
        np.array([column.rows[i] for column in columns], dtype=np.int64).reshape(len(columns), len(block.choices)).T
        for i, block in enumerate(space.blocks)
    )
    room = [column.room(limit.most) for column, limit in zip(columns, limits, strict=True)]
    sure = [column.sure(limit.most) for column, limit in zip(columns, limits, strict=True)]
    return Grid(columns, rows, np.array(room, dtype=np.int64), np.array(sure, dtype=np.int64))


def make_column(space: SearchSpace, cost: TableCost, most: float, cells: int | None = None) -> Column:
    """One cost on the finest grid, or with at most about `cells` ticks between its least and `most`."""
    values = [
        [Fraction(row[choice.key]) for choice in block.choices]
        for block, row in zip(space.blocks, cost.rows, strict=True)
    ]
    base = Fraction(cost.fixed) + sum(min(row) for row in values)
    above = [[value - min(row) for value in row] for row in values]
    span = sum((max(row) for row in above), Fraction(0))
    common = _common([value for row in above for value in row])
    tick = max(common, span / FINEST_CELLS)
    room = min(span, Fraction(min(most, 2 * cost.greatest)) - base)
    if cells is not None and room / cells > tick:
        tick = common * math.ceil(room / cells / common)
    floors = tuple(tuple(math.floor(value / tick) for value in row) for row in above)
    lost = [
        max(value / tick - floor for value, floor in zip(row, ticks, strict=True))
        for row, ticks in zip(above, floors, strict=True)
    ]
    noise = _float_noise([Fraction(cost.fixed), *(v for row in values for v in row)], base + span, len(values))
    return Column(cost, base, tick, floors, sum(lost, Fraction(0)), noise / tick)


def _common(values: Sequence[Fraction]) -> Fraction:
    """The greatest number that divides all `values`; 1 where all are 0."""
    bottom = math.lcm(*(value.denominator for value in values))
    top = math.gcd(*(int(value * bottom) for value in values))
    return Fraction(top, bottom) if top else Fraction(1)


def _float_noise(values: Sequence[Fraction], greatest: Fraction, blocks: int) -> Fraction:
    """How far adding `values` as floats may be off; 0 where every partial sum has so few bits that it is exact."""
    bottom = math.lcm(*(value.denominator for value in values))
    if greatest * bottom < 2**FLOAT_BITS:
        return Fraction(0)
    return greatest * Fraction(blocks + 2, 2**FLOAT_BITS)
