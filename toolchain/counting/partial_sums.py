"""All sums that a run of blocks can reach, how many architectures reach each, and draws among them.

A `PartialSums` grows block by block. Its states after some blocks are the distinct sums (one number a cost) that those
blocks reach and that the blocks still to come can complete within the limits. A state's weight is the number of
ways to it. Going back from a state, block by block and in proportion to the weights, draws one of its ways
uniformly.

States are kept as one integer each, their key. Keys are linear in the sums, so the state before a choice has
the key of the state minus the key of the choice's row.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.counting.dominance import Ints, Pick, Weights

Completes = Callable[[Ints], NDArray[np.bool_]]  # which sums (n, costs) the other blocks can complete

PACKED_BITS = 62
DENSE_CELLS = 2**23  # sums are added up in one array of all keys where that is no longer than this
SORTING_IS_DEARER = 32  # a sum that is sorted costs about as much as so many cells of that array
MOST_SUMS = 2**22  # sums before equal ones are merged, where they have to be sorted
CACHED_STATES = 2**14  # a level, for draws
INT64_WAYS = 2**62


class TooManyStates(Exception):
    """The grid is too fine for these blocks. Caught where grids are chosen."""


class PartialSums:
    """The states of a run of blocks."""

    def __init__(self, bound: Sequence[int], most_states: int) -> None:
        """`bound`: what a sum stays below in each cost. `most_states`: over all levels together."""
        self.blocks: list[int] = []
        self.sums: Ints = np.zeros((1, len(bound)), dtype=np.int64)
        self.weights: list[Weights] = [np.ones(1, dtype=np.int64)]
        self._ways = 1
        self._keys: list[Ints] = [np.zeros(1, dtype=np.int64)]
        self._row_keys: list[Ints] = []
        self._bound = bound
        self._cells = 1
        for most in bound:
            self._cells *= most
        self._multipliers = self._make_multipliers()
        self._most_states = most_states

    def add(self, block: int, rows: Ints, completes: Completes) -> None:
        """Grow by the block at position `block`; `rows` is (choices, costs).

        Raises:
            TooManyStates: more than the side was made for.
        """
        distinct, counts = np.unique(rows, axis=0, return_counts=True)
        self._ways *= len(rows)
        if self._ways >= INT64_WAYS:
            self.weights[-1] = self.weights[-1].astype(object)  # Python's integers, which don't overflow
        if self._cells <= DENSE_CELLS and len(self.sums) * SORTING_IS_DEARER > self._keys[-1][-1]:
            keys, sums, weights = self._added_dense(distinct, counts)
        else:
            keys, sums, weights = self._added_sorted(distinct, counts, completes)
        kept = completes(sums)
        if np.count_nonzero(kept) + sum(map(len, self._keys)) > self._most_states:
            raise TooManyStates
        self.blocks.append(block)
        self.sums = sums[kept]
        self.weights.append(weights[kept])
        self._keys.append(keys[kept])
        self._row_keys.append(rows @ self._multipliers)

    def draw(self, state: int, pick: Pick, chosen: list[int], drawing: "Drawing") -> None:
        """Write the choices of one way to `state` into `chosen`, by block."""
        for level in range(len(self.blocks), 0, -1):
            cumulative, choices, states = drawing.into(level, state)
            at = min(bisect_right(cumulative, pick(cumulative[-1])), len(choices) - 1)
            chosen[self.blocks[level - 1]] = choices[at]
            state = states[at]

    def before(self, level: int, state: int) -> tuple[Ints, Ints]:
        """The choices that lead into a state of `level` (blocks added so far), and the states that they come from."""
        earlier = self._keys[level - 1]
        wanted = self._keys[level][state] - self._row_keys[level - 1]
        at = np.minimum(np.searchsorted(earlier, wanted), len(earlier) - 1)
        (choices,) = np.nonzero(earlier[at] == wanted)
        return choices, at[choices]

    def edges(self, level: int) -> Iterator[tuple[Ints, Ints]]:
        """For each choice of the block that makes `level`: the states it comes from, and those it leads to."""
        later = self._keys[level]
        for row_key in self._row_keys[level - 1]:
            wanted = self._keys[level - 1] + row_key
            at = np.minimum(np.searchsorted(later, wanted), len(later) - 1)
            (start,) = np.nonzero(later[at] == wanted)
            yield start, at[start]

    def _make_multipliers(self) -> Ints:
        """Sums packed into one integer, or, where they don't fit, a hash: the top bits overflow, and that is meant."""
        if self._cells < 2**PACKED_BITS:
            strides = [1]
            for most in reversed(self._bound[1:]):
                strides.insert(0, strides[0] * most)
            return np.array(strides, dtype=np.int64)
        return np.random.default_rng(0).integers(0, 2**62, len(self._bound)) * 2 + 1

    def _added_dense(self, rows: Ints, counts: Ints) -> tuple[Ints, Ints, Weights]:
        offsets = rows @ self._multipliers
        keys, weights = self._keys[-1], self.weights[-1]
        length = int(keys[-1]) + 1
        before = np.zeros(length, dtype=weights.dtype)
        before[keys] = weights
        after = np.zeros(length + int(offsets.max()), dtype=weights.dtype)
        for offset, count in zip(offsets, counts, strict=True):
            after[offset : offset + length] += before if count == 1 else before * count
        found = np.flatnonzero(after)
        columns, rest = [], found
        for stride in self._multipliers:
            columns.append(rest // stride)
            rest = rest % stride
        return found, np.stack(columns, axis=1), after[found]

    def _added_sorted(self, rows: Ints, counts: Ints, completes: Completes) -> tuple[Ints, Ints, Weights]:
        if len(self.sums) * len(rows) > MOST_SUMS:
            raise TooManyStates
        sums = (self.sums[:, None, :] + rows).reshape(-1, rows.shape[1])
        weights = (self.weights[-1][:, None] * counts).reshape(-1)
        kept = completes(sums)
        sums, weights = sums[kept], weights[kept]
        keys = sums @ self._multipliers
        order = np.argsort(keys, kind="stable")
        keys, sums, weights = keys[order], sums[order], weights[order]
        new = np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1]))
        if np.any(sums[1:][~new[1:]] != sums[:-1][~new[1:]]):
            raise TooManyStates  # two sums with one hash: another grid has another
        starts = np.flatnonzero(new)
        return keys[starts], sums[starts], np.add.reduceat(weights, starts) if len(starts) else weights


class Drawing:
    """What draws on a side look up: by state, the ways into it. Often visited states are remembered.

    `levels` are the side's weights, or others by the same states; `factors` a weight by block and choice.
    """

    def __init__(
        self, side: PartialSums, levels: Sequence[Weights], factors: Sequence[NDArray[Any]] | None = None
    ) -> None:
        self._side = side
        self._levels = levels
        self._factors = factors
        self._known: list[dict[int, tuple[list[Any], list[int], list[int]]]] = [{} for _ in levels]

    def into(self, level: int, state: int) -> tuple[list[Any], list[int], list[int]]:
        """The ways into a state: their weights added up one after the other, their choices, where they come from."""
        known = self._known[level]
        if state in known:
            return known[state]
        choices, states = self._side.before(level, state)
        weights = self._levels[level - 1][states]
        if self._factors is not None:
            weights = weights * self._factors[self._side.blocks[level - 1]][choices]
        ways = (np.cumsum(weights).tolist(), choices.tolist(), states.tolist())
        if len(known) < CACHED_STATES:
            known[state] = ways
        return ways
