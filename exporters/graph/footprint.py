"""How much device memory a loaded model takes, estimated from its graph."""

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import helper

CODE_BYTES = 16 * 2**20  # kernels and tables of an engine, whatever its size
WORKSPACE = 2  # runtimes keep inputs and outputs of a layer, and about as much again for the fastest algorithms


@dataclass(frozen=True)
class Footprint:
    """The memory of a loaded model in bytes: a fixed part, and one for each image of the batch."""

    fixed_bytes: int
    image_bytes: int

    def at(self, batch: int) -> int:
        """Bytes at a batch size."""
        return self.fixed_bytes + batch * self.image_bytes


def footprint_of(model: onnx.ModelProto) -> Footprint:
    """Weights, inputs and outputs of the model, and those of its largest layer with its workspace.

    A tensor of unknown shape counts as empty, so this is an estimate from below for graphs with such tensors.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    stored = {tensor.name for tensor in graph.initializer}
    sizes = {value.name: _image_bytes(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    layers = (sum(sizes.get(name, 0) for name in {*node.input, *node.output} - stored) for node in graph.node)
    ends = sum(sizes[value.name] for value in (*graph.input, *graph.output) if value.name not in stored)
    weights = sum(prod(tensor.dims) * _item_bytes(tensor.data_type) for tensor in graph.initializer)
    return Footprint(CODE_BYTES + weights, ends + WORKSPACE * max(layers, default=0))


def _image_bytes(value: onnx.ValueInfoProto) -> int:
    """Bytes of a tensor for one image: its first size is the batch."""
    tensor = value.type.tensor_type
    return int(prod(dim.dim_value for dim in tensor.shape.dim[1:])) * _item_bytes(tensor.elem_type)


def _item_bytes(elem_type: int) -> int:
    if elem_type == onnx.TensorProto.UNDEFINED:
        return 0
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(elem_type)).itemsize)
