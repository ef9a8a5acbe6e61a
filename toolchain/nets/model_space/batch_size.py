"""Read the batch size where it is used, so that it is not live across a whole model.

Many models begin with `n = x.size(0)` and use `n` in their head; without this change they would have no cut points.
"""

import operator

from torch.fx import Graph, Node

from toolchain.nets.model_space.shapes import BATCH, SHAPE, shape_of


def read_batch_size_locally(graph: Graph) -> None:
    """Replace the batch size by that of another tensor that the same operation reads. Shapes must be recorded."""
    for node in list(graph.nodes):
        if _is_batch_size(node):
            for user in list(node.users):
                _replace(graph, node, user)
    for node in reversed(list(graph.nodes)):
        if not node.users and (_is_batch_size(node) or _is_size(node)):
            graph.erase_node(node)


def _is_size(node: Node) -> bool:
    """`x.size()` or `x.shape`."""
    if node.op == "call_method":
        return node.target == "size" and len(node.args) == 1
    return node.op == "call_function" and node.target is getattr and str(node.args[1]) == "shape"


def _is_batch_size(node: Node) -> bool:
    """`x.size(0)`, or the first entry of `x.size()` or `x.shape`."""
    if node.op == "call_method":
        return node.target == "size" and tuple(node.args[1:]) == (0,) and _has_batch(node.args[0])
    if node.op != "call_function" or node.target is not operator.getitem or node.args[1] != 0:
        return False
    size = node.args[0]
    return isinstance(size, Node) and _is_size(size) and _has_batch(size.args[0])


def _has_batch(value: object) -> bool:
    shape = shape_of(value) if isinstance(value, Node) else None
    return shape is not None and shape[:1] == (BATCH,)


def _replace(graph: Graph, batch_size: Node, user: Node) -> None:
    tensor = next((source for source in user.all_input_nodes if source is not batch_size and _has_batch(source)), None)
    if tensor is None:
        return
    with graph.inserting_before(user):
        own = graph.call_method("size", (tensor, 0))
    own.meta = {SHAPE: None, "nn_module_stack": user.meta.get("nn_module_stack", {})}
    user.replace_input_with(batch_size, own)
