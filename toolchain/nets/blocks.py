"""Building blocks of all families: normalization, and convolution with normalization and activation."""

from dataclasses import dataclass, replace

from torch import nn

from toolchain.nets.shared_norm import SharedBatchNorm2d


@dataclass(frozen=True)
class Norm:
    """The kind of batch normalization that a network uses."""

    affine: bool  # with a learned scale and offset
    statistics: bool  # with running statistics
    eps: float = 1e-5
    shared: bool = False  # batch statistics are those of all processes that train together

    def layer(self, channels: int) -> nn.BatchNorm2d:
        """A batch normalization of this kind."""
        layer_class = SharedBatchNorm2d if self.shared else nn.BatchNorm2d
        return layer_class(channels, eps=self.eps, affine=self.affine, track_running_stats=self.statistics)


# Paths share weights but not statistics, so a supernet has no running statistics: scoring requires BN recalibration.
SUPERNET = Norm(affine=False, statistics=False)
STANDALONE = Norm(affine=True, statistics=True)


def shared_by(norm: Norm, processes: int) -> Norm:
    """`norm` for one model that this number of processes trains together."""
    return replace(norm, shared=processes > 1)


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
    """Convolution, batch normalization and activation (if not None): (N, c_in, H, W) -> (N, c_out, H/s, W/s)."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)
    layers: list[nn.Module] = [conv, norm.layer(c_out)]
    if act is not None:
        layers.append(act(inplace=True))
    return nn.Sequential(*layers)
