"""Evolution (Algorithm 1) and random search."""

from collections import Counter
from functools import cache
from math import sqrt
from random import Random

import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.search.strategies import Evolution, RandomSearch, Scored, Strategy
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace


@cache
def up_to(space: SearchSpace, share: float) -> Budget:
    """A limit on MACs, `share` of the way from the least to the greatest."""
    cost = macs_cost(space)
    return Budget((Limit(cost, cost.least + share * (cost.greatest - cost.least)),))


def evolution(space: SearchSpace, budget: Budget | None = None, **changes: float) -> Evolution:
    numbers = {"population": 50, "top_k": 10, "mutation": 0.1} | changes
    budget = budget or up_to(space, 1.0)
    return Evolution(FeasibleSet(space, budget), **numbers)  # type: ignore[arg-type]


def scored(*architectures: Architecture) -> list[Scored]:
    """The first is the best."""
    return [Scored(arch, 1 - n / 1000, 0, "random") for n, arch in enumerate(architectures)]


def accuracy(arch: Architecture, space: SearchSpace) -> float:
    """A score to search by: choices of block 0, then of block 1, ... decide."""
    keys = [choice.key for choice in space.blocks[0].choices]
    return sum(keys.index(key) for key in arch.choices) / (3 * len(arch.choices))


def searched(strategy: Strategy, space: SearchSpace, generations: int, seed: int = 0) -> list[Scored]:
    result: list[Scored] = []
    for generation in range(generations):
        proposals = strategy.propose(result, Random(f"{seed}:{generation}"))
        result += [Scored(p.architecture, accuracy(p.architecture, space), generation, p.origin) for p in proposals]
    return result


def test_the_first_generation_is_random(paper_space: SearchSpace) -> None:
    proposals = evolution(paper_space).propose([], Random(0))
    assert Counter(p.origin for p in proposals) == {"random": 50}


@pytest.mark.parametrize(("population", "crossed"), [(50, 25), (7, 3)])
def test_then_half_is_crossed_and_half_is_mutated(paper_space: SearchSpace, population: int, crossed: int) -> None:
    parents = scored(*(paper_space.draw(Random(n)) for n in range(20)))
    proposals = evolution(paper_space, population=population).propose(parents, Random(0))
    assert Counter(p.origin for p in proposals) == {"crossover": crossed, "mutation": population - crossed}


def test_parents_are_the_best_k_and_each_has_its_turn(paper_space: SearchSpace) -> None:
    keys = ("choice_3", "choice_5", "choice_7", "choice_x")
    ranked = scored(*(paper_space.all_same(key) for key in keys))
    proposals = evolution(paper_space, top_k=3).propose(ranked, Random(0))
    seen = [key for p in proposals if p.origin == "crossover" for key in p.architecture.choices]
    assert set(seen) == set(keys[:3])
    # 25 children x 20 blocks, a third each; parents come in pairs, so the 25 pairs are what scatters: within 5 sigma
    for key in keys[:3]:
        assert seen.count(key) / len(seen) == pytest.approx(1 / 3, abs=5 * sqrt(2 / 9 / 25))


def test_a_child_takes_each_block_from_either_parent(paper_space: SearchSpace) -> None:
    parents = scored(paper_space.all_same("choice_3"), paper_space.all_same("choice_x"))
    strategy = evolution(paper_space, top_k=2)
    children = [
        proposal.architecture
        for seed in range(100)
        for proposal in strategy.propose(parents, Random(seed))
        if proposal.origin == "crossover"
    ]
    draws = len(children)
    assert draws == 2500
    for position in range(20):
        share = sum(child.choices[position] == "choice_x" for child in children) / draws
        assert share == pytest.approx(0.5, abs=5 * 0.5 / sqrt(draws))  # binomial, 5 sigma


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_a_mutation_draws_each_block_anew_at_its_rate(paper_space: SearchSpace, rate: float) -> None:
    """A block that is drawn anew is another one in 3 of 4 cases; a child in which none is is no candidate."""
    parents = scored(paper_space.all_same("choice_3"), paper_space.all_same("choice_x"))
    changed: list[int] = []
    positions: Counter[int] = Counter()
    strategy = evolution(paper_space, population=2, top_k=2, mutation=rate)
    for seed in range(4000):
        proposals = strategy.propose(parents, Random(seed))
        (child,) = [p.architecture.choices for p in proposals if p.origin == "mutation"]
        parent = max(("choice_3", "choice_x"), key=child.count)
        moved = [position for position, key in enumerate(child) if key != parent]
        changed.append(len(moved))
        positions.update(moved)
    change = 0.75 * rate
    some = 1 - (1 - change) ** 20
    mean = 20 * change / some
    deviation = sqrt((20 * change * (1 - change) + (20 * change) ** 2) / some - mean**2)
    assert sum(changed) / 4000 == pytest.approx(mean, abs=5 * deviation / sqrt(4000))  # 5 sigma
    # all blocks alike: chi-square over 20 blocks, 19 degrees of freedom, is over 60 once in 300,000 times
    expected = sum(changed) / 20
    assert sum((positions[n] - expected) ** 2 / expected for n in range(20)) < 60


@pytest.mark.parametrize("kind", ["evolution", "random"])
def test_every_candidate_fits_and_none_comes_twice(paper_space: SearchSpace, kind: str) -> None:
    budget = up_to(paper_space, 0.1)
    sampler = FeasibleSet(paper_space, budget)
    strategy = evolution(paper_space, budget) if kind == "evolution" else RandomSearch(sampler, 50)
    scored = searched(strategy, paper_space, generations=6)
    assert len(scored) == 6 * 50  # as many evaluations, whatever the strategy
    assert len({s.architecture for s in scored}) == len(scored)
    assert all(budget.allows(s.architecture) for s in scored)
    assert {s.origin for s in scored} == ({"random", "crossover", "mutation"} if kind == "evolution" else {"random"})


def test_the_same_scores_and_numbers_give_the_same_candidates(paper_space: SearchSpace) -> None:
    runs = [searched(evolution(paper_space), paper_space, 4, seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_evolution_climbs_where_random_search_does_not(paper_space: SearchSpace) -> None:
    best = {
        strategy.name: max(s.accuracy for s in searched(strategy, paper_space, 10))
        for strategy in (
            evolution(paper_space),
            RandomSearch(FeasibleSet(paper_space, up_to(paper_space, 1.0)), 50),
        )
    }
    assert best["evolution"] > best["random"] + 0.1


@pytest.mark.parametrize("kind", ["evolution", "random"])
def test_a_space_that_runs_out_is_scored_whole_and_ends(kind: str) -> None:
    space = load_space("shufflenet_v2_quick:stage_widths=48,stage_repeats=2")
    sampler = FeasibleSet(space, up_to(space, 1.0))
    strategy = evolution(space, population=10, top_k=4) if kind == "evolution" else RandomSearch(sampler, 10)
    scored = searched(strategy, space, generations=5)
    assert len(scored) == len({s.architecture for s in scored}) == space.size == 16
    assert strategy.propose(scored, Random(9)) == []


def test_a_budget_that_one_architecture_fits_gives_that_one(paper_space: SearchSpace) -> None:
    budget = up_to(paper_space, 0.0)
    scored = searched(evolution(paper_space, budget, population=4), paper_space, generations=2)
    cost = budget.limits[0].cost
    assert [cost.cost(s.architecture) for s in scored] == [cost.least]
