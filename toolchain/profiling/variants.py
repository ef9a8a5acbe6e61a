"""The parts of a space that are timed by themselves: stem, head, and each distinct choice of a block."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from toolchain.costs.latency import block_key, head_key, stem_key
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import builder_of
from toolchain.spaces.core import SearchSpace


@dataclass(frozen=True)
class Variant:
    """One part: its key in the latency table, its input (C, H, W), and how to build its module."""

    key: str
    input_shape: tuple[int, int, int]
    build: Callable[[], nn.Module]


def variants(space: SearchSpace) -> tuple[Variant, ...]:
    """Stem, head and distinct choices; the paper's space has 32 of them behind its 80 choices."""
    last, builder = space.blocks[-1], builder_of(space)
    found = {
        stem_key(space): Variant(stem_key(space), space.input_shape, partial(builder.build_stem, space, STANDALONE)),
        head_key(space): Variant(
            head_key(space), (last.c_out, last.out_px, last.out_px), partial(builder.build_head, space, STANDALONE)
        ),
    }
    for spec in space.blocks:
        for choice in spec.choices:
            key = block_key(space, spec, choice)
            shape = (spec.c_in, spec.size_px, spec.size_px)
            found.setdefault(key, Variant(key, shape, partial(builder.build_block, spec, choice, STANDALONE)))
    return tuple(found.values())
