"""What a search will do, checked before anything is read from the run or written to it."""

from dataclasses import dataclass

from latency_db.target import Target
from toolchain.config import Config
from toolchain.costs.core import Limit, TableCost
from toolchain.costs.latency import LatencyModel
from toolchain.costs.regression import REGRESSION
from toolchain.counting.feasible import FeasibleSet
from toolchain.measuring.from_config import resolve_target
from toolchain.measuring.target import ReadyTarget
from toolchain.search.budget import Costs, NamedBudget, named_budgets
from toolchain.spaces.core import SearchSpace


@dataclass(frozen=True)
class SharedDevice:
    """A further device that the budget of a plan holds on as well.

    Args:
        device: as it was given.
        limit: on its latency, a cost with a name of its own.
    """

    device: str
    limit: Limit
    model: LatencyModel
    ready: ReadyTarget


@dataclass(frozen=True)
class SearchPlan:
    """The budgets of a search with their feasible sets, and the target of all latencies.

    Args:
        unmeasured: why no winner is measured; empty if winners are.
        ready: the device and backend that measure winners; None if nothing is measured.
        device: as it was given, if there are several; else empty.
        shared: the other devices of a shared budget.
    """

    budgets: tuple[tuple[NamedBudget, FeasibleSet], ...]
    costs: Costs
    target: Target
    unmeasured: str = ""
    ready: ReadyTarget | None = None
    device: str = ""
    shared: tuple[SharedDevice, ...] = ()

    @property
    def varied(self) -> TableCost:
        """The cost whose limit differs between the budgets, of which there are several."""
        first, last = self.budgets[0][0].budget.limits, self.budgets[-1][0].budget.limits
        return self.costs.named(next(a.cost.name for a, b in zip(first, last, strict=True) if a.most != b.most))


def plan_search(config: Config, space: SearchSpace, ready: ReadyTarget | None = None) -> SearchPlan:
    """Parse the limits, and check that each budget has feasible architectures.

    Args:
        ready: the target if it is resolved already; default: that of the configuration.

    Raises:
        BadUnit, BadConfig, MissingLatency, BudgetInfeasible, UnknownDevice, BackendUnavailable: the search is
            impossible.
    """
    target, ready = (ready.target, ready) if ready else resolve_target(config.profile, space)
    budgets, costs = named_budgets(config.search, space, target, config.profile.db)
    feasible = tuple((named, FeasibleSet(space, named.budget)) for named in budgets)
    unmeasured = why_unmeasured(target, bool(config.profile.target))
    return SearchPlan(feasible, costs, target, unmeasured, ready)


def why_unmeasured(target: Target, chosen_by_id: bool) -> str:
    """Why winners cannot be measured on this target; empty if they can."""
    if target.device_kind == "estimate":
        return f"{target.device_model} is not attached, and its latencies are estimates"
    if target.backend == REGRESSION:
        return f"latencies on {target.device_model} are fitted to networks that were measured elsewhere"
    if chosen_by_id:
        return f"latencies are those of the target {target.id} ({target.device_model}), which may not be attached"
    return ""
