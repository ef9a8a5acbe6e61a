"""Hold-out scores along a training, early stopping by them, and epochs that are added to a finished supernet."""

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from toolchain.config import Config
from toolchain.costs.counters import default_cost
from toolchain.errors import BadCheckpoint, MissingOutput
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces.core import SearchSpace
from toolchain.training import loop, path_scores
from toolchain.training.checkpoint import Checkpoint, load
from toolchain.training.data import Data
from toolchain.training.holdout_scores import (
    HoldoutScore,
    HoldoutScores,
    HoldoutWatch,
    read_scores,
    stops_early,
)
from toolchain.training.job import Job
from toolchain.training.phases import AddedEpochs, Phase, last_phase
from toolchain.training.recipe import Recipe
from toolchain.training.retraining import retrain
from toolchain.training.sealed_file import load_sealed
from toolchain.training.supernet_training import Trained, initial_supernet, train_supernet
from toolchain.training.trained_supernet import load_supernet

RECIPE = {"epochs": 6, "batch": 256, "lr": 0.05, "ema_decay": 0.9, "warmup_steps": 5}


class Killed(BaseException):
    """No `except Exception` on the way stops it, as none stops SIGKILL."""


def score(step: int, *accuracies: float) -> HoldoutScore:
    return HoldoutScore(step=step, epoch=step / 10, accuracy={str(n): value for n, value in enumerate(accuracies)})


@pytest.mark.parametrize(
    ("means", "patience", "stops"),
    [
        ([0.5, 0.6, 0.7], 2, False),
        ([0.5, 0.7, 0.7, 0.7], 2, False),  # no improvement is no reason
        ([0.5, 0.7, 0.66, 0.66], 2, False),  # within 0.046, the standard error of 0.7 on 100 images
        ([0.5, 0.7, 0.65, 0.65], 2, True),
        ([0.5, 0.7, 0.5, 0.66], 2, False),
        ([0.7, 0.5], 2, False),  # too few to tell
        ([0.7, 0.6, 0.5], 2, True),
        ([0.7, 0.6, 0.5], 0, False),
        ([], 1, False),
    ],
)
def test_when_a_training_stops(means: list[float], patience: int, stops: bool) -> None:
    assert stops_early([score(step, mean) for step, mean in enumerate(means)], patience, 100) is stops


def test_the_mean_over_the_networks_counts() -> None:
    assert not stops_early([score(1, 0.5, 0.5), score(2, 0.4, 0.7)], 1, 1000)
    assert stops_early([score(1, 0.5, 0.5), score(2, 0.3, 0.5)], 1, 1000)


def test_evaluations_are_ten_at_most_and_one_in_an_epoch_at_most(digits: Data, tmp_path: Path) -> None:
    watch = HoldoutWatch(tmp_path / "holdout.json", lambda _: {}, {}, digits, 0)
    assert [step for step in range(1, 101) if watch.due(step, 0, 100, 5)] == list(range(10, 101, 10))
    assert [step for step in range(1, 101) if watch.due(step, 0, 100, 33.4)] == [34, 68, 100]
    assert [step for step in range(1, 8) if watch.due(step, 0, 7, 33.4)] == [7]
    assert [step for step in range(101, 151) if watch.due(step, 100, 150, 20)] == [120, 140, 150]


def test_epochs_by_the_size_of_the_data_set() -> None:
    recipe = Recipe(epochs=30, reference_images=10_000, batch=50, lr=0.1)
    assert [recipe.epochs_for(images) for images in (2_500, 10_000, 40_000)] == [60, 30, 15]
    assert [recipe.steps(images) for images in (2_500, 10_000, 40_000)] == [3_000, 6_000, 12_000]
    assert recipe.with_epochs(7).steps(2_500) == 350
    assert last_phase(recipe, 2_500, ()) == Phase(0, 3_000)
    added = (AddedEpochs(step=2_000, epochs=10), AddedEpochs(step=2_500, epochs=2))
    assert last_phase(recipe, 2_500, added) == Phase(2_500, 2_600)


@pytest.fixture
def job(tiny_config: Config, tiny_space: SearchSpace, digits: Data, tmp_path: Path) -> Job:
    return job_in(tmp_path / "run", tiny_config, tiny_space, digits)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training, which the first test that needs it runs."""
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def trained_job(job: Job, finished: Path) -> Job:
    """A job whose training has ended."""
    if not finished.exists():
        train_supernet(at(job, finished))
    shutil.copytree(finished, job.run.folder)
    return job


def job_in(folder: Path, config: Config, space: SearchSpace, data: Data, **changes: Any) -> Job:
    sections = {
        name: getattr(config, name).model_copy(update={"changes": RECIPE | changes, "checkpoint_every_s": 0.0})
        for name in ("train", "retrain")
    }
    return Job(config.model_copy(update=sections), space, data, Run(folder), Quiet())


def at(job: Job, folder: Path) -> Job:
    return replace(job, run=Run(folder))


def kill_after(monkeypatch: pytest.MonkeyPatch, checkpoints: int) -> None:
    """The training is killed when it has written so many checkpoints."""
    original, written = Checkpoint.save, []

    def save(self: Checkpoint, path: Path) -> None:
        original(self, path)
        written.append(path)
        if len(written) == checkpoints:
            raise Killed

    monkeypatch.setattr(loop.Checkpoint, "save", save)


def same_weights(one: Job, other: Job) -> bool:
    first, second = (load_sealed(job.run.supernet) for job in (one, other))
    assert first["fingerprint"] == second["fingerprint"]
    assert first["step"] == second["step"]
    return all(torch.equal(weight, second["model"][name]) for name, weight in first["model"].items())


def test_three_paths_are_scored_along_the_training(job: Job, notes: Any) -> None:
    trained = train_supernet(job)
    scores = read_scores(job.run.supernet_scores)
    assert scores is not None
    assert scores == trained.scores
    assert list(scores.networks) == ["small path", "middle path", "large path"]
    assert scores.images == len(job.data.holdout)
    # 1,237 images to train on in batches of 256 are 4.83 steps an epoch
    assert [each.step for each in scores.scores] == [5, 10, 15, 20, 25, trained.steps]
    # the last scores are those of the weights that the training ends with
    watch = path_scores.supernet_watch(job, Recipe(epochs=1, batch=1, lr=1))
    again = watch.add(HoldoutScores(networks={}, images=1), load_supernet(job), 1, 1.0)
    assert again.scores[0].accuracy == scores.scores[-1].accuracy


def test_an_evaluation_reads_each_image_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    images = type(job.data.train)
    fetch = images.fetch
    monkeypatch.setattr(images, "fetch", lambda self, indices: (read.extend(indices), fetch(self, indices))[1])
    watch = path_scores.supernet_watch(job, Recipe(epochs=1, batch=1, lr=1))
    assert len(watch.add(HoldoutScores(networks={}, images=1), initial_supernet(job), 1, 1.0).scores[0].accuracy) == 3
    assert len(read) == len(set(read)) == 512 + len(job.data.holdout)


def test_the_paths_are_sorted_by_cost_and_do_not_change(job: Job) -> None:
    paths = path_scores.scored_paths(job)
    assert paths == path_scores.scored_paths(job)
    costs = [default_cost(job.space).cost(arch) for arch in paths.values()]
    assert costs == sorted(costs)
    assert len(set(costs)) == 3
    assert set(paths.values()) != {job.space.draw(Random(0))}


@pytest.mark.long
def test_scores_change_nothing_in_the_training(
    trained_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwatched = at(trained_job, tmp_path / "unwatched")
    monkeypatch.setattr(HoldoutWatch, "due", lambda *_: False)
    train_supernet(unwatched)
    assert read_scores(unwatched.run.supernet_scores) is None
    assert same_weights(trained_job, unwatched)


@pytest.mark.parametrize("killed_after", [3, pytest.param(12, marks=pytest.mark.long)])
def test_a_killed_training_has_the_same_scores(
    killed_after: int, trained_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train_supernet(trained_job)
    killed = at(trained_job, tmp_path / "killed")
    with monkeypatch.context() as patch:
        kill_after(patch, killed_after)
        with pytest.raises(Killed):
            train_supernet(killed)
    assert train_supernet(killed).scores == expected.scores
    assert same_weights(trained_job, killed)


class Falling:
    """Scores that rise three times and then fall."""

    def __call__(self, watch: HoldoutWatch, scores: HoldoutScores, _: Any, step: int, epoch: float) -> HoldoutScores:
        value = (0.2, 0.4, 0.5, 0.3, 0.3, 0.3)[len(scores.scores)]
        added = HoldoutScore(step=step, epoch=epoch, accuracy={"path": value})
        content = scores.model_copy(update={"scores": (*scores.scores, added)})
        watch.path.parent.mkdir(parents=True, exist_ok=True)
        watch.path.write_text(content.model_dump_json())
        return content


@pytest.fixture
def stopping(
    tiny_config: Config, tiny_space: SearchSpace, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Job:
    """A training that could take 29 steps and ends after the fifth evaluation: two below the best."""
    falling = Falling()
    monkeypatch.setattr(HoldoutWatch, "add", lambda *arguments: falling(*arguments))
    return job_in(tmp_path / "stopping", tiny_config, tiny_space, digits, patience=2)


def test_a_training_ends_early(stopping: Job, notes: Any) -> None:
    stopping = replace(stopping, progress=notes)
    trained = train_supernet(stopping)
    assert trained.steps == 25
    assert (
        "the hold-out accuracy is below its best in 2 evaluations, so it ends after 5.19 of 6.02 epochs"
        in notes.lines[-1]
    )
    lines = len(notes.lines)
    assert train_supernet(stopping).steps == 25  # it has ended
    load_supernet(stopping)  # which a search does not take for an unfinished one
    assert len(notes.lines) == lines
    # it ends with the moving average of the weights
    content = load_sealed(stopping.run.supernet)
    assert all(torch.equal(content["model"][name], average) for name, average in content["average"].items())


@pytest.mark.parametrize("killed_after", [24, pytest.param(25, marks=pytest.mark.long)])
def test_a_training_that_ends_early_and_was_killed(
    killed_after: int, stopping: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_supernet(stopping)
    killed = at(stopping, tmp_path / "killed")
    with monkeypatch.context() as patch:
        kill_after(patch, killed_after)
        with pytest.raises(Killed):
            train_supernet(killed)
    assert train_supernet(killed).steps == 25
    assert same_weights(stopping, killed)


@pytest.mark.long
def test_the_hold_out_is_part_of_a_training_that_it_may_end(stopping: Job, job: Job) -> None:
    train_supernet(stopping)
    train_supernet(job)
    assert load_sealed(stopping.run.supernet)["fingerprint"]["holdout_images"] == stopping.data.digests.holdout
    assert "holdout_images" not in load_sealed(job.run.supernet)["fingerprint"]


def test_a_retraining_is_watched_and_may_end_early(stopping: Job) -> None:
    arch = stopping.space.all_same("choice_3")
    assert retrain(stopping, arch).steps == 25
    scores = read_scores(stopping.run.retrain(arch) / "holdout.json")
    assert scores is not None
    assert scores.networks == {"network": arch.choices}


def steps_of(job: Job, trained: Trained) -> int:
    assert load_sealed(job.run.supernet)["step"] == trained.steps
    return trained.steps


def test_more_epochs_continue_a_finished_supernet(trained_job: Job, notes: Any) -> None:
    first = train_supernet(trained_job)
    assert steps_of(trained_job, first) == 29
    second = train_supernet(trained_job, more_epochs=2)
    assert steps_of(trained_job, second) == 29 + 10
    assert second.scores is not None
    assert [each.step for each in second.scores.scores] == [5, 10, 15, 20, 25, 29, 34, 39]
    assert train_supernet(trained_job).steps == 39  # without the flag nothing is added
    assert train_supernet(trained_job, more_epochs=1).steps == 39 + 5
    stored = load_sealed(trained_job.run.supernet)["fingerprint"]["added_epochs"]
    assert stored == [{"step": 29, "epochs": 2.0}, {"step": 39, "epochs": 1.0}]
    load_supernet(replace(trained_job, progress=notes))
    assert notes.lines == []


@pytest.mark.parametrize("killed_after", [6, *(pytest.param(steps, marks=pytest.mark.long) for steps in (1, 10))])
def test_more_epochs_that_were_killed(
    killed_after: int, trained_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: Any
) -> None:
    killed = at(trained_job, tmp_path / "killed")
    shutil.copytree(trained_job.run.folder, killed.run.folder)
    train_supernet(trained_job, more_epochs=2)
    with monkeypatch.context() as patch:
        kill_after(patch, killed_after)
        with pytest.raises(Killed):
            train_supernet(killed, more_epochs=2)
    if killed_after < 10:
        load_supernet(replace(killed, progress=notes))
        assert "this supernet is trained to step" in notes.lines[0]
    train_supernet(killed, more_epochs=None if killed_after == 10 else 2)
    assert same_weights(trained_job, killed)


@pytest.mark.long
def test_more_epochs_go_on_with_the_learning_rate_of_a_longer_training(
    trained_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    original = loop.set_learning_rate
    monkeypatch.setattr(loop, "set_learning_rate", lambda opt, lr: (rates.append(lr), original(opt, lr)))
    train_supernet(trained_job, more_epochs=6)
    # 0.05 x (1 + cos(pi x 29 / 58)) / 2, the middle of the cosine, and almost zero at the end
    assert rates[0] == pytest.approx(0.025)
    assert rates[-1] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.long
def test_more_epochs_need_a_supernet_with_the_same_settings(
    job: Job, tiny_config: Config, tiny_space: SearchSpace, digits: Data
) -> None:
    with pytest.raises(MissingOutput):
        train_supernet(job, more_epochs=1)
    train_supernet(job)
    other = job_in(job.run.folder, tiny_config, tiny_space, digits, lr=0.01)
    with pytest.raises(BadCheckpoint, match=r"recipe\.lr was 0\.05 and is now 0\.01"):
        train_supernet(other, more_epochs=1)
    assert load(job.run.supernet, load_sealed(job.run.supernet)["fingerprint"]).step == 29


def test_damaged_scores_are_named(trained_job: Job) -> None:
    trained_job.run.supernet_scores.write_text('{"networks": {}, "images": 1, "scores": [{"step": 1}]}')
    with pytest.raises(BadCheckpoint, match=r"holdout\.json is damaged: scores\.0\.epoch"):
        train_supernet(trained_job, more_epochs=1)
