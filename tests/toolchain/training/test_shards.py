"""Real shards, written from real images, here and behind a web server."""

import io
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from toolchain.errors import BadData
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training import shard_files
from toolchain.training.batches import StepSampler, mixed_shards, training_batches
from toolchain.training.data import Data, load_data
from toolchain.training.recipe import Augmentation
from toolchain.training.shard_images import SHARDS_OPEN, ShardImages
from toolchain.training.shard_names import expand

A_SHARD = 30
CHANGES = Augmentation(random_resized_crop=True, flip=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_shards(folder: Path, images: Any, indices: list[int], part: str) -> None:
    """As webdataset's ShardWriter does: KEY.png and KEY.cls, side by side."""
    for number, start in enumerate(range(0, len(indices), A_SHARD)):
        with tarfile.open(folder / f"{part}-{number:03}.tar", "w") as tar:
            for index in indices[start : start + A_SHARD]:
                png = io.BytesIO()
                Image.fromarray(images.fetch([index])[0, 0].numpy()).save(png, "PNG")
                add(tar, f"./{part}/{index:06}.png", png.getvalue())
                add(tar, f"./{part}/{index:06}.cls", b"%d\n" % images.labels[index])


@pytest.fixture
def folder(digits: Data, tmp_path: Path) -> Path:
    """12 shards of 30 digits in random order, and 2 of test digits."""
    made = tmp_path / "shards"
    made.mkdir()
    order = torch.randperm(len(digits.train.labels), generator=torch.Generator().manual_seed(0))[:360]
    write_shards(made, digits.train, order.tolist(), "train")
    write_shards(made, digits.test, list(range(60)), "test")
    return made


def load(folder: Path | str, space: SearchSpace, seed: int = 0) -> Data:
    return load_data(f"wds:{folder}/train-{{000..011}}.tar;{folder}/test-{{000..001}}.tar", space, 5, seed)


@pytest.fixture
def shards(folder: Path, tiny_space: SearchSpace) -> Data:
    return load(folder, tiny_space)


def test_braces_stand_for_names_as_in_a_shell() -> None:
    assert expand("a.tar") == ("a.tar",)
    assert expand("a-{08..11}.tar") == ("a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar")
    assert expand("{x,y}/{0..1}") == ("x/0", "x/1", "y/0", "y/1")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("a-{3..1}.tar", "a-{3..1}.tar has a range that counts down: 3..1. Write {1..3}"),
        ("a-{1..99999999999}.tar", "a-{1..99999999999}.tar names more than 100,000 shards"),
        ("{0..999}/{0..999}.tar", "{0..999}/{0..999}.tar names more than 100,000 shards"),
        ("a-{0.." + "9" * 5000 + "}.tar", "has a range with more than 12 digits. Write a shorter one"),
    ],
)
def test_a_range_that_names_no_shards_or_too_many_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(BadData, match=re.escape(problem)):
        expand(pattern)


def test_what_is_read_is_what_was_written(shards: Data, digits: Data, folder: Path) -> None:
    assert shards.classes == digits.classes
    assert (len(shards.train.labels), len(shards.test.labels)) == (360, 60)
    assert Counter(shards.train.labels[list(shards.holdout)].tolist()) == dict.fromkeys(range(10), 5)
    assert sorted(shards.fit + shards.holdout) == list(range(360))
    order = torch.randperm(len(digits.train.labels), generator=torch.Generator().manual_seed(0))[:360]
    assert torch.equal(shards.train.labels, digits.train.labels[order])
    assert isinstance(shards.train, ShardImages)
    read = shards.train._decode(77)
    assert torch.equal(pil_to_tensor(read), digits.train.fetch([int(order[77])])[0])
    assert shards.train.groups.tolist() == [number // A_SHARD for number in range(360)]


def test_a_resumed_run_sees_the_same_images_with_any_number_of_workers_and_ranks(shards: Data) -> None:
    def batches(start: int, workers: int, rank: int = 0, ranks: int = 1) -> list[Any]:
        sampler = StepSampler(shards.fit, 8, 3, start, 50, rank, ranks, shards.train.groups)
        return list(training_batches(shards.train, sampler, CHANGES, workers))

    whole, tail = batches(0, 0), batches(44, 2)
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(whole[44:], tail, strict=True))
    halves = zip(batches(44, 0, 0, 2), batches(44, 0, 1, 2), strict=True)
    for (pixels, labels), ((left, left_labels), (right, right_labels)) in zip(whole[44:], halves, strict=True):
        assert torch.equal(pixels, torch.cat((left, right)))
        assert torch.equal(labels, torch.cat((left_labels, right_labels)))


def test_a_pass_has_each_image_once_and_few_shards_open() -> None:
    groups = torch.arange(40).repeat_interleave(25)
    orders = [mixed_shards(groups, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(1000))
        seen = groups[order]
        first = {shard: int((seen == shard).nonzero()[0]) for shard in range(40)}
        last = {shard: int((seen == shard).nonzero()[-1]) for shard in range(40)}
        open_at = [sum(first[s] <= moment <= last[s] for s in first) for moment in range(1000)]
        assert max(open_at) <= 2 * SHARDS_OPEN  # opened within SHARDS_OPEN places, each open for as many
        assert len(set(seen[:100].tolist())) >= SHARDS_OPEN / 2  # and mixed, not one after the other
    assert orders[0].tolist() != orders[1].tolist()


def test_indices_are_read_once(shards: Data, folder: Path, tiny_space: SearchSpace, monkeypatch: Any) -> None:
    def unwanted(*_: Any) -> Any:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", unwanted)
        assert load(folder, tiny_space).digest == shards.digest
    (folder / "train-000.tar").write_bytes((folder / "train-001.tar").read_bytes())  # another file of that name
    assert load(folder, tiny_space).digest != shards.digest


@pytest.fixture
def server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The shards' folder behind HTTP: its address, and what was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()


@pytest.mark.long
def test_shards_behind_a_url_are_fetched_once(
    server: tuple[str, list[str]], shards: Data, tiny_space: SearchSpace, own_cache: Path
) -> None:
    address, asked = server
    loaded = load(address, tiny_space)
    assert loaded.digest == shards.digest
    sampler = StepSampler(loaded.fit, 30, 3, 0, 20, groups=loaded.train.groups)
    fetched = training_batches(loaded.train, sampler, CHANGES, workers=2)
    here = training_batches(shards.train, sampler, CHANGES, workers=0)
    for (a, x), (b, y) in zip(fetched, here, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)
    assert sorted(asked) == sorted(f"/{path.name}" for path in Path(own_cache.parent / "shards").iterdir())
    assert len(list(own_cache.glob("*.tar"))) == 14


def test_copies_make_room_for_others(
    server: tuple[str, list[str]], tiny_space: SearchSpace, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = server
    size = (own_cache.parent / "shards" / "train-000.tar").stat().st_size
    monkeypatch.setenv("NASTOOL_CACHE_GB", str(3.5 * size / 1e9))
    loaded = load(address, tiny_space)
    indices = list(range(0, 360, 7))
    assert torch.equal(loaded.train.fetch(indices), load(own_cache.parent / "shards", tiny_space).train.fetch(indices))
    assert len(list(own_cache.glob("*.tar"))) <= 4
    assert not list(own_cache.glob("*.part"))
    assert len(asked) > 14  # some came twice


def refused(name: str, space: SearchSpace, *pieces: str) -> None:
    with pytest.raises(BadData) as problem:
        load_data(name, space, 1, seed=0)
    for piece in pieces:
        assert piece in str(problem.value)


def test_shards_that_are_not_there_or_damaged_are_named(
    folder: Path, tiny_space: SearchSpace, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_files, "TRIES", 1)
    test = f"{folder}/test-000.tar"
    refused(
        f"wds:{folder}/train-000.tar", tiny_space, "must name training shards and test shards", "Write --data 'wds:"
    )
    refused(f"wds:{folder}/no-{{0..3}}.tar;{test}", tiny_space, "no-0.tar: No such file", "Give a pattern")
    refused(f"wds:{server[0]}/no.tar;{test}", tiny_space, "cannot fetch the shard http", "HTTP Error 404", "Check that")
    whole = (folder / "train-000.tar").read_bytes()
    (folder / "cut.tar").write_bytes(whole[:9_999])
    refused(f"wds:{folder}/cut.tar;{test}", tiny_space, "cannot read the shard", "cut.tar", "Repair it")
    (folder / "text.tar").write_text("no tar at all\n" * 99)
    (folder / "pointer.tar").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(f"wds:{folder}/pointer.tar;{test}", tiny_space, "is a Git LFS pointer, not a tar file. Run git lfs pull")
    twice = f"{folder}/{{train-000,../{folder.name}/train-000}}.tar"
    refused(f"wds:{twice};{test}", tiny_space, "names the shard", "twice, also as", "Name each shard once")
    refused(f"wds:{folder}/text.tar;{test}", tiny_space, "text.tar", "It must be a tar file without compression")
    with tarfile.open(folder / "odd.tar", "w") as tar:
        add(tar, "a.png", b"...")
    refused(f"wds:{folder}/odd.tar;{test}", tiny_space, "the sample a in the shard", "has no class: it lacks a.cls")
    with tarfile.open(folder / "gap.tar", "w") as tar:
        for key, label in (("a", b"0"), ("b", b"2")):
            add(tar, f"{key}.png", b"...")
            add(tar, f"{key}.cls", label)
    refused(f"wds:{folder}/gap.tar;{test}", tiny_space, "are 0, 2: they must be numbers from 0 on without a gap")
    refused(f"wds:{test};{folder}/gap.tar", load_space("shufflenet_v2_quick:classes=9"), "10 classes", "classes=10")


def test_a_pipe_is_no_shard(folder: Path, tiny_space: SearchSpace) -> None:
    os.mkfifo(folder / "pipe.tar")
    name = f"wds:{folder}/pipe.tar;{folder}/test-{{000..001}}.tar"
    refused(name, tiny_space, "pipe.tar is a pipe, socket or device. Give a pattern of tar files")


def test_an_image_that_cannot_be_decoded_is_named(folder: Path, tiny_space: SearchSpace) -> None:
    with tarfile.open(folder / "train-000.tar", "a") as tar:
        add(tar, "bad.png", b"no image")
        add(tar, "bad.cls", b"3")
    with pytest.raises(
        BadData, match=r"cannot read the image .*\.png in the shard .*train-000\.tar: .* Repair or remove"
    ):
        load(folder, tiny_space)
