"""`folder:PATH`: a user's images in PATH/train/CLASS/ and PATH/val/CLASS/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toolchain.errors import BadData
from toolchain.progress import Progress
from toolchain.training.check_parts import CheckedPart, Cut, report_images
from toolchain.training.decode import WhiteLevels
from toolchain.training.folder_scan import FolderScan, scan_folder
from toolchain.training.image_cache import ImageFacts, key_of
from toolchain.training.image_check import Checked, check_images, require_readable
from toolchain.training.images import FolderImages, read_file
from toolchain.training.printable import printable


@dataclass(frozen=True)
class ScannedFiles:
    """The files of a scan, for checking."""

    scan: FolderScan

    def __len__(self) -> int:
        return len(self.scan.files)

    @property
    def title(self) -> str:
        return printable(self.scan.folder)

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

    def images(self, facts: Sequence[ImageFacts], channels: int, size_px: int, white: WhiteLevels) -> FolderImages:
        """The files as a data set."""
        paths = tuple(file.path for file in self.scan.files)
        digests, pixels = (tuple(each) for each in zip(*((fact.digest, fact.pixels) for fact in facts), strict=True))
        return FolderImages(paths, self.labels(), channels, size_px, white, digests, pixels)

    def labels(self) -> Tensor:
        """int64 (N,)."""
        return torch.tensor([file.label for file in self.scan.files])

    def _short_name(self, index: int) -> str:
        return printable(self.scan.files[index].path.relative_to(self.scan.folder.parent))


def load_folder(
    root: Path, channels: int, size_px: int, cut: Cut, progress: Progress
) -> tuple[tuple[str, ...], FolderImages, FolderImages]:
    """Classes, training images and test images below `root`; each file is decoded once unless the cache knows it.

    `cut` divides the training images by their classes; it is called before files are decoded, which takes longer.

    Raises:
        BadData: a folder is missing, train/ and val/ differ in classes, or images cannot be read.
    """
    train, test = (ScannedFiles(scan_folder(root / part)) for part in ("train", "val"))
    classes = train.scan.classes
    _require_same_classes(root, classes, test.scan.classes)
    for note in (*train.scan.notes(), *test.scan.notes()):
        progress.say(note)
    names = tuple(map(printable, classes))
    cut(names, train.labels())
    checked = [check_images(part, part.title, progress) for part in (train, test)]
    require_readable(printable(root), len(train) + len(test), [text for part in checked for text in part.problems])
    parts = (train.checked(checked[0]), test.checked(checked[1]))
    white = report_images(parts, names, progress)
    train_images, test_images = (
        files.images(part.facts, channels, size_px, white) for files, part in zip((train, test), parts, strict=True)
    )
    return names, train_images, test_images


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
