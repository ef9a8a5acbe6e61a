"""WHAT can be chosen: choices, choice blocks, spaces and architectures. Data only, no torch.

A space is a row of choice blocks between a fixed stem and a fixed head (paper Fig. 1). A block's outside
(channels, map size, stride) is fixed and only its inside varies, which makes every cost a sum of a table.
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

FLOAT_BITS = 32  # of weights and activations that are not quantized


@dataclass(frozen=True, order=True)
class Choice:
    """One option of a choice block: which module, how wide inside, and with how many bits.

    Its text form `key` is used everywhere else: `choice_3`, `choice_5@1.2`, `basic@0.5:w2a4`.
    """

    op: str
    width: float = 1.0  # of the block's default mid channels
    w_bits: int = FLOAT_BITS
    a_bits: int = FLOAT_BITS

    @property
    def key(self) -> str:
        width = "" if self.width == 1.0 else f"@{self.width:g}"
        return f"{self.op}{width}" + (f":w{self.w_bits}a{self.a_bits}" if self.quantized else "")

    @property
    def quantized(self) -> bool:
        return (self.w_bits, self.a_bits) != (FLOAT_BITS, FLOAT_BITS)

    def mid(self, default: int) -> int:
        """This width of `default` mid channels, cut off to a whole number as in the published channel search.

        (Rounding gives other networks: 13 for 0.4 of 32, where the paper's 328M network has 12.)
        """
        return int(default * self.width + 1e-6)  # 0.6 * 80 must not become 47 in binary fractions


@dataclass(frozen=True)
class ChoiceBlock:
    """A position in the network: (N, c_in, size_px, size_px) -> (N, c_out, size_px/stride, size_px/stride)."""

    c_in: int
    c_out: int
    size_px: int
    stride: int
    choices: tuple[Choice, ...]

    @property
    def out_px(self) -> int:
        return ceil_div(self.size_px, self.stride)

    @property
    def geometry(self) -> str:
        """The fixed outside as text: `64x56px->160s2`."""
        return f"{self.c_in}x{self.size_px}px->{self.c_out}s{self.stride}"

    @cached_property
    def by_key(self) -> dict[str, Choice]:
        return {choice.key: choice for choice in self.choices}


@dataclass(frozen=True)
class Stem:
    """What is fixed before the choice blocks: a convolution, in some families with more behind it."""

    c_out: int  # channels that the first choice block gets
    stride: int  # of the convolution
    kernel: int = 3
    conv_channels: int = 0  # of the convolution where a fixed block follows (ProxylessNAS); 0: c_out
    pool: bool = False  # 3x3 maximum pooling with stride 2 (ResNet)


@dataclass(frozen=True)
class Head:
    """What is fixed after the choice blocks: 1x1 convolution, global average pool, dropout and classifier."""

    channels: int  # of the 1x1 convolution; 0: there is none (ResNet)
    dropout: float = 0.0


@dataclass(frozen=True)
class SearchSpace:
    """A family's blocks for one input shape and number of classes.

    `family` says which modules the ops are (`nets/network.py`). A user's own family brings its `builder`.
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
    builder_hash: str = ""  # of the builder's source, since other modules have other weights and latencies

    @property
    def parts_of(self) -> str:
        """What the keys of its measured parts begin with."""
        return f"{self.family}#{self.builder_hash}" if self.builder_hash else self.family

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return (self.in_channels, self.size_px, self.size_px)

    @property
    def size(self) -> int:
        """How many architectures there are."""
        product = 1
        for block in self.blocks:
            product *= len(block.choices)
        return product

    @property
    def quantized(self) -> bool:
        """Does any choice compute with fewer bits than float32?"""
        return any(choice.quantized for block in self.blocks for choice in block.choices)

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change when anything but the space's name does; checkpoints carry them."""
        text = json.dumps(asdict(replace(self, name="", builder=None)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def choices_of(self, arch: "Architecture") -> tuple[Choice, ...]:
        """The chosen `Choice` of each block, in order."""
        return tuple(block.by_key[key] for block, key in zip(self.blocks, arch.choices, strict=True))

    def draw(self, rng: Random) -> "Architecture":
        """One architecture, uniformly at random (paper Sec. 3.2)."""
        return Architecture(self.name, tuple(rng.choice(block.choices).key for block in self.blocks))

    def all_same(self, key: str) -> "Architecture":
        """The architecture that takes `key` in every block.

        Raises:
            BadArchitecture: a block does not offer that choice.
        """
        return self.architecture([key] * len(self.blocks))

    def architecture(self, choices: str | Sequence[str | int]) -> "Architecture":
        """An architecture from choice keys or indices; text is split at spaces and commas.

        Raises:
            BadArchitecture: the wrong number of choices, or a choice that its block does not offer.
        """
        words = re.split(r"[\s,]+", choices.strip()) if isinstance(choices, str) else list(choices)
        if len(words) != len(self.blocks):
            raise BadArchitecture(
                f"{self.name} has {len(self.blocks)} choice blocks, and {len(words)} choices were given. "
                f"Give one for each block, separated by spaces or commas"
            )
        keys = (
            _key_of(word, block, position)
            for position, (word, block) in enumerate(zip(words, self.blocks, strict=True))
        )
        return Architecture(self.name, tuple(keys))


@dataclass(frozen=True, order=True)
class Architecture:
    """One path through a space: a choice key for each block. Make it with `SearchSpace.architecture`."""

    space: str
    choices: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.choices)


def ceil_div(value: int, divisor: int) -> int:
    """The map size behind a convolution with `same` padding and stride `divisor`."""
    return -(-value // divisor)


def _key_of(word: str | int, block: ChoiceBlock, position: int) -> str:
    text = str(word)
    if text in block.by_key:
        return text
    if text.isdecimal() and int(text) < len(block.choices):
        return block.choices[int(text)].key
    raise BadArchitecture(
        f"choice block {position} ({block.geometry}) has no choice {text!r}. "
        f"It offers {', '.join(block.by_key)}, or their indices 0 to {len(block.choices) - 1}"
    )
