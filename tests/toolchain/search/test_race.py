"""A race stops the correct ones: its error rate and its savings on recorded data, and its place in a search."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from toolchain.costs.core import Budget
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.race import Race, kth_best
from toolchain.search.scores import CandidateLine, Flags, RaceThreshold, Score
from toolchain.search.strategies import Evolution, Scored, best_first, complete
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.tracking.event_file import EventFile
from toolchain.training import strategies
from toolchain.training.data import load_data
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Passes, through
from toolchain.training.recipe import Recipe

BATCH = 25
TOP = 5


@dataclass(frozen=True)
class RaceResult:
    """A race on recorded flags: how many images each candidate saw, and which candidates were stopped."""

    images: tuple[int, ...]
    stopped: tuple[int, ...]


def replay(race: Race, correct: Flags, threshold: Flags, batch: int) -> RaceResult:
    """Run `race` on recorded flags `correct` (candidates, images), in the order of images."""
    count = correct.shape[1]
    images, alive = np.full(len(correct), count), np.arange(len(correct))
    for number in race.points(-(-count // batch)):
        seen = number * batch
        stopped = alive[race.losers(correct[alive, :seen], threshold[:seen])]
        images[stopped] = seen
        alive = np.setdiff1d(alive, stopped)
    return RaceResult(tuple(images.tolist()), tuple(np.flatnonzero(images < count).tolist()))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Flags:
    """Who of 40 candidates of a trained supernet of eight widths has which of 700 images correct: bool (40, 700)."""
    space = load_space(
        "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32,"
        "ops=choice_3-choice_x,widths=0.2-0.6-1.0-1.4,round_to=1"
    )
    data = load_data("digits", space, holdout_per_class=70, seed=0)
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))

    def plan(step: int) -> Passes:
        return through(supernet, [strategies.Path(space.draw(Random(step)))])

    folder = tmp_path_factory.mktemp("race")
    settings = TrainingSettings(
        "train", folder / "checkpoint.pt", {}, partial(EventFile, folder / "tb"), 1e9, workers=0, seed=0
    )
    train(supernet, plan, data, Recipe(epochs=10, batch=32, lr=0.1), settings, Quiet())
    rng = Random(0)
    archs = sorted({space.draw(rng) for _ in range(50)}, key=str)[:40]
    scores = Evaluator(supernet, data, ScoringSettings(175, 175, seed=0), Race(0.05)).many(archs)
    correct = np.stack([score.correct for score in scores if score.correct is not None])
    assert correct.shape == (40, 700)
    assert 0.05 < np.ptp(correct.mean(1)) < 0.9  # they differ, and none is at chance for nothing
    return correct


def orders(images: int, count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.permutation(images) for _ in range(count)]


@pytest.mark.long
def test_stops_those_that_are_as_good_as_the_reference_less_often_than_stated(recorded: Flags) -> None:
    """The hardest case on the record: pairs that end level, or nearly so with the candidate ahead, in many orders."""
    accuracy = recorded.mean(1)
    pairs = [
        (one, other)
        for one in range(len(recorded))
        for other in range(len(recorded))
        if one != other and 0 <= accuracy[one] - accuracy[other] < 0.005
    ]
    assert len(pairs) > 20
    for error in (0.05, 0.3):
        race, stopped = Race(error), 0
        for order in orders(recorded.shape[1], 40):
            for one, other in pairs:
                stopped += len(replay(race, recorded[[one]][:, order], recorded[other, order], BATCH).stopped)
        assert stopped / (40 * len(pairs)) <= error
        assert stopped or error < 0.1  # the bound is not met by never stopping


@pytest.mark.long
def test_saves_images_and_keeps_the_best(recorded: Flags) -> None:
    """Against the k-th best of half of the candidates, the other half loses a good part of its images."""
    race, images, kept = Race(0.05), [], []
    for order in orders(recorded.shape[1], 20):
        candidates = np.random.default_rng(int(order[0])).permutation(len(recorded))
        before, after = np.split(candidates, 2)
        accuracy = recorded.mean(1)
        place = kth_best(accuracy[before].tolist(), TOP)
        assert place is not None
        run = replay(race, recorded[after][:, order], recorded[before[place], order], BATCH)
        images.append(np.mean(run.images) / recorded.shape[1])
        better = {number for number in range(len(after)) if accuracy[after[number]] >= accuracy[before[place]]}
        kept.append(1 - len(better & set(run.stopped)) / max(1, len(better)))
    assert np.mean(images) < 0.9  # 0.83 to 0.86, depending on the number of threads that train the supernet
    assert np.mean(kept) >= 0.95


def test_a_look_is_mcnemars_exact_test() -> None:
    generator = np.random.default_rng(1)
    correct = generator.random((50, 200)) < np.linspace(0.3, 0.9, 50)[:, None]
    reference = generator.random(200) < 0.7
    race = Race(0.1, looks=(0.5, 1.0))
    expected = []
    for number, own in enumerate(correct):
        wins, losses = int((own & ~reference).sum()), int((~own & reference).sum())
        if binomtest(wins, wins + losses, 0.5, alternative="less").pvalue <= 0.05:
            expected.append(number)
    assert race.losers(correct, reference) == expected
    assert 0 < len(expected) < 50


def test_no_candidate_is_stopped_where_all_agree() -> None:
    correct = np.ones((3, 10), np.bool_)
    assert Race(0.5).losers(correct, correct[0]) == []


@pytest.mark.parametrize(("batches", "points"), [(1, ()), (2, (1,)), (4, (1, 2, 3)), (16, (2, 4, 8, 12))])
def test_looks_are_at_the_ends_of_batches(batches: int, points: tuple[int, ...]) -> None:
    assert Race(0.05).points(batches) == points


class Racer:
    """Scores by a made-up record; a candidate's accuracy is that of its text."""

    def __init__(self, race: Race) -> None:
        self.race = race
        self.asked: list[Architecture] = []

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        self.asked += archs
        correct = np.stack([self.correct(arch) for arch in archs])
        if threshold is None:
            return [Score(own.sum() / own.size, None, own) for own in correct]
        images = replay(self.race, correct, threshold.correct, BATCH).images
        return [
            Score(own.sum() / own.size, None, own) if seen == own.size else Score(own[:seen].sum() / seen, seen)
            for own, seen in zip(correct, images, strict=True)
        ]

    def correct(self, arch: Architecture) -> Flags:
        accuracy = 0.4 + 0.5 * (sum(map(ord, str(arch))) % 97 / 97)
        return np.random.default_rng(sum(map(ord, str(arch)))).random(400) < accuracy


def search(space: SearchSpace, path: Path, racer: Racer, top: int = TOP) -> tuple[Scored, ...]:
    evolution = Evolution(FeasibleSet(space, Budget(())), population=20, top_k=top, mutation=0.1)
    return run_strategy(evolution, range(5), Scoring(0, Journal(path, {}, CandidateLine), racer, Quiet(), race_top=top))


def test_who_was_stopped_is_marked_and_never_ahead(tiny_space: SearchSpace, tmp_path: Path) -> None:
    scored = search(tiny_space, tmp_path / "j.jsonl", Racer(Race(0.05)))
    stopped = [s for s in scored if not s.complete]
    assert 10 < len(stopped) < len(scored)
    assert all(s.generation > 0 for s in stopped)  # the first has nobody to race with
    assert all(s.complete for s in best_first(scored)[: len(scored) - len(stopped)])
    assert set(complete(scored)) == set(scored) - set(stopped)
    lines = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()[1:]]
    marked = {tuple(line["architecture"]) for line in lines if "images" in line}
    assert marked == {s.architecture.choices for s in stopped}
    for line in lines:
        assert ("correct" in line) != ("images" in line)


def test_a_search_with_a_race_is_replayed(tiny_space: SearchSpace, tmp_path: Path) -> None:
    """Torn after any line of a generation, the journal ends the same."""
    expected = search(tiny_space, tmp_path / "whole.jsonl", Racer(Race(0.05)))
    whole = (tmp_path / "whole.jsonl").read_bytes()
    for lines in (0, 20, 33, 59, 100):
        path = tmp_path / f"{lines}.jsonl"
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[: lines + 1]))
        racer = Racer(Race(0.05))
        assert search(tiny_space, path, racer) == expected
        assert racer.asked == [s.architecture for s in expected[lines:]]
        assert path.read_bytes() == whole


def test_against_a_worse_reference_who_was_stopped_is_scored_in_full(tiny_space: SearchSpace, tmp_path: Path) -> None:
    """As under a tighter budget, whose best are less accurate."""
    path = tmp_path / "j.jsonl"
    first = search(tiny_space, path, Racer(Race(0.05)), top=2)
    again = Racer(Race(0.05))
    second = search(tiny_space, path, again, top=15)
    rescored = {s.architecture for s in first if not s.complete} & set(again.asked)
    assert {s.architecture for s in second if s.complete} & rescored
    replayed = Racer(Race(0.05))
    assert search(tiny_space, path, replayed, top=2) == first
    assert search(tiny_space, path, replayed, top=15) == second
    assert replayed.asked == []
