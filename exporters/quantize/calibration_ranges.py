"""Clipping levels for quantization: how large activations get on real images, and where to clip them."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from exporters.errors import ExportFailed
from exporters.quantize.tensor_values import TensorValues

BATCH = 8  # images whose activations of all layers are in memory at once
BINS = 2048
N_LEVELS = 64  # levels that are tried
MIN_LEVEL = 0.3  # share of the largest value; below it, clipping costs more than finer steps gain
LEVEL_OF_ZEROS = 1e-6  # for tensors that are 0 everywhere

Images = NDArray[np.float32]


def clipping_levels(
    model: onnx.ModelProto, groups: Mapping[str, Sequence[str]], images: Images, steps: int
) -> dict[str, float]:
    """The level for each group of tensors that has the least squared error over `images` (N, C, H, W).

    A few values are much larger than the others. If the steps covered them, all other values would be rounded more
    coarsely than clipping costs, so the best level is searched for below the largest value.

    Args:
        groups: names of tensors of `model` that share a level.
        steps: the number of steps from 0 to the level.

    Raises:
        ExportFailed: a value is infinite or NaN.
    """
    names = sorted({name for members in groups.values() for name in members})
    tensors = TensorValues(model, names)
    largest = dict.fromkeys(groups, 0.0)
    for values in tensors.by_batch(images, BATCH):
        for group, members in groups.items():
            largest[group] = max(largest[group], *(_largest(name, values[name]) for name in members))
    counts = {group: np.zeros(BINS) for group in groups}
    for values in tensors.by_batch(images, BATCH):
        for group, members in groups.items():
            for name in members:
                edges = (0.0, largest[group] or LEVEL_OF_ZEROS)
                counts[group] += np.histogram(np.abs(values[name]), BINS, edges)[0]
    return {group: _best_level(counts[group], largest[group] or LEVEL_OF_ZEROS, steps) for group in groups}


def _largest(name: str, values: Images) -> float:
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        raise ExportFailed(
            f"the network cannot be quantized: its tensor {name} has infinite or NaN values on the calibration images. "
            f"Retrain it with a lower learning rate, or check the input data"
        )
    return largest


def _best_level(counts: NDArray[np.float64], largest: float, steps: int) -> float:
    centers = (np.arange(BINS) + 0.5) * largest / BINS
    levels = np.linspace(MIN_LEVEL, 1.0, N_LEVELS) * largest
    step_sizes = (levels / steps)[:, None]
    rounded = np.minimum(np.rint(centers / step_sizes), steps) * step_sizes
    errors = ((centers - rounded) ** 2 * counts).sum(1)
    return float(levels[errors.argmin()])
