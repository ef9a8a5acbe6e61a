"""How far two scores of the same networks agree on their order: Kendall's tau, with how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b, -1 to 1, and its 95 % confidence interval; None where a score is the same for all networks."""

    tau: float | None
    low: float | None
    high: float | None


def agreement(one: Sequence[float], other: Sequence[float], seed: int) -> Agreement:
    """Tau-b of two scores of the same networks.

    The interval is the bootstrap's over networks (percentiles of 2,000 resamples): how much the figure depends on
    which networks were taken. A network that a resample has twice is tied with itself, which tau-b leaves out.
    """
    left, right = (np.sign(np.subtract.outer(score, score)) for score in (np.array(one), np.array(other)))
    count = len(one)
    tau = _tau(left, right, np.ones((1, count)))[0]
    if np.isnan(tau):
        return Agreement(None, None, None)
    often = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(_tau(left, right, often.astype(float)), (tail, 1 - tail))
    return Agreement(float(tau), float(low), float(high))


def _tau(left: Floats, right: Floats, often: Floats) -> Floats:
    """Tau-b for each row of `often`, which says how often it has each network; signs of pairs are (n, n)."""

    def add_up(pairs: Floats) -> Floats:
        sums: Floats = ((often @ pairs) * often).sum(axis=1)
        return sums

    with np.errstate(invalid="ignore"):  # 0 / 0 where all are tied
        taus: Floats = add_up(left * right) / np.sqrt(add_up(np.abs(left)) * add_up(np.abs(right)))
    return taus
