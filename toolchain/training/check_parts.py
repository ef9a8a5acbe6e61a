"""Report on training and test images together before anything is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from toolchain.progress import Progress
from toolchain.training.decode import WhiteLevels
from toolchain.training.duplicates import duplicate_notes
from toolchain.training.image_cache import ImageFacts
from toolchain.training.image_check import brightness_notes, require_full_range, white_levels

Cut = Callable[[Sequence[str], Tensor], object]  # (class names, labels): divide the training images, or refuse them


@dataclass(frozen=True)
class CheckedPart:
    """The training or the test images: class and facts of each, and its name for messages."""

    title: str
    labels: Sequence[int]
    facts: Sequence[ImageFacts]
    name: Callable[[int], str]


def report_images(parts: tuple[CheckedPart, CheckedPart], classes: tuple[str, ...], progress: Progress) -> WhiteLevels:
    """Say what looks wrong with the images; gives the white levels, which are those of the training images.

    Raises:
        BadData: images would be read as nearly black.
    """
    white = white_levels(parts[0].facts)
    for part in parts:
        require_full_range(part.title, part.facts)
        for note in brightness_notes(part.title, part.facts, white):
            progress.say(note)
    for note in duplicate_notes(*parts, classes):
        progress.say(note)
    return white
