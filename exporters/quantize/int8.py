"""A float32 file -> the same network in 8 bits (see `exporters.quantize.qdq` for what the runtimes want).

What comes from a ReLU has codes 0 to 127, as many as a symmetric int8 has for values from 0 up.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from exporters.errors import ExportFailed
from exporters.quantize.calibration_ranges import clipping_levels
from exporters.quantize.qdq import PASS_THROUGH_OPS, Graph, IntegerWeights, Tensors, attribute, rewrite
from exporters.quantize.weight_quantization import MOST_CODE, quantize_weights

# On x64 without VNNI, ONNX Runtime adds pairs of products in 16 bits. uint8 codes up to 127 with weights of up to 127
# stay below 2^15; an int8 input is shifted to codes up to 255 there, so its weights get one bit less.
MOST_CODE_BEHIND_INT8 = 63


def quantize(model: onnx.ModelProto, images: NDArray[np.float32]) -> onnx.ModelProto:
    """`model` with its convolutions, sums, classifier and what lies between them in 8 bits.

    Args:
        model: of float32, batch normalization folded, as `export_onnx` writes it.
        images: (N, C, H, W), preprocessed; clipping levels come from them.

    Raises:
        ExportFailed: there is no convolution in it.
    """
    walked = Graph(model.graph)
    products = walked.products()
    if not any(node.op_type == "Conv" for node in products):
        raise ExportFailed("this network has no convolution, so there is nothing to compute in 8 bits. Ask for fp32")
    outputs = {value.name for value in model.graph.output}
    names = [node.input[0] for node in products]
    names += [walked.after_activation(node.output[0]) for node in (*products, *walked.sums())]
    names += [name for node in walked.sums() for name in node.input]
    tensors = measure_tensors(model, walked, [name for name in names if name not in outputs], images)
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    rewrite(quantized, walked, tensors, {node.input[1]: _weights(walked, node, tensors) for node in products})
    return quantized


def measure_tensors(
    model: onnx.ModelProto,
    walked: Graph,
    names: Sequence[str],
    images: NDArray[np.float32],
    carriers: Sequence[str] = PASS_THROUGH_OPS,
) -> Tensors:
    """Scales for the tensors `names` and all that is only moved from or to them by `carriers`, from `images`."""
    groups = walked.groups(names, carriers)
    levels = clipping_levels(model, {members[0]: members for members in groups}, images, MOST_CODE)
    scales: dict[str, np.float32] = {}
    unsigned: set[str] = set()
    for members in groups:
        scales |= dict.fromkeys(members, np.float32(levels[members[0]] / MOST_CODE))
        if all(walked.from_relu(name) for name in members):
            unsigned |= set(members)
    return Tensors(scales, frozenset(unsigned))


def _weights(walked: Graph, node: NodeProto, tensors: Tensors) -> IntegerWeights:
    x, weight = node.input[0], walked.values[node.input[1]]
    bias = walked.values[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
    depthwise = attribute(node, "group", 1) == len(weight)
    most = MOST_CODE if x in tensors.unsigned or depthwise else MOST_CODE_BEHIND_INT8
    return IntegerWeights(*quantize_weights(weight, bias, tensors.scales[x], most), tensors.scales[x])
