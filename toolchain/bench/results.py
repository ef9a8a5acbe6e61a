"""The accuracy of a file that is benchmarked, and which images it is computed on."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from toolchain.errors import BadConfig
from toolchain.training.accuracy_interval import wilson

Part = Literal["holdout", "test"]


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy on `images` images, 0 to 1."""

    share: float
    images: int

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval (Wilson)."""
        return wilson(self.share, self.images)


def part_of(text: str | None) -> Part | None:
    """Parse --accuracy; None if it is not given.

    Raises:
        BadConfig: it is neither holdout nor test.
    """
    if text is None:
        return None
    for part in get_args(Part):
        if part == text:
            return cast(Part, part)
    raise BadConfig(f"--accuracy {text} is not known. Write holdout (as often as you like) or test (once, at the end)")
