"""Writes quantized graphs with explicit QuantizeLinear and DequantizeLinear, for ONNX Runtime and TensorRT at once.

Each runtime takes only a part of what ONNX allows:

- TensorRT needs zero points of 0 and no int32 bias, and takes uint8 for int8, so codes must not exceed 127.
- ONNX Runtime computes a convolution in integers if QuantizeLinear directly follows it. A ReLU between them must be
  part of the rounding, which is possible for uint8 with zero point 0 and not for int8.

So the output of a ReLU is uint8 with an integer Clip, and every other tensor is int8.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from exporters.graph.operators import PASS_THROUGH_OPS, QUANTIZED_PRODUCT_OPS
from exporters.graph.walker import GraphWalker
from exporters.quantize.integer_layer import IntegerWeights, TensorScales
from exporters.quantize.layers import is_relu
from exporters.quantize.weight_quantization import MAX_CODE


def quantized_copy(
    model: onnx.ModelProto, tensors: TensorScales, layers: Mapping[str, IntegerWeights]
) -> onnx.ModelProto:
    """A copy of `model` with Q and DQ nodes at each of `tensors` and at the weights and inputs of `layers`.

    Args:
        model: of float32, batch normalization folded.
        layers: by the name of the weight.
    """
    graph = GraphWalker(model.graph)
    rewriter = _Rewriter(graph, tensors, layers)
    nodes = list(rewriter.nodes())
    _rename_outputs(nodes, [value.name for value in model.graph.output if value.name in tensors.scales])
    used = {name for node in nodes for name in node.input}
    kept = [numpy_helper.from_array(value, name) for name, value in graph.constants.items() if name in used]
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    del quantized.graph.node[:], quantized.graph.initializer[:], quantized.graph.value_info[:]
    quantized.graph.node.extend(nodes)
    quantized.graph.initializer.extend([*kept, *rewriter.constants.tensors()])
    return quantized


def _rename_outputs(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> None:
    """Give quantized outputs of the graph their names: `logits` is what `logits_dq` was, and that `logits_exact`."""
    names = {name: f"{name}_exact" for name in outputs} | {f"{name}_dq": name for name in outputs}
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


class _Constants:
    """The initializers that are added to a graph, each name once."""

    def __init__(self) -> None:
        self._tensors: dict[str, TensorProto] = {}

    def add(self, name: str, value: NDArray[np.generic]) -> str:
        if name not in self._tensors:
            self._tensors[name] = numpy_helper.from_array(value, name)
        return name

    def tensors(self) -> list[TensorProto]:
        return list(self._tensors.values())

    def rounding(self, source: str, name: str, scale: np.float32, max_code: int | None) -> Iterator[NodeProto]:
        """Nodes that round `source` to the codes NAME_q and give their values as NAME_dq.

        Args:
            max_code: codes are uint8, 0..max_code; None for int8.
        """
        scale_name = self.add(f"{name}_scale", np.array(scale, np.float32))
        zero, rounded = ("zero_s8", f"{name}_q") if max_code is None else ("zero_u8", f"{name}_raw")
        self.add(zero, np.array(0, np.int8 if max_code is None else np.uint8))
        yield helper.make_node("QuantizeLinear", [source, scale_name, zero], [rounded], f"{name}_quantize")
        if max_code is not None:
            maximum = self.add(f"most_{max_code}", np.array(max_code, np.uint8))
            yield helper.make_node("Clip", [rounded, zero, maximum], [f"{name}_q"], f"{name}_clip")
        inputs = [f"{name}_q", scale_name, zero]
        yield helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], f"{name}_dequantize")

    def weights(self, name: str, layer: IntegerWeights) -> NodeProto:
        """The node that gives the values of a layer's codes as NAME_dq; its bias becomes NAME_bias."""
        codes = self.add(f"{name}_q", layer.codes)
        scale = self.add(f"{name}_scale", layer.scale)
        zero = self.add(f"{name}_zero", np.zeros(len(layer.codes), np.int8))
        self.add(f"{name}_bias", layer.bias)
        return helper.make_node("DequantizeLinear", [codes, scale, zero], [f"{name}_dq"], f"{name}_dequantize", axis=0)


class _Rewriter:
    """Goes through a float32 graph and yields the nodes of the quantized one."""

    def __init__(self, graph: GraphWalker, tensors: TensorScales, layers: Mapping[str, IntegerWeights]) -> None:
        self._graph = graph
        self._tensors = tensors
        self._layers = layers
        self.constants = _Constants()

    def nodes(self) -> Iterator[NodeProto]:
        for value in self._graph.graph.input:
            yield from self._rounded(value.name, value.name)
        for node in self._graph.nodes:
            if self._is_done_by_consumer(node):
                continue
            if self._is_done_by_rounding(node):
                yield from self._rounded(node.input[0], node.output[0])
                continue
            yield from self._converted(node)
            for name in node.output:
                yield from self._rounded(name, name)

    def _converted(self, node: NodeProto) -> Iterator[NodeProto]:
        """A copy of `node` that reads quantized tensors; the nodes that quantize a layer come before it."""
        converted = NodeProto()
        converted.CopyFrom(node)
        converted.input[:] = [self._source(name) for name in node.input]
        if (layer := self._layer(node)) is not None:
            yield from self._layer_inputs(node, converted, layer)
        yield converted

    def _layer_inputs(self, node: NodeProto, converted: NodeProto, layer: IntegerWeights) -> Iterator[NodeProto]:
        """Nodes that quantize the weights of a layer and, with `x_levels`, its input."""
        weight = node.input[1]
        if layer.x_levels is not None:
            source = converted.input[0]
            if self._comes_from_float_layer(node.input[0]):
                # Rounding the floats themselves is more exact. It also keeps the rounding behind a pooling: ONNX
                # Runtime would move a rounding with one consumer before the pooling, and pool codes.
                source = self._before_rounding(node.input[0])
            yield from self.constants.rounding(source, f"{weight}_x", layer.x_scale, layer.x_levels)
            converted.input[0] = f"{weight}_x_dq"
        yield self.constants.weights(weight, layer)
        converted.input[1:] = [f"{weight}_dq", f"{weight}_bias"]

    def _rounded(self, source: str, name: str) -> Iterator[NodeProto]:
        """Nodes that round `source` to the codes of the tensor `name`, if that is quantized."""
        if name in self._tensors.scales:
            max_code = MAX_CODE if name in self._tensors.unsigned else None
            yield from self.constants.rounding(source, name, self._tensors.scales[name], max_code)

    def _layer(self, node: NodeProto) -> IntegerWeights | None:
        return self._layers.get(node.input[1]) if node.op_type in QUANTIZED_PRODUCT_OPS else None

    def _is_done_by_rounding(self, node: NodeProto) -> bool:
        """Whether a node is a ReLU whose output is rounded to uint8, which cuts off at 0 as well."""
        return node.output[0] in self._tensors.unsigned and is_relu(self._graph, node)

    def _is_done_by_consumer(self, node: NodeProto) -> bool:
        """Whether a node is a ReLU between two convolutions, of which the second rounds its input to uint8."""
        if not is_relu(self._graph, node) or node.output[0] in self._tensors.scales:
            return False
        producer = self._graph.producer.get(node.input[0])
        consumers = self._graph.consumers_of(node.output[0])
        if producer is None or producer.op_type != "Conv" or len(consumers) != 1:
            return False
        layer = self._layer(consumers[0])
        return layer is not None and layer.x_levels is not None

    def _source(self, name: str) -> str:
        """The tensor of the quantized graph that takes the place of `name`."""
        if name in self._tensors.scales:
            return f"{name}_dq"
        node = self._graph.producer.get(name)
        return str(node.input[0]) if node is not None and self._is_done_by_consumer(node) else name

    def _before_rounding(self, name: str) -> str:
        """The tensor that is rounded to `name`: the input of a ReLU that the rounding replaces, or `name` itself."""
        node = self._graph.producer[name]
        return str(node.input[0]) if self._is_done_by_rounding(node) else name

    def _comes_from_float_layer(self, name: str) -> bool:
        """Whether a tensor is the output of a layer that is not quantized, perhaps activated and moved."""
        node = self._graph.producer.get(name)
        while node is not None and (is_relu(self._graph, node) or node.op_type in PASS_THROUGH_OPS):
            node = self._graph.producer.get(node.input[0])
        return node is not None and node.op_type in QUANTIZED_PRODUCT_OPS and node.input[1] not in self._layers
