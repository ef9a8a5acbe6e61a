"""How long counting and drawing take: python benchmarks/feasible.py [DRAWS]

The larger spaces here have the sizes of the paper's, with costs of about their form: choices of a block cost
what their kernel and width make them cost, and latencies are floats that follow MACs loosely.
"""

import resource
import sys
import time
from collections.abc import Sequence
from random import Random

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counters import macs_cost
from toolchain.costs.feasible import FeasibleSet
from toolchain.costs.levels import CostLevels
from toolchain.spaces import load_space
from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem

STAGES = ((64, 56, 4), (160, 28, 4), (320, 14, 8), (640, 7, 4))  # channels, size in px, blocks


def main(draws: int) -> None:
    paper = load_space("shufflenet_v2")
    print(f"{'space':24} {'limits':22} {'share':>9} {'exact':>5} {'count':>8} {'a draw':>9} {'peak':>8}")
    for name, space, costs in (
        ("shufflenet_v2", paper, _with_latencies(paper, macs_cost(paper), by_geometry=True)),
        ("shufflenet_v2, own rows", paper, _with_latencies(paper, macs_cost(paper), by_geometry=False)),
        *((name, *_large(name, choices)) for name, choices in LARGE.items()),
    ):
        macs, latency, params = costs
        for limits in ([macs], [latency], [macs, latency], [macs, latency, params]):
            _report(name, space, limits, draws)
    _report_levels(paper, macs_cost(paper), draws)


LARGE = {
    "32^20": [32] * 20,
    "9^22": [9] * 22,
    "18^16": [18] * 16,
    "6^6 * 7^15": [6] * 6 + [7] * 15,
}


def _report(name: str, space: SearchSpace, costs: Sequence[TableCost], draws: int) -> None:
    budget = Budget(tuple(Limit(cost, _middle(space, cost)) for cost in costs))
    began = time.perf_counter()
    fitting = FeasibleSet(space, budget)
    counted_s = time.perf_counter() - began
    rng = Random(0)
    began = time.perf_counter()
    for _ in range(draws):
        assert budget.allows(fitting.draw(rng))
    draw_us = (time.perf_counter() - began) / draws * 1e6
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    limits = " ".join(cost.name for cost in costs)
    print(
        f"{name:24} {limits:22} {fitting.share:9.4%} {fitting.exact!s:>5} {counted_s:6.2f} s {draw_us:6.0f} us "
        f"{peak_mib:4.0f} MiB  {fitting.note}",
        flush=True,
    )


def _report_levels(space: SearchSpace, cost: TableCost, draws: int) -> None:
    for balanced in (False, True):
        began = time.perf_counter()
        levels = CostLevels(space, cost, balanced=balanced)
        made_s = time.perf_counter() - began
        rng = Random(0)
        began = time.perf_counter()
        for _ in range(draws):
            levels.draw(rng)
        draw_us = (time.perf_counter() - began) / draws * 1e6
        kind = "levels, balanced" if balanced else "levels"
        print(f"{space.name:24} {kind:22} {'':15} {made_s:6.2f} s {draw_us:6.0f} us")


def _middle(space: SearchSpace, cost: TableCost) -> float:
    rng = Random(1)
    return sorted(cost.cost(space.draw(rng)) for _ in range(1001))[400]


def _with_latencies(space: SearchSpace, macs: TableCost, by_geometry: bool) -> tuple[TableCost, TableCost, TableCost]:
    rng = Random(2)
    known: dict[tuple[object, str], float] = {}
    rows, params = [], []
    for i, (block, row) in enumerate(zip(space.blocks, macs.rows, strict=True)):
        place = block.geometry if by_geometry else i
        rows.append(
            {key: known.setdefault((place, key), value / 2e7 * rng.uniform(0.7, 1.3)) for key, value in row.items()}
        )
        params.append({key: float(int(value) // block.size_px**2) for key, value in row.items()})
    return macs, TableCost("latency_ms", "ms", 1.5, tuple(rows)), TableCost("params", "params", 1e6, tuple(params))


def _large(name: str, choices: Sequence[int]) -> tuple[SearchSpace, tuple[TableCost, TableCost, TableCost]]:
    places = [stage[:2] for stage in STAGES for _ in range(stage[2])]
    places = [places[i * len(places) // len(choices)] for i in range(len(choices))]
    blocks, rows = [], []
    for (channels, size_px), number in zip(places, choices, strict=True):
        keys = [f"k{3 + 2 * (i % 4)}w{i // 4 + 1}" for i in range(number)]
        blocks.append(ChoiceBlock(channels, channels, size_px, 1, tuple(Choice(key) for key in keys)))
        widths = -(-number // 4)
        row = {}
        for i, key in enumerate(keys):
            mid = channels // 2 * (i // 4 + 1) * 2 // (widths + 1)
            row[key] = float(size_px**2 * mid * (channels + (3 + 2 * (i % 4)) ** 2))
        rows.append(row)
    space = SearchSpace(name, 3, 224, 1000, Stem(16, 2), tuple(blocks), Head(1024, 0.0))
    return space, _with_latencies(space, TableCost("macs", "MACs", 38_555_648.0, tuple(rows)), by_geometry=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
