"""Checks that ONNX Runtime computes the integers that a quantized file states, layer by layer.

Each convolution and sum is extracted with the roundings of its inputs and its output, and run in ONNX Runtime, which
fuses this piece to one integer kernel as it does in the whole file. Its output codes are compared with the codes that
are computed here, in integers, from its input codes. So an error in one layer is neither hidden nor amplified by the
next: in a network of few bits one wrong code changes many further on.

The codes cannot be read from the whole file: ONNX Runtime does not fuse a tensor that is an output, so another kernel
would be checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch.nn import functional as F

from exporters.graph.operators import ROUNDING_OPS
from exporters.graph.walker import GraphWalker, int_attribute
from exporters.quantize.tensor_values import TensorValues, Values, session_of

CODE_RANGES = {np.dtype(np.uint8): (0, 255), np.dtype(np.int8): (-128, 127)}

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class LayerCheck:
    """The result for one layer.

    Args:
        name: the second input of the node: the dequantized weight of a convolution.
        op: Conv or Add.
        wrong: the number of output codes that differ from the expected ones.
        codes: the number of output codes.
        max_error: the largest difference of a code.
    """

    name: str
    op: str
    wrong: int
    codes: int
    max_error: int


@dataclass(frozen=True)
class _Rounding:
    """QuantizeLinear, an optional Clip, and DequantizeLinear."""

    nodes: tuple[NodeProto, ...]
    scale: np.float32
    min_code: int
    max_code: int

    @property
    def source(self) -> str:
        """The tensor that is rounded."""
        return str(self.nodes[0].input[0])

    def codes(self, values: NDArray[np.float32]) -> Codes:
        """The codes that values are rounded to."""
        return self.clipped(values / self.scale)

    def clipped(self, exact_codes: NDArray[np.float32]) -> Codes:
        """Codes before rounding, rounded and clipped."""
        codes: Codes = np.rint(exact_codes).clip(self.min_code, self.max_code).astype(np.int64)
        return codes


@dataclass(frozen=True)
class _Piece:
    """A convolution or a sum with the roundings of its inputs and of its output."""

    node: NodeProto
    inputs: tuple[_Rounding, ...]
    output: _Rounding

    @property
    def sources(self) -> list[str]:
        """The tensors that the piece starts from, each once."""
        return list(dict.fromkeys(rounding.source for rounding in self.inputs))


def check_integer_layers(model: onnx.ModelProto, images: NDArray[np.float32]) -> tuple[LayerCheck, ...]:
    """Check each convolution and sum between codes, on the values that `images` (N, C, H, W) give at its inputs."""
    graph = GraphWalker(model.graph)
    pieces = list(_pieces(graph))
    if not pieces:
        return ()
    values = TensorValues(model, sorted({name for piece in pieces for name in piece.sources})).of(images)
    return tuple(_check(graph, piece, _extracted(model, graph, piece), values) for piece in pieces)


def extracted_layers(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The models that `check_integer_layers` runs, one for each layer."""
    graph = GraphWalker(model.graph)
    return (_extracted(model, graph, piece) for piece in _pieces(graph))


def _pieces(graph: GraphWalker) -> Iterator[_Piece]:
    for node in graph.nodes:
        if node.op_type not in ("Conv", "Add"):
            continue
        inputs = [_rounding_before(graph, name) for name in node.input[: 1 if node.op_type == "Conv" else 2]]
        output = _rounding_after(graph, node.output[0])
        if output is not None and all(inputs):
            yield _Piece(node, tuple(rounding for rounding in inputs if rounding is not None), output)


def _rounding_before(graph: GraphWalker, name: str) -> _Rounding | None:
    """The rounding whose output is `name`."""
    nodes: list[NodeProto] = []
    node = graph.producer.get(name)
    for op in reversed(ROUNDING_OPS):
        if node is not None and node.op_type == op:
            nodes.insert(0, node)
            node = graph.producer.get(node.input[0])
    return _rounding(graph, nodes)


def _rounding_after(graph: GraphWalker, name: str) -> _Rounding | None:
    """The rounding of `name`, if all consumers read the rounded values."""
    nodes: list[NodeProto] = []
    consumers = graph.consumers_of(name)
    for op in ROUNDING_OPS:
        if len(consumers) == 1 and consumers[0].op_type == op:
            nodes.append(consumers[0])
            consumers = graph.consumers_of(consumers[0].output[0])
    return _rounding(graph, nodes)


def _rounding(graph: GraphWalker, nodes: Sequence[NodeProto]) -> _Rounding | None:
    if not nodes or nodes[0].op_type != "QuantizeLinear" or nodes[-1].op_type != "DequantizeLinear":
        return None
    min_code, max_code = CODE_RANGES[graph.constants[nodes[0].input[2]].dtype]
    if len(nodes) == 3:
        min_code, max_code = (int(graph.constants[name]) for name in nodes[1].input[1:])
    return _Rounding(tuple(nodes), np.float32(graph.constants[nodes[0].input[1]]), min_code, max_code)


def _extracted(model: onnx.ModelProto, graph: GraphWalker, piece: _Piece) -> onnx.ModelProto:
    """The piece as a model: float32 in, float32 out."""
    weights = [graph.producer[name] for name in piece.node.input[1:2] if piece.node.op_type == "Conv"]
    nodes = [*(node for rounding in piece.inputs for node in rounding.nodes), *weights, piece.node]
    nodes += piece.output.nodes
    used = {name for node in nodes for name in node.input}
    extracted = helper.make_graph(
        nodes,
        "piece",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in piece.sources],
        [helper.make_tensor_value_info(piece.output.nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items() if name in used],
    )
    return helper.make_model(extracted, opset_imports=model.opset_import, ir_version=model.ir_version)


def _check(graph: GraphWalker, piece: _Piece, extracted: onnx.ModelProto, values: Values) -> LayerCheck:
    (output,) = session_of(extracted).run(None, {name: values[name] for name in piece.sources})
    inputs = [rounding.codes(values[rounding.source]) for rounding in piece.inputs]
    exact = _convolution(graph, piece, *inputs) if piece.node.op_type == "Conv" else _sum(piece, *inputs)
    errors = np.abs(piece.output.clipped(exact) - np.rint(output / piece.output.scale).astype(np.int64))
    return LayerCheck(
        str(piece.node.input[1]), str(piece.node.op_type), int((errors > 0).sum()), errors.size, int(errors.max())
    )


def _convolution(graph: GraphWalker, piece: _Piece, x: Codes) -> NDArray[np.float32]:
    """Output codes before rounding: integer sums and one float32 multiplication, as QLinearConv is defined."""
    node = piece.node
    weight = graph.producer[node.input[1]]
    codes, w_scale = graph.constants[weight.input[0]], graph.constants[weight.input[1]]
    step = piece.inputs[0].scale * w_scale
    pads, strides, dilations = (_pair(node, name, n) for name, n in (("pads", 0), ("strides", 1), ("dilations", 1)))
    x_codes, w_codes = (torch.from_numpy(array.astype(np.float64)) for array in (x, codes))
    sums = F.conv2d(x_codes, w_codes, None, strides, pads, dilations, int_attribute(node, "group", 1)).numpy()
    if len(node.input) > 2:
        sums += np.rint(graph.constants[node.input[2]] / step).reshape(-1, 1, 1)
    factor = (step / piece.output.scale).astype(np.float32)
    exact: NDArray[np.float32] = sums.astype(np.float32) * factor.reshape(-1, 1, 1)
    return exact


def _sum(piece: _Piece, a: Codes, b: Codes) -> NDArray[np.float32]:
    """Output codes before rounding."""
    terms = [codes.astype(np.float32) * r.scale for codes, r in zip((a, b), piece.inputs, strict=True)]
    return np.asarray((terms[0] + terms[1]) / piece.output.scale, np.float32)


def _pair(node: NodeProto, name: str, default: int) -> tuple[int, int]:
    """An attribute for height and width (padding is the same on both sides), or the default for both."""
    for attribute in node.attribute:
        if attribute.name == name:
            return int(attribute.ints[0]), int(attribute.ints[1])
    return default, default
