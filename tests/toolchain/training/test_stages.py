"""Training the supernet and the winner: what is trained again when data or settings change."""

import os
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import Config, parse_config, preset_text
from toolchain.errors import BadCheckpoint
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data
from toolchain.training.stages import load_supernet, retrain, train_supernet

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
    return retrain(settings(), space, space.all_same("choice_3"), data, run, notes or Quiet())


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
    assert second["belongs"] == first["belongs"]
    assert second["evaluated_on"] != first["evaluated_on"]
    assert "hold-out or test images have changed: it is evaluated again" in notes.lines[-1]
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
    with pytest.raises(BadCheckpoint, match=r"training_images was '.*' and is now '"):
        retrained(space, load_pair(two_classes), run)


def test_a_supernet_is_found_again_when_its_data_moved(
    two_classes: Path, load_pair: Any, space: SearchSpace, run: Run, tmp_path: Path
) -> None:
    train_supernet(settings(), space, load_pair(two_classes), run, Quiet())
    two_classes.rename(tmp_path / "moved")
    moved = load_pair(tmp_path / "moved")
    load_supernet(settings(), space, moved, run, Quiet())
    state = run.supernet.stat().st_mtime_ns
    train_supernet(settings(), space, moved, run, Quiet())
    assert run.supernet.stat().st_mtime_ns == state
