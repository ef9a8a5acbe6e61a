"""Weights and biases as integers times a scale, so that a runtime's integers compute what the file states.

ONNX Runtime adds the bias of a convolution to its 32-bit sums, so it rounds the bias to a multiple of input scale x
weight scale. If the bias is already a multiple, then the file, the runtime and a reference agree on it. TensorRT takes
no int32 bias, so it is written in float32.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int8]

MAX_CODE = 127  # symmetric: -128 has no counterpart
# A runtime divides the float32 bias by the grid and rounds. Two roundings of 2^-24 each move a code below 2^21 by less
# than 1/4, so it is recovered exactly.
MAX_BIAS_CODE = 2**21
MIN_SCALE = np.float32(1e-20)  # for a channel whose weights are all 0


def quantize_weights(weight: Floats, bias: Floats, x_scale: np.float32, max_code: int) -> tuple[Codes, Floats, Floats]:
    """Codes -max_code..max_code, a scale for each output channel, and the bias on the grid.

    Args:
        weight: (c_out, c_in, k, k) of a convolution, or (c_out, c_in) of a classifier.
        bias: (c_out,).
        x_scale: the scale of the layer's input.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    # a bias far above the weights' sums would need more codes than MAX_BIAS_CODE: then the steps get wider
    scale = np.maximum(largest / max_code, np.abs(bias) / x_scale / MAX_BIAS_CODE)
    scale = np.maximum(scale, MIN_SCALE).astype(np.float32)
    codes = np.rint(weight / _per_channel(scale, weight)).clip(-max_code, max_code).astype(np.int8)
    return codes, scale, on_grid(bias, x_scale * scale)


def refine_codes(codes: Codes, scale: Floats, bias: Floats, x_scale: np.float32) -> tuple[Codes, Floats, Floats]:
    """The same weights in finer steps, with the finest grid for the bias that int8 allows, and the bias on it.

    Codes of 1 to 4 bits use a part of an int8: codes x m and scale / m are the same weights, and the steps of the
    grid are m times smaller. If the scale of a channel is almost 0 (batch normalization has switched it off), its
    bias would need too large a code; then the steps get wider and the codes are rounded.

    Args:
        codes: (c_out, c_in, k, k), integers.
        scale: (c_out,), above 0, or 0 for a channel of zeros.
    """
    largest = np.abs(codes).reshape(len(codes), -1).max(1)
    finest = scale / np.floor(MAX_CODE / np.maximum(largest, 1))
    coarsest = np.abs(bias) / x_scale / MAX_BIAS_CODE
    widened = coarsest > finest
    new_scale = np.maximum(np.where(widened, coarsest, finest), MIN_SCALE).astype(np.float32)
    ratio = np.where(widened, scale / new_scale, np.floor(MAX_CODE / np.maximum(largest, 1)))
    new_codes = np.rint(codes * _per_channel(ratio, codes)).clip(-MAX_CODE, MAX_CODE).astype(np.int8)
    return new_codes, new_scale, on_grid(bias, x_scale * new_scale)


def _per_channel(scale: Floats, weight: NDArray[np.generic]) -> Floats:
    """One scale for each output channel, in a shape that broadcasts with the weight."""
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


def on_grid(bias: Floats, step: Floats) -> Floats:
    """`bias` rounded to multiples of `step`."""
    nearest: Floats = (np.rint(bias / step) * step).astype(np.float32)
    return nearest
