"""The space of ProxylessNAS: MBConv blocks, kernel 3, 5 or 7, expansion 3 or 6, and a skip where it is legal.

Source: mit-han-lab/ProxylessNAS, b23018c (the search code), and han-cai/files, a7c9bcd (the released networks,
whose widths are not those of the search code).
"""

from dataclasses import dataclass, replace

from toolchain.spaces.core import Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.mbconv import SKIP, mbconv_blocks, scaled, validate

OPS = ("k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6", SKIP)


@dataclass(frozen=True)
class Numbers:
    """What may be set from outside, with the search code's values as the default."""

    in_channels: int = 3
    size_px: int = 224
    classes: int = 1000
    stem_channels: int = 32
    first_channels: int = 16  # of the fixed block behind the stem's convolution
    stem_stride: int = 2
    stage_widths: tuple[int, ...] = (24, 40, 80, 96, 192, 320)
    stage_repeats: tuple[int, ...] = (4, 4, 4, 4, 4, 1)
    stage_strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1)
    head_channels: int = 1280
    dropout: float = 0.0
    multiplier: float = 1.0  # of all widths
    ops: tuple[str, ...] = OPS


DEFAULT = Numbers()
MOBILE = replace(DEFAULT, stage_widths=(32, 40, 80, 96, 192, 320))
GPU = replace(DEFAULT, multiplier=1.35)


def proxyless(name: str, numbers: Numbers) -> SearchSpace:
    """Stem with a fixed MBConv block, stages of choice blocks, head.

    A skip is the identity, so it is offered only where neither stride nor channels change. That makes 6^6 * 7^15
    architectures; the paper's 7^21 counts a skip in the six blocks, first of their stages, that can't have one.

    Raises:
        ValueError: a number that does not fit.
    """
    validate(
        numbers,
        OPS,
        (
            numbers.in_channels,
            numbers.size_px,
            numbers.classes,
            numbers.stem_channels,
            numbers.first_channels,
            numbers.head_channels,
        ),
        numbers.stem_stride,
        numbers.dropout,
    )
    if not 0.1 <= numbers.multiplier <= 10:
        raise ValueError(f"multiplier {numbers.multiplier:g} is not between 0.1 and 10")
    c_first = scaled(numbers.first_channels, numbers.multiplier)
    widths = [scaled(width, numbers.multiplier) for width in numbers.stage_widths]
    blocks_px = ceil_div(numbers.size_px, numbers.stem_stride)
    return SearchSpace(
        name=name,
        family="proxyless",
        in_channels=numbers.in_channels,
        size_px=numbers.size_px,
        classes=numbers.classes,
        stem=Stem(c_first, numbers.stem_stride, conv_channels=scaled(numbers.stem_channels, numbers.multiplier)),
        blocks=mbconv_blocks(c_first, blocks_px, numbers, widths, skip_changes_shape=False),
        # a narrow network keeps the full head, as in MobileNet v2
        head=Head(scaled(numbers.head_channels, max(numbers.multiplier, 1.0)), numbers.dropout),
    )
