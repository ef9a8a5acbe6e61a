"""Modules of ResNet-18 and ResNet-34 as in torchvision: stem, basic blocks in float or low bits, classifier."""

import torch
from torch import Tensor, nn

from toolchain.nets.blocks import Norm, conv_bn
from toolchain.nets.quantizers import QuantConv2d, Scheme
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace

SCHEMES: dict[str, Scheme] = {"basic": "sawb", "basic_dorefa": "dorefa"}


def build_stem(space: SearchSpace, norm: Norm) -> nn.Module:
    """Convolution in float and optional 3x3 max pooling: (N, in_channels, S, S) -> (N, c_out, S', S')."""
    stem = space.stem
    conv = conv_bn(space.in_channels, stem.c_out, norm, stem.kernel, stem.stride)
    return nn.Sequential(conv, nn.MaxPool2d(3, stride=2, padding=1)) if stem.pool else nn.Sequential(conv)


def build_block(spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
    """The module of one choice."""
    return BasicBlock(spec, choice, norm)


def build_head(space: SearchSpace, norm: Norm) -> nn.Module:
    """Global average pool and classifier in float: (N, C, S, S) -> (N, classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(space.blocks[-1].c_out, space.classes))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

    A choice's width sets the channels between the two convolutions. The shortcut has a 1x1 convolution where the shape
    changes. All convolutions of a block have the same bit widths. The input of each is the output of a ReLU (of the
    stem, of the previous block, or between the two convolutions), so it is never negative.
    """

    def __init__(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> None:
        super().__init__()
        mid = choice.mid(spec.c_out)
        self.main = nn.Sequential(
            _conv(spec.c_in, mid, 3, spec.stride, choice),
            norm.layer(mid),
            nn.ReLU(inplace=True),
            _conv(mid, spec.c_out, 3, 1, choice),
            norm.layer(spec.c_out),
        )
        changes = spec.stride != 1 or spec.c_in != spec.c_out
        self.shortcut = (
            nn.Sequential(_conv(spec.c_in, spec.c_out, 1, spec.stride, choice), norm.layer(spec.c_out))
            if changes
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(self.main(x) + shortcut)


def _conv(c_in: int, c_out: int, kernel: int, stride: int, choice: Choice) -> nn.Conv2d:
    if choice.quantized:
        return QuantConv2d(c_in, c_out, kernel, stride, choice.w_bits, choice.a_bits, SCHEMES[choice.op])
    return nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
