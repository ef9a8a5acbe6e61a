"""Digests cover what the images are, and not where they lie."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest


def test_a_moved_folder_is_the_same_data(
    two_classes: Path, load_pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_pair(two_classes).digests
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("data", "./data", "data/", "~/data", f"{tmp_path}/./data/"):
        assert load_pair(name).digests == expected
    shutil.copytree(two_classes, tmp_path / "elsewhere")
    assert load_pair("elsewhere").digests == expected


def test_exchanged_images_are_other_data(two_classes: Path, load_pair: Any) -> None:
    """With the same names, sizes and times."""
    before = load_pair(two_classes).digests
    one, other = (two_classes / "train" / name / "0.png" for name in "ab")
    one.rename(two_classes / "kept")
    other.rename(one)
    (two_classes / "kept").rename(other)
    assert load_pair(two_classes).digests.searched != before.searched


@pytest.mark.parametrize("part", ["training", "holdout", "test"])
def test_a_repaired_image_changes_the_digest_of_its_part_only(
    two_classes: Path, load_pair: Any, picture: Any, part: str
) -> None:
    data = load_pair(two_classes)
    index = {"training": data.fit, "holdout": data.holdout, "test": (0,)}[part][0]
    path = (data.test if part == "test" else data.train).paths[index]
    picture(path, 999)
    os.utime(path, ns=(1, 1))
    now = load_pair(two_classes).digests
    changed = {name for name in ("training", "holdout", "test") if getattr(now, name) != getattr(data.digests, name)}
    assert changed == {part}


def test_a_new_image_changes_what_is_trained_on(two_classes: Path, load_pair: Any, picture: Any) -> None:
    before = load_pair(two_classes).digests
    picture(two_classes / "train" / "a" / "new.png", 7)
    now = load_pair(two_classes).digests
    assert now.training != before.training
    assert now.test == before.test
