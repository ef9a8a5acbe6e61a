"""The layers of a float32 graph that are quantized, and the tensors between them that share a scale."""

from collections.abc import Iterable, Set

from onnx import NodeProto

from exporters.graph.operators import MEAN_OPS, PASS_THROUGH_OPS, QUANTIZED_PRODUCT_OPS
from exporters.graph.walker import GraphWalker, int_attribute


def product_nodes(graph: GraphWalker) -> list[NodeProto]:
    """Convolutions and linear layers whose weight is a constant of shape (c_out, ...)."""
    return [
        node
        for node in graph.nodes
        if node.op_type in QUANTIZED_PRODUCT_OPS
        and node.input[1] in graph.constants
        and (node.op_type == "Conv" or int_attribute(node, "transB", 0) == 1)
    ]


def sum_nodes(graph: GraphWalker) -> list[NodeProto]:
    """The nodes that add two computed tensors, as shortcuts do; the addition of a bias is not one."""
    return [
        node
        for node in graph.nodes
        if node.op_type == "Add" and not any(name in graph.constants for name in node.input)
    ]


def is_relu(graph: GraphWalker, node: NodeProto) -> bool:
    """Whether a node replaces negative values by 0."""
    if node.op_type == "Clip":
        minimum = graph.constants.get(node.input[1]) if len(node.input) > 1 else None
        return minimum is not None and float(minimum) == 0.0
    return bool(node.op_type == "Relu")


def activated(graph: GraphWalker, name: str) -> str:
    """The output of the ReLU that is the only consumer of `name`, or `name` itself."""
    consumers = graph.consumers_of(name)
    return str(consumers[0].output[0]) if len(consumers) == 1 and is_relu(graph, consumers[0]) else name


def is_non_negative(graph: GraphWalker, name: str) -> bool:
    """Whether a tensor has no negative values, because they come from ReLUs."""
    node = graph.producer.get(name)
    if node is None:
        return False
    if node.op_type in PASS_THROUGH_OPS or node.op_type in MEAN_OPS:
        return all(is_non_negative(graph, source) for source in data_inputs(graph, node))
    return is_relu(graph, node)


def data_inputs(graph: GraphWalker, node: NodeProto) -> list[str]:
    """The tensors that a pass-through node moves, without its sizes and indices."""
    names = node.input if node.op_type == "Concat" else node.input[:1]
    return [name for name in names if name not in graph.constants]


def scale_groups(graph: GraphWalker, names: Iterable[str], pass_through_ops: Set[str]) -> list[list[str]]:
    """`names` and the tensors that are only moved from or to them, in groups that must share a scale.

    Args:
        pass_through_ops: the operators that may move codes.
    """
    groups = _DisjointSets(names)
    moves = [[*data_inputs(graph, node), *node.output] for node in graph.nodes if node.op_type in pass_through_ops]
    size = -1
    while size < len(groups):  # until a pass adds no tensor
        size = len(groups)
        for tensors in moves:
            if any(name in groups for name in tensors):
                groups.join(tensors)
    return groups.members()


class _DisjointSets:
    """Names in disjoint sets (union-find)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def __len__(self) -> int:
        return len(self._parent)

    def __contains__(self, name: str) -> bool:
        return name in self._parent

    def join(self, names: list[str]) -> None:
        """Put all of `names` into one set."""
        for name in names:
            self._parent.setdefault(name, name)
        for name in names[1:]:
            self._parent[self._root(name)] = self._root(names[0])

    def members(self) -> list[list[str]]:
        """The sets, each with its names in the order in which they were added."""
        sets: dict[str, list[str]] = {}
        for name in self._parent:
            sets.setdefault(self._root(name), []).append(name)
        return list(sets.values())

    def _root(self, name: str) -> str:
        while self._parent[name] != name:
            name = self._parent[name]
        return name
