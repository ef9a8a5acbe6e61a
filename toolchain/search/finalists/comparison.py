"""How sure it is that one network is more accurate than another, from trainings with the same seeds.

Both networks are judged on the same hold-out images after trainings with the same seeds. Their difference in accuracy
varies for two reasons: other images would give another difference, and so would other seeds. The variance of the mean
difference is the sum of both parts:

- images: the variance over images of the mean difference per image, divided by the number of images;
- seeds: twice the variance of a training's accuracy around its network's and its seed's mean, divided by the number of
  seeds. It is pooled over all networks of the round, since one pair has too few trainings to estimate it.

The parts overlap a little, so the sum is rather too large. The interval uses Student's t with the degrees of freedom of
Welch and Satterthwaite.
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from toolchain.search.scores import Flags

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """The accuracy of a network minus that of another, each the mean of all seeds.

    Args:
        difference: in accuracy, -1 to 1.
        standard_error: of the difference; infinite after trainings with a single seed.
        degrees: degrees of freedom of the standard error.
    """

    difference: float
    standard_error: float
    degrees: float

    def half_width(self, confidence: float) -> float:
        """Half the width of the two-sided interval at `confidence`, 0 to 1."""
        if self.standard_error == inf:
            return inf
        return float(student.ppf((1 + confidence) / 2, self.degrees)) * self.standard_error

    def separated(self, confidence: float) -> bool:
        """Whether the interval at `confidence` excludes zero."""
        return abs(self.difference) > self.half_width(confidence)


def compare(correct: Flags, first: int, second: int) -> Comparison:
    """Compare two of the networks of a round.

    Args:
        correct: (networks, seeds, images), whether each image was classified correctly.
        first, second: rows of `correct`.
    """
    networks, seeds, images = correct.shape
    per_image = (correct[first].astype(float) - correct[second]).mean(0)
    difference = float(per_image.mean())
    if seeds == 1:
        return Comparison(difference, inf, 1)
    of_images = float(per_image.var(ddof=1)) / images
    freedom = (networks - 1) * (seeds - 1)
    of_seeds = 2 * _seed_variance(correct.mean(2), freedom) / seeds
    variance = of_images + of_seeds
    if variance == 0:  # both networks are right on the same images, after every training
        return Comparison(difference, 0.0, freedom)
    degrees = variance**2 / (of_images**2 / (images - 1) + of_seeds**2 / freedom)
    return Comparison(difference, sqrt(variance), degrees)


def _seed_variance(accuracies: Floats, freedom: int) -> float:
    """The variance of accuracies (networks, seeds) that neither the network nor the seed explains."""
    residuals = accuracies - accuracies.mean(1, keepdims=True) - accuracies.mean(0, keepdims=True) + accuracies.mean()
    return float((residuals**2).sum()) / freedom
