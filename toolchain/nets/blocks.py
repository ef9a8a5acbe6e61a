"""What the blocks of all families are made of."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Norm:
    """How a network normalises: with a learned scale and offset or not, with running statistics or not."""

    affine: bool
    statistics: bool
    eps: float = 1e-5

    def layer(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self.eps, affine=self.affine, track_running_stats=self.statistics)


# Paths share weights but not statistics, so a supernet keeps none: a score without BN recalibration can't exist.
SUPERNET = Norm(affine=False, statistics=False)
STANDALONE = Norm(affine=True, statistics=True)


def conv_bn(
    c_in: int,
    c_out: int,
    norm: Norm,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.ReLU | nn.ReLU6] | None = nn.ReLU,
    bias: bool = False,
) -> nn.Sequential:
    """Convolution, batch normalisation and, if wanted, activation: (N, c_in, H, W) -> (N, c_out, H/s, W/s)."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)
    layers: list[nn.Module] = [conv, norm.layer(c_out)]
    if act is not None:
        layers.append(act(inplace=True))
    return nn.Sequential(*layers)
