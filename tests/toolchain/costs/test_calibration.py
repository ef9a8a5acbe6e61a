"""Sums of parts against whole networks: the right correction, an honest error, a margin that covers its level."""

from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau, t

from toolchain.costs.calibration import (
    ASSUMED_MARGIN,
    FEW,
    LEVEL,
    SLOPES,
    Calibration,
    calibrate,
    kendall_tau,
    margin_of,
)

Floats = NDArray[np.float64]


def sums(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(1.0, 2.0, n)


def noisy(values: Floats, spread: float = 0.02, seed: int = 1) -> Floats:
    return values * (1 + spread * np.random.default_rng(seed).standard_normal(len(values)))


@pytest.mark.parametrize(
    ("kind", "scale", "offset_ms"),
    [("sum", 1.0, 0.0), ("scale", 1.3, 0.0), ("affine", 1.1, -0.3), ("affine", 0.8, 0.4)],
)
def test_finds_the_simplest_correction_that_holds(kind: str, scale: float, offset_ms: float) -> None:
    x = sums(20)
    exact = calibrate(x, scale * x + offset_ms, fixed_ms=0.4)
    assert exact.kind == kind
    assert (exact.scale, exact.offset_ms) == pytest.approx((scale, offset_ms))
    assert exact.margin == pytest.approx(0.0, abs=1e-12)
    assert exact.predict(1.5) == pytest.approx(scale * 1.5 + offset_ms)
    near = calibrate(x, noisy(scale * x + offset_ms, 0.005), fixed_ms=0.4)
    # 0.5 % of noise on 20 points moves a prediction in the middle of them by far less than that
    assert near.predict(1.5) == pytest.approx(scale * 1.5 + offset_ms, rel=0.005)


def test_the_error_is_of_networks_that_the_correction_has_not_seen() -> None:
    """One network out of line: fitted with it, its own residual would look smaller than it is."""
    x = sums(10)
    y = 1.2 * x
    y[3] *= 1.5
    found = calibrate(x, y)
    assert found.scale == pytest.approx(1.2)
    assert found.mape == pytest.approx((1 - 1 / 1.5) / 10)
    assert found.bias == pytest.approx(-(1 - 1 / 1.5) / 10)
    assert (found.within_5, found.within_10) == (0.9, 0.9)
    assert found.margin >= 0.5  # the largest residual, as there are fewer than 19


def test_skill_is_against_always_saying_the_median() -> None:
    x = sums(40)
    assert (calibrate(x, noisy(1.3 * x, 0.01)).skill or inf) < 0.1
    knows_nothing = calibrate(x, noisy(np.full(40, 1.5), 0.01))
    assert knows_nothing.skill is not None
    assert knows_nothing.skill > 0.9
    assert knows_nothing.tau == pytest.approx(0, abs=0.3)  # 40 pairs without order: standard deviation 0.11


@pytest.mark.parametrize("n", [2, 3, 5, 12, 20, 40])
def test_the_margin_covers_new_networks(n: int) -> None:
    """400 calibrations, 20 new networks each, and the level is met on average; below it only by chance."""
    covered = []
    for seed in range(400):
        x = sums(n + 20, seed)
        y = noisy(1.3 * x - 0.1, seed=seed + 10_000)
        found = calibrate(x[:n], y[:n], fixed_ms=0.3)
        covered.append(np.mean([measured <= found.upper(total) for total, measured in zip(x[n:], y[n:], strict=True)]))
    # the standard deviation of one calibration's coverage is about 0.05, so of the mean of 400 about 0.003
    assert np.mean(covered) > LEVEL - 0.015
    assert n < 12 or np.mean(covered) < LEVEL + 0.02  # with enough networks it is no wider than it must be


def test_fewer_networks_leave_a_wider_margin() -> None:
    wide = [np.mean([calibrate(sums(n, s), noisy(sums(n, s), seed=s)).margin for s in range(100)]) for n in (2, 8, 40)]
    assert wide == sorted(wide, reverse=True)


def test_the_conformal_quantile_is_a_residual() -> None:
    residuals = np.linspace(-0.05, 0.04, 19)
    assert margin_of(residuals, LEVEL) == residuals[18]  # ceil(20 x 0.95) = 19: the largest of 19
    assert margin_of(np.linspace(-0.05, 0.05, 39), LEVEL) == np.linspace(-0.05, 0.05, 39)[37]  # the 38th of 39
    assert margin_of(residuals - 0.1, LEVEL) == 0.0


def test_without_such_a_quantile_it_is_students_bound_or_the_largest_residual() -> None:
    residuals = np.array([-0.02, 0.0, 0.01, 0.03, -0.01, 0.02])
    expected = residuals.mean() + t.ppf(LEVEL, 5) * residuals.std(ddof=1) * (1 + 1 / 6) ** 0.5
    assert margin_of(residuals, LEVEL) == pytest.approx(expected)
    residuals[0] = 0.9
    assert margin_of(residuals, LEVEL) >= 0.9
    assert margin_of(np.zeros(FEW), LEVEL) == 0
    assert margin_of(np.zeros(FEW - 1), LEVEL) == ASSUMED_MARGIN


def test_no_network_and_one() -> None:
    none = calibrate([], [])
    assert (none.kind, none.margin, none.networks, none.mape) == ("sum", ASSUMED_MARGIN, 0, None)
    assert "not calibrated: no whole network was measured, 5.0% is assumed" in str(none)
    one = calibrate([1.0], [1.3])
    assert (one.scale, one.margin, one.networks, one.tau) == (1.3, ASSUMED_MARGIN, 1, None)
    assert one.upper(2.0) == pytest.approx(2.6 * 1.05)


def test_no_part_of_a_prediction_is_below_zero() -> None:
    x = sums(20)
    found = calibrate(x, 2 * x - 0.4, fixed_ms=0.1)
    assert found.kind == "affine"
    assert found.scale * 0.1 + found.offset_ms == pytest.approx(0.0)


def test_a_slope_that_the_networks_do_not_determine_is_bounded() -> None:
    x = 1.5 + np.linspace(0, 1e-6, 20)
    y = 1.5 + np.linspace(0, 1e-2, 20)  # a slope of 10,000
    found = calibrate(x, y, fixed_ms=1.5)
    assert SLOPES[0] <= found.scale <= SLOPES[1]


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 8, 30).astype(float), rng.integers(0, 8, 30).astype(float)
    assert kendall_tau(one, other) == pytest.approx(kendalltau(one, other).statistic)
    assert kendall_tau(one, np.ones(30)) == 0.0


def test_in_words() -> None:
    found = Calibration(1.0312, -0.012, 0.0213, 0.95, 20, 0.0112, 0.0, 1.0, 1.0, 0.934, 0.2)
    assert str(found) == (
        "sum of parts x 1.031 - 0.012 ms, from 20 whole networks: held-out error 1.1%, tau 0.93, margin 2.1% at 95%"
    )
