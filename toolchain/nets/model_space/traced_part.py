"""The module of a stem, block or head of a traced model."""

from collections.abc import Mapping

from torch import Tensor, nn

from toolchain.nets.blocks import Norm
from toolchain.nets.model_space.channel_groups import ChannelGroup
from toolchain.nets.model_space.layers import Sizes, frozen, narrowed, parameter
from toolchain.nets.model_space.operators import computes_in_layers
from toolchain.nets.model_space.parts import Part, Run
from toolchain.spaces.core import Choice

INPLACE = "inplace"  # attribute of activations


class TracedPart(nn.Module):
    """Runs the graph of a part with layers of its own: (N, *input_shape) -> (N, *output_shape).

    Layers and parameters have the names that they have in the model, relative to the part's module.
    """

    def __init__(self, run: Run, counts_by_layer: bool) -> None:
        """`counts_by_layer`: all multiply-adds are those of convolutions and linear layers."""
        super().__init__()
        self._run = run
        self.counts_by_layer = counts_by_layer

    def forward(self, x: Tensor) -> Tensor:
        return self._run(self, x)


def build_part(
    part: Part, norm: Norm, groups: tuple[ChannelGroup, ...] = (), choice: Choice | None = None
) -> TracedPart:
    """The module of `part`, on torch's default device; at the width of `choice`, if one is given."""
    sizes = {} if choice is None else kept_sizes(groups, choice)
    module = TracedPart(part.run, computes_in_layers(part))
    for name, layer in part.layers.items():
        prefix = f"{name}."
        of_layer = {key.removeprefix(prefix): value for key, value in sizes.items() if key.startswith(prefix)}
        copy = narrowed(layer, of_layer, norm)
        if hasattr(copy, INPLACE) and name in part.reads_input:
            setattr(copy, INPLACE, False)  # the input may be cached, or be the shortcut of the block before
        _parent(module, name).add_module(_leaf(name), copy)
    for name, value in part.parameters.items():
        make = parameter if isinstance(value, nn.Parameter) else frozen
        _parent(module, name).register_parameter(_leaf(name), make(value, sizes.get(name, {})))
    return module


def kept_sizes(groups: tuple[ChannelGroup, ...], choice: Choice) -> Mapping[str, Sizes]:
    """The remaining entries along each axis of parameters and buffers that `choice` cuts, by relative name."""
    sizes: dict[str, dict[int, int]] = {}
    for group in groups:
        units = group.kept(choice)
        if units < group.units:
            for (name, dim), unit in group.axes.items():
                sizes.setdefault(name, {})[dim] = units * unit
    return sizes


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _parent(module: nn.Module, name: str) -> nn.Module:
    """The module that holds `name`; made if it does not exist."""
    parent = module
    for word in name.split(".")[:-1]:
        if word not in parent._modules:
            parent.add_module(word, nn.Module())
        child = parent._modules[word]
        assert child is not None
        parent = child
    return parent
