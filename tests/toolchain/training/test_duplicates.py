"""Exact copies among the images are reported, one line for each way."""

import shutil
from pathlib import Path
from typing import Any

from PIL import Image


def test_images_in_train_and_val_are_reported(two_classes: Path, load_pair: Any, notes: Any) -> None:
    shutil.copy(two_classes / "train" / "a" / "1.png", two_classes / "val" / "a" / "9.png")
    (two_classes / "val" / "b" / "9.png").symlink_to(two_classes / "train" / "b" / "1.png")
    load_pair(two_classes)
    assert notes.lines == [
        "warning: 2 of 6 test images are also training images, e.g. val/a/9.png is train/a/1.png. "
        "Remove them from one part, or test accuracy is too high"
    ]


def test_copies_that_were_saved_again_are_reported(two_classes: Path, load_pair: Any, notes: Any) -> None:
    with Image.open(two_classes / "train" / "a" / "1.png") as image:
        image.save(two_classes / "val" / "a" / "9.bmp")
    with Image.open(two_classes / "train" / "b" / "1.png") as image:
        for number in range(5):
            image.save(two_classes / "train" / "b" / f"again{number}.png", compress_level=number)
    load_pair(two_classes, holdout_per_class=3)
    assert notes.lines[0].startswith("warning: 1 of 5 test images are also training images, e.g. val/a/9.bmp is")
    assert notes.lines[1].endswith("most images are exact copies in the classes b (4 of 9 differ). Remove the copies")
    assert "of 6 hold-out images are exact copies of images to train on, e.g. " in notes.lines[2]


def test_copies_in_another_class_are_reported(two_classes: Path, load_pair: Any, notes: Any) -> None:
    shutil.copy(two_classes / "val" / "a" / "1.png", two_classes / "val" / "b" / "9.png")
    load_pair(two_classes)
    assert notes.lines == [
        f"warning: {two_classes}/val: 1 of 5 images are exact copies of images of another class, "
        "e.g. val/b/9.png is val/a/1.png. Remove the wrong ones"
    ]


def test_a_class_of_copies_and_a_holdout_of_copies_are_reported(two_classes: Path, load_pair: Any, notes: Any) -> None:
    for number in range(6):
        shutil.copy(two_classes / "train" / "a" / "0.png", two_classes / "train" / "a" / f"copy{number}.png")
    data = load_pair(two_classes, holdout_per_class=3)
    assert len(data.train.labels) == 14
    assert notes.lines[0] == (
        f"warning: {two_classes}/train: most images are exact copies in the classes a (4 of 10 differ). "
        "Remove the copies"
    )
    assert notes.lines[1].startswith("warning: ")
    assert "of 6 hold-out images are exact copies of images to train on, e.g. " in notes.lines[1]


def test_distinct_images_are_not_reported(two_classes: Path, load_pair: Any, notes: Any) -> None:
    load_pair(two_classes)
    assert notes.lines == []
