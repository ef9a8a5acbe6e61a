"""Writes quantized graphs by explicit QuantizeLinear and DequantizeLinear, for ONNX Runtime and TensorRT at once.

Each takes only some of what ONNX allows:

- TensorRT wants zero points of 0 and no int32 bias, and takes uint8 for int8, so codes must stay at or below 127.
- ONNX Runtime computes a convolution in integers where QuantizeLinear directly follows it; a ReLU between them must
  be part of the rounding, which is so for uint8 with zero point 0 and not for int8.

So what comes from a ReLU is uint8, cut off by an integer Clip; all else is int8.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from exporters.quantize.weight_quantization import MOST_CODE, Codes, Floats

# These only move values, so their inputs and outputs can have one scale, and moving rounds nothing again.
PASS_THROUGH_OPS = ("Concat", "Slice", "MaxPool", "Reshape", "Transpose", "Split", "Squeeze", "Unsqueeze")
# Behind a float layer ONNX Runtime pools codes twenty times slower than floats: 57 and 2.4 ms behind ResNet's stem.
CARRIERS_BESIDE_FLOAT = tuple(op for op in PASS_THROUGH_OPS if op != "MaxPool")
MEANS = ("ReduceMean", "GlobalAveragePool", "AveragePool")
PRODUCTS = ("Conv", "Gemm")  # a Gemm as torch writes a linear layer: weight (c_out, c_in), transposed


@dataclass(frozen=True)
class IntegerWeights:
    """A layer's weights as int8 codes, a scale for each output channel, and a bias on the grid of its sums.

    With `x_levels` the layer's input is quantized for it alone, to codes 0..x_levels of size `x_scale`.
    """

    codes: Codes
    scale: Floats
    bias: Floats
    x_scale: np.float32
    x_levels: int | None = None


@dataclass(frozen=True)
class Tensors:
    """The tensors that are quantized for all who read them: their scales, and which have no negative values."""

    scales: Mapping[str, np.float32]
    unsigned: frozenset[str]


NONE = Tensors({}, frozenset())


class Graph:
    """A float32 graph, batch normalization folded, with what is needed to walk it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.producer: dict[str, NodeProto] = {}
        self.consumers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            self.producer |= dict.fromkeys(node.output, node)
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

    def from_relu(self, name: str) -> bool:
        """Is it never negative?"""
        node = self.producer.get(name)
        if node is None:
            return False
        if node.op_type in PASS_THROUGH_OPS or node.op_type in MEANS:
            return all(self.from_relu(moved) for moved in self.moved(node))
        return self.is_relu(node)

    def moved(self, node: NodeProto) -> list[str]:
        """The tensors that a carrier moves, without sizes and indices."""
        data = node.input if node.op_type == "Concat" else node.input[:1]
        return [name for name in data if name not in self.values]

    def products(self) -> list[NodeProto]:
        """Convolutions and linear layers, whose weight is a constant of shape (c_out, ...)."""
        return [
            node
            for node in self.graph.node
            if node.op_type in PRODUCTS
            and node.input[1] in self.values
            and (node.op_type == "Conv" or attribute(node, "transB", 0) == 1)
        ]

    def sums(self) -> list[NodeProto]:
        """The nodes that add two tensors; a bias is none."""
        return [
            node for node in self.graph.node if node.op_type == "Add" and not any(n in self.values for n in node.input)
        ]

    def groups(self, names: Iterable[str], carriers: Sequence[str]) -> list[list[str]]:
        """`names` and all that is only moved from or to them, those that must share a scale together.

        Args:
            carriers: the operators that move codes.
        """
        parent = {name: name for name in names}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        moving = [node for node in self.graph.node if node.op_type in carriers]
        before = -1
        while before < len(parent):
            before = len(parent)
            for node in moving:
                ends = [*self.moved(node), *node.output]
                if any(name in parent for name in ends):
                    for name in ends:
                        parent.setdefault(name, name)
                    for name in ends[1:]:
                        parent[root(name)] = root(ends[0])
        together: dict[str, list[str]] = {}
        for name in parent:
            together.setdefault(root(name), []).append(name)
        return list(together.values())


def rewrite(model: onnx.ModelProto, walked: Graph, tensors: Tensors, weights: Mapping[str, IntegerWeights]) -> None:
    """Put Q and DQ into `model`: at each of `tensors`, and at the weights and inputs of the layers of `weights`.

    Args:
        walked: the graph as it was; `model` may be a copy of it.
        weights: by the weight's name.
    """
    writer = _Writer(walked, tensors, weights)
    nodes = list(writer.nodes())
    used = {name for node in nodes for name in node.input}
    kept = [numpy_helper.from_array(value, name) for name, value in walked.values.items() if name in used]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([*kept, *writer.initializers])


@dataclass
class _Writer:
    walked: Graph
    tensors: Tensors
    weights: Mapping[str, IntegerWeights]
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def nodes(self) -> Iterator[NodeProto]:
        for value in self.walked.graph.input:
            if value.name in self.tensors.scales:
                yield from self._quantized(value.name, value.name)
        for node in self.walked.graph.node:
            if self._is_rounding(node):
                continue
            out = node.output[0]
            if out in self.tensors.unsigned and self.walked.is_relu(node):
                yield from self._quantized(node.input[0], out)
                continue
            written = onnx.NodeProto()
            written.CopyFrom(node)
            written.input[:] = [self._read(name) for name in node.input]
            if node.op_type in PRODUCTS and node.input[1] in self.weights:
                yield from self._integers(node, written)
            yield written
            for name in node.output:
                if name in self.tensors.scales:
                    yield from self._quantized(name, name)

    def _is_rounding(self, node: NodeProto) -> bool:
        """A ReLU between two convolutions is left out where the second rounds to uint8: that cuts off below 0."""
        if not self.walked.is_relu(node) or node.output[0] in self.tensors.scales:
            return False
        before = self.walked.producer.get(node.input[0])
        readers = self.walked.consumers.get(node.output[0], [])
        return before is not None and before.op_type == "Conv" and len(readers) == 1 and self._rounds(readers[0])

    def _rounds(self, node: NodeProto) -> bool:
        layer = self.weights.get(node.input[1]) if node.op_type in PRODUCTS else None
        return layer is not None and layer.x_levels is not None

    def _read(self, name: str) -> str:
        if name in self.tensors.scales:
            return f"{name}_dq"
        node = self.walked.producer.get(name)
        return str(node.input[0]) if node is not None and self._is_rounding(node) else name

    def _unrounded(self, name: str) -> str:
        """A tensor before it is quantized; where rounding does a ReLU's work, there is only what came before that."""
        node = self.walked.producer[name]
        return str(node.input[0]) if name in self.tensors.unsigned and self.walked.is_relu(node) else name

    def _is_float(self, name: str) -> bool:
        """Does it come out of a layer that stays in float?"""
        node = self.walked.producer.get(name)
        while node is not None and (self.walked.is_relu(node) or node.op_type in PASS_THROUGH_OPS):
            node = self.walked.producer.get(node.input[0])
        return node is not None and node.op_type in PRODUCTS and node.input[1] not in self.weights

    def _quantized(self, source: str, name: str) -> Iterator[NodeProto]:
        levels = MOST_CODE if name in self.tensors.unsigned else None
        return self._pair(source, name, self.tensors.scales[name], levels)

    def _pair(self, source: str, name: str, scale: np.float32, levels: int | None) -> Iterator[NodeProto]:
        """`source` -> name_q, its codes 0..levels, or of an int8 if None -> name_dq, their values."""
        self._constant(f"{name}_scale", np.array(scale, np.float32))
        zero, codes = ("zero_s8", f"{name}_q") if levels is None else ("zero_u8", f"{name}_raw")
        self._constant(zero, np.array(0, np.int8 if levels is None else np.uint8))
        yield helper.make_node("QuantizeLinear", [source, f"{name}_scale", zero], [codes], f"{name}_quantize")
        if levels is not None:
            self._constant(f"most_{levels}", np.array(levels, np.uint8))
            yield helper.make_node("Clip", [codes, zero, f"most_{levels}"], [f"{name}_q"], f"{name}_clip")
        yield helper.make_node(
            "DequantizeLinear", [f"{name}_q", f"{name}_scale", zero], [f"{name}_dq"], f"{name}_dequantize"
        )

    def _integers(self, node: NodeProto, written: NodeProto) -> Iterator[NodeProto]:
        """Nodes before `written`, whose weight and bias become integers and, where wanted, its input."""
        weight_name = node.input[1]
        layer = self.weights[weight_name]
        if layer.x_levels is not None:
            if self._is_float(node.input[0]):
                # rounded from the floats themselves. It also keeps the rounding behind a pooling: with one reader,
                # ONNX Runtime would move it before, and pool codes
                written.input[0] = self._unrounded(node.input[0])
            yield from self._pair(written.input[0], f"{weight_name}_x", layer.x_scale, layer.x_levels)
            written.input[0] = f"{weight_name}_x_dq"
        names = [f"{weight_name}_{part}" for part in ("q", "scale", "zero")]
        self._constant(names[0], layer.codes)
        self._constant(names[1], layer.scale)
        self._constant(names[2], np.zeros(len(layer.codes), np.int8))
        self._constant(f"{weight_name}_bias", layer.bias)
        written.input[1:] = [f"{weight_name}_dq", f"{weight_name}_bias"]
        yield helper.make_node("DequantizeLinear", names, [f"{weight_name}_dq"], f"{weight_name}_dequantize", axis=0)

    def _constant(self, name: str, value: NDArray[np.generic]) -> None:
        if name not in self.known:
            self.known.add(name)
            self.initializers.append(numpy_helper.from_array(value, name))


def attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute."""
    return next((int(found.i) for found in node.attribute if found.name == name), default)
