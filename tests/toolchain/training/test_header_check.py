"""All headers are read before the first file is decoded."""

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from toolchain.errors import BadData
from toolchain.training.header_check import read_headers


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def oversized(path: Path) -> Path:
    """A PNG file of 35,000 x 17,800 pixels, of which only the header is there."""
    header = struct.pack(">IIBBBBB", 35_000, 17_800, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet."""
    monkeypatch.setenv("NASTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_headers_are_judged_before_anything_is_decoded(two_classes: Path, load_pair: Any, cache: Path) -> None:
    """The images before them are valid, and a full check would take them first."""
    oversized(two_classes / "train" / "b" / "x.png")
    (two_classes / "val" / "b" / "x.png").write_bytes(b"no image")
    inverted = Image.new("I;16", (20, 20), 7)
    inverted.save(two_classes / "val" / "b" / "y.tif", tiffinfo={262: 0})
    (two_classes / "val" / "b" / "z.png").symlink_to("nowhere.png")
    with pytest.raises(BadData) as caught:
        load_pair(two_classes)
    cannot = "  cannot read the image"
    assert str(caught.value).splitlines() == [
        f"{two_classes}: 4 of 16 images cannot be read, by their headers; none is decoded yet. Repair or remove these "
        "files:",
        f"{cannot} {two_classes}/train/b/x.png: it has 623 megapixels, and at most 179 are read",
        f"{cannot} {two_classes}/val/b/x.png: not an image that Pillow knows",
        f"{cannot} {two_classes}/val/b/y.tif: 0 is white in it (TIFF WhiteIsZero), which is read for 8 bits only. Save "
        "it as BlackIsZero",
        f"{cannot} {two_classes}/val/b/z.png: No such file or directory",
    ]
    assert not cache.exists()


def test_a_command_ends_before_it_decodes(
    two_classes: Path, cache: Path, tmp_path: Path, nastool: Callable[..., Any]
) -> None:
    bad = oversized(two_classes / "val" / "b" / "x.png")
    masks = two_classes / "train" / "b" / "0_mask.png"
    masks.write_bytes((two_classes / "train" / "a" / "0.png").read_bytes())
    answer = nastool("train", "--data", f"folder:{two_classes}", cwd=tmp_path)
    assert answer.code == 2
    assert f"{bad}: it has 623 megapixels, and at most 179 are read. Repair or remove that file" in answer.stderr
    assert "1 of 9 images look like masks or second files of others" in answer.stderr
    assert not cache.exists()
    bad.unlink()
    masks.unlink()
    assert nastool("train", "--data", f"folder:{two_classes}", "--epochs", "1", cwd=tmp_path).code == 0
    assert list(cache.glob("decoded-*/**/*.pack"))


def test_files_that_the_cache_knows_are_not_read_again(
    two_classes: Path, load_pair: Any, notes: Any, cache: Path
) -> None:
    frames = [Image.new("L", (20, 20), shade) for shade in (10, 200)]
    frames[0].save(two_classes / "train" / "b" / "x.gif", save_all=True, append_images=frames[1:])
    line = f"{two_classes}: 1 image has several frames or pages, of which the first is used, e.g. train/b/x.gif"
    load_pair(two_classes)
    load_pair(two_classes)
    assert notes.lines == [line]
    assert cache.exists()
    os.utime(two_classes / "train" / "b" / "x.gif", (1, 1))
    load_pair(two_classes)
    assert notes.lines == [line, line]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_several_frames_are_seen_in_every_format(suffix: str, tmp_path: Path, notes: Any) -> None:
    frames = [Image.new("RGB", (20, 20), (shade, 9, 9)) for shade in (10, 100, 200)]
    frames[0].save(tmp_path / f"many.{suffix}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / f"one.{suffix}")
    headers = read_headers(sorted(tmp_path.iterdir()), "x", notes)
    assert ([path.name for path in headers.with_frames], headers.problems) == ([f"many.{suffix}"], ())


def test_warnings_of_pillow_are_not_shown(tmp_path: Path, notes: Any) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (20, 20)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:33] + _chunk(b"acTL", struct.pack(">II", 0, 0)) + content[33:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(path).close()
        assert [str(each.message) for each in caught] == ["Invalid APNG, will use default PNG image if possible"]
        assert read_headers([path], "x", notes).problems == ()
        assert len(caught) == 1
