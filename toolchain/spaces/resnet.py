"""The paper's mixed-precision spaces: ResNet-18 and ResNet-34 with a bit width pair and a width for each block.

Stem and classifier stay in float. `bits=float` gives the ordinary ResNet, `bits=w3a3,widths=1.0` a uniform network.
"""

import re
from dataclasses import dataclass

from toolchain.spaces.core import FLOAT_BITS, Choice, ChoiceBlock, Head, SearchSpace, Stem, ceil_div

OPS = {"sawb": "basic", "dorefa": "basic_dorefa"}  # how weights are quantized -> the blocks' op
BITS = ("w1a2", "w2a2", "w1a4", "w2a4", "w3a4", "w4a4")  # paper Sec. 4, "Mixed-Precision Quantization"
WIDTHS = (0.5, 1.0, 1.5)
FLOAT = "float"
MOST_W_BITS = {"sawb": 4, "dorefa": 7}  # SAWB has constants for 1 to 4 bits; DoReFa's codes must fit into an int8
MOST_A_BITS = 8
EXACT = 2**24  # float32 holds every whole number up to here


@dataclass(frozen=True)
class Numbers:
    """What may be set from outside, with the paper's ResNet-18 as the default."""

    in_channels: int = 3
    size_px: int = 224
    classes: int = 1000
    stem_kernel: int = 7
    stem_stride: int = 2
    stem_pool: bool = True
    stage_widths: tuple[int, ...] = (64, 128, 256, 512)
    stage_repeats: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[float, ...] = WIDTHS
    bits: tuple[str, ...] = BITS  # pairs such as w2a4, or `float`
    weights: str = "sawb"


RESNET18 = Numbers()
RESNET34 = Numbers(stage_repeats=(3, 4, 6, 3))


def resnet(name: str, numbers: Numbers) -> SearchSpace:
    """Stem with the first stage's width, stages of basic blocks, all but the first with stride 2, and a classifier.

    Raises:
        ValueError: widths and repeats differ in number, a number is not above zero, a bit pair can't be read or
            is too wide, or the way to quantize weights is unknown.
    """
    _validate(numbers)
    pairs = [_parse_bits(pair) for pair in numbers.bits]
    choices = tuple(Choice(OPS[numbers.weights], width, w, a) for width in numbers.widths for w, a in pairs)
    blocks: list[ChoiceBlock] = []
    c_in = numbers.stage_widths[0]
    size_px = ceil_div(numbers.size_px, numbers.stem_stride * (2 if numbers.stem_pool else 1))
    for stage, (c_out, repeats) in enumerate(zip(numbers.stage_widths, numbers.stage_repeats, strict=True)):
        for position in range(repeats):
            block = ChoiceBlock(c_in, c_out, size_px, stride=2 if stage and position == 0 else 1, choices=choices)
            blocks.append(block)
            c_in, size_px = c_out, block.out_px
    return SearchSpace(
        name=name,
        family="resnet",
        in_channels=numbers.in_channels,
        size_px=numbers.size_px,
        classes=numbers.classes,
        stem=Stem(numbers.stage_widths[0], numbers.stem_stride, numbers.stem_kernel, pool=numbers.stem_pool),
        blocks=tuple(blocks),
        head=Head(channels=0),
    )


def _parse_bits(pair: str) -> tuple[int, int]:
    """`w2a4` as (2, 4), `float` as (32, 32)."""
    if pair == FLOAT:
        return FLOAT_BITS, FLOAT_BITS
    match = re.fullmatch(r"w([1-9])a([1-9])", pair)
    if match is None:
        raise ValueError(f"bits {pair!r} can't be read. Write pairs as in w2a4, or {FLOAT}")
    return int(match[1]), int(match[2])


def _validate(numbers: Numbers) -> None:
    widths, repeats = numbers.stage_widths, numbers.stage_repeats
    if len(widths) != len(repeats) or not widths:
        raise ValueError(f"{len(widths)} stage_widths and {len(repeats)} stage_repeats: give one repeat a width")
    counts = (numbers.in_channels, numbers.size_px, numbers.classes, *widths, *repeats)
    if min(counts) < 1 or numbers.stem_stride not in (1, 2):
        raise ValueError("sizes, channels, classes and repeats must be 1 or more, stem_stride 1 or 2")
    if numbers.stem_kernel < 1 or numbers.stem_kernel % 2 == 0:
        raise ValueError(f"stem_kernel {numbers.stem_kernel}: it must be odd, as in 7 or 3")
    if not numbers.widths or len(set(numbers.widths)) != len(numbers.widths):
        raise ValueError("widths need one entry or more, each once")
    if min(Choice("", width).mid(w) for width in numbers.widths for w in widths) < 1:
        raise ValueError(f"widths {numbers.widths} leave a block of stage_widths {widths} without mid channels")
    if not numbers.bits or len(set(numbers.bits)) != len(numbers.bits):
        raise ValueError("bits need one entry or more, each once")
    if numbers.weights not in OPS:
        raise ValueError(f"no such way to quantize weights: {numbers.weights!r}. There are {', '.join(OPS)}")
    for pair in numbers.bits:
        if pair != FLOAT:
            _validate_bits(pair, numbers)


def _validate_bits(pair: str, numbers: Numbers) -> None:
    """The codes must fit, and so must the accumulators of the widest 3x3 convolution: whole numbers in float32."""
    w_bits, a_bits = _parse_bits(pair)
    most = MOST_W_BITS[numbers.weights]
    if w_bits > most or a_bits > MOST_A_BITS:
        raise ValueError(f"bits {pair}: weights={numbers.weights} takes up to w{most}a{MOST_A_BITS}")
    channels = round(max(numbers.stage_widths) * max(1.0, *numbers.widths))
    greatest = (2**w_bits - 1) * (2**a_bits - 1) * 9 * channels
    if greatest >= EXACT:
        raise ValueError(
            f"bits {pair}: sums over {channels} channels reach {greatest:,}, and are exact below 2^24 only"
        )
