"""The rank correlation of two scores of the same networks: Kendall's tau with a confidence interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from toolchain.files import Document
from toolchain.ranking.bands import Pairs

Floats = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95
# The least number of networks whose order can differ from chance at 95 %: all pairs of four agree or disagree by
# chance with a probability of 2 / 4! = 8 %, of five with 2 / 5! = 2 %.
MIN_NETWORKS = 5
ROUNDING = 1e-9  # of tau in float64


class Agreement(Document):
    """Kendall's tau-b, -1 to 1, and its 95 % confidence interval.

    `tau` is None if a score is equal for all networks. `low` and `high` are None if the networks cannot tell: there are
    fewer than `MIN_NETWORKS`, or all pairs agree, so that the resamples do not vary.
    """

    tau: float | None
    low: float | None
    high: float | None


def agreement(first: Sequence[float], second: Sequence[float], seed: int, pairs: Pairs | None = None) -> Agreement:
    """Tau-b of two scores of the same networks.

    Args:
        pairs: the pairs of networks to compare; default: all. Bands are pooled: concordant less discordant pairs of all
            bands, over the geometric mean of the pairs that are not tied in each score.

    The interval is a bootstrap over networks (percentiles of 2,000 resamples). A network that occurs twice in a
    resample is tied with itself, which tau-b leaves out.
    """
    tau = float(kendalltau(first, second).statistic) if pairs is None else _tau_of(first, second, pairs)
    if np.isnan(tau):
        return Agreement(tau=None, low=None, high=None)
    count = len(first)
    if count < MIN_NETWORKS:
        return Agreement(tau=tau, low=None, high=None)
    counts = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(_resampled_tau(first, second, counts.astype(float), pairs), (tail, 1 - tail))
    if high - low < ROUNDING:
        return Agreement(tau=tau, low=None, high=None)
    return Agreement(tau=tau, low=float(low), high=float(high))


def _tau_of(first: Sequence[float], second: Sequence[float], pairs: Pairs) -> float:
    return float(_resampled_tau(first, second, np.ones((1, len(first))), pairs)[0])


def _resampled_tau(first: Sequence[float], second: Sequence[float], counts: Floats, pairs: Pairs | None) -> Floats:
    """Tau-b of each resample; `counts` (resamples, networks) says how often each network occurs in it.

    SciPy would need one call for each resample, which takes a hundred times longer.
    """
    first_signs, second_signs = (np.sign(np.subtract.outer(score, score)) for score in (first, second))
    if pairs is not None:
        first_signs, second_signs = first_signs * pairs, second_signs * pairs

    def sum_over_pairs(values: Floats) -> Floats:
        sums: Floats = ((counts @ values) * counts).sum(axis=1)
        return sums

    with np.errstate(invalid="ignore"):  # 0 / 0 if all are tied
        untied = sum_over_pairs(np.abs(first_signs)) * sum_over_pairs(np.abs(second_signs))
        taus: Floats = sum_over_pairs(first_signs * second_signs) / np.sqrt(untied)
    return taus
