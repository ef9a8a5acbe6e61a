"""What ONNX Runtime makes of a file: which convolutions it really computes in integers, and which in float."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
from onnx import TensorProto

from exporters.errors import NotOnnx

CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "QLinearConv": 3, "ConvInteger": 1}  # where each has its weight
TYPES = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.INT8: "int8", TensorProto.UINT8: "int8"}


def optimized(path: Path) -> onnx.ModelProto:
    """The graph that a CPU session of ONNX Runtime runs, all its optimisations done.

    Raises:
        NotOnnx: ONNX Runtime can't load the file.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    with TemporaryDirectory(prefix="nastool-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        try:
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime's errors share no base of their own
            reason = str(problem).splitlines()[0]
            raise NotOnnx(f"onnxruntime can't run {path}: {reason}. Export it again") from None
        return onnx.load(options.optimized_model_filepath)


def convolutions(path: Path) -> dict[str, int]:
    """How many convolutions run in fp32, fp16 and int8, after fusion: `{"int8": 19, "fp32": 1}`.

    Raises:
        NotOnnx: ONNX Runtime can't load the file.
    """
    graph = optimized(path).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    found: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in CONVOLUTIONS:
            # a weight that is computed first (cast or dequantized) is float by the time it is used
            found[TYPES.get(types.get(node.input[CONVOLUTIONS[node.op_type]], TensorProto.FLOAT), "fp32")] += 1
    return dict(found)
