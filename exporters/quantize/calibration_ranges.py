"""How large the values between layers get on real images, and where to cut them off when they are quantized."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

BATCH = 8  # images whose activations, all layers', are in memory at once
BINS = 2048
TRIED_LEVELS = 64
LEAST_LEVEL = 0.3  # of the largest value; below, cutting off costs more than fine steps give
ALL_ZERO = 1e-6  # the level of values that are all 0

Images = NDArray[np.float32]


def clipping_levels(
    model: onnx.ModelProto, groups: Mapping[str, Sequence[str]], images: Images, levels: int
) -> dict[str, float]:
    """For each group of tensors the magnitude to cut off at, least in squared error over `images` (N, C, H, W).

    A few values are much larger than all others. With steps for those, the rest is rounded more coarsely than it
    loses by cutting them off, so the level is searched for and not just the largest value.

    Args:
        groups: names of tensors of `model` that share a level.
        levels: steps from 0 to the level.
    """
    names = sorted({name for members in groups.values() for name in members})
    session = _session_with(model, names)
    largest = dict.fromkeys(groups, 0.0)
    for values in _runs(session, names, images):
        for group, members in groups.items():
            largest[group] = max(largest[group], *(float(np.abs(values[name]).max()) for name in members))
    counts = {group: np.zeros(BINS) for group in groups}
    for values in _runs(session, names, images):
        for group, members in groups.items():
            for name in members:
                edges = (0.0, largest[group] or ALL_ZERO)
                counts[group] += np.histogram(np.abs(values[name]), BINS, edges)[0]
    return {group: _best_level(counts[group], largest[group] or ALL_ZERO, levels) for group in groups}


def _best_level(counts: NDArray[np.float64], largest: float, levels: int) -> float:
    middles = (np.arange(BINS) + 0.5) * largest / BINS
    tried = np.linspace(LEAST_LEVEL, 1.0, TRIED_LEVELS) * largest
    steps = (tried / levels)[:, None]
    rounded = np.minimum(np.rint(middles / steps), levels) * steps
    errors = ((middles - rounded) ** 2 * counts).sum(1)
    return float(tried[errors.argmin()])


def _session_with(model: onnx.ModelProto, names: Sequence[str]) -> ort.InferenceSession:
    """A session that also gives the tensors `names`."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    inputs = {value.name for value in told.graph.input}
    for name in names:
        if name not in inputs:
            told.graph.output.add(name=name)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _runs(session: ort.InferenceSession, names: Sequence[str], images: Images) -> Iterator[dict[str, Images]]:
    (image_input,) = session.get_inputs()
    wanted = [name for name in names if name != image_input.name]
    for start in range(0, len(images), BATCH):
        piece = images[start : start + BATCH]
        values = session.run(wanted, {image_input.name: piece}) if wanted else []  # an empty list would mean all
        yield dict(zip(wanted, values, strict=True)) | {image_input.name: piece}
