"""What the quantizers hand to the QDQ writer: the integers of a layer, and the scales of tensors between layers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exporters.quantize.weight_quantization import Codes, Floats


@dataclass(frozen=True)
class IntegerWeights:
    """A layer's weights as int8 codes, a scale for each output channel, and a bias on the grid of its sums.

    With `x_levels` the layer quantizes its own input, to codes 0..x_levels of size `x_scale`.
    """

    codes: Codes
    scale: Floats
    bias: Floats
    x_scale: np.float32
    x_levels: int | None = None


@dataclass(frozen=True)
class TensorScales:
    """Tensors that are quantized for all of their consumers.

    Args:
        scales: by the tensor's name.
        unsigned: the tensors without negative values; these become uint8, the others int8.
    """

    scales: Mapping[str, np.float32]
    unsigned: frozenset[str]


NO_SCALES = TensorScales({}, frozenset())
