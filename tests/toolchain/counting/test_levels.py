"""Uniform constraint sampling: uniform levels, uniform architectures at a level, and balanced choices."""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from toolchain.costs.core import TableCost
from toolchain.costs.counters import macs_cost
from toolchain.counting import levels as levels_module
from toolchain.counting.levels import CostLevels
from toolchain.spaces.core import Architecture, SearchSpace

# Bins of the official repository's supernet training (megvii-model/SinglePathOneShot, 36eed6c).
OFFICIAL = [290e6, 300e6, 310e6, 320e6, 330e6, 340e6, 350e6, 360e6]
TABLE = [[0.0, 1.0, 5.0], [0.0, 2.0, 3.0], [1.0, 4.0], [0.0, 1.0, 2.0, 7.0]]


@pytest.fixture(scope="module")
def macs(paper_space: SearchSpace) -> TableCost:
    return macs_cost(paper_space)


def level_of(levels: CostLevels, arch: Architecture) -> int:
    (level,) = [i for i, bin_ in enumerate(levels.bins) if bin_.contains(levels.cost.cost(arch))]
    return level


def within(statistic: float, degrees: int) -> bool:
    """Whether a chi-square statistic is within 5 sigma of its mean."""
    return statistic < degrees + 5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize("unit", ["MACs", "ms"])
def test_levels_and_architectures_at_a_level_are_uniform(
    unit: str,
    space_of: Callable[..., SearchSpace],
    cost_of: Callable[..., TableCost],
    all_of: Callable[[SearchSpace], list[Architecture]],
    chi_square: Callable[[Sequence[int]], float],
) -> None:
    table = (
        TABLE if unit == "MACs" else [[Random(f"{row} {i}").uniform(0, 3) for i, _ in enumerate(row)] for row in TABLE]
    )
    space, cost = space_of(table), cost_of(table, "cost", unit, fixed=0)
    levels = CostLevels.build(space, cost, levels=4)
    assert len(levels.bins) == 4
    drawn = Counter(levels.draw(rng) for rng in [Random(1)] for _ in range(20_000))
    members: list[list[Architecture]] = [[], [], [], []]
    for arch in all_of(space):
        for i, bin_ in enumerate(levels.bins):
            if bin_.contains(cost.cost(arch)):
                members[i].append(arch)
    assert set(drawn) == {arch for level in members for arch in level}
    assert within(chi_square([sum(drawn[arch] for arch in level) for level in members]), 3)
    for level in members:
        assert len(level) > 1
        assert within(chi_square([drawn[arch] for arch in level]), len(level) - 1)
    for i, shares in enumerate(levels.marginals()):
        expected = {
            key: sum(sum(arch.choices[i] == key for arch in level) / len(level) for level in members) / 4
            for key in shares
        }
        assert shares == pytest.approx(expected)


def test_bins_span_the_1st_to_the_99th_percentile(paper_space: SearchSpace, macs: TableCost) -> None:
    levels = CostLevels.build(paper_space, macs, levels=5)
    rng = Random(0)
    values = sorted(macs.cost(paper_space.draw(rng)) for _ in range(20_000))
    # the percentile of 20,000 draws has an error of 0.07 points (1 sigma), which is 0.3M MACs there
    assert levels.bins[0].low == pytest.approx(values[200], abs=1.5e6)
    assert levels.bins[-1].high == pytest.approx(values[19_800], abs=1.5e6)
    widths = [bin_.high - bin_.low for bin_ in levels.bins]
    assert widths == pytest.approx([widths[0]] * 5)


def test_the_official_bins_favor_some_choices(paper_space: SearchSpace, macs: TableCost) -> None:
    """In the stride-2 blocks after the first stage, choice_x is the cheapest choice and is drawn most often."""
    levels = CostLevels.build(paper_space, macs, edges=OFFICIAL)
    shares = levels.marginals()
    for i in (4, 8, 16):
        assert 0.295 < shares[i]["choice_x"] < 0.335  # 0.30 to 0.33 in a simulation of the official code
        assert 0.215 < shares[i]["choice_3"] < 0.235  # 0.22 to 0.23 in that simulation
    for i in set(range(20)) - {4, 8, 16}:
        assert all(0.235 < share < 0.265 for share in shares[i].values())  # 0.24 to 0.26 in that simulation


def test_marginals_equal_those_of_rejection_sampling(paper_space: SearchSpace, macs: TableCost) -> None:
    """Draw as the official code does, but without its limit of 500 tries: 6,000 levels, then architectures."""
    levels = CostLevels.build(paper_space, macs, edges=OFFICIAL[2:])  # without the rare levels, which need 100 tries
    rng, counts = Random(2), Counter[tuple[int, str]]()
    for _ in range(6000):
        bin_ = rng.choice(levels.bins)
        arch = paper_space.draw(rng)
        while not bin_.contains(macs.cost(arch)):
            arch = paper_space.draw(rng)
        counts.update(enumerate(arch.choices))
    for i, shares in enumerate(levels.marginals()):
        for key, share in shares.items():
            assert counts[i, key] / 6000 == pytest.approx(share, abs=5 * 0.44 / 6000**0.5)  # 5 sigma of a share of 1/4


def test_balanced_choices_are_drawn_equally_often_and_levels_stay_uniform(
    paper_space: SearchSpace, macs: TableCost, chi_square: Callable[[Sequence[int]], float]
) -> None:
    levels = CostLevels.build(paper_space, macs, edges=OFFICIAL, balanced=True)
    assert all(abs(share - 0.25) < 0.01 for shares in levels.marginals() for share in shares.values())
    rng = Random(3)
    drawn = [levels.draw(rng) for _ in range(7000)]
    reached = Counter(level_of(levels, arch) for arch in drawn)
    assert within(chi_square([reached[i] for i in range(7)]), 6)
    for i in range(20):
        chosen = Counter(arch.choices[i] for arch in drawn)
        for share in chosen.values():
            assert share / 7000 == pytest.approx(
                0.25, abs=0.002 + 5 * 0.44 / 7000**0.5
            )  # 5 sigma and the tolerance of balancing


def test_marginals_show_a_choice_that_can_not_be_balanced(space_of: Any, cost_of: Any) -> None:
    """The most expensive choice of the first block fits no bin."""
    table = [[0.0, 1.0, 100.0], [0.0, 1.0, 2.0]]
    levels = CostLevels.build(space_of(table), cost_of(table, fixed=0), edges=[0.0, 2.0, 4.0], balanced=True)
    assert levels.marginals()[0]["c"] == 0.0
    assert levels.marginals()[0]["a"] == pytest.approx(0.5, abs=0.2)
    assert all(levels.draw(Random(i)).choices[0] != "c" for i in range(50))


def test_bins_without_architectures_are_left_out(space_of: Any, cost_of: Any) -> None:
    table = [[0.0, 100.0], [0.0, 1.0]]
    levels = CostLevels.build(space_of(table), cost_of(table, fixed=0), edges=[0.0, 50.0, 90.0, 101.0])
    assert [(bin_.low, bin_.high) for bin_ in levels.bins] == [(0.0, 50.0), (90.0, 101.0)]
    assert {level_of(levels, levels.draw(Random(i))) for i in range(50)} == {0, 1}
    with pytest.raises(ValueError, match="no architecture of small has a macs from 20 to 30"):
        CostLevels.build(space_of(table), cost_of(table, fixed=0), edges=[20, 30])


@pytest.mark.parametrize("value", [3.0, 0.1])
def test_a_constant_cost_has_one_level(value: float, space_of: Any, cost_of: Any) -> None:
    table = [[value, value], [0.2, 0.2]]
    cost = cost_of(table, "latency_ms", "ms", fixed=0.3)
    levels = CostLevels.build(space_of(table), cost)
    assert [(b.low, b.high) for b in levels.bins] == [(pytest.approx(value + 0.5), pytest.approx(value + 0.5))]
    assert {str(levels.draw(Random(i))) for i in range(50)} == {"a a", "a b", "b a", "b b"}


@pytest.mark.parametrize("balanced", [False, True])
def test_on_a_coarse_grid_draws_fall_into_their_level(
    balanced: bool, space_of: Any, cost_of: Any, all_of: Any, monkeypatch: pytest.MonkeyPatch, chi_square: Any
) -> None:
    monkeypatch.setattr(levels_module, "MAX_STATES", 60)
    monkeypatch.setattr(levels_module, "MAX_STATES_BALANCED", 60)
    rng = Random(4)
    table = [[rng.uniform(0, 1) for _ in range(4)] for _ in range(5)]
    space, cost = space_of(table), cost_of(table, "latency_ms", "ms")
    levels = CostLevels.build(space, cost, levels=3, balanced=balanced)
    drawn = Counter(levels.draw(rng) for _ in range(9000))
    for i in range(3):
        members = [arch for arch in all_of(space) if levels.bins[i].contains(cost.cost(arch))]
        counts = [drawn[arch] for arch in members]
        assert sum(counts) / 9000 == pytest.approx(1 / 3, abs=5 * 0.47 / 9000**0.5)  # 5 sigma
        assert balanced or within(chi_square(counts), len(counts) - 1)
