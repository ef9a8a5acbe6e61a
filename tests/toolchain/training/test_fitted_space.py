"""Classes, channels and size of a space come from the user's images."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from toolchain.config import Config
from toolchain.errors import BadData
from toolchain.nets.checked_space import configured_space
from toolchain.training.data import configured_data
from toolchain.training.fitted_space import with_fitted_space
from toolchain.training.holdout import split_holdout


class Notes:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def start(self, title: str, total: int, done: int = 0) -> "Notes":
        return self

    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


def pictures(folder: Path, counts: dict[str, int], mode: str = "RGB", size: tuple[int, int] = (90, 70)) -> Path:
    """`counts` images of each class in train/, and one in val/, all different."""
    for number, (name, count) in enumerate(counts.items()):
        for part, images in (("train", count), ("val", 1)):
            place = folder / part / name
            place.mkdir(parents=True)
            for index in range(images):
                shade = (40 * number + 3 * index + (part == "val")) % 256
                color = shade if mode == "L" else (shade, 255 - shade, 7 * number)
                Image.new(mode, size, color).save(place / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("mode", "size", "space", "fitted"),
    [
        ("RGB", (90, 70), "shufflenet_v2_quick", "classes=3,in_channels=3,size_px=64"),
        ("L", (40, 33), "shufflenet_v2_quick", "classes=3,in_channels=1,size_px=32"),
        ("RGB", (500, 400), "shufflenet_v2_quick", "classes=3,in_channels=3,size_px=64"),
        ("RGB", (300, 170), "shufflenet_v2", "classes=3,in_channels=3,size_px=160"),
        ("RGB", (90, 70), "shufflenet_v2_quick:size_px=28,classes=3", "size_px=28,classes=3,in_channels=3"),
    ],
)
def test_options_that_are_left_out_come_from_the_images(
    mode: str, size: tuple[int, int], space: str, fitted: str, tmp_path: Path
) -> None:
    data = pictures(tmp_path, {"a": 3, "b": 4, "c": 2}, mode, size)
    config = with_fitted_space(Config(space=space, data=f"folder:{data}"))
    assert config.space == f"{space.partition(':')[0]}:{fitted}"


def test_other_data_and_own_spaces_are_left_alone(tmp_path: Path) -> None:
    for space, data in (("shufflenet_v2_quick", "digits"), ("my.py:space", f"folder:{tmp_path}"), ("proxyless", None)):
        config = Config(space=space, data=data)
        assert with_fitted_space(config) == config


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("folder:nowhere", "nowhere/train does not exist"),
        ("folder:", "'folder:' names no folder"),
        ("folder:empty", "empty/train has no class folders"),
    ],
)
def test_a_folder_that_says_nothing_is_refused(
    data: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a space of the wrong classes is measured for minutes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty/train").mkdir(parents=True)
    with pytest.raises(BadData, match=problem):
        with_fitted_space(Config(space="proxyless", data=data))


def test_one_line_says_what_is_used(tmp_path: Path) -> None:
    data = pictures(tmp_path, {"a": 24, "b": 11})
    config = with_fitted_space(Config(space="shufflenet_v2_quick", data=f"folder:{data}"))
    notes = Notes()
    configured_data(config, configured_space(config), notes)
    expected = f"folder:{data}: 2 classes, color, 64 px, 5 of 35 training images held out, 2 test images"
    assert notes.said[-1] == expected


@pytest.mark.parametrize(
    ("per_class", "sizes", "held"),
    [
        ("auto", (10, 25, 500), (1, 3, 50)),
        ("auto", (100, 40_000), (10, 1500)),
        ("25%", (4, 9), (1, 3)),
        (2, (5, 300), (2, 2)),
    ],
)
def test_a_share_works_for_uneven_classes(per_class: int | str, sizes: tuple[int, ...], held: tuple[int, ...]) -> None:
    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    _, holdout = split_holdout(labels, per_class, 0, "data")
    assert torch.bincount(labels[list(holdout)]).tolist() == list(held)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    data = pictures(tmp_path, {"a": 4, "b": 1, "c": 5})
    (data / "train/c/broken.png").write_bytes(b"no image")
    config = Config(space="shufflenet_v2_quick:classes=4", data=f"folder:{data}", holdout_per_class=4)
    with pytest.raises(BadData) as caught:
        configured_data(config, configured_space(config))
    text = str(caught.value)
    assert "has 3 classes and the space shufflenet_v2_quick:classes=4 has 4" in text
    assert (
        "2 classes have too few training images, and 4 of each class are held out for the search: a (4), b (1)" in text
    )
    assert f"cannot read the image {data}/train/c/broken.png: not an image that Pillow knows" in text


def test_both_missing_parts_are_named(tmp_path: Path) -> None:
    config = Config(space="shufflenet_v2_quick", data=f"folder:{tmp_path}")
    with pytest.raises(BadData) as caught:
        configured_data(config, configured_space(config))
    assert f"{tmp_path}/train does not exist" in str(caught.value)
    assert f"{tmp_path}/val does not exist" in str(caught.value)


def test_a_large_image_is_read_without_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from toolchain.training.decode import opened

    content = tmp_path / "large.png"
    Image.new("1", (10_000, 9_500)).save(content)
    with content.open("rb") as file:
        assert opened(file, "large.png", lambda image: image.size) == (10_000, 9_500)
    Image.new("1", (20_000, 20_000)).save(content)
    with content.open("rb") as file, pytest.raises(BadData, match=r"it has 400 megapixels, and at most 179 are read"):
        opened(file, "large.png", lambda image: image.size)
    assert "Warning" not in capfd.readouterr().err
