"""Image files of a folder with one subfolder per class."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import BadData
from toolchain.training.class_folders import is_folder, no_class_folders, sorted_entries
from toolchain.training.helper_entries import is_helper
from toolchain.training.image_suffixes import image_suffixes
from toolchain.training.mask_names import SHARE, second_images
from toolchain.training.printable import printable
from toolchain.training.special_files import without_special

SUFFIXES_SHOWN = 5
Inode = tuple[int, int]


@dataclass(frozen=True)
class ImageFile:
    """One image file; `linked` if a symbolic link inside the data set leads to it."""

    path: Path
    label: int
    linked: bool
    inode: Inode


@dataclass(frozen=True)
class FolderScan:
    """What a class folder tree holds, and what was left out."""

    folder: Path
    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]
    helpers: tuple[Path, ...]
    other_suffixes: Mapping[str, int]  # also counts pipes, sockets and devices
    outside: tuple[Path, ...]  # images beside the class folders
    repeated: tuple[tuple[ImageFile, ImageFile], ...]  # (left out, kept): two names of one file

    def notes(self) -> Iterator[str]:
        """One line for each sort of entry that was left out."""
        name = printable(self.folder)
        if self.helpers:
            example = printable(self.helpers[0].relative_to(self.folder))
            yield f"{name}: skipped {_count(len(self.helpers), 'hidden or helper entr', 'y', 'ies')}, e.g. {example}"
        if self.other_suffixes:
            skipped = _count(sum(self.other_suffixes.values()), "file", "", "s")
            yield f"{name}: skipped {skipped} that Pillow does not read: {_suffixes(self.other_suffixes)}"
        if self.outside:
            outside = _count(len(self.outside), "image", "", "s")
            yield f"{name}: skipped {outside} outside the class folders, e.g. {printable(self.outside[0].name)}"
        yield from self._names_alike()
        yield from self._masks()
        within = [pair for pair in self.repeated if pair[0].label == pair[1].label]
        across = [pair for pair in self.repeated if pair[0].label != pair[1].label]
        if within:
            names = self._pair(within[0])
            yield f"{name}: {_count(len(within), 'name', '', 's')} of a file that was counted already, e.g. {names}"
        if across:
            names = self._pair(across[0])
            yield (
                f"{name}: {_count(len(across), 'file', '', 's')} in two classes, each counted in one of them, "
                f"e.g. {names}. Remove the link from the wrong class"
            )

    def _names_alike(self) -> Iterator[str]:
        """Classes that a file system without upper and lower case could not tell apart."""
        first: dict[str, str] = {}
        for name in self.classes:
            other = first.setdefault(_plain(name), name)
            if other != name:
                yield (
                    f"warning: {printable(self.folder)}: the names of the classes {printable(other)} and "
                    f"{printable(name)} differ in case or Unicode form only. If they are one class, merge the folders"
                )

    def _masks(self) -> Iterator[str]:
        """A line on images that look like masks of others."""
        masks = list(second_images([file.path.relative_to(self.folder) for file in self.files]))
        if len(masks) > SHARE * len(self.files):
            mask, photo = masks[0]
            example = printable(mask) + (f" beside {printable(photo)}" if photo else "")
            yield (
                f"warning: {printable(self.folder)}: {len(masks):,} of {len(self.files):,} images look like masks or "
                f"second files of others, e.g. {example}. They are images of the class as well. Move them to another "
                f"folder if they are not"
            )

    def _pair(self, pair: tuple[ImageFile, ImageFile]) -> str:
        left_out, kept = (printable(file.path.relative_to(self.folder)) for file in pair)
        return f"{left_out} is {kept}"


def scan_folder(folder: Path) -> FolderScan:
    """Find the images in `folder`/CLASS/, at any depth; hidden and helper entries are skipped.

    Classes and files are in the order of their names, as in torchvision's ImageFolder. Two names of one file (links)
    count once.

    Raises:
        BadData: the folder is missing or unreadable, or a class has no images of its own.
    """
    helpers: list[Path] = []
    other_suffixes: Counter[str] = Counter()
    entries = _entries(folder, helpers)
    class_folders = [entry for entry in entries if is_folder(entry)]
    beside = [Path(entry.path) for entry in without_special(entries, other_suffixes) if not is_folder(entry)]
    outside = tuple(path for path in beside if path.suffix.lower() in image_suffixes())
    other_suffixes.update(path.suffix.lower() for path in beside if path not in outside)
    files: list[ImageFile] = []
    for label, entry in enumerate(class_folders):
        special: Counter[str] = Counter()
        entries_of_class = [
            ImageFile(path, label, linked, _inode(path)) for path, linked in _walk(entry, helpers, special)
        ]
        images = [file for file in entries_of_class if file.path.suffix.lower() in image_suffixes()]
        others = Counter(file.path.suffix.lower() for file in entries_of_class) - Counter(
            file.path.suffix.lower() for file in images
        )
        others += special
        if not images:
            raise BadData(_no_images(Path(entry.path), others))
        other_suffixes += others
        files += images
    if not class_folders:
        raise no_class_folders(folder)
    kept, repeated = _each_file_once(files)
    classes = tuple(entry.name for entry in class_folders)
    _require_own_images(folder, classes, kept, repeated)
    return FolderScan(folder, classes, kept, tuple(helpers), other_suffixes, outside, repeated)


def _entries(folder: Path, helpers: list[Path]) -> list[os.DirEntry[str]]:
    """Entries of a folder by name; hidden and helper entries go to `helpers`."""
    entries = sorted_entries(folder)
    helpers += [Path(entry.path) for entry in entries if is_helper(entry.name)]
    return [entry for entry in entries if not is_helper(entry.name)]


def _walk(class_folder: os.DirEntry[str], helpers: list[Path], special: Counter[str]) -> list[tuple[Path, bool]]:
    """Files below a class folder, and whether a link leads to them; each folder is entered once."""
    files: list[tuple[Path, bool]] = []
    entered: set[Inode] = set()
    pending = [(class_folder.path, class_folder.is_symlink())]
    while pending:
        folder, linked = pending.pop()
        if (inode := _inode(Path(folder))) in entered:
            continue
        entered.add(inode)
        for entry in without_special(_entries(Path(folder), helpers), special):
            through_link = linked or entry.is_symlink()
            if is_folder(entry):
                pending.insert(0 if through_link else len(pending), (entry.path, through_link))
            else:  # a broken link is reported with the unreadable files
                files.append((Path(entry.path), through_link))
    return sorted(files, key=lambda file: (str(file[0].parent), file[0].name))


def _inode(path: Path) -> Inode:
    try:
        status = path.stat()
    except OSError:
        status = path.lstat()
    return status.st_dev, status.st_ino


def _each_file_once(
    files: Iterable[ImageFile],
) -> tuple[tuple[ImageFile, ...], tuple[tuple[ImageFile, ImageFile], ...]]:
    """The files without further names of the same file; a name that no link leads to is preferred."""
    names: dict[Inode, list[ImageFile]] = {}
    for file in files:
        names.setdefault(file.inode, []).append(file)
    kept, repeated = [], []
    for same in names.values():
        first = next((file for file in same if not file.linked), same[0])
        kept.append(first)
        repeated += [(file, first) for file in same if file is not first]
    order = {id(file): position for position, file in enumerate(files)}
    return tuple(sorted(kept, key=lambda file: order[id(file)])), tuple(repeated)


def _require_own_images(
    folder: Path, classes: Sequence[str], kept: Iterable[ImageFile], repeated: Iterable[tuple[ImageFile, ImageFile]]
) -> None:
    labels = {file.label for file in kept}
    for left_out, first in repeated:
        if left_out.label not in labels:
            raise BadData(
                f"the class folder {printable(folder / classes[left_out.label])} has only links to images of the class "
                f"{printable(classes[first.label])}. Put images into each class folder, or remove it"
            )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _no_images(folder: Path, others: Mapping[str, int]) -> str:
    skipped = f" (skipped: {_suffixes(others)})" if others else ""
    return (
        f"the class folder {printable(folder)} has no images{skipped}. Put images into each class folder, or remove it"
    )


def _suffixes(counts: Mapping[str, int]) -> str:
    most = Counter(counts).most_common()
    named = ", ".join(f"{count} {printable(suffix) or 'without a suffix'}" for suffix, count in most[:SUFFIXES_SHOWN])
    return named + (f", and {len(most) - SUFFIXES_SHOWN} more suffixes" if len(most) > SUFFIXES_SHOWN else "")


def _count(number: int, stem: str, singular: str, plural: str) -> str:
    return f"{number:,} {stem}{singular if number == 1 else plural}"
