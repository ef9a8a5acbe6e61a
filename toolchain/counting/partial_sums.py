"""All distinct sums that a sequence of blocks can reach, and how many architectures reach each.

`PartialSums` grows block by block. Its states after some blocks are the distinct sums (one number for each cost) that
these blocks reach and that the remaining blocks can complete within the limits. A state's weight is the number of
architectures that reach it.

A state is stored as one integer, its key. Keys are linear in the sums: the state before a choice has the key of the
state after it minus the key of the choice's row.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from toolchain.counting.dominance import Ints, Weights

CanComplete = Callable[[Ints], NDArray[np.bool_]]  # which sums (n, costs) the remaining blocks can complete

PACKED_BITS = 62
DENSE_CELLS = 2**23  # use one array with a cell for each key if it is at most this long
SORTING_COST = 32  # sorting one sum takes about as long as processing this many cells of that array
MAX_SUMS = 2**22  # sums before equal ones are merged, where they have to be sorted
INT64_COUNT = 2**62  # from this many architectures on, weights are Python integers


class TooManyStates(Exception):
    """The costs have too many distinct sums. Caught where a coarser grid is tried."""


class PartialSums:
    """The states of a sequence of blocks.

    Attributes:
        blocks: positions of the blocks that were added, in that order.
        sums: (states, costs) after the last block.
        weights: by level (number of blocks added), the weight of each state.
    """

    def __init__(self, bound: Sequence[int], most_states: int) -> None:
        """`bound`: sums stay below it, by cost. `most_states`: limit for the states of all levels together."""
        self.blocks: list[int] = []
        self.sums: Ints = np.zeros((1, len(bound)), dtype=np.int64)
        self.weights: list[Weights] = [np.ones(1, dtype=np.int64)]
        self._architectures = 1
        self._keys: list[Ints] = [np.zeros(1, dtype=np.int64)]
        self._row_keys: list[Ints] = []
        self._cells = 1
        for most in bound:
            self._cells *= most
        self._multipliers = _multipliers(bound, self._cells)
        self._most_states = most_states

    def add_block(self, block: int, rows: Ints, can_complete: CanComplete) -> None:
        """Add the block at position `block` of the space; `rows` is (choices, costs).

        Raises:
            TooManyStates: the number of states exceeds `most_states`.
        """
        distinct, counts = np.unique(rows, axis=0, return_counts=True)
        self._architectures *= len(rows)
        if self._architectures >= INT64_COUNT:
            self.weights[-1] = self.weights[-1].astype(object)  # Python integers do not overflow
        if self._cells <= DENSE_CELLS and len(self.sums) * SORTING_COST > self._keys[-1][-1]:
            keys, sums, weights = self._add_dense(distinct, counts)
        else:
            keys, sums, weights = self._add_sorted(distinct, counts, can_complete)
        kept = can_complete(sums)
        if np.count_nonzero(kept) + sum(map(len, self._keys)) > self._most_states:
            raise TooManyStates
        self.blocks.append(block)
        self.sums = sums[kept]
        self.weights.append(weights[kept])
        self._keys.append(keys[kept])
        self._row_keys.append(rows @ self._multipliers)

    def predecessors(self, level: int, state: int) -> tuple[Ints, Ints]:
        """The choices that lead to a state of `level` (number of blocks added), and the states they start from."""
        before = self._keys[level - 1]
        return _matches(before, self._keys[level][state] - self._row_keys[level - 1])

    def transitions(self, level: int) -> Iterator[tuple[Ints, Ints]]:
        """For each choice of the block that was added at `level`: the states before it, and the states after it."""
        after = self._keys[level]
        for row_key in self._row_keys[level - 1]:
            yield _matches(after, self._keys[level - 1] + row_key)

    def _add_dense(self, rows: Ints, counts: Ints) -> tuple[Ints, Ints, Weights]:
        """Add up the weights in an array with a cell for each key: shifted by a row's key and added, row by row."""
        offsets = rows @ self._multipliers
        keys, weights = self._keys[-1], self.weights[-1]
        length = int(keys[-1]) + 1
        before = np.zeros(length, dtype=weights.dtype)
        before[keys] = weights
        after = np.zeros(length + int(offsets.max()), dtype=weights.dtype)
        for offset, count in zip(offsets, counts, strict=True):
            after[offset : offset + length] += before if count == 1 else before * count
        keys = np.flatnonzero(after)
        return keys, self._unpack(keys), after[keys]

    def _add_sorted(self, rows: Ints, counts: Ints, can_complete: CanComplete) -> tuple[Ints, Ints, Weights]:
        """List all sums, sort them by key, and merge equal ones."""
        if len(self.sums) * len(rows) > MAX_SUMS:
            raise TooManyStates
        sums = (self.sums[:, None, :] + rows).reshape(-1, rows.shape[1])
        weights = (self.weights[-1][:, None] * counts).reshape(-1)
        kept = can_complete(sums)
        sums, weights = sums[kept], weights[kept]
        keys = sums @ self._multipliers
        order = np.argsort(keys, kind="stable")
        keys, sums, weights = keys[order], sums[order], weights[order]
        repeated = keys[1:] == keys[:-1]
        if np.any(sums[1:][repeated] != sums[:-1][repeated]):
            raise TooManyStates  # two different sums have the same hash; on another grid they have not
        starts = np.flatnonzero(np.concatenate((np.ones(min(1, len(keys)), dtype=bool), ~repeated)))
        merged = np.add.reduceat(weights, starts) if len(starts) else weights
        return keys[starts], sums[starts], merged

    def _unpack(self, keys: Ints) -> Ints:
        """The sums (n, costs) of packed keys (n,)."""
        columns, rest = [], keys
        for stride in self._multipliers:
            columns.append(rest // stride)
            rest = rest % stride
        return np.stack(columns, axis=1)


def _multipliers(bound: Sequence[int], cells: int) -> Ints:
    """Factors (costs,) whose dot product with a sum is its key.

    If all sums fit into one integer, the key packs them like the index of an array of shape `bound`. Otherwise the key
    is a hash: the product with random odd numbers, which overflows int64 on purpose.
    """
    if cells >= 2**PACKED_BITS:
        return np.random.default_rng(0).integers(0, 2**62, len(bound)) * 2 + 1
    strides = [1]
    for most in reversed(bound[1:]):
        strides.insert(0, strides[0] * most)
    return np.array(strides, dtype=np.int64)


def _matches(sorted_keys: Ints, keys: Ints) -> tuple[Ints, Ints]:
    """Which of `keys` occur in `sorted_keys`, as indices into `keys`, and their positions in `sorted_keys`."""
    positions = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    (matching,) = np.nonzero(sorted_keys[positions] == keys)
    return matching, positions[matching]
