"""Weighted points, and for a query: the weight of all points that are at most the query in every cost.

One cost: points are sorted, their weights accumulated. Two: the points, sorted by the first cost, are also cut
into runs of 1, 2, 4, ... points, each run sorted by the second cost. What a query covers in the first cost is a
few of those runs (the binary digits of how many points it is), and in a run it covers the first so many points.
More costs: everything is compared with everything.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Weights = NDArray[Any]  # int64; Python's integers where a sum would not fit; floats for marginals
Pick = Callable[[Any], Any]  # a number from 0 to below its argument, uniformly

COMPARISONS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Runs:
    """All runs of one length, one a row, sorted by the second cost."""

    points: NDArray[np.int32]
    second: NDArray[np.int32]  # places in the order of the second cost
    so_far: Weights  # the weights of a run's points up to here, combined


class Points:
    """Points (n, costs) with weights, which `combine` adds up. With np.maximum, sums are greatest weights."""

    def __init__(self, points: Ints, weights: Weights, combine: np.ufunc = np.add, none: int = 0) -> None:
        """`none`: the sum of no points."""
        self._combine, self._none = combine, none
        self._order = np.argsort(points[:, 0], kind="stable")
        self._columns = [np.ascontiguousarray(column) for column in points[self._order].T]
        self._weights = weights[self._order]
        if len(self._columns) == 1:
            sums = combine.accumulate(self._weights)
            self._so_far = np.concatenate((np.array([none], dtype=sums.dtype), sums))
        elif len(self._columns) == 2:
            self._sorted_second = np.sort(self._columns[1])
            self._runs = list(self._make_runs())

    def sums(self, queries: Ints) -> Weights:
        """For each row of `queries` the weights of the points it covers, combined."""
        if len(self._columns) > 2:
            return self._compare_all(queries)
        covered = np.searchsorted(self._columns[0], queries[:, 0], side="right")
        if len(self._columns) == 1:
            return self._so_far[covered]
        result = np.full(len(queries), self._none, dtype=self._weights.dtype)
        second = np.searchsorted(self._sorted_second, queries[:, 1], side="right")
        for digit, runs in enumerate(self._runs):
            (asked,) = np.nonzero(covered >> digit & 1)
            row = (covered[asked] >> digit) - 1
            # Rows one behind the other are in order as a whole if each row's places are shifted by its number.
            width = len(self._sorted_second) + 1
            shifted = (runs.second + width * np.arange(len(runs.second))[:, None]).reshape(-1)
            inside = np.searchsorted(shifted, row * width + second[asked]) - (row << digit)
            some = inside > 0
            asked, row, inside = asked[some], row[some], inside[some]
            result[asked] = self._combine(result[asked], runs.so_far[row, inside - 1])
        return result

    def draw(self, query: Ints, pick: Pick) -> int:
        """One of the points that `query` covers, in proportion to the weights."""
        if len(self._columns) > 2:
            places = np.flatnonzero(np.all([c <= most for c, most in zip(self._columns, query, strict=True)], axis=0))
            so_far = np.cumsum(self._weights[places])
            return int(self._order[places[np.searchsorted(so_far, pick(so_far[-1]), side="right")]])
        covered = int(np.searchsorted(self._columns[0], query[0], side="right"))
        if len(self._columns) == 1:
            total = self._so_far[covered]
            return int(self._order[np.searchsorted(self._so_far, pick(total), side="right") - 1])
        second = int(np.searchsorted(self._sorted_second, query[1], side="right"))
        parts = []
        for digit, runs in enumerate(self._runs):
            if covered >> digit & 1:
                row = (covered >> digit) - 1
                inside = int(np.searchsorted(runs.second[row], second))
                parts.append((runs, row, inside, runs.so_far[row, inside - 1] if inside else 0))
        totals = list(accumulate(part[3] for part in parts))
        drawn = pick(totals[-1])
        at = bisect_right(totals, drawn)
        runs, row, inside, weight = parts[at]
        place = np.searchsorted(runs.so_far[row, :inside], drawn - (totals[at] - weight), side="right")
        return int(runs.points[row, place])

    def _make_runs(self) -> Iterator[Runs]:
        by_second = np.argsort(self._columns[1], kind="stable")
        place = np.empty_like(by_second)
        place[by_second] = np.arange(len(place))
        length = 1
        while length <= len(place):
            whole = len(place) // length * length
            order = np.argsort(place[:whole].reshape(-1, length), axis=1)
            order += np.arange(0, whole, length)[:, None]
            so_far = self._combine.accumulate(self._weights[order], axis=1)
            yield Runs(self._order[order].astype(np.int32), place[order].astype(np.int32), so_far)
            length *= 2

    def _compare_all(self, queries: Ints) -> Weights:
        result = np.full(len(queries), self._none, dtype=self._weights.dtype)
        step = max(1, COMPARISONS_AT_ONCE // len(self._order))
        for at in range(0, len(queries), step):
            some = queries[at : at + step, :, None]
            inside = np.ones((len(some), len(self._order)), dtype=bool)
            for cost, column in enumerate(self._columns):
                inside &= column <= some[:, cost]
            weights = np.where(inside, self._weights, np.array(self._none, dtype=self._weights.dtype))
            result[at : at + step] = self._combine.reduce(weights, axis=1)
        return result
