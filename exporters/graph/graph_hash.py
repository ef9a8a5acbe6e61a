"""A hash of what a model computes, independent of names and of the values of its weights."""

import hashlib
from collections.abc import Iterable

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto

WEIGHT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def model_hash(model: onnx.ModelProto) -> str:
    """16 hex digits of what `model` computes, without the values of its weights.

    Operators, attributes, wiring, and the shapes and types of inputs and weights count, also in subgraphs and local
    functions; so do the values of integers, which are sizes, axes and slices. Names and metadata do not count.
    """
    lines = _opsets(model.opset_import)
    lines += _graph_lines(model.graph, None)
    for function in sorted(model.functions, key=_function_name):
        lines += _function_lines(function)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class _Wires:
    """Numbers in place of the names of the tensors of one graph; the first mention of a leaf describes it."""

    def __init__(self, leaves: dict[str, str], nodes: Iterable[NodeProto], outer: "_Wires | None") -> None:
        self._leaves = leaves
        self._own = {*leaves, *(name for node in nodes for name in node.output)}
        self._outer = outer
        self._numbers: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        if self._outer is not None and name and name not in self._own:
            return f"outer {self._outer(name)}"
        first_time = name not in self._numbers
        number = self._numbers.setdefault(name, len(self._numbers))
        return f"{number} {self._leaves.get(name, '')}" if first_time else str(number)


def _graph_lines(graph: GraphProto, outer: _Wires | None) -> list[str]:
    leaves = {value.name: _describe_input(value) for value in graph.input}
    leaves |= {tensor.name: _describe_initializer(tensor) for tensor in graph.initializer}
    leaves |= {tensor.values.name: _describe_sparse(tensor) for tensor in graph.sparse_initializer}
    wire = _Wires(leaves, graph.node, outer)
    lines = [f"bound {[wire(value.name) for value in graph.input]}"] if outer is not None else []
    lines += [_node_line(node, wire) for node in graph.node]
    return [*lines, f"outputs {[wire(value.name) for value in graph.output]}"]


def _function_lines(function: FunctionProto) -> list[str]:
    wire = _Wires({}, function.node, None)
    return [
        f"function {_function_name(function)} {[wire(name) for name in function.input]}",
        f"attributes {list(function.attribute)} {sorted(_describe(a, wire) for a in function.attribute_proto)}",
        *_opsets(function.opset_import),
        *(_node_line(node, wire) for node in function.node),
        f"outputs {[wire(name) for name in function.output]}",
    ]


def _node_line(node: NodeProto, wire: _Wires) -> str:
    wires = [[wire(name) for name in node.input], [wire(name) for name in node.output]]
    attributes = sorted(_describe(attribute, wire) for attribute in sorted(node.attribute, key=lambda a: str(a.name)))
    overload = f" overload {node.overload}" if node.overload else ""
    return f"{node.domain} {node.op_type} {wires} {attributes}{overload}"


def _opsets(entries: Iterable[onnx.OperatorSetIdProto]) -> list[str]:
    return sorted(f"opset {entry.domain!r} {entry.version}" for entry in entries)


def _function_name(function: FunctionProto) -> str:
    return f"{function.domain} {function.name} {function.overload}"


def _describe_input(value: onnx.ValueInfoProto) -> str:
    if value.type.WhichOneof("value") not in ("tensor_type", None):
        return f"input {value.type.SerializeToString(deterministic=True)!r}"
    tensor = value.type.tensor_type
    return f"input {tensor.elem_type} {[dim.dim_value or '?' for dim in tensor.shape.dim]}"


def _describe_initializer(tensor: TensorProto) -> str:
    described = f"constant {tensor.data_type} {list(tensor.dims)}"
    if tensor.data_type in WEIGHT_TYPES:
        return described
    return f"{described} {onnx.numpy_helper.to_array(tensor).tolist()}"


def _describe_sparse(tensor: onnx.SparseTensorProto) -> str:
    return f"sparse {list(tensor.dims)} {_describe_initializer(tensor.values)} {_describe_initializer(tensor.indices)}"


def _describe(attribute: AttributeProto, wire: _Wires) -> str:
    graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    if graphs:
        return f"{attribute.name} {[_graph_lines(graph, wire) for graph in graphs]}"
    bare = AttributeProto()
    bare.CopyFrom(attribute)
    bare.ClearField("doc_string")
    return repr(bare.SerializeToString(deterministic=True))
