"""Pictures of the paper's tables stay readable with the intervals of two seeds."""

import pytest

from toolchain.report.paper import Dot, visible_range


def test_wide_intervals_are_cut_at_the_distance_of_the_values() -> None:
    low, high, cut = visible_range([Dot(0.86, 0.01), Dot(0.72, 1.27), Dot(None), Dot(0.85)])
    assert cut
    assert low == pytest.approx(0.58 - 0.04 * 0.42)
    assert high == pytest.approx(1.00 + 0.04 * 0.42)


def test_narrow_intervals_are_shown_whole() -> None:
    low, high, cut = visible_range([Dot(0.5, 0.1), Dot(0.7, 0.05)])
    assert not cut
    assert low == pytest.approx(0.4 - 0.04 * 0.35)
    assert high == pytest.approx(0.75 + 0.04 * 0.35)


def test_without_a_distance_the_axis_is_left_to_the_plot() -> None:
    assert visible_range([Dot(0.5, 0.1), Dot(None)]) == (0.0, 0.0, False)
    assert visible_range([]) == (0.0, 0.0, False)
