"""Dominance sums, compared with checking every point."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.counting.dominance import dominance_sums

NONE = -100


@given(
    costs=st.integers(1, 3),
    points=st.lists(st.tuples(*[st.integers(0, 9)] * 3, st.integers(0, 5)), min_size=1, max_size=40),
    queries=st.lists(st.tuples(*[st.integers(-2, 11)] * 3), min_size=1, max_size=20),
)
def test_sums_and_largest_weights(
    costs: int, points: list[tuple[int, int, int, int]], queries: list[tuple[int, int, int]]
) -> None:
    positions, weights = np.array(points)[:, :costs], np.array(points)[:, 3]
    limits = np.array(queries)[:, :costs]
    below = [[w for p, w in zip(positions, weights, strict=True) if np.all(p <= limit)] for limit in limits]
    assert dominance_sums(positions, weights).sums(limits).tolist() == [sum(values) for values in below]
    largest = dominance_sums(positions, weights, np.maximum, NONE).sums(limits)
    assert largest.tolist() == [max(values, default=NONE) for values in below]


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_sums_beyond_int64(costs: int) -> None:
    positions = np.arange(10)[:, None].repeat(costs, axis=1)
    weights = np.array([2**70 + i for i in range(10)], dtype=object)
    assert dominance_sums(positions, weights).sums(positions[[2]]).tolist() == [3 * 2**70 + 3]


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_draws_are_in_proportion_to_the_weights(costs: int) -> None:
    rng = np.random.default_rng(0)
    positions = rng.integers(0, 6, size=(37, costs))
    weights = rng.integers(0, 4, size=37)
    query = np.full(costs, 3)
    inside = [i for i in range(37) if np.all(positions[i] <= 3) and weights[i]]
    points, random_below = dominance_sums(positions, weights), Random(1).randrange
    drawn = [points.draw(query, random_below) for _ in range(4000)]
    assert set(drawn) == set(inside)
    total = weights[inside].sum()
    statistic = sum((drawn.count(i) - 4000 * weights[i] / total) ** 2 / (4000 * weights[i] / total) for i in inside)
    degrees = len(inside) - 1
    assert statistic < degrees + 5 * (2 * degrees) ** 0.5  # 5 sigma; the seed is fixed
