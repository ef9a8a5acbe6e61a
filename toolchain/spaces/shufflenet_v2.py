"""The paper's spaces of ShuffleNet v2 blocks: block search (Table 2), channel search (Table 4), and both together.

A stem, 20 choice blocks and a head. `QUICK` is a smaller space for images of 28 to 32 px on a CPU.

Mid channels are truncated to whole channels in the paper's spaces. Runtimes are slow unless they are multiples of the
SIMD block, so `QUICK` rounds them to multiples of 8 (docs/spaces.md).
"""

from dataclasses import dataclass
from itertools import pairwise

from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.validation import check_known, check_mid_channels, check_options, check_stages, choice_of_width

OPS = ("choice_3", "choice_5", "choice_7", "choice_x")
ROUNDED_WIDTHS = (0.5, 1.0, 1.5)  # of --fixed-ops where mid channels are rounded: the paper's would coincide
WIDTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)  # paper Sec. 4, "Channels": 0.2x to 1.6x, stride 0.2


@dataclass(frozen=True)
class Options:
    """Options of the space. The defaults are the paper's Table 2."""

    in_channels: int = 3
    size_px: int = 224
    classes: int = 1000
    stem_channels: int = 16
    stem_stride: int = 2
    stage_widths: tuple[int, ...] = (64, 160, 320, 640)
    stage_repeats: tuple[int, ...] = (4, 4, 8, 4)
    head_channels: int = 1024
    dropout: float = 0.1
    ops: tuple[str, ...] = OPS
    widths: tuple[float, ...] = (1.0,)
    round_to: int = 1  # mid channels are a multiple of this; 1 truncates to whole channels, as in the paper
    fixed_ops: tuple[str, ...] = ()  # one op for each block; only the widths are searched then


PAPER = Options()
CHANNELS = Options(ops=("choice_3",), widths=WIDTHS)
JOINT = Options(widths=WIDTHS)
QUICK = Options(
    in_channels=1,
    size_px=28,
    classes=10,
    stage_widths=(48, 96),
    stage_repeats=(4, 4),
    head_channels=128,
    dropout=0.0,
    round_to=8,
)


def shufflenet_v2(name: str, options: Options) -> SearchSpace:
    """The space of stages whose first block has stride 2, between stem and head.

    Raises:
        ValueError: an option is out of range, the per-stage lists differ in length, or a stage's width is odd or not
            larger than the one before it (a stride-2 block outputs its input channels and new ones).
    """
    _validate(options)
    blocks: list[ChoiceBlock] = []
    c_in = options.stem_channels
    size_px = ceil_div(options.size_px, options.stem_stride)
    for c_out, repeats in zip(options.stage_widths, options.stage_repeats, strict=True):
        for position in range(repeats):
            choices = _choices(options, len(blocks), c_out // 2)
            block = ChoiceBlock(c_in, c_out, size_px, stride=2 if position == 0 else 1, choices=choices)
            blocks.append(block)
            c_in, size_px = c_out, block.out_px
    return SearchSpace(
        name=name,
        family="shufflenet_v2",
        in_channels=options.in_channels,
        size_px=options.size_px,
        classes=options.classes,
        stem=Stem(options.stem_channels, options.stem_stride),
        blocks=tuple(blocks),
        head=Head(options.head_channels, options.dropout),
    )


def _choices(options: Options, position: int, default: int) -> tuple[Choice, ...]:
    ops = options.fixed_ops[position : position + 1] or options.ops
    return tuple(
        choice_of_width(Choice(op, width), default, options.round_to) for op in ops for width in options.widths
    )


def _validate(options: Options) -> None:
    check_options(options)
    check_stages(stage_widths=options.stage_widths, stage_repeats=options.stage_repeats)
    check_known("op", (*options.ops, *options.fixed_ops), OPS)
    widths, blocks = options.stage_widths, sum(options.stage_repeats)
    if any(width % 2 for width in widths):
        raise ValueError(f"stage_widths {widths}: a block splits its channels into two halves, so each must be even")
    if any(wide <= narrow for narrow, wide in pairwise((options.stem_channels, *widths))):
        raise ValueError(
            f"stage_widths {widths}: each must be larger than the width before it (stem_channels for the first)"
        )
    if options.fixed_ops and len(options.fixed_ops) != blocks:
        raise ValueError(f"{len(options.fixed_ops)} fixed_ops for {blocks} choice blocks: give one for each block")
    check_mid_channels(options.widths, (width // 2 for width in widths), options.round_to)
