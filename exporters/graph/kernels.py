"""The kernels that runtimes make of a graph, with the operations and the bytes of each.

Every runtime fuses a convolution or matrix product with the element-wise nodes that follow it: bias, activation,
shortcut addition (batch normalization is folded before a file is written). Other nodes move data; views cost nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper

from exporters.errors import NotOnnx
from exporters.graph.operators import CONTROL_FLOW_OPS, ELEMENTWISE_OPS, PRODUCT_OPS, SELECTION_OPS, VIEW_OPS
from exporters.graph.walker import int_attribute, without_functions


@dataclass(frozen=True)
class Kernel:
    """One launch, named for its first node."""

    node: str
    op: str
    flops: int  # floating-point operations, two for each multiply-add
    n_bytes: int  # moved


def kernels_of(model: onnx.ModelProto, batch: int) -> tuple[Kernel, ...]:
    """The kernels of `model` on `batch` images, in order.

    The bytes of a kernel are its input, output and weights, once each; the second operand of a fused addition is
    assumed to be in the cache.

    Raises:
        NotOnnx: the shape of a tensor cannot be inferred, or the model has branches or loops.
    """
    model = without_functions(model)
    _require_straight_line(model)
    tensors = _Tensors.of(model, batch)
    consumers = Counter(name for node in model.graph.node for name in node.input)
    consumers.update(value.name for value in model.graph.output)
    fusible: dict[str, int] = {}  # tensor -> the kernel that produces it, as long as an element-wise node can join it
    kernels: list[Kernel] = []
    for node in model.graph.node:
        if node.op_type in VIEW_OPS or not tensors.depends_on_images(node):
            continue
        joined = next((fusible[name] for name in node.input if name in fusible), None)
        if node.op_type in ELEMENTWISE_OPS and joined is not None:
            number = joined
        else:
            number = len(kernels)
            kernels.append(_kernel(node, tensors))
        (first, *_) = node.output
        if consumers[first] == 1 and (node.op_type in PRODUCT_OPS or joined is not None):
            fusible[first] = number
    return tuple(kernels)


def _kernel(node: onnx.NodeProto, tensors: "_Tensors") -> Kernel:
    written = sum(tensors.n_bytes(name) for name in node.output if name)
    if node.op_type in SELECTION_OPS:
        return Kernel(node.name, node.op_type, 0, 2 * written)
    read = sum(tensors.n_bytes(name) for name in dict.fromkeys(node.input) if name)
    return Kernel(node.name, node.op_type, _flops(node, tensors), read + written)


def _require_straight_line(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type in CONTROL_FLOW_OPS:
            raise NotOnnx(
                f"the kernels of {model.graph.name} cannot be counted: its node {node.name or node.op_type} "
                f"({node.op_type}) runs other graphs. Export the network without branches and loops"
            )


def _flops(node: onnx.NodeProto, tensors: "_Tensors") -> int:
    if node.op_type not in PRODUCT_OPS:
        return 0
    out, weight = tensors.shape(node.output[0]), tensors.shape(node.input[1])
    if node.op_type == "Conv":  # each output value sums over one filter
        return 2 * prod(out) * prod(weight[1:])
    if node.op_type == "ConvTranspose":  # each input value is multiplied with every filter once
        return 2 * prod(tensors.shape(node.input[0])) * prod(weight[1:])
    transposed = int_attribute(node, "transB", 0)
    return 2 * prod(out) * (weight[-1] if transposed else weight[-2])


@dataclass(frozen=True)
class _Tensors:
    """Shapes and element types by name, at one batch size."""

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, int]
    weights: frozenset[str]
    graph_name: str

    @classmethod
    def of(cls, model: onnx.ModelProto, batch: int) -> "_Tensors":
        fixed = onnx.ModelProto()
        fixed.CopyFrom(model)
        weights = frozenset(tensor.name for tensor in fixed.graph.initializer)
        for value in fixed.graph.input:
            if value.name not in weights and value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_value = batch
        # the exporter's shapes have the batch as a name, and inference would keep it
        del fixed.graph.value_info[:]
        for value in fixed.graph.output:
            value.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
        shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
        types = {tensor.name: tensor.data_type for tensor in inferred.initializer}
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            tensor = value.type.tensor_type
            types[value.name] = tensor.elem_type
            if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
                shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
        return cls(shapes, types, weights, model.graph.name)

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.shapes:
            raise NotOnnx(
                f"the shape of {name} in {self.graph_name} cannot be inferred, so its kernels cannot be counted. "
                f"Export the file again with only the batch as an open size"
            )
        return self.shapes[name]

    def n_bytes(self, name: str) -> int:
        itemsize = int(helper.tensor_dtype_to_np_dtype(self.types[name]).itemsize)
        return prod(self.shape(name)) * itemsize

    def depends_on_images(self, node: onnx.NodeProto) -> bool:
        """Whether a node computes from images, not only from sizes and weights that are constant."""
        return any(name not in self.weights and self.types.get(name) in _FLOATS for name in node.input if name)


_FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
    | {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
)
