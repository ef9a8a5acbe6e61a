"""The rank correlation of two scores of the same networks: Kendall's tau with a confidence interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from toolchain.files import Document

Floats = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95


class Agreement(Document):
    """Kendall's tau-b, -1 to 1, and its 95 % confidence interval; None if a score is equal for all networks."""

    tau: float | None
    low: float | None
    high: float | None


def agreement(first: Sequence[float], second: Sequence[float], seed: int) -> Agreement:
    """Tau-b of two scores of the same networks.

    The interval is a bootstrap over networks (percentiles of 2,000 resamples). A network that occurs twice in a
    resample is tied with itself, which tau-b leaves out.
    """
    tau = float(kendalltau(first, second).statistic)
    if np.isnan(tau):
        return Agreement(tau=None, low=None, high=None)
    count = len(first)
    counts = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(_resampled_tau(first, second, counts.astype(float)), (tail, 1 - tail))
    return Agreement(tau=tau, low=float(low), high=float(high))


def _resampled_tau(first: Sequence[float], second: Sequence[float], counts: Floats) -> Floats:
    """Tau-b of each resample; `counts` (resamples, networks) says how often each network occurs in it.

    SciPy would need one call for each resample, which takes a hundred times longer.
    """
    first_signs, second_signs = (np.sign(np.subtract.outer(score, score)) for score in (first, second))

    def sum_over_pairs(values: Floats) -> Floats:
        sums: Floats = ((counts @ values) * counts).sum(axis=1)
        return sums

    with np.errstate(invalid="ignore"):  # 0 / 0 if all are tied
        untied = sum_over_pairs(np.abs(first_signs)) * sum_over_pairs(np.abs(second_signs))
        taus: Floats = sum_over_pairs(first_signs * second_signs) / np.sqrt(untied)
    return taus
