"""ONNX files of any origin, looked at before they are timed."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from exporters.graph.to_onnx import load_model
from toolchain.errors import BadModel, MissingStage


@dataclass(frozen=True)
class Input:
    """An input of a file: its name, numpy's word for its type, and its sizes; an open one is its name or `?`."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


def inputs_of(path: Path) -> tuple[Input, ...]:
    """What a file takes; weights that older files list among their inputs are none.

    Raises:
        MissingStage: it is not there.
        NotOnnx: truncated, or no ONNX.
    """
    if not path.exists():
        raise MissingStage(f"{path} is not there. Type nastool export first, or name an ONNX file")
    graph = load_model(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return tuple(_described(value) for value in graph.input if value.name not in weights)


def require_batch(path: Path, batch: int) -> tuple[Input, ...]:
    """The inputs of a file that can be timed at `batch` images a call.

    Any number of inputs is well, each of 32-bit floats; the first size of each is the batch.

    Raises:
        MissingStage, NotOnnx: as `inputs_of`.
        BadModel: its batch is fixed to another number, another size is open, or it takes something else than floats.
    """
    inputs = inputs_of(path)
    if not inputs:
        raise BadModel(f"{path} takes no input, so there is nothing to time it on. Name a network")
    for input_ in inputs:
        shown = f"{input_.dtype} {list(input_.shape)}"
        if input_.dtype != "float32":
            raise BadModel(
                f"the input {input_.name} of {path} is {shown}, and only float32 can be fed here. "
                f"Export the file with inputs of float32, and cast inside"
            )
        if not input_.shape:
            raise BadModel(f"the input {input_.name} of {path} has no batch. Export it with one as its first size")
        if opened := [size for size in input_.shape[1:] if isinstance(size, str)]:
            raise BadModel(
                f"the input {input_.name} of {path} is {shown}: besides the batch, {', '.join(opened)} is open. "
                f"Export the file with fixed sizes"
            )
        if isinstance(input_.shape[0], int) and input_.shape[0] != batch:
            raise BadModel(
                f"{path} takes batches of {input_.shape[0]} only ({input_.name}: {shown}), and latencies for a batch "
                f"of {batch} were asked for. Give --batch {input_.shape[0]}, or export the file with an open batch"
            )
    return inputs


def _described(value: onnx.ValueInfoProto) -> Input:
    tensor = value.type.tensor_type
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return Input(value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, sizes)
