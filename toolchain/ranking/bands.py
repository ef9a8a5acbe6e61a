"""Pairs of networks with similar costs: a search decides between such networks, and cost alone hardly orders them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Pairs = NDArray[np.bool_]  # (networks, networks), symmetric: the pairs to compare

BANDS = 3
CLOSE = 0.1  # the costs of two close networks differ by at most this share: both lie in a band of +-5 %


def within_thirds(costs: Sequence[float]) -> Pairs:
    """Pairs in the same third of the networks by cost; networks with equal costs are in the same third."""
    values = np.asarray(costs, float)
    middle_ranks = rankdata(values) - 0.5  # 0.5 to n - 0.5; equal costs have the mean of their ranks
    band = np.floor(middle_ranks * BANDS / len(values))
    same: Pairs = np.equal.outer(band, band)
    return same


def close_in_cost(costs: Sequence[float]) -> Pairs:
    """Pairs whose greater cost is at most 10 % above the lower."""
    values = np.asarray(costs, float)
    close: Pairs = np.maximum.outer(values, values) <= (1 + CLOSE) * np.minimum.outer(values, values)
    return close


def count_pairs(pairs: Pairs) -> int:
    """The number of pairs of different networks."""
    return int(np.triu(pairs, 1).sum())
