"""PyTorch module -> ONNX file, and what can be read off such a file."""

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from exporters.errors import ExportFailed, NotOnnx
from exporters.folding import fold_batch_norm

OPSET = 20
EXPORTER = f"dynamo opset {OPSET}"
INPUT, OUTPUT = "images", "logits"


def export_onnx(module: nn.Module, example: Tensor, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write `module` as one ONNX file with a dynamic batch, its batch normalisation folded.

    Args:
        example: an input (N, C, H, W) with N of at least 2 (torch takes a batch of 1 for a constant).
        metadata: text that travels in the file.

    Raises:
        ExportFailed: the module can't be exported.
        OSError: the file can't be written; what was there stays.
    """
    folded = fold_batch_norm(module)
    with _quiet():
        try:
            program = torch.onnx.export(
                folded,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
        except Exception as problem:  # the exporter passes on whatever its passes raise
            raise ExportFailed(f"torch can't export this module: {problem}") from problem
    assert program is not None
    model = program.model_proto
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(model.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


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
    """16 hex digits of what a file computes, its weights' values left out.

    Operators, attributes, wiring and the shapes and types of weights count; names do not.

    Raises:
        NotOnnx: missing, truncated, or no ONNX.
    """
    graph = load_model(path).graph
    numbers: dict[str, int] = {}
    digest = hashlib.sha256()
    for value in graph.input:
        digest.update(f"{_number(value.name, numbers)} {value.type.SerializeToString(deterministic=True)!r}".encode())
    for weight in graph.initializer:
        digest.update(f"{_number(weight.name, numbers)} {weight.data_type} {list(weight.dims)}".encode())
    for node in graph.node:
        wires = [_number(name, numbers) for name in (*node.input, "->", *node.output)]
        attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
        digest.update(f"{node.domain} {node.op_type} {wires} {attributes!r}".encode())
    return digest.hexdigest()[:16]


def _number(name: str, numbers: dict[str, int]) -> int:
    return numbers.setdefault(name, len(numbers))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its progress on stdout, and warns of its own deprecations."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
