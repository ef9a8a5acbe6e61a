"""Modules of ProxylessNAS: ReLU6, batch normalization with eps 1e-3, convolutions without bias."""

from dataclasses import replace

from torch import nn

from toolchain.nets import mbconv
from toolchain.nets.blocks import Norm, conv_bn
from toolchain.nets.mbconv import MBConv, Style
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace

EPS = 1e-3


def build_stem(space: SearchSpace, norm: Norm) -> nn.Module:
    """3x3 convolution and a fixed MBConv block: (N, in_channels, S, S) -> (N, c_out, S/stride, S/stride)."""
    stem, style = space.stem, _style(norm)
    channels = stem.conv_channels or stem.c_out
    return nn.Sequential(
        conv_bn(space.in_channels, channels, style.norm, stem.kernel, stem.stride, act=style.act),
        MBConv(channels, stem.c_out, kernel=3, expansion=1, stride=1, style=style, shortcut=False),
    )


def build_block(spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
    """The module of one choice."""
    return mbconv.build_mbconv(spec, choice, _style(norm))


def build_head(space: SearchSpace, norm: Norm) -> nn.Module:
    """1x1 convolution, global average pool, dropout, classifier: (N, C, H, W) -> (N, classes)."""
    return mbconv.build_head(space, _style(norm))


def _style(norm: Norm) -> Style:
    return Style(replace(norm, eps=EPS), nn.ReLU6, bias=False)
