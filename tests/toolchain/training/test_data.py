"""Data sets by name, and the hold-out."""

import struct
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolchain.errors import BadData
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training import fashion_mnist
from toolchain.training.data import Preprocessing, load_data, split_holdout


@given(sizes=st.lists(st.integers(4, 12), min_size=1, max_size=5), per_class=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_holdout_is_exact_in_each_class(sizes: list[int], per_class: int, seed: int) -> None:
    labels = torch.tensor([label for label, size in enumerate(sizes) for _ in range(size)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    fit, holdout = split_holdout(labels, per_class, seed, "data")
    assert Counter(labels[list(holdout)].tolist()) == dict.fromkeys(range(len(sizes)), per_class)
    assert sorted(fit + holdout) == list(range(len(labels)))  # all of them, none twice
    assert split_holdout(labels, per_class, seed, "data") == (fit, holdout)


def test_the_holdout_is_drawn() -> None:
    labels = torch.arange(1000) % 10
    one, other = (split_holdout(labels, 20, seed, "data")[1] for seed in (0, 1))
    assert one != other
    assert 0.3 < sum(index < 500 for index in one) / 200 < 0.7  # not the first of each class


@pytest.mark.parametrize("per_class", [5, 6])
def test_a_class_with_too_few_images_is_named(per_class: int) -> None:
    labels = torch.tensor([0] * 50 + [1] * 5)
    with pytest.raises(BadData, match=r"data: the class 1 has 5 training images, .* Write --holdout-per-class 1"):
        split_holdout(labels, per_class, 0, "data")


def test_digits(tiny_space: SearchSpace) -> None:
    data = load_data("digits", tiny_space, 20, seed=0)
    assert data.classes == tuple("0123456789")
    assert len(data.train.labels) + len(data.test.labels) == 1797  # as many as scikit-learn has
    assert len(data.holdout) == 200
    assert set(data.fit).isdisjoint(data.holdout)
    shares = Counter(data.test.labels.tolist())
    assert all(34 <= count <= 37 for count in shares.values())  # a fifth of 174 to 183
    pixels = data.test.fetch([0, 1])
    assert pixels.shape == (2, 1, 16, 16)
    assert pixels.dtype == torch.uint8
    assert pixels.max() > 200  # scikit-learn's 0 to 16 become 0 to 255
    again = load_data("digits", tiny_space, 20, seed=0)
    assert (again.fit, again.holdout) == (data.fit, data.holdout)


def test_preprocessing_is_the_written_out_sum() -> None:
    pixels = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    result = Preprocessing(size_px=1, mean=(0.5, 0.2), std=(0.5, 0.1))(pixels)
    torch.testing.assert_close(result, torch.tensor([[[[-1.0, 1.0]], [[0.0, 2.0]]]]), atol=1e-6, rtol=0)  # float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert pixels.dtype == torch.uint8


SPACE = "shufflenet_v2_quick:in_channels=3,size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with images of several kinds, and things beside them that are none."""
    kinds = [
        ("a.png", "RGB", (31, 17)),
        ("b.JPG", "L", (9, 40)),
        ("c.jpeg", "CMYK", (20, 20)),
        ("d.png", "RGBA", (5, 5)),
    ]
    for part in ("train", "val"):
        for name in ("zebra crossing", "Ampel"):
            (tmp_path / part / name / "deeper").mkdir(parents=True)
            for file, mode, size in kinds:
                Image.new("RGB", size, (9, 99, 199)).convert(mode).save(tmp_path / part / name / file)
            saved = tmp_path / part / name / "deeper" / "e.png"
            Image.new("P", (12, 13), 3).save(saved)
            (tmp_path / part / name / "Thumbs.db").write_bytes(b"\0junk")
            (tmp_path / part / name / "notes.txt").write_text("no image")
        (tmp_path / part / "README.md").write_text("beside the classes")
    return tmp_path


def test_a_folder_of_files(folder: Path) -> None:
    data = load_data(f"folder:{folder}", load_space(f"{SPACE},classes=2"), 2, seed=0)
    assert data.classes == ("Ampel", "zebra crossing")
    assert len(data.train.labels) == len(data.test.labels) == 10
    assert data.train.fetch(range(10)).shape == (10, 3, 16, 16)
    assert Counter(data.train.labels[list(data.holdout)].tolist()) == {0: 2, 1: 2}
    assert set(data.fit).isdisjoint(data.holdout)


def test_wrong_classes_keep_the_spaces_other_options_in_the_remedy(folder: Path) -> None:
    with pytest.raises(BadData) as caught:
        load_data(f"folder:{folder}", load_space(f"{SPACE},classes=5"), 2, seed=0)
    assert "has 2 classes and the space" in str(caught.value)
    remedy = str(caught.value).rpartition("Write --space ")[2]
    assert remedy == f"{SPACE},classes=2"
    assert load_data(f"folder:{folder}", load_space(remedy), 2, seed=0).classes == ("Ampel", "zebra crossing")


def test_a_space_that_takes_no_images_channels_is_refused(folder: Path) -> None:
    space = load_space("shufflenet_v2_quick:in_channels=2")
    for name in ("digits", f"folder:{folder}"):
        with pytest.raises(BadData, match=r"takes 2\. Write --space shufflenet_v2_quick:in_channels=3"):
            load_data(name, space, 2, seed=0)


def test_unusable_folders_are_named(folder: Path) -> None:
    def refused(words: str, path: Path = folder) -> None:
        with pytest.raises(BadData, match=words):
            load_data(f"folder:{path}", load_space(f"{SPACE},classes=2"), 1, seed=0)

    refused(r"none/train does not exist\. folder:PATH takes PATH/train/CLASS/IMAGE", folder / "none")
    (folder / "train" / "Ampel" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    refused(r"cannot read the image .*broken\.jpg")
    (folder / "train" / "Ampel" / "broken.jpg").unlink()
    (folder / "train" / "empty").mkdir()
    refused(r"the class folder .*train/empty has no images\. Put images into each class folder, or remove it")
    Image.new("L", (9, 9)).save(folder / "train" / "empty" / "a.png")
    refused(r"train/ and val/ differ in classes: empty \(only in train/\)\.")


def test_one_class_is_not_enough(tmp_path: Path, tiny_space: SearchSpace) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "only").mkdir(parents=True)
        Image.new("L", (9, 9)).save(tmp_path / part / "only" / "a.png")
    with pytest.raises(BadData, match=r"holds one class, only\. Add a folder for each further class"):
        load_data(f"folder:{tmp_path}", tiny_space, 1, seed=0)


def test_an_unknown_data_set_is_answered_with_those_there_are(tiny_space: SearchSpace) -> None:
    with pytest.raises(BadData, match=r"unknown data set 'mnist'\. Known: digits, fashion-mnist, folder:PATH"):
        load_data("mnist", tiny_space, 1, seed=0)


def write_idx(folder: Path, part: str, pixels: bytes, labels: bytes) -> None:
    """The IDX format of yann.lecun.com/exdb/mnist: magic, sizes (big endian), bytes."""
    count = len(labels)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + pixels)
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels)


def test_fashion_mnist_files(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", bytes(range(256)) * 49 * 2, bytes(range(32)))
    images, labels = fashion_mnist.read(tmp_path, "train")
    assert images.shape == (32, 1, 28, 28)
    assert images.flatten()[:300].tolist() == [n % 256 for n in range(300)]
    assert labels.tolist() == list(range(32))
    write_idx(tmp_path, "train", b"\0" * 100, b"\0")
    with pytest.raises(BadData, match=r"cannot read .*train-images-idx3-ubyte.* fetch the data set again"):
        fashion_mnist.read(tmp_path, "train")


def test_a_digest_tells_other_images_apart(tmp_path: Path, tiny_space: SearchSpace) -> None:
    """One image more, and the hold-out is cut anew: what was trained on may be in it."""
    space = load_space("shufflenet_v2_quick:size_px=16,classes=2")
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (20, 20), i * 40).save(tmp_path / part / name / f"{i}.png")
    before = load_data(f"folder:{tmp_path}", space, 1, 0).digest
    assert load_data(f"folder:{tmp_path}", space, 1, 0).digest == before
    Image.new("L", (20, 20), 7).save(tmp_path / "train" / "a" / "new.png")
    assert load_data(f"folder:{tmp_path}", space, 1, 0).digest != before
    assert load_data("digits", tiny_space, 20, 0).digest != before
