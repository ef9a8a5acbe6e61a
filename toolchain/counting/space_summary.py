"""`nastool space`: what a search space holds, what it costs, and how much of it fits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolchain.costs.core import Budget, TableCost
from toolchain.counting.feasible import FeasibleSet, Reach, cheapest_of, dearest_of, whole_space
from toolchain.counting.levels import CostLevels
from toolchain.counting.marginals import Marginals
from toolchain.spaces.core import SearchSpace

BINS = 20


@dataclass(frozen=True)
class Histogram:
    """How many architectures of the space have a cost in each bin (its upper edge included, and the least one)."""

    cost: TableCost
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SpaceSummary:
    """A space with its costs, the sets that fit each budget, and where constraint sampling leads."""

    space: SearchSpace
    reach: Mapping[str, Reach]  # over the whole space, by the cost's name
    costs: tuple[TableCost, ...]
    feasible: tuple[FeasibleSet, ...]
    histogram: Histogram
    levels: Marginals  # of uniform constraint sampling over the histogram's cost

    def as_dict(self) -> dict[str, Any]:
        """The content of --json."""
        blocks = [
            {"block": block.geometry, "choices": [choice.key for choice in block.choices]}
            for block in self.space.blocks
        ]
        histogram = self.histogram
        return {
            "space": self.space.name,
            "space_digest": self.space.digest,
            "size": self.space.size,
            "blocks": blocks,
            "costs": {cost.name: _reach(self.reach[cost.name], cost.convention) for cost in self.costs},
            "feasible": [_feasible(found) for found in self.feasible],
            "histogram": {"cost": histogram.cost.name, "edges": histogram.edges, "counts": histogram.counts},
            "constraint_sampling": {"cost": histogram.cost.name, "marginals": list(map(dict, self.levels))},
        }


def summarize_space(space: SearchSpace, costs: Sequence[TableCost], budgets: Sequence[Budget]) -> SpaceSummary:
    """Look at `space` under each of `budgets`. The first cost that is limited is shown as a histogram, else the first.

    Raises:
        BudgetInfeasible: nothing fits one of the budgets.
    """
    feasible = tuple(FeasibleSet(space, budget) for budget in budgets)
    shown = next((limit.cost for budget in budgets for limit in budget.limits), costs[0])
    edges, counts = whole_space(space, shown).histogram(shown, BINS)
    reach = {cost.name: reach_of(space, cost) for cost in costs}
    levels = CostLevels(space, shown).marginals()
    return SpaceSummary(space, reach, tuple(costs), feasible, Histogram(shown, edges, counts), levels)


def reach_of(space: SearchSpace, cost: TableCost) -> Reach:
    """The range of a cost over the whole space."""
    cheapest, dearest = cheapest_of(space, cost), dearest_of(space, cost)
    return Reach(cost.cost(cheapest), cost.cost(dearest), cheapest, dearest)


def _reach(reach: Reach, convention: str) -> dict[str, Any]:
    ends = asdict(reach) | {"cheapest": list(reach.cheapest.choices), "dearest": list(reach.dearest.choices)}
    return ends | {"convention": convention}


def _feasible(found: FeasibleSet) -> dict[str, Any]:
    limits = found.budget.limits
    return {
        "limits": {limit.cost.name: limit.most for limit in limits},
        "count": found.count,
        "most_count": found.most_count,
        "share": found.share,
        "exact": found.exact,
        "note": found.note,
        "costs": {limit.cost.name: _reach(found.range(limit.cost), limit.cost.convention) for limit in limits},
        "marginals": list(map(dict, found.marginals())),
    }
