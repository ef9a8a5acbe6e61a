"""Budgets over the costs of a space, from the limits that a user gave as text."""

from dataclasses import dataclass, replace
from random import Random
from statistics import median

from latency_db.errors import MissingLatency
from latency_db.table import LatencyTable
from latency_db.target import Target
from latency_db.where import exists
from toolchain.config import Config, SearchConfig
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counted import counted_costs
from toolchain.costs.latency import LatencyModel, latency_model
from toolchain.costs.regression import REGRESSION
from toolchain.errors import BadConfig
from toolchain.search.limits import count_budgets, read_limits
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.units import compact

DRAWS = 1000


@dataclass(frozen=True)
class Costs:
    """The costs of a space; `latency` is None if its variants were not measured."""

    counted: tuple[TableCost, ...]
    latency: LatencyModel | None

    @property
    def all(self) -> tuple[TableCost, ...]:
        return (*self.counted, self.latency.predicted) if self.latency else self.counted

    def named(self, name: str) -> TableCost:
        """The cost `name`, as `macs`; latency must have been loaded."""
        return next(cost for cost in self.all if cost.name == name)

    def limited(self, name: str) -> TableCost:
        """The cost that a limit on `name` applies to: for a latency, its upper bound."""
        return self.latency.upper if self.latency and name == "latency_ms" else self.named(name)

    def expected(self, budget: Budget) -> Budget:
        """`budget` with its latency limit applied to the prediction, without the margin for its error."""
        return Budget(tuple(replace(limit, cost=self.named(limit.cost.name)) for limit in budget.limits))

    @property
    def profile_runs(self) -> tuple[str, ...]:
        """Uids of the runs of the latency table that latencies are predicted from; empty if none are."""
        return self.latency.profile_runs if self.latency else ()

    def counts(self, arch: Architecture) -> dict[str, int]:
        """The counted costs of one architecture by name."""
        return {cost.name: int(cost.cost(arch)) for cost in self.counted}

    def of(self, arch: Architecture) -> dict[str, float | int | None]:
        """All costs of one architecture by name; `latency_ms` is None where it was not measured."""
        return {**self.counts(arch), "latency_ms": self.latency.predicted.cost(arch) if self.latency else None}


@dataclass(frozen=True)
class NamedBudget:
    """A budget with the name of its folder: `latency_17ms+macs_330M`."""

    name: str
    budget: Budget


def load_costs(space: SearchSpace, target: Target | None, db: str, need_latency: bool) -> Costs:
    """Count MACs, parameters and bits, and read the latency table of `target`.

    Args:
        target: None where no latency is needed and there is no table.

    Raises:
        MissingLatency: latency is needed and a variant was not measured on this target.
    """
    try:
        latency = None
        if target is not None and (need_latency or exists(db)):
            latency = _stored_latency(space, target, db)
    except MissingLatency:
        if need_latency:
            raise
        latency = None
    return Costs(counted_costs(space), latency)


def training_latency(config: Config, space: SearchSpace, target: Target | None = None) -> TableCost | None:
    """The predicted latency, if paths are sampled by it or it is in the loss; None otherwise.

    Args:
        target: None for that of the configuration.

    Raises:
        MissingLatency: the space was not profiled on the target.
    """
    from toolchain.measuring.from_config import resolve_target
    from toolchain.training.rivals.configured import needs_latency
    from toolchain.training.sampled_range import samples_latency

    if not samples_latency(config.train) and not needs_latency(config.train):
        return None
    known = target or resolve_target(config.profile, space)[0]
    latency = load_costs(space, known, config.profile.db, need_latency=True).latency
    return None if latency is None else latency.predicted


def _stored_latency(space: SearchSpace, target: Target, db: str) -> LatencyModel:
    """The latency model of the records of `target`; the database and statistics are imported only here."""
    from toolchain.profiling.stored_table import load_table

    model = latency_model(space, load_table(space, target, db))
    if target.backend != REGRESSION:
        return model
    from toolchain.profiling.import_networks import held_out

    return held_out(space, model)


def named_budgets(
    search: SearchConfig, space: SearchSpace, target: Target | None, db: str
) -> tuple[tuple[NamedBudget, ...], Costs]:
    """The limits of the configuration as one budget, or as several budgets if one cost has several limits.

    Raises:
        BadUnit: a limit is no amount.
        BadConfig: several costs have several limits each, so that their combination is not defined.
        MissingLatency: there is a latency limit, and a variant was not measured.
    """
    limits = read_limits(search)
    several = [name for name, values in limits.items() if len(values) > 1]
    if len(several) > 1:
        raise BadConfig(
            f"{' and '.join(several)} have several limits each. Give several to one cost, and one at most to the others"
        )
    costs = load_costs(space, target, db, need_latency=bool(limits["latency_ms"]))
    budgets = []
    for number in range(count_budgets(limits)):
        chosen = {name: values[min(number, len(values) - 1)] for name, values in limits.items() if values}
        budget = Budget(tuple(Limit(costs.limited(name), most) for name, most in chosen.items()))
        budgets.append(NamedBudget(budget_name(budget), budget))
    return tuple(budgets), costs


def budget_name(budget: Budget) -> str:
    """The name of its folder: `latency_17ms+macs_330M`."""
    parts = (f"{limit.cost.name.removesuffix('_ms')}_{compact(limit.most, limit.cost.unit)}" for limit in budget.limits)
    return "+".join(parts) or "no_limit"


def middle_latency_ms(space: SearchSpace, table: LatencyTable, seed: int) -> float:
    """The latency limit that about half of the architectures are predicted to meet, in whole microseconds."""
    cost = latency_model(space, table).upper
    rng = Random(seed)
    return round(median(cost.cost(space.draw(rng)) for _ in range(DRAWS)), 3)
