"""Comparisons of two trained networks: numbers by hand, and the coverage of the interval in simulated trainings."""

from math import inf, sqrt

import numpy as np
import pytest

from toolchain.search.finalists.comparison import Comparison, Flags, compare


def test_by_hand() -> None:
    """Two networks, two seeds, four images; accuracies 3/4 and 2/4 against 2/4 and 1/4."""
    first = [[1, 1, 1, 0], [1, 1, 0, 0]]
    second = [[1, 1, 0, 0], [1, 0, 0, 0]]
    comparison = compare(np.array([first, second], dtype=bool), 0, 1)
    # per image: 0, 1/2, 1/2, 0, with the mean 1/4 and the variance 1/12; seeds explain the rest: no residual
    assert comparison.difference == pytest.approx(0.25)
    assert comparison.standard_error == pytest.approx(sqrt(1 / 12 / 4))
    assert comparison.degrees == pytest.approx(3)
    assert comparison.half_width(0.95) == pytest.approx(3.182446 * sqrt(1 / 48), rel=1e-6)  # t with 3 degrees


def test_seeds_count_as_noise() -> None:
    """Accuracies 1 and 0 against 0 and 1: residuals of 1/2 everywhere, with one degree of freedom."""
    correct = np.zeros((2, 2, 10), dtype=bool)
    correct[0, 0] = correct[1, 1] = True
    comparison = compare(correct, 0, 1)
    assert comparison.difference == 0
    assert comparison.standard_error == pytest.approx(1.0)  # sqrt(2 * 1 / 2), and nothing from images
    assert not comparison.separated(0.95)


def test_a_single_seed_separates_nothing() -> None:
    correct = np.array([[[True] * 50], [[False] * 50]])
    comparison = compare(correct, 0, 1)
    assert comparison.difference == 1.0
    assert comparison.standard_error == inf
    assert not comparison.separated(0.95)


def test_equal_networks() -> None:
    comparison = compare(np.ones((2, 3, 8), dtype=bool), 0, 1)
    assert comparison == Comparison(0.0, 0.0, 2)
    assert not comparison.separated(0.95)


def trainings(rng: np.random.Generator, gap: float) -> Flags:
    """Four networks, three seeds and 2,000 images; the first is more accurate than the second by `gap`.

    Images differ in difficulty, networks differ in what they find difficult, and a training moves a network's accuracy
    with a standard deviation of 0.4 points.
    """
    difficulty = rng.normal(1.4, 1.0, size=(1, 1, 2000)) + rng.normal(0, 0.5, size=(4, 1, 2000))
    seeds = rng.normal(0, 0.02, size=(4, 3, 1))
    gaps = np.array([gap, 0, 0, 0]).reshape(4, 1, 1)
    return difficulty + seeds + gaps + rng.normal(0, 0.5, size=(4, 3, 2000)) > 0


def test_interval_covers_the_true_difference() -> None:
    """Equal networks: the 95 % interval of two of them covers zero in about 95 % of 400 simulated rounds."""
    rng = np.random.default_rng(0)
    covered = sum(not compare(trainings(rng, 0.0), 0, 1).separated(0.95) for _ in range(400))
    assert 0.93 <= covered / 400 <= 1.0


def test_clear_difference_is_separated() -> None:
    """A gap of about six points is found in every one of 50 rounds, with the right sign."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        comparison = compare(trainings(rng, 0.4), 0, 1)
        assert comparison.difference > 0.02
        assert comparison.separated(0.95)
