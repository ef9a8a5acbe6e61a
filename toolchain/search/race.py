"""Racing: a candidate whose accuracy is clearly too low is stopped before it has seen all images.

All candidates see the same images in the same order, so they are compared image by image. Of the images on which a
candidate and the threshold candidate disagree, a candidate with the same accuracy wins half on average. McNemar's
exact test (the sign test on those images) gives the probability of at most as many wins as were observed. After each
look, a candidate is stopped if that probability is below `error` divided by the number of looks. So the probability of
stopping a candidate that is at least as accurate as the threshold is at most `error` over all looks (union bound).

The threshold is the k-th best (k parents) of all candidates with a complete score in earlier generations. It is the
same for a whole generation, so the result depends neither on the order of candidates nor on the process that scores
them, and a resumed search stops the same candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from toolchain.search.scores import Flags

LOOKS = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the hold-out; the early ones save most


@dataclass(frozen=True)
class Race:
    """When a candidate is stopped.

    Args:
        error: the probability of stopping one that is at least as accurate as the threshold.
        looks: when to test, as shares of the hold-out.
    """

    error: float
    looks: tuple[float, ...] = LOOKS

    def points(self, batches: int) -> tuple[int, ...]:
        """The numbers of batches, of `batches`, after which to test."""
        return tuple(sorted({number for look in self.looks if 0 < (number := round(look * batches)) < batches}))

    def losers(self, correct: Flags, threshold: Flags) -> list[int]:
        """The rows of `correct` (candidates, images) to stop; `threshold` (images,) has the threshold's flags."""
        wins = np.count_nonzero(correct & ~threshold, axis=1)
        losses = np.count_nonzero(~correct & threshold, axis=1)
        probability = binom.cdf(wins, wins + losses, 0.5)
        return np.flatnonzero(probability <= self.error / len(self.looks)).tolist()


def kth_best(accuracies: Sequence[float], k: int) -> int | None:
    """The index of the k-th highest accuracy; of equal ones the first comes first. None if there are fewer than `k`."""
    if len(accuracies) < k:
        return None
    return sorted(range(len(accuracies)), key=lambda number: -accuracies[number])[k - 1]
