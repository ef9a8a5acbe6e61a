"""The feasible set compared with brute force: counts, draws, ranges, marginals, histograms; and its messages."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import floor
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.counting import half_space
from toolchain.counting.feasible import FeasibleSet, whole_space
from toolchain.errors import BudgetInfeasible
from toolchain.spaces.core import Architecture, SearchSpace

Table = list[list[float]]
SpaceOf = Callable[[Table], SearchSpace]
CostOf = Callable[..., TableCost]
AllOf = Callable[[SearchSpace], list[Architecture]]

COUNTS = st.integers(0, 40).map(float)
LATENCIES = st.floats(0.001, 9, allow_subnormal=False)


@st.composite
def tables(draw: Any) -> tuple[list[tuple[str, Table]], list[float]]:
    """One to three costs (unit, table) of a small space, and the position of each limit in the cost's range."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    units = draw(st.lists(st.sampled_from(["MACs", "ms"]), min_size=1, max_size=3))
    costs = [
        (unit, [draw(st.lists(COUNTS if unit == "MACs" else LATENCIES, min_size=n, max_size=n)) for n in sizes])
        for unit in units
    ]
    return costs, [draw(st.floats(0.05, 1.1)) for _ in units]


def budget_of(costs: Sequence[TableCost], shares: Sequence[float]) -> Budget:
    """Limits at these shares of each cost's range. Limits of counts are integers, so some architectures equal them."""
    most = [cost.least + share * (cost.greatest - cost.least) for cost, share in zip(costs, shares, strict=True)]
    return Budget(
        tuple(
            Limit(cost, value if cost.unit == "ms" else floor(value)) for cost, value in zip(costs, most, strict=True)
        )
    )


@settings(max_examples=150)
@given(example=tables())
def test_against_brute_force(
    example: tuple[list[tuple[str, Table]], list[float]], space_of: SpaceOf, cost_of: CostOf, all_of: AllOf
) -> None:
    space = space_of(example[0][0][1])
    costs = [cost_of(table, f"cost {i}", unit) for i, (unit, table) in enumerate(example[0])]
    budget = budget_of(costs, example[1])
    fitting = [arch for arch in all_of(space) if budget.allows(arch)]
    if not fitting:
        with pytest.raises(BudgetInfeasible):
            FeasibleSet(space, budget)
        return
    feasible = FeasibleSet(space, budget)
    assert feasible.count <= len(fitting) <= feasible.most_count
    on_a_limit = any(
        limit.cost.unit == "ms" and abs(limit.cost.cost(arch) - limit.most) < 1e-9
        for limit in budget.limits
        for arch in all_of(space)
    )
    if not on_a_limit:  # within the rounding of floats
        assert feasible.exact
    if not feasible.exact:
        assert feasible.note
        return
    assert (feasible.count, feasible.note) == (len(fitting), "")
    assert feasible.share == len(fitting) / space.size
    rng = Random(0)
    assert all(budget.allows(feasible.draw(rng)) for _ in range(20))
    for cost in costs:
        ends = feasible.range(cost)
        # approx, since the order of addition differs
        assert ends.least == cost.cost(ends.cheapest) == pytest.approx(min(map(cost.cost, fitting)))
        assert ends.greatest == cost.cost(ends.most_expensive) == pytest.approx(max(map(cost.cost, fitting)))
        assert budget.allows(ends.cheapest)
        assert budget.allows(ends.most_expensive)
        _, counts = feasible.histogram(cost, 5)
        assert sum(counts) == len(fitting)
        assert min(counts) >= 0
    for i, shares in enumerate(feasible.marginals()):
        chosen = Counter(arch.choices[i] for arch in fitting)
        assert shares == pytest.approx({key: chosen[key] / len(fitting) for key in shares})


@pytest.mark.parametrize("limited", ["nothing", "macs", "macs and latency", "three costs"])
def test_draws_are_uniform(
    limited: str, space_of: SpaceOf, cost_of: CostOf, all_of: AllOf, chi_square: Callable[[Sequence[int]], float]
) -> None:
    macs = [[3, 1, 4], [1, 5, 9, 2], [6, 5], [3, 5, 8]]
    space = space_of(macs)
    rng = Random(3)
    costs = [
        cost_of(macs),
        cost_of([[rng.uniform(0.1, 2) for _ in row] for row in macs], "latency_ms", "ms", 0.7),
        cost_of([[rng.randrange(100) for _ in row] for row in macs], "params", "params"),
    ][: ["nothing", "macs", "macs and latency", "three costs"].index(limited)]
    budget = budget_of(costs, [0.6] * len(costs))
    fitting = [arch for arch in all_of(space) if budget.allows(arch)]
    feasible = FeasibleSet(space, budget)
    drawn = Counter(feasible.draw(rng) for _ in range(100 * len(fitting)))
    assert set(drawn) == set(fitting)
    degrees = len(fitting) - 1
    assert chi_square([drawn[arch] for arch in fitting]) < degrees + 5 * (2 * degrees) ** 0.5  # 5 sigma


def test_the_same_seed_gives_the_same_draws(paper_space: SearchSpace) -> None:
    draws = []
    for _ in range(2):
        feasible, rng = FeasibleSet(paper_space, Budget()), Random(5)
        draws.append([feasible.draw(rng) for _ in range(20)])
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 20


def test_histogram_counts_the_architectures_between_its_edges(
    space_of: SpaceOf, cost_of: CostOf, all_of: AllOf
) -> None:
    table = [[float(i * n) for i in range(4)] for n in (1, 3, 7, 12)]
    space, cost = space_of(table), cost_of(table)
    edges, counts = whole_space(space, cost).histogram(cost, 6)
    assert (edges[0], edges[-1], len(edges)) == (cost.least, cost.greatest, 7)
    values = [cost.cost(arch) for arch in all_of(space)]
    bins = pairwise(edges)
    expected = [sum(low < value <= high for value in values) for low, high in bins]
    expected[0] += values.count(edges[0])
    assert list(counts) == expected


@pytest.mark.long
@pytest.mark.parametrize("costs", [1, 2, 3])
def test_on_a_coarse_grid_bounds_hold_and_draws_stay_uniform(
    costs: int,
    space_of: SpaceOf,
    cost_of: CostOf,
    all_of: AllOf,
    chi_square: Callable[[Sequence[int]], float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caps are lowered so that 4^5 architectures have too many sums to count exactly."""
    monkeypatch.setattr(half_space, "MAX_STATES", {costs: 40})
    monkeypatch.setattr(half_space, "FIRST_CELLS", {costs: 16})
    rng = Random(costs)
    tables = [[[rng.uniform(0.1, 2) for _ in range(4)] for _ in range(5)] for _ in range(costs)]
    space = space_of(tables[0])
    limited = [cost_of(table, f"latency {i}", "ms") for i, table in enumerate(tables)]
    budget = budget_of(limited, [0.45] * costs)
    fitting = [arch for arch in all_of(space) if budget.allows(arch)]
    feasible = FeasibleSet(space, budget)
    assert not feasible.exact
    assert feasible.count <= len(fitting) <= feasible.most_count
    for part in ("counted on a grid of", "us of latency 0", "at least", "at most", "exactly uniform"):
        assert part in feasible.note
    about = float(feasible.note.split("about ")[1].split("%")[0]) / 100
    assert about == pytest.approx(len(fitting) / space.size, abs=5 * feasible.most_count / space.size * 0.5 / 1000**0.5)
    drawn = Counter(feasible.draw(rng) for _ in range(50 * len(fitting)))
    assert set(drawn) == set(fitting)
    degrees = len(fitting) - 1
    assert chi_square([drawn[arch] for arch in fitting]) < degrees + 5 * (2 * degrees) ** 0.5  # 5 sigma
    for cost in limited:
        ends = feasible.range(cost)
        assert min(map(cost.cost, fitting)) <= ends.least <= ends.greatest <= max(map(cost.cost, fitting))


def test_counts_beyond_int64(space_of: SpaceOf, cost_of: CostOf) -> None:
    """4^200 architectures. By symmetry, counts up to and below the middle of the range add up to all of them."""
    table = [[0.0, 1.0, 1.0, 2.0]] * 200
    space, cost = space_of(table), cost_of(table, fixed=0)
    feasible = FeasibleSet(space, Budget((Limit(cost, 200),)))
    (at_most_middle, below_middle) = (feasible.count, FeasibleSet(space, Budget((Limit(cost, 199),))).count)
    assert at_most_middle + below_middle == space.size == 4**200
    assert cost.cost(feasible.draw(Random(0))) <= 200


@pytest.mark.long
def test_several_limits_on_a_space_of_2_to_the_100(space_of: SpaceOf, cost_of: CostOf) -> None:
    """32 choices in 20 blocks with distinct latencies have too many sums: the count has bounds, draws still fit."""
    rng = Random(7)
    macs = [[float(rng.randrange(10**5, 10**7)) for _ in range(32)] for _ in range(20)]
    space = space_of(macs)
    latency = cost_of([[value / 1e7 * rng.uniform(0.5, 1.5) for value in row] for row in macs], "latency_ms", "ms")
    budget = budget_of([cost_of(macs), latency], [0.45, 0.45])
    feasible = FeasibleSet(space, budget)
    assert not feasible.exact
    assert 0 < feasible.count < feasible.most_count < space.size
    assert all(budget.allows(feasible.draw(rng)) for _ in range(50))


def test_an_impossible_limit_names_the_least_reachable_value(
    paper_space: SearchSpace, space_of: SpaceOf, cost_of: CostOf
) -> None:
    table = [[1.5, 2.0], [3.0, 4.0]]
    latency = cost_of(table, "latency_ms", "ms", fixed=0.25)
    with pytest.raises(BudgetInfeasible) as caught:
        FeasibleSet(space_of(table), Budget((Limit(latency, 4.7),)))
    assert str(caught.value) == (
        "no architecture of small has latency_ms <= 4.700 ms: the least reachable is 4.7500 ms. "
        "Give latency_ms a limit of at least that"
    )
    assert FeasibleSet(space_of(table), Budget((Limit(latency, 4.75),))).count == 1


def test_limits_that_no_architecture_meets_together_are_named(space_of: SpaceOf, cost_of: CostOf) -> None:
    macs, params = [[1.0, 9.0]] * 3, [[9.0, 1.0]] * 3  # a choice that is cheap in one cost is expensive in the other
    space = space_of(macs)
    limits = (Limit(cost_of(macs), 10), Limit(cost_of(params, "params", "params"), 10))
    with pytest.raises(BudgetInfeasible) as caught:
        FeasibleSet(space, Budget(limits))
    assert str(caught.value) == (
        "no architecture of small meets macs <= 10, params <= 10 together (macs alone reaches 8; params alone "
        "reaches 8). Relax one of these limits"
    )


def test_a_limit_equal_to_an_architectures_latency_is_noted(space_of: SpaceOf, cost_of: CostOf) -> None:
    """0.1 + 0.2 is above 0.3 in floats, so whether such an architecture fits depends on the order of addition."""
    table = [[0.1, 0.2, 0.3]] * 4
    latency = cost_of(table, "latency_ms", "ms", fixed=0.1)
    feasible = FeasibleSet(space_of(table), Budget((Limit(latency, 0.9),)))
    assert not feasible.exact
    assert feasible.note.startswith(
        f"between {feasible.count:,} and {feasible.most_count:,} architectures fit: some equal a limit"
    )
    assert all(latency.cost(feasible.draw(Random(i))) <= 0.9 for i in range(50))
