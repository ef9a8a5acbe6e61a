"""How often each choice of each block occurs, computed from the partial sums of both halves of a space."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.counting.dominance import Ints
from toolchain.counting.partial_sums import PartialSums
from toolchain.spaces.core import SearchSpace

Floats = NDArray[np.float64]
Factors = Sequence[Floats]  # a weight by block and choice; an architecture's weight is their product
Marginals = tuple[Mapping[str, float], ...]  # by block: choice key -> share, 0 to 1


class CachedTransitions:
    """The transitions of a half, listed once, for repeated passes over it. This takes memory."""

    def __init__(self, half: PartialSums) -> None:
        self.blocks = half.blocks
        self._transitions = [list(half.transitions(level)) for level in range(1, len(half.blocks) + 1)]

    def transitions(self, level: int) -> Iterable[tuple[Ints, Ints]]:
        return self._transitions[level - 1]


def forward_weights(half: PartialSums | CachedTransitions, sizes: Sequence[int], factors: Factors) -> list[Floats]:
    """The weights of all states by level, where choices have factors. `sizes`: number of states by level."""
    levels = [np.ones(1)]
    for level, (block, size) in enumerate(zip(half.blocks, sizes[1:], strict=True), 1):
        weights = np.zeros(size)
        for factor, (before, after) in zip(factors[block], half.transitions(level), strict=True):
            weights[after] += factor * levels[-1][before]  # one choice leads different states to different states
        levels.append(weights)
    return levels


def choice_shares(
    half: PartialSums | CachedTransitions,
    levels: Sequence[NDArray[Any]],
    completions: Floats,
    factors: Factors | None = None,
) -> dict[int, Floats]:
    """By block, the share of each choice, 0 to 1.

    Args:
        levels: weights of the states of `half`, by level.
        completions: for each state of the last level, the weight of everything in the other half that completes it.
        factors: an additional weight by block and choice.
    """
    result = {}
    for level in range(len(half.blocks), 0, -1):
        block = half.blocks[level - 1]
        completions_before = np.zeros(len(levels[level - 1]))
        weights = levels[level - 1].astype(float)
        totals = []
        for choice, (before, after) in enumerate(half.transitions(level)):
            factor = 1.0 if factors is None else factors[block][choice]
            onward = factor * completions[after]
            completions_before[before] += onward
            totals.append(float(np.dot(weights[before], onward)))
        result[block] = np.array(totals) / sum(totals)
        completions = completions_before
    return result


def keyed_by_choice(space: SearchSpace, shares: Mapping[int, Floats] | Sequence[Floats]) -> Marginals:
    """Shares by block and choice index as mappings from choice keys."""
    return tuple(
        {choice.key: float(share) for choice, share in zip(block.choices, shares[i], strict=True)}
        for i, block in enumerate(space.blocks)
    )
