"""One architecture as an ordinary network: stem, selected blocks, head."""

from collections.abc import Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from toolchain.errors import UnknownSpace
from toolchain.nets import fbnet, proxyless, resnet, shufflenet_v2
from toolchain.nets.blocks import Norm
from toolchain.nets.quantizers import initialize_clips
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace


class Builder(Protocol):
    """The functions that build a family's modules. A Python module with these three functions is a builder."""

    def build_stem(self, space: SearchSpace, norm: Norm) -> nn.Module:
        """Images (N, C, H, W) -> the input of the first choice block."""

    def build_block(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
        """The module of one choice: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

        Each parameter of a narrower choice has the shape of a leading slice of the same parameter of a wider choice
        with the same op.
        """

    def build_head(self, space: SearchSpace, norm: Norm) -> nn.Module:
        """The output of the last choice block -> logits (N, classes)."""


FAMILIES: Mapping[str, Builder] = {
    "shufflenet_v2": shufflenet_v2,
    "proxyless": proxyless,
    "fbnet": fbnet,
    "resnet": resnet,
}


def builder_of(space: SearchSpace) -> Builder:
    """The builder of a space: that of the user's file if it has one, else that of its family.

    Raises:
        UnknownSpace: the family is unknown and the space has no builder of its own.
    """
    if space.builder is not None:
        return cast(Builder, space.builder)
    if space.family not in FAMILIES:
        raise UnknownSpace(
            f"space {space.name!r} has the family {space.family!r}, which has no modules. Use one of "
            f"{', '.join(FAMILIES)}, or define build_stem, build_block and build_head in the space's file"
        )
    return FAMILIES[space.family]


class Network(nn.Module):
    """The network of `arch`: images (N, C, H, W) -> logits (N, classes)."""

    def __init__(self, space: SearchSpace, arch: Architecture, norm: Norm) -> None:
        super().__init__()
        builder = builder_of(space)
        self.stem = builder.build_stem(space, norm)
        choices = space.choices_of(arch)
        self.blocks = nn.ModuleList(
            builder.build_block(spec, choice, norm) for spec, choice in zip(space.blocks, choices, strict=True)
        )
        self.head = builder.build_head(space, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Initialize all weights (He, fan-out, as for ShuffleNet v2). All random numbers come from `generator`."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01, generator=generator)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    initialize_clips(module)
