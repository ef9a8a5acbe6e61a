"""Intervals keep what they promise, on draws whose truth is known."""

from math import inf, log
from statistics import median

import numpy as np
import pytest

from latency_db.table import Sample, summarize
from toolchain.measuring.intervals import (
    error_of_look,
    latency_interval,
    latency_statistic,
    median_interval,
    min_rounds,
    ratio_interval,
)

RNG_SEED = 7


def sample(ms: float) -> Sample:
    return Sample(calls=1, wall_ms_min=ms, wall_ms_median=ms, busy_ms_min=ms, busy_ms_median=ms)


@pytest.mark.parametrize(("error", "rounds"), [(0.01, 8), (0.005, 9), (0.5, 2)])  # 2 * 0.5**8 = 0.0078
def test_least_rounds(error: float, rounds: int) -> None:
    assert min_rounds(error) == rounds
    assert 2 * 0.5**rounds <= error < 2 * 0.5 ** (rounds - 1)


def test_looks_never_use_up_more_than_the_error() -> None:
    used = sum(error_of_look(number, 0.01) for number in range(1, 10_000))
    assert 0.00999 < used < 0.01


def test_too_few_rounds_bound_nothing() -> None:
    interval = median_interval([1.0, 2.0, 3.0], 0.01)
    assert (interval.low, interval.middle, interval.high) == (-inf, 2.0, inf)
    alone = latency_interval([sample(2.0), sample(1.0)], latency_statistic(1), 0.01)
    assert (alone.low, alone.middle, alone.high) == (-inf, 1.0, inf)


def test_few_rounds_give_the_exact_interval_between_order_statistics() -> None:
    """Tables of the sign test: of 9 values, the 2nd and the 8th hold the median with 96.1 %, the ends with 99.6 %."""
    values = [float(i) for i in range(1, 10)]
    widest = median_interval(values, 0.01)
    assert (widest.low, widest.high) == (1.0, 9.0)
    at_96 = median_interval(values, 0.04)
    assert (at_96.low, at_96.high) == (2.0, 8.0)


@pytest.mark.parametrize("rounds", [9, 21, 60])
def test_the_median_is_missed_as_seldom_as_promised(rounds: int) -> None:
    """1,000 draws of a skewed distribution at 95 %: 50 misses are allowed. The exact interval is on the safe side by
    steps of a rank, so none of the seeds 0 to 9 went over 50; 65 is two standard deviations more."""
    rng = np.random.default_rng(RNG_SEED)
    misses = 0
    for _ in range(1_000):
        interval = median_interval(list(rng.exponential(size=rounds)), 0.05)
        misses += not interval.low <= log(2) <= interval.high
    assert misses <= 65


@pytest.mark.parametrize("rounds", [9, 21, 60])
def test_it_holds_the_interval_of_the_bootstrap(rounds: int) -> None:
    rng = np.random.default_rng(RNG_SEED)
    for error in (0.005, 0.0017, 0.05):
        values = rng.normal(size=rounds)
        drawn = np.median(rng.choice(values, size=(20_000, rounds)), axis=1)
        low, high = np.quantile(drawn, [error / 2, 1 - error / 2], method="nearest")
        interval = median_interval(list(values), error)
        assert interval.low <= low <= high <= interval.high


def test_the_interval_of_a_ratio_does_not_see_what_slows_both() -> None:
    rng = np.random.default_rng(RNG_SEED)
    mood = np.exp(rng.normal(0, 0.3, size=30))  # rounds differ by a third
    interval = ratio_interval(list(1.05 * mood), list(mood), 0.01)
    assert interval.low == pytest.approx(1.05)
    assert interval.high == pytest.approx(1.05)


def test_the_interval_of_a_latency_is_about_the_tables_own_figure() -> None:
    rng = np.random.default_rng(RNG_SEED)
    samples = [sample(1 + 0.02 * abs(noise)) for noise in rng.normal(size=40)]
    interval = latency_interval(samples, latency_statistic(1), 0.01)
    assert interval.middle == summarize(samples, 1).latency_ms
    assert interval.low < interval.middle < interval.high < 1.02
    assert interval.low <= 1.0  # the true least time, which no sample reaches
    more = latency_interval(samples * 3, latency_statistic(1), 0.01)
    assert more.high <= interval.high
    drawn = [summarize([samples[i] for i in rng.integers(0, 40, 40)], 1).latency_ms for _ in range(2_000)]
    assert interval.high >= np.quantile(drawn, 0.995, method="lower")  # the bootstrap's upper end


def test_the_interval_of_a_latency_with_another_statistic() -> None:
    """On devices where the table keeps a middle figure, the interval is that of the median."""
    samples = [sample(float(ms)) for ms in range(1, 22)]
    interval = latency_interval(samples, lambda given: median(each.busy_ms_min for each in given), 0.01)
    assert interval == median_interval([float(ms) for ms in range(1, 22)], 0.01)
    assert interval.low > 1


def test_of_steady_rounds_the_ends_meet() -> None:
    for interval in (
        latency_interval([sample(2.0)] * 20, latency_statistic(1), 0.01),
        median_interval([2.0] * 20, 0.01),
    ):
        assert (interval.low, interval.middle, interval.high) == (2.0, median([2.0]), 2.0)
