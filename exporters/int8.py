"""A float32 file -> the same network in 8 bits, by explicit QuantizeLinear and DequantizeLinear.

One file for ONNX Runtime on CPUs and for TensorRT. Each takes only some of what ONNX allows:

- TensorRT wants zero points of 0 and no int32 bias, and takes uint8 for int8, so codes must stay at or below 127.
- ONNX Runtime computes a convolution in integers where QuantizeLinear directly follows it; a ReLU between them must
  be part of the rounding, which is so for uint8 with zero point 0 and not for int8.

So what comes from a ReLU is uint8, cut off at 127 by an integer Clip (this is 7 bits, as much as a symmetric int8 has
for values from 0 up); all else is int8. Values that are only moved (slices, concatenations, pooling by maximum)
keep one scale, so that moving them rounds nothing again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, helper, numpy_helper

from exporters.errors import ExportFailed
from exporters.grid import MOST_CODE, quantize_weights
from exporters.ranges import clipping_levels

CARRIERS = ("Concat", "Slice", "MaxPool", "Reshape", "Transpose", "Split", "Squeeze", "Unsqueeze")
# On x64 without VNNI, ONNX Runtime adds pairs of products in 16 bits. uint8 codes up to 127 with weights of up to 127
# stay below 2^15; an int8 input is shifted to codes up to 255 there, so its weights get one bit less.
MOST_CODE_BEHIND_INT8 = 63


@dataclass
class _Graph:
    """A graph with what is needed to walk it."""

    graph: onnx.GraphProto
    producer: dict[str, NodeProto] = field(default_factory=dict)
    consumers: dict[str, list[NodeProto]] = field(default_factory=dict)
    values: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        for node in self.graph.node:
            for name in node.output:
                self.producer[name] = node
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def after_activation(self, name: str) -> str:
        """The tensor after the ReLU that alone takes `name`, or `name` itself."""
        users = self.consumers.get(name, [])
        return str(users[0].output[0]) if len(users) == 1 and self.is_relu(users[0]) else name

    def is_relu(self, node: NodeProto) -> bool:
        """Does it cut off at 0 from below?"""
        if node.op_type == "Clip":
            least = self.values.get(node.input[1]) if len(node.input) > 1 else None
            return least is not None and float(least) == 0.0
        return bool(node.op_type == "Relu")

    def moved(self, node: NodeProto) -> list[str]:
        """The tensors that a carrier moves, without sizes and indices."""
        data = node.input if node.op_type == "Concat" else node.input[:1]
        return [name for name in data if name not in self.values]


def quantize(model: onnx.ModelProto, images: NDArray[np.float32]) -> onnx.ModelProto:
    """`model` with its convolutions, sums and what lies between them in 8 bits; the classifier stays in float32.

    Args:
        model: of float32, batch normalisation folded, as `export_onnx` writes it.
        images: (N, C, H, W), preprocessed; clipping levels come from them.

    Raises:
        ExportFailed: there is no convolution in it.
    """
    walked = _Graph(model.graph)
    groups = _groups(walked)
    if not groups:
        raise ExportFailed("this network has no convolution, so there is nothing to compute in 8 bits. Ask for fp32")
    levels = clipping_levels(model, {members[0]: members for members in groups}, images, MOST_CODE)
    scales: dict[str, np.float32] = {}
    unsigned: set[str] = set()
    for members in groups:
        scales |= dict.fromkeys(members, np.float32(levels[members[0]] / MOST_CODE))
        if all(_from_relu(walked, name) for name in members):
            unsigned |= set(members)
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    del quantized.graph.node[:], quantized.graph.initializer[:], quantized.graph.value_info[:]
    writer = _Writer(walked, scales, unsigned)
    quantized.graph.node.extend(writer.nodes())
    used = {name for node in quantized.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    quantized.graph.initializer.extend([*kept, *writer.initializers])
    return quantized


def _groups(walked: _Graph) -> list[list[str]]:
    """The tensors that get quantized, those that share a scale together."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in walked.graph.node:
        if node.op_type == "Conv" or (node.op_type == "Add" and not any(n in walked.values for n in node.input)):
            taken = node.input[:1] if node.op_type == "Conv" else node.input
            for name in (*taken, walked.after_activation(node.output[0])):
                parent.setdefault(name, name)
    carriers = [node for node in walked.graph.node if node.op_type in CARRIERS]
    growing = True
    while growing:
        before = len(parent)
        for node in carriers:
            ends = [*walked.moved(node), *node.output]
            if any(name in parent for name in ends):
                for name in ends:
                    parent.setdefault(name, name)
                for name in ends[1:]:
                    parent[root(name)] = root(ends[0])
        growing = len(parent) > before
    together: dict[str, list[str]] = {}
    for name in parent:
        together.setdefault(root(name), []).append(name)
    return list(together.values())


def _from_relu(walked: _Graph, name: str) -> bool:
    node = walked.producer.get(name)
    if node is None:
        return False
    if node.op_type in CARRIERS:
        return all(_from_relu(walked, moved) for moved in walked.moved(node))
    return walked.is_relu(node)


@dataclass
class _Writer:
    """Writes the graph anew, with a QuantizeLinear and a DequantizeLinear at each tensor that has a scale."""

    walked: _Graph
    scales: dict[str, np.float32]
    unsigned: set[str]
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def nodes(self) -> Iterator[NodeProto]:
        self._constant("zero_u8", np.array(0, np.uint8))
        self._constant("zero_s8", np.array(0, np.int8))
        self._constant("most_u8", np.array(MOST_CODE, np.uint8))
        for value in self.walked.graph.input:
            if value.name in self.scales:
                yield from self._quantized(value.name, value.name)
        for node in self.walked.graph.node:
            out = node.output[0]
            if out in self.unsigned and self.walked.is_relu(node):  # rounding to uint8 does its work
                yield from self._quantized(node.input[0], out)
                continue
            written = onnx.NodeProto()
            written.CopyFrom(node)
            written.input[:] = [f"{name}_dq" if name in self.scales else name for name in node.input]
            if node.op_type == "Conv":
                yield self._integer_weights(node, written)
            yield written
            for name in node.output:
                if name in self.scales:
                    yield from self._quantized(name, name)

    def _quantized(self, source: str, name: str) -> Iterator[NodeProto]:
        scale, codes = f"{name}_scale", f"{name}_q"
        self._constant(scale, np.array(self.scales[name]))
        if name in self.unsigned:
            yield helper.make_node("QuantizeLinear", [source, scale, "zero_u8"], [f"{name}_raw"])
            yield helper.make_node("Clip", [f"{name}_raw", "zero_u8", "most_u8"], [codes])
            yield helper.make_node("DequantizeLinear", [codes, scale, "zero_u8"], [f"{name}_dq"])
        else:
            yield helper.make_node("QuantizeLinear", [source, scale, "zero_s8"], [codes])
            yield helper.make_node("DequantizeLinear", [codes, scale, "zero_s8"], [f"{name}_dq"])

    def _integer_weights(self, node: NodeProto, written: NodeProto) -> NodeProto:
        """Weight and bias of `written` as integers and on their grid; gives the node that scales the weight."""
        x, weight_name = node.input[0], node.input[1]
        weight = self.walked.values[weight_name]
        has_bias = len(node.input) > 2
        bias = self.walked.values[node.input[2]] if has_bias else np.zeros(len(weight), np.float32)
        depthwise = _attribute(node, "group", 1) == len(weight)
        most = MOST_CODE if x in self.unsigned or depthwise else MOST_CODE_BEHIND_INT8
        codes, scale, bias = quantize_weights(weight, bias, self.scales[x], most)
        self._constant(f"{weight_name}_q", codes)
        self._constant(f"{weight_name}_scale", scale)
        self._constant(f"{weight_name}_zero", np.zeros(len(codes), np.int8))
        written.input[1] = f"{weight_name}_dq"
        if has_bias:
            written.input[2] = f"{node.output[0]}_bias"
            self._constant(written.input[2], bias)
        names = [f"{weight_name}_q", f"{weight_name}_scale", f"{weight_name}_zero"]
        return helper.make_node("DequantizeLinear", names, [f"{weight_name}_dq"], axis=0)

    def _constant(self, name: str, value: NDArray[np.generic]) -> None:
        self.initializers.append(numpy_helper.from_array(value, name))


def _attribute(node: NodeProto, name: str, default: int) -> int:
    found: list[AttributeProto] = [attribute for attribute in node.attribute if attribute.name == name]
    return int(found[0].i) if found else default
