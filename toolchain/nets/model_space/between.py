"""Narrow the channels of a model that no block chooses: those between blocks, and those inside the stem and the head.

The blocks of a stage add their outputs, so all of them have the same channels at their borders. The search does not
change these; here all blocks of a model lose the same ones, before the space is derived.
"""

from dataclasses import dataclass

from torch import nn
from torch.fx import Graph, Node

from toolchain.nets.model_space.channel_flow import Axis
from toolchain.nets.model_space.channel_groups import ChannelGroup, channel_groups
from toolchain.nets.model_space.layers import set_channels, sliced
from toolchain.nets.model_space.parts import Part, part_of
from toolchain.nets.model_space.traced_part import kept_sizes
from toolchain.spaces.core import Choice, SearchSpace


@dataclass(frozen=True)
class Narrowing:
    """Which channels of a model are removed.

    Attributes:
        original: the space of the model with all channels.
        part: the whole model as one part, with all channels.
        groups: the channels that become narrower.
        choice: their width.
        notes: why other channels keep theirs, one sentence each.
    """

    original: SearchSpace
    part: Part
    groups: tuple[ChannelGroup, ...]
    choice: Choice
    notes: tuple[str, ...]

    @property
    def whole(self) -> int:
        """The number of channels of the groups in the original."""
        return sum(group.channels for group in self.groups)

    @property
    def kept(self) -> int:
        """How many of them remain."""
        return sum(group.kept(self.choice) * group.channels // group.units for group in self.groups)

    def apply(self, model: nn.Module) -> None:
        """Cut the parameters and buffers of the model to leading slices."""
        for name, sizes in kept_sizes(self.groups, self.choice).items():
            path, _, leaf = name.rpartition(".")
            holder = model.get_submodule(path)
            value = getattr(holder, leaf)
            cut = sliced(value, sizes)
            if isinstance(value, nn.Parameter):
                holder._parameters[leaf] = nn.Parameter(cut, requires_grad=value.requires_grad)
            else:
                holder._buffers[leaf] = cut
            set_channels(holder)


def find_narrowing(
    original: SearchSpace, inside: frozenset[Axis], model: nn.Module, graph: Graph, choice: Choice
) -> Narrowing:
    """The channels of `model` that can have the width of `choice` and that no block chooses.

    Args:
        original: the space that was derived from the same model.
        inside: the axes of the model's parameters that blocks choose the width of.
        graph: of the model, with shapes.
    """
    nodes = [node for node in graph.nodes if node.op not in ("get_attr", "output")]
    result = graph.output_node().args[0]
    assert isinstance(result, Node)
    part = part_of(model, nodes[1:], nodes[0], result, "")

    def eligible(group: ChannelGroup) -> bool:
        return group.kept(choice) < group.units and inside.isdisjoint(group.axes)

    freedom = channel_groups(part, [choice], eligible)
    return Narrowing(original, part, freedom.groups, choice, freedom.notes)
