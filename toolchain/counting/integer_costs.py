"""Costs as integers, so that equal sums can be detected and counted.

For each block the smallest value of its row is subtracted and the rest divided by a tick, rounded down. Counts (MACs,
parameters) have a tick that divides all of them, so nothing is rounded. A latency in floats has a tick of 2^-52 of its
range, finer than the rounding of float sums. If that gives too many distinct sums, a coarser tick is used; `upper` and
`safe` then bound the effect of rounding: an architecture within the limit has a sum of at most `upper` ticks, and one
with a sum of at most `safe` ticks is within the limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toolchain.costs.core import Limit, TableCost
from toolchain.counting.dominance import Ints
from toolchain.spaces.core import SearchSpace

FINEST_CELLS = 2**52  # ticks in a cost's range at most, so that sums of a few of them fit into int64
MANTISSA_BITS = 53


@dataclass(frozen=True)
class IntegerCost:
    """One cost in ticks. Its value in the cost's unit is about `base + ticks * tick`."""

    cost: TableCost
    base: Fraction  # the least value in the space
    tick: Fraction
    rows: tuple[tuple[int, ...], ...]  # ticks above the block's least, by block and choice
    rounding: Fraction  # ticks by which rounding down can reduce a sum, at most
    float_error: Fraction  # ticks by which a sum of floats can differ from the exact sum, at most

    @property
    def span(self) -> int:
        """The largest possible sum."""
        return sum(map(max, self.rows))

    def upper(self, most: float) -> int:
        """No architecture with a cost of at most `most` has a larger sum in ticks."""
        return min(self.span, math.floor(self.ticks(most) + self.float_error))

    def safe(self, most: float) -> int:
        """Every architecture with at most this sum in ticks has a cost of at most `most`."""
        return min(self.span, math.floor(self.ticks(most) - self.float_error - self.rounding))

    def ticks(self, value: float) -> Fraction:
        """A cost in ticks; values beyond twice the greatest are reduced to that, so infinity is a valid limit."""
        return (Fraction(min(value, 2 * self.cost.greatest)) - self.base) / self.tick


@dataclass(frozen=True)
class IntegerGrid:
    """Several costs in ticks, with their limits."""

    columns: tuple[IntegerCost, ...]
    rows: tuple[Ints, ...]  # by block: (choices, costs)
    upper: Ints  # (costs,), see `IntegerCost.upper`
    safe: Ints  # (costs,), see `IntegerCost.safe`


def make_grid(space: SearchSpace, limits: Sequence[Limit], cells: int | None = None) -> IntegerGrid:
    """The limits' costs as integers: exact, or with at most about `cells` ticks between the least and the limit."""
    columns = tuple(integer_cost(space, limit.cost, limit.most, cells) for limit in limits)
    rows = tuple(
        np.array([column.rows[i] for column in columns], dtype=np.int64).reshape(len(columns), len(block.choices)).T
        for i, block in enumerate(space.blocks)
    )
    upper = [column.upper(limit.most) for column, limit in zip(columns, limits, strict=True)]
    safe = [column.safe(limit.most) for column, limit in zip(columns, limits, strict=True)]
    return IntegerGrid(columns, rows, np.array(upper, dtype=np.int64), np.array(safe, dtype=np.int64))


def integer_cost(space: SearchSpace, cost: TableCost, most: float, cells: int | None = None) -> IntegerCost:
    """One cost with the finest tick, or with at most about `cells` ticks between its least value and `most`."""
    values = [
        [Fraction(row[choice.key]) for choice in block.choices]
        for block, row in zip(space.blocks, cost.rows, strict=True)
    ]
    base = Fraction(cost.fixed) + sum(min(row) for row in values)
    above = [[value - min(row) for value in row] for row in values]
    span = sum((max(row) for row in above), Fraction(0))
    tick = _tick(above, span, min(span, Fraction(min(most, 2 * cost.greatest)) - base), cells)
    rows = tuple(tuple(math.floor(value / tick) for value in row) for row in above)
    rounding = sum(
        (
            max(value / tick - ticks for value, ticks in zip(exact, rounded, strict=True))
            for exact, rounded in zip(above, rows, strict=True)
        ),
        Fraction(0),
    )
    float_error = _float_error([Fraction(cost.fixed), *(v for row in values for v in row)], base + span, len(values))
    return IntegerCost(cost, base, tick, rows, rounding, float_error / tick)


def _tick(above: Sequence[Sequence[Fraction]], span: Fraction, reach: Fraction, cells: int | None) -> Fraction:
    """The size of a tick.

    Args:
        above: values above their block's least.
        span: the largest sum of them.
        reach: the largest sum within the limit.
        cells: ticks in `reach` at most; None for the finest tick.
    """
    divisor = _common_divisor([value for row in above for value in row])
    tick = max(divisor, span / FINEST_CELLS)
    if cells is not None and reach / cells > tick:
        tick = divisor * math.ceil(reach / cells / divisor)
    return tick


def _common_divisor(values: Sequence[Fraction]) -> Fraction:
    """The greatest number that divides all `values`; 1 if all are 0."""
    denominator = math.lcm(*(value.denominator for value in values))
    numerator = math.gcd(*(int(value * denominator) for value in values))
    return Fraction(numerator, denominator) if numerator else Fraction(1)


def _float_error(values: Sequence[Fraction], greatest: Fraction, blocks: int) -> Fraction:
    """The largest error of adding `values` as floats; 0 if every partial sum fits into a float's mantissa."""
    denominator = math.lcm(*(value.denominator for value in values))
    if greatest * denominator < 2**MANTISSA_BITS:
        return Fraction(0)
    return greatest * Fraction(blocks + 2, 2**MANTISSA_BITS)
