"""The score of a candidate: hold-out accuracy with inherited weights and recalibrated BN statistics.

Every candidate sees the same images in the same batches, so that scores differ by the architecture alone.
"""

from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate


class Evaluator:
    """Scores architectures of one supernet (paper Eq. 6)."""

    def __init__(self, supernet: Supernet, data: Data, bn_images: int, batch: int, seed: int) -> None:
        """Decode the images once: `bn_images` training images for recalibration, and the whole hold-out.

        They stay in memory as uint8, a quarter of what network inputs would take.
        """
        self._supernet = supernet.eval()
        self._preprocessing = data.preprocessing
        self._recalibration = list(recalibration_batches(data, bn_images, batch, seed))
        self._holdout = list(fixed_batches(data.train, data.holdout, batch))

    def __call__(self, arch: Architecture) -> float:
        """Top-1 accuracy of `arch` on the hold-out, 0 to 1."""
        net = self._supernet.extract(arch)
        recalibrate(net, self._recalibration, self._preprocessing)
        return top1(net, self._holdout, self._preprocessing)
