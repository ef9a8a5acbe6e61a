"""What the families of inverted bottlenecks (MobileNet v2) share: stages of choice blocks.

An op says what is in the block: `k5e3` is a 5x5 depthwise convolution on 3 times the block's input channels,
`k3e1g2` has its 1x1 convolutions in two groups, and `skip` has nothing but what the shapes ask for.
"""

from collections.abc import Sequence
from typing import Protocol

from toolchain.spaces.core import Choice, ChoiceBlock

SKIP = "skip"
MULTIPLE = 8  # of channels, where a multiplier scales them


class Stages(Protocol):
    """The numbers of a family that describe its choice blocks, one entry a stage."""

    @property
    def stage_widths(self) -> tuple[int, ...]: ...
    @property
    def stage_repeats(self) -> tuple[int, ...]: ...
    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Of a stage's first block; the others have stride 1."""
        ...

    @property
    def ops(self) -> tuple[str, ...]: ...


def mbconv_blocks(
    c_in: int, size_px: int, stages: Stages, widths: Sequence[int], skip_changes_shape: bool
) -> tuple[ChoiceBlock, ...]:
    """The choice blocks of all stages, for an input of (c_in, size_px, size_px).

    Args:
        widths: channels of each stage, after any multiplier.
        skip_changes_shape: is `skip` offered where stride or channels change? It can't be the identity there.

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


def validate(
    stages: Stages, known_ops: tuple[str, ...], counts: Sequence[int], stem_stride: int, dropout: float
) -> None:
    """What must hold of the numbers of any of these families; `counts` are those that must be above zero.

    Raises:
        ValueError: with the number that does not fit.
    """
    widths, repeats, strides = stages.stage_widths, stages.stage_repeats, stages.stage_strides
    if not len(widths) == len(repeats) == len(strides) or not widths:
        raise ValueError(
            f"{len(widths)} stage_widths, {len(repeats)} stage_repeats, {len(strides)} stage_strides: "
            f"give each stage one of each"
        )
    if min(*counts, *widths, *repeats) < 1:
        raise ValueError("sizes, channels, classes, widths and repeats must be 1 or more")
    if not {stem_stride, *strides} <= {1, 2} or not 0 <= dropout < 1:
        raise ValueError("stem_stride and stage_strides must be 1 or 2, dropout 0 or more and below 1")
    if unknown := set(stages.ops) - set(known_ops):
        raise ValueError(f"no such op: {', '.join(sorted(unknown))}. There are {', '.join(known_ops)}")
    if not stages.ops or len(set(stages.ops)) != len(stages.ops):
        raise ValueError("ops need one entry or more, each once")


def scaled(channels: int, multiplier: float) -> int:
    """`channels` times `multiplier`, to the nearest multiple of 8 that is not more than a tenth below.

    This is MobileNet v2's rule. Without a multiplier the channels stay as they are.
    """
    if multiplier == 1.0:
        return channels
    wanted = channels * multiplier
    nearest = max(MULTIPLE, int(wanted + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return nearest + MULTIPLE if nearest < 0.9 * wanted else nearest
