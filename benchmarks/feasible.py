"""Time exact counting and sampling for every space: python benchmarks/feasible.py [SAMPLES]

MACs and parameters are counted; latencies are synthetic numbers, loosely correlated with MACs. Each limit is the value
that 40 % of the architectures meet.
"""

import resource
import sys
from collections.abc import Sequence
from random import Random
from time import perf_counter

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.counting.levels import CostLevels
from toolchain.spaces import PRESETS, load_space
from toolchain.spaces.core import SearchSpace

LINE = "{:24} {:26} {:>9} {:>5} {:>8} {:>8} {:>9} {}"


def main(draws: int) -> None:
    print(LINE.format("space", "limits", "share", "exact", "time", "sample", "peak", ""))
    for name in PRESETS:
        space = load_space(name)
        macs, params = macs_cost(space), params_cost(space)
        latency = synthetic_latency(space, macs)
        for costs in ([macs], [latency], [macs, latency], [macs, latency, params]):
            report(space, costs, draws)
        report_levels(space, macs, draws)


def report(space: SearchSpace, costs: Sequence[TableCost], draws: int) -> None:
    budget = Budget(tuple(Limit(cost, lower_middle(space, cost)) for cost in costs))
    began = perf_counter()
    fitting = FeasibleSet(space, budget)
    made_s = perf_counter() - began
    draw_us = time_draws(fitting, draws)
    shown = (f"{fitting.share:.3%}", str(fitting.exact), f"{made_s:.2f} s", f"{draw_us:.0f} us", peak(), fitting.note)
    print(LINE.format(space.name, " ".join(cost.name for cost in costs), *shown), flush=True)


def report_levels(space: SearchSpace, cost: TableCost, draws: int) -> None:
    for balanced in (False, True):
        began = perf_counter()
        levels = CostLevels.build(space, cost, balanced=balanced)
        made_s = perf_counter() - began
        what = f"levels of {cost.name}{', balanced' if balanced else ''}"
        shown = ("", "", f"{made_s:.2f} s", f"{time_draws(levels, draws):.0f} us", peak(), "")
        print(LINE.format(space.name, what, *shown), flush=True)


def time_draws(sampler: FeasibleSet | CostLevels, draws: int) -> float:
    """Microseconds per sample."""
    rng = Random(0)
    began = perf_counter()
    for _ in range(draws):
        sampler.draw(rng)
    return (perf_counter() - began) / draws * 1e6


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


def lower_middle(space: SearchSpace, cost: TableCost) -> float:
    rng = Random(1)
    return round(sorted(cost.cost(space.draw(rng)) for _ in range(1001))[400], 3)


def synthetic_latency(space: SearchSpace, macs: TableCost) -> TableCost:
    """Equal blocks share their numbers, as in a latency table."""
    rng = Random(2)
    known: dict[tuple[str, str], float] = {}
    rows = tuple(
        {
            key: known.setdefault((block.geometry, key), value / 2e7 * rng.uniform(0.7, 1.3))
            for key, value in row.items()
        }
        for block, row in zip(space.blocks, macs.rows, strict=True)
    )
    return TableCost("latency_ms", "ms", 1.5, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
