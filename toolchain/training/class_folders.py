"""Folders of images with a folder for each class."""

import os
from pathlib import Path

from toolchain.errors import BadData
from toolchain.training.helper_entries import is_helper
from toolchain.training.printable import printable


def class_folders(folder: Path) -> tuple[Path, ...]:
    """The class folders in `folder`, by name; hidden and helper entries are none.

    Raises:
        BadData: there is none, or `folder` does not exist or cannot be read.
    """
    classes = tuple(
        Path(entry.path) for entry in sorted_entries(folder) if is_folder(entry) and not is_helper(entry.name)
    )
    if not classes:
        raise no_class_folders(folder)
    return classes


def sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    """All entries of a folder, by name.

    Raises:
        BadData: it does not exist, or cannot be read.
    """
    if not folder.is_dir():
        raise BadData(
            f"{printable(folder)} does not exist. folder:PATH takes PATH/train/CLASS/IMAGE and PATH/val/CLASS/IMAGE"
        )
    try:
        with os.scandir(folder) as scanned:
            return sorted(scanned, key=lambda entry: entry.name)
    except OSError as problem:
        raise BadData(
            f"cannot read the folder {printable(folder)}: {problem.strerror}. Make it readable or remove it"
        ) from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def no_class_folders(folder: Path) -> BadData:
    """The error for a folder without any."""
    return BadData(f"{printable(folder)} has no class folders. Put images into {printable(folder)}/CLASS/")
