"""Modules of FBNet: ReLU, and convolutions with a bias although batch normalization follows."""

from torch import nn

from toolchain.nets import mbconv
from toolchain.nets.blocks import Norm, conv_bn
from toolchain.nets.mbconv import Style
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace


def build_stem(space: SearchSpace, norm: Norm) -> nn.Module:
    """3x3 convolution: (N, in_channels, S, S) -> (N, stem channels, S/stride, S/stride)."""
    stem = space.stem
    return conv_bn(space.in_channels, stem.c_out, norm, stem.kernel, stem.stride, bias=True)


def build_block(spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
    """The module of one choice. The 1x1 convolution of a skip has no bias, as in the released code."""
    return mbconv.build_mbconv(spec, choice, _style(norm))


def build_head(space: SearchSpace, norm: Norm) -> nn.Module:
    """1x1 convolution, global average pool, dropout, classifier: (N, C, H, W) -> (N, classes)."""
    return mbconv.build_head(space, _style(norm))


def _style(norm: Norm) -> Style:
    return Style(norm, nn.ReLU, bias=True)
