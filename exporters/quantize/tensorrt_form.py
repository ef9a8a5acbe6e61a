"""An int8 file in the form that TensorRT fuses: ReLU, int8 Q and DQ without Clip, and fp16 between them.

The file for two runtimes rounds the output of a ReLU to uint8 with an integer Clip, which ONNX Runtime fuses. TensorRT
documents Clip for float types only, and TensorRT-RTX computes it in a kernel of its own. Here the same codes are int8:
a ReLU (or a float Clip, for codes of fewer bits) cuts off what the uint8 did, and 127 is the largest code of both.
Scales and weights are those of the other file. What is not in 8 bits is float16, with casts at both ends.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from exporters.errors import ExportFailed
from exporters.graph.operators import MEAN_OPS, PASS_THROUGH_OPS, QDQ_OPS
from exporters.graph.walker import GraphWalker
from exporters.quantize.weight_quantization import MAX_CODE

MIN_NORMAL = np.float32(2.0**-14)  # of float16: a scale below it would lose digits, and 0 would divide by 0


def tensorrt_form(model: onnx.ModelProto, float32_ends: bool = True) -> onnx.ModelProto:
    """A copy of an int8 `model` of `exporters.quantize` with the same codes and float16 in place of float32.

    Args:
        float32_ends: inputs and outputs stay float32; else they are float16, as between the layers of a network.

    Raises:
        ExportFailed: the model has an operator that names a float type.
    """
    graph = GraphWalker(model.graph)
    converter = _Converter(graph)
    nodes = list(converter.nodes_with_casts() if float32_ends else converter.nodes())
    used = {name for node in nodes for name in node.input}
    scales = {node.input[1] for node in nodes if node.op_type in QDQ_OPS}
    constants = {**graph.constants, **converter.constants}
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    del converted.graph.node[:], converted.graph.initializer[:], converted.graph.value_info[:]
    converted.graph.node.extend(nodes)
    converted.graph.initializer.extend(
        numpy_helper.from_array(_half(value, name in scales), name) for name, value in constants.items() if name in used
    )
    if not float32_ends:
        for value in (*converted.graph.input, *converted.graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return converted


class _Converter:
    """Goes through an int8 graph and yields the nodes of the converted one."""

    def __init__(self, graph: GraphWalker) -> None:
        self._graph = graph
        self.constants: dict[str, NDArray[np.generic]] = {"zero_s8": np.array(0, np.int8)}

    def nodes(self) -> Iterator[NodeProto]:
        """All nodes, for float16 inputs and outputs."""
        for node in self._graph.nodes:
            yield from self._converted(node)

    def nodes_with_casts(self) -> Iterator[NodeProto]:
        """All nodes, with casts behind float32 inputs and before float32 outputs."""
        inputs = {value.name: f"{value.name}_half" for value in self._graph.graph.input}
        outputs = {value.name: f"{value.name}_half" for value in self._graph.graph.output}
        for name, half in inputs.items():
            yield helper.make_node("Cast", [name], [half], f"{name}_to_half", to=TensorProto.FLOAT16)
        for converted in self.nodes():
            converted.input[:] = [inputs.get(name, name) for name in converted.input]
            converted.output[:] = [outputs.get(name, name) for name in converted.output]
            yield converted
        for name, half in outputs.items():
            yield helper.make_node("Cast", [half], [name], f"{name}_to_float", to=TensorProto.FLOAT)

    def _converted(self, node: NodeProto) -> Iterator[NodeProto]:
        if node.op_type in ("Cast", "ConstantOfShape", "Constant"):
            raise ExportFailed(
                f"the int8 file cannot be written for TensorRT: its node {node.name} ({node.op_type}) names a type. "
                f"Use --precision int8"
            )
        copy = NodeProto()
        copy.CopyFrom(node)
        if self._is_unsigned(node):
            if node.op_type == "QuantizeLinear":
                yield from self._rounded(copy)
            elif node.op_type == "DequantizeLinear":
                copy.input[:] = [self._codes(node.input[0]), node.input[1], "zero_s8"]
                yield copy
            return  # an integer Clip is replaced by what `_rounded` writes
        yield copy

    def _rounded(self, node: NodeProto) -> Iterator[NodeProto]:
        """Cut off below 0 and above the largest code in floats, then round to int8."""
        source, scale = node.input[0], node.input[1]
        most = self._max_code(node)
        if most < MAX_CODE:
            bounds = {f"{node.output[0]}_least": np.float32(0), f"{node.output[0]}_most": most * self._scale(scale)}
            self.constants |= {name: np.array(value, np.float32) for name, value in bounds.items()}
            yield helper.make_node("Clip", [source, *bounds], [f"{node.output[0]}_cut"], f"{node.name}_cut")
            source = f"{node.output[0]}_cut"
        elif not self._is_non_negative(source):
            yield helper.make_node("Relu", [source], [f"{node.output[0]}_cut"], f"{node.name}_relu")
            source = f"{node.output[0]}_cut"
        node.input[:] = [source, scale, "zero_s8"]
        yield node

    def _is_unsigned(self, node: NodeProto) -> bool:
        if node.op_type == "Clip":
            value = self._graph.constants.get(node.input[1]) if len(node.input) > 1 else None
            return value is not None and value.dtype == np.uint8
        return node.op_type in QDQ_OPS and (self._graph.constants[node.input[2]].dtype == np.uint8)

    def _codes(self, name: str) -> str:
        """The output of the QuantizeLinear that the codes `name` come from."""
        node = self._graph.producer[name]
        return str(node.input[0]) if node.op_type == "Clip" else name

    def _max_code(self, node: NodeProto) -> int:
        clip = self._graph.consumers_of(node.output[0])[0]
        return int(self._graph.constants[clip.input[2]]) if clip.op_type == "Clip" else MAX_CODE

    def _scale(self, name: str) -> np.float32:
        return np.float32(_half(self._graph.constants[name], True))

    def _is_non_negative(self, name: str) -> bool:
        node = self._graph.producer.get(name)
        if node is None:
            return False
        if node.op_type == "Relu" or self._is_unsigned(node):
            return True
        moves = node.op_type in PASS_THROUGH_OPS or node.op_type in MEAN_OPS
        return moves and all(self._is_non_negative(x) for x in node.input if x not in self._graph.constants)


def _half(value: NDArray[np.generic], is_scale: bool) -> NDArray[np.generic]:
    """Floats as float16; a scale is at least the smallest number with all digits."""
    if value.dtype != np.float32:
        return value
    return (np.maximum(value, MIN_NORMAL) if is_scale else value).astype(np.float16)
