"""How sure an accuracy is: Wilson's score interval, which also holds near 0 and 100 %.

It covers the chance of which images were drawn, not that of the training. Two networks on the same images are compared
by a paired test instead (toolchain/search/finalists/comparison.py).
"""

from math import sqrt
from statistics import NormalDist

LEVEL = 0.95


def standard_error(accuracy: float, images: int) -> float:
    """The binomial standard error of an accuracy (0 to 1) on this number of images."""
    return sqrt(accuracy * (1 - accuracy) / images)


def wilson(accuracy: float, images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy, 0 to 1, that was measured on so many images (Wilson 1927, without correction).

    It is written out here, since lists of runs show it and scipy.stats takes a second to import.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share = round(accuracy * images) / images
    center = share + z * z / (2 * images)
    half = z * sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)
    scale = 1 + z * z / images
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def accuracy_text(accuracy: float, images: int) -> str:
    """`91.48% (87.6% to 94.3% on 270 images)`"""
    low, high = wilson(accuracy, images)
    return f"{accuracy:.2%} ({low:.1%} to {high:.1%} on {images:,} images)"


def interval_fields(name: str, accuracy: float, images: int) -> dict[str, object]:
    """`test_images` and `test_accuracy_interval` for JSON."""
    return {f"{name}_images": images, f"{name}_accuracy_interval": list(wilson(accuracy, images))}
