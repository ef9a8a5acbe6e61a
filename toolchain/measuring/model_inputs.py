"""Checks of ONNX files of any origin before they are timed."""

from exporters.graph.inputs import Input
from exporters.graph.model import Model
from toolchain.errors import BadModel, MissingStage


def require_batch(model: Model, batch: int) -> tuple[Input, ...]:
    """The inputs of a model that can be timed at `batch` images per call.

    It may have several inputs, each of float32 with the batch as its first size.

    Raises:
        MissingStage: the file does not exist.
        NotOnnx: it cannot be read.
        BadModel: the batch is fixed to another number, another size is open, or an input is not of float32.
    """
    path = model.path
    if not path.exists():
        raise MissingStage(f"{path} does not exist. Run nastool export first, or name an ONNX file")
    inputs = model.inputs
    if not inputs:
        raise BadModel(f"{path} takes no input, so it cannot be timed. Name a network")
    for input_ in inputs:
        if not input_.is_tensor:
            raise BadModel(
                f"the input {input_.name} of {path} has the type {input_.dtype}; only a tensor of float32 can be fed "
                f"here. Export the network with tensors as its inputs"
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
        if input_.shape[0] == 0:
            raise BadModel(
                f"the input {input_.name} of {path} is {shown}, a batch of none. Export it with an open batch"
            )
        if isinstance(input_.shape[0], int) and input_.shape[0] != batch:
            raise BadModel(
                f"{path} takes batches of {input_.shape[0]} only ({input_.name}: {shown}), and latencies for a batch "
                f"of {batch} were asked for. Give --batch {input_.shape[0]}, or export the file with an open batch"
            )
    return inputs
