"""The kernels that a runtime makes of a graph, by the fusions that all of them know, and what each moves and computes.

A convolution or matrix product takes in the element-wise nodes that follow it: bias, activation, shortcut add
(batch normalization is folded before a file is written). What is left moves data, and views cost nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper

from exporters.errors import NotOnnx

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ELEMENTWISE = frozenset(
    {"Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Gelu", "Elu", "Erf"}
    | {"Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Sqrt", "BatchNormalization", "Cast"}
)
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Constant"})


@dataclass(frozen=True)
class Kernel:
    """One launch: the node that it is named for, floating-point operations (2 a multiply-add), bytes moved."""

    node: str
    op: str
    flops: int
    n_bytes: int


def kernels_of(model: onnx.ModelProto, batch: int) -> tuple[Kernel, ...]:
    """The kernels of `model` on `batch` images, in order.

    A kernel's bytes are its input, output and weights, once each; the second operand of a fused add is taken to
    be in the cache.

    Raises:
        NotOnnx: a tensor's shape can't be inferred.
    """
    tensors = _Tensors.of(model, batch)
    consumers = Counter(name for node in model.graph.node for name in node.input)
    consumers.update(value.name for value in model.graph.output)
    open_ends: dict[str, int] = {}  # tensor -> the kernel that made it, while an element-wise node can join it
    kernels: list[Kernel] = []
    for node in model.graph.node:
        if node.op_type in VIEWS or not tensors.computed_from(node):
            continue
        joined = next((open_ends[name] for name in node.input if name in open_ends), None)
        if node.op_type in ELEMENTWISE and joined is not None:
            number = joined
        else:
            number = len(kernels)
            kernels.append(_kernel(node, tensors))
        (first, *_) = node.output
        if consumers[first] == 1 and (node.op_type in PRODUCTS or joined is not None):
            open_ends[first] = number
    return tuple(kernels)


def _kernel(node: onnx.NodeProto, tensors: "_Tensors") -> Kernel:
    out = sum(tensors.n_bytes(name) for name in node.output if name)
    if node.op_type in ("Slice", "Split", "Gather"):  # they read what they keep
        return Kernel(node.name, node.op_type, 0, 2 * out)
    moved = sum(tensors.n_bytes(name) for name in dict.fromkeys(node.input) if name)
    return Kernel(node.name, node.op_type, _flops(node, tensors), moved + out)


def _flops(node: onnx.NodeProto, tensors: "_Tensors") -> int:
    if node.op_type not in PRODUCTS:
        return 0
    out, weight = tensors.shape(node.output[0]), tensors.shape(node.input[1])
    if node.op_type == "Conv":  # each output value sums over one filter
        return 2 * prod(out) * prod(weight[1:])
    if node.op_type == "ConvTranspose":  # each input value meets every filter once
        return 2 * prod(tensors.shape(node.input[0])) * prod(weight[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 2 * prod(out) * (weight[-1] if transposed else weight[-2])


@dataclass(frozen=True)
class _Tensors:
    """Shapes and element types by name, at one batch size."""

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, int]
    weights: frozenset[str]
    where: str

    @classmethod
    def of(cls, model: onnx.ModelProto, batch: int) -> "_Tensors":
        fixed = onnx.ModelProto()
        fixed.CopyFrom(model)
        weights = frozenset(tensor.name for tensor in fixed.graph.initializer)
        for value in fixed.graph.input:
            if value.name not in weights and value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_value = batch
        # what the exporter noted has the batch as a name, and inference would keep that
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
                f"the shape of {name} in {self.where} can't be inferred, so its kernels can't be counted. "
                f"Export the file again, with nothing but the batch left open"
            )
        return self.shapes[name]

    def n_bytes(self, name: str) -> int:
        itemsize = int(helper.tensor_dtype_to_np_dtype(self.types[name]).itemsize)
        return prod(self.shape(name)) * itemsize

    def computed_from(self, node: onnx.NodeProto) -> bool:
        """Whether a node works on images, and not on sizes and weights that are known beforehand."""
        return any(name not in self.weights and self.types.get(name) in _FLOATS for name in node.input if name)


_FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
    | {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
)
