"""A custom search space in one file: plain residual blocks, kernel 3 or 5, three widths.

    nastool cost --space docs/examples/my_space.py:my_space --arch "conv3 conv5@0.5 conv3@1.5 conv3"

The space is data; the three functions build_stem, build_block and build_head are its family. `docs/spaces.md`
lists their requirements.
"""

from torch import Tensor, nn

from toolchain.nets.blocks import Norm, conv_bn
from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem

KERNELS = {"conv3": 3, "conv5": 5}
CHOICES = tuple(Choice(op, width) for op in KERNELS for width in (0.5, 1.0, 1.5))

my_space = SearchSpace(
    name="my_space",
    family="my_residual",  # prefix of its records in the latency table, so the name must be unique
    in_channels=1,
    size_px=28,
    classes=10,
    stem=Stem(c_out=16, stride=1),
    blocks=(
        ChoiceBlock(c_in=16, c_out=32, size_px=28, stride=2, choices=CHOICES),
        ChoiceBlock(c_in=32, c_out=32, size_px=14, stride=1, choices=CHOICES),
        ChoiceBlock(c_in=32, c_out=64, size_px=14, stride=2, choices=CHOICES),
        ChoiceBlock(c_in=64, c_out=64, size_px=7, stride=1, choices=CHOICES),
    ),
    head=Head(channels=0),
)


def build_stem(space: SearchSpace, norm: Norm) -> nn.Module:
    """3x3 convolution: (N, in_channels, S, S) -> (N, c_out, S/stride, S/stride)."""
    return conv_bn(space.in_channels, space.stem.c_out, norm, space.stem.kernel, space.stem.stride)


def build_block(spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
    """The module of one choice."""
    return ResidualBlock(spec, choice, norm)


def build_head(space: SearchSpace, norm: Norm) -> nn.Module:
    """Global average pool and classifier: (N, C, H, W) -> (N, classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(space.blocks[-1].c_out, space.classes))


class ResidualBlock(nn.Module):
    """Two k x k convolutions and a shortcut: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride).

    A choice's width is the number of channels between the two convolutions.
    """

    def __init__(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> None:
        super().__init__()
        kernel, mid = KERNELS[choice.op], choice.mid(spec.c_out)
        self.main = nn.Sequential(
            conv_bn(spec.c_in, mid, norm, kernel, spec.stride),
            conv_bn(mid, spec.c_out, norm, kernel, act=None),
        )
        same_shape = spec.stride == 1 and spec.c_in == spec.c_out
        self.shortcut = nn.Identity() if same_shape else conv_bn(spec.c_in, spec.c_out, norm, 1, spec.stride, act=None)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.shortcut(x) + self.main(x))
        return out
