"""Rank correlation within bands of cost, where a search decides."""

import numpy as np
import pytest

from toolchain.ranking.agreement import agreement
from toolchain.ranking.bands import close_in_cost, count_pairs, within_thirds
from toolchain.ranking.correlations import ScoreTable, band_correlations, correlations


def test_thirds_have_as_many_networks_each() -> None:
    pairs = within_thirds([60, 10, 20, 50, 30, 40])
    joined = {(i, j) for i in range(6) for j in range(i + 1, 6) if pairs[i, j]}
    assert joined == {(1, 2), (4, 5), (0, 3)}
    assert count_pairs(pairs) == 3


def test_networks_of_equal_cost_share_a_third() -> None:
    assert count_pairs(within_thirds([7, 7, 7, 7])) == 6
    assert count_pairs(within_thirds([1, 7, 7, 7, 7, 9])) == 6  # the cheapest and the most expensive are alone


def test_close_networks_differ_by_at_most_ten_percent() -> None:
    pairs = close_in_cost([100, 110, 111, 200])
    assert pairs[0, 1]
    assert pairs[1, 0]
    assert not pairs[0, 2]
    assert pairs[1, 2]
    assert count_pairs(pairs) == 2


def test_tau_within_bands_counts_only_their_pairs() -> None:
    """Two bands, each in reverse order; the order of the bands dominates tau over all pairs."""
    cost = [1.0, 1.0, 1.0, 9.0, 9.0, 9.0]
    first, second = [1.0, 2.0, 3.0, 11.0, 12.0, 13.0], [3.0, 2.0, 1.0, 13.0, 12.0, 11.0]
    assert agreement(first, second, 0).tau == pytest.approx((9 - 6) / 15)
    assert agreement(first, second, 0, close_in_cost(cost)).tau == pytest.approx(-1.0)


def test_bands_are_pooled() -> None:
    """Three concordant pairs in one band, one discordant in the other: (3 - 1) / 4."""
    pairs = close_in_cost([1.0, 1.0, 1.0, 9.0, 9.0])
    assert agreement([1, 2, 3, 5, 6], [1, 2, 3, 6, 5], 0, pairs).tau == pytest.approx(0.5)


def test_all_pairs_give_the_tau_without_bands() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 12)).tolist()
    everything = agreement(first, second, 0, np.ones((12, 12), bool))
    assert everything.tau == pytest.approx(agreement(first, second, 0).tau)
    assert everything.low == agreement(first, second, 0).low


def test_bands_without_a_pair_have_no_tau() -> None:
    result = agreement([1, 2, 3], [1, 2, 3], 0, np.eye(3, dtype=bool))
    assert (result.tau, result.low, result.high) == (None, None, None)


def test_a_lower_loss_counts_as_better() -> None:
    standalone = [[0.7], [0.8], [0.85], [0.9]]
    table = ScoreTable(
        accuracies=[0.1, 0.2, 0.3, 0.4],
        losses=[2.0, 1.5, 1.2, 0.9],
        batch_statistics=[0.4, 0.3, 0.2, 0.1],
        costs={"macs": [10, 20, 30, 40], "params": [4, 3, 2, 1]},
        standalone=standalone,
    )
    taus = {name: result.tau for name, result in correlations(table, 0).items()}
    assert taus == pytest.approx(
        {
            "inherited_and_standalone": 1.0,
            "loss_and_standalone": 1.0,
            "batch_statistics_and_standalone": -1.0,
            "inherited_and_batch_statistics": -1.0,
            "macs_and_standalone": 1.0,
            "params_and_standalone": -1.0,
        }
    )
    within = band_correlations(table, "macs", 0)
    assert (within["third"].pairs, within["10_percent"].pairs) == (1, 0)
    assert within["third"].tau["loss_and_standalone"].tau == pytest.approx(1.0)
    assert within["10_percent"].tau["loss_and_standalone"].tau is None
