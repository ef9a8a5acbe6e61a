"""The paper's mixed-precision spaces (Sec. 4): ResNet-18 and ResNet-34 with bit widths and a width for each block.

The stem and the classifier are in float. `bits=float` gives the ordinary ResNet, `bits=w3a3,widths=1.0` a uniform
network.
"""

import re
from dataclasses import dataclass

from toolchain.spaces.core import FLOAT_BITS, Choice, ChoiceBlock, Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.validation import check_known, check_mid_channels, check_options, check_stages, choice_of_width

OPS = {"sawb": "basic", "dorefa": "basic_dorefa"}  # weight quantizer -> op of the blocks
BITS = ("w1a2", "w2a2", "w1a4", "w2a4", "w3a4", "w4a4")  # paper Sec. 4, "Mixed-Precision Quantization"
WIDTHS = (0.5, 1.0, 1.5)
FLOAT = "float"
MAX_W_BITS = {"sawb": 4, "dorefa": 7}  # SAWB has constants for 1 to 4 bits; DoReFa's codes must fit into an int8
MAX_A_BITS = 8
EXACT = 2**24  # float32 represents every integer up to here


@dataclass(frozen=True)
class Options:
    """Options of the space. The defaults are the paper's ResNet-18."""

    in_channels: int = 3
    size_px: int = 224
    classes: int = 1000
    stem_kernel: int = 7
    stem_stride: int = 2
    stem_pool: bool = True
    stage_widths: tuple[int, ...] = (64, 128, 256, 512)
    stage_repeats: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[float, ...] = WIDTHS
    round_to: int = 1  # mid channels are a multiple of this; 1 truncates to whole channels, as in the paper
    bits: tuple[str, ...] = BITS  # pairs such as w2a4, or `float`
    weights: str = "sawb"


RESNET18 = Options()
RESNET34 = Options(stage_repeats=(3, 4, 6, 3))


def resnet(name: str, options: Options) -> SearchSpace:
    """The space of stages of basic blocks between stem and classifier; all stages but the first have stride 2.

    Raises:
        ValueError: an option is out of range, the per-stage lists differ in length, a pair of bit widths is invalid
            or too wide, or the weight quantizer is unknown.
    """
    _validate(options)
    pairs = [_parse_bits(pair) for pair in options.bits]
    choices = [Choice(OPS[options.weights], width, w, a) for width in options.widths for w, a in pairs]
    blocks: list[ChoiceBlock] = []
    c_in = options.stage_widths[0]
    size_px = ceil_div(options.size_px, options.stem_stride * (2 if options.stem_pool else 1))
    for stage, (c_out, repeats) in enumerate(zip(options.stage_widths, options.stage_repeats, strict=True)):
        of_stage = tuple(choice_of_width(choice, c_out, options.round_to) for choice in choices)
        for position in range(repeats):
            block = ChoiceBlock(c_in, c_out, size_px, stride=2 if stage and position == 0 else 1, choices=of_stage)
            blocks.append(block)
            c_in, size_px = c_out, block.out_px
    return SearchSpace(
        name=name,
        family="resnet",
        in_channels=options.in_channels,
        size_px=options.size_px,
        classes=options.classes,
        stem=Stem(options.stage_widths[0], options.stem_stride, options.stem_kernel, pool=options.stem_pool),
        blocks=tuple(blocks),
        head=Head(channels=0),
    )


def _parse_bits(pair: str) -> tuple[int, int]:
    """`w2a4` as (2, 4), `float` as (32, 32)."""
    if pair == FLOAT:
        return FLOAT_BITS, FLOAT_BITS
    match = re.fullmatch(r"w([1-9])a([1-9])", pair)
    if match is None:
        raise ValueError(f"bits {pair!r} is not a pair of bit widths. Write it as in w2a4, or write {FLOAT}")
    return int(match[1]), int(match[2])


def _validate(options: Options) -> None:
    check_options(options)
    check_stages(stage_widths=options.stage_widths, stage_repeats=options.stage_repeats)
    if options.stem_kernel % 2 == 0:
        raise ValueError(f"stem_kernel is {options.stem_kernel}; it must be odd, such as 3 or 7")
    check_mid_channels(options.widths, options.stage_widths, options.round_to)
    check_known("weights", [options.weights], tuple(OPS))
    for pair in options.bits:
        if pair != FLOAT:
            _validate_bits(pair, options)


def _validate_bits(pair: str, options: Options) -> None:
    """Check that the codes fit, and that the sums of the widest 3x3 convolution are exact integers in float32."""
    w_bits, a_bits = _parse_bits(pair)
    most = MAX_W_BITS[options.weights]
    if w_bits > most or a_bits > MAX_A_BITS:
        raise ValueError(f"bits {pair}: weights={options.weights} supports up to w{most}a{MAX_A_BITS}")
    widest = max(options.stage_widths)
    channels = max(widest, Choice("", max(options.widths), round_to=options.round_to).mid(widest))
    greatest = (2**w_bits - 1) * (2**a_bits - 1) * 9 * channels
    if greatest >= EXACT:
        raise ValueError(
            f"bits {pair}: sums over {channels} channels reach {greatest:,}, but only sums below 2^24 are exact"
        )
