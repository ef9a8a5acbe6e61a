"""Modules of the paper's ShuffleNet v2 blocks (appendix 1), for the supernet, profiling, retraining and export."""

import torch
from torch import Tensor, nn

from toolchain.nets.blocks import Norm, conv_bn
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace

KERNELS = {"choice_3": 3, "choice_5": 5, "choice_7": 7, "choice_x": 3}


def build_stem(space: SearchSpace, norm: Norm) -> nn.Module:
    """3x3 convolution: (N, in_channels, size, size) -> (N, stem channels, size/stride, size/stride)."""
    return conv_bn(space.in_channels, space.stem.c_out, norm, kernel=3, stride=space.stem.stride)


def build_block(spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
    """The module of one choice."""
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


class ShuffleBlock(nn.Module):
    """A choice block of Table 2: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

    With stride 1 the channels are shuffled and split at the input: one half is unchanged, the other goes through the
    main branch. With stride 2 all channels go through both branches. A choice's width sets the mid channels of the main
    branch (Fig. 4), by default half of c_out.
    """

    def __init__(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> None:
        super().__init__()
        kernel = KERNELS[choice.op]
        kept = spec.c_in if spec.stride == 2 else spec.c_in // 2
        c_main = spec.c_in if spec.stride == 2 else spec.c_in - kept
        mid = choice.mid(spec.c_out // 2)
        if choice.op == "choice_x":
            self.main = xception(c_main, mid, spec.c_out - kept, spec.stride, norm)
        else:
            self.main = bottleneck(c_main, mid, spec.c_out - kept, kernel, spec.stride, norm)
        self.projection = projection(spec.c_in, kernel, norm) if spec.stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            return torch.cat((self.projection(x), self.main(x)), dim=1)
        kept, x = shuffle_and_split(x)
        return torch.cat((kept, self.main(x)), dim=1)


def shuffle_and_split(x: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of the channels after a shuffle with two groups: the even channels and the odd ones."""
    return x[:, 0::2], x[:, 1::2]


def depthwise(channels: int, norm: Norm, kernel: int, stride: int = 1) -> nn.Sequential:
    """One k x k filter per channel and batch normalization, without ReLU."""
    return conv_bn(channels, channels, norm, kernel, stride, groups=channels, act=None)


def bottleneck(c_in: int, mid: int, c_out: int, kernel: int, stride: int, norm: Norm) -> nn.Sequential:
    """Main branch of choice_3, choice_5 and choice_7."""
    return nn.Sequential(
        conv_bn(c_in, mid, norm),
        depthwise(mid, norm, kernel, stride),
        conv_bn(mid, c_out, norm),
    )


def xception(c_in: int, mid: int, c_out: int, stride: int, norm: Norm) -> nn.Sequential:
    """Main branch of choice_x: three depthwise 3x3 + 1x1 pairs, the stride on the first."""
    return nn.Sequential(
        depthwise(c_in, norm, 3, stride),
        conv_bn(c_in, mid, norm),
        depthwise(mid, norm, 3),
        conv_bn(mid, mid, norm),
        depthwise(mid, norm, 3),
        conv_bn(mid, c_out, norm),
    )


def projection(channels: int, kernel: int, norm: Norm) -> nn.Sequential:
    """The second branch of a stride-2 block. It keeps the number of channels; the main branch adds new ones."""
    return nn.Sequential(
        depthwise(channels, norm, kernel, stride=2),
        conv_bn(channels, channels, norm),
    )
