"""Dominance sums: for a query point, the total weight of all points that are at most the query in every cost.

One cost: the points are sorted and their weights accumulated.

Two costs: the points are sorted by the first cost and also divided into runs of 1, 2, 4, ... points, each run sorted by
the second cost with its weights accumulated. The points within the first limit are a prefix of n points, which consists
of one run for each binary digit 1 of n. Within a run, the points within the second limit are a prefix again.

Three costs or more: every query is compared with every point.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Weights = NDArray[Any]  # int64; Python integers where a sum may overflow; floats for marginals
RandomBelow = Callable[[Any], Any]  # a random number from 0 to below its argument, uniformly

COMPARISONS_AT_ONCE = 2**22


class DominanceSums(Protocol):
    """Weighted points that answer queries about the points below a query point."""

    def sums(self, queries: Ints) -> Weights:
        """The combined weight of the points below each query; `queries` is (n, costs), the result (n,)."""

    def draw(self, query: Ints, random_below: RandomBelow) -> int:
        """The index of one point below `query` (costs,), drawn in proportion to the weights."""


def dominance_sums(points: Ints, weights: Weights, combine: np.ufunc = np.add, empty: int = 0) -> DominanceSums:
    """The structure for points of this number of costs.

    Args:
        points: (n, costs).
        weights: (n,).
        combine: np.add for sums of weights, np.maximum for the largest weight.
        empty: the result for a query with no point below it.
    """
    costs = points.shape[1]
    if costs == 1:
        return SortedPoints(points, weights, combine, empty)
    if costs == 2:
        return SortedRuns(points, weights, combine, empty)
    return AllPairs(points, weights, combine, empty)


class SortedPoints:
    """Points with one cost, in order, with their weights accumulated."""

    def __init__(self, points: Ints, weights: Weights, combine: np.ufunc, empty: int) -> None:
        self._order = np.argsort(points[:, 0], kind="stable")
        self._costs = points[self._order, 0]
        sums = combine.accumulate(weights[self._order])
        self._cumulative = np.concatenate((np.array([empty], dtype=sums.dtype), sums))

    def sums(self, queries: Ints) -> Weights:
        return self._cumulative[np.searchsorted(self._costs, queries[:, 0], side="right")]

    def draw(self, query: Ints, random_below: RandomBelow) -> int:
        total = self._cumulative[int(np.searchsorted(self._costs, query[0], side="right"))]
        return int(self._order[np.searchsorted(self._cumulative, random_below(total), side="right") - 1])


@dataclass(frozen=True)
class Runs:
    """All runs of one length, one in each row; a row is sorted by the second cost."""

    points: NDArray[np.int32]  # indices of the points
    ranks: NDArray[np.int32]  # their positions in the order of the second cost
    cumulative: Weights  # their weights, accumulated along the row


@dataclass(frozen=True)
class Piece:
    """The part of one run that lies below a query: its first `length` points."""

    runs: Runs
    row: int
    length: int

    @property
    def weight(self) -> Any:
        return self.runs.cumulative[self.row, self.length - 1] if self.length else 0

    def point_at(self, weight: Any) -> int:
        """The point in which the accumulated weight exceeds `weight`."""
        place = np.searchsorted(self.runs.cumulative[self.row, : self.length], weight, side="right")
        return int(self.runs.points[self.row, place])


class SortedRuns:
    """Points with two costs, in runs of 1, 2, 4, ... points."""

    def __init__(self, points: Ints, weights: Weights, combine: np.ufunc, empty: int) -> None:
        self._combine, self._empty = combine, empty
        self._order = np.argsort(points[:, 0], kind="stable")
        self._weights = weights[self._order]
        self._first = points[self._order, 0]
        second = points[self._order, 1]
        self._sorted_second = np.sort(second)
        self._runs = list(self._make_runs(second))

    def sums(self, queries: Ints) -> Weights:
        result = np.full(len(queries), self._empty, dtype=self._weights.dtype)
        prefix = np.searchsorted(self._first, queries[:, 0], side="right")
        ranks = np.searchsorted(self._sorted_second, queries[:, 1], side="right")
        for digit, runs in enumerate(self._runs):
            (affected,) = np.nonzero(prefix >> digit & 1)
            rows = (prefix[affected] >> digit) - 1
            lengths = self._lengths(runs, digit, rows, ranks[affected])
            nonempty = lengths > 0
            affected, rows, lengths = affected[nonempty], rows[nonempty], lengths[nonempty]
            result[affected] = self._combine(result[affected], runs.cumulative[rows, lengths - 1])
        return result

    def draw(self, query: Ints, random_below: RandomBelow) -> int:
        pieces = list(self._pieces(query))
        totals = list(accumulate(piece.weight for piece in pieces))
        drawn = random_below(totals[-1])
        position = bisect_right(totals, drawn)
        piece = pieces[position]
        return piece.point_at(drawn - (totals[position] - piece.weight))

    def _pieces(self, query: Ints) -> Iterator[Piece]:
        prefix = int(np.searchsorted(self._first, query[0], side="right"))
        rank = int(np.searchsorted(self._sorted_second, query[1], side="right"))
        for digit, runs in enumerate(self._runs):
            if prefix >> digit & 1:
                row = (prefix >> digit) - 1
                yield Piece(runs, row, int(np.searchsorted(runs.ranks[row], rank)))

    def _lengths(self, runs: Runs, digit: int, rows: Ints, ranks: Ints) -> Ints:
        """How many points of each of `rows` are below the rank, with one binary search over all rows joined.

        The joined rows are sorted if each row's ranks are shifted by a multiple of more than the largest rank.
        """
        shift = len(self._sorted_second) + 1
        joined = (runs.ranks + shift * np.arange(len(runs.ranks))[:, None]).reshape(-1)
        return np.searchsorted(joined, rows * shift + ranks) - (rows << digit)

    def _make_runs(self, second: Ints) -> Iterator[Runs]:
        by_second = np.argsort(second, kind="stable")
        ranks = np.empty_like(by_second)
        ranks[by_second] = np.arange(len(ranks))
        length = 1
        while length <= len(ranks):
            covered = len(ranks) // length * length
            order = np.argsort(ranks[:covered].reshape(-1, length), axis=1)
            order += np.arange(0, covered, length)[:, None]
            cumulative = self._combine.accumulate(self._weights[order], axis=1)
            yield Runs(self._order[order].astype(np.int32), ranks[order].astype(np.int32), cumulative)
            length *= 2


class AllPairs:
    """Points with any number of costs; each query is compared with all points."""

    def __init__(self, points: Ints, weights: Weights, combine: np.ufunc, empty: int) -> None:
        self._combine, self._empty = combine, empty
        self._order = np.argsort(points[:, 0], kind="stable")
        self._columns = [np.ascontiguousarray(column) for column in points[self._order].T]
        self._weights = weights[self._order]

    def sums(self, queries: Ints) -> Weights:
        result = np.full(len(queries), self._empty, dtype=self._weights.dtype)
        empty = np.array(self._empty, dtype=self._weights.dtype)
        step = max(1, COMPARISONS_AT_ONCE // len(self._order))
        for start in range(0, len(queries), step):
            chunk = queries[start : start + step, :, None]
            below = np.ones((len(chunk), len(self._order)), dtype=bool)
            for cost, column in enumerate(self._columns):
                below &= column <= chunk[:, cost]
            result[start : start + step] = self._combine.reduce(np.where(below, self._weights, empty), axis=1)
        return result

    def draw(self, query: Ints, random_below: RandomBelow) -> int:
        below = [column <= limit for column, limit in zip(self._columns, query, strict=True)]
        indices = np.flatnonzero(np.all(below, axis=0))
        cumulative = np.cumsum(self._weights[indices])
        return int(self._order[indices[np.searchsorted(cumulative, random_below(cumulative[-1]), side="right")]])
