"""Search spaces as data: choices, choice blocks, spaces and architectures. No torch here.

A space is a sequence of choice blocks between a fixed stem and a fixed head (paper Fig. 1). A block's geometry
(channels, map size, stride) is fixed and only its inside varies, so every cost is a sum over a table.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from toolchain.errors import BadArchitecture

MAX_DIGITS = 9  # of a choice's index; Python refuses to convert very long ones
MAX_SHOWN = 80  # characters of a wrong choice in an error message
WIDTH = re.compile(r"@(\d{1,9}(?:\.\d{1,9})?)(?=:|$)")  # in a choice that was typed; `@2.0` is the key's `@2`
FLOAT_BITS = 32  # bit width of weights and activations that are not quantized


@dataclass(frozen=True, order=True)
class Choice:
    """One option of a choice block: its module (op), relative width, and bit widths.

    All other code refers to a choice by its text `key`: `choice_3`, `choice_5@1.2`, `basic@0.5:w2a4`.
    """

    op: str
    width: float = 1.0  # multiple of the block's default mid channels
    w_bits: int = FLOAT_BITS
    a_bits: int = FLOAT_BITS
    round_to: int = 1  # the mid channels are a multiple of this; 1 truncates to whole channels, as in the paper

    @property
    def key(self) -> str:
        return f"{self.op}{_width_suffix(self.width)}" + (f":w{self.w_bits}a{self.a_bits}" if self.quantized else "")

    @property
    def quantized(self) -> bool:
        return (self.w_bits, self.a_bits) != (FLOAT_BITS, FLOAT_BITS)

    def mid(self, default: int) -> int:
        """Mid channels for a block whose default is `default`.

        With `round_to` 1 they are truncated as in the published channel search: 0.4 * 32 channels are 12 in the
        paper's 328M network, not 13. Else they are rounded to a multiple (see `rounded`). A width of 1 always gives
        the default.
        """
        if self.round_to > 1 and self.width != 1.0:
            return rounded(default * self.width, self.round_to)
        return int(default * self.width + 1e-6)  # without the 1e-6, 0.6 * 80 gives 47 in floating point


@dataclass(frozen=True)
class ChoiceBlock:
    """A position with several choices: (N, c_in, size_px, size_px) -> (N, c_out, size_px/stride, size_px/stride)."""

    c_in: int
    c_out: int
    size_px: int
    stride: int
    choices: tuple[Choice, ...]
    fixed_out_px: int = 0  # map size of the output where no stride gives it, as without padding; 0: from the stride

    @property
    def out_px(self) -> int:
        return self.fixed_out_px or ceil_div(self.size_px, self.stride)

    @property
    def geometry(self) -> str:
        """Channels, map size and stride as text: `64x56px->160s2`; without a stride `64x56px->160x54px`."""
        end = f"x{self.fixed_out_px}px" if self.fixed_out_px else f"s{self.stride}"
        return f"{self.c_in}x{self.size_px}px->{self.c_out}{end}"

    @cached_property
    def by_key(self) -> dict[str, Choice]:
        return {choice.key: choice for choice in self.choices}


@dataclass(frozen=True)
class Stem:
    """The fixed part before the choice blocks: a convolution, in some families followed by more layers."""

    c_out: int  # channels of the first choice block's input
    stride: int  # stride of the convolution
    kernel: int = 3
    conv_channels: int = 0  # output of the convolution where a fixed block follows (ProxylessNAS); 0 means c_out
    pool: bool = False  # add 3x3 max pooling with stride 2 (ResNet)


@dataclass(frozen=True)
class Head:
    """The fixed part after the choice blocks: 1x1 convolution, global average pool, dropout and classifier."""

    channels: int  # output of the 1x1 convolution; 0 means no 1x1 convolution (ResNet)
    dropout: float = 0.0


@dataclass(frozen=True)
class SearchSpace:
    """A family's choice blocks for one input shape and number of classes.

    `family` selects the modules that implement the ops (`nets/network.py`). A user's own family has its own `builder`,
    a module with build_stem, build_block and build_head.
    """

    name: str
    family: str
    in_channels: int
    size_px: int
    classes: int
    stem: Stem
    blocks: tuple[ChoiceBlock, ...]
    head: Head
    builder: Any = field(default=None, compare=False, repr=False)
    builder_hash: str = ""  # hash of the builder's source file: other modules have other weights and latencies

    @property
    def key_prefix(self) -> str:
        """Prefix of the keys of its block variants in the latency table."""
        return f"{self.family}#{self.builder_hash}" if self.builder_hash else self.family

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return (self.in_channels, self.size_px, self.size_px)

    @property
    def stem_px(self) -> int:
        """Size of the maps after a built-in stem."""
        return ceil_div(self.size_px, self.stem.stride * (2 if self.stem.pool else 1))

    @property
    def size(self) -> int:
        """Number of architectures."""
        product = 1
        for block in self.blocks:
            product *= len(block.choices)
        return product

    @property
    def quantized(self) -> bool:
        """Whether any choice has fewer bits than float32."""
        return any(choice.quantized for block in self.blocks for choice in block.choices)

    @cached_property
    def digest(self) -> str:
        """16 hex digits that identify everything but the space's name; checkpoints contain them."""
        content = asdict(replace(self, name="", builder=None))
        for block in content["blocks"]:
            if not block["fixed_out_px"]:  # keeps the digests of versions without this field
                del block["fixed_out_px"]
        for choice in (choice for block in content["blocks"] for choice in block["choices"]):
            if choice["round_to"] == 1:  # keeps the digests of versions without this field
                del choice["round_to"]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def choices_of(self, arch: "Architecture") -> tuple[Choice, ...]:
        """The selected `Choice` of each block, in order."""
        return tuple(block.by_key[key] for block, key in zip(self.blocks, arch.choices, strict=True))

    def quantizes(self, arch: "Architecture") -> bool:
        """Whether `arch` has layers of fewer bits than float32."""
        return any(choice.quantized for choice in self.choices_of(arch))

    def draw(self, rng: Random) -> "Architecture":
        """One architecture, drawn uniformly (paper Sec. 3.2)."""
        return Architecture(self.name, tuple(rng.choice(block.choices).key for block in self.blocks))

    def all_same(self, key: str) -> "Architecture":
        """The architecture with the choice `key` in every block.

        Raises:
            BadArchitecture: a block does not offer that choice.
        """
        return self.architecture([key] * len(self.blocks))

    def architecture(self, choices: str | Sequence[str | int]) -> "Architecture":
        """An architecture from choice keys or indices; text is split at spaces and commas.

        Raises:
            BadArchitecture: the number of choices is wrong, or a block does not offer its choice.
        """
        words = re.split(r"[\s,]+", choices.strip()) if isinstance(choices, str) else list(choices)
        if len(words) != len(self.blocks):
            keys = dict.fromkeys(key for block in self.blocks for key in block.by_key)
            if unknown := [word for word in words if isinstance(word, str) and not word.isdigit() and word not in keys]:
                raise BadArchitecture(f"{self.name} has no choice {unknown[0]!r}. Its choices: {', '.join(keys)}")
            given = "1 choice was" if len(words) == 1 else f"{len(words)} choices were"
            raise BadArchitecture(
                f"{self.name} has {len(self.blocks)} choice blocks, but {given} given. Give one choice for each "
                f"block, separated by spaces or commas"
            )
        chosen = (
            _key_of(word, block, position)
            for position, (word, block) in enumerate(zip(words, self.blocks, strict=True))
        )
        return Architecture(self.name, tuple(chosen))


@dataclass(frozen=True, order=True)
class Architecture:
    """One path through a space: a choice key for each block. Create it with `SearchSpace.architecture`."""

    space: str
    choices: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.choices)


def _width_suffix(width: float) -> str:
    return "" if width == 1.0 else f"@{width:g}"


def ceil_div(value: int, divisor: int) -> int:
    """`value / divisor`, rounded up: the map size after a convolution with `same` padding and stride `divisor`."""
    return -(-value // divisor)


def rounded(channels: float, multiple: int) -> int:
    """The nearest multiple that is at most 10 % below `channels`, at least one multiple (MobileNet v2's rule)."""
    nearest = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return nearest + multiple if nearest < 0.9 * channels else nearest


def _key_of(word: str | int, block: ChoiceBlock, position: int) -> str:
    text = WIDTH.sub(lambda match: _width_suffix(float(match[1])), str(word))
    if text in block.by_key:
        return text
    if text.isdecimal() and len(text) <= MAX_DIGITS and int(text) < len(block.choices):
        return block.choices[int(text)].key
    raise BadArchitecture(
        f"choice block {position} ({block.geometry}) has no choice {text[:MAX_SHOWN]!r}. "
        f"Available: {', '.join(block.by_key)}, or their indices 0 to {len(block.choices) - 1}"
    )
