"""Weights and biases as whole numbers times a scale, such that a runtime's integers compute what the file says.

ONNX Runtime adds a convolution's bias to its 32-bit sums, so it rounds the bias to a multiple of input scale x weight
scale. A bias that lies on that grid already is the only one that the file, the runtime and a reference agree on.
TensorRT takes no int32 bias, so it is written in float32.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int8]

MOST_CODE = 127  # symmetric: -128 has no counterpart
# A runtime divides the float32 bias by the grid and rounds. Two roundings of 2^-24 each put a code below 2^21 off by
# less than 1/4, so it comes back whole.
MOST_BIAS_CODE = 2**21
LEAST_SCALE = np.float32(1e-20)  # of a channel whose weights are all 0


def quantize_weights(weight: Floats, bias: Floats, x_scale: np.float32, most: int) -> tuple[Codes, Floats, Floats]:
    """Codes -most..most, their scale for each output channel, and the bias on the grid.

    Args:
        weight: (c_out, c_in, k, k) of a convolution, or (c_out, c_in) of a classifier.
        bias: (c_out,).
        x_scale: of the layer's input.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    # a bias far above what the weights can add would need more codes than there are: then the steps get wider
    scale = np.maximum(largest / most, np.abs(bias) / x_scale / MOST_BIAS_CODE)
    scale = np.maximum(scale, LEAST_SCALE).astype(np.float32)
    codes = np.rint(weight / _along(scale, weight)).clip(-most, most).astype(np.int8)
    return codes, scale, on_grid(bias, x_scale * scale)


def refine_codes(codes: Codes, scale: Floats, bias: Floats, x_scale: np.float32) -> tuple[Codes, Floats, Floats]:
    """The same weights in finer steps, so that the bias's grid is as fine as int8 allows, and the bias on it.

    Codes of 1 to 4 bits leave room in an int8: codes x m and scale / m are the same weights, and the grid's steps are
    m times smaller. Where a channel's scale is next to 0 (batch normalization has shut it off), its bias would need
    too large a code; there the steps get wider and the codes are rounded.

    Args:
        codes: (c_out, c_in, k, k), whole numbers.
        scale: (c_out,), above 0 or, for a channel of zeros, 0.
    """
    largest = np.abs(codes).reshape(len(codes), -1).max(1)
    finest = scale / np.floor(MOST_CODE / np.maximum(largest, 1))
    coarsest = np.abs(bias) / x_scale / MOST_BIAS_CODE
    widened = coarsest > finest
    new_scale = np.maximum(np.where(widened, coarsest, finest), LEAST_SCALE).astype(np.float32)
    ratio = np.where(widened, scale / new_scale, np.floor(MOST_CODE / np.maximum(largest, 1)))
    new_codes = np.rint(codes * _along(ratio, codes)).clip(-MOST_CODE, MOST_CODE).astype(np.int8)
    return new_codes, new_scale, on_grid(bias, x_scale * new_scale)


def _along(scale: Floats, weight: NDArray[np.generic]) -> Floats:
    """A number for each output channel, in a shape that goes with the weight's."""
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


def on_grid(bias: Floats, step: Floats) -> Floats:
    """The nearest multiples of `step`."""
    nearest: Floats = (np.rint(bias / step) * step).astype(np.float32)
    return nearest
