"""Images that cannot be trained on are refused with the file or folder and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Nastool = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder in the layout of folder:PATH, and settings for it."""
    for part in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for image in range(6):
                shade = 40 * image + 20 * number
                Image.new("L", (20, 20), shade).save(folder / f"{image}.jpg")
    (tmp_path / "nastool.toml").write_text(
        'data = "folder:pets"\nholdout_per_class = 2\nworkers = 0\n'
        'space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,classes=2"\n'
        '[train]\nrecipe = "quick"\nchanges = { epochs = 2, batch = 4 }\n'
    )
    return tmp_path


def test_images_of_one_class(images: Path, refused: Refused) -> None:
    for part in ("train", "val"):
        shutil.rmtree(images / "pets" / part / "dog")
    refused(images, "train", "pets/train holds one class, cat", "Add a folder for each further class")


def test_missing_image_folder(images: Path, refused: Refused) -> None:
    refused(images, "train --data folder:fish", "fish/train does not exist", "PATH/train/CLASS/IMAGE")


def test_image_folder_without_val(images: Path, refused: Refused) -> None:
    shutil.rmtree(images / "pets/val")
    refused(images, "train", "pets/val does not exist", "PATH/val/CLASS/IMAGE")


def test_empty_image_folder(images: Path, refused: Refused) -> None:
    for name in ("cat", "dog"):
        shutil.rmtree(images / "pets/train" / name)
    refused(images, "train", "pets/train has no class folders", "Put images into pets/train/CLASS/")


def test_class_folder_without_images(images: Path, refused: Refused) -> None:
    for image in (images / "pets/train/dog").iterdir():
        image.unlink()
    refused(images, "train", "the class folder pets/train/dog has no images", "or remove it")


def test_train_and_val_differ_in_classes(images: Path, refused: Refused) -> None:
    (images / "pets/val/dog").rename(images / "pets/val/wolf")
    refused(
        images,
        "train",
        "differ in classes: dog (only in train/), wolf (only in val/)",
        "Give both the same class folders",
    )


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\xff\xd8\xff\xe0 a JPEG's beginning"])
def test_unreadable_image(content: bytes, images: Path, refused: Refused) -> None:
    (images / "pets/train/cat/3.jpg").write_bytes(content)
    refused(images, "train", "cannot read the image pets/train/cat/3.jpg", "Repair or remove that file")


@pytest.mark.parametrize("workers", [0, 1])
def test_image_that_breaks_off(workers: int, images: Path, nastool: Nastool) -> None:
    """The header is valid; decoding fails, possibly in a worker process."""
    path = images / "pets/train/cat/3.jpg"
    Image.effect_noise((64, 64), 80).save(path)
    path.write_bytes(path.read_bytes()[:900])
    toml = images / "nastool.toml"
    toml.write_text(toml.read_text().replace("workers = 0", f"workers = {workers}"))
    answer = nastool("train", "--holdout-per-class", "1", "--seed", "3", cwd=images)
    assert answer.code == 2
    assert "cannot read the image pets/train/cat/3.jpg" in answer.stderr
    assert "Repair or remove that file" in answer.stderr
    assert "Traceback" not in answer.stderr
