"""The content of `nastool space`: a space's choices and costs, and how much of it fits each budget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from toolchain.costs.core import Budget, TableCost
from toolchain.counting.feasible import CostRange, FeasibleSet, cheapest_of, most_expensive_of, whole_space
from toolchain.counting.levels import CostLevels
from toolchain.counting.marginals import Marginals
from toolchain.spaces.core import SearchSpace

BINS = 20


@dataclass(frozen=True)
class Histogram:
    """The number of architectures by cost. A bin includes its upper edge; the first bin includes its lower edge too."""

    cost: TableCost
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SpaceSummary:
    """A space with its costs, the feasible set of each budget, and the shares of choices in constraint sampling."""

    space: SearchSpace
    ranges: Mapping[str, CostRange]  # over the whole space, by the cost's name
    costs: tuple[TableCost, ...]
    feasible: tuple[FeasibleSet, ...]
    histogram: Histogram
    levels: Marginals  # of uniform constraint sampling over the histogram's cost

    def as_dict(self) -> dict[str, object]:
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
            "costs": {cost.name: _range_dict(self.ranges[cost.name], cost.convention) for cost in self.costs},
            "feasible": [_feasible_dict(feasible) for feasible in self.feasible],
            "histogram": {"cost": histogram.cost.name, "edges": histogram.edges, "counts": histogram.counts},
            "constraint_sampling": {"cost": histogram.cost.name, "marginals": list(map(dict, self.levels))},
        }


def summarize_space(space: SearchSpace, costs: Sequence[TableCost], budgets: Sequence[Budget]) -> SpaceSummary:
    """Describe `space` under each of `budgets`. The histogram is of the first limited cost, else of the first cost.

    Raises:
        BudgetInfeasible: no architecture fits one of the budgets.
    """
    feasible = tuple(FeasibleSet(space, budget) for budget in budgets)
    first = next((limit.cost for budget in budgets for limit in budget.limits), costs[0])
    edges, counts = whole_space(space, first).histogram(first, BINS)
    ranges = {cost.name: range_of(space, cost) for cost in costs}
    levels = CostLevels.build(space, first).marginals()
    return SpaceSummary(space, ranges, tuple(costs), feasible, Histogram(first, edges, counts), levels)


def range_of(space: SearchSpace, cost: TableCost) -> CostRange:
    """The range of a cost over the whole space."""
    cheapest, most_expensive = cheapest_of(space, cost), most_expensive_of(space, cost)
    return CostRange(cost.cost(cheapest), cost.cost(most_expensive), cheapest, most_expensive)


def _range_dict(ends: CostRange, convention: str) -> dict[str, object]:
    architectures = {
        "cheapest": list(ends.cheapest.choices),
        "most_expensive": list(ends.most_expensive.choices),
    }
    return asdict(ends) | architectures | {"convention": convention}


def _feasible_dict(feasible: FeasibleSet) -> dict[str, object]:
    limits = feasible.budget.limits
    return {
        "limits": {limit.cost.name: limit.most for limit in limits},
        "count": feasible.count,
        "most_count": feasible.most_count,
        "share": feasible.share,
        "exact": feasible.exact,
        "note": feasible.note,
        "costs": {limit.cost.name: _range_dict(feasible.range(limit.cost), limit.cost.convention) for limit in limits},
        "marginals": list(map(dict, feasible.marginals())),
    }
