"""Whether a search leaves the range of cost that the supernet was trained on."""

from collections.abc import Sequence

from toolchain.costs.core import Budget, TableCost
from toolchain.costs.counters import default_cost_name
from toolchain.counting.levels import LEVELS, percentile_edges
from toolchain.spaces.core import SearchSpace
from toolchain.training.trained_supernet import TrainedSupernet

TOLERANCE = 1e-9  # relative: a limit in text is rounded


def outside_trained_range(trained: TrainedSupernet, space: SearchSpace, budgets: Sequence[Budget]) -> str | None:
    """A sentence if a limit lies outside the levels that paths were sampled from; None if none does.

    Only limits on the cost of the levels are compared. If a limit is above the range, the largest networks that fit
    were not sampled; if it is below, none of the networks that fit was.
    """
    if trained.sampler == "uniform":
        return None
    name = trained.sampling.cost if trained.sampling else default_cost_name(space)
    limits = [limit for budget in budgets for limit in budget.limits if limit.cost.name == name]
    if not limits:
        return None
    cost = limits[0].cost
    low, high = _range(trained, space, cost)
    outside = [
        limit.most
        for limit in limits
        if limit.most < low * (1 - TOLERANCE) or min(limit.most, cost.greatest) > high * (1 + TOLERANCE)
    ]
    if not outside:
        return None
    amounts = ", ".join(cost.format(most) for most in sorted(set(outside)))
    return (
        f"{name} of {amounts}: outside the range that the supernet was trained on ({cost.format(low)} to "
        f"{cost.format(high)}), so inherited accuracies may mislead. nastool train --budgets covers it"
    )


def _range(trained: TrainedSupernet, space: SearchSpace, cost: TableCost) -> tuple[float, float]:
    sampling = trained.sampling
    if sampling and sampling.low is not None and sampling.high is not None:
        return sampling.low, sampling.high
    levels = sampling.levels if sampling else LEVELS
    edges = percentile_edges(space, cost, levels, balanced=trained.sampler == "balanced")
    return edges[0], edges[-1]
