"""Draw one of the architectures that reach a state of `PartialSums`, walking back block by block."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.counting.dominance import RandomBelow, Weights
from toolchain.counting.partial_sums import PartialSums

CACHED_STATES = 2**14  # for each level


class BackwardSampler:
    """Draws the choices that lead to a state, in proportion to the weights.

    With the weights of `PartialSums` (numbers of architectures) all architectures that reach the state are equally
    likely. Frequently visited states are cached.
    """

    def __init__(
        self, half: PartialSums, weights: Sequence[Weights], factors: Sequence[NDArray[Any]] | None = None
    ) -> None:
        """`weights`: of the states of `half`, by level. `factors`: an additional weight by block and choice."""
        self._half = half
        self._weights = weights
        self._factors = factors
        self._cache: list[dict[int, tuple[list[Any], list[int], list[int]]]] = [{} for _ in weights]

    def draw(self, state: int, random_below: RandomBelow, chosen: list[int]) -> None:
        """Write the index of the choice of each block of the half into `chosen`, by the block's position."""
        for level in range(len(self._half.blocks), 0, -1):
            cumulative, choices, states = self._incoming(level, state)
            drawn = min(bisect_right(cumulative, random_below(cumulative[-1])), len(choices) - 1)
            chosen[self._half.blocks[level - 1]] = choices[drawn]
            state = states[drawn]

    def _incoming(self, level: int, state: int) -> tuple[list[Any], list[int], list[int]]:
        """The transitions into a state: their cumulative weights, their choices, and the states they start from."""
        cache = self._cache[level]
        if state in cache:
            return cache[state]
        choices, states = self._half.predecessors(level, state)
        weights = self._weights[level - 1][states]
        if self._factors is not None:
            weights = weights * self._factors[self._half.blocks[level - 1]][choices]
        incoming = (np.cumsum(weights).tolist(), choices.tolist(), states.tolist())
        if len(cache) < CACHED_STATES:
            cache[state] = incoming
        return incoming
