"""What a file computes in. Precision lives in the file: no flag of a runtime makes fp32 of fp16, or int8 of fp32."""

from pathlib import Path

import onnx
from onnx import TensorProto

from exporters.errors import WrongPrecision
from exporters.graph.to_onnx import load_model

MULTIPLY = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # where a network's time goes
INTEGER = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
FLOATS = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}
EIGHT_BITS = (TensorProto.INT8, TensorProto.UINT8)


def precision_of(path: Path) -> str:
    """fp32, fp16 or int8 if all multiplications of the file are of that kind, else "mixed".

    A multiplication is int8 where both of its operands are dequantized right before it, which is how runtimes
    know that they may multiply the 8-bit values themselves (the QDQ format). Weights that alone are quantized are
    multiplied as floats.

    Raises:
        NotOnnx: the file can't be read.
    """
    graph = onnx.shape_inference.infer_shapes(load_model(path)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    from_8_bits = {
        node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and _is_8_bits(node, types)
    }
    found = set()
    for node in graph.node:
        if node.op_type in INTEGER or (node.op_type in MULTIPLY and set(node.input[:2]) <= from_8_bits):
            found.add("int8")
        elif node.op_type in MULTIPLY:
            found.add(FLOATS.get(types.get(node.input[0], TensorProto.UNDEFINED), "mixed"))
    if not found:  # nothing multiplies: what comes in is what is computed in
        found = {FLOATS.get(types[graph.input[0].name], "mixed")} if graph.input else {"fp32"}
    return found.pop() if len(found) == 1 else "mixed"


def check_precision(path: Path, wanted: str) -> None:
    """Hold a file to what is said of it.

    Raises:
        WrongPrecision: it computes in another precision.
        NotOnnx: the file can't be read.
    """
    if (found := precision_of(path)) != wanted:
        raise WrongPrecision(
            f"{path} computes in {found}, not in {wanted}, and a runtime doesn't change that. "
            f"Ask for {found}, or export the file in {wanted}"
        )


def _is_8_bits(node: onnx.NodeProto, types: dict[str, int]) -> bool:
    """Whether what it dequantizes has 8 bits."""
    return types.get(node.input[0]) in EIGHT_BITS
