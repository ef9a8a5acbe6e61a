"""The score of a candidate: hold-out accuracy with inherited weights and recalibrated BN statistics.

Every candidate sees the same images in the same batches, so that scores differ by the architecture alone.
"""

from functools import cached_property

from torch import Tensor

from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import Batch, fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate


class Evaluator:
    """Scores architectures of one supernet (paper Eq. 6)."""

    def __init__(self, supernet: Supernet, data: Data, bn_images: int, batch: int, seed: int) -> None:
        """Score on the whole hold-out, after recalibration on `bn_images` training images.

        They are decoded at the first score and stay in memory as uint8, a quarter of what network inputs would take.
        """
        self._supernet = supernet.eval()
        self._data, self._bn_images, self._batch, self._seed = data, bn_images, batch, seed

    @cached_property
    def _recalibration(self) -> list[Tensor]:
        return list(recalibration_batches(self._data, self._bn_images, self._batch, self._seed))

    @cached_property
    def _holdout(self) -> list[Batch]:
        return list(fixed_batches(self._data.train, self._data.holdout, self._batch))

    def __call__(self, arch: Architecture) -> float:
        """Top-1 accuracy of `arch` on the hold-out, 0 to 1."""
        net = self._supernet.extract(arch)
        recalibrate(net, self._recalibration, self._data.preprocessing)
        return top1(net, self._holdout, self._data.preprocessing)
