"""Layers of 1 to 4 bits in 8-bit containers: QuantizeLinear -> integer Clip -> DequantizeLinear (QCDQ).

No runtime here multiplies fewer than 8 bits, and none takes 4-bit activations of a convolution. So codes are stored in
uint8 and int8, and a Clip of integers keeps them within their bits. A Clip of floats before QuantizeLinear would
compute the same, but would keep ONNX Runtime from computing in integers.

There are two profiles. `exact` computes what was trained: tensors between the convolutions stay float32, and only a
convolution whose output is rounded for the next one runs in integers. `int8` also rounds the sums of the shortcuts, to
7 bits unsigned and 8 bits signed, which the trained network does not do; then every convolution runs in integers.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from exporters.errors import ExportFailed
from exporters.graph.operators import PASS_THROUGH_BESIDE_FLOAT_OPS
from exporters.graph.walker import GraphWalker
from exporters.quantize.int8 import calibrate
from exporters.quantize.integer_layer import NO_SCALES, IntegerWeights, TensorScales
from exporters.quantize.layers import activated, product_nodes, scale_groups, sum_nodes
from exporters.quantize.qdq import quantized_copy


def write_codes(
    model: onnx.ModelProto, layers: Mapping[str, IntegerWeights], images: NDArray[np.float32] | None
) -> onnx.ModelProto:
    """`model` with integers in place of the weights of `layers`, and with rounded inputs.

    Args:
        model: of float32, where each of `layers` is an ordinary convolution.
        layers: by the name of the weight, each with its `x_levels`.
        images: (N, C, H, W), preprocessed, for the scales of the sums in the profile `int8`; None for `exact`.

    Raises:
        ExportFailed: a layer is not in the model, or values on the images are not finite.
    """
    graph = GraphWalker(model.graph)
    convolutions = {node.input[1]: node for node in product_nodes(graph) if node.op_type == "Conv"}
    if missing := [name for name in layers if name not in convolutions]:
        raise ExportFailed(f"no convolution in the file has the weights {', '.join(missing)}. Report this")
    exact = quantized_copy(model, NO_SCALES, layers)
    if images is None:
        return exact
    outputs = [activated(graph, convolutions[name].output[0]) for name in layers]
    between = [name for name in outputs if not _is_rounded_by_consumer(graph, name, layers)]
    between += [name for node in sum_nodes(graph) for name in (*node.input, activated(graph, node.output[0]))]
    tensors = calibrate(exact, graph, between, images, PASS_THROUGH_BESIDE_FLOAT_OPS)
    return quantized_copy(model, _aligned(graph, tensors, layers), layers)


def _aligned(graph: GraphWalker, tensors: TensorScales, layers: Mapping[str, IntegerWeights]) -> TensorScales:
    """`tensors` with scales that divide the scales of their consumers by odd numbers; no scale becomes smaller.

    A sum is rounded to 7 bits, and again to a few bits by the convolution that reads it. If a step of the second
    rounding is an odd number of steps of the first, every tie of the second is a tie of the first, and both roundings
    give the result of the second alone. If several layers read a tensor, this holds for the first of them.
    """
    scales = dict(tensors.scales)
    for group in scale_groups(graph, tensors.scales, PASS_THROUGH_BESIDE_FLOAT_OPS):
        readers = [node for name in group for node in graph.consumers_of(name) if _is_layer(node, layers)]
        x_scale = layers[readers[0].input[1]].x_scale if readers else np.float32(0)
        if (steps := int(x_scale / tensors.scales[group[0]])) >= 1:
            scales |= dict.fromkeys(group, x_scale / np.float32(steps if steps % 2 else steps - 1))
    return replace(tensors, scales=scales)


def _is_layer(node: NodeProto, layers: Mapping[str, IntegerWeights]) -> bool:
    return len(node.input) > 1 and node.input[1] in layers


def _is_rounded_by_consumer(graph: GraphWalker, name: str, layers: Mapping[str, IntegerWeights]) -> bool:
    """Whether the only consumer of a tensor rounds it; a second rounding would lose more."""
    consumers = graph.consumers_of(name)
    return len(consumers) == 1 and _is_layer(consumers[0], layers)
