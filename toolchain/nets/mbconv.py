"""The inverted bottleneck of MobileNet v2 (MBConv), shared by the families that consist of it."""

import re
from dataclasses import dataclass

from torch import Tensor, nn

from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import Norm, conv_bn
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace
from toolchain.spaces.mbconv import SKIP

_OP = re.compile(r"k(\d+)e(\d+)(?:g(\d+))?")


@dataclass(frozen=True)
class Style:
    """How a family normalizes and activates after its convolutions."""

    norm: Norm
    act: type[nn.ReLU | nn.ReLU6]
    bias: bool


def build_mbconv(spec: ChoiceBlock, choice: Choice, style: Style) -> nn.Module:
    """The module of an op such as `k5e6`, `k3e1g2` or `skip`.

    Raises:
        UnknownSpace: the op is unknown, or the choice has a width or bit widths, which these blocks do not support.
    """
    if choice.key == SKIP:
        return skip(spec, style)
    match = _OP.fullmatch(choice.key)
    if match is None:
        raise UnknownSpace(
            f"blocks of this family have no choice {choice.key!r}. Write k5e3 (kernel, expansion), k3e1g2 (groups) "
            f"or skip, without width and bit widths"
        )
    kernel, expansion, groups = (int(number or 1) for number in match.groups())
    return MBConv(spec.c_in, spec.c_out, kernel, expansion, spec.stride, style, groups)


def skip(spec: ChoiceBlock, style: Style) -> nn.Module:
    """The identity, or a 1x1 convolution where stride or channels change."""
    if spec.stride == 1 and spec.c_in == spec.c_out:
        return nn.Identity()
    return conv_bn(spec.c_in, spec.c_out, style.norm, stride=spec.stride, act=style.act)


def build_head(space: SearchSpace, style: Style) -> nn.Module:
    """1x1 convolution, global average pool, dropout, classifier with bias: (N, C, H, W) -> (N, classes)."""
    return nn.Sequential(
        conv_bn(space.blocks[-1].c_out, space.head.channels, style.norm, act=style.act, bias=style.bias),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(space.head.dropout),
        nn.Linear(space.head.channels, space.classes),
    )


class MBConv(nn.Module):
    """1x1 expansion, k x k depthwise, 1x1 projection: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

    With expansion 1 there is no first convolution. With groups, both 1x1 convolutions are grouped and the channels are
    shuffled before the depthwise convolution, even without the first convolution. The projection has no activation. The
    input is added if the shapes allow it and `shortcut` is True.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        expansion: int,
        stride: int,
        style: Style,
        groups: int = 1,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        norm, act, bias = style.norm, style.act, style.bias
        mid = c_in * expansion
        layers: list[nn.Module] = []
        if mid != c_in:
            layers.append(conv_bn(c_in, mid, norm, groups=groups, act=act, bias=bias))
        if groups > 1:
            layers.append(
                nn.ChannelShuffle(groups)
            )  # exported to ONNX as a reshape to [-1, ...], so the batch stays dynamic
        layers.append(conv_bn(mid, mid, norm, kernel, stride, groups=mid, act=act, bias=bias))
        layers.append(conv_bn(mid, c_out, norm, groups=groups, act=None, bias=bias))
        self.main = nn.Sequential(*layers)
        self.shortcut = shortcut and stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x)
        return x + out if self.shortcut else out
