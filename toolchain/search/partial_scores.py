"""What the generation under way has computed so far, so that a kill costs half a minute and not a generation.

A trie brings all its candidates to the end together, which on a large data set is an hour or more. Between two
batches, everything there is to it are BN statistics and who had which image right: a few megabytes, written aside
from time to time. The journal stays what a search is replayed from; this file only saves work.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from toolchain.spaces.core import Architecture
from toolchain.training.sealed_file import load_sealed, save_sealed

KEPT_EVERY_S = 30.0


@dataclass(frozen=True)
class State:
    """After `recalibrated` batches of the one kind and `scored` of the other."""

    recalibrated: int
    scored: int
    statistics: list[Tensor]  # of the candidates that are left
    right: Tensor  # bool (candidates, hold-out images)
    stopped: dict[int, int]  # candidates that a race stopped, and the images that they had seen


class PartialScores:
    """The file of one process."""

    def __init__(self, path: Path, belongs: Mapping[str, Any], every_s: float = KEPT_EVERY_S) -> None:
        """`belongs` is what the scores depend on, as in the journal's first line."""
        self._path, self._belongs, self._every_s = path, dict(belongs), every_s
        self._kept_at = time.monotonic()

    def load(self, archs: Sequence[Architecture], against: float | None) -> State | None:
        """How far these candidates, raced against that accuracy, came before; None to begin with them."""
        self._kept_at = time.monotonic()
        if not self._path.exists():
            return None
        try:
            content = load_sealed(self._path)
            same = content.pop("of") == self._of(archs, against)
            return State(**content) if same else None
        except Exception:  # torch names no set of errors for a damaged file; without it the work is done again
            return None

    def keep(self, archs: Sequence[Architecture], against: float | None, state: State) -> None:
        """Write `state`, whole or not at all.

        Raises:
            RunFolderError: the disk is full or the folder read-only.
        """
        save_sealed(self._path, {"of": self._of(archs, against), **vars(state)})
        self._kept_at = time.monotonic()

    def due(self) -> bool:
        """Whether there is half a minute of work to lose."""
        return time.monotonic() - self._kept_at > self._every_s

    def remove(self) -> None:
        """The scores are in the journal."""
        self._path.unlink(missing_ok=True)

    def _of(self, archs: Sequence[Architecture], against: float | None) -> dict[str, Any]:
        return {"belongs": self._belongs, "candidates": [str(arch) for arch in archs], "against": against}
