"""Shapes of all values in a graph, computed on the meta device."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node

from exporters.errors import first_line
from toolchain.errors import UnknownSpace

BATCH = 2  # images; one would hide a module that mixes up the batch with another dimension
NO_VALUES = "meta tensors"  # in torch's messages, as for Tensor.item()
ANOTHER_DEVICE = "is not on the expected device meta"  # in torch's message
SHAPE = "shape"  # key in a node's meta: the shape of a tensor, or None

Shape = tuple[int, ...]


class _ShapeRecorder(Interpreter):
    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        n.meta[SHAPE] = tuple(result.shape) if isinstance(result, Tensor) else None
        return result


def record_shapes(model: nn.Module, graph: Graph, input_shape: tuple[int, int, int], name: str) -> None:
    """Write the shape of each node's result into its meta; the batch has 2 images.

    Args:
        input_shape: (C, H, W) of an image.
        name: of the space, for messages.

    Raises:
        UnknownSpace: the model fails for images of this shape, or has a tensor that moves to no device.
    """
    try:
        with torch.device("meta"), torch.no_grad():
            module = GraphModule(deepcopy(model).to("meta").eval(), graph)
            _ShapeRecorder(module, garbage_collect_values=True).run(torch.empty(BATCH, *input_shape))
    except Exception as problem:  # whatever the user's model raises
        message = first_line(problem)
        if ANOTHER_DEVICE in message:
            raise UnknownSpace(
                f"the model of {name} computes with a tensor that is neither a parameter nor a buffer. Give it to the "
                f"module with self.register_buffer(NAME, TENSOR)"
            ) from None
        if NO_VALUES in message:
            raise UnknownSpace(
                f"the model of {name} computes with the values of a tensor, and only shapes are known while it is "
                f"traced: {message}. Leave this out of the forward function"
            ) from None
        raise UnknownSpace(
            f"the model of {name} fails for images of {'x'.join(map(str, input_shape))}: {message}. Set the options "
            f"in_channels and size_px to what the model takes"
        ) from None


def shape_of(node: Node) -> Shape | None:
    """The recorded shape of a node's result; None if it is not a tensor."""
    shape: Shape | None = node.meta[SHAPE]
    return shape
