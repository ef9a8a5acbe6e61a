"""Sort the channels inside each block by importance, so that narrower blocks keep the most important ones.

A channel group has one or more layers that write it. The scores of each layer are divided by their mean, so that an
expansion and the depthwise convolution behind it count alike, and the scores of all layers are added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from toolchain.nets.model_space.between import Narrowing
from toolchain.nets.model_space.builder import ModelBuilder
from toolchain.nets.model_space.channel_groups import ChannelGroup
from toolchain.nets.model_space.parts import Part

Weights = Mapping[str, Tensor]  # by the names of the model
MIN_MEAN = 1e-12


class Importance(Protocol):
    """Scores the channels that a layer writes."""

    def of_units(self, layer: str, norm: str | None, units: int) -> Tensor:
        """The scores of consecutive units of output channels: (units,), 0 or more.

        Args:
            layer: a convolution or linear layer, by its name in the model.
            norm: the batch normalization that reads its output; None if there is none.
        """


@dataclass(frozen=True)
class Magnitude:
    """The L2 norm of a channel's filter times the absolute scale of the normalization behind it."""

    weights: Weights

    def of_units(self, layer: str, norm: str | None, units: int) -> Tensor:
        norms = self.weights[f"{layer}.weight"].flatten(1).norm(dim=1)
        scale = self.weights.get(f"{norm}.weight")
        if scale is not None:
            norms = norms * scale.abs()
        scores: Tensor = norms.view(units, -1).sum(1)
        return scores


@dataclass(frozen=True)
class Taylor:
    """The squared first-order change of the loss if a channel is removed, averaged over batches.

    Removing a channel sets the scale and the offset of the normalization behind it to zero, or its filter and its bias
    where there is none. P. Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, Eq. 8.

    Attributes:
        changes: for each batch, by parameter of the model, the sums of weight times gradient over everything but the
            first axis: (channels,).
    """

    changes: Sequence[Weights]

    def of_units(self, layer: str, norm: str | None, units: int) -> Tensor:
        names = [f"{norm or layer}.{leaf}" for leaf in ("weight", "bias")]
        totals = [sum((batch[name] for name in names if name in batch), torch.zeros(())) for batch in self.changes]
        return torch.stack([total.view(units, -1).sum(1) ** 2 for total in totals]).mean(0)


def sorted_weights(builder: ModelBuilder, weights: Weights, importance: Importance) -> dict[str, Tensor]:
    """`weights` with the channels of each group in descending order of importance.

    The network computes the same function: what writes a channel and what reads it are permuted alike.
    """
    result = dict(weights)
    for block in builder.blocks:
        for group in block.freedom.groups:
            _select(result, block.part, group, _order(block.part, group, importance))
    return result


def narrowed_weights(narrowing: Narrowing, weights: Weights, importance: Importance) -> dict[str, Tensor]:
    """`weights` of a model without the least important channels of each group that `narrowing` cuts."""
    result = dict(weights)
    for group in narrowing.groups:
        order = _order(narrowing.part, group, importance)
        _select(result, narrowing.part, group, order[: group.kept(narrowing.choice)].sort().values)
    return result


def _order(part: Part, group: ChannelGroup, importance: Importance) -> Tensor:
    """The units of a group, the most important one first."""
    return _scores(part, group, importance).argsort(descending=True, stable=True)


def _select(weights: dict[str, Tensor], part: Part, group: ChannelGroup, units: Tensor) -> None:
    """Leave these units of the group in the weights of the model, in this order."""
    for (name, dim), unit in group.axes.items():
        key = model_name(part, name)
        if key in weights:
            index = (units.unsqueeze(1) * unit + torch.arange(unit)).flatten()
            weights[key] = weights[key].index_select(dim, index)


def _scores(part: Part, group: ChannelGroup, importance: Importance) -> Tensor:
    """The importance of each unit of a group."""
    total = torch.zeros(group.units)
    for name, dim in group.axes:
        layer, _, leaf = name.rpartition(".")
        if leaf != "weight" or dim != 0 or not isinstance(part.layers.get(layer), nn.Conv2d | nn.Linear):
            continue
        behind = _norm_behind(part, layer)
        score = importance.of_units(
            model_name(part, name).removesuffix(".weight"),
            None if behind is None else model_name(part, f"{behind}.weight").removesuffix(".weight"),
            group.units,
        )
        total += score / score.mean().clamp_min(MIN_MEAN)
    return total


def model_name(part: Part, name: str) -> str:
    """The model's name of a parameter or buffer of a part."""
    if name in part.names:
        return part.names[name]
    layer = max((path for path in part.names if name.startswith(f"{path}.")), key=len)
    return f"{part.names[layer]}.{name.removeprefix(f'{layer}.')}"


def _norm_behind(part: Part, layer: str) -> str | None:
    """The batch normalization with a scale that reads the output of `layer`; None if there is none."""
    node = next(node for node in part.graph.nodes if node.op == "call_module" and node.target == layer)
    for user in node.users:
        if user.op == "call_module":
            reader = part.layers[str(user.target)]
            if isinstance(reader, nn.BatchNorm2d) and reader.affine:
                return str(user.target)
    return None
