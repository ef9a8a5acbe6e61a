"""Quantized files with float16 scales, which ONNX Runtime runs only without its integer fusions."""

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto

from exporters.graph.operators import QDQ_OPS

if TYPE_CHECKING:
    import onnxruntime as ort  # loaded only to compute something


def has_half_scales(model: onnx.ModelProto) -> bool:
    """Whether a QuantizeLinear or DequantizeLinear has a float16 scale."""
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    return any(node.op_type in QDQ_OPS and node.input[1] in halves for node in model.graph.node)


def without_integer_fusions(options: "ort.SessionOptions") -> None:
    """Compute Q and DQ as they are written. ONNX Runtime 1.31 fuses QLinearConcat with scales that it then refuses."""
    options.add_session_config_entry("session.disable_quant_qdq", "1")
