"""Which networks become finalists.

Half of them are the best candidates of the search. The others are what a user would choose by hand: networks with one
choice in all blocks, and the network with the most MACs in the budget. Where the supernet ranks well they lose in the
first round; where it does not, the search returns no worse a network than they are.
"""

from collections.abc import Sequence

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.search.strategies import Scored, best_first, unique
from toolchain.spaces.core import Architecture, SearchSpace

MIN_DIFFERENCE = 8  # finalists from the search differ in at least one block of this many


def simple_networks(space: SearchSpace, budget: Budget, expected: Budget, macs: TableCost) -> list[Architecture]:
    """The networks with the most MACs, and the uniform ones that fit, those with the most MACs first.

    A uniform network has one choice in all blocks that have it, and the choice with the most MACs in the others. The
    network with the most MACs is predicted at the limit, so it often measures above; the one with the most MACs within
    the margin then takes part in its place.

    Args:
        budget: with the margin of the prediction.
        expected: the same limits on predictions without a margin, as a user would pick networks.
    """
    fitting = [arch for arch in uniform_networks(space, macs) if expected.allows(arch)]
    fitting.sort(key=lambda arch: -macs.cost(arch))
    largest, safe = (largest_network(space, limits, macs) for limits in (expected, budget))
    return list(dict.fromkeys([*largest, *fitting[:1], *safe, *fitting[1:]]))


def uniform_networks(space: SearchSpace, macs: TableCost) -> list[Architecture]:
    """For each choice of the space, the network that has it in every block that offers it."""
    keys = dict.fromkeys(choice.key for block in space.blocks for choice in block.choices)
    networks = (
        Architecture(
            space.name,
            tuple(
                key if key in row else max(row, key=row.__getitem__)  # blocks without this choice
                for row in macs.rows
            ),
        )
        for key in keys
    )
    return list(dict.fromkeys(networks))


def largest_network(space: SearchSpace, budget: Budget, macs: TableCost) -> list[Architecture]:
    """The network with the most MACs in `budget`; none if nothing fits."""
    limits = [limit for limit in budget.limits if limit.cost.name != macs.name]
    most = next((limit.most for limit in budget.limits if limit.cost.name == macs.name), float("inf"))
    limit = Limit(macs, most)
    try:
        return [FeasibleSet(space, Budget((*limits, limit))).range(macs).most_expensive]
    except BudgetInfeasible:
        return []


def proposed(scored: Sequence[Scored], simple: Sequence[Scored]) -> tuple[Scored, ...]:
    """Candidates in the order in which they become finalists: alternately the best that differ and simple ones.

    Each candidate comes once, and all come, so that there are others where some miss the budget when measured.

    Args:
        scored: of the search, within the budget.
        simple: in order of preference.
    """
    best = differing(best_first(scored), {candidate.architecture for candidate in simple})
    alternating = [candidate for pair in zip(best, simple, strict=False) for candidate in pair]
    return unique(alternating, best, simple, best_first(scored))


def differing(ranked: Sequence[Scored], taken: set[Architecture]) -> list[Scored]:
    """Those of `ranked` that differ from all before them, and from `taken`, in a share of their blocks."""
    chosen: list[Scored] = []
    others = list(taken)
    for candidate in ranked:
        keys = candidate.architecture.choices
        least = max(1, len(keys) // MIN_DIFFERENCE)
        if all(_differences(keys, other.choices) >= least for other in others):
            chosen.append(candidate)
            others.append(candidate.architecture)
    return chosen


def _differences(first: Sequence[str], second: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))
