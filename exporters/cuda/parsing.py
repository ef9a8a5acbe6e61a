"""ONNX file -> network of TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from exporters.cuda.features import TensorrtFeatures
from exporters.cuda.trt_logger import logger_of
from exporters.errors import EngineFailed, NotOnnx


@dataclass(frozen=True)
class OnnxSource:
    """An ONNX file as TensorRT parses it, in an opset that it reads.

    Args:
        path: the file on this machine.
        name: the file that the user gave, in messages.
        precision: that it computes in: fp32, fp16, int8 or mixed.
        content: parsed instead of the file, if it was converted to an earlier opset; may be empty.
    """

    path: Path
    name: str
    precision: str
    content: bytes = b""

    @property
    def short_name(self) -> str:
        """`name` without its folder."""
        return Path(self.name).name


def parse_onnx(trt: ModuleType, network: Any, source: OnnxSource, features: TensorrtFeatures) -> None:
    """Parse a file into `network`.

    Raises:
        NotOnnx: the file is missing or cannot be read.
        EngineFailed: a node is not supported; the message names it.
    """
    log = logger_of(trt)
    if not source.path.exists():
        raise NotOnnx(f"{source.name} does not exist. Export it first, or name another file")
    parser = trt.OnnxParser(network, log)
    parsed = parser.parse(source.content) if source.content else parser.parse_from_file(str(source.path))
    if parsed and network.num_outputs:
        return
    if parser.num_errors:
        error = parser.get_error(0)
        if features.names_nodes and error.node_operator():
            raise EngineFailed(
                f"{trt.__name__} does not support the node {error.node_name()} ({error.node_operator()}) "
                f"of {source.short_name}: {error.desc()}. "
                f"Replace the operator in the module, or run the file with --backend onnxruntime"
            )
        reason = error.desc()
    else:
        reason = "; ".join(log.errors) or "it has no outputs"
    raise NotOnnx(f"{trt.__name__} cannot read {source.name}: {reason}. Export it again, or name another file")
