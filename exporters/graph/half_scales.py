"""Quantized files with float16 scales, which ONNX Runtime runs only without its integer fusions."""

import onnx
from onnx import TensorProto

from exporters.graph.operators import QDQ_OPS


def has_half_scales(model: onnx.ModelProto) -> bool:
    """Whether a QuantizeLinear or DequantizeLinear has a float16 scale."""
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    return any(node.op_type in QDQ_OPS and node.input[1] in halves for node in model.graph.node)
