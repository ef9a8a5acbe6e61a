"""The colors of ops and bit widths in pictures and reports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toolchain.spaces.core import FLOAT_BITS, Choice
from toolchain.spaces.mbconv import SKIP

OPS = ("#0b6e99", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#c77d3f", "#4f9da6", "#a05a7c")
BITS = ("#f0c9a4", "#e8a56a", "#d97f3e", "#b85c20", "#8a3f12", "#5e2808", "#3c1803", "#1f0c01")  # few bits are light
FIXED = "#8c8c8c"  # stem and head, and skipped blocks
FLOAT = "float32"


@dataclass(frozen=True)
class Look:
    """What the color of a choice depends on: its op, and its bits of weights and activations."""

    op: str
    w_bits: int = FLOAT_BITS
    a_bits: int = FLOAT_BITS

    @property
    def bits(self) -> str:
        """`w2a4`, or `float32`."""
        return FLOAT if self.w_bits == FLOAT_BITS else f"w{self.w_bits}a{self.a_bits}"


def look_of(choice: Choice) -> Look:
    """The look of a choice."""
    return Look(choice.op, choice.w_bits, choice.a_bits)


def colors_of(looks: Iterable[Look]) -> Mapping[str, str]:
    """The color of each op; of each pair of bit widths where a look has bits. The keys are labels for a legend."""
    distinct = {look for look in looks if look.op != SKIP}
    if all(look.bits == FLOAT for look in distinct):
        return {op: OPS[number % len(OPS)] for number, op in enumerate(sorted({look.op for look in distinct}))}
    pairs = sorted({(look.w_bits * look.a_bits, look.w_bits, look.bits) for look in distinct})
    return {label: BITS[min(number, len(BITS) - 1)] for number, (_, _, label) in enumerate(pairs)}


def color_of(look: Look, colors: Mapping[str, str]) -> str:
    """The color of a look among those of `colors_of`; that of `skip` is gray."""
    return FIXED if look.op == SKIP else colors.get(look.op) or colors[look.bits]
