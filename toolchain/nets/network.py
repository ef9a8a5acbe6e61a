"""One architecture as an ordinary network: stem, the chosen blocks, head."""

import torch
from torch import Tensor, nn

from toolchain.nets.blocks import Norm, ShuffleBlock, conv_bn
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace


def build_stem(space: SearchSpace, norm: Norm) -> nn.Module:
    """3x3 convolution: (N, in_channels, size, size) -> (N, stem channels, size/stride, size/stride)."""
    return conv_bn(space.in_channels, space.stem.c_out, norm, kernel=3, stride=space.stem.stride)


def build_block(spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
    """The plain module of one choice; there is no other way to make one."""
    return ShuffleBlock(spec, choice, norm)


def build_head(space: SearchSpace, norm: Norm) -> nn.Module:
    """1x1 convolution, global average pool, dropout, classifier without bias: (N, C, H, W) -> (N, classes)."""
    return nn.Sequential(
        conv_bn(space.blocks[-1].c_out, space.head.channels, norm),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(space.head.dropout),
        nn.Linear(space.head.channels, space.classes, bias=False),
    )


class Network(nn.Module):
    """The network of `arch`: images (N, C, H, W) -> logits (N, classes)."""

    def __init__(self, space: SearchSpace, arch: Architecture, norm: Norm) -> None:
        super().__init__()
        self.stem = build_stem(space, norm)
        choices = space.choices_of(arch)
        self.blocks = nn.ModuleList(
            build_block(spec, choice, norm) for spec, choice in zip(space.blocks, choices, strict=True)
        )
        self.head = build_head(space, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights anew (He, fan-out, as ShuffleNet v2 trains from), from `generator` alone."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01, generator=generator)
