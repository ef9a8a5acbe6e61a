"""How often each choice of each block occurs, from the states of both sides of a space."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.counting.dominance import Ints
from toolchain.counting.partial_sums import PartialSums
from toolchain.spaces.core import SearchSpace

Floats = NDArray[np.float64]
Factors = Sequence[Floats]  # a weight by block and choice; an architecture's is their product
Marginals = tuple[Mapping[str, float], ...]  # by block: choice key -> share


class Ways:
    """The ways through a side, listed once. For sides that are gone through again and again; it takes memory."""

    def __init__(self, side: PartialSums) -> None:
        self.blocks = side.blocks
        self._edges = [list(side.edges(level)) for level in range(1, len(side.blocks) + 1)]

    def edges(self, level: int) -> Iterable[tuple[Ints, Ints]]:
        return self._edges[level - 1]


def weights_of(side: PartialSums | Ways, sizes: Sequence[int], factors: Factors) -> list[Floats]:
    """The weights of all states, level by level, where choices have factors. `sizes`: states a level."""
    levels = [np.ones(1)]
    for level, (block, size) in enumerate(zip(side.blocks, sizes[1:], strict=True), 1):
        weights = np.zeros(size)
        for factor, (start, end) in zip(factors[block], side.edges(level), strict=True):
            weights[end] += factor * levels[-1][start]  # a choice leads different states to different states
        levels.append(weights)
    return levels


def shares(
    side: PartialSums | Ways, levels: Sequence[NDArray[Any]], completions: Floats, factors: Factors | None = None
) -> dict[int, Floats]:
    """By block, the share of each choice, 0 to 1.

    `completions`: for each last state of the side, the weight of all that it is completed to on the other side.
    """
    found = {}
    for level in range(len(side.blocks), 0, -1):
        block = side.blocks[level - 1]
        before = np.zeros(len(levels[level - 1]))
        through = []
        weights = levels[level - 1].astype(float)
        for choice, (start, end) in enumerate(side.edges(level)):
            factor = 1.0 if factors is None else factors[block][choice]
            onward = factor * completions[end]
            before[start] += onward
            through.append(float(np.dot(weights[start], onward)))
        found[block] = np.array(through) / sum(through)
        completions = before
    return found


def by_key(space: SearchSpace, found: Mapping[int, Floats] | Sequence[Floats]) -> Marginals:
    """Shares by block and choice as mappings from choice keys."""
    return tuple(
        {choice.key: float(share) for choice, share in zip(block.choices, found[i], strict=True)}
        for i, block in enumerate(space.blocks)
    )
