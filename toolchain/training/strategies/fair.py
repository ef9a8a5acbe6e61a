"""Strict fairness (Chu et al., FairNAS, ICCV 2021): all choices of a block get the same number of updates.

A step is a round of paths on the same images. The choices of each block are shuffled, and path i takes the i-th of
each, so that each choice is trained exactly once before the weights change. A block with fewer choices than the largest
block begins again with another order: its choices are trained once or more, and differ by at most one in a round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

from toolchain.spaces.core import Architecture, ChoiceBlock, SearchSpace
from toolchain.training.strategies.core import Path


@dataclass(frozen=True)
class Fair:
    """`fair`: as many paths as the largest block has choices, which together contain each choice of each block."""

    space: SearchSpace

    @property
    def paths_per_step(self) -> int:
        return max(len(block.choices) for block in self.space.blocks)

    def paths(self, rng: Random) -> Sequence[Path]:
        columns = [_order(block, self.paths_per_step, rng) for block in self.space.blocks]
        return tuple(Path(Architecture(self.space.name, keys)) for keys in zip(*columns, strict=True))


def _order(block: ChoiceBlock, count: int, rng: Random) -> list[str]:
    """`count` keys of the block's choices: permutations one after the other."""
    keys = [choice.key for choice in block.choices]
    return [key for _ in range(ceil(count / len(keys))) for key in rng.sample(keys, len(keys))][:count]
