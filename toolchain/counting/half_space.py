"""A space split into two halves: the partial sums of its first blocks, and those of its last blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from toolchain.costs.core import Limit
from toolchain.counting.dominance import Ints
from toolchain.counting.integer_costs import IntegerGrid, make_grid
from toolchain.counting.partial_sums import CanComplete, PartialSums, TooManyStates
from toolchain.spaces.core import Architecture, SearchSpace

# By the number of costs (3: three or more): states of one half over all its levels, and the cells of the first coarse
# grid. With one cost a state is cheap; n states need about n * sqrt(n) comparisons with two costs, n * n with more.
MAX_STATES = {1: 6_000_000, 2: 1_000_000, 3: 60_000}
FIRST_CELLS = {1: 2**22, 2: 2**13, 3: 2**9}
MAX_PAIRS = 2**28  # with three costs or more: pairs that are compared in about a second
MAX_FRONT = 4096  # points of a Pareto front


class NothingFits(Exception):
    """No architecture fits the limits. Caught where the error message is written."""


@dataclass(frozen=True)
class HalfSpaces:
    """Both halves of a space on one grid."""

    space: SearchSpace
    grid: IntegerGrid
    outer: PartialSums  # the half with fewer states, which counting iterates over
    inner: PartialSums  # the half that is queried for matching states
    coarse: bool  # the exact grid had too many states

    def architecture(self, chosen: Sequence[int]) -> Architecture:
        """The architecture with these indices of choices, by block."""
        keys = (block.choices[choice].key for block, choice in zip(self.space.blocks, chosen, strict=True))
        return Architecture(self.space.name, tuple(keys))


def split_space(space: SearchSpace, limits: Sequence[Limit], most_states: int | None = None) -> HalfSpaces:
    """The partial sums of both halves that fit the limits, on the finest grid whose states fit into memory.

    Raises:
        NothingFits: no architecture fits.
    """
    costs = min(len(limits), 3)
    most = most_states or MAX_STATES[costs]
    for cells in _grid_sizes(costs):
        try:
            return _split(space, make_grid(space, limits, cells), most, coarse=cells is not None)
        except TooManyStates:
            continue
    raise AssertionError("a grid of one cell has one state")


def _grid_sizes(costs: int) -> Iterator[int | None]:
    """None for the exact grid, then ever coarser ones."""
    yield None
    cells = FIRST_CELLS[costs]
    while cells:
        yield cells
        cells //= 2


def _split(space: SearchSpace, grid: IntegerGrid, most_states: int, coarse: bool) -> HalfSpaces:
    if np.any(grid.upper < 0):
        raise NothingFits
    bound = _bound(grid)
    first, last = PartialSums(bound, most_states), PartialSums(bound, most_states)
    can_complete_first = _completions(grid.rows[::-1], grid.upper)[::-1]
    can_complete_last = _completions(grid.rows, grid.upper)
    start, stop = 0, len(grid.rows)
    while start < stop:  # the half with fewer states takes the next block
        if len(first.sums) <= len(last.sums):
            first.add_block(start, grid.rows[start], can_complete_first[start + 1])
            start += 1
        else:
            last.add_block(stop - 1, grid.rows[stop - 1], can_complete_last[stop - 1])
            stop -= 1
        if not len(first.sums) or not len(last.sums):
            raise NothingFits
    if len(grid.columns) > 2 and len(first.sums) * len(last.sums) > MAX_PAIRS:
        raise TooManyStates
    outer, inner = sorted((first, last), key=lambda half: len(half.sums))
    return HalfSpaces(space, grid, outer, inner, coarse)


def _bound(grid: IntegerGrid) -> list[int]:
    """What all sums stay below, by cost. A sum beyond the limit grows by one more row at most before it is dropped."""
    return [
        min(column.span, int(upper) + max(map(max, column.rows))) + 1
        for column, upper in zip(grid.columns, grid.upper, strict=True)
    ]


def _completions(rows: Sequence[Ints], upper: Ints) -> list[CanComplete]:
    """For each n, a test which sums of the other blocks fit together with some choices of the first n blocks.

    With two costs the test is exact: it uses the Pareto front of the sums of the n blocks. Otherwise it checks each
    cost by itself, where the least that any blocks add is 0.
    """
    if len(upper) != 2:
        return [partial(_fits_alone, upper)] * (len(rows) + 1)
    front = np.zeros((1, 2), dtype=np.int64)
    completions: list[CanComplete] = [partial(_fits_front, front, upper)]
    for block in rows:
        sums = (front[:, None, :] + block).reshape(-1, 2)
        front = _pareto_front(sums[np.all(sums <= upper, axis=1)])
        if not len(front):
            raise NothingFits
        if len(front) > MAX_FRONT:
            front = np.zeros((1, 2), dtype=np.int64)  # keeps states that cannot be completed, which only costs time
        completions.append(partial(_fits_front, front, upper))
    return completions


def _fits_alone(upper: Ints, sums: Ints) -> NDArray[np.bool_]:
    fits: NDArray[np.bool_] = np.all(sums <= upper, axis=1)
    return fits


def _fits_front(front: Ints, upper: Ints, sums: Ints) -> NDArray[np.bool_]:
    """Which sums fit with the point of `front` that has the largest first cost, and so the least second, possible."""
    best = np.searchsorted(front[:, 0], upper[0] - sums[:, 0], side="right") - 1
    fits: NDArray[np.bool_] = (best >= 0) & (front[best, 1] + sums[:, 1] <= upper[1])
    return fits


def _pareto_front(sums: Ints) -> Ints:
    """The rows of `sums` (n, 2) that no other row matches or undercuts in both costs, sorted by the first cost."""
    sums = sums[np.lexsort((sums[:, 1], sums[:, 0]))]
    best_before = np.minimum.accumulate(np.concatenate(([np.iinfo(np.int64).max], sums[:-1, 1])))
    return sums[sums[:, 1] < best_before[: len(sums)]]
