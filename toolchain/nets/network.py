"""One architecture as an ordinary network: stem, the chosen blocks, head."""

from collections.abc import Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from toolchain.errors import UnknownSpace
from toolchain.nets import fbnet, proxyless, resnet, shufflenet_v2
from toolchain.nets.blocks import Norm
from toolchain.nets.quantizers import initialise_clips
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace


class Builder(Protocol):
    """The modules of a family. A Python module with these three functions is one."""

    def build_stem(self, space: SearchSpace, norm: Norm) -> nn.Module:
        """Images (N, C, H, W) -> what the first choice block takes."""

    def build_block(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
        """One choice: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

        Of two choices of one op, each parameter of the narrower is a slice from the start of the wider's.
        """

    def build_head(self, space: SearchSpace, norm: Norm) -> nn.Module:
        """What the last choice block gives -> logits (N, classes)."""


FAMILIES: Mapping[str, Builder] = {
    "shufflenet_v2": shufflenet_v2,
    "proxyless": proxyless,
    "fbnet": fbnet,
    "resnet": resnet,
}


def builder_of(space: SearchSpace) -> Builder:
    """Where the modules of `space` come from: its own file, or its family's in this folder.

    Raises:
        UnknownSpace: neither is there.
    """
    if space.builder is not None:
        return cast(Builder, space.builder)
    if space.family not in FAMILIES:
        raise UnknownSpace(
            f"space {space.name!r} is of the family {space.family!r}, which has no modules. Take one of "
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
    """Draw all weights anew (He, fan-out, as ShuffleNet v2 trains from), from `generator` alone."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01, generator=generator)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    initialise_clips(module)
