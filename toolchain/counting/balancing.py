"""Weights of choices with which every choice of a block is drawn equally often over all cost levels.

Uniform levels favor some choices: in the paper's space choice_x takes a third of the steps of the stride-2 blocks.
Iterative proportional fitting corrects this: the weight of each choice is divided by its share until all are alike.
"""

from collections.abc import Sequence

import numpy as np

from toolchain.counting.level_sums import LevelSums, Ticks, cumulative
from toolchain.counting.marginals import CachedTransitions, Factors, Floats, choice_shares, forward_weights

TOLERANCE = 0.002  # largest deviation of a share at which balancing stops
MAX_ROUNDS = 200
MIN_FACTOR = 1e-9  # of a choice that fits almost no level, relative to the block's largest factor


class Balancer:
    """Computes the shares of choices over all levels, and the factors that make them equal."""

    def __init__(self, sums: LevelSums, ticks: Sequence[Ticks]) -> None:
        """`ticks`: the sums of each level."""
        self._sums, self._ticks = sums, ticks
        self._transitions = tuple(map(CachedTransitions, sums.sides))

    def weights(self, factors: Factors) -> list[list[Floats]]:
        """The weights of the states of each side, by level of the side, where choices have factors."""
        return [
            forward_weights(transitions, [len(weights) for weights in side.weights], factors)
            for transitions, side in zip(self._transitions, self._sums.sides, strict=True)
        ]

    def shares(self, factors: Factors) -> list[Floats]:
        """By block, how often each choice is drawn with these factors, 0 to 1. All levels are equally likely."""
        weights = self.weights(factors)
        accumulated = [cumulative(levels[-1]) for levels in weights]
        completions: list[Floats] = [np.zeros(len(levels[-1])) for levels in weights]
        for ticks in self._ticks:
            outer, inner = (self._sums.completions(side, ticks, accumulated[1 - side]) for side in (0, 1))
            total = float(np.dot(weights[0][-1], outer))
            completions[0] += outer / total
            completions[1] += inner / total
        shares: dict[int, Floats] = {}
        for transitions, levels, completed in zip(self._transitions, weights, completions, strict=True):
            shares |= choice_shares(transitions, levels, completed, factors)
        return [shares[block] for block in range(len(self._sums.space.blocks))]

    def balanced_factors(self, factors: Factors) -> Factors:
        """Factors with which the choices of a block have equal shares, as far as the levels allow."""
        for _ in range(MAX_ROUNDS):
            shares = self.shares(factors)
            if max(float(np.abs(share - 1 / len(share)).max()) for share in shares) < TOLERANCE:
                break
            raised = [f / np.where(share > 0, share, 1) for f, share in zip(factors, shares, strict=True)]
            factors = tuple(np.maximum(f / f.max(), MIN_FACTOR) for f in raised)
        return factors
