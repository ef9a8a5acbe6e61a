"""Ways through an ONNX graph: who produces and reads a tensor, and the nodes of nested graphs."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import onnx
import onnx.inliner
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper


class GraphWalker:
    """One graph with its constants, and the producer and the consumers of each tensor."""

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self.nodes: tuple[NodeProto, ...] = tuple(graph.node)
        self.constants: Mapping[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self.producer: Mapping[str, NodeProto] = {name: node for node in self.nodes for name in node.output}

    @cached_property
    def consumers(self) -> Mapping[str, list[NodeProto]]:
        """The nodes that read each tensor, in the order of the graph."""
        consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                consumers.setdefault(name, []).append(node)
        return consumers

    def consumers_of(self, name: str) -> list[NodeProto]:
        """The nodes that read the tensor `name`."""
        return self.consumers.get(name, [])


def int_attribute(node: NodeProto, name: str, default: int) -> int:
    """The value of an integer attribute."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)


def subgraphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside a node: the branches of an If, the body of a Loop or Scan."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """`graph` and all graphs nested in it."""
    yield graph
    for node in graph.node:
        for nested in subgraphs_of(node):
            yield from graphs_of(nested)


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """All tensors that a model stores: initializers and attributes, also in nested graphs and functions."""
    nodes = [node for function in model.functions for node in function.node]
    for root in (model.graph, *(graph for node in nodes for graph in subgraphs_of(node))):
        for graph in graphs_of(root):
            yield from graph.initializer
            nodes = [*nodes, *graph.node]
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the nodes of its local functions in place of the calls; `model` itself if it has none."""
    return onnx.inliner.inline_local_functions(model) if model.functions else model
