"""Decoded images are kept in the cache: the same pixels as from the files, whatever happens to the cache."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from toolchain.errors import BadConfig
from toolchain.spaces import load_space
from toolchain.training import images
from toolchain.training.data import Data, load_data
from toolchain.training.decoded import keeper
from toolchain.training.decoded.pack_file import DamagedPack, Pack, pack_bytes, write_pack
from toolchain.training.decoded.resolution import Needed, Resolution, evaluated
from toolchain.training.images import FolderImages
from toolchain.training.recipe import Augmentation

SPACE = load_space("shufflenet_v2_quick:size_px=16,in_channels=3,classes=2")
CROPS = Augmentation(random_resized_crop=True, flip=True, source_ratio=2.0)
NEEDED = Needed.of(evaluated(3, 16), [CROPS], cache=True)
OFF = Needed.of(evaluated(3, 16), [CROPS], cache=False)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NASTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes with PNG and JPEG files of several sizes, one with transparency and one of 16 bits each."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number, (width, height) in enumerate([(40, 30), (300, 500), (20, 20)]):
                pixels = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
                pixels.save(folder / f"{number}.{'jpg' if number % 2 else 'png'}")
            Image.fromarray(rng.integers(0, 256, (50, 50, 4), np.uint8)).save(folder / "transparent.png")
            Image.fromarray(rng.integers(0, 4096, (50, 50)).astype(np.uint16)).save(folder / "deep.png")
    return root


def load(root: Path, needed: Needed | None = NEEDED, **changes: Any) -> Data:
    return load_data(f"folder:{root}", SPACE, 1, 0, needed=needed, **changes)


def pixels_of(data: Data) -> list[Tensor]:
    """All images for evaluation, and all training images with random crops."""
    assert isinstance(data.train, FolderImages)
    everything = range(len(data.train.labels))
    return [
        data.train.fetch(everything),
        data.test.fetch(range(len(data.test.labels))),
        data.train.fetch_augmented(everything, CROPS, everything),
        data.train.fetch_augmented(everything, Augmentation(flip=True), everything),
    ]


def same(one: Data, other: Data) -> bool:
    return all(torch.equal(*pair) for pair in zip(pixels_of(one), pixels_of(other), strict=True))


def packs(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.pack"))


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> bytes:
        raise AssertionError(f"{path} is decoded again")

    monkeypatch.setattr(images, "read_file", read)


def test_kept_images_have_the_pixels_of_the_files(cache: Path, photos: Path) -> None:
    expected = load(photos, OFF)
    assert packs(cache) == []
    assert same(load(photos), expected)
    assert {path.parent.name for path in packs(cache)} == {"rgb-16-center", "rgb-32-whole"}


def test_files_are_decoded_once_also_for_the_next_command(
    cache: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pixels_of(load(photos, OFF))
    load(photos)
    forbid_reading(monkeypatch)
    again = load(photos)
    assert all(torch.equal(*pair) for pair in zip(pixels_of(again), expected, strict=True))
    # a change of one file costs that file
    monkeypatch.undo()
    monkeypatch.setenv("NASTOOL_CACHE", str(cache))
    before = set(packs(cache))
    Image.new("RGB", (30, 30), "red").save(photos / "train" / "cat" / "0.png")
    changed = load(photos)
    assert same(changed, load(photos, OFF))
    assert [len(Pack(path).keys) for path in set(packs(cache)) - before] == [1, 1]


def test_the_first_command_reads_each_8_bit_file_once(
    cache: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolchain.training import folder_data

    read: list[str] = []
    original = folder_data.read_file

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(folder_data, "read_file", counted)
    monkeypatch.setattr(images, "read_file", counted)
    pixels_of(load(photos))
    # the white level of images of 16 bits is known after all were read
    assert sorted(read) == sorted(4 * ["0.png", "1.jpg", "2.png", "transparent.png"] + 8 * ["deep.png"])


def test_the_white_level_is_part_of_the_key(cache: Path, photos: Path) -> None:
    load(photos)
    brighter = np.random.default_rng(3).integers(0, 65536, (50, 50)).astype(np.uint16)
    Image.fromarray(brighter).save(photos / "train" / "dog" / "deep.png")
    assert same(load(photos), load(photos, OFF))


def test_whole_images_are_reduced_as_the_recipe_says() -> None:
    image = Image.new("RGB", (300, 200))
    assert Resolution(3, 32, whole=True).pixels(image).shape == (3, 32, 48)
    assert Resolution(1, 32, whole=True).pixels(image).shape == (1, 32, 48)
    assert Resolution(3, 500, whole=True).pixels(image).shape == (3, 200, 300)
    assert Resolution(3, 0, whole=True).pixels(image).shape == (3, 200, 300)
    assert Resolution(3, 32).pixels(image).shape == (3, 32, 32)
    assert Needed.of(evaluated(3, 32), [Augmentation(random_resized_crop=True)], True).sources == ()


def mutations(content: bytes) -> dict[str, bytes]:
    """Damaged versions of a pack."""
    spots = (0, 30, len(content) // 2, len(content) - 70, len(content) - 40, len(content) - 1)
    flipped = {f"byte {spot}": content[:spot] + bytes([content[spot] ^ 1]) + content[spot + 1 :] for spot in spots}
    return flipped | {
        "cut": content[:-9],
        "half": content[: len(content) // 2],
        "empty": b"",
        "longer": content + b"x",
        "zeros": bytes(len(content)),
    }


@pytest.mark.long
def test_a_damaged_pack_is_noticed_and_made_again(cache: Path, photos: Path) -> None:
    expected = load(photos, OFF)
    load(photos)
    originals = {path: path.read_bytes() for path in packs(cache)}
    for path in packs(cache)[::2]:  # of both resolutions, to save time
        for name, damaged in mutations(originals[path]).items():
            for other in packs(cache):  # those that were made again
                other.unlink()
            for original, content in originals.items():
                original.write_bytes(damaged if original == path else content)
            assert same(load(photos), expected), name
            assert not path.exists(), name
            assert same(load(photos), expected), name
            assert {each.parent for each in originals} == {each.parent for each in packs(cache)}


def test_a_pack_is_checked_image_by_image(tmp_path: Path) -> None:
    written = [(bytes([number]) * 16, torch.full((1, 2, 3 + number), number, dtype=torch.uint8)) for number in range(3)]
    path = tmp_path / "a.pack"
    write_pack(path, written)
    assert path.stat().st_size == pack_bytes(written)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x01\x01\x01")] = 9
    path.write_bytes(content)
    pack = Pack(path)
    assert pack.keys == [key for key, _ in written]
    assert torch.equal(pack.read(0), written[0][1])
    assert torch.equal(pack.read(2), written[2][1])
    with pytest.raises(DamagedPack, match="the image 1 is damaged"):
        pack.read(1)


FILL = """
import sys
from toolchain.training.decoded import keeper
keeper.PACK_S = 0.0  # a pack for each image
sys.path.insert(0, sys.argv[2])
from test_decoded import NEEDED, load
from pathlib import Path
load(Path(sys.argv[1]))
"""


def filling(root: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", FILL, str(root), str(Path(__file__).parent)])


def many_photos(root: Path, count: int) -> Path:
    rng = np.random.default_rng(1)
    for number in range(count):
        path = root / ("train" if number % 5 else "val") / "ab"[number // 5 % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return root


@pytest.mark.long
def test_killed_while_it_fills_the_cache(cache: Path, tmp_path: Path) -> None:
    root = many_photos(tmp_path / "photos", 600)
    process = filling(root)
    while len(packs(cache)) < 40:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    whole = [Pack(path) for path in packs(cache)]
    assert 40 <= len(whole) < 1080
    for pack in whole:
        pack.read(0)
    assert same(load(root), load(root, OFF))


@pytest.mark.long
def test_two_processes_fill_the_cache_at_once(cache: Path, tmp_path: Path) -> None:
    root = many_photos(tmp_path / "photos", 200)
    processes = [filling(root) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    count = len(packs(cache))
    assert same(load(root), load(root, OFF))
    assert len(packs(cache)) == count


def test_the_oldest_packs_make_room_and_large_data_sets_are_not_kept(
    cache: Path, photos: Path, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(photos)
    earlier = packs(cache)
    for path in earlier:
        os.utime(path, (1, 1))
    held = sum(path.stat().st_size for path in earlier)
    monkeypatch.setenv("NASTOOL_CACHE_GB", str(held / 1e9))
    other = many_photos(photos.parent / "others", 20)
    assert same(load(other), load(other, OFF))
    assert sum(path.stat().st_size for path in packs(cache)) <= held
    assert set(packs(cache)) != set(earlier)
    monkeypatch.setenv(
        "NASTOOL_CACHE_GB", "0.00002"
    )  # 20 kB: nothing of 16 images of 16 px and 32 px but the test images
    for path in packs(cache):
        path.unlink()
    assert same(load(other), load(other, OFF))
    assert {path.parent.name for path in packs(cache)} == {"rgb-16-center"}
    monkeypatch.setenv("NASTOOL_CACHE_GB", "much")
    with pytest.raises(BadConfig, match="NASTOOL_CACHE_GB is 'much', not a number of gigabytes"):
        load(other)


def test_a_full_cache_is_said_and_changes_nothing(
    cache: Path, photos: Path, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "make_room", lambda *_: False)
    assert same(load(photos, progress=notes), load(photos, OFF))
    assert packs(cache) == []
    assert any("not all decoded images are kept in" in line and "is full" in line for line in notes.lines)


def test_a_cache_that_is_a_file_changes_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASTOOL_CACHE", str(tmp_path / "file"))
    assert same(load(photos), load(photos, OFF))


@pytest.mark.long
def test_the_flag_cache_off_writes_no_pixels(
    cache: Path, photos: Path, nastool: Callable[..., Any], tmp_path: Path
) -> None:
    changes = "[train.changes]\nepochs = 1\nbatch = 4\n"
    (tmp_path / "nastool.toml").write_text(
        f'space = "{SPACE.name}"\nholdout_per_class = 1\n[train]\nrecipe = "quick"\n{changes}'
    )
    off = nastool("train", "--data", f"folder:{photos}", "--run", "off", "--cache", "off", cwd=tmp_path)
    assert off.code == 0, off.stderr
    assert packs(cache) == []
    on = nastool("train", "--data", f"folder:{photos}", "--run", "on", cwd=tmp_path)
    assert on.code == 0, on.stderr
    assert len(packs(cache)) > 0
    one, other = (
        torch.load(tmp_path / "runs" / run / "supernet" / "checkpoint.pt", weights_only=True) for run in ("on", "off")
    )
    assert one["fingerprint"] == other["fingerprint"]
    assert all(torch.equal(weight, other["model"][name]) for name, weight in one["model"].items())
