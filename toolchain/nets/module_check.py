"""Build every block variant of a user's space once before any work starts, and compare shapes with the space.

`toolchain.spaces` checks a definition as data. Whether the modules of a user's file fit that definition is known only
once they are built; this happens on the meta device, so it computes nothing and takes milliseconds for each variant.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from toolchain.errors import NastoolError, UnknownSpace
from toolchain.nets.blocks import STANDALONE, SUPERNET
from toolchain.nets.model_space.shapes import BATCH, Shape
from toolchain.nets.network import Builder, builder_of
from toolchain.nets.supernet import SharedBlock
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace
from toolchain.spaces.user_file import failure


@cache
def check_modules(space: SearchSpace, path: Path) -> None:
    """Build stem, head and every block variant of a user's space, and compare their output shapes with the space.

    Args:
        path: the file that defines the space; error messages give the line in it that failed.

    Raises:
        UnknownSpace: a module fails or gives another shape; the message names the block and its choice.
    """
    builder = builder_of(space)
    first, last = space.blocks[0], space.blocks[-1]
    checker = _Checker(space, path)
    checker.check(
        "the stem",
        lambda x: _module(builder.build_stem(space, STANDALONE))(x),
        space.input_shape,
        (first.c_in, first.size_px, first.size_px),
    )
    seen: set[ChoiceBlock] = set()
    for number, block in enumerate(space.blocks):
        if block not in seen:
            seen.add(block)
            checker.check_block(number, block)
    checker.check(
        "the head",
        lambda x: _module(builder.build_head(space, STANDALONE))(x),
        (last.c_out, last.out_px, last.out_px),
        (space.classes,),
    )


class _Checker:
    """Runs modules on the meta device and reports whatever fails in one sentence."""

    def __init__(self, space: SearchSpace, path: Path) -> None:
        self._space, self._path = space, path

    def check_block(self, number: int, block: ChoiceBlock) -> None:
        """Check every choice of a block, each as a slice of the weights that all choices of its op share."""
        where = f"block {number} ({block.geometry})"
        shared = self._shared(where, block)
        for choice in block.choices:
            self.check(
                f"choice {choice.key!r} of {where}",
                partial(shared, key=choice.key),
                (block.c_in, block.size_px, block.size_px),
                (block.c_out, block.out_px, block.out_px),
            )

    def check(self, what: str, forward: Callable[[Tensor], object], shape: Shape, expected: Shape) -> None:
        """Compare the output shape for an input of `shape` with `expected`; both without the batch dimension."""
        output = self._run(what, lambda: forward(torch.empty(BATCH, *shape)))
        if not isinstance(output, Tensor):
            self._refuse(f"{what} returns a {type(output).__name__} instead of a tensor")
        elif tuple(output.shape) != (BATCH, *expected):
            self._refuse(
                f"{what} gives {_text(tuple(output.shape)[1:])} for an input of {_text(shape)}, but the space says "
                f"{_text(expected)}"
            )

    def _shared(self, where: str, block: ChoiceBlock) -> SharedBlock:
        builder = builder_of(self._space)

        def build() -> SharedBlock:
            return SharedBlock(block, builder, SUPERNET).eval()

        try:
            with torch.device("meta"):
                return build()
        except (Exception, SystemExit):  # find the choice that fails by itself, else blame the sharing of weights
            for choice in block.choices:
                self._run(f"choice {choice.key!r} of {where}", partial(_build_choice, builder, block, choice))
            return cast(SharedBlock, self._run(f"the shared weights of {where}", build))

    def _run(self, what: str, action: Callable[[], object]) -> object:
        try:
            with torch.device("meta"), torch.no_grad():
                return action()
        except (NastoolError, KeyboardInterrupt):
            raise
        except BaseException as problem:  # whatever the user's code raises, exit() included
            raise UnknownSpace(
                f"space {self._space.name!r}: {what} cannot be built: {failure(self._path, problem)}. Correct the file"
            ) from problem

    def _refuse(self, problem: str) -> None:
        raise UnknownSpace(f"space {self._space.name!r}: {problem}. Correct the file")


def _build_choice(builder: Builder, block: ChoiceBlock, choice: Choice) -> nn.Module:
    return _module(builder.build_block(block, choice, SUPERNET))


def _module(built: object) -> nn.Module:
    if not isinstance(built, nn.Module):
        raise TypeError(f"the builder returns a {type(built).__name__} instead of an nn.Module")
    return built.eval()


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"
