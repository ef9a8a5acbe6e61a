"""Successive halving with simulated trainings: who is trained how often, and when it ends."""

from collections import Counter

import numpy as np
import pytest

from toolchain.search.finalists.halving import Result, Training, halve

IMAGES = 4000


class Trainer:
    """Networks are numbers: their accuracy. Each training takes a second."""

    def __init__(self, noise: float = 0.002) -> None:
        self.trained: list[tuple[float, int]] = []
        self._noise = noise

    def __call__(self, network: float, repeat: int) -> Training:
        self.trained.append((network, repeat))
        rng = np.random.default_rng([round(network * 10_000), repeat])
        accuracy = network + rng.normal(0, self._noise)
        return Training(rng.random(IMAGES) < accuracy, 1.0)


def run(networks: list[float], time_limit_s: float = 1e9) -> tuple[Result[float], Counter[float]]:
    trainer = Trainer()
    result = halve(networks, trainer, time_limit_s)
    return result, Counter(network for network, _ in trainer.trained)


def test_the_better_half_is_trained_again() -> None:
    networks = [0.50, 0.90, 0.55, 0.70, 0.60, 0.65, 0.40, 0.45]
    result, trainings = run(networks)
    assert [standing.network for standing in result.remaining] == [0.90, 0.70, 0.65, 0.60]
    assert [standing.network for standing in result.dropped] == [0.55, 0.50, 0.45, 0.40]
    assert trainings == {0.90: 2, 0.70: 2, 0.65: 2, 0.60: 2, 0.55: 1, 0.50: 1, 0.45: 1, 0.40: 1}
    assert result.separated
    assert not result.out_of_time
    assert result.tied == result.remaining[:1]


def test_networks_that_are_alike_are_not_separated() -> None:
    result, trainings = run([0.8000, 0.8001, 0.8002])
    assert not result.separated
    assert len(result.tied) == 2
    assert sorted(trainings.values()) == [1, 6, 6]  # the last two are trained until the rounds end


def test_all_networks_of_a_round_get_the_same_seeds() -> None:
    trainer = Trainer()
    halve([0.8, 0.8001, 0.8002, 0.8003], trainer, 1e9)
    repeats: dict[int, int] = Counter(repeat for _, repeat in trainer.trained)
    assert repeats == {0: 4, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2}


@pytest.mark.parametrize(("limit_s", "trainings"), [(0.0, 4), (5.9, 4), (6.0, 6), (8.1, 8)])
def test_a_round_begins_only_if_it_ends_in_time(limit_s: float, trainings: int) -> None:
    """Four trainings of a second in the first round, two in each later one."""
    result, counted = run([0.8, 0.8001, 0.8002, 0.8003], limit_s)
    assert counted.total() == trainings
    assert result.out_of_time
    assert len(result.remaining) == 2
    assert len(result.comparisons) == 1


def test_one_network_has_no_rival() -> None:
    result, trainings = run([0.8])
    assert result.comparisons == ()
    assert trainings == {0.8: 1}
