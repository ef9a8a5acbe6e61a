"""The space of ProxylessNAS: MBConv blocks with kernel 3, 5 or 7 and expansion 3 or 6, and `skip` where possible.

Sources: mit-han-lab/ProxylessNAS, b23018c (the search code), and han-cai/files, a7c9bcd (the released networks,
which have other widths than the search code).
"""

from dataclasses import dataclass, replace

from toolchain.spaces.core import Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.mbconv import SKIP, mbconv_blocks, scaled, validate

OPS = ("k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6", SKIP)


@dataclass(frozen=True)
class Options:
    """Options of the space. The defaults are those of the search code."""

    in_channels: int = 3
    size_px: int = 224
    classes: int = 1000
    stem_channels: int = 32
    first_channels: int = 16  # output of the fixed block after the stem's convolution
    stem_stride: int = 2
    stage_widths: tuple[int, ...] = (24, 40, 80, 96, 192, 320)
    stage_repeats: tuple[int, ...] = (4, 4, 4, 4, 4, 1)
    stage_strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1)
    head_channels: int = 1280
    dropout: float = 0.0
    multiplier: float = 1.0  # applied to all widths
    ops: tuple[str, ...] = OPS


DEFAULT = Options()
MOBILE = replace(DEFAULT, stage_widths=(32, 40, 80, 96, 192, 320))
GPU = replace(DEFAULT, multiplier=1.35)


def proxyless(name: str, options: Options) -> SearchSpace:
    """The space of stages of choice blocks between a stem with a fixed MBConv block and the head.

    `skip` is the identity, so it is offered only where neither stride nor channels change: 6^6 * 7^15 architectures.
    The paper's 7^21 (Sec. 4) also counts `skip` in the first block of each of the six stages, where it is impossible.

    Raises:
        ValueError: an option is out of range.
    """
    validate(options, OPS)
    c_first = scaled(options.first_channels, options.multiplier)
    widths = [scaled(width, options.multiplier) for width in options.stage_widths]
    blocks_px = ceil_div(options.size_px, options.stem_stride)
    return SearchSpace(
        name=name,
        family="proxyless",
        in_channels=options.in_channels,
        size_px=options.size_px,
        classes=options.classes,
        stem=Stem(c_first, options.stem_stride, conv_channels=scaled(options.stem_channels, options.multiplier)),
        blocks=mbconv_blocks(c_first, blocks_px, options, widths, skip_changes_shape=False),
        # a multiplier below 1 keeps the full head, as in MobileNet v2
        head=Head(scaled(options.head_channels, max(options.multiplier, 1.0)), options.dropout),
    )
