"""Which member of a shard is the image of a sample, and which its class."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from toolchain.errors import BadData
from toolchain.spaces import load_space
from toolchain.training.data import load_data
from toolchain.training.shard_index import read_index
from toolchain.training.shard_names import ShardedData

PAIR = "shufflenet_v2_quick:size_px=16,in_channels=3,classes=2,stem_channels=8,stage_widths=16-24,stage_repeats=2-2"


def shard(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), level).save(buffer, "PNG")
    return buffer.getvalue()


def refused(path: Path, image_ending: str | None = None) -> str:
    with pytest.raises(BadData) as caught:
        read_index("s.tar", path, image_ending)
    return str(caught.value)


def test_a_shard_that_is_truncated_between_two_members_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", ("a.png", png(0)), ("a.cls", b"0"), ("b.png", png(9)), ("b.cls", b"1"))
    assert len(read_index("s.tar", path, None).samples) == 2
    path.write_bytes(path.read_bytes()[:2048])  # two members of one block each, with a header of one block
    assert "s.tar: it is truncated after a.cls: the zeros that end a tar file are missing" in refused(path)


def test_a_folder_is_not_called_a_damaged_shard(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        "cannot read the shard s.tar: Is a directory. Make it readable, or remove it from the pattern"
    )


def test_shards_that_are_joined_are_refused(tmp_path: Path) -> None:
    first = shard(tmp_path / "a.tar", ("a.png", png(0)), ("a.cls", b"0"))
    second = shard(tmp_path / "b.tar", ("b.png", png(9)), ("b.cls", b"1"))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    assert "data follow the end of the archive behind a.cls, as of a second tar file" in refused(first)


def test_two_images_of_a_sample_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", ("0.jpg", b"photo"), ("0.mask.png", b"?"), ("0.png", b"masks"), ("0.cls", b"1"))
    assert refused(path) == (
        "the sample 0 in the shard s.tar has 2 images: 0.jpg, 0.png (a key ends at the first dot of the name: "
        "0.mask.png is the member mask.png of 0; replace further dots by _). "
        "Name the one to train on: --data 'wds:TRAIN;TEST?image=jpg'"
    )
    for ending, offset in (("jpg", 512), ("mask.png", 1536), ("png", 2560)):
        (sample,) = read_index("s.tar", path, ending).samples
        assert (sample.offset, sample.label) == (offset, 1)
    assert "has no member 0.webp, only 0.jpg" in refused(path, "webp")


def test_the_ending_to_train_on_follows_the_shards() -> None:
    assert ShardedData.parse("a.tar;b.tar") == ShardedData("a.tar", "b.tar", None)
    assert ShardedData.parse("a.tar;b.tar?image=Seg.PNG") == ShardedData("a.tar", "b.tar", "seg.png")
    signed = "https://h/a.tar?sig=x;https://h/b.tar?sig=y"
    assert ShardedData.parse(signed).test == "https://h/b.tar?sig=y"
    assert ShardedData.parse(f"{signed}?image=jpg") == ShardedData(*signed.split(";"), "jpg")
    for wrong in ("a.tar", ";b.tar", "a.tar;", "a;b;c"):
        with pytest.raises(BadData, match="must name training shards and test shards"):
            ShardedData.parse(wrong)


def test_the_named_images_are_trained_on(tmp_path: Path) -> None:
    for part in ("train", "test"):
        members = [
            (f"{number}.{ending}", content)
            for number in range(6)
            for ending, content in (("cls", b"%d" % (number % 2)), ("jpg", png(200 + number)), ("png", png(number)))
        ]
        shard(tmp_path / f"{part}.tar", *members)
    data = load_data(f"wds:{tmp_path}/train.tar;{tmp_path}/test.tar?image=jpg", load_space(PAIR), 1, 0)
    assert data.test.fetch(range(6))[:, 0, 0, 0].tolist() == [200, 201, 202, 203, 204, 205]


def test_helper_members_are_skipped(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "s.tar", ("./._a.jpg", b"fork"), ("./a.jpg", b"photo"), ("./._a.cls", b"fork"), ("./a.cls", b"3"),
        ("__MACOSX/a.jpg", b"fork"), (".DS_Store", b"x"), ("@eaDir/a.jpg", b"thumbnail"),
    )  # fmt: skip
    index = read_index("s.tar", path, None)
    assert [(sample.size, sample.label) for sample in index.samples] == [(5, 3)]
    assert index.helpers == 5


def test_members_that_are_apart_are_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", ("a.jpg", b"1"), ("b.jpg", b"1"), ("a.cls", b"0"), ("b.cls", b"0"))
    assert refused(path) == (
        "the members of a sample must lie side by side, and a.cls in the shard s.tar is apart from a.jpg. "
        "Write the shard sorted by name"
    )


def test_a_name_with_two_dots_is_explained(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", ("cat.1.jpg", b"1"), ("cat.1.cls", b"0"), ("cat.2.jpg", b"1"))
    assert refused(path) == (
        "the sample cat in the shard s.tar has no image, only cat.1.jpg, cat.1.cls, cat.2.jpg (a key ends at the first "
        "dot of the name: cat.1.jpg is the member 1.jpg of cat; replace further dots by _). Write that shard again"
    )


@pytest.mark.parametrize("label", [b"cat", b"-1", b"1.0", b"", b"9" * 30, b"\xff", "\u0663".encode()])
def test_a_class_that_is_no_number_is_named_with_its_member(tmp_path: Path, label: bytes) -> None:
    path = shard(tmp_path / "s.tar", ("a.jpg", b"1"), ("a.cls", label))
    assert "the class in a.cls in the shard s.tar is " in refused(path)
    assert "must be a number from 0 on. Write that shard again" in refused(path)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.cls", b"1")], "the sample a in the shard s.tar has no image, only a.cls"),
        ([("a.jpg", b"1")], "the sample a in the shard s.tar has no class: it lacks a.cls with a number"),
        ([("a.jpg", b""), ("a.cls", b"1")], "the image a.jpg in the shard s.tar is empty"),
        ([("a.jpg", b"1"), ("a.cls", b"1"), ("a.cls", b"2")], "the sample a in the shard s.tar has 2 classes"),
    ],
)
def test_incomplete_samples_are_named(tmp_path: Path, members: Any, words: str) -> None:
    assert words in refused(shard(tmp_path / "s.tar", *members))
