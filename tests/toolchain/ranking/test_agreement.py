"""Kendall's tau against its definition and SciPy's, and its interval against known coverage."""

from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from scipy.stats import kendalltau

from toolchain.ranking.agreement import agreement


def tau_b(one: list[float], other: list[float]) -> float:
    """Concordant less discordant pairs, over the geometric mean of the pairs that are not tied in each."""
    pairs = list(combinations(range(len(one)), 2))
    left, right = ([np.sign(score[i] - score[j]) for i, j in pairs] for score in (one, other))
    agreed = sum(a * b for a, b in zip(left, right, strict=True))
    return float(agreed / sqrt(np.count_nonzero(left) * np.count_nonzero(right)))


def test_tau_is_its_definition_with_ties() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        one = generator.integers(0, 6, 15).tolist()
        other = generator.integers(0, 9, 15).tolist()
        tau = agreement(one, other, 0).tau
        assert tau == pytest.approx(tau_b(one, other), abs=1e-12)
        assert tau == pytest.approx(float(kendalltau(one, other).statistic), abs=1e-12)


def test_the_same_order_and_its_reverse() -> None:
    scores = [0.1, 0.4, 0.2, 0.9, 0.5]
    same = agreement(scores, [score * 2 for score in scores], 0)
    assert same.tau == pytest.approx(1.0, abs=1e-12)  # rounding of float64
    assert (same.low, same.high) == (None, None)  # the resamples do not vary
    assert agreement(scores, [-score for score in scores], 0).tau == pytest.approx(-1.0, abs=1e-12)


def test_no_order_has_no_tau() -> None:
    assert agreement([0.5] * 4, [0.1, 0.2, 0.3, 0.4], 0).tau is None


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of two normal scores with correlation 0.6, tau is 2/pi asin(0.6) = 0.41. The bootstrap is a little narrow."""
    truth, hits, trials = 2 / np.pi * np.arcsin(0.6), 0, 100
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        one = generator.normal(size=30)
        other = 0.6 * one + 0.8 * generator.normal(size=30)
        result = agreement(one.tolist(), other.tolist(), trial)
        assert result.tau is not None
        assert result.low is not None
        assert result.high is not None
        assert result.low < result.tau < result.high
        hits += result.low <= truth <= result.high
    assert hits >= 86  # at 92 % true coverage, fewer of 100 come with a chance of 2 %; the draws are fixed


def test_the_seed_draws_the_interval() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 12)).tolist()
    assert agreement(one, other, 1) == agreement(one, other, 1) != agreement(one, other, 2)


def test_few_networks_cannot_tell() -> None:
    three, four = agreement([1, 2, 3], [1, 2, 3], 0), agreement([1, 2, 3, 4], [2, 1, 4, 3], 0)
    assert (three.tau, three.low, three.high) == (1.0, None, None)
    assert (four.low, four.high) == (None, None)
    five = agreement([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0)
    assert five.low is not None
