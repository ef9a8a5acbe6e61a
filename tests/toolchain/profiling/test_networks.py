"""The whole networks of a profile: spread over the space, different, and the same for the same seed."""

from random import Random
from statistics import stdev

import pytest
import torch

from toolchain.costs.counters import macs_cost
from toolchain.costs.latency import network_key
from toolchain.profiling.networks import networks, stratified
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

SPACES = ["shufflenet_v2", "shufflenet_v2_quick:widths=0.2-0.6-1.0-1.6", "proxyless", "fbnet"]


@pytest.mark.parametrize("name", SPACES)
def test_networks_are_spread_wider_than_drawn_ones(name: str) -> None:
    space = load_space(name)
    cost, rng = macs_cost(space), Random(0)
    chosen = stratified(space, 30, seed=0)
    assert len(set(chosen)) == 30
    assert all(space.architecture(arch.choices) == arch for arch in chosen)
    drawn = [space.draw(rng) for _ in range(1000)]
    assert stdev(map(cost.cost, chosen)) > 1.5 * stdev(map(cost.cost, drawn))


def test_some_take_one_choice_throughout(paper_space: SearchSpace) -> None:
    alike = [arch for arch in stratified(paper_space, 20, seed=3) if len(set(arch.choices)) == 1]
    assert {arch.choices[0] for arch in alike} == {"choice_3", "choice_5", "choice_7", "choice_x"}


def test_more_begin_with_the_same_mixes_and_another_seed_gives_others(paper_space: SearchSpace) -> None:
    assert stratified(paper_space, 12, seed=0) == stratified(paper_space, 12, seed=0)
    assert set(stratified(paper_space, 12, seed=0)) != set(stratified(paper_space, 12, seed=1))


def test_mixes_are_drawn_with_a_concentration_of_0_4(paper_space: SearchSpace) -> None:
    """Nearly one or two choices only; an even mix would have all four."""
    assert str(stratified(paper_space, 12, seed=0)[-1]) == (
        "choice_3 choice_3 choice_5 choice_3 choice_5 choice_3 choice_5 choice_3 choice_3 choice_3 "
        "choice_3 choice_3 choice_5 choice_3 choice_3 choice_3 choice_3 choice_5 choice_3 choice_3"
    )


def test_a_space_with_fewer_gives_all_of_them() -> None:
    space = load_space(
        "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=1,head_channels=32"
    )
    assert len(set(stratified(space, 30, seed=0))) == space.size == 4
    assert stratified(space, 0, seed=0) == ()


def test_a_network_is_one_more_thing_to_time(tiny_space: SearchSpace) -> None:
    (result,) = networks(tiny_space, 1, seed=0)
    (arch,) = stratified(tiny_space, 1, seed=0)
    assert result.key == network_key(tiny_space, arch) == f"shufflenet_v2/network:{tiny_space.digest}:{arch}"
    assert result.build()(torch.zeros(2, *result.input_shape)).shape == (2, 10)
