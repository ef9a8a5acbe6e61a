"""fp16 in TensorRT 8.6, whose networks are not strongly typed: by builder flags and the precision of each layer."""

from __future__ import annotations

from types import ModuleType
from typing import Any

# layers that convert or hold values; their types follow from the file
CONVERSIONS = ("CONSTANT", "CAST", "IDENTITY", "SHAPE")


def request(trt: ModuleType, network: Any, config: Any, precision: str) -> None:
    """Make the builder compute a parsed file in its own precision; by default it computes in fp32.

    An exported fp16 file computes in float16 between the casts at its ends. `OBEY_PRECISION_CONSTRAINTS` makes the
    builder fail instead of computing a layer in another precision.
    """
    if precision != "fp16":
        return
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    floats = (trt.float32, trt.float16)
    converting = [trt.LayerType.__members__[name] for name in CONVERSIONS]
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        outputs = [layer.get_output(position) for position in range(layer.num_outputs)]
        if layer.type in converting or any(output.dtype not in floats for output in outputs):
            continue
        layer.precision = trt.float16
        for position in range(layer.num_outputs):
            layer.set_output_type(position, trt.float16)
