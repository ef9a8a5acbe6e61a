"""The paper's spaces of ShuffleNet v2 blocks: building blocks (Table 2), channels (Table 4), and both at once.

Stem, 20 choice blocks, head. `QUICK` is the same space with other numbers, for images of 28 to 32 px on a CPU.
"""

from dataclasses import dataclass

from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem, ceil_div

OPS = ("choice_3", "choice_5", "choice_7", "choice_x")
WIDTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)  # paper Sec. 4, "Channels": 0.2x to 1.6x, stride 0.2


@dataclass(frozen=True)
class Numbers:
    """What may be set from outside, with the paper's Table 2 as the default."""

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
    fixed_ops: tuple[str, ...] = ()  # one a block: then only the widths are searched


PAPER = Numbers()
CHANNELS = Numbers(ops=("choice_3",), widths=WIDTHS)
JOINT = Numbers(widths=WIDTHS)
QUICK = Numbers(
    in_channels=1,
    size_px=28,
    classes=10,
    stage_widths=(48, 96),
    stage_repeats=(4, 4),
    head_channels=128,
    dropout=0.0,
)


def shufflenet_v2(name: str, numbers: Numbers) -> SearchSpace:
    """Stem, stages whose first block has stride 2, and head.

    Raises:
        ValueError: widths and repeats differ in number, a width is odd or not above the one before it
            (a stride-2 block emits its input channels beside new ones), or a number is not above zero.
    """
    _validate(numbers)
    blocks: list[ChoiceBlock] = []
    c_in = numbers.stem_channels
    size_px = ceil_div(numbers.size_px, numbers.stem_stride)
    for c_out, repeats in zip(numbers.stage_widths, numbers.stage_repeats, strict=True):
        for position in range(repeats):
            choices = _choices(numbers, len(blocks))
            block = ChoiceBlock(c_in, c_out, size_px, stride=2 if position == 0 else 1, choices=choices)
            blocks.append(block)
            c_in, size_px = c_out, block.out_px
    return SearchSpace(
        name=name,
        family="shufflenet_v2",
        in_channels=numbers.in_channels,
        size_px=numbers.size_px,
        classes=numbers.classes,
        stem=Stem(numbers.stem_channels, numbers.stem_stride),
        blocks=tuple(blocks),
        head=Head(numbers.head_channels, numbers.dropout),
    )


def _choices(numbers: Numbers, position: int) -> tuple[Choice, ...]:
    ops = numbers.fixed_ops[position : position + 1] or numbers.ops
    return tuple(Choice(op, width) for op in ops for width in numbers.widths)


def _validate(numbers: Numbers) -> None:
    widths, repeats = numbers.stage_widths, numbers.stage_repeats
    if len(widths) != len(repeats) or not widths:
        raise ValueError(f"{len(widths)} stage_widths and {len(repeats)} stage_repeats: give one repeat a width")
    if any(width % 2 for width in widths):
        raise ValueError(f"stage_widths {widths}: a block splits its channels in halves, so each must be even")
    if any(wide <= narrow for narrow, wide in zip((numbers.stem_channels, *widths), widths, strict=False)):
        raise ValueError(f"stage_widths {widths}: each must be above the width before it (the stem's first)")
    counts = (
        numbers.in_channels,
        numbers.size_px,
        numbers.classes,
        numbers.stem_channels,
        numbers.head_channels,
    )
    if min(*counts, *repeats) < 1 or numbers.stem_stride not in (1, 2) or not 0 <= numbers.dropout < 1:
        raise ValueError("sizes, channels, classes and repeats must be 1 or more, stem_stride 1 or 2, dropout 0 to 1")
    if unknown := {*numbers.ops, *numbers.fixed_ops} - set(OPS):
        raise ValueError(f"no such op: {', '.join(sorted(unknown))}. There are {', '.join(OPS)}")
    if numbers.fixed_ops and len(numbers.fixed_ops) != sum(repeats):
        raise ValueError(f"{len(numbers.fixed_ops)} fixed_ops for {sum(repeats)} choice blocks: give one a block")
    if not numbers.ops or not numbers.widths or len(set(numbers.widths)) != len(numbers.widths):
        raise ValueError("ops and widths need one entry or more, each once")
    if min(Choice("", width).mid(w // 2) for width in numbers.widths for w in widths) < 1:
        raise ValueError(f"widths {numbers.widths} leave a block of stage_widths {widths} without mid channels")
