"""Digests of the images that a result depends on: content, order and classes, but not where the files lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.training.decode import DECODING
from toolchain.training.images import Images


@dataclass(frozen=True)
class DataDigests:
    """16 hex digits each. A changed test image costs the evaluation only, a changed hold-out image the search."""

    training: str
    holdout: str
    test: str

    @property
    def searched(self) -> str:
        """Of training and hold-out images together."""
        return hashlib.sha256(f"{self.training} {self.holdout}".encode()).hexdigest()[:16]


def digests_of(train: Images, fit: Sequence[int], holdout: Sequence[int], test: Images) -> DataDigests:
    """The digests of a data set that is cut into training, hold-out and test images."""
    whole_test = range(len(test.labels))
    return DataDigests(_digest(train, fit), _digest(train, holdout), _digest(test, whole_test))


def _digest(images: Images, indices: Sequence[int]) -> str:
    chosen = list(indices)
    digest = hashlib.sha256(f"decoding {DECODING}\n".encode())
    digest.update(images.labels[chosen].numpy().tobytes())
    if images.groups is not None:  # the order of training depends on them
        digest.update(images.groups[chosen].numpy().tobytes())
    digest.update(images.identity(chosen))
    return digest.hexdigest()[:16]
