"""ONNX files of any origin, looked at before they are timed."""

from pathlib import Path

from exporters.graph.inputs import Input
from exporters.graph.inputs import inputs_of as model_inputs
from exporters.graph.onnx_file import load_model
from toolchain.errors import BadModel, MissingStage


def inputs_of(path: Path) -> tuple[Input, ...]:
    """The inputs of the model in a file.

    Raises:
        MissingStage: it is not there.
        NotOnnx: truncated, or not an ONNX model.
    """
    if not path.exists():
        raise MissingStage(f"{path} is not there. Type nastool export first, or name an ONNX file")
    return model_inputs(load_model(path))


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
        if not input_.is_tensor:
            raise BadModel(
                f"the input {input_.name} of {path} is a {input_.dtype}, and only a tensor of float32 can be fed here. "
                f"Export the network with tensors as its inputs"
            )
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
