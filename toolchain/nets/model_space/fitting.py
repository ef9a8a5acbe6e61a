"""Fit a model to the options of its space: the number of classes and of input channels."""

import torch
from torch import nn
from torch.fx import Graph, Node

from toolchain.errors import UnknownSpace
from toolchain.nets.model_space.sources import SEED
from toolchain.spaces.model_source import ModelSource

DEFAULT_CHANNELS = 3


def fit_input(model: nn.Module, graph: Graph, source: ModelSource) -> None:
    """Give the first convolution the number of input channels that the space has.

    Raises:
        UnknownSpace: the first layer is not a convolution without groups.
    """
    first = first_layer_name(graph)
    conv = None if first is None else model.get_submodule(first)
    channels = source.options.in_channels
    if channels == input_channels(model, graph):
        return
    if not isinstance(conv, nn.Conv2d) or conv.groups != 1:
        raise UnknownSpace(
            f"{source.name}: the model does not begin with a convolution, so its number of input channels cannot be "
            f"changed. Leave out in_channels, or build the model for {channels} channels"
        )
    conv.in_channels = channels
    conv.weight = _like(conv.weight, (conv.out_channels, channels, *conv.kernel_size))


def fit_classes(model: nn.Module, graph: Graph, source: ModelSource) -> None:
    """Give the last layer the number of outputs that the space has classes.

    Raises:
        UnknownSpace: the model does not end with a linear layer or a convolution.
    """
    classes, layer = source.options.classes, _classifier(model, graph)
    if not classes:
        return
    if layer is None:
        raise UnknownSpace(
            f"{source.name}: the model does not end with a classifier, so its number of classes cannot be changed. "
            f"Leave out classes, or build the model for {classes} classes"
        )
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if outputs == classes:
        return
    layer.weight = _like(layer.weight, (classes, *layer.weight.shape[1:]))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.zeros(classes))
    if isinstance(layer, nn.Linear):
        layer.out_features = classes
    else:
        layer.out_channels = classes


def input_channels(model: nn.Module, graph: Graph) -> int:
    """The number of input channels of the convolution that runs first; 3 if there is none."""
    layers = (model.get_submodule(str(node.target)) for node in graph.nodes if node.op == "call_module")
    return next((layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d)), DEFAULT_CHANNELS)


def first_layer_name(graph: Graph) -> str | None:
    """The name of the first layer; None if there is none."""
    return next((str(node.target) for node in graph.nodes if node.op == "call_module"), None)


def classifier_name(model: nn.Module, graph: Graph) -> str | None:
    """The name of the layer that gives the logits; None if the model ends with something else."""
    node = graph.output_node().args[0]
    while isinstance(node, Node) and node.args:
        if node.op == "call_module":
            layer = model.get_submodule(str(node.target))
            if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
                return str(node.target)
            if next(layer.parameters(), None) is not None:
                return None
        node = node.args[0]
    return None


def _classifier(model: nn.Module, graph: Graph) -> nn.Linear | nn.Conv2d | None:
    """The layer that gives the logits; None if the model ends with something else."""
    name = classifier_name(model, graph)
    layer = None if name is None else model.get_submodule(name)
    return layer if isinstance(layer, nn.Linear | nn.Conv2d) else None


def _like(weight: torch.Tensor, shape: tuple[int, ...]) -> nn.Parameter:
    """Random weights with the standard deviation of torch's default for layers (Kaiming uniform, a = sqrt(5))."""
    value = torch.empty(shape)
    nn.init.kaiming_uniform_(value, a=5**0.5, generator=torch.Generator().manual_seed(SEED))
    return nn.Parameter(value.to(weight.dtype))
