"""Whether a block adds its input to its output, so that it may be left out."""

from torch import nn
from torch.fx import Node

from toolchain.nets.model_space.operators import ELEMENTWISE, is_elementwise, operator_name
from toolchain.nets.model_space.parts import Part

THROUGH = (nn.Identity, nn.modules.dropout._DropoutNd)  # layers of a shortcut that do not change its values


def adds_input(part: Part) -> bool:
    """Whether the output is the input plus something, of the same shape, before elementwise operators at most."""
    if part.input_shape != part.output_shape:
        return False
    placeholder = next(iter(part.graph.nodes))
    node = part.graph.output_node().args[0]
    while isinstance(node, Node) and _is_elementwise(node, part):
        node = node.args[0]
    if not isinstance(node, Node) or node.op == "placeholder" or operator_name(node.target) not in ("add", "iadd"):
        return False
    return any(_is_input(operand, placeholder, part) for operand in node.args)


def _is_elementwise(node: Node, part: Part) -> bool:
    if node.op == "call_module":
        return is_elementwise(part.layers[str(node.target)])
    return node.op in ("call_function", "call_method") and operator_name(node.target) in ELEMENTWISE


def _is_input(node: object, placeholder: Node, part: Part) -> bool:
    while isinstance(node, Node) and node.op == "call_module" and isinstance(part.layers[str(node.target)], THROUGH):
        node = node.args[0]
    return node is placeholder
