"""Curves over the generations of searches."""

from collections.abc import Sequence
from itertools import accumulate, groupby

from toolchain.search.strategies import Scored


def best_so_far(scored: Sequence[Scored]) -> tuple[float, ...]:
    """For each generation, the best hold-out accuracy of all candidates up to it, 0 to 1."""
    ordered = sorted(scored, key=lambda candidate: candidate.generation)
    by_generation = groupby(ordered, key=lambda candidate: candidate.generation)
    return tuple(accumulate((max(candidate.accuracy for candidate in group) for _, group in by_generation), max))
