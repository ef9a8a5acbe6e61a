"""The paper's blocks, each written once: supernet, profiling, retraining and export share these classes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toolchain.spaces.core import Choice, ChoiceBlock

KERNELS = {"choice_3": 3, "choice_5": 5, "choice_7": 7, "choice_x": 3}


@dataclass(frozen=True)
class Norm:
    """How a network normalises: with a learned scale and offset or not, with running statistics or not."""

    affine: bool
    statistics: bool

    def layer(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, affine=self.affine, track_running_stats=self.statistics)


# Paths share weights but not statistics, so a supernet keeps none: a score without BN recalibration can't exist.
SUPERNET = Norm(affine=False, statistics=False)
STANDALONE = Norm(affine=True, statistics=True)


def conv_bn(
    c_in: int, c_out: int, norm: Norm, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution without bias, batch normalisation and, if wanted, ReLU: (N, c_in, H, W) -> (N, c_out, H/s, W/s)."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, norm.layer(c_out)]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def depthwise(channels: int, norm: Norm, kernel: int, stride: int = 1) -> nn.Sequential:
    """One k x k filter a channel, normalised, no ReLU."""
    return conv_bn(channels, channels, norm, kernel, stride, groups=channels, relu=False)


def bottleneck(c_in: int, mid: int, c_out: int, kernel: int, stride: int, norm: Norm) -> nn.Sequential:
    """Main branch of choice_3, choice_5 and choice_7 (paper, appendix 1)."""
    return nn.Sequential(
        conv_bn(c_in, mid, norm),
        depthwise(mid, norm, kernel, stride),
        conv_bn(mid, c_out, norm),
    )


def xception(c_in: int, mid: int, c_out: int, stride: int, norm: Norm) -> nn.Sequential:
    """Main branch of choice_x: three depthwise 3x3 + 1x1 pairs, the stride on the first (paper, appendix 1)."""
    return nn.Sequential(
        depthwise(c_in, norm, 3, stride),
        conv_bn(c_in, mid, norm),
        depthwise(mid, norm, 3),
        conv_bn(mid, mid, norm),
        depthwise(mid, norm, 3),
        conv_bn(mid, c_out, norm),
    )


def projection(channels: int, kernel: int, norm: Norm) -> nn.Sequential:
    """The other branch of a stride-2 block. It keeps its channels; the main branch adds the new ones."""
    return nn.Sequential(
        depthwise(channels, norm, kernel, stride=2),
        conv_bn(channels, channels, norm),
    )


class ShuffleBlock(nn.Module):
    """A choice block of Table 2: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

    With stride 1 the channels are shuffled and split at the entry: one half passes untouched, the other
    goes through the main branch. With stride 2 all channels go through both branches.
    """

    def __init__(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> None:
        super().__init__()
        kernel = KERNELS[choice.op]
        kept = spec.c_in if spec.stride == 2 else spec.c_in // 2
        c_main = spec.c_in if spec.stride == 2 else spec.c_in - kept
        mid = spec.c_out // 2
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
    """Channel shuffle with two groups, then the two halves: the even channels and the odd ones."""
    return x[:, 0::2], x[:, 1::2]
