"""Verification: a file computes the same as the trained network, on hold-out images at several batch sizes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.backends import Backend, Compiled, CompileSpec
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.optimized import convolutions
from exporters.graph.parity import (
    Parity,
    compare,
    require,
    require_accuracy,
    require_codes,
    require_folding,
    require_fused,
)
from exporters.quantize.integer_check import LayerCheck, check_integer_layers
from toolchain.export.manifest import IntegerLayers, ParityRecord
from toolchain.export.precisions import ExportedFile
from toolchain.measuring.space_precision import INT8_FP16
from toolchain.nets.deploy import folding_error, integer_layers
from toolchain.training.accuracy import fixed_batches
from toolchain.training.data import Data

PARITY_IMAGES = 256
PARITY_BATCHES = (1, 2, 32)
CODE_IMAGES = 8  # all layers' codes of these are in memory at once

Pictures = NDArray[np.float32]


@dataclass(frozen=True)
class ExportVerification:
    """The verified properties of one file; `convolutions` counts those that ONNX Runtime runs in each precision."""

    parity: Parity
    holdout_accuracy: float
    convolutions: dict[str, int]
    codes: tuple[LayerCheck, ...]

    @property
    def integer_layers(self) -> IntegerLayers:
        """The comparison of integers for the manifest."""
        return IntegerLayers(
            checked=len(self.codes),
            codes=sum(layer.codes for layer in self.codes),
            wrong_behind_convolutions=sum(layer.wrong for layer in self.codes if layer.op == "Conv"),
            wrong_behind_sums=sum(layer.wrong for layer in self.codes if layer.op == "Add"),
        )


def parity_record(parity: Parity) -> ParityRecord:
    """The parity for the manifest."""
    return ParityRecord(
        relative_error=parity.relative_error,
        top1_agreement=parity.top1_agreement,
        images=parity.images,
        batches=tuple(parity.batches),
    )


def holdout_images(data: Data, count: int = PARITY_IMAGES) -> Pictures:
    """Preprocessed hold-out images of all classes: (count, C, S, S), fewer where there are fewer."""
    every = max(1, len(data.holdout) // count)  # indices are sorted by file, so by class: take all classes
    pixels, _ = next(fixed_batches(data.train, data.holdout[::every][:count], count))
    images: Pictures = data.preprocessing(pixels).contiguous().numpy()
    return images


@dataclass(frozen=True)
class Reference:
    """What exported files are compared with, and how they are run.

    Args:
        holdout_accuracy: of `net`, 0..1.
        images: the `holdout_images` of `data`.
        batch: how many images the files take; None where they take any number.
    """

    net: nn.Module
    holdout_accuracy: float
    data: Data
    images: Pictures
    backend: Backend
    threads: int
    batch: int | None


def verify_folding(net: nn.Module, images: Pictures) -> None:
    """Compare a network of 1 to 4 bits with its integer layers, which all its files hold.

    Raises:
        ParityFailed: they differ by more than rounding.
    """
    if layers := integer_layers(net):
        require_folding(folding_error(net, layers, torch.from_numpy(images[:CODE_IMAGES])))


def verify_export(exported: ExportedFile, reference: Reference) -> ExportVerification:
    """Compare file and network on hold-out images, and the file's integers with the runtime's.

    Raises:
        ParityFailed: they differ more than the precision explains.
    """
    net, images, batch = reference.net, reference.images, reference.batch
    batches = PARITY_BATCHES if batch is None else (batch,)
    spec = CompileSpec(batches[0], reference.threads, exported.model.precision, (batches[0], batches[0], batches[-1]))
    compiled = reference.backend.compile(exported.model, spec)
    try:
        parity = compare(net, compiled, filled(images, batch), batches)
        require(parity, exported.tolerance)
        accuracy = holdout_accuracy(compiled, reference.data, batch)
    finally:
        compiled.close()
    holdout = len(reference.data.holdout)
    require_accuracy(reference.holdout_accuracy, accuracy, exported.tolerance, holdout, parity.top1_agreement)
    # the integers of a file for TensorRT are those of the int8 file, and ONNX Runtime does not fuse them
    checked = exported.precision != INT8_FP16
    codes = check_integer_layers(exported.model.proto, filled(images[: batch or CODE_IMAGES], batch)) if checked else ()
    require_codes(codes)
    counts = convolutions(exported.file)
    require_fused(counts.get("int8", 0), exported.integer_convolutions or 0)
    return ExportVerification(parity, accuracy, counts, codes)


def holdout_accuracy(compiled: Compiled, data: Data, batch: int | None) -> float:
    """The share of hold-out images that `compiled` classifies correctly; `batch` is None if it takes any number."""
    correct = 0
    for inputs, labels in _holdout(data, batch):
        correct += int((compiled.run({INPUT: inputs})[OUTPUT].argmax(1)[: len(labels)] == labels).sum())
    return correct / len(data.holdout)


def _holdout(data: Data, batch: int | None) -> Iterator[tuple[Pictures, NDArray[np.int64]]]:
    for pixels, labels in fixed_batches(data.train, data.holdout, batch or max(PARITY_BATCHES)):
        yield filled(data.preprocessing(pixels).contiguous().numpy(), batch), labels.numpy()


def filled(images: Pictures, batch: int | None) -> Pictures:
    """Complete batches: a short last batch is filled with the first images."""
    if batch is None:
        return images
    return np.resize(images, (-(-len(images) // batch) * batch, *images.shape[1:]))
