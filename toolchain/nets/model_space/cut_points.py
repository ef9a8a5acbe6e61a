"""Cut points of a graph: places where exactly one value is live."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.fx import Graph, Node

from toolchain.nets.model_space.shapes import shape_of


@dataclass(frozen=True)
class CutPoints:
    """The nodes of a graph in order, and what is live after each.

    Attributes:
        nodes: all nodes but parameters (get_attr), which a part reads where it uses them.
        live: for each node, the value that later nodes use, if it is exactly one.
    """

    nodes: tuple[Node, ...]
    live: tuple[Node | None, ...]

    def map_after(self, position: int) -> Node | None:
        """The live value after node `position`, if it is one batch of square maps (N, C, S, S)."""
        value = self.live[position]
        shape = None if value is None else shape_of(value)
        return value if shape is not None and len(shape) == 4 and shape[2] == shape[3] else None


def cut_points(graph: Graph) -> CutPoints:
    """The cut points of `graph`, whose shapes are recorded."""
    nodes = tuple(node for node in graph.nodes if node.op not in ("get_attr", "output"))
    position = {node: number for number, node in enumerate(nodes)}
    last_use = [_last_use(node, position) for node in nodes]
    live: list[Node | None] = []
    open_values: list[Node] = []
    for number, node in enumerate(nodes):
        open_values = [value for value in (*open_values, node) if last_use[position[value]] > number]
        live.append(open_values[0] if len(open_values) == 1 else None)
    return CutPoints(nodes, tuple(live))


def _last_use(node: Node, position: dict[Node, int]) -> int:
    return max((position.get(user, len(position)) for user in node.users), default=-1)


def stack_of(node: Node) -> Sequence[str]:
    """Keys of the modules that a node is part of, from the outermost to the innermost."""
    return tuple(node.meta.get("nn_module_stack", {}))
