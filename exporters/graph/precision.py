"""The precision that a model computes in. It is part of the file: no runtime option turns fp32 into fp16 or int8."""

from collections.abc import Iterator, Mapping

import onnx
from onnx import GraphProto, NodeProto, TensorProto

from exporters.graph.operators import INTEGER_PRODUCT_OPS, PRODUCT_OPS
from exporters.graph.walker import subgraphs_of, without_functions

MIXED = "mixed"
FLOATS: Mapping[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}
EIGHT_BITS = (TensorProto.INT8, TensorProto.UINT8)


def model_precision(model: onnx.ModelProto) -> str:
    """fp32, fp16 or int8 if all products of the model are computed in it, else "mixed".

    A product is int8 if both of its operands are dequantized directly before it (the QDQ format): then runtimes
    multiply the 8-bit values. If only the weights are quantized, they are multiplied as floats. Subgraphs and local
    functions count as well. A model without products has the precision of its first input.
    """
    graph = onnx.shape_inference.infer_shapes(without_functions(model)).graph
    precisions = set(_product_precisions(graph, {}, frozenset()))
    if not precisions:
        first = graph.input[0].type.tensor_type.elem_type if graph.input else TensorProto.FLOAT
        precisions = {FLOATS.get(first, MIXED)}
    return precisions.pop() if len(precisions) == 1 else MIXED


def _product_precisions(
    graph: GraphProto, outer_types: dict[str, int], outer_dequantized: frozenset[str]
) -> Iterator[str]:
    """The precision of each product of `graph` and of its subgraphs, which see the tensors of the outer graphs."""
    types = {**outer_types, **_types_of(graph)}
    dequantized = outer_dequantized | {
        node.output[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and types.get(node.input[0]) in EIGHT_BITS
    }
    for node in graph.node:
        if node.op_type in INTEGER_PRODUCT_OPS:
            yield "int8"
        elif node.op_type in PRODUCT_OPS:
            yield "int8" if set(node.input[:2]) <= dequantized else _float_precision(node, types)
        for subgraph in subgraphs_of(node):
            yield from _product_precisions(subgraph, types, dequantized)


def _float_precision(node: NodeProto, types: dict[str, int]) -> str:
    known = (types[name] for name in node.input[:2] if types.get(name))
    return FLOATS.get(next(known, TensorProto.UNDEFINED), MIXED)


def _types_of(graph: GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            types[node.output[0]] = next(
                (a.t.data_type for a in node.attribute if a.name == "value"), TensorProto.FLOAT
            )
    return types
