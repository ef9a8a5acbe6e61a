"""The inputs of an ONNX model."""

from dataclasses import dataclass

import onnx

TENSOR = "tensor_type"


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Args:
        dtype: numpy's name of the element type; `sequence`, `map`, `optional` or `sparse tensor` if it is no tensor.
        shape: the sizes; an open size is its name or `?`. Empty if the model does not state a shape.
        is_tensor: whether it is one dense tensor.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    is_tensor: bool = True


def inputs_of(model: onnx.ModelProto) -> tuple[Input, ...]:
    """The inputs of `model`, without the weights that older files list among them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(_describe(value) for value in model.graph.input if value.name not in weights)


def _describe(value: onnx.ValueInfoProto) -> Input:
    variant = value.type.WhichOneof("value")
    if variant != TENSOR:
        words = str(variant).removesuffix("_type").replace("_", " ") if variant else "value of an unknown type"
        return Input(value.name, words, (), is_tensor=False)
    tensor = value.type.tensor_type
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return Input(value.name, _dtype_name(tensor.elem_type), sizes)


def _dtype_name(elem_type: int) -> str:
    if elem_type == onnx.TensorProto.UNDEFINED:
        return "undefined"
    return str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name)
