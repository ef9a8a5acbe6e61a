"""The space of FBNet: MBConv blocks with kernel 3 or 5 and expansion 1, 3 or 6, grouped or not, and `skip` everywhere.

Source: facebookresearch/mobile-vision, bb8465c. The released FBNet-A, FBNet-B and FBNet-C are architectures of it.
"""

from dataclasses import dataclass

from toolchain.spaces.core import Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.mbconv import SKIP, mbconv_blocks, validate

OPS = ("k3e1", "k3e1g2", "k3e3", "k3e6", "k5e1", "k5e1g2", "k5e3", "k5e6", SKIP)


@dataclass(frozen=True)
class Options:
    """Options of the space. The defaults are those of FBNet-B and FBNet-C."""

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


DEFAULT = Options()


def fbnet(name: str, options: Options) -> SearchSpace:
    """The space of stages of choice blocks between stem and head.

    All blocks offer all choices: where stride or channels change, `skip` is a 1x1 convolution, not the identity.

    Raises:
        ValueError: an option is out of range, or a width is odd although an op has two groups.
    """
    validate(options, OPS)
    if any(op.endswith("g2") for op in options.ops) and any(
        width % 2 for width in (options.stem_channels, *options.stage_widths)
    ):
        raise ValueError(
            f"stem_channels {options.stem_channels} and stage_widths {options.stage_widths} must be even "
            f"for the ops with two groups (g2)"
        )
    blocks_px = ceil_div(options.size_px, options.stem_stride)
    return SearchSpace(
        name=name,
        family="fbnet",
        in_channels=options.in_channels,
        size_px=options.size_px,
        classes=options.classes,
        stem=Stem(options.stem_channels, options.stem_stride),
        blocks=mbconv_blocks(options.stem_channels, blocks_px, options, options.stage_widths, skip_changes_shape=True),
        head=Head(options.head_channels, options.dropout),
    )
