"""Fewer images for the same ranking: a candidate that has clearly lost is not looked at to the end.

All candidates see the same images in the same order, so they are compared image by image. Of the images on which a
candidate and the reference disagree, one that is as accurate as the reference wins half on average. McNemar's exact
test (the sign test on those images) says how unlikely it is to win as few as it did, and after each look the
candidate is out if that is less likely than `error` divided by the number of looks. So the chance to stop a candidate
that is no less accurate than the reference is at most `error`, all looks together (the union bound).

The reference is the k-th best (k parents) of all candidates that were scored in full in earlier generations. It is
the same for a whole generation: who is out depends neither on the order of candidates nor on which process scores
them, and a resumed search stops the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from toolchain.search.scores import Flags

LOOKS = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the hold-out; the early ones save most


@dataclass(frozen=True)
class Race:
    """When a candidate is out. `error` is the chance to stop one that is as accurate as the reference, or better."""

    error: float
    looks: tuple[float, ...] = LOOKS

    def points(self, batches: int) -> tuple[int, ...]:
        """After how many of `batches` to look."""
        return tuple(sorted({number for look in self.looks if 0 < (number := round(look * batches)) < batches}))

    def losers(self, right: Flags, reference: Flags) -> list[int]:
        """Which rows of `right` (candidates, images) are out, given what of the same images the reference has right."""
        wins = np.count_nonzero(right & ~reference, axis=1)
        losses = np.count_nonzero(~right & reference, axis=1)
        chance = binom.cdf(wins, wins + losses, 0.5)
        return np.flatnonzero(chance <= self.error / len(self.looks)).tolist()


@dataclass(frozen=True)
class RaceResult:
    """A race on recorded data: which images each candidate saw, and who was stopped."""

    images: tuple[int, ...]
    stopped: tuple[int, ...]


def replay(race: Race, right: Flags, reference: Flags, batch: int) -> RaceResult:
    """Run `race` on `right` (candidates, images), in the order of images; for figures and tests."""
    count = right.shape[1]
    images, alive = np.full(len(right), count), np.arange(len(right))
    for number in race.points(-(-count // batch)):
        seen = number * batch
        out = alive[race.losers(right[alive, :seen], reference[:seen])]
        images[out] = seen
        alive = np.setdiff1d(alive, out)
    return RaceResult(tuple(images.tolist()), tuple(np.flatnonzero(images < count).tolist()))


def kth_best(accuracies: Sequence[float], k: int) -> int | None:
    """The number of the k-th greatest, of equals the one that came first; None where there are fewer than `k`."""
    if len(accuracies) < k:
        return None
    return sorted(range(len(accuracies)), key=lambda number: -accuracies[number])[k - 1]
