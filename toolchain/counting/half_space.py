"""A space cut in two: the states of the first blocks, and those of the last. Whatever fits is a pair of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from toolchain.costs.core import Limit
from toolchain.counting.dominance import Ints, Pick
from toolchain.counting.integer_costs import Grid, make_grid
from toolchain.counting.partial_sums import Completes, Drawing, PartialSums, TooManyStates
from toolchain.spaces.core import Architecture, SearchSpace

# By the number of costs: states a side over all its levels, and the first grid to try (cells) if the finest is
# too fine. With one cost a state is cheap; with two they are compared in about n * sqrt(n), with more in n * n.
MOST_STATES = {1: 6_000_000, 2: 1_000_000, 3: 60_000}
FIRST_CELLS = {1: 2**22, 2: 2**13, 3: 2**9}
MOST_PAIRS = 2**28  # with three costs or more: what compares in about a second
MOST_UNBEATEN = 4096


class NothingFits(Exception):
    """No sums of the two sides fit together. Caught where there are words for it."""


@dataclass(frozen=True)
class Halves:
    """Both sides on one grid, the outer one with fewer states."""

    space: SearchSpace
    grid: Grid
    outer: PartialSums
    inner: PartialSums
    coarse: bool  # the finest grid had too many states

    def architecture(self, outer: tuple[Drawing, int], inner: tuple[Drawing, int], pick: Pick) -> Architecture:
        """An architecture from a state of each side, each with what to draw from."""
        chosen = [0] * len(self.space.blocks)
        self.outer.draw(outer[1], pick, chosen, outer[0])
        self.inner.draw(inner[1], pick, chosen, inner[0])
        keys = (block.choices[choice].key for block, choice in zip(self.space.blocks, chosen, strict=True))
        return Architecture(self.space.name, tuple(keys))


def cut(space: SearchSpace, limits: Sequence[Limit], most_states: int | None = None) -> Halves:
    """The states of `space` that fit the limits, on the finest grid that is affordable.

    Raises:
        NothingFits: the sides have no states that fit.
    """
    kind = min(len(limits), 3)
    most = most_states or MOST_STATES[kind]
    for cells in _grids(kind):
        try:
            return _cut(space, make_grid(space, limits, cells), most, coarse=cells is not None)
        except TooManyStates:
            continue
    raise AssertionError("a grid of one cell has one state")


def _grids(kind: int) -> Iterator[int | None]:
    yield None
    cells = FIRST_CELLS[kind]
    while cells:
        yield cells
        cells //= 2


def _cut(space: SearchSpace, grid: Grid, most_states: int, coarse: bool) -> Halves:
    if np.any(grid.room < 0):
        raise NothingFits
    # Beyond the room a sum goes by one more row at most, and is dropped then.
    bound = [
        min(column.span, int(room) + max(map(max, column.rows))) + 1
        for column, room in zip(grid.columns, grid.room, strict=True)
    ]
    first, last = PartialSums(bound, most_states), PartialSums(bound, most_states)
    completes_first = _completes(grid.rows[::-1], grid.room)[::-1]
    completes_last = _completes(grid.rows, grid.room)
    start, stop = 0, len(grid.rows)
    while start < stop:  # the side with fewer states takes the next block
        if len(first.sums) <= len(last.sums):
            first.add(start, grid.rows[start], completes_first[start + 1])
            start += 1
        else:
            last.add(stop - 1, grid.rows[stop - 1], completes_last[stop - 1])
            stop -= 1
        if not len(first.sums) or not len(last.sums):
            raise NothingFits
    if len(grid.columns) > 2 and len(first.sums) * len(last.sums) > MOST_PAIRS:
        raise TooManyStates
    outer, inner = sorted((first, last), key=lambda side: len(side.sums))
    return Halves(space, grid, outer, inner, coarse)


def _completes(rows: Sequence[Ints], room: Ints) -> list[Completes]:
    """For each n, which sums of the other blocks fit together with some choices of the first n blocks.

    With two costs this is exact: the sums of the n blocks that no other beats in both costs are few. Otherwise
    each cost is looked at by itself; there the least that blocks add is 0.
    """
    if len(room) != 2:
        return [partial(_fits_alone, room)] * (len(rows) + 1)
    front = np.zeros((1, 2), dtype=np.int64)
    completes: list[Completes] = [partial(_fits_front, front, room)]
    for block in rows:
        sums = (front[:, None, :] + block).reshape(-1, 2)
        front = _unbeaten(sums[np.all(sums <= room, axis=1)])
        if not len(front):
            raise NothingFits
        if len(front) > MOST_UNBEATEN:
            front = np.zeros((1, 2), dtype=np.int64)  # lets too many states live, which costs time only
        completes.append(partial(_fits_front, front, room))
    return completes


def _fits_alone(room: Ints, sums: Ints) -> NDArray[np.bool_]:
    fits: NDArray[np.bool_] = np.all(sums <= room, axis=1)
    return fits


def _fits_front(front: Ints, room: Ints, sums: Ints) -> NDArray[np.bool_]:
    best = np.searchsorted(front[:, 0], room[0] - sums[:, 0], side="right") - 1
    fits: NDArray[np.bool_] = (best >= 0) & (front[best, 1] + sums[:, 1] <= room[1])
    return fits


def _unbeaten(sums: Ints) -> Ints:
    """The rows of `sums` (n, 2) that no other matches or beats in both costs, by the first cost."""
    sums = sums[np.lexsort((sums[:, 1], sums[:, 0]))]
    best_before = np.minimum.accumulate(np.concatenate(([np.iinfo(np.int64).max], sums[:-1, 1])))
    return sums[sums[:, 1] < best_before[: len(sums)]]
