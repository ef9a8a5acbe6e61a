"""Calibration on whole networks: the correction, its error on unseen networks, and the coverage of its margin."""

from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau, t

from toolchain.costs.calibration import Calibration, calibrate, kendall_tau, margin_of

Floats = NDArray[np.float64]


def sums(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(1.0, 2.0, n)


def kind_of(calibration: Calibration) -> str:
    if calibration.offset_ms:
        return "affine"
    return "sum" if calibration.scale == 1 else "scale"


def predict(calibration: Calibration, sum_ms: float) -> float:
    return calibration.scale * sum_ms + calibration.offset_ms


def noisy(values: Floats, spread: float = 0.02, seed: int = 1) -> Floats:
    return values * (1 + spread * np.random.default_rng(seed).standard_normal(len(values)))


@pytest.mark.parametrize(
    ("kind", "scale", "offset_ms"),
    [("sum", 1.0, 0.0), ("scale", 1.3, 0.0), ("affine", 1.1, -0.3), ("affine", 0.8, 0.4)],
)
def test_the_simplest_sufficient_correction_is_chosen(kind: str, scale: float, offset_ms: float) -> None:
    x = sums(20)
    exact = calibrate(x, scale * x + offset_ms, fixed_ms=0.4)
    assert kind_of(exact) == kind
    assert (exact.scale, exact.offset_ms) == pytest.approx((scale, offset_ms))
    assert exact.margin == pytest.approx(0.0, abs=1e-12)
    assert predict(exact, 1.5) == pytest.approx(scale * 1.5 + offset_ms)
    near = calibrate(x, noisy(scale * x + offset_ms, 0.005), fixed_ms=0.4)
    # 0.5 % of noise on 20 points changes a prediction in their middle by much less than 0.5 %
    assert predict(near, 1.5) == pytest.approx(scale * 1.5 + offset_ms, rel=0.005)


def test_the_error_is_that_of_held_out_networks() -> None:
    """With one outlier: a correction fitted on it as well would understate its residual."""
    x = sums(10)
    y = 1.2 * x
    y[3] *= 1.5
    result = calibrate(x, y)
    assert result.scale == pytest.approx(1.2)
    assert result.mape == pytest.approx((1 - 1 / 1.5) / 10)
    assert result.bias == pytest.approx(-(1 - 1 / 1.5) / 10)
    assert (result.within_5, result.within_10) == (0.9, 0.9)
    assert result.margin >= 0.5  # the largest residual, as there are fewer than 19


def test_skill_compares_with_predicting_the_median() -> None:
    x = sums(40)
    assert (calibrate(x, noisy(1.3 * x, 0.01)).skill or inf) < 0.1
    uninformative = calibrate(x, noisy(np.full(40, 1.5), 0.01))
    assert uninformative.skill is not None
    assert uninformative.skill > 0.9
    assert uninformative.tau == pytest.approx(0, abs=0.3)  # 40 pairs without order: standard deviation 0.11


@pytest.mark.parametrize("n", [2, 5, 12, *(pytest.param(n, marks=pytest.mark.long) for n in (3, 20, 40))])
def test_the_margin_covers_new_networks(n: int) -> None:
    """400 calibrations with 20 new networks each: on average the margin covers the level of 95 %."""
    covered = []
    for seed in range(400):
        x = sums(n + 20, seed)
        y = noisy(1.3 * x - 0.1, seed=seed + 10_000)
        result = calibrate(x[:n], y[:n], fixed_ms=0.3)
        upper = [predict(result, total) * (1 + result.margin) for total in x[n:]]
        covered.append(np.mean(y[n:] <= upper))
    # the standard deviation of one calibration's coverage is about 0.05, so of the mean of 400 about 0.003
    assert np.mean(covered) > 0.95 - 0.015
    assert n < 12 or np.mean(covered) < 0.95 + 0.02  # with enough networks the margin is no wider than necessary


def test_fewer_networks_leave_a_wider_margin() -> None:
    wide = [np.mean([calibrate(sums(n, s), noisy(sums(n, s), seed=s)).margin for s in range(100)]) for n in (2, 8, 40)]
    assert wide == sorted(wide, reverse=True)


def test_the_conformal_quantile_is_one_of_the_residuals() -> None:
    residuals = np.linspace(-0.05, 0.04, 19)
    assert margin_of(residuals, 0.95) == residuals[18]  # ceil(20 x 0.95) = 19: the largest of 19
    assert margin_of(np.linspace(-0.05, 0.05, 39), 0.95) == np.linspace(-0.05, 0.05, 39)[37]  # the 38th of 39
    assert margin_of(residuals - 0.1, 0.95) == 0.0


def test_with_few_networks_the_margin_is_students_bound_or_the_largest_residual() -> None:
    residuals = np.array([-0.02, 0.0, 0.01, 0.03, -0.01, 0.02])
    expected = residuals.mean() + t.ppf(0.95, 5) * residuals.std(ddof=1) * (1 + 1 / 6) ** 0.5
    assert margin_of(residuals, 0.95) == pytest.approx(expected)
    residuals[0] = 0.9
    assert margin_of(residuals, 0.95) >= 0.9
    assert margin_of(np.zeros(5), 0.95) == 0
    assert margin_of(np.zeros(4), 0.95) == 0.05


def test_no_network_and_one_network() -> None:
    none = calibrate([], [])
    assert (kind_of(none), none.margin, none.networks, none.mape) == ("sum", 0.05, 0, None)
    assert "not calibrated: no whole network was measured, 5.0% is assumed" in str(none)
    one = calibrate([1.0], [1.3])
    assert (one.scale, one.margin, one.networks, one.tau) == (1.3, 0.05, 1, None)
    assert predict(one, 2.0) == pytest.approx(2.6)


def test_no_share_of_a_prediction_is_below_zero() -> None:
    x = sums(20)
    result = calibrate(x, 2 * x - 0.4, fixed_ms=0.1)
    assert kind_of(result) == "affine"
    assert result.scale * 0.1 + result.offset_ms == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("slope", "offset_ms", "expected"),
    # the ratio measured / sum at the median sum 1.5 is 0.4 and 0.9667; the slope is bounded to 2 and 0.5 times that
    [(1.0, -0.9, 0.8), (0.3, 1.0, 0.48333)],
)
def test_the_slope_of_an_affine_correction_is_bounded(slope: float, offset_ms: float, expected: float) -> None:
    x = np.linspace(1, 2, 21)
    result = calibrate(x, slope * x + offset_ms, fixed_ms=0.95)
    assert kind_of(result) == "affine"
    assert result.scale == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("factor", "kind"), [(1.003, "sum"), (1.006, "scale")])
def test_a_parameter_must_reduce_the_error_by_a_tenth(factor: float, kind: str) -> None:
    """Scaling by the factor reduces the held-out error of such measurements to 0.93 and 0.88 of it."""
    measured = factor * np.tile([0.98, 1.0, 1.02], 14)
    assert kind_of(calibrate([1.0] * 42, measured.tolist())) == kind


@pytest.mark.parametrize(("networks", "kind"), [(4, "scale"), (5, "affine")])
def test_an_affine_correction_needs_five_networks(networks: int, kind: str) -> None:
    x = np.linspace(1, 2, networks)
    assert kind_of(calibrate(x, x + 0.5, fixed_ms=0.5)) == kind


def test_a_network_whose_sum_is_zero_is_left_out() -> None:
    """Every block of FBNet can be an identity of 0 ms; in a table fitted elsewhere, stem and head can be 0 ms too."""
    with np.errstate(all="raise"):
        assert calibrate([0.0], [1.3]).networks == 0
        assert calibrate([0.0, 1.0], [0.2, 1.3]).scale == 1.3
        result = calibrate([0.0, *np.linspace(1, 2, 20)], [0.2, *np.linspace(1.3, 2.6, 20)])
    assert (result.networks, result.scale) == (20, pytest.approx(1.3))
    assert result.margin == pytest.approx(0)


def test_identical_networks_without_blocks_can_be_calibrated() -> None:
    """All sums consist of stem and head alone, so an offset could take the whole prediction away."""
    with np.errstate(all="raise"):
        result = calibrate([1.0] * 10, [0.9, 1.1] * 5, fixed_ms=1.0)
    assert predict(result, 1.0) > 0
    assert result.margin < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_tau_b_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 8, 30).astype(float), rng.integers(0, 8, 30).astype(float)
    assert kendall_tau(first, second) == pytest.approx(kendalltau(first, second).statistic)
    assert kendall_tau(first, np.ones(30)) == 0.0


def macs(n: int) -> Floats:
    """Independent of `sums(n)`."""
    return np.random.default_rng(7).uniform(5e6, 35e6, n)


def test_macs_explain_what_the_sum_does_not() -> None:
    """As where the weights of a network exceed a cache that those of a block fit."""
    x, counts = sums(20), macs(20)
    y = 0.4 * x + 25e-9 * counts + 0.1
    exact = calibrate(x, y, macs=counts)
    assert (exact.scale, exact.per_gmac_ms, exact.offset_ms) == pytest.approx((0.4, 25.0, 0.1), rel=1e-4)
    assert exact.margin == pytest.approx(0.0, abs=1e-5)
    assert calibrate(x, y).margin > 0.1
    near = calibrate(x, noisy(y, 0.01), macs=counts)
    assert near.per_gmac_ms == pytest.approx(25.0, rel=0.2)
    assert (near.mape or inf) < 0.02


def test_macs_take_part_only_if_they_help_a_lot_and_networks_are_many() -> None:
    x, counts = sums(20), macs(20)
    assert calibrate(x, noisy(1.3 * x, 0.01), macs=counts).per_gmac_ms == 0
    assert calibrate(x, noisy(1.3 * x + 1e-9 * counts, 0.01), macs=counts).per_gmac_ms == 0
    y = 0.4 * x + 25e-9 * counts + 0.1
    assert calibrate(x[:14], y[:14], macs=counts[:14]).per_gmac_ms == 0
    assert calibrate(x[:15], y[:15], macs=counts[:15]).per_gmac_ms > 0


def test_no_part_of_a_correction_with_macs_is_below_zero() -> None:
    x, counts = sums(20), macs(20)
    result = calibrate(x, 3.0 - 1.0 * x + 1e-8 * counts, macs=counts)
    assert min(result.scale, result.per_gmac_ms, result.offset_ms) >= 0


@pytest.mark.long
def test_the_margin_with_macs_covers_new_networks() -> None:
    """200 calibrations on 20 networks with 20 new ones each."""
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, counts = rng.uniform(1, 2, 40), rng.uniform(5e6, 35e6, 40)
        y = noisy(0.4 * x + 25e-9 * counts + 0.1, seed=seed + 10_000)
        result = calibrate(x[:20], y[:20], macs=counts[:20])
        upper = (result.scale * x + result.per_gmac_ms * counts / 1e9 + result.offset_ms) * (1 + result.margin)
        covered.append(np.mean(y[20:] <= upper[20:]))
    assert 0.92 < np.mean(covered) < 0.99


def test_calibration_as_text() -> None:
    with_macs = Calibration(0.26, 0.08, 0.095, 0.95, 20, per_gmac_ms=24.2)
    assert with_macs.correction == "sum of variants x 0.26 + 24.2 ms per GMAC + 0.08 ms"
    result = Calibration(1.0312, -0.012, 0.0213, 0.95, 20, 0.0112, 0.0, 1.0, 1.0, 0.934, 0.2)
    assert str(result) == (
        "sum of variants x 1.031 - 0.012 ms, from 20 whole networks: held-out error 1.1%, tau 0.93, margin 2.1% at 95%"
    )
