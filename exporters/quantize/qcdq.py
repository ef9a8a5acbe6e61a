"""Layers of 1 to 4 bits in 8-bit containers: QuantizeLinear -> integer Clip -> DequantizeLinear (QCDQ).

No runtime here multiplies fewer than 8 bits, and none takes 4-bit activations of a convolution. So codes travel in
uint8 and int8, and a Clip of whole numbers keeps them within their bits. A Clip of floats before QuantizeLinear would
say the same, and would keep ONNX Runtime from computing in integers at all.

Two profiles. `exact` computes what was trained: between the convolutions all stays float32, and only a convolution
whose output is rounded next, for another one, runs in integers. `int8` rounds the shortcuts' sums as well, to 7 bits
unsigned and 8 bits signed, which is not in the trained network; then every convolution runs in integers.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from exporters.errors import ExportFailed
from exporters.quantize.int8 import measure_tensors
from exporters.quantize.qdq import CARRIERS_BESIDE_FLOAT, NONE, Graph, IntegerWeights, rewrite


def write_codes(
    model: onnx.ModelProto, layers: Mapping[str, IntegerWeights], images: NDArray[np.float32] | None
) -> onnx.ModelProto:
    """`model` with integers in place of the weights of `layers`, and rounded inputs.

    Args:
        model: of float32, where each of `layers` is an ordinary convolution.
        layers: by the weight's name, each with its `x_levels`.
        images: (N, C, H, W), preprocessed, for the scales of the sums in the profile `int8`; None for `exact`.

    Raises:
        ExportFailed: a layer is not in the model.
    """
    walked = Graph(model.graph)
    convolutions = {node.input[1]: node for node in walked.products() if node.op_type == "Conv"}
    if missing := [name for name in layers if name not in convolutions]:
        raise ExportFailed(f"no convolution in the file has the weights {', '.join(missing)}. Report this")
    tensors = NONE
    if images is not None:
        ends = [walked.after_activation(convolutions[name].output[0]) for name in layers]
        between = [name for name in ends if not _only_read_by(walked, name, layers)]
        sums = walked.sums()
        between += [name for node in sums for name in (*node.input, walked.after_activation(node.output[0]))]
        measured = measure_tensors(write_codes(model, layers, None), walked, between, images, CARRIERS_BESIDE_FLOAT)
        tensors = replace(measured, scales=_aligned(walked, measured.scales, layers))
    written = onnx.ModelProto()
    written.CopyFrom(model)
    rewrite(written, walked, tensors, layers)
    return written


def _aligned(
    walked: Graph, scales: Mapping[str, np.float32], layers: Mapping[str, IntegerWeights]
) -> dict[str, np.float32]:
    """Scales that the layers' own are odd multiples of, none of them smaller than it was.

    A sum is rounded to 7 bits, and again to a few bits by the convolution that reads it. Where a step of the second
    rounding is an odd number of steps of the first, every tie of the second is a tie of the first, and rounding twice
    gives what rounding once gives. (Where several read it, that is so for the first of them.)
    """
    found = dict(scales)
    for members in walked.groups(scales, CARRIERS_BESIDE_FLOAT):
        readers = [node for name in members for node in walked.consumers.get(name, []) if _layer(node, layers)]
        x_scale = layers[readers[0].input[1]].x_scale if readers else np.float32(0)
        if (steps := int(x_scale / scales[members[0]])) >= 1:
            found |= dict.fromkeys(members, x_scale / np.float32(steps if steps % 2 else steps - 1))
    return found


def _layer(node: NodeProto, layers: Mapping[str, IntegerWeights]) -> bool:
    return len(node.input) > 1 and node.input[1] in layers


def _only_read_by(walked: Graph, name: str, layers: Mapping[str, IntegerWeights]) -> bool:
    """Is it rounded by its one reader anyhow? Rounding it twice would lose more."""
    readers = walked.consumers.get(name, [])
    return len(readers) == 1 and _layer(readers[0], layers)
