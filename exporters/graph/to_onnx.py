"""PyTorch module -> ONNX file, and what can be read off such a file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import onnx
import torch
from torch import Tensor, nn

from exporters.errors import ExportFailed, NotOnnx
from exporters.files import write_whole
from exporters.graph.folding import fold_batch_norm
from exporters.graph.half import Half
from exporters.graph.torch_exporter import quick, quiet

OPSET = 20
EXPORTER = f"dynamo opset {OPSET}"
INPUT, OUTPUT = "images", "logits"
Precision = Literal["fp32", "fp16"]
NO_METADATA: Mapping[str, str] = MappingProxyType({})
_Type = onnx.TensorProto
WEIGHT_TYPES = (_Type.FLOAT, _Type.FLOAT16, _Type.BFLOAT16, _Type.DOUBLE)


def export_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    metadata: Mapping[str, str] = NO_METADATA,
    precision: Precision = "fp32",
) -> None:
    """Write `module` as one ONNX file with a dynamic batch, its batch normalization folded.

    Args:
        module: takes `images` (N, C, H, W) and returns one tensor, `logits`; it is left as it was.
        example: an input (N, C, H, W) of any batch size; its values do not matter.
        metadata: text that travels in the file.
        precision: of weights and sums; images and logits are float32 in any.

    Raises:
        ExportFailed: the module can't be exported.
        OSError: the file can't be written; what was there stays.
    """
    folded = fold_batch_norm(module)
    write_model(_to_model(Half(folded) if precision == "fp16" else folded, example), path, metadata)


def write_model(model: onnx.ModelProto, path: Path, metadata: Mapping[str, str] = NO_METADATA) -> None:
    """Write a model as one file, with `metadata` in place of what it had under those keys.

    Raises:
        ExportFailed: it is no valid ONNX.
        OSError: the file can't be written; what was there stays.
    """
    kept = [entry for entry in model.metadata_props if entry.key not in metadata]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    try:
        onnx.checker.check_model(model)
        content = model.SerializeToString()
    except Exception as problem:  # checker and protobuf each have errors of their own
        raise ExportFailed(f"what was made for {path.name} is no valid ONNX: {problem}") from problem
    write_whole(path, content)


def _to_model(module: nn.Module, example: Tensor) -> onnx.ModelProto:
    if len(example) == 1:  # torch would take a batch of 1 for a constant
        example = torch.cat((example, example))
    with quiet(), quick():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
        except Exception as problem:  # the exporter passes on whatever its passes raise
            raise ExportFailed(
                f"torch can't export this {type(module).__name__}: {problem}\nIts forward must be traceable "
                f"with a dynamic batch: no branches on values, no batch size written as a number"
            ) from problem
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del part.metadata_props[:]  # where in whose folders each node was traced: as large as the weights, and private
    return model


def fix_batch(model: onnx.ModelProto, batch: int) -> None:
    """From now on `model` takes exactly `batch` images."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # they still say that it is any number


def load_model(path: Path) -> onnx.ModelProto:
    """The model in a file.

    Raises:
        NotOnnx: missing, truncated, or no ONNX.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as problem:  # protobuf, checker and the file system each have errors of their own
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise NotOnnx(f"{path} is no ONNX file: {reason}. Export it again, or name another file") from None
    return model


def read_metadata(path: Path) -> dict[str, str]:
    """The text that `export_onnx` put into the file.

    Raises:
        NotOnnx: missing, truncated, or no ONNX.
    """
    return {entry.key: entry.value for entry in load_model(path).metadata_props}


def graph_hash(path: Path) -> str:
    """16 hex digits of what a file computes, the values of its weights left out.

    Operators, attributes, wiring, and the shapes and types of inputs and weights count; so do the values of
    integers, which are sizes, axes and slices. Names and metadata do not.

    Raises:
        NotOnnx: missing, truncated, or no ONNX.
    """
    model = load_model(path)
    graph = model.graph
    leaves = {value.name: _describe_input(value) for value in graph.input}
    leaves |= {tensor.name: _describe_initializer(tensor) for tensor in graph.initializer}
    numbers: dict[str, int] = {}

    def wire(name: str) -> str:
        first_time = name not in numbers
        number = numbers.setdefault(name, len(numbers))
        return f"{number} {leaves.get(name, '')}" if first_time else str(number)

    lines = sorted(f"opset {entry.domain!r} {entry.version}" for entry in model.opset_import)
    for node in graph.node:
        attributes = sorted(_describe_attribute(attribute) for attribute in node.attribute)
        wires = [[wire(name) for name in node.input], [wire(name) for name in node.output]]
        lines.append(f"{node.domain} {node.op_type} {wires} {attributes}")
    lines.append(f"outputs {[wire(value.name) for value in graph.output]}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _describe_input(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    return f"input {tensor.elem_type} {[dim.dim_value or '?' for dim in tensor.shape.dim]}"


def _describe_initializer(tensor: onnx.TensorProto) -> str:
    described = f"constant {tensor.data_type} {list(tensor.dims)}"
    if tensor.data_type in WEIGHT_TYPES:
        return described
    return f"{described} {onnx.numpy_helper.to_array(tensor).tolist()}"


def _describe_attribute(attribute: onnx.AttributeProto) -> str:
    bare = onnx.AttributeProto()
    bare.CopyFrom(attribute)
    bare.ClearField("doc_string")
    return repr(bare.SerializeToString(deterministic=True))
