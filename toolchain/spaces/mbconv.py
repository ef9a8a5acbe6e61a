"""Stages of choice blocks for the families of inverted bottlenecks (MobileNet v2): ProxylessNAS and FBNet.

An op names the block's module: `k5e3` is a 5x5 depthwise convolution on 3 times the block's input channels,
`k3e1g2` has its 1x1 convolutions in two groups, and `skip` is the identity (a 1x1 convolution where shapes change).
"""

from collections.abc import Sequence
from typing import Protocol

from toolchain.spaces.core import Choice, ChoiceBlock, rounded
from toolchain.spaces.validation import check_known, check_options, check_stages

SKIP = "skip"
MULTIPLE = 8  # scaled channels are a multiple of this


class Stages(Protocol):
    """The options that describe a family's choice blocks, one entry for each stage."""

    @property
    def stage_widths(self) -> tuple[int, ...]: ...
    @property
    def stage_repeats(self) -> tuple[int, ...]: ...
    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Stride of each stage's first block; its other blocks have stride 1."""
        ...

    @property
    def ops(self) -> tuple[str, ...]: ...


def mbconv_blocks(
    c_in: int, size_px: int, stages: Stages, widths: Sequence[int], skip_changes_shape: bool
) -> tuple[ChoiceBlock, ...]:
    """The choice blocks of all stages, for an input of shape (c_in, size_px, size_px).

    Args:
        widths: output channels of each stage, after the multiplier.
        skip_changes_shape: offer `skip` also where stride or channels change, where it is not the identity.

    Raises:
        ValueError: a block would have no choice, since `skip` is the only op.
    """
    blocks: list[ChoiceBlock] = []
    for c_out, repeats, first_stride in zip(widths, stages.stage_repeats, stages.stage_strides, strict=True):
        for stride in (first_stride, *[1] * (repeats - 1)):
            same_shape = stride == 1 and c_in == c_out
            ops = [op for op in stages.ops if op != SKIP or same_shape or skip_changes_shape]
            if not ops:
                raise ValueError(f"ops {stages.ops} leave no choice where stride or channels change")
            block = ChoiceBlock(c_in, c_out, size_px, stride, tuple(map(Choice, ops)))
            blocks.append(block)
            c_in, size_px = c_out, block.out_px
    return tuple(blocks)


def validate(options: Stages, known_ops: tuple[str, ...]) -> None:
    """Check the options of a space of inverted bottlenecks.

    Raises:
        ValueError: the first option that is out of range.
    """
    check_options(options)
    check_stages(
        stage_widths=options.stage_widths, stage_repeats=options.stage_repeats, stage_strides=options.stage_strides
    )
    check_known("op", options.ops, known_ops)


def scaled(channels: int, multiplier: float) -> int:
    """`channels` times `multiplier`, rounded to a multiple of 8 that is at most 10 % below (MobileNet v2's rule).

    A multiplier of 1 leaves the channels unchanged.
    """
    if multiplier == 1.0:
        return channels
    return rounded(channels * multiplier, MULTIPLE)
