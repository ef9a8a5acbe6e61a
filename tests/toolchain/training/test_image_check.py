"""Every image file is decoded once before training, and all bad ones are named together."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toolchain.errors import BadData
from toolchain.training import image_check


def half_a_file(path: Path, format: str) -> Path:
    buffer = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, format)
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return path


@pytest.mark.parametrize("format", ["JPEG", "BMP", "PPM", "TIFF", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_file_cut_in_half_is_named_before_training(two_classes: Path, load_pair: Any, format: str, part: str) -> None:
    half_a_file(two_classes / part / "a" / "half.png", format)
    with pytest.raises(BadData, match=rf"cannot read the image .*{part}/a/half\.png: .* Repair or remove that file"):
        load_pair(two_classes)


def test_all_bad_files_are_named_at_once(two_classes: Path, load_pair: Any) -> None:
    for part, count in (("train", 10), ("val", 4)):
        for number in range(count):
            half_a_file(two_classes / part / "b" / f"x{number:02}.png", "JPEG")
    with pytest.raises(BadData) as caught:
        load_pair(two_classes)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{two_classes}: 14 of 26 images cannot be read. Repair or remove these files:"
    assert lines[0].startswith(f"  cannot read the image {two_classes}/train/b/x00.png: ")
    assert len(lines) == 14
    assert lines[-1].startswith(f"  cannot read the image {two_classes}/val/b/x03.png: ")


def test_files_that_the_cache_knows_are_not_read_again(
    two_classes: Path, load_pair: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NASTOOL_CACHE", str(tmp_path / "cache"))
    before = load_pair(two_classes).digests
    read: list[Any] = []
    monkeypatch.setattr(image_check, "_check", lambda files, index, **_: read.append(files.name(index)))
    assert load_pair(two_classes).digests == before
    assert read == []


@pytest.mark.parametrize("state", ["a file", "read-only", "no folder", "damaged", "another table"])
def test_a_cache_that_cannot_be_used_changes_nothing(
    two_classes: Path, load_pair: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str
) -> None:
    expected = load_pair(two_classes).digests
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("NASTOOL_CACHE", str(cache))
    if state == "a file":
        monkeypatch.setenv("NASTOOL_CACHE", str(two_classes / "train" / "a" / "0.png"))
    elif state == "read-only":
        cache.chmod(0o500)
    elif state == "no folder":
        monkeypatch.setenv("NASTOOL_CACHE", "/proc/nothing/here")
    elif state == "damaged":
        (cache / "images-1-2.sqlite").write_bytes(b"no database" * 999)
    else:
        import sqlite3

        with sqlite3.connect(cache / "images-1-2.sqlite") as database:
            database.execute("CREATE TABLE images (key TEXT)")
    assert load_pair(two_classes).digests == expected


def test_without_a_home_folder_there_is_no_cache(
    two_classes: Path, load_pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_pair(two_classes).digests
    for name in ("NASTOOL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # no passwd entry
    with pytest.raises(RuntimeError):
        Path.home()
    assert load_pair(two_classes).digests == expected
    with pytest.raises(BadData, match=r"the home folder is unknown\. Write the path without ~"):
        load_pair("~/pets")


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(two_classes: Path, load_pair: Any) -> None:
    path = two_classes / "train" / "a" / "0.png"
    before = load_pair(two_classes).digest
    status = path.stat()
    content = bytearray(path.read_bytes())
    other = two_classes / "other"  # beside the first file, so that it cannot get the same inode
    other.write_bytes(_with_another_pixel(content))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == status.st_size
    assert load_pair(two_classes).digest != before


def _with_another_pixel(png: bytearray) -> bytes:
    """The same image, uncompressed data changed, in a file of the same size."""
    image = Image.open(BytesIO(png)).convert("RGB")
    for value in range(256):
        image.putpixel((0, 0), (value, 0, 0))
        buffer = BytesIO()
        image.save(buffer, "PNG")
        if len(buffer.getvalue()) == len(png) and buffer.getvalue() != bytes(png):
            return buffer.getvalue()
    raise AssertionError("no image of that size")
