"""The interface of training strategies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from toolchain.spaces.core import Architecture

Draw = Callable[[Random], Architecture]


@dataclass(frozen=True)
class Path:
    """An architecture that a step trains.

    Args:
        teacher: the number of an earlier path of the step that this one learns from; None: it learns from the labels.
    """

    architecture: Architecture
    teacher: int | None = None


class TrainingStrategy(Protocol):
    """Selects the paths of a step. They see the same images, and their gradients add up to one update."""

    @property
    def paths_per_step(self) -> int:
        """How many paths each step trains."""

    def paths(self, rng: Random) -> Sequence[Path]:
        """The paths of one step; all randomness comes from `rng`."""
