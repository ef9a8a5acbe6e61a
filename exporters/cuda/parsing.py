"""ONNX file -> network of TensorRT."""

from types import ModuleType
from typing import Any

from exporters.cuda.features import TensorrtFeatures
from exporters.cuda.trt_logger import logger_of
from exporters.errors import EngineFailed, NotOnnx
from exporters.graph.model import Model
from exporters.graph.opset import in_opset, opset_of


def parse_onnx(trt: ModuleType, network: Any, model: Model, features: TensorrtFeatures) -> None:
    """Parse a file into `network`, in an opset that this version reads.

    Raises:
        NotOnnx: the file is missing or cannot be read.
        EngineFailed: a node is not supported; the message names it.
    """
    log, path = logger_of(trt), model.path
    if not path.exists():
        raise NotOnnx(f"{path} is not there. Export it first, or name another file")
    parser = trt.OnnxParser(network, log)
    if features.opset is not None and opset_of(model.proto) > features.opset:
        parsed = parser.parse(in_opset(model.proto, features.opset, str(path)).SerializeToString())
    else:
        parsed = parser.parse_from_file(str(path))
    if parsed and network.num_outputs:
        return
    if parser.num_errors:
        error = parser.get_error(0)
        if features.names_nodes and error.node_operator():
            raise EngineFailed(
                f"{trt.__name__} does not support the node {error.node_name()} ({error.node_operator()}) "
                f"of {path.name}: {error.desc()}. "
                f"Replace the operator in the module, or run the file with --backend onnxruntime"
            )
        reason = error.desc()
    else:
        reason = "; ".join(log.errors) or "it has no outputs"
    raise NotOnnx(f"{trt.__name__} cannot read {path}: {reason}. Export it again, or name another file")
