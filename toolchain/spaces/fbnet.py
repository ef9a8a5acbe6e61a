"""The space of FBNet: MBConv blocks, kernel 3 or 5, expansion 1, 3 or 6, grouped or not, and a skip everywhere.

Source: facebookresearch/mobile-vision, bb8465c (the released FBNet-A, -B and -C, which are in it).
"""

from dataclasses import dataclass

from toolchain.spaces.core import Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.mbconv import SKIP, mbconv_blocks, validate

OPS = ("k3e1", "k3e1g2", "k3e3", "k3e6", "k5e1", "k5e1g2", "k5e3", "k5e6", SKIP)


@dataclass(frozen=True)
class Numbers:
    """What may be set from outside, with the values of FBNet-B and -C as the default."""

    in_channels: int = 3
    size_px: int = 224
    classes: int = 1000
    stem_channels: int = 16
    stem_stride: int = 2
    stage_widths: tuple[int, ...] = (16, 24, 32, 64, 112, 184, 352)
    stage_repeats: tuple[int, ...] = (1, 4, 4, 4, 4, 4, 1)
    stage_strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    head_channels: int = 1984  # FBNet-A: 1504
    dropout: float = 0.0
    ops: tuple[str, ...] = OPS


DEFAULT = Numbers()


def fbnet(name: str, numbers: Numbers) -> SearchSpace:
    """Stem, stages of choice blocks, head.

    All blocks have all choices: a skip where stride or channels change is a 1x1 convolution, not the identity.

    Raises:
        ValueError: a number that does not fit, or an odd width that can't be convolved in two groups.
    """
    validate(
        numbers,
        OPS,
        (numbers.in_channels, numbers.size_px, numbers.classes, numbers.stem_channels, numbers.head_channels),
        numbers.stem_stride,
        numbers.dropout,
    )
    if any(op.endswith("g2") for op in numbers.ops) and any(
        width % 2 for width in (numbers.stem_channels, *numbers.stage_widths)
    ):
        raise ValueError(
            f"stem_channels {numbers.stem_channels} and stage_widths {numbers.stage_widths} must be even "
            f"for the ops with two groups (g2)"
        )
    blocks_px = ceil_div(numbers.size_px, numbers.stem_stride)
    return SearchSpace(
        name=name,
        family="fbnet",
        in_channels=numbers.in_channels,
        size_px=numbers.size_px,
        classes=numbers.classes,
        stem=Stem(numbers.stem_channels, numbers.stem_stride),
        blocks=mbconv_blocks(numbers.stem_channels, blocks_px, numbers, numbers.stage_widths, skip_changes_shape=True),
        head=Head(numbers.head_channels, numbers.dropout),
    )
