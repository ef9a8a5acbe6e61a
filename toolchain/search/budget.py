"""From the limits that a user typed to a budget over a space's costs."""

from dataclasses import dataclass
from random import Random
from statistics import median

from latency_db.errors import MissingLatency
from latency_db.table import LatencyTable
from toolchain.config import Config
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.costs.latency import latency_cost
from toolchain.profiling.profiler import load_table
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.units import parse_count, parse_latency_ms

DRAWS = 1000


@dataclass(frozen=True)
class Costs:
    """The costs of a space; latency where its parts were measured."""

    macs: TableCost
    params: TableCost
    latency: TableCost | None

    def of(self, arch: Architecture) -> dict[str, float | int | None]:
        """All costs of one architecture by name; `latency_ms` is None where it was not measured."""
        return {
            "macs": int(self.macs.cost(arch)),
            "params": int(self.params.cost(arch)),
            "latency_ms": self.latency.cost(arch) if self.latency else None,
        }


def load_costs(config: Config, space: SearchSpace, need_latency: bool) -> Costs:
    """Count MACs and parameters, and read the latency table.

    Raises:
        MissingLatency: latency is needed and a part was not measured on this stack.
    """
    try:
        latency = latency_cost(space, load_table(config, space)) if need_latency or config.profile.db.exists() else None
    except MissingLatency:
        if need_latency:
            raise
        latency = None
    return Costs(macs_cost(space), params_cost(space), latency)


def budget_of(config: Config, space: SearchSpace) -> tuple[Budget, Costs]:
    """The limits of the configuration, each over its cost.

    Raises:
        BadUnit: a limit is no amount.
        MissingLatency: a latency limit without measured parts.
    """
    wanted = config.search
    latency_ms = parse_latency_ms(wanted.latency) if wanted.latency else None
    macs = parse_count(wanted.macs, "macs") if wanted.macs else None
    params = parse_count(wanted.params, "params") if wanted.params else None
    costs = load_costs(config, space, need_latency=latency_ms is not None)
    pairs = ((costs.latency, latency_ms), (costs.macs, macs), (costs.params, params))
    return Budget(tuple(Limit(cost, most) for cost, most in pairs if cost and most is not None)), costs


def middle_latency_ms(space: SearchSpace, table: LatencyTable, seed: int) -> float:
    """The median predicted latency of the space, over drawn architectures, rounded to whole microseconds."""
    cost = latency_cost(space, table)
    rng = Random(seed)
    return round(median(cost.cost(space.draw(rng)) for _ in range(DRAWS)), 3)
