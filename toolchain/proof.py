"""Does a file compute what was trained? On hold-out images, at several batch sizes, before it is shipped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from exporters.backends import Backend, CompileSpec
from exporters.parity import Parity, compare, require, require_accuracy
from exporters.to_onnx import INPUT, OUTPUT
from toolchain.training.accuracy import fixed_batches
from toolchain.training.data import Data

PARITY_IMAGES = 256
PARITY_BATCHES = (1, 2, 32)


@dataclass(frozen=True)
class Proof:
    """What was found of one file."""

    parity: Parity
    holdout_accuracy: float

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "relative_error": self.parity.relative_error,
            "top1_agreement": self.parity.top1_agreement,
            "images": self.parity.images,
            "batches": list(self.parity.batches),
        }


def holdout_images(data: Data, count: int = PARITY_IMAGES) -> NDArray[np.float32]:
    """Preprocessed hold-out images of all classes: (count, C, S, S), fewer where there are fewer."""
    every = max(1, len(data.holdout) // count)  # indices are sorted by file, so by class: take all classes
    pixels, _ = next(fixed_batches(data.train, data.holdout[::every][:count], count))
    images: NDArray[np.float32] = data.preprocessing(pixels).contiguous().numpy()
    return images


def prove(
    net: nn.Module,
    holdout_accuracy: float,
    file: Path,
    precision: str,
    data: Data,
    backend: Backend,
    threads: int,
    batch: int | None,
) -> Proof:
    """Compare file and network on hold-out images.

    Args:
        holdout_accuracy: of `net`, 0..1.
        batch: what the file is for; None where it takes any number.

    Raises:
        ParityFailed: they differ more than `precision` explains.
    """
    compiled = backend.compile(file, CompileSpec(batch=batch or 1, threads=threads))
    batches = PARITY_BATCHES if batch is None else (batch,)
    images = holdout_images(data)
    if batch is not None:
        images = np.resize(images, (-(-len(images) // batch) * batch, *images.shape[1:]))  # repeats the first ones
    try:
        parity = compare(net, compiled, images, batches=batches)
        require(parity, precision)
        right = seen = 0
        for pixels, labels in fixed_batches(data.train, data.holdout, batch or max(PARITY_BATCHES)):
            fed = data.preprocessing(pixels).contiguous().numpy()
            if batch is not None:
                fed = np.resize(fed, (batch, *fed.shape[1:]))
            found = compiled.run({INPUT: fed})[OUTPUT].argmax(1)[: len(labels)]
            right, seen = right + int((found == labels.numpy()).sum()), seen + len(labels)
    finally:
        compiled.close()
    require_accuracy(holdout_accuracy, right / seen, precision)
    return Proof(parity, right / seen)
