"""Float32 arrays in a message: their shapes by name, and the bytes of their values one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray


def pack(arrays: Mapping[str, NDArray[np.float32]]) -> tuple[dict[str, list[int]], bytes]:
    """The shapes and the bytes of arrays."""
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    return shapes, b"".join(np.asarray(array, np.float32).tobytes() for array in arrays.values())


def unpack(shapes: Mapping[str, Sequence[int]], content: bytes) -> dict[str, NDArray[np.float32]]:
    """The arrays that were packed.

    Raises:
        ValueError: `content` does not have these shapes.
    """
    values, arrays, at = np.frombuffer(content, np.float32), {}, 0
    for name, shape in shapes.items():
        arrays[name] = values[at : at + prod(shape)].reshape(shape)
        at += prod(shape)
    return arrays
