"""The mean of several results and its interval."""

import pytest

from toolchain.training.mean_interval import mean_interval


def test_interval_of_students_t() -> None:
    """t(0.975, 4) is 2.776 and the standard deviation of 1 to 5 is 1.5811: 2.776 x 1.5811 / sqrt(5) = 1.963."""
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (interval.count, interval.mean) == (5, 3.0)
    assert interval.half_width == pytest.approx(1.9632, abs=1e-4)


def test_a_single_value_has_no_interval() -> None:
    interval = mean_interval([0.734])
    assert (interval.mean, interval.half_width, interval.percent) == (0.734, None, "73.40%")
    assert mean_interval([0.73, 0.74]).percent == "73.50% +- 6.35 points"  # t(0.975, 1) is 12.706
