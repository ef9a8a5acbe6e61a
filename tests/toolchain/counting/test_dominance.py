"""Sums over all points below a query, against comparing one by one."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.counting.dominance import Points

NONE = -100


@given(
    costs=st.integers(1, 3),
    points=st.lists(st.tuples(*[st.integers(0, 9)] * 3, st.integers(0, 5)), min_size=1, max_size=40),
    queries=st.lists(st.tuples(*[st.integers(-2, 11)] * 3), min_size=1, max_size=20),
)
def test_sums_and_greatest_weights(
    costs: int, points: list[tuple[int, int, int, int]], queries: list[tuple[int, int, int]]
) -> None:
    where, weights = np.array(points)[:, :costs], np.array(points)[:, 3]
    asked = np.array(queries)[:, :costs]
    below = [[w for p, w in zip(where, weights, strict=True) if np.all(p <= query)] for query in asked]
    assert Points(where, weights).sums(asked).tolist() == [sum(found) for found in below]
    greatest = Points(where, weights, np.maximum, NONE).sums(asked)
    assert greatest.tolist() == [max(found, default=NONE) for found in below]


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_sums_beyond_int64(costs: int) -> None:
    where = np.arange(10)[:, None].repeat(costs, axis=1)
    weights = np.array([2**70 + i for i in range(10)], dtype=object)
    assert Points(where, weights).sums(where[[2]]).tolist() == [3 * 2**70 + 3]


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_draws_are_in_proportion_to_the_weights(costs: int) -> None:
    rng = np.random.default_rng(0)
    where = rng.integers(0, 6, size=(37, costs))
    weights = rng.integers(0, 4, size=37)
    query = np.full(costs, 3)
    inside = [i for i in range(37) if np.all(where[i] <= 3) and weights[i]]
    points, pick = Points(where, weights), Random(1).randrange
    drawn = [points.draw(query, pick) for _ in range(4000)]
    assert set(drawn) == set(inside)
    total = weights[inside].sum()
    statistic = sum((drawn.count(i) - 4000 * weights[i] / total) ** 2 / (4000 * weights[i] / total) for i in inside)
    degrees = len(inside) - 1
    assert statistic < degrees + 5 * (2 * degrees) ** 0.5  # 5 sigma; the numbers drawn are fixed
