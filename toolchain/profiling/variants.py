"""The block variants of a space that are timed separately: stem, head, and each distinct choice of a block."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from toolchain.costs.latency import head_key, stem_key, timed_key
from toolchain.measuring.export_int8 import as_inside, ends_in_relu
from toolchain.measuring.space_precision import CONTAINER, INT8_FP16
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import builder_of
from toolchain.spaces.core import SearchSpace


@dataclass(frozen=True)
class Variant:
    """A variant of a network, or a whole network.

    Args:
        key: in the latency table.
        input_shape: (C, H, W).
        build: builds its module.
        in_float: it stays in floats on a target of int8.
        after_block: its input is the output of a choice block, or of a stem that ends as blocks do.
        whole: it is a network, not a part of one.
    """

    key: str
    input_shape: tuple[int, int, int]
    build: Callable[[], nn.Module]
    in_float: bool = False
    after_block: bool = False
    whole: bool = False

    def form_on(self, form: str) -> str:
        """The form of its file where networks are timed in `form` (`toolchain.measuring.space_precision.form_of`)."""
        if not self.in_float or form not in (CONTAINER, INT8_FP16):
            return form
        return "fp16" if form == INT8_FP16 and not self.whole else "fp32"


def variants(space: SearchSpace) -> tuple[Variant, ...]:
    """Stem, head and distinct choices. The 80 choices of the paper's space are 32 distinct ones.

    Choices of 1 to 4 bits with the same width share an 8-bit container, which is timed once.
    """
    last, builder, low_bit = space.blocks[-1], builder_of(space), space.quantized
    build_stem, build_head = (partial(build, space, STANDALONE) for build in (builder.build_stem, builder.build_head))
    end_shape = (last.c_out, last.out_px, last.out_px)
    by_key = {
        stem_key(space): Variant(stem_key(space), space.input_shape, build_stem, in_float=low_bit),
        head_key(space): Variant(head_key(space), end_shape, build_head, in_float=low_bit, after_block=True),
    }
    for spec in space.blocks:
        for choice in spec.choices:
            key = timed_key(space, spec, choice)
            shape = (spec.c_in, spec.size_px, spec.size_px)
            build = partial(builder.build_block, spec, choice, STANDALONE)
            in_float = low_bit and not choice.quantized
            by_key.setdefault(key, Variant(key, shape, build, in_float, after_block=True))
    return tuple(by_key.values())


def inside_network(timed: tuple[Variant, ...], space: SearchSpace) -> tuple[Variant, ...]:
    """Variants that are timed in int8, with the input that they have in a network.

    Behind a choice block that ends in a ReLU it is uint8, else int8.
    """
    spec, builder = space.blocks[0], builder_of(space)
    block = builder.build_block(spec, spec.choices[0], STANDALONE)
    if not ends_in_relu(block, (spec.c_in, spec.size_px, spec.size_px)):
        return timed
    return tuple(
        replace(variant, build=partial(_inside, variant.build))
        if variant.after_block and not variant.in_float
        else variant
        for variant in timed
    )


def _inside(build: Callable[[], nn.Module]) -> nn.Module:
    return as_inside(build())
