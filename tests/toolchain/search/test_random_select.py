"""Random selection: networks within the limits, their scores, and the mean with its interval."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.progress import Quiet
from toolchain.search.budget import Costs
from toolchain.search.finalists.halving import Training
from toolchain.search.generations import Scoring
from toolchain.search.journal import Journal
from toolchain.search.random_select import RandomSelection
from toolchain.search.scores import CandidateLine, RaceThreshold, Score
from toolchain.spaces.core import Architecture, SearchSpace


class Scores:
    """Accuracies 0.5, 0.6, 0.7 and so on, in the order of scoring."""

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        return [Score(0.5 + 0.1 * number) for number, _ in enumerate(archs)]


@pytest.fixture
def scoring(tiny_space: SearchSpace, tmp_path: Path) -> Scoring:
    journal = Journal(tmp_path / "candidates.jsonl", {}, CandidateLine, tiny_space)
    return Scoring(seed=0, journal=journal, evaluate=Scores(), progress=Quiet())


def test_networks_within_the_limits(tiny_space: SearchSpace, scoring: Scoring) -> None:
    macs = macs_cost(tiny_space)
    budget = Budget((Limit(macs, (macs.least + macs.greatest) / 2),))
    report = RandomSelection(3, Costs((macs,), None), scoring).select(FeasibleSet(tiny_space, budget))
    drawn = {tiny_space.architecture(network.architecture) for network in report.networks}
    assert len(drawn) == 3
    assert all(budget.allows(arch) for arch in drawn)
    assert [network.macs for network in report.networks] == [
        macs.cost(tiny_space.architecture(network.architecture)) for network in report.networks
    ]
    assert report.inherited.mean == pytest.approx(0.6)
    assert report.inherited.half_width == pytest.approx(0.2484, abs=1e-4)  # t(0.975, 2) x 0.1 / sqrt(3)
    assert (report.trained, report.epochs, report.networks[0].trained_accuracy) == (None, None, None)


def test_networks_are_trained_alone_once(tiny_space: SearchSpace, scoring: Scoring) -> None:
    trained: list[tuple[int, str]] = []

    def train(arch: Architecture, repeat: int, title: str) -> Training:
        trained.append((repeat, title))
        return Training(np.array([True, True, len(trained) == 1, False]), 1.0)

    selection = RandomSelection(2, Costs((macs_cost(tiny_space),), None), scoring, train, 0.5)
    report = selection.select(FeasibleSet(tiny_space, Budget()))
    assert [network.trained_accuracy for network in report.networks] == [0.75, 0.5]
    assert report.trained is not None
    assert (report.trained.mean, report.epochs) == (0.625, 0.5)
    assert trained == [(0, "random network 1 of 2"), (0, "random network 2 of 2")]
