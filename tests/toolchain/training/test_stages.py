"""Training the supernet and the winner: what is trained again when data or settings change."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from toolchain.config import Config, parse_config, preset_text
from toolchain.errors import BadCheckpoint, BadDocument
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.tracking.tensorboard import TensorBoard
from toolchain.training.data import Data
from toolchain.training.job import Job
from toolchain.training.retrained import load_retrained
from toolchain.training.retraining import retrain
from toolchain.training.sealed_file import load_sealed, save_sealed
from toolchain.training.supernet_training import train_supernet
from toolchain.training.trained_supernet import load_supernet

PAIR = "shufflenet_v2_quick:size_px=16,in_channels=3,classes=2,stem_channels=8,stage_widths=16-24,stage_repeats=2-2"
FEW_STEPS = {"epochs": 1, "batch": 2, "lr": 0.01}


@pytest.fixture
def space() -> SearchSpace:
    return load_space(PAIR)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "r")


def settings(**flags: Any) -> Config:
    given = {"threads": 1, "workers": 0, "train.changes": FEW_STEPS, "retrain.changes": FEW_STEPS} | flags
    return parse_config(preset_text("quick"), {"space": PAIR, "data": "folder:data"} | given, "test")


def retrained(space: SearchSpace, data: Data, run: Run, notes: Any = None) -> Any:
    return retrain(Job(settings(), space, data, run, notes or Quiet()), space.all_same("choice_3"))


def states(run: Run, *names: str) -> list[tuple[int, int]]:
    (folder,) = (run.folder / "retrain").iterdir()
    return [((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) for name in names]


@pytest.mark.parametrize("part", ["test", "holdout"])
def test_a_repaired_evaluation_image_costs_only_the_evaluation(
    part: str, two_classes: Path, load_pair: Any, picture: Any, space: SearchSpace, run: Run, notes: Any
) -> None:
    data = load_pair(two_classes)
    first = retrained(space, data, run)
    before = states(run, "checkpoint.pt", "best.pt")
    path = data.test.paths[0] if part == "test" else data.train.paths[data.holdout[0]]
    picture(path, 999)
    second = retrained(space, load_pair(two_classes), run, notes)
    assert states(run, "checkpoint.pt", "best.pt") == before
    assert second.fingerprint == first.fingerprint
    assert second.evaluated_on != first.evaluated_on
    assert "hold-out or test images have changed, so it is evaluated again" in notes.lines[-1]
    assert retrained(space, load_pair(two_classes), run) == second


def test_a_repaired_training_image_is_other_data(
    two_classes: Path, load_pair: Any, picture: Any, space: SearchSpace, run: Run
) -> None:
    data = load_pair(two_classes)
    retrained(space, data, run)
    path = data.train.paths[data.fit[0]]
    status = path.stat()
    picture(path, 999)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(BadCheckpoint, match=r"settings: training images of folder:\S+ have changed\."):
        retrained(space, load_pair(two_classes), run)


def test_a_supernet_is_used_again_when_its_data_moved(
    two_classes: Path, load_pair: Any, space: SearchSpace, run: Run, tmp_path: Path
) -> None:
    train_supernet(Job(settings(), space, load_pair(two_classes), run, Quiet()))
    two_classes.rename(tmp_path / "moved")
    moved = load_pair(tmp_path / "moved")
    load_supernet(Job(settings(), space, moved, run, Quiet()))
    state = run.supernet.stat().st_mtime_ns
    train_supernet(Job(settings(), space, moved, run, Quiet()))
    assert run.supernet.stat().st_mtime_ns == state


def rewritten(path: Path, change: Any) -> None:
    content = load_sealed(path)
    change(content)
    save_sealed(path, content)


def test_weights_that_are_not_finite_are_refused(
    two_classes: Path, load_pair: Any, space: SearchSpace, run: Run
) -> None:
    data = load_pair(two_classes)
    train_supernet(Job(settings(), space, data, run, Quiet()))
    rewritten(run.supernet, lambda content: next(iter(content["model"].values())).fill_(torch.inf))
    with pytest.raises(BadCheckpoint, match="weights that are not finite"):
        load_supernet(Job(settings(), space, data, run, Quiet()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["model"].popitem(), "it lacks the tensor"),
        (lambda content: content["model"].update(more=torch.zeros(1)), "it has a tensor more"),
        (lambda content: content.pop("model"), "the field model is missing"),
        (lambda content: content.update(fingerprint=3), "the field fingerprint is a int, not a dict"),
        (lambda content: content["fingerprint"].pop("space_digest"), "is a network of the space"),
        (lambda content: content["fingerprint"].pop("training_images"), "was trained on other images of"),
        (lambda content: content["fingerprint"].update(data="x", training_images="1"), "Give --data x, or retrain"),
    ],
)
def test_a_wrong_best_pt_is_refused(
    change: Any, words: str, two_classes: Path, load_pair: Any, space: SearchSpace, run: Run
) -> None:
    data = load_pair(two_classes)
    retrained(space, data, run)
    rewritten(run.retrain(space.all_same("choice_3")) / "best.pt", change)
    with pytest.raises(BadCheckpoint, match=words):
        load_retrained(space, space.all_same("choice_3"), data, run)


def test_winners_are_read_for_the_names_of_a_tracker_only(
    two_classes: Path, load_pair: Any, space: SearchSpace, run: Run
) -> None:
    winner = run.budget("macs_31k") / "best.json"
    winner.parent.mkdir(parents=True)
    winner.write_text("damaged")
    data, arch = load_pair(two_classes), space.all_same("choice_3")
    job = Job(settings(), space, data, run, Quiet())
    result = retrain(job, arch)
    assert retrain(job, arch) == result
    with pytest.raises(BadDocument, match=r"best\.json is damaged: .* Remove it and run nastool search"):
        retrain(replace(job, trackers=(TensorBoard(run.folder / "more"),)), arch)
