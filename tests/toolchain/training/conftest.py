"""Small image files for tests of user data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toolchain.progress import Quiet
from toolchain.spaces import load_space
from toolchain.training.data import Data, load_data

PAIR = "shufflenet_v2_quick:size_px=16,in_channels=3,classes=2,stem_channels=8,stage_widths=16-24,stage_repeats=2-2"
Picture = Callable[[Path, int], Path]


class Notes(Quiet):
    """Keeps the lines that a user would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def picture() -> Picture:
    """`picture(path, seed)` saves noise of 20 x 20 pixels, another for each seed."""

    def save(path: Path, seed: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(path, "PNG")
        return path

    return save


@pytest.fixture
def two_classes(tmp_path: Path, picture: Picture) -> Path:
    """A folder with the classes a and b: four training images and two test images each."""
    root = tmp_path / "data"
    for part, count in (("train", 4), ("val", 2)):
        for label, name in enumerate("ab"):
            for number in range(count):
                picture(root / part / name / f"{number}.png", 100 * label + number + (50 if part == "val" else 0))
    return root


@pytest.fixture
def load_pair(notes: Notes) -> Callable[..., Data]:
    """`load_pair(root)` loads a folder of two classes, one hold-out image each; `notes` gets the lines said."""

    def load(root: Path | str, **changes: Any) -> Data:
        given = {"holdout_per_class": 1, "seed": 0, "progress": notes} | changes
        return load_data(f"folder:{root}", load_space(PAIR), **given)

    return load
