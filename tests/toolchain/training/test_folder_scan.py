"""Which files of a user's folder are images of a class."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from toolchain.errors import BadData
from toolchain.training.folder_scan import scan_folder

HELPER_FOLDERS = [
    ".ipynb_checkpoints", ".AppleDouble", ".git", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "lost+found",
    "System Volume Information", "@Recycle", ".@__thumb", "@__thumb", "__pycache__",
    "RECYCLED", "found.001", "@SynoFinder-log", "~snapshot",
]  # fmt: skip
HELPER_FILES = ["._0.png", ".DS_Store", ".hidden.png", "Thumbs.db", "desktop.ini", "0.png@SynoEAStream", "~$letter.png"]


@pytest.mark.parametrize("name", HELPER_FOLDERS)
@pytest.mark.parametrize("place", ["", "a", "a/deeper"])
def test_helper_folders_are_no_data(
    two_classes: Path, load_pair: Any, notes: Any, picture: Any, name: str, place: str
) -> None:
    before = load_pair(two_classes)
    picture(two_classes / "train" / place / name / "0-checkpoint.png", 7)
    data = load_pair(two_classes)
    assert data.classes == ("a", "b")
    assert data.digests == before.digests
    assert [line for line in notes.lines if "skipped 1 hidden or helper entry, e.g." in line and name in line]


@pytest.mark.parametrize("name", HELPER_FILES)
def test_helper_files_are_no_images(two_classes: Path, load_pair: Any, notes: Any, name: str) -> None:
    (two_classes / "val" / "b" / name).write_bytes(b"\0\5\x16\7 no image")
    assert len(load_pair(two_classes).test.labels) == 4
    assert notes.lines == [f"{two_classes}/val: skipped 1 hidden or helper entry, e.g. b/{name}"]


def test_helper_entries_are_counted_in_one_line(two_classes: Path, load_pair: Any, notes: Any) -> None:
    for number in range(3):
        (two_classes / "train" / "a" / f"._{number}.png").write_bytes(b"resource fork")
    load_pair(two_classes)
    assert notes.lines == [f"{two_classes}/train: skipped 3 hidden or helper entries, e.g. a/._0.png"]


@pytest.mark.parametrize(
    "suffix", [".jfif", ".JPE", ".gif", ".webp", ".tif", ".bmp", ".jp2", ".ppm", ".tga", ".ico", ".qoi"]
)
def test_files_of_every_suffix_that_pillow_reads_are_images(two_classes: Path, load_pair: Any, suffix: str) -> None:
    image = Image.effect_noise((16, 16), 60).convert("RGB")
    image.save(two_classes / "train" / "a" / f"more{suffix}", Image.registered_extensions()[suffix.lower()])
    assert len(load_pair(two_classes).train.labels) == 9


def test_other_files_are_reported_by_suffix(two_classes: Path, load_pair: Any, notes: Any) -> None:
    for name in ("1.heic", "2.HEIC", "labels.csv", "README"):
        (two_classes / "train" / "b" / name).write_text("no image")
    load_pair(two_classes)
    assert notes.lines == [
        f"{two_classes}/train: skipped 4 files that Pillow does not read: 2 .heic, 1 without a suffix, 1 .csv"
    ]


def test_pipes_sockets_and_devices_are_counted_and_never_opened(
    two_classes: Path, load_pair: Any, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = two_classes / "train" / "a"
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(two_classes / "train" / "beside.png")
    (folder / "endless.png").symlink_to("/dev/zero")
    monkeypatch.chdir(folder)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as unix_socket:
        unix_socket.bind("socket.png")
        assert len(load_pair(two_classes).train.labels) == 8
    assert notes.lines == [
        f"{two_classes}/train: skipped 4 files that Pillow does not read: 2 named pipe, 1 device, 1 socket"
    ]


def test_a_link_to_itself_beside_the_classes_is_skipped(two_classes: Path, load_pair: Any, notes: Any) -> None:
    (two_classes / "train" / "loop.txt").symlink_to("loop.txt")
    load_pair(two_classes)
    assert notes.lines == [f"{two_classes}/train: skipped 1 file that Pillow does not read: 1 .txt"]


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("0_mask.png", "a/0_mask.png beside a/0.png"),
        ("0.bmp", "a/0.png beside a/0.bmp"),
        ("masks/7.png", "a/masks/7.png"),
    ],
)
def test_masks_beside_photos_are_reported(
    two_classes: Path, load_pair: Any, notes: Any, picture: Any, name: str, example: str
) -> None:
    picture(two_classes / "train" / "a" / name, 7)
    load_pair(two_classes)
    (line,) = notes.lines
    assert line.startswith(f"warning: {two_classes}/train: 1 of 9 images look like masks or second files of others, ")
    assert f"e.g. {example}. " in line


def test_a_class_named_mask_is_no_mask(two_classes: Path, picture: Any) -> None:
    (two_classes / "train" / "a").rename(two_classes / "train" / "mask")
    picture(two_classes / "train" / "mask" / "with_mask.png", 7)
    assert list(scan_folder(two_classes / "train").notes()) == []


def test_a_class_of_unread_files_is_named_with_their_suffixes(two_classes: Path) -> None:
    (two_classes / "train" / "c").mkdir()
    (two_classes / "train" / "c" / "1.heic").write_text("no image")
    with pytest.raises(BadData, match=r"the class folder .*/c has no images \(skipped: 1 \.heic\)\. Put images"):
        scan_folder(two_classes / "train")


def test_a_folder_without_class_folders_is_refused(tmp_path: Path, picture: Any) -> None:
    picture(tmp_path / "1.png", 1)
    with pytest.raises(BadData, match=r"has no class folders\. Put images into .*/CLASS/"):
        scan_folder(tmp_path)


def test_a_link_that_leads_back_counts_each_file_once(two_classes: Path, load_pair: Any) -> None:
    (two_classes / "train" / "a" / "again").symlink_to(two_classes / "train" / "a")
    (two_classes / "train" / "a" / "self").symlink_to("self")
    assert len(load_pair(two_classes).train.labels) == 8


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_names_of_one_file_count_once(two_classes: Path, load_pair: Any, notes: Any, link: Any) -> None:
    link(two_classes / "train" / "a" / "0.png", two_classes / "train" / "a" / "00.png")
    data = load_pair(two_classes)
    assert len(data.train.labels) == 8
    assert notes.lines == [f"{two_classes}/train: 1 name of a file that was counted already, e.g. a/00.png is a/0.png"]


def test_a_link_to_another_class_counts_in_the_class_that_holds_the_file(
    two_classes: Path, load_pair: Any, notes: Any
) -> None:
    before = load_pair(two_classes).digests
    (two_classes / "train" / "a" / "linked").symlink_to(two_classes / "train" / "b")
    assert load_pair(two_classes).digests == before
    (line,) = notes.lines
    assert "4 files in two classes, each counted in one of them, e.g. a/linked/0.png is b/0.png" in line


def test_a_broken_link_is_named(two_classes: Path, load_pair: Any) -> None:
    (two_classes / "train" / "a" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(BadData, match=r"cannot read the image .*gone\.png: .*No such file"):
        load_pair(two_classes)


def test_the_order_is_that_of_torchvision(two_classes: Path, picture: Any) -> None:
    from torchvision.datasets import ImageFolder

    for name in ("a/deeper/1.png", "a/Deep er/2.png", "a/a.png", "b/z/y/x.png"):
        picture(two_classes / "train" / name, 3)
    expected = [(Path(path), label) for path, label in ImageFolder(str(two_classes / "train")).samples]
    assert [(file.path, file.label) for file in scan_folder(two_classes / "train").files] == expected


def test_names_that_are_not_utf_8_can_be_printed(two_classes: Path, load_pair: Any, picture: Any) -> None:
    for part in ("train", "val"):
        (two_classes / part / "b").rename(two_classes / part / os.fsdecode(b"caf\xe9"))
    data = load_pair(two_classes)
    assert data.classes == ("a", "caf\\xe9")
    (two_classes / "train" / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xfc.png")).write_bytes(b"no image")
    with pytest.raises(BadData) as caught:
        load_pair(two_classes)
    assert "caf\\xe9/\\xfc.png: not an image that Pillow knows" in str(caught.value)
    str(caught.value).encode()


def test_images_outside_the_class_folders_are_counted(
    two_classes: Path, load_pair: Any, notes: Any, picture: Any
) -> None:
    for number in range(3):
        picture(two_classes / "train" / f"{number}.png", 700 + number)
    (two_classes / "train" / "labels.csv").write_text("no image")
    load_pair(two_classes)
    assert notes.lines == [
        f"{two_classes}/train: skipped 1 file that Pillow does not read: 1 .csv",
        f"{two_classes}/train: skipped 3 images outside the class folders, e.g. 0.png",
    ]


def test_a_class_that_only_has_links_to_another_is_refused(two_classes: Path) -> None:
    (two_classes / "train" / "c").symlink_to("a")
    with pytest.raises(BadData, match=r"the class folder .*/c has only links to images of the class a\. Put images"):
        scan_folder(two_classes / "train")


@pytest.mark.parametrize(("first", "second"), [("Cat", "cat"), ("caf\u00e9", "cafe\u0301")])
def test_classes_whose_names_are_alike_are_reported(
    tmp_path: Path, picture: Any, load_pair: Any, notes: Any, first: str, second: str
) -> None:
    for part, seed in (("train", 0), ("val", 50)):
        for number in range(4):
            picture(tmp_path / part / (first, second)[number % 2] / f"{number}.png", seed + number)
    load_pair(tmp_path)
    assert len(notes.lines) == 2
    assert notes.lines[0].startswith(f"warning: {tmp_path}/train: the names of the classes ")
    assert "differ in case or Unicode form only. If they are one class, merge the folders" in notes.lines[0]
