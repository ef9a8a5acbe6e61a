"""`folder:PATH`: a user's images in PATH/train/CLASS/ and PATH/val/CLASS/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toolchain.errors import BadData
from toolchain.progress import Progress
from toolchain.training.check_parts import CheckedPart, Cut, report_images
from toolchain.training.data_problems import collect, refuse, require_readable
from toolchain.training.decode import WhiteLevels
from toolchain.training.decoded.filling import keeper_for, say_kept, with_kept
from toolchain.training.decoded.keeper import Keeper
from toolchain.training.decoded.resolution import Needed
from toolchain.training.folder_scan import FolderScan, scan_folder
from toolchain.training.header_check import read_headers
from toolchain.training.image_cache import ImageFacts, key_of, one_process_at_a_time
from toolchain.training.image_check import CachedFacts, Checked, check_images
from toolchain.training.images import FolderImages, read_file
from toolchain.training.printable import printable

HEADS = 20_000  # files whose headers are read where the data are refused anyway; takes seconds


@dataclass(frozen=True)
class ScannedFiles:
    """The files of a scan, for checking."""

    scan: FolderScan

    def __len__(self) -> int:
        return len(self.scan.files)

    @property
    def title(self) -> str:
        return printable(self.scan.folder)

    def paths(self, indices: Sequence[int] | None = None) -> list[Path]:
        """The files with these numbers, or all."""
        return [self.scan.files[index].path for index in (range(len(self)) if indices is None else indices)]

    def name(self, index: int) -> str:
        return str(self.scan.files[index].path)

    def key(self, index: int) -> bytes:
        path = self.scan.files[index].path.absolute()
        status = path.stat()
        return key_of((path, status.st_size, status.st_mtime_ns, status.st_ino))

    def content(self, index: int) -> bytes:
        return read_file(self.scan.files[index].path)

    def checked(self, result: Checked) -> CheckedPart:
        """For the report on both parts; all files can be read."""
        facts = [fact for fact in result.facts if fact is not None]
        return CheckedPart(self.title, [file.label for file in self.scan.files], facts, self._short_name)

    def images(self, facts: Sequence[ImageFacts], needed: Needed, white: WhiteLevels) -> FolderImages:
        """The files as a data set."""
        paths = tuple(file.path for file in self.scan.files)
        digests, pixels = (tuple(part) for part in zip(*((fact.digest, fact.pixels) for fact in facts), strict=True))
        keys = tuple(_pixel_key(fact, white) for fact in facts)
        center = needed.center
        return FolderImages(paths, self.labels(), center.channels, center.size_px, white, digests, pixels, keys)

    def labels(self) -> Tensor:
        """int64 (N,)."""
        return torch.tensor([file.label for file in self.scan.files])

    def _short_name(self, index: int) -> str:
        return printable(self.scan.files[index].path.relative_to(self.scan.folder.parent))


def _pixel_key(fact: ImageFacts, white: WhiteLevels) -> bytes:
    """The content of the file; for images of more than 8 bits also the white level, which depends on other images."""
    return fact.digest if fact.mode in "LC" else key_of((fact.digest.hex(), white.of(fact.mode)))


def load_folder(
    root: Path, needed: Needed, cut: Cut, progress: Progress
) -> tuple[tuple[str, ...], FolderImages, FolderImages]:
    """Classes, training images and test images below `root`; each file is decoded once unless the cache knows it.

    `cut` divides the training images by their classes; it is called before files are decoded, which takes longer. For
    the same reason all headers are read before the first file is decoded.

    Raises:
        BadData: a folder is missing, train/ and val/ differ in classes, or images cannot be read.
    """
    train, test = parts = _scan(root)
    classes = train.scan.classes
    for note in (*train.scan.notes(), *test.scan.notes()):
        progress.say(note)
    names = tuple(map(printable, classes))
    quick = collect(lambda: _require_same_classes(root, classes, test.scan.classes), lambda: cut(names, train.labels()))
    if quick:  # the files that a full check would name follow by their headers
        quick += _unreadable_headers(root, [path for part in parts for path in part.paths()][:HEADS], progress)
    refuse(printable(root), quick)
    keepers = [
        keeper_for(len(part), resolutions) if needed.cache else None
        for part, resolutions in ((train, (needed.center, *needed.sources)), (test, (needed.center,)))
    ]
    checked_train, checked_test = _check(root, parts, keepers, progress)
    white = report_images((checked_train, checked_test), names, progress)
    images = (train.images(checked_train.facts, needed, white), test.images(checked_test.facts, needed, white))
    train_images, test_images = (
        part if keeper is None else with_kept(part, keeper, files.title, progress)
        for part, keeper, files in zip(images, keepers, parts, strict=True)
    )
    say_kept(filter(None, keepers), printable(root), progress)
    return names, train_images, test_images


def _scan(root: Path) -> tuple[ScannedFiles, ScannedFiles]:
    """The files of train/ and val/.

    Raises:
        BadData: see `scan_folder`, for both of them at once.
    """
    scans: list[FolderScan] = []
    problems = collect(*(lambda part=part: scans.append(scan_folder(root / part)) for part in ("train", "val")))
    refuse(printable(root), problems)
    train, test = map(ScannedFiles, scans)
    return train, test


def _check(
    root: Path, parts: tuple[ScannedFiles, ScannedFiles], keepers: Sequence[Keeper | None], progress: Progress
) -> tuple[CheckedPart, CheckedPart]:
    """Read the headers of all files that the cache does not know, then decode these.

    Raises:
        BadData: images cannot be read; those whose headers show it are named before any is decoded.
    """
    images = sum(map(len, parts))
    with one_process_at_a_time():
        cached = [CachedFacts.of(files) for files in parts]
        new = [path for files, facts in zip(parts, cached, strict=True) for path in files.paths(facts.missing)]
        problems = _unreadable_headers(root, new, progress)
        require_readable(printable(root), images, problems, "cannot be read, by their headers; none is decoded yet")
        results = [
            check_images(facts, files.title, progress, keeper)
            for files, facts, keeper in zip(parts, cached, keepers, strict=True)
        ]
    require_readable(printable(root), images, [text for result in results for text in result.problems])
    train, test = (files.checked(result) for files, result in zip(parts, results, strict=True))
    return train, test


def _unreadable_headers(root: Path, paths: Sequence[Path], progress: Progress) -> tuple[str, ...]:
    """The messages of files whose header shows that they cannot be decoded; says which have several frames."""
    if not paths:
        return ()
    headers = read_headers(paths, printable(root), progress)
    if headers.with_frames:
        count, example = len(headers.with_frames), printable(headers.with_frames[0].relative_to(root))
        images = "1 image has" if count == 1 else f"{count:,} images have"
        progress.say(f"{printable(root)}: {images} several frames or pages, of which the first is used, e.g. {example}")
    return headers.problems


def _require_same_classes(root: Path, train: tuple[str, ...], val: tuple[str, ...]) -> None:
    if train != val:
        only = ", ".join(
            f"{printable(name)} (only in {'train' if name in train else 'val'}/)" for name in sorted({*train} ^ {*val})
        )
        raise BadData(f"{printable(root)}: train/ and val/ differ in classes: {only}. Give both the same class folders")
    if len(train) < 2:
        raise BadData(
            f"{printable(root / 'train')} holds one class, {printable(train[0])}. Add a folder for each further class"
        )
