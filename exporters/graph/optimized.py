"""The graph that ONNX Runtime runs after its optimizations, and the precision of the convolutions in it."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
from onnx import TensorProto

from exporters.agent.session import without_integer_fusions
from exporters.errors import NotOnnx
from exporters.graph.half_scales import has_half_scales
from exporters.graph.operators import WEIGHT_INPUT
from exporters.graph.walker import graphs_of

TYPES = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.INT8: "int8", TensorProto.UINT8: "int8"}


def optimized(path: Path) -> onnx.ModelProto:
    """The graph that a CPU session of ONNX Runtime runs, after all optimizations.

    Raises:
        NotOnnx: ONNX Runtime cannot load the file.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    with TemporaryDirectory(prefix="nastool-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        try:
            if has_half_scales(onnx.load(path, load_external_data=False)):
                without_integer_fusions(options)
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime's errors have no common base
            reason = str(problem).splitlines()[0]
            raise NotOnnx(f"onnxruntime cannot run {path}: {reason}. Export it again") from None
        return onnx.load(options.optimized_model_filepath)


def convolutions(path: Path) -> dict[str, int]:
    """How many convolutions ONNX Runtime runs in fp32, fp16 and int8: `{"int8": 19, "fp32": 1}`.

    Raises:
        NotOnnx: ONNX Runtime cannot load the file.
    """
    graphs = list(graphs_of(optimized(path).graph))
    types = {tensor.name: tensor.data_type for graph in graphs for tensor in graph.initializer}
    counts: Counter[str] = Counter()
    for node in (node for graph in graphs for node in graph.node):
        if node.op_type in WEIGHT_INPUT:
            # a weight that another node computes (cast or dequantized) is float when it is used
            counts[TYPES.get(types.get(node.input[WEIGHT_INPUT[node.op_type]], TensorProto.FLOAT), "fp32")] += 1
    return dict(counts)
