"""What folders of training images say about settings: classes, channels, sizes and the number of images.

Class folders are listed when they are needed, and once for all settings of a command. What is trained on is listed
by `folder_scan`, with links and everything that is left out.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import median

from toolchain.errors import BadData
from toolchain.training.class_folders import class_folders
from toolchain.training.helper_entries import is_helper
from toolchain.training.user_path import expanded

GRAY_MODES = ("1", "L", "LA", "I", "F")  # the first letters of Pillow's modes of gray images
SAMPLED_CLASSES, SAMPLED_IMAGES = 50, 8  # images whose headers are read: 8 in each of up to 50 classes
SIZES_PX = (28, 32, 48, 64, 96, 128, 160, 192, 224)
SMALL_SPACE_PX = 64  # the largest choice for a space whose own size is smaller


@dataclass(frozen=True)
class ImageSurvey:
    """What the class folders and some image headers say."""

    classes: int
    channels: int
    short_side_px: float

    def size_px(self, own_px: int) -> int:
        """The input size: no larger than the median image, nor than the space's own size or 64 px."""
        largest = min(self.short_side_px, max(own_px, SMALL_SPACE_PX))
        return max((size for size in SIZES_PX if size <= largest), default=SIZES_PX[0])


@dataclass(frozen=True)
class _ClassImages:
    """The number of images of a class, and some of them, evenly chosen by name."""

    count: int
    sample: tuple[str, ...]


class SurveyedFolder:
    """A folder of training images, `PATH/train`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, _ClassImages] = {}

    @cached_property
    def survey(self) -> ImageSurvey | None:
        """None if the folder has no images that can be read."""
        step = max(1, len(self._classes) // SAMPLED_CLASSES)
        sampled = [self._images(folder).sample for folder in self._classes[::step]]
        heads = [head for sample in sampled for head in islice(_heads(sample), SAMPLED_IMAGES)]
        if not heads:
            return None
        color = any(not mode.startswith(GRAY_MODES) or mode == "LAB" for mode, _ in heads)
        return ImageSurvey(len(self._classes), 3 if color else 1, median(side for _, side in heads))

    def count(self, most: int) -> int:
        """The number of images, up to `most`; 0 if the folder cannot be read."""
        images = 0
        for folder in self._classes:
            images += self._images(folder).count
            if images >= most:
                return most
        return images

    @cached_property
    def _classes(self) -> tuple[Path, ...]:
        try:
            return class_folders(self._folder)
        except BadData:  # loading the data gives the error
            return ()

    def _images(self, class_folder: Path) -> _ClassImages:
        if class_folder not in self._listed:
            self._listed[class_folder] = _list_class(class_folder)
        return self._listed[class_folder]


class SurveyedFolders:
    """The data sets that the settings of one command depend on; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, SurveyedFolder] = {}

    def of(self, data: str) -> SurveyedFolder:
        """The training images of `folder:PATH`."""
        if data not in self._folders:
            self._folders[data] = SurveyedFolder(expanded(data.removeprefix("folder:")) / "train")
        return self._folders[data]


def _list_class(class_folder: Path) -> _ClassImages:
    from toolchain.training.image_suffixes import image_suffixes  # imports Pillow, which nastool-check has not

    paths: list[str] = []
    for folder, inner, names in os.walk(class_folder):  # a folder that cannot be read is left out
        inner[:] = [name for name in inner if not is_helper(name)]
        images = [name for name in names if Path(name).suffix.lower() in image_suffixes() and not is_helper(name)]
        paths += [f"{folder}/{name}" for name in images]
    paths.sort()
    return _ClassImages(len(paths), tuple(paths[:: max(1, len(paths) // SAMPLED_IMAGES)]))


def _heads(paths: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Mode and short side of images from their headers."""
    from PIL import Image  # as above

    from toolchain.training.decode import silence_pillow

    silence_pillow()
    for path in paths:
        try:
            with Image.open(path) as image:
                yield image.mode, min(image.size)
        except Exception:  # whatever Pillow raises for a damaged file, which the check of all images names
            continue
