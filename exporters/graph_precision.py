"""What a file computes in: on strongly typed runtimes, that is what is written in it."""

import onnx

from exporters.errors import BackendUnavailable

_Type = onnx.TensorProto
HOW = {
    "fp32": "Export it without --precision",
    "fp16": "Export it with --precision fp16",
    "int8": "Export it with --precision int8",
}


def found_precision(model: onnx.ModelProto) -> str:
    """`int8`, `fp16`, `bf16` or `fp32`: that of the inputs of convolutions and matrix products, the least of them."""
    producers = {name: node for node in model.graph.node for name in node.output}
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found = set()
    for node in model.graph.node:
        if node.op_type in ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"):
            found.add("int8")
        elif node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            sources = [producers.get(name) for name in node.input[:2]]
            if all(source is not None and source.op_type == "DequantizeLinear" for source in sources):
                found.add("int8")
            else:
                weights = {types.get(name) for name in node.input}
                found.add("fp16" if _Type.FLOAT16 in weights else "bf16" if _Type.BFLOAT16 in weights else "fp32")
    if not found:  # a pool, say; then the images tell
        kinds = {value.type.tensor_type.elem_type for value in model.graph.input}
        found.add("fp16" if _Type.FLOAT16 in kinds else "fp32")
    return next(name for name in ("int8", "fp16", "bf16", "fp32") if name in found)


def require_precision(model: onnx.ModelProto, name: str, asked: str) -> None:
    """Refuse a file that computes in something else than what was asked for.

    Raises:
        BackendUnavailable: it does; a runtime with strong types would run it as it is, and not say so.
    """
    found = found_precision(model)
    if found != asked and "Conv" in {node.op_type for node in model.graph.node}:
        raise BackendUnavailable(f"{name} is a file of {found}, not of {asked}. {HOW.get(asked, 'Export it again')}")
