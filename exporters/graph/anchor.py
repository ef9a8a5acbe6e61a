"""The anchor network, which is timed in every round: if its latency drifts, the speed of the machine does.

It is written node by node, not exported from a module, so that no version of torch can change it. It has the
operations that take time in measured networks: a plain convolution, depthwise and 1 x 1 convolutions, and activations
that do not fit into a small cache.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exporters.backends import CompileSpec
from exporters.files import write_whole

KEY = "anchor"  # in the same mapping as the keys of the measured files
BATCH = 8
SIZE_PX = 32
CHANNELS = 64
REPEATS = 4  # pairs of a depthwise and a 1 x 1 convolution
OPSET, IR_VERSION = 17, 8  # read by all runtimes of recent years


def spec(threads: int) -> CompileSpec:
    """How the anchor network runs: in fp32, on the batch that it was written for."""
    return CompileSpec(BATCH, threads)


def write_anchor(path: Path) -> None:
    """Write the network; the bytes are always the same.

    Raises:
        OSError: the file cannot be written.
    """
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def filters(name: str, *shape: int) -> str:
        fan_in = np.prod(shape[1:])
        values: NDArray[np.float64] = rng.standard_normal(shape) * np.sqrt(2 / fan_in)  # activations keep their size
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(node: onnx.NodeProto) -> str:
        nodes.append(node)
        return str(node.output[0])

    def conv(source: str, name: str, kernel: int, group: int = 1, c_in: int = CHANNELS) -> str:
        weight = filters(f"{name}_weight", CHANNELS, c_in // group, kernel, kernel)
        pads = [kernel // 2] * 4
        return add(helper.make_node("Conv", [source, weight], [name], pads=pads, group=group))

    at = add(helper.make_node("Relu", [conv("images", "stem", 3, c_in=3)], ["stem_relu"]))
    for number in range(REPEATS):
        at = conv(at, f"depthwise{number}", 3, group=CHANNELS)
        at = conv(at, f"pointwise{number}", 1)
        at = add(helper.make_node("Relu", [at], [f"relu{number}"]))
    at = add(helper.make_node("GlobalAveragePool", [at], ["pool"]))
    at = add(helper.make_node("Flatten", [at], ["flat"]))
    add(helper.make_node("Gemm", [at, filters("logits_weight", 10, CHANNELS)], ["logits"], transB=1))

    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [BATCH, 3, SIZE_PX, SIZE_PX])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [BATCH, 10])
    graph = helper.make_graph(nodes, KEY, [images], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    write_whole(path, model.SerializeToString(deterministic=True))
