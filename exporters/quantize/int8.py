"""Quantizes a float32 model to 8 bits (`exporters.quantize.qdq` describes what the runtimes need).

The output of a ReLU has codes 0 to 127, as many as a symmetric int8 has for values from 0 up.
"""

from collections.abc import Sequence, Set

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from exporters.errors import ExportFailed
from exporters.graph.operators import PASS_THROUGH_OPS
from exporters.graph.walker import GraphWalker, int_attribute
from exporters.quantize.calibration_ranges import clipping_levels
from exporters.quantize.integer_layer import IntegerWeights, TensorScales
from exporters.quantize.layers import activated, is_non_negative, product_nodes, scale_groups, sum_nodes
from exporters.quantize.qdq import quantized_copy
from exporters.quantize.weight_quantization import MAX_CODE, quantize_weights

# On x64 without VNNI, ONNX Runtime adds pairs of products in 16 bits. uint8 codes up to 127 with weights of up to 127
# stay below 2^15; an int8 input is shifted to codes up to 255 there, so its weights get one bit less.
MAX_CODE_BEHIND_INT8 = 63


def quantize(model: onnx.ModelProto, images: NDArray[np.float32], quantize_outputs: bool = False) -> onnx.ModelProto:
    """`model` with its convolutions, sums, classifier and the tensors between them in 8 bits.

    Args:
        model: of float32, batch normalization folded, as `export_onnx` writes it.
        images: (N, C, H, W), preprocessed; clipping levels are calibrated on them.
        quantize_outputs: round the outputs as well, as in a part of a network whose outputs other layers read.

    Raises:
        ExportFailed: it is a whole network without a convolution, or its weights or its activations on the images
            are not finite.
    """
    graph = GraphWalker(model.graph)
    products, sums = product_nodes(graph), sum_nodes(graph)
    if not quantize_outputs and not any(node.op_type == "Conv" for node in products):
        raise ExportFailed("the network has no convolution to compute in 8 bits. Use --precision fp32")
    names = [node.input[0] for node in products]
    names += [activated(graph, node.output[0]) for node in (*products, *sums)]
    names += [name for node in sums for name in node.input]
    outputs = set() if quantize_outputs else {value.name for value in model.graph.output}
    tensors = calibrate(model, graph, [name for name in names if name not in outputs], images)
    layers = {node.input[1]: _integer_weights(graph, node, tensors) for node in products}
    return quantized_copy(model, tensors, layers)


def calibrate(
    model: onnx.ModelProto,
    graph: GraphWalker,
    names: Sequence[str],
    images: NDArray[np.float32],
    pass_through_ops: Set[str] = PASS_THROUGH_OPS,
) -> TensorScales:
    """Scales for the tensors `names` and for all that `pass_through_ops` move from or to them.

    Args:
        model: what computes the tensors' values on `images`.
        graph: the graph that is quantized; `model` has its tensors.

    Raises:
        ExportFailed: values on the images are not finite.
    """
    groups = scale_groups(graph, names, pass_through_ops)
    levels = clipping_levels(model, {group[0]: group for group in groups}, images, MAX_CODE)
    scales: dict[str, np.float32] = {}
    unsigned: set[str] = set()
    for group in groups:
        scales |= dict.fromkeys(group, np.float32(levels[group[0]] / MAX_CODE))
        if all(is_non_negative(graph, name) for name in group):
            unsigned |= set(group)
    return TensorScales(scales, frozenset(unsigned))


def _integer_weights(graph: GraphWalker, node: NodeProto, tensors: TensorScales) -> IntegerWeights:
    x, weight = node.input[0], graph.constants[node.input[1]]
    bias = graph.constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ExportFailed(
            f"the network cannot be quantized: its weights {node.input[1]} or their bias are infinite or NaN. "
            f"Retrain it with a lower learning rate"
        )
    depthwise = int_attribute(node, "group", 1) == len(weight) > 1
    max_code = MAX_CODE if x in tensors.unsigned or depthwise else MAX_CODE_BEHIND_INT8
    return IntegerWeights(*quantize_weights(weight, bias, tensors.scales[x], max_code), tensors.scales[x])
