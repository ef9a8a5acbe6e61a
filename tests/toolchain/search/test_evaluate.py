"""A candidate's score, by itself and with others."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.partial_scores import PartialScores
from toolchain.search.race import Race
from toolchain.search.scores import RaceThreshold, Score
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate

Evolved = Callable[[SearchSpace, int], list[Architecture]]


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def supernet(tiny_space: SearchSpace) -> Supernet:
    net = Supernet(tiny_space)
    initialize(net, torch.Generator().manual_seed(0))
    return net


def evaluator(
    supernet: Supernet,
    data: Data,
    race: Race | None = None,
    partial_scores: PartialScores | None = None,
    **settings: Any,
) -> Evaluator:
    return Evaluator(supernet, data, ScoringSettings(128, 64, **{"seed": 0} | settings), race, partial_scores)


def test_is_recalibration_and_top1_of_the_extracted_path(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data
) -> None:
    evaluate = evaluator(supernet, digits)
    scores = set()
    for seed in range(4):
        arch = tiny_space.draw(Random(seed))
        net = supernet.extract(arch)
        recalibrate(net, recalibration_batches(digits, 128, 64, seed=0), digits.preprocessing)
        expected = top1(net, fixed_batches(digits.train, digits.holdout, 64), digits.preprocessing)
        assert evaluate(arch) == expected
        scores.add(expected)
    assert len(scores) > 1  # the architecture is what differs


def test_does_not_depend_on_what_was_scored_before(supernet: Supernet, tiny_space: SearchSpace, digits: Data) -> None:
    candidates = [tiny_space.draw(Random(seed)) for seed in range(4)]
    one, other = evaluator(supernet, digits), evaluator(supernet, digits)
    forwards = {arch: one(arch) for arch in candidates}
    torch.manual_seed(99)
    assert {arch: other(arch) for arch in reversed(candidates)} == forwards
    assert [one(arch) for arch in candidates] == list(forwards.values())


def test_leaves_the_supernets_weights_alone(supernet: Supernet, tiny_space: SearchSpace, digits: Data) -> None:
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    evaluator(supernet, digits)(tiny_space.draw(Random(0)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_many_have_the_scores_that_each_has_by_itself(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data, evolved: Evolved
) -> None:
    archs = evolved(tiny_space, 6)
    advances: list[int] = []
    scores = evaluator(supernet, digits).many(archs, advance=advances.append)
    assert [score.accuracy for score in scores] == [evaluator(supernet, digits)(arch) for arch in archs]
    assert all(score.complete for score in scores)
    assert len({score.accuracy for score in scores}) > 1
    assert sum(advances) == len(archs)
    assert len(advances) == 2 + 4  # after each batch


def test_scores_do_not_depend_on_the_number_of_threads(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data, evolved: Evolved
) -> None:
    """Nor on how many threads torch gives to a layer elsewhere: sums depend on how they are split."""
    archs = evolved(tiny_space, 7)
    expected = evaluator(supernet, digits).many(archs)
    torch.set_num_threads(2)
    try:
        assert [evaluator(supernet, digits, threads=count).many(archs) for count in (1, 2, 3, 9)] == [expected] * 4
        assert torch.get_num_threads() == 2  # of the thread that trains
    finally:
        torch.set_num_threads(1)


def test_images_that_are_read_anew_give_the_same_scores(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data, evolved: Evolved
) -> None:
    archs = evolved(tiny_space, 4)
    kept, streamed = evaluator(supernet, digits), evaluator(supernet, digits, most_bytes=0)
    assert kept.many(archs) == streamed.many(archs) == streamed.many(archs)


@pytest.fixture(scope="module")
def candidates(tiny_space: SearchSpace, evolved: Evolved) -> list[Architecture]:
    return evolved(tiny_space, 8)


@pytest.fixture(scope="module")
def in_full(supernet: Supernet, digits: Data, candidates: list[Architecture]) -> list[Score]:
    return evaluator(supernet, digits, race=Race(0.4)).many(candidates)


@pytest.fixture(scope="module")
def best(in_full: list[Score]) -> RaceThreshold:
    result = max(in_full, key=lambda score: score.accuracy)
    assert result.correct is not None
    return RaceThreshold(result.accuracy, result.correct)


def same(one: Score, other: Score) -> bool:
    if one.correct is None or other.correct is None:
        return one == other
    return one.accuracy == other.accuracy and one.images == other.images and np.array_equal(one.correct, other.correct)


@pytest.mark.long
@pytest.mark.parametrize("batches", [1, 2, 3, 5])
@pytest.mark.parametrize("raced", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_killed_between_any_two_batches_resumes_with_the_same_scores(
    batches: int,
    raced: bool,
    threads: int,
    supernet: Supernet,
    digits: Data,
    candidates: list[Architecture],
    best: RaceThreshold,
    tmp_path: Path,
) -> None:
    race, threshold = (Race(0.4), best) if raced else (None, None)
    expected = evaluator(supernet, digits, race=race).many(candidates, threshold)
    assert any(not score.complete for score in expected) == raced
    done = 0

    def die(_: int) -> None:
        nonlocal done
        done += 1
        if done > batches:
            raise Killed

    path = tmp_path / "partial_scores.pt"

    def resumable() -> Evaluator:
        partial_scores = PartialScores(path, {"a": 1}, interval_s=0.0)
        return evaluator(supernet, digits, race=race, threads=threads, partial_scores=partial_scores)

    with pytest.raises(Killed):
        resumable().many(candidates, threshold, die)
    assert path.exists()
    advances: list[int] = []
    again = resumable().many(candidates, threshold, advances.append)
    assert all(map(same, again, expected))
    assert advances[0] == batches * len(candidates) // 6  # what was done before, at once
    assert sum(advances) == len(candidates)


def test_partial_scores_depend_on_candidates_and_settings(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data, evolved: Evolved, tmp_path: Path
) -> None:
    archs = evolved(tiny_space, 4)
    path = tmp_path / "partial_scores.pt"
    evaluator(supernet, digits, partial_scores=PartialScores(path, {"supernet": "a"}, interval_s=0.0)).many(archs)
    assert PartialScores(path, {"supernet": "a"}).load(archs, None) is not None
    assert PartialScores(path, {"supernet": "b"}).load(archs, None) is None
    assert PartialScores(path, {"supernet": "a"}).load(archs[:3], None) is None
    assert PartialScores(path, {"supernet": "a"}).load(archs, 0.5) is None
    path.write_bytes(path.read_bytes()[:1000])
    assert PartialScores(path, {"supernet": "a"}).load(archs, None) is None
    PartialScores(path, {}).remove()
    assert not path.exists()


def test_a_race_stops_candidates_and_leaves_the_scores_of_others(
    supernet: Supernet, digits: Data, candidates: list[Architecture], in_full: list[Score], best: RaceThreshold
) -> None:
    assert all(score.complete for score in in_full)  # they had nobody to race with
    raced = evaluator(supernet, digits, race=Race(0.4)).many(candidates, best)
    stopped = [number for number, score in enumerate(raced) if not score.complete]
    assert 0 < len(stopped) < len(candidates)
    assert all(raced[number].images in (64, 128, 192) for number in stopped)  # ends of batches
    assert all(same(raced[n], in_full[n]) for n in range(len(candidates)) if n not in stopped)
    for number in stopped:
        correct = in_full[number].correct
        assert correct is not None
        assert raced[number].accuracy == correct[: raced[number].images].mean()


def test_in_a_race_the_first_images_are_of_all_classes(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data
) -> None:
    """A hold-out is sorted by its index, which in a folder is by class."""
    racing = evaluator(supernet, digits, race=Race(0.4))
    batch = next(racing._holdout.after(0))
    assert len(set(batch[1].tolist())) == len(digits.classes)
    labels = torch.cat([labels for _, labels in racing._holdout.after(0)])
    assert sorted(labels.tolist()) == sorted(digits.train.labels[list(digits.holdout)].tolist())
