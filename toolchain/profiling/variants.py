"""The block variants of a space that are timed separately: stem, head, and each distinct choice of a block."""

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
    """A variant: its key in the latency table, its input shape (C, H, W), and how to build its module."""

    key: str
    input_shape: tuple[int, int, int]
    build: Callable[[], nn.Module]


def variants(space: SearchSpace) -> tuple[Variant, ...]:
    """Stem, head and distinct choices. The 80 choices of the paper's space are 32 distinct ones."""
    last, builder = space.blocks[-1], builder_of(space)
    by_key = {
        stem_key(space): Variant(stem_key(space), space.input_shape, partial(builder.build_stem, space, STANDALONE)),
        head_key(space): Variant(
            head_key(space), (last.c_out, last.out_px, last.out_px), partial(builder.build_head, space, STANDALONE)
        ),
    }
    for spec in space.blocks:
        for choice in spec.choices:
            key = block_key(space, spec, choice)
            shape = (spec.c_in, spec.size_px, spec.size_px)
            by_key.setdefault(key, Variant(key, shape, partial(builder.build_block, spec, choice, STANDALONE)))
    return tuple(by_key.values())
